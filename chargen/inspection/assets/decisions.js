// What carries the decisions of a classifier.

function decisionsTab({ decisions, carriers }) {
  if (!decisions.length) return null;
  const intro =
    "Each text with the label it got: warm words speak for that label, cool ones against it (by how much the label’s " +
    "log-odds fall when the word is left out); below stand the units that add most to it.";

  function draw(panel) {
    const strongest = carriers.map((carrier) => el("li", {}, unitButton(carrier.unit), ` ${carrier.pooling}, ${decimals(carrier.weight)}`));
    panel.append(
      el("h3", {}, "Units that weigh most in all decisions"),
      el("ul", { class: "carriers" }, strongest),
      el("h3", {}, "Texts"),
      legend("against", "0", "for the label"),
      el("div", { class: "decisions" }, decisions.map(decided)),
    );
  }

  function decided(decision) {
    const { label, truth, units, characters } = decision;
    const top = Math.max(...characters.map(([, odds]) => Math.abs(odds)), 1e-9);
    const spans = characters.map(([span, odds]) => tinted("span", odds / top, { title: signed(odds) }, visible(span)));
    const isWrong = truth !== null && truth !== label;
    const verdict = el("h4", {}, visible(label), isWrong ? el("small", { class: "problem" }, ` but it is ${visible(truth)}`) : null);
    const shares = units.slice(0, 5).map((carrier) => el("li", {}, unitButton(carrier.unit), ` ${signed(carrier.weight)}`));
    return el("article", {}, verdict, el("p", { class: "passage" }, ...spans), el("ul", { class: "carriers", "aria-label": "units" }, shares), behind("Its words in a table", () => words(decision)));
  }

  function words({ characters, label }) {
    const sorted = [...characters].sort(([, one], [, other]) => Math.abs(other) - Math.abs(one));
    const rows = sorted.map(([span, odds]) => [el("code", {}, alone(span)), signed(odds)]);
    return table(`How much each part speaks for ${visible(label)}.`, ["part", "log-odds"], rows);
  }

  return { name: "Decisions", intro, draw };
}
