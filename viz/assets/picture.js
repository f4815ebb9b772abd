// The picture: what was painted is taken off once, then placed whenever something opens or closes.

const HEADER = 20;

// How far what stands beside a node reaches to the right, and how high it is.
const noteSize = (node) => [node.note ? node.note[0] + 12 : 0, node.note?.[1] ?? 0];

function render() {
  const scene = scenes[state.scene];
  scene.parts ??= takeParts(state.scene, scene);
  const gaps = elided(scene);
  const covers = [...closedCovers(scene, gaps), ...gaps];
  const coverOf = new Map(covers.filter((c) => c.box !== undefined).map((c) => [c.box, c]));

  // What stands for each node: itself, or the cover over it.
  const proxy = scene.nodes.map((node) => {
    const boxes = around(scene, node);
    for (const gap of gaps) {
      const inRange = node.b[0] > gap.range[0] && node.b[0] < gap.range[2];
      if (boxes.some((b) => gap.columns.has(b)) || (node.t && inRange) || (node.k === "dots" && inRange)) return gap;
    }
    return boxes.map((b) => coverOf.get(b)).filter(Boolean).at(-1) ?? null;
  });
  const openBoxes = scene.boxes.map((box, b) => {
    for (let a = b; a >= 0; a = scene.boxes[a].p) {
      if (coverOf.has(a) || gaps.some((gap) => gap.columns.has(a))) return false;
    }
    return true;
  });

  // The two axes.
  const rigidX = [];
  const rigidY = [];
  scene.nodes.forEach((node, n) => {
    if (proxy[n]) return;
    const [x, y, half, high] = node.b;
    const [beside, above] = noteSize(node);
    if (!node.bar) rigidX.push([x - half - 6, x + Math.max(half, beside) + 6]);
    rigidY.push([y - high - 6 - above, y + high + 6]);
  });
  scene.boxes.forEach((box, b) => {
    if (!openBoxes[b]) return;
    const [x1, y1, x2, y2] = box.b;
    rigidX.push([x1 - 4, x1 + width(box.n, 13) + 34], [x2 - 6, x2 + 4]);
    rigidY.push([y1 - 2, y1 + HEADER], [y2 - 6, y2 + 2]);
  });
  const texts = scene.texts.filter(([, x, y]) => !covers.some((c) => inside(x, y, c.range)));
  for (const [text, x, y, size, anchor] of texts) {
    const long = width(text, size);
    const from = x - { left: 0, middle: long / 2, right: long }[anchor];
    rigidX.push([from, from + long]);
    rigidY.push([y - size, y + size]);
  }
  const upright = covers.map((c) => [c.range[1], c.range[3], c.kind === "gate" ? 46 : 74]);
  const Y = squeezed(upright, rigidY);
  const along = covers.map((c) => {
    const [x1, y1, x2, y2] = c.range;
    const slender = c.kind === "cell" ? 0.4 * (Y(y2) - Y(y1)) : 0; // no cell becomes a pillar
    return [x1, x2, c.kind === "dots" ? 84 : Math.max(92, width(c.title, 15) + 40, slender)];
  });
  const X = squeezed(along, rigidX);
  for (const cover of covers) {
    const [x1, y1, x2, y2] = cover.range;
    cover.frame = [X(x1), Y(y1), X(x2), Y(y2)];
  }

  shown = { scene, covers, proxy, X, Y, things: [], ofNode: new Map(), wires: [], texts: [], norms: [] };
  const { parts } = scene;
  parts.layers.boxes.replaceChildren(...parts.boxes.flatMap((part, b) => (openBoxes[b] ? placeFrame(part) : [])));
  parts.layers.edges.replaceChildren(...placeWires());
  parts.layers.nodes.replaceChildren(...parts.nodes.flatMap((part, n) => (proxy[n] ? [] : [placeNode(part)])));
  // Bars run through behind what is left out, so that goes below them.
  const drawn = covers.map((cover) => [cover.kind === "dots", drawCover(cover)]);
  parts.layers.gaps.replaceChildren(...drawn.flatMap(([gap, element]) => (gap ? [element] : [])));
  parts.layers.covers.replaceChildren(...drawn.flatMap(([gap, element]) => (gap ? [] : [element])));
  parts.layers.texts.replaceChildren(
    ...parts.texts.flatMap((part, n) => (texts.includes(scene.texts[n]) ? [placeText(part)] : [])),
    ...parts.names.flatMap((part) => placeName(part)),
  );
  if (world.firstChild !== parts.root) world.replaceChildren(parts.root);
  shown.extent = extentOf();
  light();
  for (const button of $("levels").children) {
    const whole = button.dataset.scene === state.scene && !state.closed[state.scene].size;
    button.setAttribute("aria-pressed", String(whole));
  }
  picture.dataset.scene = state.scene;
  picture.dataset.covers = covers.length;
}

