"""Reverse-mode automatic differentiation: Tensors that remember how they were computed.

Read five files, in this order, and you have read an autodiff engine:

1. ``tensor``: the Op, ``apply``, which records it, and the Tensor with its operators;
2. ``numpy_core``: the table of the NumPy functions that networks use, each beside its rules;
3. ``buffers``: how the contributions to one gradient are summed;
4. ``backward``: the graph behind a result, and the pass back over it;
5. ``tape``: the same graph as a list of records, to be read, printed and differentiated.

The others, from those that every file may import to those that import most: ``coercion``,
``context`` (scopes, ``no_grad``), ``messages``, ``methods`` (``x.sum()``), ``workspace``
(products of one pass share arrays); ``numpy_calls`` (NumPy's call forms), ``numpy_more``,
``linear_algebra`` and ``composed`` (its other functions); ``arguments``, ``activations``,
``layers`` and ``losses`` (functions that NumPy lacks); ``anomaly``, ``trees``,
``functional`` (derivatives of functions), ``check`` (against differences), ``tracing`` (the
records of one step as lines), ``recompute`` (memory for time), ``allocation``.
"""

from . import composed as composed
from . import numpy_more as numpy_more
from .activations import (
    ACTIVATIONS,
    SIGMOID,
    SOFTMAX,
    elu,
    erf,
    gelu,
    hard_sigmoid,
    hardtanh,
    leaky_relu,
    log_sigmoid,
    log_softmax,
    logsumexp,
    mish,
    relu,
    selu,
    sigmoid,
    silu,
    softmax,
    softplus,
    softsign,
)
from .allocation import freed_memory_kept, keep_freed_memory
from .anomaly import detect_anomaly
from .arguments import Reduction, check_mask, check_reduction, class_ids, floats, one_array
from .backward import backpropagate, reachable
from .check import check_grads
from .context import (
    ClassName,
    anomaly_check,
    current_scope,
    no_grad,
    path_text,
    recording,
    scope,
    split_scope,
    without_steps,
)
from .functional import grad, hessian, jacobian, jvp, value_and_grad, vjp
from .layers import LAYER_NORM, conv1d, dropout, embedding, layer_norm, max_over_time
from .losses import (
    binary_cross_entropy,
    cross_entropy,
    hinge_loss,
    huber_loss,
    kl_divergence,
    l1_loss,
    mse_loss,
    nll_loss,
    reduce_loss,
)
from .messages import describe, options_text
from .numpy_core import CONCATENATE, scatter_add, unbroadcast, zero
from .recompute import checkpoint
from .tape import Gradients, Record, Tape
from .tensor import (
    TABLE,
    Op,
    Parameter,
    Tensor,
    apply,
    arrays_of,
    operand,
    operands_of,
    reserve_numbers,
    values,
)
from .tracing import Line, Trace, Untraceable, made_by, operands_read, split_off_weights, trace
from .trees import flatten

__all__ = [
    # The Tensor and its tape.
    "Tensor", "Parameter", "Tape", "Record", "Gradients",
    # Ops of one's own.
    "Op", "apply", "scatter_add", "unbroadcast",
    # Contexts.
    "no_grad", "scope", "detect_anomaly",
    # Derivatives.
    "grad", "value_and_grad", "vjp", "jvp", "jacobian", "hessian", "check_grads", "checkpoint",
    # Functions that NumPy lacks; ACTIVATIONS finds some of them by name.
    "sigmoid", "hard_sigmoid", "log_sigmoid", "relu", "leaky_relu", "elu", "selu", "silu", "mish",
    "gelu", "erf", "softplus", "softsign", "hardtanh", "softmax", "log_softmax", "logsumexp",
    "embedding", "dropout", "conv1d", "layer_norm", "max_over_time", "ACTIVATIONS",
    # Losses.
    "cross_entropy", "nll_loss", "binary_cross_entropy", "hinge_loss", "mse_loss", "l1_loss",
    "huber_loss", "kl_divergence",
    # For layers, cells and models: arguments, operands and errors.
    "operand", "values", "floats", "one_array", "class_ids", "check_mask", "check_reduction",
    "reduce_loss", "Reduction", "flatten", "describe", "options_text", "path_text",
    # Internal names that other folders share, which may change.
    "recording", "current_scope", "anomaly_check", "ClassName", "split_scope", "without_steps",
    "backpropagate", "reachable", "operands_of", "arrays_of", "made_by", "reserve_numbers", "trace",
    "Line", "Trace", "Untraceable", "operands_read", "split_off_weights", "TABLE", "SIGMOID",
    "CONCATENATE", "LAYER_NORM", "SOFTMAX", "zero", "freed_memory_kept", "keep_freed_memory",
]  # fmt: skip
