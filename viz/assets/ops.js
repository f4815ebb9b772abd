// The ops that recurrent networks use: a row each, its forward and its rules, as in the table of
// unspool.autograd. An array is { s: shape, d: Float64Array }; a rule gets the gradient g of the
// result y and the operands, and gives the gradient of one of them. Undoing broadcasting is the
// pass's matter. tests/test_ops_of_the_page.py checks every row against NumPy.

const sizeOf = (shape) => shape.reduce((a, b) => a * b, 1);
const array = (s, d) => ({ s, d });
const zeros = (s) => array(s, new Float64Array(sizeOf(s)));
const scalar = (v) => array([], Float64Array.of(v));

function strides(shape) {
  const out = new Array(shape.length);
  let step = 1;
  for (let k = shape.length - 1; k >= 0; k -= 1) {
    out[k] = step;
    step *= shape[k];
  }
  return out;
}

// Where the elements of an array of `shape` stand, seen through axes of `result`: broadcast axes
// have the stride 0.
function seenAs(shape, result) {
  const own = strides(shape);
  const extra = result.length - shape.length;
  return result.map((_, k) => (k < extra || shape[k - extra] === 1 ? 0 : own[k - extra]));
}

// Visit all places of a shape: f(n-th place, its offset by the first strides, by the second).
function visit(shape, first, second, f) {
  const total = sizeOf(shape);
  const at = new Array(shape.length).fill(0);
  let [p, q] = [0, 0];
  for (let n = 0; n < total; n += 1) {
    f(n, p, q);
    for (let k = shape.length - 1; k >= 0; k -= 1) {
      at[k] += 1;
      p += first[k];
      q += second[k];
      if (at[k] < shape[k]) break;
      p -= first[k] * shape[k];
      q -= second[k] * shape[k];
      at[k] = 0;
    }
  }
}

function broadcastShape(a, b) {
  const long = Math.max(a.length, b.length);
  return Array.from({ length: long }, (_, k) => {
    const [m, n] = [a[a.length - long + k] ?? 1, b[b.length - long + k] ?? 1];
    return m === 1 ? n : m;
  });
}

const sameShape = (a, b) => a.length === b.length && a.every((n, k) => n === b[k]);

function map(x, f) {
  const d = new Float64Array(x.d.length);
  for (let k = 0; k < d.length; k += 1) d[k] = f(x.d[k]);
  return array(x.s, d);
}

function zip(a, b, f) {
  if (sameShape(a.s, b.s)) {
    const d = new Float64Array(a.d.length);
    for (let k = 0; k < d.length; k += 1) d[k] = f(a.d[k], b.d[k]);
    return array(a.s, d);
  }
  const s = broadcastShape(a.s, b.s);
  const out = zeros(s);
  visit(s, seenAs(a.s, s), seenAs(b.s, s), (n, p, q) => { out.d[n] = f(a.d[p], b.d[q]); });
  return out;
}

const plus = (a, b) => zip(a, b, (u, v) => u + v);
const times = (a, b) => zip(a, b, (u, v) => u * v);

// The elements of x as they stand in a larger shape, and the sum back: each the other's adjoint.
function broadcastTo(x, s) {
  const out = zeros(s);
  visit(s, seenAs(x.s, s), seenAs([], s), (n, p) => { out.d[n] = x.d[p]; });
  return out;
}

function unbroadcast(g, s) {
  if (sameShape(g.s, s)) return g;
  const out = zeros(s);
  visit(g.s, seenAs(s, g.s), seenAs([], g.s), (n, p) => { out.d[p] += g.d[n]; });
  return out;
}

// Axes ---------------------------------------------------------------------------------------------

function axesOf(x, axis) {
  if (axis === null || axis === undefined) return x.s.map((_, k) => k);
  return [].concat(axis).map((a) => (a < 0 ? a + x.s.length : a));
}

const kept = (x, axes) => x.s.map((n, k) => (axes.includes(k) ? 1 : n));
const dropped = (x, axes) => x.s.filter((_, k) => !axes.includes(k));
const reshape = (x, s) => array(s, x.d);

