"""What happens at one time step, and how steps are unrolled, stacked and reversed."""

from ..files import load_npz, load_safetensors, save_npz, save_safetensors
from .cell import Cell, State, detached, unroll
from .composite import Bidirectional, Stacked
from .exchange import (
    load_concatenated,
    load_keras,
    load_torch,
    to_keras,
    to_torch,
)
from .flow import Flow, gradient_flow
from .initial import glorot_uniform, identity, orthogonal, uniform, zeros
from .module import Module
from .onnx_export import save_onnx, to_onnx
from .recurrent import GRU, LSTM, Elman, GatedCell
from .variants import MGU, LayerNormLSTM, PeepholeLSTM, ResetAfterGRU
from .wrappers import InputDropout, VariationalDropout, Wrapper, Zoneout

__all__ = [
    "GRU",
    "LSTM",
    "MGU",
    "Bidirectional",
    "Cell",
    "Elman",
    "Flow",
    "GatedCell",
    "InputDropout",
    "LayerNormLSTM",
    "Module",
    "PeepholeLSTM",
    "ResetAfterGRU",
    "Stacked",
    "State",
    "VariationalDropout",
    "Wrapper",
    "Zoneout",
    "detached",
    "glorot_uniform",
    "gradient_flow",
    "identity",
    "load_concatenated",
    "load_keras",
    "load_npz",
    "load_safetensors",
    "load_torch",
    "orthogonal",
    "save_npz",
    "save_onnx",
    "save_safetensors",
    "to_keras",
    "to_onnx",
    "to_torch",
    "uniform",
    "unroll",
    "zeros",
]
