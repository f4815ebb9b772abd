"""Notes on Tensors: the mask of a sequence, and the logits behind probabilities.

Keras's layers hand these on beside the numbers. They are kept here by the Tensor's identity, as
long as it lives, so that a layer returns a plain Tensor.
"""

from __future__ import annotations

import weakref
from typing import Any

from ...autograd import Tensor


class Notes:
    """A mapping from Tensors, by identity, to a value each."""

    def __init__(self) -> None:
        self.held: dict[int, tuple[weakref.ref[Tensor], Any]] = {}

    def put(self, tensor: Tensor, value: Any) -> None:
        """Note a value; it goes when the Tensor does."""
        key, held = id(tensor), self.held

        def forget(dead: weakref.ref[Tensor]) -> None:
            if held.get(key, (None,))[0] is dead:
                del held[key]

        held[key] = (weakref.ref(tensor, forget), value)

    def get(self, tensor: Any) -> Any:
        """The value noted, or None."""
        ref, value = self.held.get(id(tensor), (None, None))
        return value if ref is not None and ref() is tensor else None


# (batch, time) booleans, True at real positions.
masks = Notes()
# (the function, sigmoid or softmax; its argument).
logits = Notes()
