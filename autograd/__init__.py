"""What a gradient is: Tensors that remember how they were computed, and the tape behind them.

``context`` says where an op happens, ``tensor`` what a Tensor is and how an op is applied,
``tape`` how gradients run back. ``numpy_ops`` and ``nn_ops`` are the table of ops,
``composed`` what NumPy has and can be written with these,
``functional`` holds derivatives of functions, ``check`` compares them with differences;
``allocation`` lets a tape's memory serve the next one.
"""

from . import composed as composed
from .allocation import freed_memory_kept, keep_freed_memory
from .check import check_grads
from .context import detect_anomaly, no_grad, scope
from .functional import checkpoint, grad, hessian, jacobian, jvp, value_and_grad, vjp
from .nn_ops import *
from .nn_ops import __all__ as _nn
from .numpy_ops import scatter_add, unbroadcast
from .tape import Gradients, Record, Tape
from .tensor import Op, Parameter, Tensor

__all__ = [
    "Gradients",
    "Op",
    "Parameter",
    "Record",
    "Tape",
    "Tensor",
    "check_grads",
    "checkpoint",
    "detect_anomaly",
    "freed_memory_kept",
    "grad",
    "hessian",
    "jacobian",
    "jvp",
    "keep_freed_memory",
    "no_grad",
    "scatter_add",
    "scope",
    "unbroadcast",
    "value_and_grad",
    "vjp",
    *_nn,
]