function reduce(x, axes, f, start) {
  const s = kept(x, axes);
  const out = array(s, new Float64Array(sizeOf(s)).fill(start));
  visit(x.s, seenAs(s, x.s), seenAs([], x.s), (n, p) => { out.d[p] = f(out.d[p], x.d[n]); });
  return out;
}

const sumOver = (x, axes) => reduce(x, axes, (a, b) => a + b, 0);
const countOf = (x, axes) => Math.max(axes.reduce((n, a) => n * x.s[a], 1), 1);

// A reduction of some axes, with or without keeping them as length 1.
const reduction = (f) => (x, { axis, keepdims }) => {
  const axes = axesOf(x, axis);
  const out = f(x, axes);
  return keepdims ? out : reshape(out, dropped(x, axes));
};
const restored = (g, x, axis) => reshape(g, kept(x, axesOf(x, axis)));

function transpose(x, axes) {
  const order = axes ?? x.s.map((_, k) => x.s.length - 1 - k);
  const own = strides(x.s);
  const s = order.map((a) => x.s[a < 0 ? a + x.s.length : a]);
  const out = zeros(s);
  visit(s, order.map((a) => own[a < 0 ? a + x.s.length : a]), s.map(() => 0), (n, p) => { out.d[n] = x.d[p]; });
  return out;
}

function swapped(x, a, b) {
  const order = x.s.map((_, k) => k);
  const [i, j] = [a, b].map((k) => (k < 0 ? k + x.s.length : k));
  [order[i], order[j]] = [order[j], order[i]];
  return transpose(x, order);
}

const inverse = (order, n) => {
  const out = [];
  order.forEach((a, k) => { out[a < 0 ? a + n : a] = k; });
  return out;
};

// Products -----------------------------------------------------------------------------------------

function matmul(a, b) {
  if (a.s.length === 1) return dropAxis(matmul(reshape(a, [1, a.s[0]]), b), -2);
  if (b.s.length === 1) return dropAxis(matmul(a, reshape(b, [b.s[0], 1])), -1);
  const [n, m] = a.s.slice(-2);
  const p = b.s.at(-1);
  const batch = broadcastShape(a.s.slice(0, -2), b.s.slice(0, -2));
  const out = zeros([...batch, n, p]);
  const [left, right] = [a, b].map((x) => seenAs(x.s.slice(0, -2), batch));
  visit(batch, left, right, (k, i, j) => {
    const [u, v, w] = [i * n * m, j * m * p, k * n * p];
    for (let r = 0; r < n; r += 1) {
      for (let q = 0; q < m; q += 1) {
        const x = a.d[u + r * m + q];
        if (x !== 0) for (let c = 0; c < p; c += 1) out.d[w + r * p + c] += x * b.d[v + q * p + c];
      }
    }
  });
  return out;
}

const dropAxis = (x, axis) => reshape(x, x.s.toSpliced(axis < 0 ? axis + x.s.length : axis, 1));

function leftRule(g, y, a, b) {
  const row = a.s.length === 1;
  if (b.s.length === 1) {
    const column = reshape(g, [...g.s, 1]);
    return times(column, b);
  }
  const out = matmul(row ? reshape(g, g.s.toSpliced(g.s.length - 1, 0, 1)) : g, swapped(b, -1, -2));
  return row ? dropAxis(out, -2) : out;
}

function rightRule(g, y, a, b) {
  if (a.s.length === 1) {
    if (b.s.length === 1) return times(g, a);
    return times(reshape(a, [a.s[0], 1]), reshape(g, g.s.toSpliced(g.s.length - 1, 0, 1)));
  }
  const vector = b.s.length === 1;
  const out = matmul(swapped(a, -1, -2), vector ? reshape(g, [...g.s, 1]) : g);
  return vector ? dropAxis(out, -1) : out;
}

// Indexing -----------------------------------------------------------------------------------------

