// Touch: a number, a word or a target is changed, and both passes are computed again at once.

const original = live ? live.arrays.map((x) => x && Float64Array.from(x.d)) : [];

// What may be changed: leaves that are no numbers of the code, and the ids that records hold.
function changeable() {
  if (!live) return [];
  const leaves = tensors.flatMap((x, n) => (x.x && x.k !== "number" && (floating[n] || x.k === "input") && x.d.startsWith("float")
    ? [{ kind: x.k === "parameter" ? "weights" : isState(n) ? "states" : "inputs", x: n, name: called(n), array: live.arrays[n] }] : []));
  const held = live.records.flatMap(({ op, a, params }, row) => {
    const kind = { embedding: "words", cross_entropy: "targets", binary_cross_entropy: "targets" }[op];
    if (!kind) return [];
    const array = params.ids ?? params.targets;
    const choices = op === "embedding" ? live.arrays[a[0]].s[0] : op === "cross_entropy" ? live.arrays[a[0]].s.at(-1) : 0;
    const t = records[row].t ? `, t=${records[row].t}` : "";
    return [{ kind, row, name: `${kind === "words" ? "word ids" : "targets"}${t}`, array, choices }];
  });
  return [...held, ...leaves];
}

// States that a loop begins with are called h_0.
const isState = (n) => /_0$/.test(tensors[n].n);
const items = changeable();
const originalIds = items.map((item) => Float64Array.from(item.array.d));

// The words of a position, if the page knows what an id is called.
const vocabulary = new Map();
for (const item of items) {
  const rows = data.words[item.kind] ?? [];
  const said = rows.flat();
  if (item.choices && said.length === item.array.d.length) item.array.d.forEach((id, k) => vocabulary.set(id, said[k]));
}

let edited = null; // the item whose numbers are open

// After a change: everything that shows a number shows the new one.
function refresh() {
  compute();
  scale = scaleOf(tensors.map((x) => x.m));
  for (const scene of Object.values(scenes)) if (scene.parts) scene.flows = scene.edges.map((edge) => flowOf(scene, edge));
  shown.marks = null;
  for (const { element: line, tensor } of shown.norms) {
    const last = line.querySelector("tspan:last-of-type") ?? line;
    const text = [...last.childNodes].findLast((child) => child.nodeType === Node.TEXT_NODE) ?? last;
    text.textContent = text.textContent.replace(/[\d.]+(e[−+-]?\d+)?\s*$/, number(rounded(tensors[tensor].m)));
  }
  document.body.classList.toggle("changed", isChanged());
  light();
  tellScale();
  chart();
  tellLoss();
  if (pointed) show(pointed);
}

const isChanged = () => items.some((item, k) => item.array.d.some((v, n) => v !== originalIds[k][n]));

function change(item, k, value) {
  if (!Number.isFinite(value)) return;
  item.array.d[k] = value;
  refresh();
}

function reset() {
  items.forEach((item, k) => item.array.d.set(originalIds[k]));
  refresh();
  openEditor(edited);
}

function tellLoss() {
  const losses = data.seeds.length ? data.seeds.map(([x]) => x) : [records.at(-1).r];
  const texts = losses.filter((x) => tensors[x].s.length === 0).map((x) => `${called(x)} = ${number(tensors[x].v[0])}`);
  $("loss").replaceChildren(...texts.map((text) => element("span", {}, mathematics(text))));
}

// A number that is dragged, turned by arrow keys, or typed after Enter.
function spin(item, k, cell) {
  const show_ = () => {
    cell.textContent = number(rounded(item.array.d[k]));
    cell.setAttribute("aria-valuenow", item.array.d[k]);
  };
  const set = (value) => { change(item, k, value); show_(); };
  show_();
  Object.entries({ role: "spinbutton", tabindex: "0", class: "spin", title: "Drag, or Enter to type" }).forEach(([name, v]) => cell.setAttribute(name, v));
  cell.setAttribute("aria-label", `${item.name}, number ${k + 1}`);
  cell.addEventListener("pointerdown", (event) => {
    if (cell.firstElementChild) return;
    const [from, value] = [event.clientX, item.array.d[k]];
    const unit_ = Math.max(Math.abs(value), 0.2) / 80;
    const move = (moved) => set(Number((value + unit_ * (moved.clientX - from)).toPrecision(3)));
    cell.setPointerCapture(event.pointerId);
    cell.addEventListener("pointermove", move);
    cell.addEventListener("pointerup", () => cell.removeEventListener("pointermove", move), { once: true });
  });
  cell.addEventListener("keydown", (event) => {
    const by = { ArrowUp: 0.1, ArrowDown: -0.1, PageUp: 1, PageDown: -1 }[event.key];
    if (by) set(Number((item.array.d[k] + by).toPrecision(12)));
    else if (event.key === "Enter" && !cell.firstElementChild) type();
    else return;
    event.preventDefault();
    event.stopPropagation();
  });
  cell.addEventListener("dblclick", () => type());
  const type = () => {
    const input = element("input", { type: "text", inputmode: "decimal", value: String(item.array.d[k]), "aria-label": cell.getAttribute("aria-label") });
    const done = (keep) => {
      const value = Number(input.value.replaceAll("−", "-").replace(",", "."));
      if (!input.isConnected) return;
      if (keep && input.value.trim() && Number.isFinite(value)) change(item, k, value);
      show_();
      cell.focus();
    };
    input.addEventListener("keydown", (event) => {
      event.stopPropagation();
      if (event.key === "Enter" || event.key === "Escape") done(event.key === "Enter");
    });
    input.addEventListener("blur", () => done(true));
    cell.replaceChildren(input);
    input.select();
  };
  return cell;
}

