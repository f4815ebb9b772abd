// The walk along the tape: forward record by record, then back, by records, gates or time steps; and
// what of the picture is lit, computed already, and reached by the gradient.

// The record at a place, and in which pass.
function at(place) {
  if (place < 1) return null;
  if (place <= records.length) return { row: place - 1, back: false };
  return { row: backward[place - records.length - 1], back: true };
}

const current = () => at(state.place);

function go(place) {
  const before = state.place;
  state.place = Math.min(Math.max(place, 0), total);
  light(before);
  const lit = shown.lit[0];
  if (lit) reveal(lit.frame);
}

// Units -----------------------------------------------------------------------------------------------

let unit = ""; // "record", "gate" or "step", if the reader has chosen one

// By which unit the walk goes: from a picture of cells a step is a time step.
const unitNow = () => unit || { cell: "step", folded: "step", gate: "gate" }[state.scene] || "record";

// What a place belongs to in a unit; nothing for a place by itself.
function groupOf(place, by) {
  const now = at(place);
  if (!now || by === "record") return `${place}`;
  const { l, t, p } = records[now.row];
  return [l, t, now.back, by === "gate" ? p : ""].join(" ");
}

// The place where the next unit ends, or the one before.
function stepFrom(place, sign, by) {
  let to = place;
  if (sign > 0) {
    to += 1;
    while (to < total && groupOf(to + 1, by) === groupOf(to, by)) to += 1;
  } else {
    while (to > 1 && groupOf(to - 1, by) === groupOf(place, by)) to -= 1;
    to -= 1;
  }
  return Math.min(Math.max(to, 0), total);
}

// The places of the unit that ends at a place.
function placesOf(place, by) {
  const out = [];
  for (let p = place; p > 0 && groupOf(p, by) === groupOf(place, by); p -= 1) out.unshift(p);
  return out;
}

const next = () => go(stepFrom(state.place, 1, unitNow()));
const previous = () => go(stepFrom(state.place, -1, unitNow()));

let timer = 0;

const PAUSES = { record: 350, gate: 900, step: 1400 }; // milliseconds at the usual speed

function play() {
  if (timer) { clearTimeout(timer); timer = 0; } else {
    if (state.place >= total) go(0);
    const on = () => {
      next();
      timer = state.place < total ? setTimeout(on, pause()) : 0;
      tellPlay();
    };
    timer = setTimeout(on, pause());
  }
  tellPlay();
}

const pause = () => PAUSES[unitNow()] / Number($("speed").value);

function tellPlay() {
  $("play").setAttribute("aria-pressed", String(timer !== 0));
  $("play").setAttribute("aria-label", timer ? "Stop" : "Play");
  $("play").textContent = timer ? "❚❚" : "▶";
}

// Light -----------------------------------------------------------------------------------------------

const marked = new WeakMap();
const rowsOf = (n) => shown.scene.nodes[n].r ?? [];

// Which things and wires a record changes: read off once for each drawing of the picture.
function indexLight() {
  const { scene, things, wires, proxy, covers } = shown;
  const inCover = new Map(covers.map((c) => [c, []]));
  proxy.forEach((cover, n) => cover && inCover.get(cover).push(...rowsOf(n)));
  const byRow = records.map(() => []);
  const byTensor = new Map(); // a gradient that arrives -> what it colours
  const colours = (x, one) => {
    if (!byTensor.has(x)) byTensor.set(x, []);
    byTensor.get(x).push(one);
  };
  shown.marks = [];
  for (const what of things) {
    const node = what.node !== undefined ? scene.nodes[what.node] : null;
    const rows = what.cover ? inCover.get(what.cover) : node ? rowsOf(what.node) : [];
    const one = { what, element: what.element, rows, set: new Set(rows), first: Math.min(...rows) };
    one.tensors = rows.map((row) => records[row].r).filter((x) => tensors[x].m !== undefined);
    if (node && !rows.length && !what.open) { // an input, a parameter, a state
      one.tensors = tensors[node.x]?.m !== undefined ? [node.x] : [];
      const ends = scene.wiresOf[what.node].flatMap(([other]) => rowsOf(other));
      one.first = node.k === "end" && ends.length ? Math.min(...ends) : -1;
      if (node.k === "end") for (const row of ends) byRow[row].push(one);
    }
    for (const row of rows) byRow[row].push(one);
    for (const x of one.tensors) colours(x, one);
    shown.marks.push(one);
  }
  for (const wire of wires) {
    const rows = proxy[wire.head] ? inCover.get(proxy[wire.head]) : rowsOf(wire.head);
    const using = rows.filter((row) => records[row].a.includes(wire.tensor));
    const own = scene.nodes[wire.head].k === "end" ? rowsOf(wire.tail) : rows;
    const flow = wire.bundle.map((e) => scene.flows[e]).reduce((a, b) => (b !== null && !(a >= b) ? b : a), null);
    const one = { wire, element: wire.element, rows: own, using, set: new Set(using), first: Math.min(...own), flow };
    one.last = Math.max(...using);
    for (const row of new Set([...own, ...using])) byRow[row].push(one);
    shown.marks.push(one);
  }
  shown.byRow = byRow;
  shown.byTensor = byTensor;
}

