"""What a Tensor has in common with an array: its shape, its methods, its conversions.

A base class of Tensor. ``x.sum()`` is ``np.sum(x)``, and so on for every method that an array
has: each calls NumPy's function of the same name, which is recorded.
"""

from __future__ import annotations

import copy
import warnings
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from .messages import describe

Array = NDArray[Any]
Result = TypeVar("Result")  # Tensor
numpy: Any = np  # NumPy's stubs promise arrays; given Tensors its functions return Tensors


# What stands here for methods of other libraries' arrays.
FUNCTIONS = {
    **{
        f: f"unspool.autograd.{f}(x)" for f in ("sigmoid", "relu", "softmax", "log_softmax", "gelu")
    },
    "view": "x.reshape(...)",
    "permute": "x.transpose(...)",
    "unsqueeze": "np.expand_dims(x, axis)",
    "t": "x.T",
    "cpu": "x: all Tensors are in memory",
    "cuda": "x: all Tensors are in memory",
    "to": "x.astype(dtype)",
    "float": "x.astype(np.float32)",
}


def no_grad_of(result: Any) -> str:
    """The warning where ``.grad`` of a result is read."""
    return (
        f"{describe(result)}: .grad of a result is None, backward() leaves gradients at leaves; "
        "for this one write grads = Tape(loss).gradients(), and grads[x]"
    )


