"""nbgrader's settings: the stub of ``build.py``, with which a student's version runs to its end."""

config = get_config()  # noqa: F821, of traitlets
config.ClearSolutions.code_stub = {"python": "pass  # your code here"}
