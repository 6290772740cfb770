// Axes for the pictures, in SVG.

// Calls draw(width) now and whenever the width of a node changes.
function responsive(node, draw) {
  let width = 0;
  new ResizeObserver(() => {
    const now = node.clientWidth;
    if (now && now !== width) draw((width = now));
  }).observe(node);
}

const lettering = (x, y, anchor, content) => svg("text", { x, y, "text-anchor": anchor }, content);

// An empty plot. Each axis has at(value) from 0 to 1, ticks as [value, label], and a name.
function plot({ width, height, left = 46, bottom = 40, top = 24, right = 12, x, y, label }) {
  const place = {
    x: (value) => left + x.at(value) * (width - left - right),
    y: (value) => height - bottom - y.at(value) * (height - bottom - top),
  };
  const node = svg("svg", { class: "plot", width, height, viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": label }, [
    y.ticks.map(([value]) => svg("line", { class: "rule", x1: left, x2: width - right, y1: place.y(value), y2: place.y(value) })),
    y.ticks.map(([value, name]) => lettering(left - 6, place.y(value) + 4, "end", name)),
    x.ticks.map(([value, name]) => lettering(place.x(value), height - bottom + 17, "middle", name)),
    lettering(left + (width - left - right) / 2, height - 5, "middle", x.name),
    lettering(2, 13, "start", y.name),
  ]);
  const [x0, y0, x1, y1] = [left, top - 4, width - right + 4, height - bottom + 4];
  const box = { x: x0, y: y0, width: x1 - x0, height: y1 - y0 };
  const area = svg("svg", { ...box, viewBox: `${x0} ${y0} ${box.width} ${box.height}` }); // cuts off what leaves the plot
  node.append(area);
  return { node, area, ...place };
}
