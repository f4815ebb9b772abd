// What is seen of the picture: boxes that open and close, steps, levels.

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
  return node?.r?.length ? goTo(node.r[0]) : undefined;
}

// Draw anew, with a box staying where it is on the screen.
function keeping(boxBefore, change, after) {
  const before = onScreen(middleOf(boxBefore));
  change();
  render();
  const frame = after();
  if (untouched) {
    fit(untouched === "readable");
    return reveal(frame);
  }
  const now = onScreen(middleOf(frame));
  return moveBy(before[0] - now[0], before[1] - now[1]);
}

const frameOf = (b) => {
  const { X, Y, scene } = shown;
  const [x1, y1, x2, y2] = scene.boxes[b].b;
  return [X(x1), Y(y1), X(x2), Y(y2)];
};

function open(b) {
  const change = () => keeping(frameOf(b), () => state.closed[state.scene].delete(b), () => frameOf(b));
  focusing(change, (other) => other.close === b);
}

function close(b) {
  const change = () => keeping(frameOf(b), () => state.closed[state.scene].add(b), () => frameOf(b));
  focusing(change, (other) => other.cover?.box === b);
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
  const [x, y, half, high] = nodeFrame(node);
  const change = () => keeping([x - half, y - high, x + half, y + high], () => {
    state.scene = "op";
    state.closed.op = closed;
  }, () => frameOf(b));
  focusing(change, (other) => other.close === b);
}

function toggleLayer(loop) {
  const test = ([l]) => l === loop;
  if (state.scene === "cell") openOnly(test);
  else {
    const boxes = cellsOf(shown.scene, test);
    const closed = state.closed[state.scene];
    const all = boxes.every((b) => closed.has(b));
    for (const b of boxes) if (all) closed.delete(b); else closed.add(b);
  }
  focusing(() => { render(); fit(true); }, (other) => other.layer === loop);
}

// Draw anew; if something in the picture had the focus, another thing has it then.
function focusing(change, test) {
  const focused = picture.contains(document.activeElement);
  change();
  if (focused) shown.things.find(test)?.element.focus({ preventScroll: true });
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