// Mark what is computed, what the gradient has reached, and the record itself. Of thousands of things a
// step changes a few: those of the records between the place before and this one.
function light(before = null) {
  if (!shown.marks) indexLight();
  const now = current();
  const here = new Set(now ? placesOf(state.place, unitNow()).map((p) => at(p).row) : []);
  const reachedTo = now?.back ? now.row : records.length; // the way back has left these behind
  const changed = new Set();
  if (before === null || Math.abs(before - state.place) > 400) for (const one of shown.marks) changed.add(one);
  else {
    for (const one of shown.litNow) changed.add(one);
    for (let p = Math.min(before, state.place); p <= Math.max(before, state.place); p += 1) {
      const visited = at(p);
      if (!visited) continue;
      const { a, r } = records[visited.row];
      for (const one of shown.byRow[visited.row]) changed.add(one);
      if (p > records.length) for (const x of [...a, r]) for (const one of shown.byTensor.get(x) ?? []) changed.add(one);
    }
    for (const row of here) for (const one of shown.byRow[row]) changed.add(one);
    if (!now || !at(before)) for (const one of shown.marks) changed.add(one);
  }
  for (const one of changed) {
    const lit = [...here].some((row) => one.set.has(row));
    const later = Boolean(now) && !now.back && one.first > now.row && one.first !== Infinity && !lit;
    mark(one.element, { lit, later, level: levelOf(one, now, reachedTo) });
  }
  shown.litNow = shown.marks.filter((one) => marked.get(one.element)?.startsWith("true"));
  shown.lit = shown.litNow.filter((one) => one.what).map((one) => one.what);
  // Before the backward pass has come to it there is no gradient to be told.
  for (const { element: text, tensor } of shown.norms) {
    const last = arrivalsOf(tensor).at(-1);
    const maker = makers.get(tensor) ?? -1;
    const row = !last ? -1 : last.row === records.length ? maker : last.row;
    text.classList.toggle("untold", !(now?.back && row >= now.row && (last || maker >= now.row)));
  }
  tell(now);
}

// The colour of what has arrived: the largest gradient of a thing so far, or what flows along a wire.
function levelOf(one, now, row) {
  if (!now?.back) return -1;
  if (one.wire) return one.using.length && one.last >= row ? grade(one.flow) : -1;
  let most = -1;
  for (const x of one.tensors) {
    const found = arrived(x, row);
    if (found) most = Math.max(most, grade(found.norm));
  }
  return most;
}

function mark(target, { lit, later, level }) {
  const key = `${lit} ${later} ${level}`;
  if (marked.get(target) === key) return;
  marked.set(target, key);
  target.classList.toggle("lit", lit);
  target.classList.toggle("later", later);
  target.classList.toggle("reached", level >= 0);
  if (level >= 0) {
    target.style.setProperty("--grade", `var(--g${level})`);
    target.style.setProperty("--width", String(1.4 + 0.9 * level));
  }
}