// An index (numbers, [from, to, step] for slices, null for a new axis, "..." for the rest, and
// { s, d } for one array of numbers) as the result's shape and the place of each element.
function places(x, index) {
  const parts = [...index];
  const used = parts.filter((part) => part !== null && part !== "...").length;
  const dots = parts.indexOf("...");
  const fill = new Array(x.s.length - used).fill([null, null, null]);
  parts.splice(dots < 0 ? parts.length : dots, dots < 0 ? 0 : 1, ...fill);
  const own = strides(x.s);
  let axis = 0;
  const shape = [];
  const offsets = []; // for each axis of the result: its offsets
  let base = 0;
  for (const part of parts) {
    if (part === null) {
      shape.push(1);
      offsets.push([0]);
      continue;
    }
    const [n, stride] = [x.s[axis], own[axis]];
    axis += 1;
    if (typeof part === "number") {
      base += (part < 0 ? part + n : part) * stride;
    } else if (Array.isArray(part)) {
      const step = part[2] ?? 1;
      const clip = (v, low, high) => Math.min(Math.max(v < 0 ? v + n : v, low), high);
      const from = part[0] === null ? (step > 0 ? 0 : n - 1) : clip(part[0], step > 0 ? 0 : -1, step > 0 ? n : n - 1);
      const to = part[1] === null ? (step > 0 ? n : -1) : clip(part[1], step > 0 ? 0 : -1, step > 0 ? n : n - 1);
      const found = [];
      for (let k = from; step > 0 ? k < to : k > to; k += step) found.push(k * stride);
      shape.push(found.length);
      offsets.push(found);
    } else {
      const found = Array.from(part.d, (k) => (k < 0 ? k + n : k) * stride);
      shape.push(...part.s);
      offsets.push(found);
    }
  }
  let at = [base];
  for (const found of offsets) at = at.flatMap((p) => found.map((o) => p + o));
  return { shape, at };
}

function gather(x, index) {
  const { shape, at } = places(x, index);
  return array(shape, Float64Array.from(at, (p) => x.d[p]));
}

function scatter(g, x, index) {
  const out = zeros(x.s);
  places(x, index).at.forEach((p, n) => { out.d[p] += g.d[n]; });
  return out;
}

const rowsAt = (ids) => [ids];

// Joining ------------------------------------------------------------------------------------------

function slicesAlong(axis, shapes) {
  const full = [null, null, null];
  let from = 0;
  return shapes.map((s) => {
    const a = axis < 0 ? axis + s.length : axis;
    const index = s.map((n, k) => (k === a ? [from, from + n, 1] : full));
    from += s[a];
    return index;
  });
}

function concatenate(xs, axis) {
  const a = axis < 0 ? axis + xs[0].s.length : axis;
  const s = [...xs[0].s];
  s[a] = xs.reduce((n, x) => n + x.s[a], 0);
  const out = zeros(s);
  slicesAlong(axis, xs.map((x) => x.s)).forEach((index, k) => {
    places(out, index).at.forEach((p, n) => { out.d[p] = xs[k].d[n]; });
  });
  return out;
}

function unsqueezed(x, axis) {
  const a = axis < 0 ? axis + x.s.length + 1 : axis;
  return reshape(x, x.s.toSpliced(a, 0, 1));
}

// Functions of each number, and of a row -----------------------------------------------------------

function sigmoid(v) {
  const e = Math.exp(Math.min(v, 80));
  return e / (e + 1);
}

const softplus = (v) => Math.max(v, 0) + Math.log1p(Math.exp(-Math.abs(v)));

function softmax(x, axis) {
  const axes = axesOf(x, axis);
  const top = reduce(x, axes, Math.max, -Infinity);
  const e = zip(x, top, (u, v) => Math.exp(u - (Number.isFinite(v) ? v : 0)));
  return zip(e, sumOver(e, axes), (u, v) => u / v);
}

