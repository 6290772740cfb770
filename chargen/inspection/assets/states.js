// Texts or lines as points, by their states.

function statesTab({ states }) {
  if (!states) return null;
  const { texts, labels, coordinates, explained, clusters } = states;
  const intro =
    "Each point is a line or a text, placed by the mean of the model’s states over it (two principal components): points " +
    `that are near were much the same to the model. The picture shows ${percent(explained[0] + explained[1])} of all differences.`;
  const names = clusters.map((cluster) => `cluster ${cluster + 1}`);
  const groupings = { ...(labels.length ? { label: labels } : {}), cluster: names };
  const order = [...coordinates.keys()].sort((one, other) => coordinates[one][0] - coordinates[other][0]);
  let by = Object.keys(groupings)[0], current = -1;

  function draw(panel) {
    const answer = el("div", { class: "answer excerpt", "aria-live": "polite" }, el("p", { class: "muted" }, "Point at a dot, or move with the arrow keys, to read its text."));
    const holder = el("div", { class: "wide-picture", tabindex: "0", role: "application", "aria-label": "Points, from left to right with the arrow keys" });
    const key = el("ul", { class: "key" });
    const choose = (at) => {
      current = at;
      holder.querySelector(".chosen")?.classList.remove("chosen");
      const dot = holder.querySelector(`[data-at="${at}"]`);
      dot.classList.add("chosen");
      dot.parentNode.append(dot); // to the front
      answer.replaceChildren(el("p", { class: "muted" }, named(at)), el("p", { class: "passage" }, visible(texts[at])));
    };
    const refresh = (width = holder.clientWidth) => {
      holder.replaceChildren(points(width, choose));
      key.replaceChildren(...groups().map((group) => el("li", { class: hue(group) }, swatch(), visible(group))));
    };
    holder.addEventListener("keydown", (event) => {
      const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
      if (!step) return;
      event.preventDefault();
      choose(order.at((order.indexOf(current) + (current < 0 && step < 0 ? 0 : step)) % order.length));
    });
    panel.append(picker(refresh), key, el("div", { class: "beside" }, holder, el("aside", {}, answer)), behind("All points in a table", numbers));
    responsive(holder, refresh);
  }

  const groups = () => [...new Set(groupings[by])].sort();
  const hue = (group) => `hue${groups().indexOf(group) % 8}`;
  const swatch = () => svg("svg", { width: 12, height: 12, "aria-hidden": "true" }, svg("circle", { class: "point", cx: 6, cy: 6, r: 4.5 }));
  const named = (at) => [...(labels.length ? [`${visible(labels[at])}, `] : []), names[at]].join("");

  function picker(refresh) {
    const list = el("select", { id: "states-by", onchange: () => ((by = list.value), refresh()) }, Object.keys(groupings).map((name) => el("option", {}, name)));
    return el("div", { class: "controls", hidden: Object.keys(groupings).length < 2 }, el("label", { for: "states-by" }, "Colour by"), list);
  }

  function points(width, choose) {
    const range = (axis) => [Math.min(...coordinates.map((point) => point[axis])), Math.max(...coordinates.map((point) => point[axis]))];
    const axis = (number, name) => {
      const [low, high] = range(number);
      const at = (value) => (high > low ? 0.03 + (0.94 * (value - low)) / (high - low) : 0.5);
      return { at, ticks: [], name: `${name} component: ${percent(explained[number])} of the differences` };
    };
    const label = `${plural(texts.length, "point")} by two principal components; the table has the texts`;
    const height = Math.min(520, Math.max(300, width * 0.7));
    const { node, x, y } = plot({ width, height, left: 8, bottom: 24, x: axis(0, "first"), y: axis(1, "second"), label });
    const own = groups(), shade = new Map(own.map((group) => [group, hue(group)]));
    coordinates.forEach(([across, up], at) => {
      const events = { onpointerenter: () => choose(at), onclick: () => choose(at) };
      node.append(svg("circle", { class: `point ${shade.get(groupings[by][at])}`, "data-at": at, cx: x(across), cy: y(up), r: 4.5, ...events }));
    });
    return node;
  }

  function numbers() {
    const rows = order.map((at) => [visible(texts[at]).slice(0, 200), ...(labels.length ? [visible(labels[at])] : []), names[at], ...coordinates[at].map((place) => decimals(place))]);
    const node = table("All points, from left to right.", ["text", ...(labels.length ? ["label"] : []), "cluster", "first", "second"], rows);
    node.classList.add("tall");
    return node;
  }

  return { name: "States", intro, draw };
}
