// How often gates are shut or open, and how long units remember (after Karpathy et al. 2015, figure 3).

const SIDE = 230; // pixels of a picture
const [LEAST, MOST] = [-2, 9]; // powers of 2 in the histogram

function gatesTab({ gates, units }) {
  if (!gates.some((layer) => layer.gates.length || layer.memory)) return null;
  const intro =
    "Each dot is a unit: the further right, the more of the time its gate is open (above 0.9), and the further up, the " +
    "more it is shut (below 0.1); bars count units by how many tokens they remember. Choose a dot to see its unit along the text.";

  const shareAxis = (name) => ({ at: (share) => share, ticks: [[0, "0"], [0.5, "½"], [1, "1"]], name });

  function draw(panel) {
    for (const layer of gates) {
      const pictures = layer.gates.map((gate) => figure(`gate ${gate.name}`, dots(layer.layer, gate)));
      if (layer.memory) pictures.push(figure(`memory, median ${decimals(quantile(layer.memory, 0.5), 1)} tokens`, bars(layer)));
      panel.append(
        el("h3", {}, gates.length > 1 ? `Layer ${layer.layer}` : "The layer"),
        el("div", { class: "pictures" }, pictures),
        summary(layer),
        behind("All units in a table", () => numbers(layer)),
      );
    }
  }

  const figure = (caption, picture) => el("figure", {}, el("figcaption", {}, caption), picture);

  function dots(layer, gate) {
    const label = `Units of layer ${layer} by how often their gate ${gate.name} is open and shut; the table has the numbers`;
    const { node, x, y } = plot({ width: SIDE, height: SIDE, x: shareAxis("open"), y: shareAxis("shut"), label });
    node.append(svg("line", { class: "rule", x1: x(0), y1: y(1), x2: x(1), y2: y(0) }));
    gate.left.forEach((left, unit) => {
      const name = `${layer}.${unit}`;
      const title = svg("title", {}, `${name}: open ${percent(gate.right[unit])}, shut ${percent(left)}`);
      node.append(svg("circle", { class: "dot", cx: x(gate.right[unit]), cy: y(left), r: 3.2, onclick: () => showUnit(name) }, title));
    });
    return node;
  }

  function bars({ layer, memory }) {
    const counts = new Array(MOST - LEAST + 1).fill(0);
    for (const steps of memory) counts[Math.max(LEAST, Math.min(MOST, Math.floor(Math.log2(steps)))) - LEAST]++;
    const most = Math.max(...counts);
    const { node, x, y } = plot({
      width: SIDE * 1.3, height: SIDE,
      x: { at: (bin) => (bin + 0.5) / counts.length, ticks: [0, 2, 4, 6, 8, 11].map((bin) => [bin, spanned(bin)]), name: "tokens" },
      y: { at: (count) => count / most, ticks: [[0, "0"], [most, String(most)]], name: "units" },
      label: `Units of layer ${layer} by how many tokens they remember: ${counts.map((count, bin) => `${spanned(bin)}: ${count}`).join(", ")}`,
    });
    const thickness = x(1) - x(0) - 3;
    counts.forEach((count, bin) => {
      const title = svg("title", {}, `${spanned(bin)} tokens: ${plural(count, "unit")}`);
      node.append(svg("rect", { class: "fill", x: x(bin) - thickness / 2, width: thickness, y: y(count), height: y(0) - y(count) }, title));
    });
    return node;
  }

  const spanned = (bin) => (bin === 0 ? "<½" : bin === 1 ? "½" : `${bin === MOST - LEAST ? "≥" : ""}${2 ** (bin + LEAST)}`);

  function summary({ layer, gates: own, memory }) {
    const mean = (values) => values.reduce((sum, value) => sum + value, 0) / values.length;
    const parts = own.map((gate) => `gate ${gate.name} is shut ${percent(mean(gate.left))} of the time and open ${percent(mean(gate.right))}`);
    if (memory) parts.push(`units remember ${decimals(quantile(memory, 0), 1)} to ${decimals(quantile(memory, 1), 1)} tokens`);
    return el("p", { class: "muted" }, parts.length ? `In the mean, ${parts.join("; ")}.` : "This layer has no gates.");
  }

  function numbers({ layer, gates: own, memory }) {
    const heads = ["unit", ...own.flatMap(({ name }) => [`${name} shut`, `${name} open`]), ...(memory ? ["remembers"] : [])];
    const count = memory?.length ?? own[0].left.length; // fewer than outputs in a Grid LSTM
    const rows = Array.from({ length: count }, (_, unit) => [
      unitButton(`${layer}.${unit}`),
      ...own.flatMap(({ left, right }) => [percent(left[unit]), percent(right[unit])]),
      ...(memory ? [decimals(memory[unit], 1)] : []),
    ]);
    const node = table("Share of time that each gate is shut (below 0.1) and open (above 0.9); tokens after which 1/e is left.", heads, rows);
    node.classList.add("tall");
    return node;
  }

  return { name: "Gates", intro, draw };
}
