// Setting up the page, and its keys.

function tellScale() {
  const place = $("scale").querySelector(".scale");
  place.replaceChildren();
  (scale ?? []).forEach((bound, n) => {
    const swatch = element("i");
    swatch.style.background = `var(--g${n})`;
    place.append(element("span", {}, swatch, `≥ ${number(Number(bound.toPrecision(2)))}`));
  });
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
  const most = Math.max(0, ...Object.values(scenes).flatMap(columnsOf).map((columns) => columns.length));
  if (most > 1) {
    $("shown").hidden = false;
    $("steps").max = most;
    $("steps").value = state.steps = Math.min(state.steps, most);
    $("steps").addEventListener("change", () => showSteps(Number($("steps").value)));
    $("keep").value = state.keep;
    $("keep").addEventListener("change", () => { state.keep = $("keep").value; showSteps(state.steps); });
  }
  $("walk").max = total;
  $("forward").style.flexGrow = records.length;
  $("backward").style.flexGrow = backward.length;
  $("backward").hidden = !backward.length;
  $("walk").addEventListener("input", () => go(Number($("walk").value)));
  const actions = {
    in: () => zoomBy(1.3), out: () => zoomBy(1 / 1.3), fit: () => fit(), play,
    first: () => go(0), back: previous, next, last: () => go(total),
    ask: () => $("keys").showModal(),
  };
  for (const [id, action] of Object.entries(actions)) $(id).addEventListener("click", action);
  $("by").addEventListener("change", () => { unit = $("by").value; light(); });
  $("search").addEventListener("input", () => tellTape(current()));
  $("search").addEventListener("keydown", (event) => {
    const found = event.key === "Enter" ? searched() : null;
    if (!found?.length) return;
    const after = found.find((row) => row > (current()?.row ?? -1)) ?? found[0];
    go(after + 1);
  });
  setUpTouch();
  setUpTour();
  tellScale();
  chart();
  if (data.at && scenes.op) {
    openOnly(([, t]) => t === data.at);
    state.steps = Math.max(state.steps, Math.min(data.at + 1, most));
    state.keep = "first";
    $("steps").value = state.steps;
  }
}

// Keys ------------------------------------------------------------------------------------------

function nearest(from, dx, dy) {
  const [x, y] = middleOf(from.frame);
  let best = null;
  let least = Infinity;
  for (const other of shown.things) {
    if (other === from) continue;
    const [ox, oy] = middleOf(other.frame);
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
  if (event.key === "Escape") return caption >= 0 ? tour(-1) : hide();
  if (typing && !(ranged && "+-=0?".includes(event.key))) return undefined;
  const actions = {
    ArrowRight: next, ArrowLeft: previous,
    PageDown: () => go(stepFrom(state.place, 1, "step")), PageUp: () => go(stepFrom(state.place, -1, "step")),
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

setUp();
render();
fit(true);
// For whoever goes on in the console: the data and, if the page computes it, the tape.
globalThis.unspool = { tensors, records, scenes, live, zoom, change: (name, k, value) => change(items.find((item) => item.name === name), k, value) };
document.documentElement.dataset.ready = "true";
performance.mark("ready");