const inside = (x, y, [x1, y1, x2, y2]) => x > x1 && x < x2 && y > y1 && y < y2;

function extentOf() {
  const { scene, X, Y, covers } = shown;
  const frames = covers.map((c) => c.frame);
  for (const { b } of scene.boxes) frames.push([X(b[0]), Y(b[1]), X(b[2]), Y(b[3])]);
  scene.nodes.forEach((node, n) => {
    if (shown.proxy[n]) return;
    const [x, y, half, high] = nodeFrame(node);
    const [beside, above] = noteSize(node);
    frames.push([x - half, y - high - above, x + Math.max(half, beside), y + high]);
  });
  frames.push(...shown.texts);
  for (const { points } of shown.wires) for (const [x, y] of points) frames.push([x, y, x, y]);
  const out = [Infinity, Infinity, -Infinity, -Infinity];
  for (const [x1, y1, x2, y2] of frames) {
    out[0] = Math.min(out[0], x1);
    out[1] = Math.min(out[1], y1);
    out[2] = Math.max(out[2], x2);
    out[3] = Math.max(out[3], y2);
  }
  return frames.length ? out : [0, 0, 1, 1];
}

function nodeFrame(node) {
  const { X, Y } = shown;
  const [x, y, half, high] = node.b;
  if (!node.bar) return [X(x), Y(y), half, high];
  const [left, right] = [X(x - half), X(x + half)];
  return [(left + right) / 2, Y(y), (right - left) / 2, high];
}

function setFrame(rect, [x1, y1, x2, y2]) {
  const sizes = { x: x1, y: y1, width: Math.max(x2 - x1, 1), height: Math.max(y2 - y1, 1) };
  for (const [name, value] of Object.entries(sizes)) rect.setAttribute(name, value);
  return rect;
}

function rectangle(frame, radius) {
  return setFrame(svg("rect", { rx: radius }), frame);
}

// Something that may be pointed at, focused and pressed; it is put among the others when placed.
function thing(group, what, name) {
  group.setAttribute("tabindex", "-1");
  group.setAttribute("role", what.open || what.close !== undefined ? "button" : "img");
  group.setAttribute("aria-label", name);
  const made = { element: group, name, ...what };
  group.addEventListener("click", (event) => { event.stopPropagation(); show(made); act(made); });
  answer(group, made);
  group.addEventListener("focus", () => { if (group.matches(":focus-visible")) show(made); });
  return made;
}

function seen(made, frame) {
  made.frame = frame;
  shown.things.push(made);
  return made;
}

// Show the numbers of a thing once the pointer is on it; they stay until it is on another.
function answer(target, what) {
  target.addEventListener("pointerenter", (event) => { if (event.pointerType !== "touch") show(what); });
  target.addEventListener("pointerleave", unmark);
}

