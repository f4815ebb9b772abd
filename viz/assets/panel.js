// The panel beside the picture: the record of the walk, what is pointed at, the tape, the chart.

// Numbers ---------------------------------------------------------------------------------------------

function table(values, shape, cellOf = (v) => element("td", {}, number(v))) {
  const columns = shape.length ? shape.at(-1) : 1;
  const most = Math.max(...values.map((v) => (typeof v === "number" ? Math.abs(v) : 0)), 0);
  const body = element("table");
  for (let k = 0; k < values.length; k += columns) {
    const row = element("tr");
    values.slice(k, k + columns).forEach((v, c) => {
      const cell = cellOf(v, k + c);
      if (typeof v === "number" && most > 0 && values.length > 1) {
        const share = Math.round((55 * Math.abs(v)) / most);
        cell.style.background = `color-mix(in srgb, var(--${v < 0 ? "below" : "above"}) ${share}%, transparent)`;
      }
      row.append(cell);
    });
    body.append(row);
  }
  return element("div", { class: "numbers" }, body);
}

function numbers(values, shape) {
  if (Array.isArray(values)) return values.length ? table(values, shape) : note("empty");
  const text = Object.entries(values).map(([name, v]) => `${name} ${[].concat(v).map(number).join(" ")}`);
  return note(text.join(" · "));
}

const shapeText = (s) => (s.length ? `(${s.join(", ")}${s.length === 1 ? "," : ""})` : "scalar");
const called = (x) => tensors[x].e ?? tensors[x].n;

function heading(name, text) {
  return element("h3", {}, name, " ", element("span", { class: "shape" }, text));
}

function tensorBlock(x, { what = "", gradient = true } = {}) {
  const { n, s, d, v, g, m, e } = tensors[x];
  const head = heading(mathematics(e ?? n), `${e ? `${n} ` : ""}${shapeText(s)} ${d}`);
  if (what) head.prepend(element("span", { class: "what" }, `${what} `));
  const out = element("div", { class: "tensor", "data-tensor": x }, head, numbers(v, s));
  if (gradient && g !== undefined) out.append(...gradientBlock(x, `norm ${number(m)}`));
  return out;
}

// A gradient's name, with a text, above its numbers: in the end, or others.
function gradientBlock(x, text, values = tensors[x].g) {
  return [heading(gradientName(x), text), numbers(values, tensors[x].s)];
}

// What the gradient of a value is called in text: δ_{f,3} or ∂L/∂h_3.
const gradientText = (x) => tensors[x].q ?? `∂L/∂${bracketed(called(x))}`;

function gradientName(x) {
  const out = document.createDocumentFragment();
  if (tensors[x].q) out.append(mathematics(tensors[x].q));
  else out.append("∂L/∂", mathematics(called(x)));
  return out;
}

const ONE_NAME = /^[\p{L}\p{N}\p{M}]+(_(\{[^}]*\}|[\p{L}\p{N}]+))?(\^\([^)]*\))?$/u;
const bracketed = (text) => (ONE_NAME.test(text) ? text : `(${text})`);

// The walk --------------------------------------------------------------------------------------------

// Where a record stands: its time step, its gate, and its layer where there are several.
function placeOfRecord({ t, p, l }) {
  const layer = l !== undefined && data.loops.length > 1 ? data.loops[l] : "";
  return [t ? `t=${t}` : "", p, layer].filter(Boolean).join(", ");
}

function recordBlock(row) {
  const record = records[row];
  const out = document.createDocumentFragment();
  const place = placeOfRecord(record);
  out.append(element("p", { class: "path" }, `${record.i}  ${record.o}${place ? ` — ${place}` : ""}`));
  out.append(equationOf(record.e));
  return out;
}

const few = (values) => Array.isArray(values) && values.length <= 4;
const listed = (values) => (values.length === 1 ? number(values[0]) : `[${values.map(number).join(" ")}]`);