function logSoftmax(x, axis) {
  const axes = axesOf(x, axis);
  const less = zip(x, reduce(x, axes, Math.max, -Infinity), (u, v) => u - (Number.isFinite(v) ? v : 0));
  return zip(less, map(sumOver(map(less, Math.exp), axes), Math.log), (u, v) => u - v);
}

// The largest along some axes takes the gradient; equal ones share it.
function extremeRule(g, y, x, { axis }) {
  const top = restored(y, x, axis);
  const chosen = zip(x, top, (u, v) => (u === v ? 1 : 0));
  const ties = sumOver(chosen, axesOf(x, axis));
  return times(chosen, zip(restored(g, x, axis), ties, (u, v) => u / Math.max(v, 1)));
}

const side = (g, y, a, b) => {
  const half = zip(a, b, (u, v) => (u === v ? 0.5 : 1));
  return times(g, times(half, zip(a, y, (u, v) => (u === v ? 1 : 0))));
};

// The cross-entropy: p = softmax(x), and for each position its target's number.
function crossEntropy(x, { targets, share, total }) {
  const logs = logSoftmax(x, -1);
  const width = x.s.at(-1);
  const out = array(share.s, Float64Array.from(share.d, (s, n) => (s ? -s * logs.d[n * width + targets.d[n]] : 0)));
  return total ? scalar(out.d.reduce((a, b) => a + b, 0)) : out;
}

function crossEntropyRule(g, y, x, { targets, share, total }) {
  const p = softmax(x, -1);
  const width = x.s.at(-1);
  const out = zeros(x.s);
  share.d.forEach((s, n) => {
    const scale = s * g.d[total ? 0 : n];
    for (let k = 0; k < width && s; k += 1) {
      out.d[n * width + k] = scale * (p.d[n * width + k] - (k === targets.d[n] ? 1 : 0));
    }
  });
  return out;
}

function layerNorm(x, { axis, eps }) {
  const axes = axesOf(x, axis);
  const n = countOf(x, axes);
  const centred = zip(x, sumOver(x, axes), (u, v) => u - v / n);
  const spread = map(sumOver(times(centred, centred), axes), (v) => Math.sqrt(v / n + eps));
  return { y: zip(centred, spread, (u, v) => u / v), spread, axes, n };
}

function layerNormRule(g, y, x, params) {
  const { spread, axes, n } = layerNorm(x, params);
  const mean = (v) => map(sumOver(v, axes), (u) => u / n);
  const inner = zip(g, mean(g), (u, v) => u - v);
  return zip(zip(inner, times(y, mean(times(g, y))), (u, v) => u - v), spread, (u, v) => u / v);
}

// The table ----------------------------------------------------------------------------------------

// Of one operand: forward(x, params), and rule(g, y, x, params).
const unary = (forward, rule) => ({ forward: ([x], p) => forward(x, p), rules: [(g, y, [x], p) => rule(g, y, x, p)] });
const each = (f, slope) => unary((x) => map(x, f), (g, y, x) => {
  const out = new Float64Array(g.d.length);
  for (let k = 0; k < out.length; k += 1) out[k] = g.d[k] * slope(x.d[k], y.d[k]);
  return array(g.s, out);
});
const form = (forward) => unary(forward, (g, y, x) => reshape(g, x.s));
const pair = (f, ...rules) => ({
  forward: ([a, b]) => zip(a, b, f),
  rules: rules.map((rule) => (g, y, [a, b]) => rule(g, y, a, b)),
});
// Of any number of operands: rules(g, y, xs, params) gives all their gradients.
const joining = (forward, split) => ({ forward, rules: null, split });

