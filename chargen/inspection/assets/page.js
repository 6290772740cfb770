// The head of the page and its tabs; a tab is drawn when it is first shown.

const tabs = [];

async function opened() {
  const bytes = atob(document.getElementById("findings").textContent), packed = new Uint8Array(bytes.length);
  for (let at = 0; at < bytes.length; at++) packed[at] = bytes.charCodeAt(at);
  return new Response(new Blob([packed]).stream().pipeThrough(new DecompressionStream("gzip"))).json();
}

function drawHead({ model, kind, units, text, reading, notes }) {
  document.title = `${visible(model)}: inside`;
  document.getElementById("model").textContent = visible(model);
  const facts = [`${kind.replaceAll("-", " ")} of ${plural(units.layers, "layer")} of ${whole(units.per_layer)} units`];
  facts.push(`${whole(text.characters)} characters of text (${visible(text.source)})`);
  if (reading) facts.push(`${decimals(reading.bits.reduce((sum, bits) => sum + bits, 0) / text.characters, 3)} bits per character`);
  document.getElementById("about").textContent = facts.join(" · ");
  document.getElementById("notes").replaceChildren(...notes.map((note) => el("li", {}, visible(note))));
}

function addTab(tab) {
  const name = tab.name.toLowerCase();
  const attributes = { type: "button", role: "tab", id: `tab-${name}`, "aria-controls": `panel-${name}`, "aria-selected": "false", tabindex: "-1" };
  tab.button = el("button", { ...attributes, onclick: () => select(tab) }, tab.name);
  tab.panel = el("section", { role: "tabpanel", id: `panel-${name}`, "aria-labelledby": `tab-${name}`, hidden: true }, el("p", { class: "intro" }, tab.intro));
  document.getElementById("tabs").append(tab.button);
  document.getElementById("panels").append(tab.panel);
  tabs.push(tab);
}

function select(tab) {
  for (const other of tabs) {
    other.button.setAttribute("aria-selected", String(other === tab));
    other.button.tabIndex = other === tab ? 0 : -1;
    other.panel.hidden = other !== tab;
  }
  tab.button.scrollIntoView({ block: "nearest", inline: "nearest" });
  if (!tab.isDrawn) tab.draw(tab.panel);
  tab.isDrawn = true;
}

function pressed(event) {
  const now = tabs.findIndex((tab) => tab.button === document.activeElement);
  const to = { ArrowRight: now + 1, ArrowLeft: now - 1, Home: 0, End: -1 }[event.key];
  if (to === undefined || now < 0) return;
  event.preventDefault();
  const tab = tabs.at(to % tabs.length);
  select(tab);
  tab.button.focus();
}

// Other tabs lead here: a unit along the text.
function showUnit(unit) {
  const tab = tabs.find(({ name }) => name === "Units");
  select(tab);
  tab.show(unit);
  tab.button.focus();
}

const findings = await opened();
drawHead(findings);
for (const make of [readingTab, unitsTab, gatesTab, gradientsTab, statesTab, decisionsTab]) {
  const tab = make(findings);
  if (tab) addTab(tab);
}
document.getElementById("tabs").addEventListener("keydown", pressed);
document.getElementById("opening").remove();
select(tabs[0]);
performance.mark("drawn");
