"""How large the page of an LSTM is, and how long it takes: to be written, opened, stepped through.

The times in the browser are Chromium's own, from the beginning of the navigation until all is
drawn; `apt-get install chromium chromium-driver` brings what is needed.
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

from unspool import Tape, unroll
from unspool.cells import LSTM
from unspool.viz import draw

sys.path.insert(0, str(Path(__file__).parents[1]))
from test_page import Browser

LOADED = "return performance.getEntriesByType('navigation')[0].domComplete"
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


def main() -> None:
    """Print a line for each length."""
    if not (shutil.which("chromium") and shutil.which("chromedriver")):
        print("bench_page: no chromium and chromedriver here")
        return
    print("steps  width  write s  size KB  open ms  all ops ms  step ms")
    with tempfile.TemporaryDirectory() as folder:
        browser = Browser(Path(folder, "profile"))
        try:
            for steps, width in ((3, 4), (20, 4), (20, 64), (100, 16)):
                xs = np.random.default_rng(0).normal(size=(steps, 8)).astype(np.float32)
                tape = Tape((unroll(LSTM(8, width, rng=0), xs)[0] ** 2).sum())
                drawing = draw(tape, grads=tape.gradients())
                begin = time.perf_counter()
                path = drawing.save(Path(folder, "page.html"))
                wrote = time.perf_counter() - begin
                opened = []
                for _ in range(3):
                    browser.open(path)
                    opened.append(browser.run(LOADED))
                everything = browser.run(ALL)
                stepped = statistics.median(browser.run(STEP) for _ in range(9))
                print(
                    f"{steps:5}  {width:5}  {wrote:7.2f}  {path.stat().st_size / 1000:7.0f}  "
                    f"{statistics.median(opened):7.0f}  {everything:10.0f}  {stepped:7.0f}"
                )
        finally:
            browser.close()


if __name__ == "__main__":
    main()