// A forward record with its numbers in place of its letters, as far as these are few.
function withNumbers(record) {
  const [op] = record.o.split(" ");
  const sign = { add: " + ", subtract: " − ", multiply: " ⊙ ", divide: " / ", matmul: " " }[op];
  const all = [...record.a, record.r].map((x) => tensors[x].v);
  if (!all.every(few)) return null;
  const inputs = record.a.map((x) => listed(tensors[x].v));
  const right = sign ? inputs.join(sign) : `${op.replaceAll("_", " ")}(${inputs.join(", ")})`;
  return element("p", { class: "with-numbers" }, `${listed(tensors[record.r].v)} = ${right}`);
}

// How the gradient of an operand comes of that of the result: with letters and, for one number, with
// numbers.
function ruleBlock(record, x) {
  const [op] = record.o.split(" ");
  const out = document.createDocumentFragment();
  const places = record.a.flatMap((y, k) => (y === x ? [k] : []));
  for (const k of places) {
    const letters = (LETTERS[op] ?? [])[LETTERS[op]?.length === 1 ? 0 : k];
    if (letters === undefined) {
      out.append(note(`by a rule of ${op.replaceAll("_", " ")}'s own`));
      continue;
    }
    const named = { g: gradientText(record.r), y: bracketed(called(record.r)) };
    record.a.forEach((y, n) => { named["ab"[n] ?? ""] = bracketed(called(y)); });
    const [formula, words] = letters.split("|");
    const right = filled(formula.replace(/\((\{[ab]\})\)ᵀ/g, "$1ᵀ"), named);
    out.append(equationOf(`${gradientText(x)} ${places.length > 1 || usersOf(x).length > 1 ? "←" : "="} ${right}`, words));
    const line = firstNumber(record, x, k, op, formula);
    if (line) out.append(line);
  }
  return out;
}

