// Where the numbers of the page come from: from the tape that it computes itself, after each change
// anew, or from the file.

const WHOLE = 64; // arrays of so many numbers are shown number by number
const live = data.live ? liveTape() : null;
const floating = tensors.map((x) => Boolean(x.f));
let pass = null; // of the live tape: { gradients, given }

function liveTape() {
  const arrays = tensors.map((x) => (x.x ? decoded(x.x) : undefined));
  const steps = records.map(({ o, a, r, m }) => ({ op: o.split(" ")[0], a, r, params: decoded(m) }));
  return new LiveTape(arrays, steps, data.seeds.map(([x, g]) => [x, decoded(g)]), tensors.map((x) => Boolean(x.f)));
}

function normOf({ d }) {
  const most = d.reduce((m, v) => Math.max(m, Math.abs(v)), 0);
  return most > 0 && Number.isFinite(most) ? most * Math.sqrt(d.reduce((sum, v) => sum + (v / most) ** 2, 0)) : most;
}

// A small array as its numbers, a large one as what sums it up.
function shownNumbers(x) {
  if (x.d.length <= WHOLE) return Array.from(x.d, rounded);
  const n = x.d.length;
  const mean = x.d.reduce((a, b) => a + b, 0) / n;
  const std = Math.sqrt(x.d.reduce((sum, v) => sum + (v - mean) ** 2, 0) / n);
  const [low, high] = x.d.reduce(([a, b], v) => [Math.min(a, v), Math.max(b, v)], [Infinity, -Infinity]);
  const sums = { mean, std, min: low, max: high, norm: normOf(x) };
  return Object.fromEntries(Object.entries(sums).map(([name, v]) => [name, rounded(v)]));
}

// Compute the tape, forward and back.
function compute() {
  live.forward();
  pass = data.seeds.length ? live.backward() : { gradients: new Map(), given: [] };
  arrivals.clear();
  shownAs.clear();
}

// Numbers as they are shown, made when they are asked for.
const shownAs = new Map(); // array -> its numbers in few digits

function shownOnce(x) {
  if (x && !shownAs.has(x)) shownAs.set(x, shownNumbers(x));
  return shownAs.get(x);
}

// Where a file would hold numbers: values v, gradients g with their norms m, contributions c.
function fillIn() {
  const define = (x, name, get) => Object.defineProperty(x, name, { get, enumerable: true });
  tensors.forEach((x, n) => {
    define(x, "v", () => shownOnce(live.arrays[n]));
    define(x, "g", () => shownOnce(pass.gradients.get(n)));
    define(x, "m", () => { const g = pass.gradients.get(n); return g && rounded(normOnce(g)); });
  });
  records.forEach((record, row) => define(record, "c", () => {
    if (!flows(row)) return undefined;
    return Object.fromEntries([...pass.given[row]].map(([x, g]) => [x, shownOnce(g)]));
  }));
}

const norms = new WeakMap();

function normOnce(x) {
  if (!norms.has(x)) norms.set(x, normOf(x));
  return norms.get(x);
}

// Whether a record carries anything back, and whether to a certain operand.
const flows = (row) => Boolean(pass.given[row]?.size) && pass.gradients.get(records[row].r).d.some((v) => v !== 0);
const gives = (row, x) => (live ? Boolean(pass.given[row]?.has(x)) && flows(row) : records[row].c?.[x] !== undefined);

// What has arrived of a gradient: after which records of the way back, and the sum so far.
const arrivals = new Map();
const makers = new Map(records.map((record, row) => [record.r, row]));
const users = new Map();
records.forEach((record, row) => record.a.forEach((x) => {
  if (!users.has(x)) users.set(x, []);
  if (users.get(x).at(-1) !== row) users.get(x).push(row);
}));
const usersOf = (x) => users.get(x) ?? [];

function arrivalsOf(x) {
  if (arrivals.has(x)) return arrivals.get(x);
  const out = [];
  const seed = live ? live.seeds.find(([y]) => y === x) : null;
  let sum = seed?.[1];
  if (seed) out.push({ row: records.length, sum, norm: tensors[x].m });
  for (const row of usersOf(x).toReversed()) {
    if (!gives(row, x)) continue;
    if (live) {
      const part = pass.given[row].get(x);
      sum = sum ? plus(sum, part) : part;
    }
    out.push({ row, sum, norm: sum ? rounded(normOf(sum)) : tensors[x].m });
  }
  // A seed that the file does not tell of, of an output.
  if (!out.length && tensors[x].m !== undefined) out.push({ row: records.length, sum: null, norm: tensors[x].m });
  arrivals.set(x, out);
  return out;
}

// The last arrival before the way back has left a record behind: rows come from the last to the first.
function arrived(x, row) {
  let found = null;
  for (const one of arrivalsOf(x)) {
    if (one.row < row) break;
    found = one;
  }
  return found;
}

if (live) {
  fillIn();
  compute();
}

// The passes: forward is every record, backward those whose result has a gradient.
const backward = records.map((_, row) => row).reverse().filter((row) => tensors[records[row].r].m !== undefined);
const placeBack = new Map(backward.map((row, n) => [row, n]));
const total = records.length + backward.length;

// Each step's share in a parameter's gradient: [loop, step, norm], of the first steps first.
function sharesOf(x) {
  if (!live) return data.shares[x] ?? [];
  const sums = new Map();
  for (const row of usersOf(x)) {
    const part = pass.given[row]?.get(x);
    if (!part) continue;
    const { l = -1, t = 0 } = records[row];
    const key = `${l} ${t}`;
    const so = sums.get(key);
    sums.set(key, { l, t, sum: so ? plus(so.sum, part) : part });
  }
  return [...sums.values()].map(({ l, t, sum }) => [l, t, rounded(normOf(sum))]);
}

// How much of the gradient of a step's state reaches each input: [[x, norm], ...].
function reachedFrom(loop, t) {
  const found = data.reach[loop]?.[t];
  if (!found?.length) return null;
  const [state, ...inputs] = found;
  if (!live) return { t, state, inputs };
  const row = makers.get(state);
  const { gradients } = live.backward([[state, pass.gradients.get(state)]], row);
  const norms = inputs.flatMap((x) => (gradients.has(x) ? [[x, rounded(normOf(gradients.get(x)))]] : []));
  return { t, state, inputs: norms.filter(([, m]) => m !== 0) };
}

// How much of a gradient comes back along a wire, which a row of a scene's edges describes.
function flowOf(scene, [tail, head, , slot, tensor, told]) {
  if (!live) return told;
  const whole = tensors[tensor]?.m;
  if (whole === undefined) return null;
  const made = new Set((scene.nodes[tail].r ?? []).map((row) => records[row].r));
  const inside = new Set((scene.nodes[head].r ?? []).map((row) => records[row].r));
  const sums = new Map();
  let used = false;
  for (const row of scene.nodes[head].r ?? []) {
    for (const x of new Set(records[row].a)) {
      if ((x !== tensor && !made.has(x)) || inside.has(x)) continue;
      used = true;
      const part = flows(row) ? pass.given[row].get(x) : null;
      if (part) sums.set(x, sums.has(x) ? plus(sums.get(x), part) : part);
    }
  }
  if (!used) return whole;
  const flow = Math.hypot(...[...sums.values()].map(normOf));
  return flow === 0 ? null : slot >= 0 ? whole : rounded(flow);
}
