// What the page shows: the state, the colours of gradients, the scenes, and how room is squeezed out.

const state = {
  scene: data.scene,
  steps: data.steps,
  keep: data.keep, // of a long loop the first or the last steps
  place: data.end ? total : 0, // 0: before the first record
  closed: {}, // scene -> Set of boxes
};
let shown = null; // what is drawn: see render()
let untouched = "readable"; // how the picture was fitted; "" once the reader has moved it

// Gradients on a log scale -------------------------------------------------------------------------

const GRADES = 5;

function scaleOf(norms) {
  const good = norms.filter((m) => typeof m === "number" && m > 0);
  if (!good.length) return null;
  const low = good.reduce((a, b) => Math.min(a, b));
  const high = good.reduce((a, b) => Math.max(a, b));
  const count = high < 1.01 * low ? 1 : GRADES;
  return Array.from({ length: count }, (_, n) => low * (high / low) ** (n / GRADES));
}

let scale = scaleOf(tensors.map((x) => x.m));

function grade(norm, bounds = scale) {
  if (!bounds || !norm) return -1; // none, or 0 throughout
  if (typeof norm !== "number") return bounds.length - 1;
  return Math.max(bounds.filter((bound) => norm >= bound).length - 1, 0);
}
// Scenes --------------------------------------------------------------------------------------

// What is read off a scene once: boxes that open and close, and which node shows which record.
for (const [name, scene] of Object.entries(scenes)) {
  scene.nodesOf = new Map(); // record -> nodes
  scene.recordsIn = scene.boxes.map(() => new Set());
  scene.nodes.forEach((node, n) => {
    for (const row of node.r ?? []) {
      if (!scene.nodesOf.has(row)) scene.nodesOf.set(row, []);
      scene.nodesOf.get(row).push(n);
      for (let b = node.i ?? -1; b >= 0; b = scene.boxes[b].p) scene.recordsIn[b].add(row);
    }
  });
  // The wires of each node: the node at the other end, and the records that use what runs there.
  scene.wiresOf = scene.nodes.map(() => []);
  for (const [tail, head, , , tensor] of scene.edges) {
    const using = (scene.nodes[head].r ?? []).filter((row) => records[row].a.includes(tensor));
    scene.wiresOf[tail].push([head, using]);
    scene.wiresOf[head].push([tail, []]);
  }
  scene.opens = scene.boxes.map((box) => box.k === "gate" || Boolean(box.cell));
  state.closed[name] = new Set();
}

// The boxes of the cells whose [loop, step] a test takes.
const cellsOf = (scene, test = () => true) => scene.boxes.flatMap((box, b) => (box.cell && test(box.cell) ? [b] : []));

// The finest scene, with these cells open and all others closed.
function openOnly(test) {
  state.scene = "op";
  state.closed.op = new Set(cellsOf(scenes.op, (cell) => !test(cell)));
}

// The boxes around a node, the innermost first.
function around(scene, node) {
  const out = [];
  for (let b = node.i ?? -1; b >= 0; b = scene.boxes[b].p) out.push(b);
  return out;
}

// The columns of time steps, block by block.
function columnsOf(scene) {
  const blocks = new Map();
  scene.boxes.forEach((box, b) => {
    if (box.k === "column" && box.t) {
      if (!blocks.has(box.block)) blocks.set(box.block, []);
      blocks.get(box.block).push(b);
    }
  });
  return [...blocks.values()];
}

// The columns that are not shown: for each block of columns one range.
function elided(scene) {
  const out = [];
  for (const columns of columnsOf(scene)) {
    columns.sort((a, b) => scene.boxes[a].t - scene.boxes[b].t);
    const hidden = columns.length > state.steps ? leftOut(columns) : [];
    if (!hidden.length) continue;
    const frames = hidden.map((b) => scene.boxes[b].b);
    const next = columns.find((b) => scene.boxes[b].t > scene.boxes[hidden.at(-1)].t);
    const last = scene.boxes[next ?? hidden.at(-1)];
    let [from, to] = [scene.boxes[hidden[0]].t, scene.boxes[hidden.at(-1)].t];
    const range = [frames[0][0], frames[0][1], frames.at(-1)[2], frames[0][3]];
    for (const node of scene.nodes) { // the steps that the page does not hold stand here too
      if (node.k === "dots" && node.b[0] > range[0] && node.b[0] < last.b[0]) {
        range[2] = Math.max(range[2], node.b[0] + node.b[2]);
        to = next === undefined ? to : last.t - 1;
      }
    }
    out.push({ kind: "dots", range, columns: new Set(hidden), title: from === to ? `t=${from}` : `t=${from} to ${to}` });
  }
  return out;
}

// Of a long loop the first and the last step are shown, and those beside the one or the other.
function leftOut(columns) {
  const last = state.keep === "last";
  if (state.steps === 1) return last ? columns.slice(0, -1) : columns.slice(1);
  return last ? columns.slice(1, 1 - state.steps) : columns.slice(state.steps - 1, -1);
}

// The closed boxes that are seen: those in no other closed box, and not left out.
function closedCovers(scene, gaps) {
  const closed = state.closed[state.scene];
  const out = [];
  for (const b of closed) {
    let visible = true;
    for (let a = b; a >= 0 && visible; a = scene.boxes[a].p) {
      visible = !(a !== b && closed.has(a)) && !gaps.some((gap) => gap.columns.has(a));
    }
    if (!visible) continue;
    const box = scene.boxes[b];
    const kind = box.cell ? "cell" : "gate";
    out.push({ kind, box: b, range: box.b, title: box.cell ? box.title : box.n, hue: box.c });
  }
  return out;
}
// Squeezing: room that only covered things need --------------------------------------------

function merged(ranges) {
  const out = [];
  for (const [a, b] of [...ranges].sort((p, q) => p[0] - q[0])) {
    if (out.length && a <= out.at(-1)[1]) out.at(-1)[1] = Math.max(out.at(-1)[1], b);
    else out.push([a, b]);
  }
  return out;
}

// A map of one axis, in order: what is only in covers shrinks until each cover is as long as
// it must be; all else keeps its length.
function squeezed(covers, rigid) {
  const free = [];
  const held = merged(rigid);
  for (const [a, b] of merged(covers.map(([low, high]) => [low, high]))) {
    let from = a;
    for (const [low, high] of held) {
      if (high <= from || low >= b) continue;
      if (low > from) free.push({ a: from, b: low, factor: 0.02 });
      from = Math.max(from, high);
    }
    if (from < b) free.push({ a: from, b, factor: 0.02 });
  }
  for (const [a, b, least] of covers) {
    const mine = free.filter((f) => f.a < b && f.b > a);
    const length = mine.reduce((sum, f) => sum + Math.min(f.b, b) - Math.max(f.a, a), 0);
    const needed = Math.min((least - (b - a - length)) / length, 1);
    if (length > 0) for (const f of mine) f.factor = Math.max(f.factor, needed);
  }
  free.sort((p, q) => p.a - q.a);
  return (x) => {
    let lost = 0;
    for (const f of free) {
      if (x <= f.a) break;
      lost += (Math.min(x, f.b) - f.a) * (1 - f.factor);
    }
    return x - lost;
  };
}
