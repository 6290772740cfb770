// Any unit along the text, and the units that tell something about it.

function unitsTab({ text, units, properties, left_out: leftOut, argument, reading }) {
  const intro =
    "The output of one unit after each character: warm where it is above 0, cool where below. The table names the unit " +
    "that tells each property of the text best, on text that did not choose it; believe a score that is clearly above " +
    "both the untrained network’s and that of the last three characters.";
  const told = new Map(properties.map((found) => [found.best.unit, found]));
  let shown = units.asked[0] ?? strongest()?.best.unit ?? units.chosen.units[0];
  let values = new Float32Array(), top = 1, view, refresh;

  // The property that stands out most from the untrained network, and rather one that must be remembered.
  function strongest() {
    const rank = ({ best, untrained, is_learned: learned, is_remembered: remembered }) =>
      (learned ? 1 + remembered : 0) + Math.min(1, best.low - untrained.high);
    return [...properties].sort((one, other) => rank(other) - rank(one))[0];
  }

  // A unit's values along the text: all of it for the chosen units, its beginning for the others.
  function load(unit) {
    const among = units.chosen.units.indexOf(unit), [layer, own] = unit.split(".").map(Number);
    shown = unit;
    values =
      among >= 0
        ? column(units.chosen, among, text.symbols.length)
        : column(units.first, layer * units.per_layer + own, units.first.tokens);
    top = values.reduce((most, value) => Math.max(most, Math.abs(value)), 0) || 1;
  }

  function show(unit) {
    load(unit);
    refresh?.();
    view?.draw();
  }

  function draw(panel) {
    const answer = el("p", { class: "answer", "aria-live": "polite" });
    const about = el("div", { class: "about" });
    const [picker, mark] = pickers();
    const findings = findingsTable();
    view = new TextView(text, {
      label: "The text, coloured by the unit: arrow keys move",
      colour: (at) => values[at] / top,
      choose: (at) => answer.replaceChildren(...spelledValue(at)),
    });
    refresh = () => {
      about.replaceChildren(...description());
      mark();
      for (const row of findings.querySelectorAll("tbody tr")) row.toggleAttribute("data-shown", row.dataset.unit === shown);
      if (view.chosen >= 0) answer.replaceChildren(...spelledValue(view.chosen));
    };
    const left = el("div", {}, picker, about, legend("below 0", "0", "above 0"), view.node, answer);
    panel.append(el("div", { class: "beside wide" }, left, el("aside", {}, findings)));
    show(shown);
  }

  function pickers() {
    const option = (unit) => el("option", { value: unit }, told.has(unit) ? `${unit}: ${told.get(unit).name}` : unit);
    const group = (label, own) => (own.length ? el("optgroup", { label }, own.map(option)) : null);
    const rest = units.chosen.units.filter((unit) => !units.asked.includes(unit) && !told.has(unit));
    const list = el("select", { id: "unit-list", onchange: () => show(list.value) }, [
      el("option", { value: "", hidden: true }, "another"),
      group("asked for", units.asked),
      group("found", [...told.keys()].filter((unit) => !units.asked.includes(unit))),
      group("the liveliest", rest),
    ]);
    const typed = el("input", { id: "unit-typed", size: 7, autocomplete: "off", inputmode: "decimal", "aria-describedby": "unit-problem" });
    const problem = el("span", { id: "unit-problem", role: "alert", class: "problem" });
    const submit = (event) => {
      event.preventDefault();
      const why = refusal(typed.value.trim());
      problem.textContent = why;
      typed.setAttribute("aria-invalid", String(Boolean(why)));
      if (!why) show(typed.value.trim().split(".").map(Number).join("."));
    };
    const form = el("form", { class: "controls", onsubmit: submit }, [
      el("label", { for: "unit-list" }, "Unit"), list,
      el("label", { for: "unit-typed" }, "or type one"), typed,
      el("button", { type: "submit" }, "Show"), problem,
    ]);
    const mark = () => ((list.value = units.chosen.units.includes(shown) ? shown : ""), (typed.value = shown));
    return [form, mark];
  }

  function refusal(typed) {
    const [, layer, unit] = /^(\d+)\.(\d+)$/.exec(typed) ?? [];
    if (layer === undefined) return "Name a unit as LAYER.UNIT, such as 0.42, both counted from 0.";
    if (Number(layer) < units.layers && Number(unit) < units.per_layer) return "";
    return `There is no such unit: layers go from 0 to ${units.layers - 1}, units from 0 to ${units.per_layer - 1}.`;
  }

  function description() {
    const [low, high] = [quantile(values, 0), quantile(values, 1)];
    const found = told.get(shown);
    const tells = found ? ` It ${found.best.rises ? "rises" : "falls"} with “${found.name}”.` : "";
    const short = values.length < text.symbols.length ? ` It is kept for the first ${whole(values.length)} tokens only.` : "";
    const sentence = el("p", {}, el("strong", {}, `Unit ${shown}`), ` goes from ${decimals(low)} to ${decimals(high)}.${tells}${short}`);
    if (!reading) return [sentence]; // a classifier writes nothing
    const held = quantile(values, found && !found.best.rises ? 0.05 : 0.95).toFixed(2);
    const command = `chargen sample -m ${argument} --clamp ${shown}=${held}`;
    return [sentence, el("p", { class: "muted" }, "Hold it while the model writes: ", el("code", { class: "command" }, command))];
  }

  function spelledValue(at) {
    const value = at < values.length ? signed(values[at]) : "not kept";
    return [el("code", {}, alone(text.symbols[at])), ` token ${whole(at + 1)}: ${value}`];
  }

  function findingsTable() {
    if (!properties.length) return el("p", {}, "This text has no property that could be measured.", ...leftOutSentence());
    const heads = ["property", "unit", "", "score", "untrained", "last three"];
    const rows = properties.map((found) => {
      const unit = unitButton(found.best.unit, `, ${found.name}`);
      const { score, low, high } = found.best;
      const interval = el("small", {}, `${decimals(low)} – ${decimals(high)}`);
      const name = el("span", {}, found.name, verdict(found));
      return [name, unit, scorePicture(found), [decimals(score, 3), interval], decimals(found.untrained.score, 3), decimals(found.last_three, 3)];
    });
    const caption = "Scores are AUC (0.5 is chance), or R² for numbers such as a depth (0 is chance), with 95 % intervals.";
    const node = table(caption, heads, rows);
    node.querySelectorAll("tbody tr").forEach((row, at) => {
      row.dataset.unit = properties[at].best.unit;
      row.addEventListener("click", () => show(properties[at].best.unit));
    });
    node.firstChild.classList.add("findings");
    return el("div", {}, el("h3", {}, "What units tell"), node, el("p", { class: "muted" }, "● the unit, with its interval; ○ the untrained network’s best; | the last three characters. Learned: the interval is above the untrained network’s; remembered: above the last three characters."), ...leftOutSentence());
  }

  function verdict(found) {
    if (!found.is_learned) return null;
    return el("small", {}, found.is_remembered ? "learned and remembered" : "learned");
  }

  function leftOutSentence() {
    const parts = leftOut.map(({ name, why }) => `${name} (${why})`);
    return parts.length ? [el("p", { class: "muted" }, `Not measured: ${parts.join("; ")}.`)] : [];
  }

  // The score, its interval and what it is compared with, from chance at the left to 1 at the right.
  function scorePicture({ score, best, untrained, last_three: lastThree }) {
    const chance = score === "auc" ? 0.5 : 0;
    const x = (value) => 6 + 98 * Math.max(0, Math.min(1, (value - chance) / (1 - chance)));
    return svg("svg", { class: "score", width: 110, height: 22, "aria-hidden": "true" }, [
      svg("line", { class: "rule", x1: 6, x2: 104, y1: 11, y2: 11 }),
      svg("line", { class: "interval", x1: x(best.low), x2: x(best.high), y1: 11, y2: 11 }),
      svg("line", { class: "tick", x1: x(lastThree), x2: x(lastThree), y1: 4, y2: 18 }),
      svg("circle", { class: "hollow", cx: x(untrained.score), cy: 11, r: 4 }),
      svg("circle", { class: "full", cx: x(best.score), cy: 11, r: 4.5 }),
    ]);
  }

  return { name: "Units", intro, draw, show };
}
