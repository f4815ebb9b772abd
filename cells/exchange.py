"""Weights from and to PyTorch and Keras, and matrices over a concatenation.

All hold the same numbers in another order: PyTorch has one matrix for all gates, with column
vectors, Keras one with row vectors, lectures one over [h; x] for each gate. A cell is packed into
one matrix for x, one for h and two biases, and unpacked from them; the rest is names. A cell
without a counterpart raises, with a cure.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from ..autograd import values
from ..checks import check_choice, wrong_type
from ..files import load_arrays
from .cell import Cell
from .composite import Bidirectional, Stacked
from .module import Module, Update
from .recurrent import GRU, LSTM, Elman, suffixed
from .variants import MGU, ActivatedGRU, ActivatedLSTM, PeepholeLSTM, ResetAfterGRU
from .wrappers import InputDropout, VariationalDropout, Zoneout

Array = NDArray[Any]
M = TypeVar("M", bound=Module)


# Cells as packed matrices -----------------------------------------------------------------------


class System(NamedTuple):
    """The layout of another library's recurrent layers."""

    name: str  # for messages
    gates: dict[type[Cell], tuple[str, ...]]  # of each of its cells, in packed matrices
    merges: tuple[str, ...]  # of its bidirectional layers
    activations: tuple[str, ...]  # of its Elman network

    def kind(self, cell: Cell) -> type[Cell] | None:
        """The class whose equations a cell has, of those in ``gates``."""
        for kind in self.gates:
            # Not isinstance: a subclass with equations of its own is another function.
            if type(cell).forward is kind.forward and type(cell).output is Cell.output:
                return kind
        return None

    def order(self, cell: Cell, who: str) -> tuple[str, ...]:
        """The gates of a cell in this library's order, or an error with a cure."""
        if (kind := self.kind(cell)) is not None:
            activation = cell.activation if isinstance(cell, Elman) else "tanh"
            if activation not in self.activations:
                raise ValueError(
                    f"{who}: {self.name} has no recurrent layer with {activation}; it has "
                    f"{', '.join(self.activations)}"
                )
            return self.gates[kind]
        for kind, cure in CURES.items():
            if isinstance(cell, kind):
                raise ValueError(f"{who}: {type(cell).__name__} {cure.format(system=self.name)}")
        have = ", ".join(kind.__name__ for kind in self.gates)
        raise ValueError(
            f"{who}: {type(cell).__name__} has no counterpart in {self.name}, which has {have}; "
            "write its equations there and fill them with the arrays of state_dict()"
        )

    def layers(self, module: Any, who: str) -> list[tuple[Cell, ...]]:
        """The cells of a module layer by layer, one or two (forward, backward) in each."""
        if isinstance(module, Stacked):
            if module.residual:
                raise ValueError(
                    f"{who}: residual connections have no counterpart in {self.name}'s stacks; "
                    "go layer by layer, over stacked.members, and add the inputs there"
                )
            return [layer for member in module.members for layer in self.layers(member, who)]
        if isinstance(module, Bidirectional):
            if module.merge not in self.merges:
                raise ValueError(
                    f"{who}: merge={module.merge!r} has no counterpart in {self.name}, which has "
                    f"{', '.join(self.merges)}; go through .forward and .backward singly"
                )
            ahead = self.layers(module.forward, who)
            back = self.layers(module.backward, who)
            if [len(layer) for layer in (*ahead, *back)] != [1, 1]:
                raise ValueError(
                    f"{who}: in {self.name} each layer is bidirectional by itself; write "
                    "Stacked([Bidirectional(cell, cell), Bidirectional(cell, cell)]), not a "
                    "Bidirectional of stacks"
                )
            return [(*ahead[0], *back[0])]
        if isinstance(module, (InputDropout, VariationalDropout)):  # in eval() they are the cell
            return self.layers(module.cell, who)
        if isinstance(module, Cell):
            self.order(module, who)
            return [(module,)]
        cure = "of a model pass the part that is unrolled, such as model.cell"
        raise wrong_type(f"{who}: expected a Cell, Stacked or Bidirectional", module, cure)


