"""Exercises of the notebooks, with checks that answer.

``check("05.lstm", MyLSTM)`` says what is wrong with an answer, from the general to the particular:
its type and shape; terms isolated by weights at 0; a known mistake, recognised from the numbers;
its equations, read off the tape, beside the right ones. ``hint`` gives one of three hints a call,
``solution`` the answer, ``progress`` what was passed in this session; ``given`` the numbers of an
exercise that has its own for everybody. In grading mode (``grading()``, or UNSPOOL_GRADING=1 in
the environment) a check that fails raises AssertionError.

Files: ``exercise.py`` (what every exercise declares), ``kinds.py`` (its kinds), ``answers.py`` (a
student's program run and compared), ``report.py`` (what is shown), ``session.py`` (these
functions), and one file a notebook, as ``n05_gates.py``, found by its name.
"""

from .exercise import digest
from .session import check, exercises, given, grading, hint, progress, solution

__all__ = ["check", "hint", "solution", "progress", "given", "grading", "exercises", "digest"]