// Where something stands, in words: its gate, time step and layer, for those who do not see it.
function where(scene, box, name = "") {
  let [t, gate, cell] = [0, "", ""];
  for (let a = box; a; a = scene.boxes[a.p]) {
    t ||= a.t || (a.cell ? a.cell[1] : 0);
    if (a !== box || name) gate ||= a.k === "gate" ? a.n : "";
    if (a.cell && (data.loops.length > 1 || a !== box)) cell ||= data.loops[a.cell[0]] || a.title || "";
  }
  const words = [gate && `${gate} gate`, t && scene !== scenes.folded ? `t=${t}` : "", cell !== name ? cell : ""];
  return words.filter(Boolean).map((word) => `, ${word}`).join("");
}

// The small square that says: this opens, or this closes.
function sign(plus) {
  const out = svg("g", { class: "sign" }, rectangle([-5.5, -5.5, 5.5, 5.5], 2.5));
  out.append(svg("path", { d: `M-3 0h6${plus ? "M0 -3v6" : ""}` }));
  return out;
}

const parser = new DOMParser();

function takeParts(name, scene) {
  const file = `<svg xmlns="http://www.w3.org/2000/svg">${painted[name]}</svg>`;
  const root = document.adoptNode(parser.parseFromString(file, "image/svg+xml").documentElement.firstElementChild);
  scene.flows = scene.edges.map((edge) => flowOf(scene, edge));
  const layer = (kind) => root.querySelector(`.${kind}`) ?? root.appendChild(svg("g", { class: kind }));
  const all = (kind) => [...root.querySelectorAll(`.${kind}`)];
  const layers = Object.fromEntries(["boxes", "edges", "nodes", "texts"].map((kind) => [kind, layer(kind)]));
  const [boxes, nodes, edges, lines, names] = ["box", "node", "edge", "line", "name"].map(all);
  [layers.gaps, layers.covers] = [svg("g"), svg("g")];
  layers.nodes.before(layers.gaps);
  layers.nodes.after(layers.covers);
  root.append(layers.texts);
  const labelled = new Map(scene.edges.map((edge, e) => [edges[e].dataset.id, edge]));
  const labels = [...root.querySelectorAll(".node > text, .box > text")];
  const sizes = labels.map((label) => Number(label.getAttribute("font-size") ?? 13));
  return {
    root, layers, smallest: Math.min(13, ...sizes),
    boxes: boxes.map((element, b) => takeBox(scene, name, element, b)),
    nodes: nodes.map((element, n) => takeNode(scene, element, n)),
    edges: edges.map((element, e) => takeEdge(scene, element, scene.edges[e], e)),
    texts: lines.map((element, n) => takeText(scene, name, element, scene.texts[n])),
    names: names.map((element) => takeName(element, labelled.get(element.dataset.id))),
  };
}

const amount = (element, name) => Number(element.getAttribute(name));
const PAIR = /(-?[\d.]+) (-?[\d.]+)/g;

function takeBox(scene, name, element, b) {
  const box = scene.boxes[b];
  element.dataset.box = b;
  const part = { box, element, rect: element.querySelector("rect"), text: element.querySelector("text") };
  element.addEventListener("pointerenter", () => {
    const reach = reachOf({ box: b });
    if (reach) colourInputs(reach);
  });
  element.addEventListener("pointerleave", unmark);
  const opens = scene.opens[b] && name !== "cell";
  const title = box.n || (box.k === "step" ? box.title : "");
  if (!opens && !title) return part;
  part.handle = svg("g", { class: opens ? "handle" : "" });
  part.area = part.handle.appendChild(rectangle([0, 0, 1, 1], 4));
  part.area.setAttribute("fill", "none");
  if (!part.text && title) {
    part.text = svg("text", { "font-size": 13, "text-anchor": box.m ? "end" : "start" });
    part.text.textContent = title;
  }
  if (opens) {
    part.handle.dataset.box = b;
    part.sign = part.handle.appendChild(sign(false));
  }
  if (part.text) part.handle.append(part.text);
  part.long = (title ? width(title, box.k === "gate" ? 11 : 13) : 0) + (opens ? 20 : 0);
  const called = box.t && !box.cell ? box.n : `${box.cell ? box.title : box.n}${where(scene, box)}`;
  if (opens) part.thing = thing(part.handle, { box: b, close: b }, `${called}, open`);
  else if (box.t) part.thing = thing(part.handle, { box: b }, called);
  return part;
}