// The rule in numbers, for the first number of an operand.
function firstNumber(record, x, k, op, formula) {
  const { g, v: y, s } = tensors[record.r];
  const given = record.c?.[x];
  const values = record.a.map((input) => tensors[input].v);
  if (![g, y, given, ...values].every(Array.isArray)) return null;
  const show = (text, result) => {
    const where = given.length > 1 ? " for the first number" : "";
    return element("p", { class: "with-numbers" }, `${number(result)} = ${text}`, element("span", { class: "shape" }, where));
  };
  if (EACH.has(op) && record.a.every((input) => tensors[input].s.join() === s.join())) {
    const brackets = (v) => (v < 0 ? `(${number(v)})` : number(v));
    const only = record.a.filter((input) => input === x).length === 1;
    const [a, b] = values.map((v) => brackets(v[0]));
    const text = filled(formula, { g: brackets(g[0]), y: brackets(y[0]), a, b });
    const said = text.replaceAll("⊙", "·").replaceAll("-", "−").replace(/2 (?=[\d(])/, "2 · ");
    return only ? show(said, given[0]) : null;
  }
  if (op === "matmul" && k === 0 && tensors[record.a[1]].s.length === 2 && s.length) {
    const n = s.at(-1);
    const terms = Array.from({ length: n }, (_, j) => `${number(g[j])} · ${number(values[1][j])}`);
    return n <= 6 ? show(terms.join(" + ").replaceAll("+ −", "− "), given[0]) : null;
  }
  if (op === "matmul" && k === 1 && tensors[record.a[0]].s.length === 1) {
    return show(`${number(values[0][0])} · ${number(g[0])}`, given[0]);
  }
  return null;
}

// What has come to an operand: from this record now, and with it from all before it on the way back.
function arrivedBlock(x, record, row) {
  const mine = record.c?.[x] === "all" ? tensors[x].g : record.c?.[x];
  if (mine === undefined) return [];
  const out = gradientBlock(x, "goes there from this record", mine);
  return usesBack(x).length > 1 ? [...out, sumsBlock(x, row)] : out;
}

// A gradient's running sum on the way back at a record, beside what it will be. A page that does not
// compute knows the latter alone.
function sumsBlock(x, row) {
  const left = usesBack(x).filter((user) => user < row).length;
  const sum = arrived(x, row)?.sum;
  const [sofar, end] = [left ? `so far, ${left} more to come` : "complete", "in the end"];
  const columns = [];
  if (sum) columns.push(gradientBlock(x, sofar, shownNumbers(sum)));
  if (left || !sum) columns.push(gradientBlock(x, sum || !left ? end : `${end}, ${left} more to come`));
  return element("div", { class: "beside" }, ...columns.map((parts) => element("div", {}, ...parts)));
}

// A record on its own, forward or back.
function recordPanel(panel, now) {
  const record = records[now.row];
  panel.replaceChildren(element("h2", {}, `${now.back ? "Backward" : "Forward"}: record ${record.i}`), recordBlock(now.row));
  if (!now.back) {
    const line = withNumbers(record);
    if (line) panel.append(line);
    panel.append(tensorBlock(record.r, { what: "result", gradient: false }));
    for (const x of new Set(record.a)) {
      if (tensors[x].k !== "number") panel.append(tensorBlock(x, { what: "operand", gradient: false }));
    }
    return;
  }
  const uses = arrivalsOf(record.r).length;
  const parts = uses > 1 ? `, in ${uses} parts` : "";
  const result = tensorBlock(record.r, { what: "result", gradient: false });
  result.append(...gradientBlock(record.r, `has arrived${parts}; norm ${number(tensors[record.r].m)}`));
  panel.append(result);
  for (const x of new Set(record.a)) {
    if (tensors[x].k === "number" || (live && !floating[x])) continue;
    const block = tensorBlock(x, { what: "operand", gradient: false });
    block.append(ruleBlock(record, x), ...arrivedBlock(x, record, now.row));
    panel.append(block);
  }
}

// A gate or a time step at once: what it computes or, on the way back, what has arrived in it.
function groupPanel(panel, now, rows, by) {
  const record = records[now.row];
  const place = placeOfRecord(by === "gate" ? record : { ...record, p: "" }) || "outside of time";
  panel.replaceChildren(element("h2", {}, `${now.back ? "Backward" : "Forward"}: ${place}`));
  if (!now.back) {
    panel.append(equations(rows));
    for (const row of results(rows).slice(0, 4)) panel.append(tensorBlock(records[row].r, { gradient: false }));
    return;
  }
  const mine = new Set(rows);
  const flow = [...new Set(rows.flatMap((row) => records[row].a))].filter((x) => arrived(x, now.row));
  const inTime = (x) => (records[makers.get(x)].t ? 0 : 1);
  const states = flow.filter((x) => makers.has(x) && !mine.has(makers.get(x))).sort((x, y) => inTime(x) - inTime(y));
  if (states.length) panel.append(element("h2", { class: "sub" }, "goes on to"));
  for (const x of states.slice(0, 4)) panel.append(element("div", { class: "tensor", "data-tensor": x }, sumsBlock(x, now.row)));
  const weights = flow.filter((x) => tensors[x].k === "parameter");
  if (weights.length) panel.append(element("h2", { class: "sub" }, "weights: sums over time, their norms"), sumsOf(weights, now.row, mine));
  const named = rows.filter((row) => tensors[records[row].r].e || !/^v\d+$/.test(tensors[records[row].r].n));
  if (named.length) panel.append(element("h2", { class: "sub" }, "has arrived at"));
  for (const row of named.slice(0, 8)) {
    const { r } = records[row];
    panel.append(element("div", { class: "tensor", "data-tensor": r }, ...gradientBlock(r, `norm ${number(tensors[r].m)}`)));
  }
}

const usesBack = (x) => usersOf(x).filter((user) => gives(user, x));

// For each weight the norms of what some records gave it, of the sum so far, and of the sum in the end.
function sumsOf(weights, row, mine) {
  const body = element("table", { class: "sums" });
  body.append(element("tr", {}, ...["", "from here", "so far", "in the end"].map((text) => element("th", {}, text))));
  for (const x of weights) {
    const parts = live ? usesBack(x).filter((user) => mine.has(user)).map((user) => pass.given[user].get(x)) : [];
    const here = parts.length ? rounded(normOf(parts.reduce(plus))) : "";
    const name = element("button", { type: "button", class: "small" });
    name.append(gradientName(x));
    name.addEventListener("click", () => show({ tensor: x }));
    const cells = [here, arrived(x, row)?.norm ?? "", tensors[x].m].map((v) => element("td", {}, number(v)));
    body.append(element("tr", { "data-tensor": x }, element("td", {}, name), ...cells));
  }
  return body;
}

// The equations of the pass back, as they are read off its tape: the same for every step.
function backwardEquations() {
  if (!data.bptt.length) return [];
  const out = element("details", {}, element("summary", {}, "The equations of the pass back"));
  out.append(...data.bptt.map((line) => equationOf(line)));
  return [out];
}

function tell(now) {
  const panel = $("now");
  const by = unitNow();
  document.body.classList.toggle("returning", Boolean(now?.back));
  $("walk").value = state.place;
  if (!now) {
    panel.replaceChildren(element("h2", {}, "Before the first record"));
    panel.append(note("▶| goes on by a record, a gate or a time step, ▶ plays. Click a box to open it, its title to close it; point at anything for its numbers. New here? The tour shows the rest."));
    for (const line of data.notes) panel.append(note(line));
    $("where").textContent = `${records.length} records`;
  } else {
    const rows = placesOf(state.place, by).map((p) => at(p).row);
    if (rows.length > 1) groupPanel(panel, now, rows.sort((a, b) => a - b), by);
    else recordPanel(panel, now);
    if (now.back) panel.append(...backwardEquations());
    const nth = now.back ? state.place - records.length : state.place;
    const of = now.back ? backward.length : records.length;
    $("where").textContent = `${now.back ? "backward" : "forward"} ${nth} of ${of}: ${records[now.row].o}`;
  }
  $("walk").setAttribute("aria-valuetext", $("where").textContent);
  tellTape(now);
  for (const bar of $("chart").querySelectorAll(".bar")) {
    const waits = Boolean(now?.back) && !arrived(Number(bar.dataset.tensor), now.row);
    bar.classList.toggle("waiting", waits);
  }
  $("scale").hidden = !scale || !(now?.back || data.end);
}

// The tape, and searching it --------------------------------------------------------------------------

const WINDOW = 40; // records of the list on both sides of the one that is told

function tapeButton(row) {
  const record = records[row];
  const t = record.t ? ` t=${record.t}` : "";
  const button = element("button", { type: "button", tabindex: "-1" }, `${record.i} `, element("span", { class: "t" }, `${record.o}${t} `), mathematics(called(record.r)));
  button.addEventListener("click", () => goTo(row));
  return element("li", {}, button);
}

function goTo(row) {
  const back = state.place > records.length ? placeBack.get(row) : undefined;
  go(back !== undefined ? records.length + 1 + back : row + 1);
}

// Of a long tape the list holds the records around the current one, or those that are searched for.
let listed_ = "";

function tellTape(now) {
  const list = $("tape").querySelector("ol");
  const middle = now?.row ?? 0;
  const found = searched();
  const from = Math.max(0, Math.floor(middle / WINDOW) * WINDOW - WINDOW);
  const rows = found ?? Array.from({ length: Math.min(3 * WINDOW, records.length - from) }, (_, k) => from + k);
  const key = found ? `search ${$("search").value}` : `${from}`;
  if (key !== listed_) {
    list.replaceChildren(...rows.slice(0, 3 * WINDOW).map(tapeButton));
    list.dataset.from = rows[0] ?? 0;
    listed_ = key;
    $("found").textContent = found ? `${found.length} of ${records.length}` : "";
  }
  list.querySelector("[aria-current]")?.removeAttribute("aria-current");
  const button = now ? list.children[rows.indexOf(now.row)]?.firstChild : null;
  if (button) {
    button.setAttribute("aria-current", "true");
    list.scrollTop = button.offsetTop - list.offsetTop - list.clientHeight / 2;
  }
}

// A record's words, for the search: names, op, gate, time step, equation.
const wordsOf = records.map((record) =>
  [record.o, placeOfRecord(record), data.loops[record.l] ?? "", record.e, called(record.r), ...record.a.map((x) => tensors[x].n)]
    .join(" ").toLowerCase());

// The records that have every word that is searched for; null without a search.
function searched() {
  const words = $("search").value.trim().toLowerCase().split(/\s+/).filter(Boolean);
  if (!words.length) return null;
  return records.flatMap((_, row) => (words.every((word) => wordsOf[row].split(/[\s,()]+/).some((one) => one.includes(word))) ? [row] : []));
}

// Equations and results of a group ---------------------------------------------------------------------

// The equations of the named results among some records.
function equations(rows) {
  const out = document.createDocumentFragment();
  const lines = rows.map((row) => records[row].e).filter((line) => line.includes(" = "));
  for (const line of lines.slice(0, 12)) out.append(equationOf(line));
  if (lines.length > 12) out.append(note(`… and ${lines.length - 12} more`));
  return out;
}

// What a group of records hands on.
function results(rows) {
  const mine = new Set(rows);
  return rows.filter((row) => {
    const uses = usersOf(records[row].r);
    return !uses.length || uses.some((user) => !mine.has(user));
  });
}

// What is pointed at: it stays in the panel until something else is ------------------------------------

function describe(what) {
  const { scene } = shown;
  const out = document.createDocumentFragment();
  const node = what.node !== undefined ? scene.nodes[what.node] : null;
  let rows = node?.r ?? [];
  if (what.tensor !== undefined) {
    const made = makers.get(what.tensor);
    if (made !== undefined) out.append(equationOf(records[made].e));
    out.append(tensorBlock(what.tensor), ...sourcesBlock(what.tensor));
    if (tensors[what.tensor].k === "parameter") out.append(...shareBlock(what.tensor), usesNote(what.tensor));
    out.append(...editor(what.tensor));
    return out;
  }
  if (what.cover?.kind === "dots") {
    out.append(element("h2", {}, what.name), note("Press to show one step more."));
    return out;
  }
  if (what.box !== undefined && what.layer === undefined) rows = [...scene.recordsIn[what.box]].sort((a, b) => a - b);
  const single = node && !["gate", "cell"].includes(node.k);
  if (single && rows.length) {
    const nearest = rows.find((row) => row === current()?.row) ?? rows[0];
    const { r } = records[nearest];
    out.append(recordBlock(nearest), tensorBlock(r), ...sourcesBlock(r), ...editor(r));
    return out;
  }
  if (node && node.x !== undefined && single) return describe({ tensor: node.x });
  if (what.layer !== undefined) return out;
  out.append(element("h2", {}, what.name.replace(/, (open|closed)$/, "")));
  if (rows.length) {
    out.append(equations(rows));
    for (const row of results(rows).slice(0, 3)) out.append(tensorBlock(records[row].r));
  }
  const isStep = node ? node.k === "cell" : shown.scene.boxes[what.box].k !== "gate";
  const reach = isStep ? reachOf(what) : null;
  if (reach) out.append(reachBlock(reach));
  return out;
}

const card = $("card");
let pointed = null;

function show(what) {
  unmark();
  const content = describe(what);
  const reach = reachOf(what);
  if (reach) colourInputs(reach);
  if (!content.childNodes.length) return;
  pointed = what;
  card.replaceChildren(content);
  card.hidden = false;
  what.element?.setAttribute("aria-describedby", "card");
}

// Put what was pointed at away.
function hide() {
  pointed = null;
  card.hidden = true;
  unmark();
}

function unmark() {
  for (const target of world.querySelectorAll(".arrived")) target.classList.remove("arrived", "dark");
}

// The inputs that a step's gradient reaches ------------------------------------------------------------

function reachOf(what) {
  const { scene } = shown;
  let place = null;
  if (what.box !== undefined && scene.boxes[what.box]) {
    const box = scene.boxes[what.box];
    for (let b = what.box; b >= 0 && !place; b = scene.boxes[b].p) place = scene.boxes[b].cell ?? null;
    if (!place && box.k === "column") {
      const last = scene.boxes.filter((inner) => inner.p === what.box && inner.cell).at(-1);
      const cell = scene.nodes.filter((node) => node.k === "cell" && node.i === what.box).at(-1);
      place = last?.cell ?? (cell ? [cell.loop ?? 0, cell.t] : null);
    }
  }
  const node = what.node !== undefined ? scene.nodes[what.node] : null;
  if (node?.k === "cell") place = [node.loop ?? 0, node.t];
  else if (node) place = around(scene, node).map((b) => scene.boxes[b].cell).find(Boolean) ?? null;
  if (!place || state.scene === "folded") return null;
  return reachedFrom(place[0], place[1]);
}

function reachBlock(reach) {
  const out = document.createDocumentFragment();
  out.append(element("h2", {}, "Of the gradient at ", mathematics(called(reach.state)), " arrives at"));
  const bounds = scaleOf(reach.inputs.map(([, m]) => m));
  const body = element("table");
  for (const [x, m] of reach.inputs) {
    const mark_ = element("td", {}, number(m));
    mark_.style.borderLeft = `14px solid var(--g${grade(m, bounds)})`;
    body.append(element("tr", { "data-input": x }, element("td", {}, mathematics(tensors[x].n)), mark_));
  }
  out.append(body);
  return out;
}

function colourInputs(reach) {
  const bounds = scaleOf(reach.inputs.map(([, m]) => m));
  const byTensor = new Map(reach.inputs);
  shown.scene.nodes.forEach((node, n) => {
    const x = [node.x, ...rowsOf(n).map((row) => records[row].r)].find((one) => byTensor.has(one));
    if (x === undefined) return;
    const level = grade(byTensor.get(x), bounds);
    const target = shown.proxy[n]?.thing ?? shown.ofNode.get(n);
    if (!target || target.cover?.kind === "dots") return;
    target.element.classList.add("arrived");
    target.element.classList.toggle("dark", level > 2);
    target.element.style.setProperty("--arrived", `var(--g${level})`);
  });
}

// Parameters and shares ---------------------------------------------------------------------------------

function usesNote(x) {
  const uses = usersOf(x).length;
  return note(`used ${uses} ${uses === 1 ? "time" : "times"}`);
}

const MOST_SOURCES = 12;

// Where a gradient comes from: the records that use the value, and how much each gives it.
function sourcesBlock(x) {
  const uses = usesBack(x).toReversed();
  if (uses.length < 2 || tensors[x].k === "parameter") return [];
  const body = element("table", { class: "sources" });
  for (const row of uses.slice(0, MOST_SOURCES)) {
    const { i, o } = records[row];
    const text = [`${i} ${o.split(" ")[0]}`, placeOfRecord(records[row])].filter(Boolean).join(", ");
    const button = element("button", { type: "button", class: "small" }, text);
    button.addEventListener("click", () => goBackTo(row));
    const norm = live ? number(rounded(normOnce(pass.given[row].get(x)))) : "";
    body.append(element("tr", {}, element("td", {}, button), element("td", {}, norm)));
  }
  const more = uses.length > MOST_SOURCES ? [note(`… and ${uses.length - MOST_SOURCES} more`)] : [];
  return [element("h3", {}, gradientName(x), " comes from, with the norm"), body, ...more];
}

// To a record on the way back, on its own.
function goBackTo(row) {
  if (!placeBack.has(row)) return;
  unit = "record";
  $("by").value = unit;
  go(records.length + 1 + placeBack.get(row));
}

// Each step's share in a parameter's gradient, as bars: together they are the gradient.
function shareBlock(x) {
  const shares = sharesOf(x);
  if (shares.length < 2) return [];
  const most = Math.max(...shares.map(([, , m]) => (typeof m === "number" ? m : 0)), 1e-300);
  const body = element("table", { class: "shares" });
  for (const [loop, t, m] of [...shares].sort((a, b) => a[0] - b[0] || a[1] - b[1])) {
    const bar = element("i");
    bar.style.width = `${typeof m === "number" ? Math.round((90 * m) / most) : 90}px`;
    const name = loop < 0 ? "outside" : t ? `t=${t}` : "left out";
    const use = usersOf(x).findLast((row) => (records[row].l ?? -1) === loop && (records[row].t ?? 0) === t);
    const step = element("button", { type: "button", class: "small" }, name);
    step.addEventListener("click", () => goBackTo(use));
    body.append(element("tr", {}, element("td", {}, use === undefined ? name : step), element("td", {}, bar), element("td", {}, number(m))));
  }
  return [element("h3", {}, "Norm of each step's share"), body];
}

// ‖∂L/∂h_t‖ over time -----------------------------------------------------------------------------------

// A bar for each time step of each loop, on a log scale: where the gradient vanishes, or explodes.
function chart() {
  const loops = Object.entries(data.reach).map(([loop, steps]) => [Number(loop), Object.entries(steps)]);
  const bars = loops.flatMap(([loop, steps]) => steps.map(([t, [state_]]) => [loop, Number(t), state_, tensors[state_].m]));
  const known = bars.filter(([, , , m]) => typeof m === "number" && m > 0);
  $("chart").hidden = known.length < 2;
  if (known.length < 2) return;
  const [low, high] = known.reduce(([a, b], [, , , m]) => [Math.min(a, m), Math.max(b, m)], [Infinity, 0]);
  const decades = Math.max(Math.log10(high / low), 1);
  const [wide, tall] = [300, 64];
  const step = wide / bars.length;
  const out = svg("svg", { viewBox: `0 0 ${wide} ${tall + 14}`, role: "img" });
  const told = [];
  bars.forEach(([loop, t, x, m], k) => {
    const size = m > 0 ? tall * (0.12 + 0.88 * (1 + Math.log10(m / high) / decades)) : 0;
    const bar = svg("rect", { x: k * step + 0.5, y: tall - size, width: Math.max(step - 1, 0.6), height: size, fill: `var(--g${Math.max(grade(m), 0)})` });
    const title = svg("title");
    title.textContent = `‖∂L/∂${tensors[x].n}‖ = ${number(m ?? 0)}`;
    const hit = svg("g", { class: "bar", "data-tensor": x }, svg("rect", { x: k * step, y: 0, width: step, height: tall + 14, fill: "transparent" }), bar, title);
    hit.addEventListener("click", () => show({ tensor: x }));
    if (bars.length <= 16 || t === 1 || t % 10 === 0) {
      const label = svg("text", { x: (k + 0.5) * step, y: tall + 11, "font-size": 9, "text-anchor": "middle" });
      label.textContent = t;
      hit.append(label);
    }
    told.push(`t=${t}: ${number(m ?? 0)}`);
    out.append(hit);
    return loop;
  });
  out.setAttribute("aria-label", `Norm of the gradient of the state over time: ${told.join(", ")}`);
  $("chart").replaceChildren(element("h2", {}, "‖∂L/∂h‖ over time ", element("span", { class: "shape" }, `${number(rounded(low))} to ${number(rounded(high))}, log scale`)), out);
}
