// How much each token surprised the model, and what it expected instead.

const MOST_BITS = 8; // of the colours
const SURPRISES = 8;

function readingTab({ text, reading, vocabulary }) {
  if (!reading) return null;
  const intro =
    "The text as the model read it: the deeper a character’s colour, the more it surprised the model, in bits " +
    "(one bit more is half as likely); choose a character to see what the model expected there.";

  function draw(panel) {
    const answer = el("div", { "aria-live": "polite", class: "answer" }, el("p", { class: "muted" }, "No character is chosen yet."));
    const view = new TextView(text, {
      label: "The text, a character at a time: arrow keys move",
      colour: (at) => reading.bits[at] / MOST_BITS,
      choose: (at) => answer.replaceChildren(...expected(at)),
    });
    const aside = el("aside", {}, answer, el("h3", {}, "Most surprising"), surprises(view));
    panel.append(legend("expected", `${MOST_BITS} bits and more`), el("div", { class: "beside" }, view.node, aside));
  }

  function expected(at) {
    const bits = reading.bits[at];
    const rows = reading.alternatives[at].map((token, rank) => {
      const share = reading.probabilities[at][rank];
      const bar = el("span", { class: "share", "aria-hidden": "true" });
      bar.style.width = `${100 * share}%`;
      return [el("code", {}, alone(vocabulary[token])), el("span", { class: "track" }, bar), percent(share)];
    });
    return [
      el("p", { class: "headline" }, el("code", {}, alone(text.symbols[at])), ` ${decimals(bits)} bits`),
      el("p", { class: "muted" }, `The model gave it a chance of ${chance(2 ** -bits)}; it is token ${whole(at + 1)} of ${whole(text.symbols.length)}.`),
      table("The likeliest, as the model saw it", ["token", "", "probability"], rows),
    ];
  }

  function surprises(view) {
    const places = Array.from(reading.bits.keys()).sort((one, other) => reading.bits[other] - reading.bits[one]);
    const items = places.slice(0, SURPRISES).map((at) => {
      const before = visible(text.symbols.slice(Math.max(0, at - 16), at).join(""));
      const shown = [el("code", {}, before, el("mark", {}, alone(text.symbols[at]))), el("span", {}, `${decimals(reading.bits[at], 1)} bits`)];
      return el("li", {}, el("button", { type: "button", class: "place", onclick: () => view.move(at) }, shown));
    });
    return el("ol", { class: "places" }, items);
  }

  return { name: "Reading", intro, draw };
}