function placeFrame({ box, element, rect, text, handle, area, sign: mark, long, thing: made }) {
  const { X, Y } = shown;
  const [x1, y1, x2, y2] = [X(box.b[0]), Y(box.b[1]), X(box.b[2]), Y(box.b[3])];
  setFrame(rect, [x1, y1, x2, y2]);
  if (!handle) return [element];
  const x = box.m ? x2 - long - 8 : x1 + 5;
  const middle = [x - 1, y1 + 2, x + long + 4, y1 + 19];
  setFrame(area, middle);
  mark?.setAttribute("transform", `translate(${x + 8} ${y1 + 10.5})`);
  text?.setAttribute("x", box.m ? x2 - 9 : x + 4 + (mark ? 14 : 0));
  text?.setAttribute("y", y1 + 15);
  if (made) seen(made, middle);
  return [element, handle];
}

function takeNode(scene, element, n) {
  const node = scene.nodes[n];
  element.dataset.node = n;
  const shape = element.firstElementChild;
  shape.classList.add("shape");
  const into = node.k === "cell" || node.k === "gate" ? boxFor(node) : -1;
  if (into >= 0) {
    const mark = element.appendChild(sign(true));
    mark.setAttribute("transform", `translate(${node.b[2] - 3} ${3 - node.b[3]})`);
  }
  const box = scene.boxes[node.i ?? -1];
  const place = box ? where(scene, box, node.l) : "";
  const t = node.t && !place.includes(`t=${node.t}`) ? `, t=${node.t}` : "";
  const layer = node.k === "cell" && data.loops.length > 1 ? `, ${data.loops[node.loop ?? 0]}` : "";
  const made = thing(element, { node: n, open: into >= 0 }, `${node.l}${place}${t}${layer}`);
  return { node, n, element, shape, text: element.querySelector("text"), thing: made };
}

function placeNode({ node, n, element, shape, text, thing: made }) {
  const [x, y, half, high] = nodeFrame(node);
  element.setAttribute("transform", `translate(${x} ${y})`);
  if (node.bar) {
    shape.setAttribute("x", -half);
    shape.setAttribute("width", 2 * half);
    const side = Math.sign(amount(text, "x")); // its text stands in the middle or at one side
    text.setAttribute("x", side * Math.max(half - 8, 0.1));
  }
  shown.ofNode.set(n, seen(made, [x - half, y - high, x + half, y + high]));
  return element;
}

function drawCover(cover) {
  const [x1, y1, x2, y2] = cover.frame;
  const [x, y] = [(x1 + x2) / 2, (y1 + y2) / 2];
  const box = shown.scene.boxes[cover.box];
  const group = svg("g", { class: `cover of-${cover.kind}${cover.hue ? " hued" : ""}` });
  if (cover.hue) group.style.setProperty("--hue", cover.hue);
  if (cover.box !== undefined) group.dataset.box = cover.box;
  const shape = rectangle(cover.frame, cover.kind === "gate" ? 9 : 14);
  shape.classList.add("shape");
  group.append(shape);
  let name = cover.title;
  if (cover.kind === "dots") {
    group.append(line("…", x, y, 28), line(cover.title, x, y + 18, 10, { class: "soft" }));
    name = `Steps left out: ${cover.title}`;
  } else {
    const size = cover.kind === "cell" ? 18 : 13;
    group.append(line(cover.title, x, y + 0.35 * size, size, { class: "strong" }));
    if (box.k === "column") group.append(line(box.n, x1 + 9, y1 + 16, 11, { "text-anchor": "start", class: "soft" }));
    const mark = group.appendChild(sign(true));
    mark.setAttribute("transform", `translate(${x2 - 10} ${y1 + 10})`);
    name += `${where(shown.scene, box)}, closed`;
  }
  cover.thing = seen(thing(group, { cover, open: true, box: cover.box }, name), cover.frame);
  return group;
}

