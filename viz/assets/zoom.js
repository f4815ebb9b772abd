// Zoom: a point p of the picture stands at zoom.k * p + (zoom.x, zoom.y) on the screen.

const zoom = { x: 0, y: 0, k: 1 };
const [SMALLEST, LARGEST] = [0.01, 8];
const READABLE = 12; // pixels, which are 9 points: how high the smallest label is at least

const onScreen = ([x, y]) => [zoom.k * x + zoom.x, zoom.k * y + zoom.y];
const middleOf = ([x1, y1, x2, y2]) => [(x1 + x2) / 2, (y1 + y2) / 2];

function zoomTo(x, y, k) {
  Object.assign(zoom, { x, y, k });
  world.setAttribute("transform", `translate(${x} ${y}) scale(${k})`);
}

const moveBy = (dx, dy) => zoomTo(zoom.x + dx, zoom.y + dy, zoom.k);

// Zoom by a factor; a place of the screen, by default the middle, shows the same as before.
function zoomBy(factor, [x, y] = [picture.clientWidth / 2, picture.clientHeight / 2]) {
  untouched = "";
  const k = Math.min(Math.max(zoom.k * factor, SMALLEST), LARGEST);
  zoomTo(x - (x - zoom.x) * (k / zoom.k), y - (y - zoom.y) * (k / zoom.k), k);
}

// Show all. What is too large for that to be read begins where the eye does: at the lower left or,
// where the last steps are kept, at the lower right.
function fit(readable = false) {
  const [x1, y1, x2, y2] = shown.extent;
  const { clientWidth: wide, clientHeight: tall } = picture;
  const [byWidth, byHeight] = [wide / (x2 - x1 + 48), tall / (y2 - y1 + 48)];
  const all = Math.max(Math.min(byWidth, byHeight, 1.6), SMALLEST);
  const k = readable ? Math.max(all, READABLE / shown.scene.parts.smallest) : all;
  const atEnd = state.keep === "last" && state.place > records.length;
  const edge = atEnd ? wide - (x2 + 24) * k : (24 - x1) * k;
  const x = byWidth < k ? edge : (wide - k * (x1 + x2)) / 2;
  const y = byHeight < k ? tall - (y2 + 24) * k : (tall - k * (y1 + y2)) / 2;
  zoomTo(x, y, k);
  untouched = readable ? "readable" : "whole";
}

// Bring a frame into the middle, along each axis on which it is not in sight.
function reveal(frame) {
  const [left, top] = onScreen(frame);
  const [right, bottom] = onScreen(frame.slice(2));
  const { clientWidth: wide, clientHeight: tall } = picture;
  const [x, y] = onScreen(middleOf(frame));
  moveBy(left < 0 || right > wide ? wide / 2 - x : 0, top < 0 || bottom > tall ? tall / 2 - y : 0);
}

// A wheel zooms, a pointer drags, two fingers do both.
const pointers = new Map(); // those that are down -> where
let dragged = 0; // pixels since the first came down: what is more than a click

function placeOf(event) {
  const { left, top } = picture.getBoundingClientRect();
  return [event.clientX - left, event.clientY - top];
}

// The middle of the pointers, and how far they are from it.
function spread() {
  const places = [...pointers.values()];
  const mean = (numbers) => numbers.reduce((a, b) => a + b, 0) / numbers.length;
  const [x, y] = [0, 1].map((k) => mean(places.map((place) => place[k])));
  return [x, y, mean(places.map((place) => Math.hypot(place[0] - x, place[1] - y)))];
}

picture.addEventListener("wheel", (event) => {
  event.preventDefault();
  const pixels = event.deltaY * [1, 25, 500][event.deltaMode]; // of lines and of pages
  zoomBy(2 ** (-pixels * (event.ctrlKey ? 0.02 : 0.002)), placeOf(event)); // with ctrl: a pinch
}, { passive: false });

picture.addEventListener("pointerdown", (event) => {
  if (event.button !== 0) return;
  pointers.set(event.pointerId, placeOf(event));
});

picture.addEventListener("pointermove", (event) => {
  if (!pointers.has(event.pointerId)) return;
  const [x1, y1, far1] = spread();
  pointers.set(event.pointerId, placeOf(event));
  const [x2, y2, far2] = spread();
  if (far1 > 0) zoomBy(far2 / far1, [x1, y1]);
  moveBy(x2 - x1, y2 - y1);
  dragged += Math.hypot(x2 - x1, y2 - y1);
  if (dragged > 3) {
    untouched = "";
    picture.setPointerCapture(event.pointerId); // it may leave the picture
  }
});

for (const end of ["pointerup", "pointercancel"]) {
  addEventListener(end, (event) => {
    pointers.delete(event.pointerId);
    if (!pointers.size) setTimeout(() => { dragged = 0; }); // after the click, if one follows
  });
}

picture.addEventListener("click", (event) => { if (dragged > 3) event.stopPropagation(); }, true);
