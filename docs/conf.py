"""Sphinx's settings for the site; ``make docs`` builds it from what ``assemble.py`` wrote."""

from __future__ import annotations

import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import reference
import unspool

project = "unspool"
author = "The unspool developers"
copyright = author
release = version = unspool.__version__

extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "extension",  # beside this file
]
# Links to NumPy's and Python's pages need the network: the publishing workflow asks for them.
if os.environ.get("UNSPOOL_DOCS_ONLINE"):
    extensions.append("sphinx.ext.intersphinx")
    intersphinx_mapping = {
        "python": ("https://docs.python.org/3", None),
        "numpy": ("https://numpy.org/doc/stable", None),
    }

# Every reference must lead somewhere; extension.py excuses other packages and internal names.
nitpicky = True
reference.modules()

# The reference: signatures without types, which stand beside the arguments.
autodoc_typehints = "description"
autodoc_typehints_description_target = "all"
autodoc_member_order = "bysource"
autodoc_class_signature = "mixed"
autodoc_inherit_docstrings = True
napoleon_numpy_docstring = False
napoleon_use_ivar = True
napoleon_use_rtype = False
napoleon_preprocess_types = False
add_module_names = False
maximum_signature_line_length = 72

# Notebooks: those with outputs stand as they are, the others are executed.
myst_enable_extensions = ["dollarmath", "amsmath", "colon_fence", "deflist"]
myst_heading_anchors = 3
nb_execution_mode = "auto"
nb_execution_timeout = 300
nb_execution_raise_on_error = True
nb_execution_show_tb = True
nb_merge_streams = True
exclude_patterns = ["notebooks/data"]
smartquotes = False
if os.environ.get("UNSPOOL_DOCS_QUICK"):
    nb_execution_excludepatterns = ["notebooks/*"]

html_theme = "furo"
html_title = f"unspool {release}"
html_static_path = ["static"]
html_css_files = ["site.css"]
html_extra_path = [os.environ.get("UNSPOOL_DOCS_EXTRA", "static")]
html_math_renderer = "mathml"
html_copy_source = False
html_show_sourcelink = False
pygments_style = "friendly"
pygments_dark_style = "monokai"

linkcheck_timeout = 20
linkcheck_anchors = False
linkcheck_retries = 2