LSTM_GATES = ("i", "f", "g", "o")
TORCH = System(
    "PyTorch",
    {Elman: ("",), LSTM: LSTM_GATES, ResetAfterGRU: ("r", "z", "n")},
    merges=("concat",),
    activations=("tanh", "relu"),
)
KERAS = System(
    "Keras",
    {
        Elman: ("",),
        LSTM: LSTM_GATES,
        GRU: ("z", "r", "h"),
        ResetAfterGRU: ("z", "r", "n"),
        ActivatedLSTM: LSTM_GATES,
        ActivatedGRU: ("z", "r", "n"),
    },
    merges=("concat", "sum", "mean", "mul"),
    activations=Elman.activations,
)
# Cures for cells that a library lacks.
CURES: dict[type[Cell], str] = {
    GRU: (
        "resets before the product, {system}'s GRU after it, and no weights make them equal: use "
        "ResetAfterGRU"
    ),
    PeepholeLSTM: (
        "has no counterpart in {system}, which has no peepholes: use LSTM, or export this one "
        "with to_onnx"
    ),
    MGU: (
        "has no counterpart in {system}: it is a GRU whose r and z are the same, so copy its W_f, "
        "U_f, b_f to both of a GRU's gates and export that one with to_keras or to_onnx"
    ),
    Zoneout: (
        "has no counterpart in {system}: also in eval() it mixes old and new states; export its "
        ".cell for the weights alone"
    ),
}


class Packed(NamedTuple):
    """The arrays of a cell with its gates side by side: x W + b and h U + c."""

    W: Array  # (d_in, gates * d_h)
    U: Array  # (d_h, gates * d_h)
    b: Array | None  # (gates * d_h,), or None without biases
    c: Array | None  # the same, a second bias beside h U; here it is 0 but for c_n


def has_bias(cell: Cell) -> bool:
    """Whether a cell was made with ``bias=True``."""
    return any(name[0] == "b" for name, _ in cell.named_parameters())


def pack(cell: Cell, gates: Sequence[str]) -> Packed:
    """The arrays of a cell, its gates in this order."""

    def joined(letter: str) -> Array:
        blocks = []
        for gate in gates:
            block = getattr(cell, suffixed(letter, gate)).data
            blocks.append(-block if negated(cell, gate) else block)
        return np.concatenate(blocks, axis=-1)

    if not has_bias(cell):
        return Packed(joined("W"), joined("U"), None, None)
    b = joined("b")
    c = np.zeros_like(b)
    if isinstance(cell, ResetAfterGRU):
        n = list(gates).index("n")
        c[n * cell.d_h : (n + 1) * cell.d_h] = cell.c_n.data
    return Packed(joined("W"), joined("U"), b, c)


def unpack(cell: Cell, gates: Sequence[str], packed: Packed) -> dict[str, Array]:
    """The parameters of a cell by name, from its packed arrays."""
    found: dict[str, Array] = {}
    for k, gate in enumerate(gates):
        block = slice(k * cell.d_h, (k + 1) * cell.d_h)
        parts = {"W": packed.W[:, block], "U": packed.U[:, block]}
        if packed.b is not None and packed.c is not None:
            if isinstance(cell, ResetAfterGRU) and gate == "n":
                parts |= {"b": packed.b[block], "c": packed.c[block]}
            else:
                parts |= {"b": packed.b[block] + packed.c[block]}
        sign = -1 if negated(cell, gate) else 1
        found |= {suffixed(letter, gate): sign * part for letter, part in parts.items()}
    return found


def negated(cell: Cell, gate: str) -> bool:
    """Whether a gate is 1 minus that of the libraries: the z of the lectures' GRU.

    Theirs weights the old state, this one the new. As 1 - σ(a) = σ(-a), W_z, U_z and b_z change
    their sign.
    """
    return gate == "z" and isinstance(cell, GRU)


def put_all(update: Update, source: str, cell: Cell, arrays: Mapping[str, Array]) -> None:
    """New values for the parameters of a cell, by name."""
    for name, array in arrays.items():
        update.put(source, getattr(cell, name), array)


def plain(value: Any) -> Array:
    """An entry of a state as an array, also a PyTorch tensor (bfloat16 as float32)."""
    if hasattr(value, "cpu"):
        value = value.detach().cpu()
        if str(value.dtype) == "torch.bfloat16":
            value = value.float()
        return np.asarray(value.numpy())
    return np.asarray(values(value))


# PyTorch ----------------------------------------------------------------------------------------