class ArrayMethods(Generic[Result]):
    """Attributes and methods by NumPy's names, on the ``data`` of the subclass."""

    __slots__ = ()

    data: Array
    name: str | None
    requires_grad: bool
    _record: Any

    @property
    def shape(self) -> tuple[int, ...]:
        """The length of each axis."""
        return self.data.shape

    @property
    def ndim(self) -> int:
        """The number of axes."""
        return self.data.ndim

    @property
    def dtype(self) -> np.dtype[Any]:
        """The type of the elements."""
        return self.data.dtype

    @property
    def size(self) -> int:
        """The number of elements."""
        return self.data.size

    @property
    def T(self) -> Result:
        """The axes in reverse order."""
        return self.transpose()

    @property
    def mT(self) -> Result:
        """The last two axes exchanged."""
        return numpy.matrix_transpose(self)

    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any:
            """Raise AttributeError with the function to write in place of a method.

            Of a result ``grad`` is never set, so that reading it leads here: None, and a warning.
            """
            if name == "grad":
                if self._record is not None and self.requires_grad:
                    warnings.warn(no_grad_of(self), stacklevel=2)
                return None
            cure = ""
            if name in FUNCTIONS:
                cure = f"; write {FUNCTIONS[name]}"
            elif not name.startswith("_") and callable(getattr(np, name, None)):
                cure = f"; it is a function of NumPy: write np.{name}(x)"
            kind = type(self).__name__
            raise AttributeError(f"{kind!r} object has no attribute {name!r}{cure}")

    def item(self) -> Any:
        """The only element, as a Python number."""
        return self.data.item()

    def numpy(self) -> Array:
        """The values as an array that shares this Tensor's memory."""
        return self.data

    def tolist(self) -> Any:
        """The values as nested lists of Python numbers."""
        return self.data.tolist()

    def __len__(self) -> int:
        return len(self.data)

    def __iter__(self) -> Iterator[Result]:
        if not self.data.ndim:
            raise TypeError(f"{describe(self)} is a scalar and cannot be iterated over")
        rows: Any = self
        return (rows[i] for i in range(len(self.data)))

    def __repr__(self) -> str:
        body = np.array2string(self.data, separator=", ", prefix="Tensor(")
        name = f", name={self.name!r}" if self.name else ""
        made = f", op={str(self._record[1])!r}" if self._record else ""
        asks = ", requires_grad=True" if self.requires_grad and not self._record else ""
        return f"{type(self).__name__}({body}{name}{made}{asks})"

    def __format__(self, spec: str) -> str:
        if not spec:
            return str(self)
        if not self.data.ndim:
            return format(self.data.item(), spec)
        return np.array2string(self.data, formatter={"all": lambda value: format(value, spec)})

    def __getstate__(self) -> tuple[None, dict[str, Any]]:
        """For copies and pickles: what is set; of a result no ``grad``."""
        grad = ["grad"] if self._record is None else []
        names = ["data", "name", "requires_grad", "_record", *grad]
        return None, {name: getattr(self, name) for name in names}

    def __deepcopy__(self, memo: dict[int, Any]) -> Result:
        if self._record is not None:
            raise TypeError(
                f"a deep copy of {describe(self)} would have a tape and parameters of its own, to "
                "which no gradient comes; write np.copy(x) to stay on the tape, x.detach() for the "
                "values"
            )
        other: Any = object.__new__(type(self))
        memo[id(self)] = other
        for name in ("data", "grad", "name", "requires_grad", "_record"):
            setattr(other, name, copy.deepcopy(getattr(self, name), memo))
        if hasattr(self, "__dict__"):  # of a subclass
            other.__dict__.update(copy.deepcopy(self.__dict__, memo))
        return other

    # Implicit conversions, which would detach ---------------------------------------------------

    # For one element, as in ``a[0] = t`` and ``np.fromiter``, NumPy raises a ValueError of its
    # own ("setting an array element with a sequence"), whose cause is the TypeError from here.

    def _refuse_to_detach(self, how: str, cure: str) -> None:
        if self._record is not None or self.requires_grad:
            raise TypeError(
                f"{how} would silently detach {describe(self)} from its tape; write {cure}"
            )

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Array:
        self._refuse_to_detach(
            "making an array of it",
            ".data for the plain values, or np.stack or np.concatenate to join Tensors",
        )
        return np.array(self.data, dtype=dtype, copy=copy)

    def __float__(self) -> float:
        self._refuse_to_detach(
            "float()", ".item() for the number, or np's function to stay on the tape"
        )
        return float(self.data)

    def __int__(self) -> int:
        self._refuse_to_detach("int()", "int(x.item()) for the number")
        return int(self.data)

    def __index__(self) -> int:
        return self.data.__index__()

    def __bool__(self) -> bool:
        return bool(self.data)

    # NumPy's methods ------------------------------------------------------------------------

    # fmt: off
    def sum(self, axis: Any = None, keepdims: bool = False, **options: Any) -> Result:
        """``np.sum``."""
        if axis is None and not keepdims and not options:
            return numpy.sum(self)
        return numpy.sum(self, axis=axis, keepdims=keepdims, **options)
    def mean(self, axis: Any = None, keepdims: bool = False, **options: Any) -> Result:
        """``np.mean``."""
        return numpy.mean(self, axis=axis, keepdims=keepdims, **options)
    def max(self, axis: Any = None, keepdims: bool = False, **options: Any) -> Result:
        """``np.max``; ties share the gradient evenly."""
        return numpy.max(self, axis=axis, keepdims=keepdims, **options)
    def min(self, axis: Any = None, keepdims: bool = False, **options: Any) -> Result:
        """``np.min``; ties share the gradient evenly."""
        return numpy.min(self, axis=axis, keepdims=keepdims, **options)
    def prod(self, axis: Any = None, keepdims: bool = False, **options: Any) -> Result:
        """``np.prod``."""
        return numpy.prod(self, axis=axis, keepdims=keepdims, **options)
    def var(
        self, axis: Any = None, ddof: int = 0, keepdims: bool = False, **options: Any
    ) -> Result:
        """``np.var``."""
        return numpy.var(self, axis=axis, ddof=ddof, keepdims=keepdims, **options)
    def std(
        self, axis: Any = None, ddof: int = 0, keepdims: bool = False, **options: Any
    ) -> Result:
        """``np.std``; its gradient is 0 where the deviation is."""
        return numpy.std(self, axis=axis, ddof=ddof, keepdims=keepdims, **options)
    def cumsum(self, axis: int | None = None) -> Result:
        """``np.cumsum``."""
        return numpy.cumsum(self, axis=axis)
    def cumprod(self, axis: int | None = None) -> Result:
        """``np.cumprod``."""
        return numpy.cumprod(self, axis=axis)
    def clip(self, min: Any = None, max: Any = None) -> Result:
        """``np.clip``; the gradient is 1 at the bounds, as in PyTorch."""
        return numpy.clip(self, min, max)
    def round(self, decimals: int = 0) -> Result:
        """``np.round``, with gradient 0."""
        return numpy.round(self, decimals)
    def dot(self, other: Any) -> Result:
        """``np.dot``."""
        return numpy.dot(self, other)
    def reshape(self, *shape: Any, order: str | None = None) -> Result:
        """``np.reshape``; the lengths singly or as one tuple."""
        return numpy.reshape(self, shape[0] if len(shape) == 1 else shape, order=order)
    def ravel(self, order: str | None = None) -> Result:
        """``np.ravel``."""
        return numpy.reshape(self, -1, order=order)
    def flatten(self, order: str | None = None) -> Result:
        """``np.ravel``."""
        return numpy.reshape(self, -1, order=order)
    def transpose(self, *axes: Any) -> Result:
        """``np.transpose``; the axes singly or as one tuple, none for the reverse order."""
        return numpy.transpose(self, (axes[0] if len(axes) == 1 else axes) or None)
    def swapaxes(self, axis1: int, axis2: int) -> Result:
        """``np.swapaxes``."""
        return numpy.swapaxes(self, axis1, axis2)
    def squeeze(self, axis: Any = None) -> Result:
        """``np.squeeze``."""
        return numpy.squeeze(self, axis)
    def repeat(self, repeats: Any, axis: int | None = None) -> Result:
        """``np.repeat``."""
        return numpy.repeat(self, repeats, axis)
    def take(self, indices: Any, axis: int | None = None) -> Result:
        """``np.take``."""
        return numpy.take(self, indices, axis)
    def diagonal(self, offset: int = 0, axis1: int = 0, axis2: int = 1) -> Result:
        """``np.diagonal``."""
        return numpy.diagonal(self, offset, axis1, axis2)
    def trace(self, offset: int = 0, axis1: int = 0, axis2: int = 1) -> Result:
        """``np.trace``."""
        return numpy.trace(self, offset, axis1, axis2)
    def ptp(self, axis: Any = None, keepdims: bool = False) -> Result:
        """``np.ptp``, the maximum less the minimum."""
        return numpy.ptp(self, axis=axis, keepdims=keepdims)
    def copy(self) -> Result:
        """``np.copy``."""
        return numpy.copy(self)
    def argmax(self, axis: int | None = None, keepdims: bool = False) -> Array:
        """``np.argmax``, a plain array of integers."""
        return np.asarray(np.argmax(self.data, axis, keepdims=keepdims))
    def argmin(self, axis: int | None = None, keepdims: bool = False) -> Array:
        """``np.argmin``, a plain array of integers."""
        return np.asarray(np.argmin(self.data, axis, keepdims=keepdims))
    def argsort(self, axis: int = -1) -> Array:
        """``np.argsort``, a plain array of integers."""
        return self.data.argsort(axis)
    def nonzero(self) -> tuple[Array, ...]:
        """``np.nonzero``, plain arrays of integers."""
        return self.data.nonzero()
    def any(self, axis: Any = None, keepdims: bool = False) -> Array:
        """``np.any``, a plain array of booleans."""
        return numpy.asarray(self.data.any(axis, keepdims=keepdims))
    def all(self, axis: Any = None, keepdims: bool = False) -> Array:
        """``np.all``, a plain array of booleans."""
        return numpy.asarray(self.data.all(axis, keepdims=keepdims))
    # fmt: on
