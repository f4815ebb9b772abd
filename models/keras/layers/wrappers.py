"""Layers around a layer: both directions of reading, and each position by itself."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np

from ....cells import MERGES
from ....checks import check_choice, describe_received
from .. import notes
from ..base import Layer, adopt, layer
from ..symbolic import shown
from .recurrent import RNN


@layer
class Bidirectional(Layer):
    """A recurrent layer in both directions; the outputs are merged.

    Without ``return_sequences`` the merged outputs are the forward one after the last position
    and the backward one after the first.

    Args:
        layer: LSTM(...), GRU(...), SimpleRNN(...) or RNN(...), the settings of both directions.
        merge_mode: "concat", "sum", "ave", "mul", or None for a list of both outputs.
        weights: Initial weights.
        backward_layer: The layer of the other direction, with ``go_backwards=True``, where it has
            other settings.
        **options: Those of ``Layer``.
    """

    axes = 3

    def __init__(
        self,
        layer: RNN,
        merge_mode: str | None = "concat",
        weights: Any = None,
        backward_layer: RNN | None = None,
        **options: Any,
    ) -> None:
        for found in (layer, layer if backward_layer is None else backward_layer):
            if not isinstance(found, RNN):
                raise TypeError(
                    "Bidirectional: expected LSTM(...), GRU(...) or SimpleRNN(...), got "
                    f"{type(found).__name__}"
                )
        if layer.input_spec is not None and not {"input_shape", "batch_input_shape"} & {*options}:
            options["batch_input_shape"] = layer.input_spec
        super().__init__(weights=weights, **options)
        modes = ("concat", "sum", "ave", "mul", None)
        self.merge_mode = check_choice("Bidirectional", "merge_mode", merge_mode, modes)
        if layer.built:
            raise ValueError(f"Bidirectional: {layer.name} has its weights; give it a new layer")
        self.layer = self.forward_layer = layer
        if backward_layer is None:
            backward_layer = copy.deepcopy(layer)
            backward_layer.go_backwards = not layer.go_backwards
        elif backward_layer.go_backwards == layer.go_backwards:
            raise ValueError("Bidirectional: backward_layer must have go_backwards=True")
        self.backward_layer = backward_layer
        for prefix, inner in (("forward_", layer), ("backward_", backward_layer)):
            inner.name = prefix + inner.name.removeprefix(prefix)

    def arguments(self) -> dict[str, Any]:
        """The constructor's arguments, the layers as they are now."""
        found = super().arguments()
        return found | {"layer": self.forward_layer, "backward_layer": self.backward_layer}

    def check(self, input_shape: Any) -> None:
        """As the layer does."""
        self.forward_layer.check(input_shape)

    def build(self, input_shape: Any) -> None:
        """Build both directions."""
        for inner in (self.forward_layer, self.backward_layer):
            adopt(inner, self)
            inner.ensure_built(input_shape)

    def call(self, inputs: Any, initial_state: Any = None, mask: Any = None) -> Any:
        """The merged outputs, and the states of both directions if asked for."""
        states: list[Any] = [None, None]
        if initial_state is not None:
            half = len(initial_state) // 2
            states = [initial_state[:half], initial_state[half:]]
        pair = self.forward_layer, self.backward_layer
        outputs: list[Any] = []
        finals: list[Any] = []
        for inner, state in zip(pair, states, strict=True):
            made = inner(inputs, initial_state=state, mask=mask)
            y, *final = made if inner.return_state else [made]
            if inner.return_sequences and inner.go_backwards:
                y = y[:, ::-1]
            outputs.append(y)
            finals += final
        y = outputs if self.merge_mode is None else [MERGES[self._merge](*outputs)]
        return y + finals if len(y + finals) > 1 else y[0]

    @property
    def _merge(self) -> str:
        return "mean" if self.merge_mode == "ave" else str(self.merge_mode)

    def compute_mask(self, inputs: Any, mask: Any = None) -> Any:
        """The mask of the outputs at all positions."""
        if mask is None or not self.forward_layer.return_sequences:
            return None
        return mask if self.merge_mode is not None else [mask, mask]

    def compute_output_shape(self, input_shape: Any) -> Any:
        """Concatenation doubles the width; two shapes without a merge, then the states'."""
        made = []
        for inner in (self.forward_layer, self.backward_layer):
            one = inner.compute_output_shape(input_shape)
            made.append(one if isinstance(one, list) else [one])
        (first, *ahead), (second, *back) = made
        if self.merge_mode is None:
            merged = [first, second]
        elif self.merge_mode == "concat":
            merged = [(*first[:-1], first[-1] + second[-1])]
        else:
            merged = [first]
        merged += [*ahead, *back]
        return merged if len(merged) > 1 else merged[0]

    def reset_state(self) -> None:
        """Begin the next batch with zeros."""
        self.forward_layer.reset_state()
        self.backward_layer.reset_state()

    reset_states = reset_state


@layer
class TimeDistributed(Layer):
    """A layer or network at each position: (batch, time, ...) to (batch, time, ...).

    Args:
        layer: The layer, which sees (batch * time, ...).
        **options: Those of ``Layer``.
    """

    converts = False

    def __init__(self, layer: Layer, **options: Any) -> None:
        if not isinstance(layer, Layer):
            raise TypeError(
                f"TimeDistributed: expected a layer, as Dense(4), got {describe_received(layer)}"
            )
        if layer.input_spec is not None and not {"input_shape", "batch_input_shape"} & {*options}:
            options["batch_input_shape"] = layer.input_spec
        super().__init__(**options)
        self.layer = layer

    def check(self, input_shape: Any) -> None:
        """Raise ValueError unless there is a time axis that the layer does not need itself."""
        if len(input_shape) < 3:
            raise ValueError(
                f"TimeDistributed: expected (batch, time, ...), got {shown(input_shape)}; put "
                "return_sequences=True in the layer before"
            )
        self.layer.check((input_shape[0], *input_shape[2:]))

    def build(self, input_shape: Any) -> None:
        """Build the layer."""
        adopt(self.layer, self)
        self.layer.ensure_built((None, *input_shape[2:]))

    def call(self, inputs: Any) -> Any:
        """The layer at each position."""
        batch, time, *rest = inputs.shape
        y = self.layer(np.reshape(inputs, (batch * time, *rest)))
        out: Any = np.reshape(y, (batch, time, *y.shape[1:]))
        found = notes.logits.get(y)
        if found is not None:
            function, z = found
            notes.logits.put(out, (function, np.reshape(z, out.shape)))
        return out

    def compute_output_shape(self, input_shape: Any) -> Any:
        """(batch, time, ...)."""
        batch, time, *rest = input_shape
        inner = self.layer.compute_output_shape((batch, *rest))
        return (batch, time, *inner[1:])