function line(text, x, y, size, attributes = {}) {
  const out = svg("text", { x, y, "font-size": size, ...attributes });
  out.textContent = text;
  return out;
}

function takeText(scene, name, element, [text, , y, , , id, tensor]) {
  const part = { element, text: element, drop: amount(element, "y") - y, tensor };
  const row = /^row(\d+)$/.exec(id);
  const inOps = name === "cell" ? scenes.op : scene;
  if (!row || !cellsOf(inOps ?? scene, ([loop]) => loop === Number(row[1])).length) return { ...part, said: scene.texts.find((one) => one[5] === id) };
  const loop = Number(row[1]);
  const handle = svg("g", { class: "handle", "data-layer": loop });
  const area = handle.appendChild(rectangle([0, 0, 1, 1], 4));
  area.setAttribute("fill", "none");
  const made = thing(handle, { layer: loop }, text);
  return { ...part, said: scene.texts.find((one) => one[5] === id), element: handle, area, loop, thing: made };
}

function placeText({ element, text, drop, tensor, said, area, loop, thing: made }) {
  const { X, Y, scene } = shown;
  const [words, x, y, size, anchor] = said;
  const long = width(words, size);
  const left = X(x) - { left: 0, middle: long / 2, right: long }[anchor];
  text.setAttribute("x", X(x));
  text.setAttribute("y", Y(y) + drop);
  shown.texts.push([left, Y(y) - size, left + long, Y(y) + size]);
  if (tensor >= 0) shown.norms.push({ element, tensor });
  if (!made) return element;
  const boxes = cellsOf(scene, ([l]) => l === loop);
  const closed = boxes.length === 0 || boxes.every((b) => state.closed[state.scene].has(b));
  const frame = [left - 22, Y(y) - size, left + long + 4, Y(y) + size - 2];
  shown.texts.push(frame);
  setFrame(area, frame);
  const mark = sign(closed);
  mark.setAttribute("transform", `translate(${left - 12} ${Y(y)})`);
  element.replaceChildren(area, mark, text);
  Object.assign(made, { open: closed, close: closed ? undefined : -1, name: `${words}, ${closed ? "closed" : "open"}` });
  element.setAttribute("aria-label", made.name);
  element.setAttribute("role", "button");
  seen(made, frame);
  return element;
}

// Wires -----------------------------------------------------------------------------------------