def load_torch(module: M, state: Any, *, prefix: str = "") -> M:
    """Fill a module with the weights of a PyTorch recurrent layer, in place; returns it.

    ``nn.RNN`` goes to Elman, ``nn.LSTM`` to LSTM, ``nn.GRU`` to ResetAfterGRU, and so do their
    Cells; several layers go to a Stacked, two directions to Bidirectionals in it::

        nn.LSTM(3, 4, num_layers=2, bidirectional=True)
        Stacked([Bidirectional(LSTM(3, 4), LSTM(3, 4)), Bidirectional(LSTM(8, 4), LSTM(8, 4))])

    PyTorch's two biases are summed into b; the second one of a GRU's n stays apart, as c_n.

    Args:
        module: A Cell, Stacked or Bidirectional of the same shape.
        state: A ``state_dict()``, a dict of arrays, the PyTorch layer itself, or the path of a
            ``.safetensors`` or ``.npz`` file.
        prefix: Read only the entries whose names begin so, as "encoder." in a larger model.

    Raises:
        ValueError: Entries are missing, unexpected or misshapen (all are named, and nothing is
            changed), the file is damaged, or the module has no counterpart.

    Source: the documentation of torch.nn.RNN, LSTM, GRU: rows are gates, i, f, g, o and r, z, n.
    """
    who = f"load_torch({type(module).__name__})"
    layers = TORCH.layers(module, who)
    given = torch_entries(state, who, prefix)
    update = Update(who)
    fill_from_torch(module, given, update)
    for name, array in given.items():
        hint = ""
        if name.startswith("weight_hr"):
            hint = " (projections, proj_size, have no counterpart here)"
        elif name.startswith("bias") and not has_bias(layers[0][0]):
            hint = " (make the module with bias=True)"
        update.problems.append(f"unexpected {name} {array.shape}{hint}")
    update.finish()
    return module


def torch_entries(state: Any, who: str, prefix: str = "") -> dict[str, Array]:
    """A state as arrays by name; only those whose names begin so, without this prefix."""
    if isinstance(state, (str, Path)):
        state = load_arrays(state)
    if hasattr(state, "state_dict"):
        state = state.state_dict()
    if not isinstance(state, Mapping):
        expected = "a state_dict, a dict of arrays or the path of a .safetensors file"
        raise wrong_type(f"{who}: expected {expected}", state)
    return {
        name.removeprefix(prefix): plain(value)
        for name, value in state.items()
        if name.startswith(prefix)
    }


def fill_from_torch(
    module: Module, given: dict[str, Array], update: Update, prefix: str = ""
) -> None:
    """Put the entries of a recurrent layer of PyTorch into an update, and remove them.

    Args:
        module: A Cell, Stacked or Bidirectional.
        given: The entries of a state.
        update: Of the Parameters.
        prefix: The beginning of the layer's names.
    """
    layers = TORCH.layers(module, update.who)
    single = len(layers) == len(layers[0]) == 1 and f"{prefix}weight_ih" in given
    for cell, suffix in torch_suffixes(layers, single):
        arrays = torch_cell_arrays(cell, prefix, suffix, given, update)
        if arrays is not None:
            put_all(update, f"{prefix}weight_ih{suffix}", cell, arrays)


def torch_cell_arrays(
    cell: Cell, prefix: str, suffix: str, given: dict[str, Array], update: Update
) -> dict[str, Array] | None:
    """The parameters of one cell; the entries used are removed from ``given``."""
    gates = TORCH.order(cell, update.who)
    rows = len(gates) * cell.d_h
    shapes: dict[str, tuple[int, ...]] = {
        "weight_ih": (rows, cell.d_in),
        "weight_hh": (rows, cell.d_h),
    }
    if has_bias(cell):
        shapes |= {"bias_ih": (rows,), "bias_hh": (rows,)}
    arrays: dict[str, Array] = {}
    for name, shape in shapes.items():
        key = f"{prefix}{name}{suffix}"
        if key not in given:
            hint = " (make the module with bias=False)" if name.startswith("bias") else ""
            update.problems.append(f"missing {key} {shape}{hint}")
        elif update.fits(key, array := given.pop(key), shape):
            arrays[name] = array
    if len(arrays) < len(shapes):
        return None
    packed = Packed(
        arrays["weight_ih"].T, arrays["weight_hh"].T, arrays.get("bias_ih"), arrays.get("bias_hh")
    )
    return unpack(cell, gates, packed)


def torch_layer(cell: Cell) -> str | None:
    """The name of the layer of ``torch.nn`` that computes a cell: RNN, LSTM, GRU; None for none."""
    kind = TORCH.kind(cell)
    if kind is None or (isinstance(cell, Elman) and cell.activation not in TORCH.activations):
        return None
    return {Elman: "RNN", LSTM: "LSTM", ResetAfterGRU: "GRU"}[kind]