const MOST_CHOICES = 400;

// A word or a class, picked from a list.
function pick(item, k) {
  const select = element("select", { "aria-label": `${item.name}, position ${k + 1}` });
  for (let id = 0; id < item.choices; id += 1) {
    const word = vocabulary.get(id);
    select.append(element("option", { value: id }, word === undefined ? `${id}` : `${id} ${word}`));
  }
  select.value = item.array.d[k];
  select.addEventListener("change", () => change(item, k, Number(select.value)));
  return element("td", {}, select);
}

function openEditor(item) {
  edited = item;
  for (const chip of document.querySelectorAll("#change .chip")) chip.setAttribute("aria-pressed", String(Boolean(item) && chip.dataset.item === String(items.indexOf(item))));
  const place = $("editor");
  if (!item) return place.replaceChildren();
  const { array: x, choices } = item;
  if (x.d.length > 4096) return place.replaceChildren(note(`${item.name} has ${x.d.length.toLocaleString("en")} numbers: too many to be changed one by one.`));
  const cells = choices && choices <= MOST_CHOICES
    ? (v, k) => pick(item, k)
    : (v, k) => spin(item, k, element("td", {}, number(rounded(v))));
  place.replaceChildren(
    element("h3", {}, mathematics(item.name), " ", element("span", { class: "shape" }, shapeText(x.s))),
    table(Array.from(x.d), x.s, cells),
  );
  return undefined;
}

// Of a value that something may be changed of: a button that opens its numbers.
function editor(x) {
  let leaf = x;
  const made = makers.get(x);
  if (made !== undefined && records[made].o.startsWith("getitem")) [leaf] = records[made].a;
  let item = items.find((one) => one.x === leaf);
  const source = makers.get(leaf);
  if (source !== undefined) item = items.find((one) => one.row === source) ?? item;
  if (made !== undefined) item = items.find((one) => one.row === made) ?? item;
  if (!item) return [];
  const button = element("button", { type: "button", class: "small" }, `Change ${item.name}`);
  button.addEventListener("click", () => { openEditor(item); $("change").scrollIntoView({ block: "nearest" }); });
  return [button];
}

function setUpTouch() {
  const kinds = { words: "Words", targets: "Targets", inputs: "Inputs", states: "First states", weights: "Weights" };
  const hues = new Map();
  for (const node of scenes.op?.nodes ?? []) if (node.c && node.x !== undefined) hues.set(node.x, node.c);
  const all = live ? items : tensors.flatMap((x, n) => (x.k === "parameter" ? [{ kind: "weights", x: n, name: called(n) }] : []));
  for (const [kind, title] of Object.entries(kinds)) {
    const mine = all.filter((item) => item.kind === kind);
    if (!mine.length) continue;
    const groups = new Map();
    for (const item of mine) {
      const loop = item.kind === "weights" ? records[usersOf(item.x)[0]]?.l : undefined;
      const name = loop === undefined ? "" : data.loops[loop];
      if (!groups.has(name)) groups.set(name, element("div", { class: "chips" }));
      const chip = element("button", { type: "button", class: "chip", "data-item": items.indexOf(item), "aria-pressed": "false" }, mathematics(item.name));
      chip.style.setProperty("--hue", hues.get(item.x) ?? "#7F7F7F");
      chip.addEventListener("click", () => {
        if (live) openEditor(edited === item ? null : item);
        if (item.x !== undefined) show({ tensor: item.x });
      });
      if (item.x !== undefined) chip.addEventListener("pointerenter", () => show({ tensor: item.x }));
      groups.get(name).append(chip);
    }
    $("chips").append(element("h3", {}, title));
    for (const [name, chips] of groups) {
      if (groups.size > 1) $("chips").append(note(name || "outside of time"));
      $("chips").append(chips);
    }
  }
  $("change").hidden = !all.length;
  $("change").querySelector("h2").textContent = live ? "Change" : "Parameters";
  $("reset").hidden = !live;
  $("reset").addEventListener("click", reset);
  if (live) tellLoss();
}
