// A text of any length, of which only the rows in view are drawn. It acts as a listbox of its tokens.

const ROW = 27; // pixels
const SPARE = 6; // rows drawn above and below those in view
let views = 0;

class TextView {
  // colour(at) gives a share of −1 to 1; choose(at) is called with a token that was clicked or moved to.
  constructor({ symbols, starts }, { label, colour, choose }) {
    Object.assign(this, { symbols, colour, choose, chosen: -1, rows: [0], width: 0, drawn: 0, name: `text${views++}` });
    this.begins = new Set(starts.slice(0, -1));
    this.sheet = el("div", { class: "sheet", role: "presentation" });
    this.node = el("div", { class: "text", role: "listbox", tabindex: "0", "aria-label": label }, this.sheet);
    this.node.addEventListener("scroll", () => requestAnimationFrame(() => this.inView() !== this.drawn && this.draw()));
    this.node.addEventListener("click", (event) => this.clicked(event));
    this.node.addEventListener("keydown", (event) => this.pressed(event));
    this.node.addEventListener("focus", () => this.chosen < 0 && this.node.matches(":focus-visible") && this.start());
    new ResizeObserver(() => this.resized()).observe(this.node);
  }

  resized() {
    const width = this.sheet.clientWidth;
    if (!width || width === this.width) return;
    const top = this.rows[this.firstInView()];
    this.width = width;
    this.rows = this.broken(width);
    this.sheet.style.height = `${(this.rows.length - 1) * ROW}px`;
    this.node.scrollTop = this.rowOf(top) * ROW;
    this.draw();
  }

  // The first token of each row, and one after the last: broken at line breaks, and after white space where it is full.
  broken(room) {
    const pen = document.createElement("canvas").getContext("2d");
    pen.font = getComputedStyle(this.node).font;
    const known = new Map();
    const widthOf = (symbol) => {
      if (!known.has(symbol)) known.set(symbol, pen.measureText(glyphs(symbol)).width);
      return known.get(symbol);
    };
    const rows = [0];
    let width = 0, afterSpace = 0;
    const cut = (at) => (rows.push(at), (width = 0), (afterSpace = at));
    this.symbols.forEach((symbol, at) => {
      if (this.begins.has(at) && at > rows.at(-1)) cut(at);
      const own = symbol === "\n" ? 0 : widthOf(symbol); // it may hang over the edge
      if (width + own > room && at > rows.at(-1)) {
        cut(afterSpace > rows.at(-1) ? afterSpace : at);
        for (let back = rows.at(-1); back < at; back++) width += widthOf(this.symbols[back]);
      }
      width += own;
      if (symbol.includes("\n")) cut(at + 1);
      else if (/\s$/.test(symbol)) afterSpace = at + 1;
    });
    if (rows.at(-1) < this.symbols.length) rows.push(this.symbols.length);
    return rows;
  }

  start() {
    this.move(this.rows[this.firstInView()]);
  }

  firstInView() {
    return Math.max(0, Math.min(this.rows.length - 2, Math.ceil(this.node.scrollTop / ROW)));
  }

  rowOf(at) {
    let low = 0, high = this.rows.length - 1;
    while (high - low > 1) {
      const middle = (low + high) >> 1;
      if (this.rows[middle] <= at) low = middle;
      else high = middle;
    }
    return low;
  }

  // The first row to draw; as many are drawn as fill the view, and some more.
  inView() {
    return Math.max(0, Math.floor(this.node.scrollTop / ROW) - SPARE);
  }

  draw() {
    const first = (this.drawn = this.inView());
    const last = Math.min(this.rows.length - 1, first + Math.ceil(this.node.clientHeight / ROW) + 2 * SPARE);
    const drawn = [];
    for (let row = first; row < last; row++) drawn.push(this.drawnRow(row));
    this.sheet.replaceChildren(...drawn);
    const shown = this.chosen >= this.rows[first] && this.chosen < this.rows[last];
    if (shown) this.node.setAttribute("aria-activedescendant", `${this.name}-${this.chosen}`);
    else this.node.removeAttribute("aria-activedescendant");
  }

  drawnRow(row) {
    const start = this.rows[row];
    const node = el("div", { class: this.begins.has(start) && start ? "row begins" : "row", role: "presentation" });
    node.style.top = `${row * ROW}px`;
    for (let at = start; at < this.rows[row + 1]; at++) {
      const symbol = this.symbols[at];
      const isFaint = symbol === "\n" || symbol === "";
      const attributes = { id: `${this.name}-${at}`, role: "option", "data-at": at, class: isFaint ? "faint" : null };
      const isChosen = at === this.chosen;
      node.append(tinted("span", this.colour(at), { ...attributes, "aria-selected": String(isChosen) }, glyphs(symbol)));
      if (isChosen) node.lastChild.setAttribute("aria-label", alone(symbol));
    }
    return node;
  }

  clicked(event) {
    const token = event.target.closest("[data-at]");
    if (token) this.move(Number(token.dataset.at));
  }

  pressed(event) {
    const row = this.rowOf(this.chosen), last = this.symbols.length - 1;
    const page = Math.max(1, Math.floor(this.node.clientHeight / ROW) - 1);
    const whole = event.ctrlKey || event.metaKey;
    const to = {
      ArrowRight: () => this.chosen + 1,
      ArrowLeft: () => this.chosen - 1,
      ArrowDown: () => this.beside(row + 1),
      ArrowUp: () => this.beside(row - 1),
      PageDown: () => this.beside(row + page),
      PageUp: () => this.beside(row - page),
      Home: () => (whole ? 0 : this.rows[row]),
      End: () => (whole ? last : this.rows[row + 1] - 1),
    }[event.key];
    if (!to) return;
    event.preventDefault();
    if (this.chosen < 0) this.start();
    else this.move(Math.max(0, Math.min(last, to())));
  }

  // The token in another row that is as far from its start as the chosen one from that of its own.
  beside(row) {
    const other = Math.max(0, Math.min(this.rows.length - 2, row));
    const offset = this.chosen - this.rows[this.rowOf(this.chosen)];
    return Math.min(this.rows[other] + offset, this.rows[other + 1] - 1);
  }

  move(at) {
    this.chosen = at;
    const top = this.rowOf(at) * ROW, height = this.node.clientHeight;
    if (top < this.node.scrollTop || top + ROW > this.node.scrollTop + height - ROW) {
      this.node.scrollTop = top - Math.max(0, (height - ROW) / 2 - ((height / 2) % ROW));
    }
    this.draw();
    this.choose(at);
  }
}
