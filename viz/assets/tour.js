// A tour in five captions for a newcomer: each shows what it tells.

const lastOf = (t, back) => {
  for (let p = total; p > 0; p -= 1) {
    const now = at(p);
    if (now.back === back && records[now.row].t === t && records[now.row].l === (records.findLast((r) => r.t)?.l)) return p;
  }
  return 0;
};
const lastStep = Math.max(0, ...records.map((record) => record.t ?? 0));

const TOUR = [
  {
    text: "Time runs from left to right: a column is a time step, with its input x below. What a step hands to the next is its state, h. Every step computes the same, with the same weights.",
    show: () => { unit = ""; go(0); if (scenes.cell) showScene("cell"); },
  },
  {
    text: "Open a step and you see its gates, and in these its operations. Click any box; click its title to close it again.",
    show: () => {
      if (!scenes.op) return;
      const cells = cellsOf(scenes.op).map((b) => scenes.op.boxes[b].cell);
      const middle = cells.find(([, t]) => t === Math.min(2, lastStep)) ?? cells[0];
      openOnly((cell) => cell === middle);
      render();
      fit(true);
    },
  },
  {
    text: "Forward: ▶| computes the next record. The panel shows its equation, with letters and with numbers. Here a step is done.",
    show: () => go(lastOf(Math.min(2, lastStep), false) || records.length),
  },
  {
    text: "Backward: the gradient begins at the loss and comes back through time, step by step. The panel shows what has arrived, by which rule, and what goes on to each operand. Colours are the norms of what has arrived.",
    show: () => {
      if (scenes.cell) showScene("cell");
      go(backward.length ? lastOf(lastStep, true) || total : records.length);
    },
  },
  {
    text: "A weight is used in every step, so its gradient is a sum over time: its running sum stands beside what it will be in the end. Change a number on the right: both passes are computed again at once, and the bars show how much gradient reaches each step.",
    show: () => {
      go(backward.length ? lastOf(Math.max(lastStep - 1, 1), true) || total : records.length);
      const item = items.find((one) => one.kind === "weights");
      if (item) { openEditor(item); show({ tensor: item.x }); }
    },
  },
];

let caption = -1;

function tour(n) {
  caption = n >= 0 && n < TOUR.length ? n : -1;
  $("tour").hidden = caption < 0;
  if (caption < 0) return $("guide").focus();
  $("tour-text").textContent = TOUR[caption].text;
  $("tour-nth").textContent = `${caption + 1} of ${TOUR.length}`;
  $("tour-back").disabled = caption === 0;
  $("tour-next").textContent = caption === TOUR.length - 1 ? "Done" : "Next";
  TOUR[caption].show();
  return $("tour-next").focus({ preventScroll: true });
}

function setUpTour() {
  $("guide").addEventListener("click", () => tour(0));
  $("tour-next").addEventListener("click", () => tour(caption + 1));
  $("tour-back").addEventListener("click", () => tour(caption - 1));
  $("tour-end").addEventListener("click", () => tour(-1));
}