def to_torch(module: Module, *, cell: bool = False) -> dict[str, Array]:
    """The weights under PyTorch's names, as arrays of their own in C order.

    b goes into ``bias_ih``, and ``bias_hh`` is 0 but for a GRU's c_n. In PyTorch::

        layer = nn.LSTM(3, 4, batch_first=True)
        layer.load_state_dict({k: torch.from_numpy(v) for k, v in to_torch(lstm).items()})

    Args:
        module: A Cell, Stacked or Bidirectional, as for ``load_torch``.
        cell: Use the names of ``nn.LSTMCell`` and its like, without ``_l0``.

    Returns:
        Name -> array, of the module's dtype.
    """
    who = f"to_torch({type(module).__name__})"
    layers = TORCH.layers(module, who)
    cells = [c for layer in layers for c in layer]
    kinds = {f"{type(c).__name__}(d_h={c.d_h}, bias={has_bias(c)})" for c in cells}
    kinds |= {f"activation={c.activation!r}" for c in cells if isinstance(c, Elman)}
    directions = {len(layer) for layer in layers}
    if len(kinds) > 1 + isinstance(cells[0], Elman) or len(directions) > 1:
        raise ValueError(
            f"{who}: all layers of one PyTorch module are alike, here are "
            f"{', '.join(sorted(kinds))} in {' and '.join(map(str, sorted(directions)))} "
            "direction(s); go layer by layer, over stacked.members"
        )
    if cell and len(cells) > 1:
        raise ValueError(f"{who}: cell=True is for a single Cell, got {len(cells)}")
    state: dict[str, Array] = {}
    for one, suffix in torch_suffixes(layers, cell):
        W, U, b, c = pack(one, TORCH.order(one, who))
        named = {"weight_ih": W.T, "weight_hh": U.T, "bias_ih": b, "bias_hh": c}
        for name, array in named.items():
            if array is not None:
                state[name + suffix] = np.array(array, order="C")
    return state


def torch_suffixes(layers: list[tuple[Cell, ...]], single: bool) -> Iterator[tuple[Cell, str]]:
    """The cells, and what their names end with: nothing for a single one of ``nn.LSTMCell``."""
    for k, layer in enumerate(layers):
        for cell, reverse in zip(layer, ("", "_reverse")):
            yield cell, "" if single else f"_l{k}{reverse}"


# Keras ------------------------------------------------------------------------------------------


def load_keras(module: M, weights: Sequence[Any] | Mapping[str, Any]) -> M:
    """Fill a module with the weights of Keras layers, in place; returns it.

    ``SimpleRNN`` goes to Elman, ``LSTM`` to LSTM, ``GRU`` to ResetAfterGRU, and
    ``GRU(reset_after=False)`` to GRU.

    Args:
        module: A Cell, Stacked or Bidirectional.
        weights: The list of ``layer.get_weights()``: kernel, recurrent_kernel and bias of each
            cell, a Bidirectional's forward cell first, layer after layer. For a single cell
            also a dict with these names.

    Raises:
        ValueError: Arrays are missing, unexpected or misshapen (nothing is changed), or the module
            has no counterpart.

    Source: the documentation of keras.layers.LSTM and GRU: columns are gates, i, f, c, o and
    z, r, h, and z keeps the old state.
    """
    who = f"load_keras({type(module).__name__})"
    cells = [cell for layer in KERAS.layers(module, who) for cell in layer]
    if isinstance(weights, Mapping):
        if len(cells) > 1:
            raise ValueError(f"{who}: for {len(cells)} cells give the list of get_weights()")
        by_name = {name.split("/")[-1].split(":")[0]: value for name, value in weights.items()}
        names = ["kernel", "recurrent_kernel", "bias"][: 3 if has_bias(cells[0]) else 2]
        if sorted(by_name) != sorted(names):
            raise ValueError(f"{who}: expected {', '.join(names)}, got {', '.join(weights)}")
        weights = [by_name[name] for name in names]
    arrays = [plain(value) for value in weights]
    expected = [shape for cell in cells for shape in keras_shapes(cell, who).items()]
    if len(arrays) != len(expected):
        raise ValueError(
            f"{who}: expected {len(expected)} arrays, "
            f"{', '.join(f'{name} {shape}' for name, shape in expected)}; got {len(arrays)}, "
            f"{', '.join(str(array.shape) for array in arrays) or 'none'}"
        )
    update = Update(who)
    for (name, shape), array in zip(expected, arrays, strict=True):
        if not update.fits(name, array, shape) and name == "bias" and array.ndim != len(shape):
            form = ("reset_after=True: use ResetAfterGRU", "reset_after=False: use GRU")
            update.problems[-1] += f" (a bias of this shape is that of {form[array.ndim == 1]})"
    rest = iter(arrays if not update.problems else [])
    for k, cell in enumerate(cells if not update.problems else []):
        W, U = next(rest), next(rest)
        b = c = None
        if has_bias(cell):
            bias = next(rest)
            b, c = bias if bias.ndim == 2 else (bias, np.zeros_like(bias))
        gates = KERAS.order(cell, who)
        unpacked = unpack(cell, gates, Packed(W, U, b, c))
        put_all(update, f"cell {k}", cell, unpacked)
    update.finish()
    return module


