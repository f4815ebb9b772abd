# packages: matplotlib ipython
"""Run by test_browser.py in Pyodide: the cells of notebook.ipynb, run by IPython."""

import json
import sys
import time

import matplotlib
from IPython.core.interactiveshell import InteractiveShell

matplotlib.use("agg")
shell = InteractiveShell.instance()
shell.run_line_magic("colors", "NoColor")
with open("notebook.ipynb", encoding="utf-8") as file:
    cells = json.load(file)["cells"]
began = time.time()
for cell in cells:
    if cell["cell_type"] == "code":
        result = shell.run_cell("".join(cell["source"]))
        if not result.success:
            sys.exit(f"cell {cell['id']}: {result.error_in_exec or result.error_before_exec!r}")
print(f"passed in {time.time() - began:.0f} s")