function takeEdge(scene, element, [tail, head, , slot, tensor], e) {
  const paths = [...element.children].map((path) => ({ path, d: path.getAttribute("d") }));
  const dx = Number(/\((-?[\d.]+)/.exec(element.getAttribute("transform") ?? "(0")[1]);
  const ends = paths[0].d.split(/(?=[MLC])/).map((piece) => [...piece.matchAll(PAIR)].at(-1));
  const corners = ends.map(([, x, y]) => [Number(x), Number(y)]);
  const part = { element, paths, dx, corners, tail, head, tensor, e, slot, line: paths[0] };
  if (slot >= 0 && tensor >= 0) { // a state is asked for its numbers by its wire and its name
    const hit = element.appendChild(svg("path", { class: "hit", d: paths[0].d }));
    part.paths.push({ path: hit, d: paths[0].d });
    answer(element, { element, tensor });
  }
  return part;
}

// Where a line comes into a frame: the corner before, and the point at its border.
function entry(points, [x1, y1, x2, y2]) {
  const k = points.findIndex(([x, y]) => x > x1 && x < x2 && y > y1 && y < y2);
  if (k < 1) return null;
  const [[ax, ay], [bx, by]] = [points[k - 1], points[k]];
  const times = [[x1, ax, bx], [x2, ax, bx], [y1, ay, by], [y2, ay, by]]
    .map(([border, from, to]) => (to === from ? -1 : (border - from) / (to - from)))
    .filter((t) => t >= 0 && t <= 1)
    .map((t) => [t, ax + t * (bx - ax), ay + t * (by - ay)])
    .filter(([, x, y]) => x >= x1 - 0.1 && x <= x2 + 0.1 && y >= y1 - 0.1 && y <= y2 + 0.1);
  const [, x, y] = times.sort((p, q) => p[0] - q[0])[0] ?? [0, bx, by];
  return [[ax, ay], [x, y]];
}

const spot = (x, y) => `${Math.round(10 * x) / 10} ${Math.round(10 * y) / 10}`;

// An arrowhead as it was painted, with its tip at another place and turned into a direction.
function movedTip(d, [tx, ty], direction) {
  const corners = [...d.matchAll(PAIR)].map(([, x, y]) => [Number(x), Number(y)]);
  const [tip, one, two] = corners;
  const back = [(one[0] + two[0]) / 2 - tip[0], (one[1] + two[1]) / 2 - tip[1]];
  const angle = direction ? Math.atan2(-direction[1], -direction[0]) - Math.atan2(back[1], back[0]) : 0;
  const [cos, sin] = [Math.cos(angle), Math.sin(angle)];
  const at = ([x, y]) => {
    const [dx, dy] = [x - tip[0], y - tip[1]];
    return spot(tx + dx * cos - dy * sin, ty + dx * sin + dy * cos);
  };
  return `M${corners.map(at).join("L")}Z`;
}

function placeWires() {
  const { scene, proxy, covers, X, Y } = shown;
  const met = new Map();
  const out = [];
  for (const wire of scene.parts.edges) {
    const [from, to] = [proxy[wire.tail], proxy[wire.head]];
    if (from && from === to) continue;
    let key = null;
    if (from?.kind === "dots" || to?.kind === "dots") { // many wires into what is left out are one
      key = `${from ? covers.indexOf(from) : `n${wire.tail}`} ${to ? covers.indexOf(to) : `n${wire.head}`} ${wire.slot}`;
      if (met.has(key)) {
        const first = met.get(key); // along which the most of them is told to flow
        first.bundle.push(wire.e);
        continue;
      }
      met.set(key, wire);
    }
    wire.bundle = [wire.e];
    wire.rows = null;
    wire.points = wire.corners.map(([x, y]) => [X(x + wire.dx), Y(y)]);
    if (covers.length) moveWire(wire, to);
    else if (wire.moved) restoreWire(wire);
    shown.wires.push(wire);
    out.push(wire.element);
  }
  return out;
}

function moveWire(wire, to) {
  const { X, Y } = shown;
  const at = (x, y) => [X(Number(x) + wire.dx), Y(Number(y))];
  wire.element.removeAttribute("transform");
  wire.moved = true;
  for (const { path, d } of wire.paths) {
    if (!d) continue;
    if (!path.classList.contains("tip")) {
      path.setAttribute("d", d.replace(PAIR, (_, x, y) => spot(...at(x, y))));
      continue;
    }
    const [[, x, y]] = d.matchAll(PAIR);
    const border = to && !path.classList.contains("return") ? entry([...wire.points, at(x, y)], to.frame) : null;
    const [a, b] = border ?? [null, at(x, y)];
    path.setAttribute("d", movedTip(d, b, a && [b[0] - a[0], b[1] - a[1]]));
  }
}

function restoreWire(wire) {
  wire.moved = false;
  if (wire.dx) wire.element.setAttribute("transform", `translate(${wire.dx} 0)`);
  for (const { path, d } of wire.paths) path.setAttribute("d", d);
}

function takeName(element, [, , , , tensor]) {
  const text = element.querySelector("text");
  text.dataset.tensor = tensor;
  if (tensor >= 0) answer(text, { element: text, tensor });
  return { element, text, x: amount(text, "x"), y: amount(text, "y") };
}

function placeName({ element, text, x, y }) {
  const { X, Y, covers } = shown;
  if (covers.some((cover) => inside(X(x), Y(y), cover.frame))) return [];
  text.setAttribute("x", X(x));
  text.setAttribute("y", Y(y));
  return [element];
}
