"""How a model is trained: ``fit`` and its tasks, optimisers, schedules, checkpoints, metrics."""

from . import schedules
from .chain_thaw import chain_thaw
from .checkpoint import differences, previous_of
from .loop import evaluate, fit
from .metrics import accuracy, bits_of, confusion, label_scores, span_f1, span_scores
from .optim import (
    SGD,
    Adadelta,
    Adagrad,
    Adam,
    Adamax,
    AdamW,
    NAdam,
    Optimizer,
    RMSprop,
    clip_by_global_norm,
    clip_by_value,
)
from .report import History, save_history
from .tasks import Sequences, Stream, Task, count_targets

__all__ = [
    "fit", "evaluate", "chain_thaw", "Task", "Stream", "Sequences", "count_targets", "History",
    "save_history", "differences", "Optimizer", "SGD", "Adam", "AdamW", "NAdam", "Adamax",
    "Adagrad", "RMSprop", "Adadelta", "clip_by_global_norm", "clip_by_value", "schedules",
    "accuracy", "bits_of", "confusion", "label_scores", "previous_of", "span_f1", "span_scores",
]  # fmt: skip
