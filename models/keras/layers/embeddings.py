"""Embeddings: a vector for each id."""

from __future__ import annotations

from typing import Any

import numpy as np

from ....autograd import values
from ....checks import check_int
from ...networks import layers
from .. import initializers
from ..base import Layer, layer
from ..symbolic import shown


@layer
class Embedding(Layer):
    """A vector for each id: (batch, time) to (batch, time, output_dim).

    Args:
        input_dim: The number of ids.
        output_dim: The width of a vector.
        embeddings_initializer: Of the vectors.
        embeddings_regularizer: A term of the vectors that is added to the loss.
        mask_zero: Whether the id 0 is padding, which the layers above ignore.
        **options: Those of ``Layer``; ``weights`` are initial vectors, [(input_dim, output_dim)].
    """

    converts = False

    def __init__(
        self,
        input_dim: int,
        output_dim: int,
        embeddings_initializer: Any = "uniform",
        embeddings_regularizer: Any = None,
        embeddings_constraint: Any = None,
        mask_zero: bool = False,
        **options: Any,
    ) -> None:
        super().__init__(embeddings_constraint=embeddings_constraint, **options)
        self.input_dim = check_int("Embedding", "input_dim", input_dim)
        self.output_dim = check_int("Embedding", "output_dim", output_dim)
        self.embeddings_initializer = embeddings_initializer
        self.embeddings_regularizer = embeddings_regularizer
        self.mask_zero = bool(mask_zero)
        if self.start is not None:
            if isinstance(self.start, np.ndarray) or len(self.start) != 1:
                self.start = [self.start]
            shape = np.shape(values(self.start[0]))
            if shape != (input_dim, output_dim):
                raise ValueError(
                    f"Embedding: weights must be [array] of ({input_dim}, {output_dim}), got "
                    f"{shape}"
                )

    def build(self, input_shape: Any) -> None:
        """E: (input_dim, output_dim)."""
        size = self.input_dim, self.output_dim
        self.inner = layers.Embedding(*size, rng=0, dtype=self.compute_dtype)
        if self.start is None:
            make = initializers.get(self.embeddings_initializer, "Embedding")
            self.inner.E.data = make(size, self.compute_dtype, rng=self.generator)
        self.penalise(self.embeddings_regularizer, self.inner.E)

    def check(self, input_shape: Any) -> None:
        """Raise ValueError unless the input is ids (batch, time)."""
        if isinstance(input_shape, list) or len(input_shape) not in (1, 2):
            raise ValueError(
                f"Embedding: expected ids (batch, time), got {shown(input_shape)}; pad lists of "
                "different length with pad_sequences"
            )

    @property
    def embeddings(self) -> Any:
        """The vectors, a Parameter."""
        return self.inner.E

    def call(self, inputs: Any) -> Any:
        """Rows of E."""
        return self.inner(as_ids(inputs))

    def compute_mask(self, inputs: Any, mask: Any = None) -> Any:
        """With ``mask_zero`` the mask is True where an id is not 0."""
        return values(inputs) != 0 if self.mask_zero else None

    def compute_output_shape(self, input_shape: Any) -> Any:
        """(batch, time, output_dim)."""
        return (*input_shape, self.output_dim)


def as_ids(x: Any) -> Any:
    """Ids as integers, also where integers are stored as floats."""
    array = np.asarray(values(x))
    if array.dtype.kind == "f":
        whole = array.astype(np.int64)
        if (whole == array).all():
            return whole
    return array