const OPS = {
  add: pair((a, b) => a + b, (g) => g, (g) => g),
  subtract: pair((a, b) => a - b, (g) => g, (g) => map(g, (v) => -v)),
  multiply: pair((a, b) => a * b, (g, y, a, b) => times(g, b), (g, y, a) => times(g, a)),
  divide: pair(
    (a, b) => a / b,
    (g, y, a, b) => zip(g, b, (u, v) => u / v),
    (g, y, a, b) => zip(times(g, y), b, (u, v) => -u / v),
  ),
  power: pair(
    (a, b) => a ** b,
    (g, y, a, b) => times(g, zip(a, b, (u, v) => (v ? v * u ** (v - 1) : 0))),
    (g, y, a) => times(g, zip(y, a, (u, v) => u * Math.log(v > 0 ? v : 1))),
  ),
  maximum: pair(Math.max, (g, y, a, b) => side(g, y, a, b), (g, y, a, b) => side(g, y, b, a)),
  minimum: pair(Math.min, (g, y, a, b) => side(g, y, a, b), (g, y, a, b) => side(g, y, b, a)),
  where: {
    forward: ([c, a, b]) => {
      const [first, second] = [zip(c, a, (u, v) => (u ? v : 0)), zip(c, b, (u, v) => (u ? 0 : v))];
      return zip(first, second, (u, v) => u + v);
    },
    rules: [null, (g, y, [c]) => zip(c, g, (u, v) => (u ? v : 0)), (g, y, [c]) => zip(c, g, (u, v) => (u ? 0 : v))],
  },
  negative: each((v) => -v, () => -1),
  exp: each(Math.exp, (x, y) => y),
  log: each(Math.log, (x) => 1 / x),
  sqrt: each(Math.sqrt, (x, y) => 0.5 / y),
  square: each((v) => v * v, (x) => 2 * x),
  reciprocal: each((v) => 1 / v, (x, y) => -y * y),
  abs: each(Math.abs, (x) => Math.sign(x)),
  tanh: each(Math.tanh, (x, y) => 1 - y * y),
  sigmoid: each(sigmoid, (x, y) => y * (1 - y)),
  relu: each((v) => Math.max(v, 0), (x, y) => (y > 0 ? 1 : 0)),
  softplus: each(softplus, sigmoid),
  log_sigmoid: each((v) => -softplus(-v), (x) => sigmoid(-x)),
  silu: each((v) => v * sigmoid(v), (x) => sigmoid(x) * (1 + x * sigmoid(-x))),
  copy: each((v) => v, () => 1),
  astype: unary((x, { dtype }) => (dtype === "float32" ? map(x, Math.fround) : x), (g) => g),
  cut: { forward: ([x]) => x, rules: [null] },
  leaky_relu: unary(
    (x, { slope }) => map(x, (v) => (v > 0 ? v : v * slope)),
    (g, y, x, { slope }) => zip(g, x, (u, v) => (v > 0 ? u : u * slope)),
  ),
  elu: unary(
    (x, { alpha }) => map(x, (v) => (v > 0 ? v : alpha * Math.expm1(v))),
    (g, y, x, { alpha }) => zip(g, x, (u, v) => (v > 0 ? u : u * alpha * Math.exp(v))),
  ),
  dropout: unary((x, { keep }) => times(x, keep), (g, y, x, { keep }) => times(g, keep)),
  matmul: {
    forward: ([a, b]) => matmul(a, b),
    rules: [(g, y, [a, b]) => leftRule(g, y, a, b), (g, y, [a, b]) => rightRule(g, y, a, b)],
  },
  sum: unary(reduction(sumOver), (g, y, x, { axis }) => broadcastTo(restored(g, x, axis), x.s)),
  mean: unary(
    reduction((x, axes) => map(sumOver(x, axes), (v) => v / countOf(x, axes))),
    (g, y, x, { axis }) => broadcastTo(map(restored(g, x, axis), (v) => v / countOf(x, axesOf(x, axis))), x.s),
  ),
  max: unary(reduction((x, axes) => reduce(x, axes, Math.max, -Infinity)), extremeRule),
  min: unary(reduction((x, axes) => reduce(x, axes, Math.min, Infinity)), extremeRule),
  softmax: unary((x, { axis }) => softmax(x, axis), (g, y, x, { axis }) => {
    const mine = sumOver(times(g, y), axesOf(x, axis));
    return times(y, zip(g, mine, (u, v) => u - v));
  }),
  log_softmax: unary((x, { axis }) => logSoftmax(x, axis), (g, y, x, { axis }) => {
    const all = sumOver(g, axesOf(x, axis));
    return zip(g, times(map(y, Math.exp), all), (u, v) => u - v);
  }),
  layer_norm: unary((x, params) => layerNorm(x, params).y, layerNormRule),
  cross_entropy: unary(crossEntropy, crossEntropyRule),
  binary_cross_entropy: unary(
    (x, { targets, positive }) => plus(
      zip(targets, x, (t, v) => (1 - t) * softplus(v)),
      times(positive, zip(targets, x, (t, v) => t * softplus(-v))),
    ),
    (g, y, x, { targets, positive }) => times(g, plus(
      zip(targets, x, (t, v) => (1 - t) * sigmoid(v)),
      times(positive, zip(targets, x, (t, v) => -t * sigmoid(-v))),
    )),
  ),
  reshape: form((x, { shape }) => {
    const sizes = [].concat(shape);
    const known = sizes.reduce((n, v) => (v < 0 ? n : n * v), 1);
    return reshape(x, sizes.map((v) => (v < 0 ? x.d.length / known : v)));
  }),
  ravel: form((x) => reshape(x, [x.d.length])),
  expand_dims: form((x, { axis }) => [].concat(axis).reduce(unsqueezed, x)),
  squeeze: form((x, { axis }) => {
    const axes = axis === undefined || axis === null ? x.s.flatMap((n, k) => (n === 1 ? [k] : [])) : axesOf(x, axis);
    return reshape(x, dropped(x, axes));
  }),
  broadcast_to: unary((x, { shape }) => broadcastTo(x, [].concat(shape)), (g, y, x) => unbroadcast(g, x.s)),
  transpose: unary((x, { axes }) => transpose(x, axes), (g, y, x, { axes }) => transpose(g, axes && inverse(axes, x.s.length))),
  swapaxes: unary((x, { axis1, axis2 }) => swapped(x, axis1, axis2), (g, y, x, { axis1, axis2 }) => swapped(g, axis1, axis2)),
  getitem: unary((x, { index }) => gather(x, index), (g, y, x, { index }) => scatter(g, x, index)),
  embedding: unary((x, { ids }) => gather(x, rowsAt(ids)), (g, y, x, { ids }) => scatter(g, x, rowsAt(ids))),
  concatenate: joining(
    (xs, { axis }) => concatenate(xs, axis),
    (g, y, xs, { axis }) => slicesAlong(axis, xs.map((x) => x.s)).map((index) => gather(g, index)),
  ),
  stack: joining(
    (xs, { axis }) => concatenate(xs.map((x) => unsqueezed(x, axis)), axis),
    (g, y, xs, { axis }) => {
      const a = axis < 0 ? axis + g.s.length : axis;
      const full = [null, null, null];
      return xs.map((_, k) => gather(g, g.s.map((_, axis_) => (axis_ === a ? k : full))));
    },
  ),
};

