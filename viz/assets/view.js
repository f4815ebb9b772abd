// What is seen of the picture: boxes that open and close, steps, levels, zoom.

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
  render();
  fit(true);
}

function showScene(name) {
  state.scene = name;
  state.closed[name] = new Set();
  render();
  fit(true);
}
// Zoom ----------------------------------------------------------------------------------------

const zoom = d3.zoom().scaleExtent([0.01, 8]).on("zoom", (event) => {
  world.setAttribute("transform", event.transform);
  if (event.sourceEvent) untouched = "";
});
d3.select(picture).call(zoom).on("dblclick.zoom", null);

const READABLE = 12; // pixels, which are 9 points: how high the smallest label is at least

// Show all. What is too large for that to be read begins where the eye does: at the lower left or,
// where the last steps are kept, at the lower right.
function fit(readable = false) {
  const [x1, y1, x2, y2] = shown.extent;
  const { clientWidth: wide, clientHeight: tall } = picture;
  const [byWidth, byHeight] = [wide / (x2 - x1 + 48), tall / (y2 - y1 + 48)];
  const all = Math.max(Math.min(byWidth, byHeight, 1.6), 0.01);
  const k = readable ? Math.max(all, READABLE / shown.scene.parts.smallest) : all;
  const atEnd = state.keep === "last" && state.place > records.length;
  const edge = atEnd ? wide - (x2 + 24) * k : (24 - x1) * k;
  const x = byWidth < k ? edge : (wide - k * (x1 + x2)) / 2;
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