def keras_shapes(cell: Cell, who: str) -> dict[str, tuple[int, ...]]:
    """The arrays of a Keras layer in their order, with the shapes for this cell."""
    columns = len(KERAS.order(cell, who)) * cell.d_h
    shapes: dict[str, tuple[int, ...]] = {
        "kernel": (cell.d_in, columns),
        "recurrent_kernel": (cell.d_h, columns),
    }
    if has_bias(cell):
        shapes["bias"] = (2, columns) if isinstance(cell, ResetAfterGRU) else (columns,)
    return shapes


def to_keras(module: Module) -> list[Array]:
    """The weights in the order of Keras, for ``layer.set_weights``; see ``load_keras``."""
    who = f"to_keras({type(module).__name__})"
    weights: list[Array] = []
    for layer in KERAS.layers(module, who):
        for cell in layer:
            W, U, b, c = pack(cell, KERAS.order(cell, who))
            weights += [W, U]
            if b is not None and c is not None:
                weights.append(np.stack([b, c]) if isinstance(cell, ResetAfterGRU) else b)
    return weights


# Lectures ---------------------------------------------------------------------------------------


def load_concatenated(cell: M, matrices: Mapping[str, Any], *, first: str = "h") -> M:
    """Fill a cell from one matrix a gate over [h; x], W [h; x] + b, in place; returns it.

    Args:
        cell: A cell with pairs of matrices W_f and U_f (or W and U).
        matrices: "W_f" -> (d_h, d_h + d_in), for column vectors as lectures write them, or
            (d_h + d_in, d_h) for row vectors; for every pair. Biases "b_f" -> (d_h,) may be
            left out and are 0 then.
        first: "h" for [h; x], "x" for [x; h].

    Example:
        >>> from unspool.cells import Elman, load_concatenated
        >>> cell = load_concatenated(Elman(1, 2), {"W": [[1, 2, 5], [3, 4, 6]]})
        >>> cell.U.data.tolist(), cell.W.data.tolist()
        ([[1.0, 3.0], [2.0, 4.0]], [[5.0, 6.0]])
    """
    who = f"load_concatenated({type(cell).__name__})"
    check_choice(who, "first", first, ["h", "x"])
    parameters = dict(cell.named_parameters())
    pairs = {
        name: (W, parameters[f"U{name[1:]}"])
        for name, W in parameters.items()
        if name[0] == "W" and f"U{name[1:]}" in parameters
    }
    if not pairs:
        raise ValueError(
            f"{who}: it has no pairs of matrices named W and U; its parameters are "
            f"{', '.join(parameters)}"
        )
    update = Update(who)
    given = {name: plain(value) for name, value in matrices.items()}
    for name, (W, U) in pairs.items():
        d_in, d_h = W.shape
        if name not in given:
            update.problems.append(f"missing {name} {(d_h, d_h + d_in)}")
            continue
        joint = given.pop(name)
        if joint.shape == (d_h + d_in, d_h):
            joint = joint.T
        if update.fits(name, joint, (d_h, d_h + d_in)):
            left = d_h if first == "h" else d_in
            halves = joint[:, :left].T, joint[:, left:].T
            from_h, from_x = halves if first == "h" else halves[::-1]
            update.put(name, U, from_h)
            update.put(name, W, from_x)
        bias = f"b{name[1:]}"
        if bias in parameters:
            b = given.pop(bias, np.zeros(d_h))
            if update.fits(bias, b, (d_h,)):
                update.put(bias, parameters[bias], b)
    update.problems += [f"unexpected {name} {array.shape}" for name, array in given.items()]
    update.finish()
    return cell