// The tape -----------------------------------------------------------------------------------------

// A tape in the page: arrays[x] are the arrays, records are { op, a: operands, r: result, params },
// seeds [[x, array], ...] what the pass back begins with; floating[x] whether x has a gradient.
class LiveTape {
  constructor(arrays, records, seeds, floating) {
    Object.assign(this, { arrays, records, seeds, floating });
  }

  // Compute every record's result from its operands.
  forward() {
    for (const { op, a, r, params } of this.records) {
      this.arrays[r] = OPS[op].forward(a.map((x) => this.arrays[x]), params);
    }
  }

  // The gradients, and what each record gives its operands: [row] -> Map of operand -> array.
  backward(seeds = this.seeds, from = this.records.length - 1) {
    const gradients = new Map();
    const given = new Array(this.records.length).fill(null);
    const add = (x, g) => gradients.set(x, gradients.has(x) ? plus(gradients.get(x), g) : g);
    for (const [x, g] of seeds) add(x, g);
    for (let row = from; row >= 0; row -= 1) {
      const { a, r } = this.records[row];
      const g = gradients.get(r);
      if (!g) continue;
      given[row] = this.give(this.records[row], g);
      for (const [x, part] of given[row]) add(x, part);
    }
    return { gradients, given };
  }

  // What one record gives its operands of the gradient of its result.
  give({ op, a, r, params }, g) {
    const { rules, split } = OPS[op];
    const y = this.arrays[r];
    const inputs = a.map((x) => this.arrays[x]);
    const parts = rules ? null : split(g, y, inputs, params);
    const out = new Map();
    a.forEach((x, k) => {
      if (!this.floating[x] || (rules && !rules[k])) return;
      const part = unbroadcast(parts ? parts[k] : rules[k](g, y, inputs, params), inputs[k].s);
      out.set(x, out.has(x) ? plus(out.get(x), part) : part);
    });
    return out;
  }
}

