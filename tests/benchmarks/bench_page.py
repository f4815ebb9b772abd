"""How large a page is, and how long it takes: to be written, opened, stepped through, changed.

The times in the browser are Chromium's own, opening from the beginning of the navigation until the
first view stands; `apt-get install chromium chromium-driver` brings what is needed.
"""

import os

for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(name, "1")

import shutil
import statistics
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from unspool import Tape, Tensor, unroll
from unspool.cells import LSTM, Elman
from unspool.viz import draw

sys.path.insert(0, str(Path(__file__).parents[1]))
from test_page import Browser

LOADED = "return performance.getEntriesByName('ready')[0].startTime"
ALL = (
    "const t = performance.now(); document.querySelector('[data-scene=op]').click();"
    "const s = document.getElementById('steps'); s.value = s.max;"
    "s.dispatchEvent(new Event('change')); document.body.getBoundingClientRect();"
    "return performance.now() - t"
)
STEP = (
    "const t = performance.now(); document.getElementById('next').click();"
    "document.body.getBoundingClientRect(); return performance.now() - t"
)
CHANGE = (
    "const t = performance.now(); unspool.change('xs', 0, Math.random());"
    "document.body.getBoundingClientRect(); return performance.now() - t"
)


def main() -> None:
    """Print a line for each length."""
    if not (shutil.which("chromium") and shutil.which("chromedriver")):
        print("bench_page: no chromium and chromedriver here")
        return
    print("cell   steps  width  write s  size KB  open ms  all ops ms  step ms  change ms")
    with tempfile.TemporaryDirectory() as folder:
        browser = Browser(Path(folder, "profile"))
        try:
            for cell, steps, width in (
                *((LSTM, 3, 4), (LSTM, 20, 4), (LSTM, 20, 64), (LSTM, 100, 16)),
                *((Elman, 100, 16), (Elman, 500, 4)),
            ):
                data = np.random.default_rng(0).normal(size=(steps, 8)).astype(np.float32)
                xs = Tensor(data, name="xs")
                tape = Tape((unroll(cell(8, width, rng=0), xs)[0] ** 2).sum())
                drawing = draw(tape, grads=tape.gradients())
                begin = time.perf_counter()
                path = drawing.save(Path(folder, "page.html"))
                wrote = time.perf_counter() - begin
                opened = []
                for _ in range(3):
                    browser.open(path)
                    browser.wait()
                    opened.append(browser.run(LOADED))
                everything = browser.run(ALL)
                stepped = statistics.median(browser.run(STEP) for _ in range(9))
                changed = statistics.median(browser.run(CHANGE) for _ in range(9))
                print(
                    f"{cell.__name__:5}  {steps:5}  {width:5}  {wrote:7.2f}  "
                    f"{path.stat().st_size / 1000:7.0f}  {statistics.median(opened):7.0f}  "
                    f"{everything:10.0f}  {stepped:7.0f}  {changed:9.0f}"
                )
        finally:
            browser.close()


if __name__ == "__main__":
    main()
