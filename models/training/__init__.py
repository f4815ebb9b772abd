"""How a model is trained: ``fit`` and its tasks, optimisers, schedules, checkpoints, metrics."""

from . import schedules
from .chain_thaw import chain_thaw
from .checkpoint import differences
from .loop import evaluate, fit
from .metrics import accuracy, bits_of, confusion, label_scores, span_f1, span_scores
from .optim import (
    SGD,
    Adadelta,
    Adagrad,
    Adam,
    AdamW,
    Optimizer,
    RMSprop,
    clip_by_global_norm,
    clip_by_value,
)
from .report import History, save_history
from .tasks import Sequences, Stream, Task, count_targets

__all__ = [
    "SGD",
    "Adadelta",
    "Adagrad",
    "Adam",
    "AdamW",
    "History",
    "Optimizer",
    "RMSprop",
    "Sequences",
    "Stream",
    "Task",
    "accuracy",
    "bits_of",
    "chain_thaw",
    "clip_by_global_norm",
    "clip_by_value",
    "confusion",
    "count_targets",
    "differences",
    "evaluate",
    "fit",
    "label_scores",
    "save_history",
    "schedules",
    "span_f1",
    "span_scores",
]