// Arrays from base64, wherever they stand in JSON.
const KINDS = { f4: Float32Array, f8: Float64Array, i4: Int32Array };

function decoded(value) {
  if (Array.isArray(value) || value === null || typeof value !== "object") {
    return Array.isArray(value) ? value.map(decoded) : value;
  }
  const kind = Object.keys(KINDS).find((name) => name in value);
  if (!kind) return Object.fromEntries(Object.entries(value).map(([name, part]) => [name, decoded(part)]));
  const bytes = Uint8Array.from(atob(value[kind]), (c) => c.charCodeAt(0));
  return array(value.s, Float64Array.from(new KINDS[kind](bytes.buffer)));
}

// The rules in letters: how the gradient of each operand comes of g = ∂L/∂y; words follow a bar.
const LETTERS = {
  add: ["{g}", "{g}"],
  subtract: ["{g}", "-{g}"],
  multiply: ["{g} ⊙ {b}", "{g} ⊙ {a}"],
  divide: ["{g} / {b}", "-{g} ⊙ {y} / {b}"],
  power: ["{g} ⊙ {b} ⊙ {a}^({b} - 1)", "{g} ⊙ {y} ⊙ log {a}"],
  matmul: ["{g} ({b})ᵀ", "({a})ᵀ {g}"],
  negative: ["-{g}"],
  exp: ["{g} ⊙ {y}"],
  log: ["{g} / {a}"],
  sqrt: ["{g} / (2 {y})"],
  square: ["2 {g} ⊙ {a}"],
  abs: ["{g} ⊙ sign({a})"],
  tanh: ["{g} ⊙ (1 - {y}²)"],
  sigmoid: ["{g} ⊙ {y} ⊙ (1 - {y})"],
  relu: ["{g} ⊙ [{a} > 0]"],
  softmax: ["{y} ⊙ ({g} - Σ({g} ⊙ {y}))"],
  cross_entropy: ["{g} (softmax({a}) - onehot(target)) / count"],
  sum: ["{g}| at every place"],
  mean: ["{g} / count| at every place"],
  getitem: ["{g}| at this place, 0 elsewhere"],
  embedding: ["{g}| in the rows of its ids, 0 elsewhere"],
  transpose: ["({g})ᵀ"],
  reshape: ["{g}| in another shape"],
  stack: ["{g}|, its part of it"],
  concatenate: ["{g}|, its part of it"],
  cut: ["0|: the way back is cut here"],
  maximum: ["{g}| where it is the larger", "{g}| where it is the larger"],
  where: ["", "{g}| where the condition holds", "{g}| where it does not"],
};
// Those whose rules can be read with numbers, as each number of the result comes of one of each operand.
const EACH = new Set("add subtract multiply divide power negative exp log sqrt square abs tanh sigmoid relu".split(" "));

// A rule with names, or numbers, in place of its letters.
const filled = (rule, values) => rule.replace(/\{(\w)\}/g, (_, letter) => values[letter] ?? letter);
