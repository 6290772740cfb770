// How far gradients reach back, and what a prediction depends on.

const DISTANCES = [1, 2, 5, 10, 20, 50, 100, 200];

function gradientsTab({ gradients, dependence, text: { symbols, starts } }) {
  if (!gradients.length) return null;
  const intro =
    "How much the loss at one token would change with the state so many tokens before: a line that falls steeply " +
    "says that learning hardly reaches back. Lines are medians over places in the text, with quartiles shaded; solid " +
    "ones are of trained models, dashed ones of untrained.";
  const models = [...new Set(gradients.map((curve) => curve.name))];
  const hue = (curve) => `hue${models.indexOf(curve.name) % 8}`;
  const title = (curve) => (curve.is_trained ? curve.name : `${curve.name}, untrained`);

  function draw(panel) {
    const holder = el("div", { class: "wide-picture" });
    const key = el("ul", { class: "key" }, gradients.map((curve) => el("li", { class: hue(curve) }, swatch(curve), visible(title(curve)))));
    panel.append(key, holder, behind("The medians in a table", medians));
    responsive(holder, (width) => holder.replaceChildren(curves(width)));
    if (dependence) panel.append(...dependenceParts());
  }

  const swatch = (curve) =>
    svg("svg", { width: 30, height: 10, "aria-hidden": "true" }, svg("line", { class: lineClass(curve), x1: 0, x2: 30, y1: 5, y2: 5 }));
  const lineClass = (curve) => `curve ${curve.is_trained ? "" : "dashed"}`;

  function curves(width) {
    const positive = gradients.flatMap(({ low, median, high }) => [...low, ...median, ...high]).filter((value) => value > 0);
    const [least, most] = [Math.floor(Math.log10(Math.min(1, ...positive))), Math.ceil(Math.log10(Math.max(...positive, 1e-30)))];
    const floor = Math.max(least, most - 24);
    const span = Math.max(1, most - floor), step = Math.ceil(span / 7);
    const ticks = [];
    for (let power = floor; power <= most; power += step) ticks.push([10 ** power, power === 0 ? "1" : `1e${power}`.replace("-", "−")]);
    const steps = Math.max(...gradients.map(({ median }) => median.length));
    const { node, area, x, y } = plot({
      width, height: Math.min(420, Math.max(260, width * 0.55)), left: 52,
      x: { at: (back) => (back - 1) / Math.max(1, steps - 1), ticks: [1, 50, 100, 150, 200].filter((back) => back <= steps).map((back) => [back, String(back)]), name: "tokens back" },
      y: { at: (norm) => (Math.log10(Math.max(norm, 1e-300)) - floor) / span, ticks, name: "norm of the gradient" },
      label: `Norm of the gradient against tokens back, on a logarithmic axis, for ${gradients.map(title).join("; ")}; the table has the numbers`,
    });
    const points = (values) => values.map((value, at) => [x(at + 1), y(value)].map((number) => number.toFixed(1)).join(","));
    for (const curve of gradients) {
      const band = [...points(curve.low), ...points(curve.high).reverse()].join(" ");
      area.append(svg("g", { class: hue(curve) }, [
        svg("polygon", { class: "band", points: band }),
        svg("polyline", { class: lineClass(curve), points: points(curve.median).join(" ") }),
      ]));
    }
    return node;
  }

  function medians() {
    const distances = DISTANCES.filter((back) => gradients.every(({ median }) => back <= median.length));
    const rows = gradients.map((curve) => [visible(title(curve)), ...distances.map((back) => exponential(curve.median[back - 1]))]);
    return table("Median norm of the gradient, by tokens back.", ["model", ...distances.map(String)], rows);
  }

  const exponential = (norm) => (norm === null ? "∞" : norm.toExponential(1).replace("-", "−"));

  function dependenceParts() {
    const { positions } = dependence;
    const slider = el("input", { id: "prediction", type: "range", min: 0, max: positions.length - 1, value: 0 });
    const answer = el("div", { class: "excerpt" });
    const refresh = () => {
      slider.setAttribute("aria-valuetext", `token ${whole(positions[slider.value] + 1)}, ${alone(symbols[positions[slider.value]])}`);
      answer.replaceChildren(...dependsOn(Number(slider.value)));
    };
    const turn = (by) => () => ((slider.value = Number(slider.value) + by), refresh());
    slider.addEventListener("input", refresh);
    refresh();
    return [
      el("h3", {}, "What a prediction depends on"),
      el("p", {}, "The framed token was to be predicted: warm tokens before it made it likelier, cool ones less likely (gradient × input)."),
      el("div", { class: "controls" }, [
        el("label", { for: "prediction" }, "Prediction"),
        el("button", { type: "button", "aria-label": "previous prediction", onclick: turn(-1) }, "←"), slider,
        el("button", { type: "button", "aria-label": "next prediction", onclick: turn(1) }, "→"),
      ]),
      answer,
    ];
  }

  function dependsOn(number) {
    const place = dependence.positions[number], influence = dependence.influence[number];
    const first = Math.max(place - influence.length, ...starts.filter((start) => start <= place));
    const top = Math.max(...influence.map(Math.abs)) || 1;
    const pieces = [];
    for (let at = first; at < place; at++) {
      const own = influence[place - 1 - at];
      const shown = symbols[at] === "\n" ? "↵\n" : glyphs(symbols[at]);
      pieces.push(tinted("span", own / top, { title: `${place - at} back: ${signed(own)}` }, shown));
    }
    const strongest = [...influence.keys()].filter((back) => place - 1 - back >= first).sort((one, other) => Math.abs(influence[other]) - Math.abs(influence[one]));
    const rows = strongest.slice(0, 10).map((back) => [el("code", {}, alone(symbols[place - 1 - back])), String(back + 1), signed(influence[back])]);
    return [
      el("p", { class: "passage", tabindex: "0", role: "group", "aria-label": "the tokens before the prediction" }, ...pieces, el("span", { class: "framed" }, alone(symbols[place]))),
      behind("The ten strongest in a table", () => table("Tokens that the prediction depends on most.", ["token", "tokens back", "influence"], rows)),
    ];
  }

  return { name: "Gradients", intro, draw };
}
