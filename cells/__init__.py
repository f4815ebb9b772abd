"""Recurrent cells: the equations of one time step, unrolled, stacked and reversed.

``cell`` is the abstraction and the loop over time, ``recurrent`` the lectures' cells, ``variants``
their relatives; ``composite`` stacks and reverses them, ``wrappers`` add noise. ``module`` holds
parameters, ``config`` the arguments that a module was made with; ``exchange`` and ``onnx_export``
lead to and from other libraries, ``flow`` measures gradients over time. ``plan`` sorts the records
of a step into ``calls``, ``adjoint`` those of its pass back, ``execute`` runs them, and ``fused``
makes a run one record; ``compiled`` has its loop as machine code, which ``fast`` asks for.

Everywhere ``rng`` is a Generator, a seed, or None, for initial weights and for noise.
"""

from ..files import load_npz, load_safetensors, save_npz, save_safetensors
from .cell import Cell, State, detached, unroll
from .composite import MERGES, Bidirectional, Stacked, check_member, width_out
from .config import Configured, NotConfigurable, cell_maker, register
from .exchange import (
    fill_from_torch,
    load_concatenated,
    load_keras,
    load_torch,
    to_keras,
    to_torch,
    torch_entries,
    torch_layer,
)
from .fast import jit, jit_available
from .flow import Flow, gradient_flow
from .initial import (
    INITIALISERS,
    calculate_gain,
    glorot_uniform,
    identity,
    orthogonal,
    truncated_normal,
    uniform,
    zeros,
)
from .module import Module, Update
from .onnx_export import (
    OnnxGraph,
    onnx_merged,
    onnx_over_time,
    output_states,
    save_onnx,
    to_onnx,
    write_onnx,
)
from .recurrent import GRU, LSTM, Elman, GatedCell
from .sequence import real_positions
from .variants import (
    MGU,
    ActivatedGRU,
    ActivatedLSTM,
    LayerNormLSTM,
    PeepholeLSTM,
    ResetAfterGRU,
)
from .wrappers import InputDropout, VariationalDropout, Wrapper, Zoneout

__all__ = [
    # Cells.
    "Cell", "GatedCell", "Elman", "LSTM", "GRU", "ResetAfterGRU", "PeepholeLSTM",
    "LayerNormLSTM", "MGU", "ActivatedLSTM", "ActivatedGRU",
    # Around them.
    "unroll", "State", "detached", "Stacked", "Bidirectional", "MERGES", "Wrapper",
    "InputDropout", "VariationalDropout", "Zoneout", "jit", "jit_available",
    # Parameters and settings.
    "Module", "Configured", "NotConfigurable", "register", "cell_maker", "calculate_gain",
    "glorot_uniform", "orthogonal", "uniform", "identity", "zeros", "INITIALISERS",
    # Gradients over time.
    "Flow", "gradient_flow",
    # Weights to and from files and other libraries.
    "load_npz", "save_npz", "load_safetensors", "save_safetensors", "load_torch", "to_torch",
    "load_keras", "to_keras", "load_concatenated", "to_onnx", "save_onnx",
    # For models.
    "truncated_normal", "check_member", "width_out", "real_positions", "OnnxGraph",
    "onnx_merged", "onnx_over_time", "output_states", "write_onnx", "Update", "fill_from_torch",
    "torch_entries", "torch_layer",
]  # fmt: skip
