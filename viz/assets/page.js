"use strict";
// The page of a drawing: it moves and marks what Python painted, opens and closes boxes, walks along
// the tape and looks numbers up. All text is set as text, never as markup.
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const { tensors, records, scenes } = data;
  const $ = (id) => document.getElementById(id);
  const picture = $("picture");
  const world = $("world");

  // The passes: forward is every record, backward those whose result has a gradient.
  const backward = records.map((_, row) => row).reverse().filter((row) => tensors[records[row].r].g);
  const total = records.length + backward.length;

  const state = {
    scene: data.scene,
    steps: data.steps,
    place: data.end ? total : 0, // 0: before the first record
    closed: {}, // scene -> Set of boxes
  };
  let shown = null; // what is drawn: see render()
  let untouched = "readable"; // how the picture was fitted; "" once the reader has moved it

  // Small helpers ---------------------------------------------------------------------------

  function element(kind, attributes = {}, ...children) {
    const out = document.createElement(kind);
    for (const [name, value] of Object.entries(attributes)) out.setAttribute(name, value);
    out.append(...children);
    return out;
  }

  function svg(kind, attributes = {}, ...children) {
    const out = document.createElementNS("http://www.w3.org/2000/svg", kind);
    for (const [name, value] of Object.entries(attributes)) out.setAttribute(name, value);
    out.append(...children);
    return out;
  }

  const NAME = /([\p{L}\p{N}\u0303]+)_(\{[^{}]*\}|[\p{L}\p{N}−]{1,5})(?![\p{L}\p{N}_])/gu;

  // A text in parts: plain ones, and names with their subscripts.
  function* parts(text) {
    let end = 0;
    for (const found of text.matchAll(NAME)) {
      if (found.index > end) yield [text.slice(end, found.index), ""];
      yield [data.greek[found[1]] ?? found[1], found[2].replace(/^\{|\}$/g, "")];
      end = found.index + found[0].length;
    }
    if (end < text.length) yield [text.slice(end), ""];
  }

  function mathematics(text) {
    const out = document.createDocumentFragment();
    for (const [base, low] of parts(text)) {
      // What follows ^ in parentheses says where a value of this name is from.
      base.split(/\^\(([^()]*)\)/).forEach((piece, k) => out.append(k % 2 ? element("sup", {}, `(${piece})`) : piece));
      if (low) out.append(element("sub", {}, low));
    }
    return out;
  }

  function number(value) {
    return String(value).replaceAll("-", "−");
  }

  const pen = document.createElement("canvas").getContext("2d");
  pen.font = '100px Helvetica, Arial, "DejaVu Sans", sans-serif';
  const widths = new Map();

  // How wide a text is, in bold rather than not.
  function width(text, size) {
    if (!widths.has(text)) widths.set(text, pen.measureText(text).width * 1.08);
    return (widths.get(text) * size) / 100;
  }

  // Gradients on a log scale -------------------------------------------------------------------

  const GRADES = 5;

  function scaleOf(norms) {
    const good = norms.filter((m) => typeof m === "number" && m > 0);
    if (!good.length) return null;
    const low = good.reduce((a, b) => Math.min(a, b));
    const high = good.reduce((a, b) => Math.max(a, b));
    const count = high < 1.01 * low ? 1 : GRADES;
    return Array.from({ length: count }, (_, n) => low * (high / low) ** (n / GRADES));
  }

  const flows = Object.values(data.scenes).flatMap((scene) => scene.edges.map((edge) => edge[5]));
  const scale = scaleOf([...tensors.map((x) => x.m), ...flows]);

  function grade(norm, bounds = scale) {
    if (!bounds || !norm) return -1; // none, or 0 throughout
    if (typeof norm !== "number") return bounds.length - 1;
    return Math.max(bounds.filter((bound) => norm >= bound).length - 1, 0);
  }

  // Scenes --------------------------------------------------------------------------------------

  // What is read off a scene once: boxes that open and close, and which node shows which record.
  for (const scene of Object.values(scenes)) {
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
    state.closed[sceneName(scene)] = new Set();
  }

  function sceneName(scene) {
    return Object.keys(scenes).find((name) => scenes[name] === scene);
  }

  // The boxes around a node, the innermost first.
  function around(scene, node) {
    const out = [];
    for (let b = node.i ?? -1; b >= 0; b = scene.boxes[b].p) out.push(b);
    return out;
  }

  // The columns that are not shown: for each block of columns one range.
  function elided(scene) {
    const blocks = new Map();
    scene.boxes.forEach((box, b) => {
      if (box.k === "column" && box.t) {
        if (!blocks.has(box.block)) blocks.set(box.block, []);
        blocks.get(box.block).push(b);
      }
    });
    const out = [];
    for (const columns of blocks.values()) {
      columns.sort((a, b) => scene.boxes[a].t - scene.boxes[b].t);
      const hidden = columns.length > state.steps
        ? columns.slice(state.steps > 1 ? state.steps - 1 : 1, state.steps > 1 ? -1 : undefined)
        : [];
      if (!hidden.length) continue;
      const frames = hidden.map((b) => scene.boxes[b].b);
      const last = scene.boxes[columns.at(-1)];
      let [from, to] = [scene.boxes[hidden[0]].t, scene.boxes[hidden.at(-1)].t];
      const range = [frames[0][0], frames[0][1], frames.at(-1)[2], frames[0][3]];
      for (const node of scene.nodes) { // the steps that the page does not hold stand here too
        if (node.k === "dots" && node.b[0] > range[0] && node.b[0] < last.b[0]) {
          range[2] = Math.max(range[2], node.b[0] + node.b[2]);
          to = last.t - 1;
        }
      }
      out.push({ kind: "dots", range, columns: new Set(hidden), title: from === to ? `t=${from}` : `t=${from} to ${to}` });
    }
    return out;
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

  // Drawing ---------------------------------------------------------------------------------------

  const HEADER = 20;

  // How far what stands beside a node reaches to the right, and how high it is.
  const noteSize = (node) => [node.note ? node.note[0] + 12 : 0, node.note?.[1] ?? 0];

  function render() {
    const scene = scenes[state.scene];
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
    const along = covers.map((c) => {
      const [x1, , x2] = c.range;
      return [x1, x2, c.kind === "dots" ? 84 : Math.max(92, width(c.title, 15) + 40)];
    });
    const upright = covers.map((c) => [c.range[1], c.range[3], c.kind === "gate" ? 46 : 74]);
    const X = squeezed(along, rigidX);
    const Y = squeezed(upright, rigidY);
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
    group.addEventListener("click", (event) => { event.stopPropagation(); act(made); });
    answer(group, made);
    group.addEventListener("focus", () => { if (group.matches(":focus-visible")) show(made); });
    group.addEventListener("blur", hide);
    return made;
  }

  function seen(made, frame) {
    made.frame = frame;
    shown.things.push(made);
    return made;
  }

  // Show the numbers of a thing while the pointer is on it.
  function answer(target, what) {
    target.addEventListener("pointerenter", (event) => { if (event.pointerType !== "touch") show(what, event); });
    target.addEventListener("pointerleave", () => { if (document.activeElement !== target) hide(); });
  }

  function where(scene, box) {
    let t = 0;
    for (let a = box; a; a = scene.boxes[a.p]) t ||= a.t || (a.cell ? a.cell[1] : 0);
    return t && scene !== scenes.folded ? `, t=${t}` : "";
  }

  // The small square that says: this opens, or this closes.
  function sign(plus) {
    const out = svg("g", { class: "sign" }, rectangle([-5.5, -5.5, 5.5, 5.5], 2.5));
    out.append(svg("path", { d: `M-3 0h6${plus ? "M0 -3v6" : ""}` }));
    return out;
  }

  // What was painted: taken off the page once, then placed whenever something opens or closes.
  function takeParts(name, scene) {
    const root = world.querySelector(`[data-scene="${name}"]`);
    const layer = (kind) => root.querySelector(`.${kind}`) ?? root.appendChild(svg("g", { class: kind }));
    const all = (kind) => [...root.querySelectorAll(`.${kind}`)];
    const layers = Object.fromEntries(["boxes", "edges", "nodes", "texts"].map((kind) => [kind, layer(kind)]));
    const [boxes, nodes, edges, lines, names] = ["box", "node", "edge", "line", "name"].map(all);
    [layers.gaps, layers.covers] = [svg("g"), svg("g")];
    layers.nodes.before(layers.gaps);
    layers.nodes.after(layers.covers);
    root.append(layers.texts);
    const labelled = new Map(scene.edges.map((edge, e) => [edges[e].dataset.id, edge]));
    root.remove();
    scene.parts = {
      root, layers,
      boxes: boxes.map((element, b) => takeBox(scene, name, element, b)),
      nodes: nodes.map((element, n) => takeNode(scene, element, n)),
      edges: edges.map((element, e) => takeEdge(scene, element, scene.edges[e])),
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
    element.addEventListener("pointerleave", hide);
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
    const t = node.t ? `, t=${node.t}` : "";
    const made = thing(element, { node: n, open: into >= 0 }, `${node.l}${t}`);
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
    if (!row || !cellsOf(inOps ?? scene, Number(row[1])).length) return { ...part, said: scene.texts.find((one) => one[5] === id) };
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
    const boxes = cellsOf(scene, loop);
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

  const cellsOf = (scene, loop) =>
    scene.boxes.flatMap((box, b) => (box.cell && box.cell[0] === loop ? [b] : []));

  // Wires -----------------------------------------------------------------------------------------

  function takeEdge(scene, element, [tail, head, kind, slot, tensor, flow]) {
    const paths = [...element.children].map((path) => ({ path, d: path.getAttribute("d") }));
    const dx = Number(/\((-?[\d.]+)/.exec(element.getAttribute("transform") ?? "(0")[1]);
    const ends = paths[0].d.split(/(?=[MLC])/).map((piece) => [...piece.matchAll(PAIR)].at(-1));
    const corners = ends.map(([, x, y]) => [Number(x), Number(y)]);
    const part = { element, paths, dx, corners, tail, head, tensor, flow, slot, line: paths[0] };
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
          if (!(first.most >= wire.flow)) first.most = wire.flow;
          continue;
        }
        met.set(key, wire);
      }
      wire.most = wire.flow;
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

  // Opening and closing ------------------------------------------------------------------------

  // The box of the finest scene in which all the records of a node stand.
  function boxFor(node) {
    const fine = scenes.op;
    if (!fine || !node.r?.length) return -1;
    for (const n of fine.nodesOf.get(node.r[0]) ?? []) {
      for (const b of around(fine, fine.nodes[n])) {
        if (fine.opens[b] && node.r.every((row) => fine.recordsIn[b].has(row))) return b;
      }
    }
    return -1;
  }

  function act(what) {
    if (what.cover?.kind === "dots") return showSteps(state.steps + 1);
    if (what.layer !== undefined) return toggleLayer(what.layer);
    if (what.close !== undefined) return close(what.close);
    if (what.cover) return open(what.cover.box);
    const node = shown.scene.nodes[what.node];
    if (node && what.open) return openFrom(node);
    if (node?.r?.length) {
      const back = state.place > records.length ? backward.indexOf(node.r[0]) : -1;
      go(back >= 0 ? records.length + 1 + back : node.r[0] + 1);
    }
    return undefined;
  }

  // Draw anew, with a box staying where it is on the screen.
  function keeping(boxBefore, change, after) {
    const middle = (frame) => d3.zoomTransform(picture).apply([(frame[0] + frame[2]) / 2, (frame[1] + frame[3]) / 2]);
    const before = middle(boxBefore);
    change();
    hide();
    render();
    const frame = after();
    if (untouched) {
      fit(untouched === "readable");
      return reveal(frame);
    }
    const now = middle(frame);
    const k = d3.zoomTransform(picture).k;
    zoom.translateBy(d3.select(picture), (before[0] - now[0]) / k, (before[1] - now[1]) / k);
    return undefined;
  }

  const frameOf = (b) => {
    const { X, Y, scene } = shown;
    const [x1, y1, x2, y2] = scene.boxes[b].b;
    return [X(x1), Y(y1), X(x2), Y(y2)];
  };

  function open(b) {
    const focused = picture.contains(document.activeElement);
    keeping(frameOf(b), () => state.closed[state.scene].delete(b), () => frameOf(b));
    if (focused) focusOn((other) => other.close === b);
  }

  function close(b) {
    const focused = picture.contains(document.activeElement);
    keeping(frameOf(b), () => state.closed[state.scene].add(b), () => frameOf(b));
    if (focused) focusOn((other) => other.cover?.box === b);
  }

  // From a scene in which it has no inside: the finest scene, with all the others closed.
  function openFrom(node) {
    const b = boxFor(node);
    if (b < 0) return;
    const fine = scenes.op;
    const closed = new Set();
    const isCell = Boolean(fine.boxes[b].cell);
    fine.boxes.forEach((box, other) => {
      const same = isCell ? box.cell : box.k === "gate" && fine.boxes[box.p]?.k !== "gate";
      if (same && other !== b && fine.opens[other]) closed.add(other);
    });
    for (let a = fine.boxes[b].p; a >= 0; a = fine.boxes[a].p) closed.delete(a);
    const focused = picture.contains(document.activeElement);
    const [x, y, half, high] = nodeFrame(node);
    keeping([x - half, y - high, x + half, y + high], () => {
      state.scene = "op";
      state.closed.op = closed;
    }, () => frameOf(b));
    if (focused) focusOn((other) => other.close === b);
  }

  function toggleLayer(loop) {
    const focused = picture.contains(document.activeElement);
    if (state.scene === "cell") {
      const others = scenes.op.boxes.flatMap((box, b) => (box.cell && box.cell[0] !== loop ? [b] : []));
      state.scene = "op";
      state.closed.op = new Set(others);
    } else {
      const boxes = cellsOf(shown.scene, loop);
      const closed = state.closed[state.scene];
      const all = boxes.every((b) => closed.has(b));
      for (const b of boxes) if (all) closed.delete(b); else closed.add(b);
    }
    hide();
    render();
    fit(true);
    if (focused) focusOn((other) => other.layer === loop);
  }

  function focusOn(test) {
    shown.things.find(test)?.element.focus({ preventScroll: true });
  }

  function showSteps(count) {
    const most = Number($("steps").max);
    state.steps = Math.min(Math.max(Math.round(count) || 1, 1), most);
    $("steps").value = state.steps;
    hide();
    render();
    fit(true);
  }

  function showScene(name) {
    state.scene = name;
    state.closed[name] = new Set();
    hide();
    render();
    fit(true);
  }

  // Zoom ----------------------------------------------------------------------------------------

  const zoom = d3.zoom().scaleExtent([0.01, 8]).on("zoom", (event) => {
    world.setAttribute("transform", event.transform);
    if (event.sourceEvent) { untouched = ""; hide(); }
  });
  d3.select(picture).call(zoom).on("dblclick.zoom", null);

  // Show all. What is too large for that to be read begins where it begins, at the lower left.
  function fit(readable = false) {
    const [x1, y1, x2, y2] = shown.extent;
    const { clientWidth: wide, clientHeight: tall } = picture;
    const [byWidth, byHeight] = [wide / (x2 - x1 + 48), tall / (y2 - y1 + 48)];
    const all = Math.max(Math.min(byWidth, byHeight, 1.6), 0.01);
    const k = readable && all < 0.4 ? Math.min(0.55, Math.max(byWidth, byHeight, 0.4)) : all;
    const x = byWidth < k ? (24 - x1) * k : (wide - k * (x1 + x2)) / 2;
    const y = byHeight < k ? tall - (y2 + 24) * k : (tall - k * (y1 + y2)) / 2;
    zoom.transform(d3.select(picture), d3.zoomIdentity.translate(x, y).scale(k));
    untouched = readable ? "readable" : "whole";
  }

  function zoomBy(factor) {
    untouched = "";
    zoom.scaleBy(d3.select(picture), factor);
  }

  // Bring a frame into sight, if it is not.
  function reveal([x1, y1, x2, y2]) {
    const at = d3.zoomTransform(picture);
    const [left, top] = at.apply([x1, y1]);
    const [right, bottom] = at.apply([x2, y2]);
    const { clientWidth: wide, clientHeight: tall } = picture;
    if (left < 0 || top < 0 || right > wide || bottom > tall) {
      zoom.translateTo(d3.select(picture), (x1 + x2) / 2, (y1 + y2) / 2);
    }
  }

  // The walk along the tape ------------------------------------------------------------------------

  // The record at a place, and in which pass.
  function current() {
    if (state.place === 0) return null;
    if (state.place <= records.length) return { row: state.place - 1, back: false };
    return { row: backward[state.place - records.length - 1], back: true };
  }

  function go(place) {
    state.place = Math.min(Math.max(place, 0), total);
    hide();
    light();
    const lit = shown.lit[0];
    if (lit) reveal(lit.frame);
  }

  const marked = new WeakMap();
  const rowsOf = (n) => shown.scene.nodes[n].r ?? [];

  // Mark what is computed, what the gradient has reached, and the record itself.
  function light() {
    const now = current();
    const { scene, things, wires, proxy, covers } = shown;
    const reached = new Set(now?.back ? backward.slice(0, state.place - records.length) : []);
    const done = (row) => !now || now.back || row <= now.row;
    shown.lit = [];
    const inCover = new Map(covers.map((c) => [c, []]));
    proxy.forEach((cover, n) => cover && inCover.get(cover).push(...rowsOf(n)));
    for (const what of things) {
      const rows = what.cover ? inCover.get(what.cover) : what.node !== undefined ? rowsOf(what.node) : [];
      const lit = Boolean(now) && rows.includes(now.row);
      const held = what.node !== undefined ? scene.nodes[what.node] : null;
      const norms = rows.filter((row) => reached.has(row)).map((row) => tensors[records[row].r].m);
      const level = Math.max(-1, ...norms.map((m) => grade(m)));
      if (lit) shown.lit.push(what);
      if (held && !rows.length && !what.open) { // an input, a parameter, a state
        const ends = scene.wiresOf[what.node];
        const after = held.k === "end" && ends.every(([other]) => rowsOf(other).every((row) => !done(row)));
        const back = ends.some(([, using]) => using.some((row) => reached.has(row)));
        mark(what.element, { lit: false, later: after, level: back ? grade(tensors[held.x]?.m) : -1 });
      } else {
        mark(what.element, { lit, later: rows.length > 0 && !rows.some(done) && !lit, level });
      }
    }
    for (const wire of wires) {
      if (!wire.rows) {
        wire.rows = proxy[wire.head] ? inCover.get(proxy[wire.head]) : rowsOf(wire.head);
        wire.using = wire.rows.filter((row) => records[row].a.includes(wire.tensor));
        if (scene.nodes[wire.head].k === "end") wire.rows = rowsOf(wire.tail);
      }
      const { rows, using } = wire;
      const back = using.some((row) => reached.has(row));
      mark(wire.element, {
        lit: Boolean(now) && using.includes(now.row),
        later: rows.length > 0 && !rows.some(done),
        level: back ? grade(wire.most) : -1,
      });
    }
    // Before the backward pass has come to it there is no gradient to be told.
    for (const { element: text, tensor } of shown.norms) {
      const uses = usersOf(tensor).filter((row) => tensors[records[row].r].g);
      const told = uses.length ? uses.every((row) => reached.has(row)) : reached.has(makers.get(tensor));
      text.classList.toggle("untold", !told);
    }
    tell(now);
  }

  const makers = new Map(records.map((record, row) => [record.r, row]));
  const users = new Map();
  records.forEach((record, row) => record.a.forEach((x) => {
    if (!users.has(x)) users.set(x, []);
    users.get(x).push(row);
  }));
  const usersOf = (x) => users.get(x) ?? [];

  // Only what changes is touched: of thousands of things a step changes a few.
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

  // Numbers -------------------------------------------------------------------------------------

  function table(values, shape) {
    const columns = shape.length ? shape.at(-1) : 1;
    const most = Math.max(...values.map((v) => (typeof v === "number" ? Math.abs(v) : 0)), 0);
    const body = element("table");
    for (let k = 0; k < values.length; k += columns) {
      const row = element("tr");
      for (const v of values.slice(k, k + columns)) {
        const cell = element("td", {}, number(v));
        if (typeof v === "number" && most > 0 && values.length > 1) {
          const share = Math.round((55 * Math.abs(v)) / most);
          cell.style.background = `color-mix(in srgb, var(--${v < 0 ? "below" : "above"}) ${share}%, transparent)`;
        }
        row.append(cell);
      }
      body.append(row);
    }
    return element("div", { class: "numbers" }, body);
  }

  function numbers(values, shape) {
    if (Array.isArray(values)) {
      return values.length ? table(values, shape) : element("p", { class: "note" }, "empty");
    }
    const text = Object.entries(values).map(([name, v]) => `${name} ${[].concat(v).map(number).join(" ")}`);
    return element("p", { class: "note" }, text.join(" · "));
  }

  function tensorBlock(x, { what = "", gradient = true } = {}) {
    const { n, s, d, v, g, m, e } = tensors[x];
    const shape = s.length ? `(${s.join(", ")}${s.length === 1 ? "," : ""})` : "scalar";
    const more = `${e ? `${n} ` : ""}${shape} ${d}`;
    const head = element("h3", {}, mathematics(e ?? n), " ", element("span", { class: "shape" }, more));
    if (what) head.prepend(element("span", { class: "what" }, `${what} `));
    const out = element("div", { class: "tensor", "data-tensor": x }, head, numbers(v, s));
    if (gradient && g !== undefined) {
      const line = element("h3", {}, "∂L/∂", mathematics(e ?? n), " ", element("span", { class: "shape" }, `norm ${number(m)}`));
      out.append(line, numbers(g, s));
    }
    return out;
  }

  // What has come to an operand so far: from this record, and from all before it on the way back.
  function arrivedBlock(x, record) {
    const { n, e, s, g } = tensors[x];
    const mine = record.c?.[x] === "all" ? g : record.c?.[x];
    if (mine === undefined) return [];
    const before = backward.slice(0, state.place - records.length);
    const shares = before.map((row) => records[row].c?.[x]).filter((share) => share !== undefined);
    const left = usersOf(x).filter((row) => records[row].c?.[x] !== undefined && !before.includes(row)).length;
    const heading = (text) => element("h3", {}, "∂L/∂", mathematics(e ?? n), " ", element("span", { class: "shape" }, text));
    const out = [heading("from this record"), numbers(mine, s)];
    const whole = shares.every((share) => Array.isArray(share) && share.every((v) => typeof v === "number"));
    if (shares.length > 1 && whole) {
      const sum = mine.map((_, k) => Number(shares.reduce((all, share) => all + share[k], 0).toPrecision(4)));
      out.push(heading(left ? `so far, ${left} more to come` : "complete"), numbers(sum, s));
    } else if (left || shares.length > 1) {
      out.push(element("p", { class: "note" }, left ? `${left} more to come` : "complete"));
    }
    return out;
  }

  function recordBlock(row) {
    const record = records[row];
    const out = document.createDocumentFragment();
    const path = [record.t ? `t=${record.t}` : "", record.p ?? ""].filter(Boolean).join(" · ");
    out.append(element("p", { class: "path" }, `${record.i}  ${record.o}${path ? ` — ${path}` : ""}`));
    out.append(element("p", { class: "equation" }, mathematics(record.e)));
    return out;
  }

  // The equations of the named results among some records.
  function equations(rows) {
    const out = document.createDocumentFragment();
    const lines = rows.map((row) => records[row].e).filter((line) => line.includes(" = "));
    for (const line of lines.slice(0, 12)) out.append(element("p", { class: "equation" }, mathematics(line)));
    if (lines.length > 12) out.append(element("p", { class: "note" }, `… and ${lines.length - 12} more`));
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

  function describe(what) {
    const { scene } = shown;
    const out = document.createDocumentFragment();
    const node = what.node !== undefined ? scene.nodes[what.node] : null;
    let rows = node?.r ?? [];
    if (what.tensor !== undefined) {
      const made = records.find((record) => record.r === what.tensor);
      if (made) out.append(element("p", { class: "equation" }, mathematics(made.e)));
      out.append(tensorBlock(what.tensor));
      return out;
    }
    if (what.cover?.kind === "dots") {
      out.append(element("h2", {}, what.name), element("p", { class: "note" }, "Press to show one step more."));
      return out;
    }
    if (what.box !== undefined && what.layer === undefined) rows = [...scene.recordsIn[what.box]].sort((a, b) => a - b);
    const single = node && !["gate", "cell"].includes(node.k);
    if (single && rows.length) {
      const nearest = rows.find((row) => row === current()?.row) ?? rows[0];
      out.append(recordBlock(nearest), tensorBlock(records[nearest].r));
      return out;
    }
    if (node && node.x !== undefined && single) {
      out.append(tensorBlock(node.x));
      if (tensors[node.x].k === "parameter") out.append(...shareBlock(node.x), usesNote(node.x));
      return out;
    }
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

  // The inputs that a step's gradient reaches ---------------------------------------------------

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
    const found = data.reach[place[0]]?.[place[1]];
    return found?.length ? { t: place[1], state: found[0], inputs: found.slice(1) } : null;
  }

  function reachBlock(reach) {
    const out = document.createDocumentFragment();
    out.append(element("h2", {}, "Of the gradient at ", mathematics(tensors[reach.state].n), " arrives at"));
    const bounds = scaleOf(reach.inputs.map(([, m]) => m));
    const body = element("table");
    for (const [x, m] of reach.inputs) {
      const mark = element("td", {}, number(m));
      mark.style.borderLeft = `14px solid var(--g${grade(m, bounds)})`;
      body.append(element("tr", { "data-input": x }, element("td", {}, mathematics(tensors[x].n)), mark));
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

  // The card beside the pointer, or beside what has the focus -------------------------------------

  const card = $("card");

  function show(what, event) {
    const content = describe(what);
    const reach = reachOf(what);
    if (reach) colourInputs(reach);
    if (!content.childNodes.length) return;
    card.replaceChildren(content);
    card.hidden = false;
    what.element.setAttribute("aria-describedby", "card");
    const box = what.element.getBoundingClientRect();
    const size = card.getBoundingClientRect();
    let x = (event ? event.clientX : box.right) + 16;
    let y = (event ? event.clientY : box.bottom) + 12;
    if (x + size.width > innerWidth - 8) x = Math.max((event ? event.clientX : box.left) - size.width - 16, 8);
    if (y + size.height > innerHeight - 8) y = Math.max(innerHeight - size.height - 8, 8);
    card.style.left = `${x}px`;
    card.style.top = `${y}px`;
  }

  function hide() {
    card.hidden = true;
    for (const target of world.querySelectorAll(".arrived")) target.classList.remove("arrived", "dark");
  }

  // The panel -----------------------------------------------------------------------------------

  function tell(now) {
    const panel = $("now");
    document.body.classList.toggle("returning", Boolean(now?.back));
    $("walk").value = state.place;
    if (!now) {
      panel.replaceChildren(element("h2", {}, "Before the first record"));
      panel.append(element("p", { class: "note" }, "→ computes the next record. Click or press Enter on a box to open it, on its title to close it; point at anything for its numbers."));
      for (const line of data.notes) panel.append(element("p", { class: "note" }, line));
      $("where").textContent = `${records.length} records`;
    } else {
      const record = records[now.row];
      const head = now.back ? `Backward: record ${record.i}` : `Forward: record ${record.i}`;
      panel.replaceChildren(element("h2", {}, head), recordBlock(now.row));
      if (now.back) {
        panel.append(element("p", { class: "note" }, mathematics(record.q || "The gradient of the result goes on to the operands.")));
        panel.append(tensorBlock(record.r, { what: "result" }));
      } else {
        panel.append(tensorBlock(record.r, { what: "result", gradient: false }));
      }
      for (const x of new Set(record.a)) {
        if (tensors[x].k === "number") continue;
        panel.append(tensorBlock(x, { what: "operand", gradient: false }));
        if (now.back) panel.lastChild.append(...arrivedBlock(x, record));
      }
      const nth = now.back ? state.place - records.length : state.place;
      const of = now.back ? backward.length : records.length;
      $("where").textContent = `${now.back ? "backward" : "forward"} ${nth} of ${of}: ${record.o}`;
    }
    $("walk").setAttribute("aria-valuetext", $("where").textContent);
    $("tape").querySelector("[aria-current]")?.removeAttribute("aria-current");
    const button = now ? tapeButtons[now.row] : null;
    if (button) {
      button.setAttribute("aria-current", "true");
      button.scrollIntoView({ block: "nearest" });
    }
    $("scale").hidden = !scale || !(now?.back || data.end);
  }

  const tapeButtons = records.map((record, row) => {
    const t = record.t ? ` t=${record.t}` : "";
    const button = element("button", { type: "button", tabindex: "-1" }, `${record.i} `, element("span", { class: "t" }, `${record.o}${t} `), mathematics(tensors[record.r].e ?? tensors[record.r].n));
    button.addEventListener("click", () => {
      const back = state.place > records.length ? backward.indexOf(row) : -1;
      go(back >= 0 ? records.length + 1 + back : row + 1);
    });
    return button;
  });

  // Setting up ------------------------------------------------------------------------------------

  let timer = 0;

  // The place where the next time step begins or, on the way to it, what lies outside of time.
  function stepFrom(place, sign) {
    const at = (p) => {
      const record = p < 1 ? null : records[p <= records.length ? p - 1 : backward[p - records.length - 1]];
      return record ? `${record.l} ${record.t} ${p > records.length}` : "";
    };
    let to = place + sign;
    while (to > 0 && to < total && at(to) === at(place)) to += sign;
    if (sign > 0) while (to < total && at(to + 1) === at(to)) to += 1; // to its end
    return to;
  }

  function play() {
    if (timer) { clearInterval(timer); timer = 0; } else {
      if (state.place >= total) go(0);
      const { value } = $("speed"); // milliseconds a record, or a whole step at a time
      timer = setInterval(() => {
        if (state.place >= total) play();
        else go(value === "step" ? stepFrom(state.place, 1) : state.place + 1);
      }, value === "step" ? 900 : Number(value));
    }
    $("play").setAttribute("aria-pressed", String(timer !== 0));
    $("play").setAttribute("aria-label", timer ? "Stop" : "Play");
  }

  // The parameters, by layer, each to be asked for its numbers and where it is used.
  function setUpParameters() {
    const parameters = tensors.flatMap((x, n) => (x.k === "parameter" ? [n] : []));
    const hues = new Map();
    for (const node of scenes.op?.nodes ?? []) if (node.c && node.x !== undefined) hues.set(node.x, node.c);
    const groups = new Map();
    for (const x of parameters) {
      const loop = records[usersOf(x)[0]].l;
      const name = loop === undefined ? "" : data.loops[loop];
      if (!groups.has(name)) groups.set(name, element("div", { class: "chips" }));
      groups.get(name).append(parameterChip(x, hues.get(x) ?? "#7F7F7F"));
    }
    for (const [name, chips] of groups) {
      if (groups.size > 1) $("parameters").append(element("p", { class: "note" }, name || "outside of time"));
      $("parameters").append(chips);
    }
    $("parameters").hidden = !parameters.length;
  }

  function parameterChip(x, hue) {
    const chip = element("button", { type: "button", class: "chip" }, mathematics(tensors[x].n));
    chip.style.setProperty("--hue", hue);
    const open = () => {
      card.replaceChildren(tensorBlock(x), ...shareBlock(x), usesNote(x));
      card.hidden = false;
      const box = chip.getBoundingClientRect();
      const size = card.getBoundingClientRect();
      card.style.left = `${Math.max(box.left - size.width - 12, 8)}px`;
      card.style.top = `${Math.max(Math.min(box.top, innerHeight - size.height - 8), 8)}px`;
      for (const what of shown.things) {
        if (what.node !== undefined && shown.scene.nodes[what.node].x === x) what.element.classList.add("lit");
      }
    };
    const shut = () => {
      hide();
      for (const what of shown.things) what.element.classList.toggle("lit", shown.lit.includes(what));
    };
    chip.addEventListener("pointerenter", open);
    chip.addEventListener("pointerleave", shut);
    chip.addEventListener("focus", open);
    chip.addEventListener("blur", shut);
    return chip;
  }

  function usesNote(x) {
    const uses = usersOf(x).length;
    return element("p", { class: "note" }, `used ${uses} ${uses === 1 ? "time" : "times"}`);
  }

  // Each step's share in a parameter's gradient, as bars: together they are the gradient.
  function shareBlock(x) {
    const shares = data.shares[x] ?? [];
    if (shares.length < 2) return [];
    const most = Math.max(...shares.map(([, , m]) => (typeof m === "number" ? m : 0)), 1e-300);
    const body = element("table", { class: "shares" });
    for (const [loop, t, m] of [...shares].sort((a, b) => a[0] - b[0] || a[1] - b[1])) {
      const bar = element("i");
      bar.style.width = `${typeof m === "number" ? Math.round((90 * m) / most) : 90}px`;
      const name = loop < 0 ? "outside" : t ? `t=${t}` : "left out";
      const row = element("tr", {}, element("td", {}, name), element("td", {}, bar), element("td", {}, number(m)));
      body.append(row);
    }
    return [element("h3", {}, "Norm of each step's share"), body];
  }

  function setUp() {
    $("title").textContent = data.title;
    $("caption").textContent = data.caption;
    $("caption").hidden = !data.caption;
    const names = { folded: "Folded", cell: "Cells", gate: "Gates", op: "Ops" };
    for (const name of Object.keys(scenes)) {
      const button = element("button", { type: "button", "data-scene": name, "aria-pressed": "false" }, names[name]);
      button.addEventListener("click", () => showScene(name));
      $("levels").append(button);
    }
    const most = Math.max(0, ...Object.values(scenes).flatMap((scene) => {
      const counts = new Map();
      for (const box of scene.boxes) if (box.k === "column" && box.t) counts.set(box.block, (counts.get(box.block) ?? 0) + 1);
      return [...counts.values()];
    }));
    if (most > 1) {
      $("shown").hidden = false;
      $("steps").max = most;
      $("steps").value = state.steps = Math.min(state.steps, most);
      $("steps").addEventListener("change", () => showSteps(Number($("steps").value)));
    }
    $("walk").max = total;
    $("forward").style.flexGrow = records.length;
    $("backward").style.flexGrow = backward.length;
    $("backward").hidden = !backward.length;
    $("walk").addEventListener("input", () => go(Number($("walk").value)));
    for (const row of tapeButtons) $("tape").querySelector("ol").append(element("li", {}, row));
    const actions = {
      in: () => zoomBy(1.3), out: () => zoomBy(1 / 1.3), fit: () => fit(), play,
      first: () => go(0), back: () => go(state.place - 1), next: () => go(state.place + 1), last: () => go(total),
      ask: () => $("keys").showModal(),
    };
    for (const [id, action] of Object.entries(actions)) $(id).addEventListener("click", action);
    $("speed").addEventListener("change", () => { if (timer) { play(); play(); } });
    setUpParameters();
    (scale ?? []).forEach((bound, n) => {
      const swatch = element("i");
      swatch.style.background = `var(--g${n})`;
      $("scale").querySelector(".scale").append(element("span", {}, swatch, `≥ ${number(Number(bound.toPrecision(2)))}`));
    });
    if (data.at && scenes.op) {
      const cells = scenes.op.boxes.flatMap((box, b) => (box.cell ? [b] : []));
      state.scene = "op";
      state.closed.op = new Set(cells.filter((b) => scenes.op.boxes[b].cell[1] !== data.at));
      state.steps = Math.max(state.steps, Math.min(data.at + 1, most));
      $("steps").value = state.steps;
    }
  }

  // Keys ------------------------------------------------------------------------------------------

  function nearest(from, dx, dy) {
    const centre = ([x1, y1, x2, y2]) => [(x1 + x2) / 2, (y1 + y2) / 2];
    const [x, y] = centre(from.frame);
    let best = null;
    let least = Infinity;
    for (const other of shown.things) {
      if (other === from) continue;
      const [ox, oy] = centre(other.frame);
      const ahead = (ox - x) * dx + (oy - y) * dy;
      const aside = Math.abs((ox - x) * dy) + Math.abs((oy - y) * dx);
      if (ahead <= 2) continue;
      const far = ahead + 2.5 * aside;
      if (far < least) [best, least] = [other, far];
    }
    return best;
  }

  const DIRECTIONS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

  picture.addEventListener("keydown", (event) => {
    const focused = shown.things.find((what) => what.element === document.activeElement);
    const direction = DIRECTIONS[event.key];
    if (direction) {
      const target = focused ? nearest(focused, ...direction) : shown.things[0];
      if (target) {
        reveal(target.frame);
        target.element.focus({ preventScroll: true });
      }
    } else if (focused && (event.key === "Enter" || event.key === " ")) {
      act(focused);
    } else if (focused && event.key === "c") {
      const node = shown.scene.nodes[focused.node];
      const b = node ? around(shown.scene, node).find((box) => shown.scene.opens[box]) : focused.close;
      if (b !== undefined && b >= 0 && state.scene !== "cell") close(b);
    } else return;
    event.preventDefault();
    event.stopPropagation();
  });

  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || $("keys").open) return;
    const typing = event.target instanceof HTMLInputElement || event.target instanceof HTMLSelectElement;
    const ranged = typing && event.target.type === "range";
    if (event.key === "Escape") return hide();
    if (typing && !(ranged && "+-=0?".includes(event.key))) return undefined;
    const actions = {
      ArrowRight: () => go(state.place + 1), ArrowLeft: () => go(state.place - 1),
      PageDown: () => go(stepFrom(state.place, 1)), PageUp: () => go(stepFrom(state.place, -1)),
      Home: () => go(0), End: () => go(total),
      "+": () => zoomBy(1.3), "=": () => zoomBy(1.3), "-": () => zoomBy(1 / 1.3), 0: () => fit(),
      "?": () => $("keys").showModal(),
    };
    const action = actions[event.key];
    if (!action) return undefined;
    event.preventDefault();
    return action();
  });

  addEventListener("resize", () => { if (untouched) fit(untouched === "readable"); });

  for (const [name, scene] of Object.entries(scenes)) takeParts(name, scene);
  setUp();
  render();
  fit(true);
  document.documentElement.dataset.ready = "true";
})();
