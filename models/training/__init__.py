"""How a model is trained: ``fit`` and its tasks, optimisers, schedules, checkpoints, metrics."""

from .loop import evaluate, fit
from .report import History, save_history
from .tasks import Sequences, Stream, Task, count_targets

__all__ = [
    "History",
    "Sequences",
    "Stream",
    "Task",
    "count_targets",
    "evaluate",
    "fit",
    "save_history",
]
