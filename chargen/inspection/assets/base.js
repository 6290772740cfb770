// Making elements, spelling symbols, writing numbers. All text goes in as text nodes, so it never becomes markup.

const SVG = "http://www.w3.org/2000/svg";

function make(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (value !== null && value !== false) node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...children.flat(Infinity).filter((child) => child !== null));
  return node;
}

const el = (tag, attributes = {}, ...children) => make(document.createElement(tag), attributes, children);
const svg = (tag, attributes = {}, ...children) => make(document.createElementNS(SVG, tag), attributes, children);

// A symbol as it is shown: what has no shape of its own, or turns the direction of writing, is spelled out.
function glyphs(symbol) {
  if (symbol === "") return "∅";
  return symbol.replace(/[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/gu, (one) => {
    if (one === "\n") return "↵";
    if (one === "\t") return "⇥   ";
    const code = one.codePointAt(0).toString(16);
    return code.length > 2 ? `\\u${code.padStart(4, "0")}` : `\\x${code.padStart(2, "0")}`;
  });
}

const visible = (text) => Array.from(text, glyphs).join("");

// A symbol that stands alone, where a space must be seen.
const alone = (symbol) => (symbol === "" ? "∅ (no character)" : glyphs(symbol).replaceAll(" ", "␣"));

const decimals = (value, digits = 2) => value.toFixed(digits).replace("-", "−");
const signed = (value) => (value > 0 ? "+" : "") + decimals(value);
const whole = (value) => value.toLocaleString("en");
const percent = (share) => `${(100 * share).toFixed(share > 0 && share < 0.0995 ? 1 : 0)} %`;
const chance = (share) => (share < 0.01 ? `1 in ${whole(Math.round(1 / share))}` : percent(share));
const plural = (count, one) => `${whole(count)} ${one}${count === 1 ? "" : "s"}`;

function quantile(values, share) {
  const sorted = Float64Array.from(values).sort();
  return sorted[Math.round(share * (sorted.length - 1))];
}

// A background for a share of −1 (cool) to 1 (warm).
function tint(share) {
  if (!(Math.abs(share) > 0.02)) return "";
  const strength = Math.round(75 * Math.min(1, Math.abs(share)));
  return `color-mix(in oklab, var(${share > 0 ? "--warm" : "--cool"}) ${strength}%, transparent)`;
}

function tinted(tag, share, attributes, ...children) {
  const node = el(tag, attributes, ...children);
  node.style.backgroundColor = tint(share);
  return node;
}

// One column of numbers, a letter each (page.py packs them).
function column({ letters, levels, scales }, number, length) {
  const zero = (levels.length - 1) / 2;
  const values = new Map(Array.from(levels, (letter, level) => [letter, (level - zero) * scales[number]]));
  return Float32Array.from({ length }, (_, at) => values.get(letters[number * length + at]));
}

function table(caption, heads, rows) {
  const head = el("tr", {}, heads.map((name) => el("th", { scope: "col" }, name)));
  const body = rows.map((row) => el("tr", {}, row.map((cell, at) => el(at ? "td" : "th", at ? {} : { scope: "row" }, cell))));
  return el("div", { class: "scroll" }, el("table", {}, el("caption", {}, caption), el("thead", {}, head), el("tbody", {}, body)));
}

// A table that stands behind a picture: made when it is opened.
function behind(summary, build) {
  const details = el("details", {}, el("summary", {}, summary));
  details.addEventListener("toggle", () => details.childElementCount === 1 && details.append(build()));
  return details;
}

// A button that leads to a unit along the text.
function unitButton(unit, about = "") {
  return el("button", { type: "button", class: "unit", "aria-label": `Show unit ${unit}${about}`, onclick: () => showUnit(unit) }, unit);
}

function legend(...ends) {
  const [low, middle, high] = ends.length === 2 ? [ends[0], null, ends[1]] : ends;
  return el("p", { class: `legend ${middle ? "two-sided" : ""}` }, el("span", {}, low), el("span", { class: "bar" }), middle && el("span", {}, middle), middle && el("span", { class: "bar" }), el("span", {}, high));
}
