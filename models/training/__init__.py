"""How a model learns: ``fit`` and its tasks, optimisers, schedules, checkpoints, metrics."""

from .checkpoint import differences
from .training import History, Sequences, Stream, Task, count_targets, evaluate, fit, save_history

__all__ = [
    "History",
    "Sequences",
    "Stream",
    "Task",
    "count_targets",
    "differences",
    "evaluate",
    "fit",
    "save_history",
]
