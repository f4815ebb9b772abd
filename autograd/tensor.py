"""The Tensor, the table of ops, and ``apply``, through which every op goes.

An op is a row of the table: a NumPy function beside the rules that carry a gradient back
through it. ``apply`` runs the NumPy function on the operands' arrays and lets the result
remember what it came from. Nothing else is stored: a graph is Tensors that point to their
operands, so it lives as long as its outputs do and is freed by reference counts alone.
"""

from __future__ import annotations

import collections
import copy
import functools
import inspect
import itertools
import operator
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from .context import current, path_text, watched, watches

__all__ = ["Op", "Parameter", "Tensor", "apply"]

Array = NDArray[Any]
Rule = Callable[..., Any]
Operator = Callable[[Any, Any], Any]
Params = dict[str, Any]

# The record that made a Tensor: running number, op, metadata, scope, then the operands, then
# their arrays (shared with them). One flat tuple: what a record is made of is most of what it
# costs, as the garbage collector counts and visits every object.
RecordFields = tuple[Any, ...]
OF_ONE, OF_TWO = 6, 8  # the length of a record of one operand, and of two

NO_PARAMS: Params = {}
WORDS = "; turn words into ids first (unspool.models.Vocabulary)"
SCALARS = frozenset({float, int, bool})
running_number = itertools.count()
next_number = running_number.__next__
scope_here = current.get
_new = object.__new__
_ndarray = np.ndarray
numpy: Any = np  # NumPy's stubs promise arrays; given Tensors its functions return Tensors


class Op(str):
    """One row of the table: the op's name, its NumPy function and its gradient rules.

    Attributes:
        forward: Runs on arrays, the metadata as keywords.
        rules: ``rules[k](g, y, *inputs, **params)`` is the gradient of operand k, given the
            gradient ``g`` of the result ``y``; None where there is none. A single rule in
            place of the tuple serves every operand of a variadic op and returns a sequence.
        elementwise: Whether rules may answer in the result's shape: the pass back undoes the
            broadcasting.
        pairs: (rule, pool) of each operand. ``pool(uses, x)`` is the summed gradient of an
            operand used many times, in one go; a use is ``(g, params, y, *inputs)``.
        gather: How many uses a pool waits for: as many "rows" as make a product fast, as many
            as fill the "operand", or "all".
        two: The pairs of two operands, gather and elementwise: at hand in one piece.
        names: The metadata in NumPy's order of arguments.
        expand: ``expand(tensor)`` puts the records that this one stands for behind the tensor,
            for whoever reads the tape.
    """

    forward: Callable[..., Any]
    rules: tuple[Rule | None, ...] | Rule
    elementwise: bool
    pairs: tuple[tuple[Rule | None, Callable[..., Any] | None], ...]  # (rule, pool) of each
    variadic: bool
    gather: str
    two: tuple[Any, ...]
    names: tuple[str, ...]
    expand: Callable[[Any], None] | None

    def __new__(  # noqa: D102
        cls,
        name: str,
        forward: Callable[..., Any],
        rules: tuple[Rule | None, ...] | Rule,
        *,
        elementwise: bool = False,
        pools: tuple[Callable[..., Any] | None, ...] | None = None,
        gather: str = "operand",
        names: str = "",
        expand: Callable[[Any], None] | None = None,
    ) -> Op:
        self = super().__new__(cls, name)
        self.forward = forward
        self.rules = rules
        self.elementwise = elementwise
        self.variadic = not isinstance(rules, tuple)
        if isinstance(rules, tuple):
            self.pairs = tuple(zip(rules, pools or (None,) * len(rules), strict=True))
        else:
            self.pairs = ()
        self.gather = gather
        pairs = (*self.pairs, (None, None), (None, None))
        self.two = (*pairs[0], *pairs[1], gather, elementwise)
        self.names = tuple(names.split())
        self.expand = expand
        return self

    def __reduce__(self) -> NoReturn:
        raise TypeError(f"a record of a tape ({self}) cannot be pickled; save .data instead")

    def __deepcopy__(self, memo: Any) -> Op:
        return self


# NumPy function -> its row, or a function of the same signature that calls apply.
TABLE: dict[Any, Any] = {}
# NumPy function -> a function of the same signature, for calls with the options of OPTIONS,
# which its row does not take.
WIDER: dict[Any, Callable[..., Any]] = {}
OPTIONS = frozenset({"correction", "initial", "mean", "order", "where"})
# NumPy functions whose results are integers, booleans or shapes: run on the arrays.
PLAIN: set[Callable[..., Any]] = set()
# Of these, where ``out`` may stand among the positional arguments.
OUT_PLACES: dict[Callable[..., Any], int] = {}


def apply(op: Op, inputs: tuple[Any, ...], params: Params = NO_PARAMS) -> Any:
    """Run an op on operands (Tensors, arrays, numbers) and record it.

    Without a Tensor among the operands nothing is recorded and the result is an array, so
    that a gradient rule runs on plain arrays at NumPy's speed.
    """
    forward = op.forward
    try:
        if len(inputs) == 1:
            (a,) = inputs
            if not isinstance(a, Tensor):
                return forward(a, **params)
            x = a.data
            data = forward(x, **params) if params else forward(x)
            needs_gradient = a.requires_grad
            operands: tuple[Any, ...] = (a, x)
        elif len(inputs) == 2 and not params:
            a, b = inputs
            if isinstance(a, Tensor):
                x = a.data
                needs_gradient = a.requires_grad
                if isinstance(b, Tensor):
                    z = b.data
                    if b.requires_grad:
                        needs_gradient = True
                else:
                    z = b = constant(b)
                    inputs = (a, b)
            elif isinstance(b, Tensor):
                x = a = constant(a)
                inputs = (a, b)
                z = b.data
                needs_gradient = b.requires_grad
            else:
                return forward(a, b)
            data = forward(x, z)
            operands = (a, b, x, z)
        else:
            tensors = [x for x in inputs if isinstance(x, Tensor)]
            if not tensors:
                return forward(*inputs, **params)
            inputs = tuple([x if isinstance(x, Tensor) else constant(x) for x in inputs])
            arrays = tuple([x.data if isinstance(x, Tensor) else x for x in inputs])
            data = forward(*arrays, **params)
            needs_gradient = any(x.requires_grad for x in tensors)
            operands = inputs + arrays
    except (ValueError, TypeError, IndexError) as error:
        if not any(isinstance(x, Tensor) for x in inputs):
            raise
        raise explained(error, op, inputs, params) from error
    if type(data) is not _ndarray:
        data = np.asarray(data)
    out: Tensor = _new(Tensor)
    out.data = data
    out.grad = out.name = None
    path = scope_here()
    if path is None:
        out.requires_grad = False
        out._record = None
    else:
        out.requires_grad = needs_gradient
        out._record = (next_number(), op, params, path) + operands  # noqa: RUF005  (faster)
    if watches and watched.get():
        check_finite(op, inputs, data, path or ())
    return out


def operators(function: Any) -> tuple[Operator, Operator]:
    """``x + other`` and ``other + x`` of a Tensor x, for a ufunc such as ``np.add``.

    The first is ``apply`` written out for two operands, of which the left is a Tensor: most
    records of a network are such, and this takes four fifths of the time.
    """
    op: Any = None  # its row, which a later file puts into the table
    forward: Any = None

    def left(self: Any, other: Any) -> Any:
        nonlocal op, forward
        if op is None:
            op = TABLE[function]
            forward = op.forward
        x = self.data
        needs_gradient = self.requires_grad
        if isinstance(other, Tensor):
            z = other.data
            if other.requires_grad:
                needs_gradient = True
        elif getattr(other, "__array_ufunc__", other) is None:
            return NotImplemented  # it computes with arrays itself
        else:
            z = other = constant(other)
        try:
            data = forward(x, z)
        except (ValueError, TypeError) as error:
            raise explained(error, op, (self, other)) from error
        if type(data) is not _ndarray:
            data = np.asarray(data)
        out: Tensor = _new(Tensor)
        out.data = data
        out.grad = out.name = None
        path = scope_here()
        if path is None:
            out.requires_grad = False
            out._record = None
        else:
            out.requires_grad = needs_gradient
            out._record = (next_number(), op, NO_PARAMS, path, self, other, x, z)
        if watches and watched.get():
            check_finite(op, (self, other), data, path or ())
        return out

    def right(self: Any, other: Any) -> Any:
        return apply(TABLE[function], (other, self))

    return left, right


class Tensor:
    """An array that remembers how it was computed.

    Args:
        data: An array, number or nested list; an array is shared, not copied, also by the tape:
            what is written into it before ``backward()`` is what the rules read.
        requires_grad: Whether ``backward()`` leaves a gradient here.
        name: What pictures and messages call it.

    Attributes:
        data: The values, always an ndarray (0-d for a scalar).
        grad: The gradient that ``backward()`` added up here (leaves only), or None.
        requires_grad: True for a leaf that asks for a gradient and for all computed from one.
        name: The name, or None.

    Raises:
        TypeError: ``data`` is a Tensor, holds Tensors or objects, or a gradient is asked of
            integers or booleans.

    Example:
        >>> from unspool import Tensor
        >>> x = Tensor([1.0, 2.0], requires_grad=True, name="x")
        >>> (x * x).sum().backward()
        >>> x.grad
        array([2., 4.])
    """

    __slots__ = ("__weakref__", "_record", "data", "grad", "name", "requires_grad")

    data: Array
    grad: Array | None
    name: str | None
    requires_grad: bool
    _record: RecordFields | None

    def __init__(self, data: Any, requires_grad: bool = False, name: str | None = None) -> None:
        if isinstance(data, Tensor):
            raise TypeError(
                f"Tensor({describe(data)}): it is a Tensor already; use it as it is, or "
                "Tensor(x.data) for a new leaf cut off from its tape"
            )
        array = plain_array(data)
        who = f"{type(self).__name__} {name}" if name else type(self).__name__
        if array.dtype.kind not in "fiub":
            raise TypeError(
                f"{who}: expected real numbers, got {array.dtype}"
                + (WORDS if array.dtype.kind in "US" else "")
            )
        if requires_grad and array.dtype.kind not in "f":
            raise TypeError(
                f"{who}: a gradient needs floating-point data, got {array.dtype}; write the "
                "numbers as floats (2.0) or data.astype(float)"
            )
        self.data = array
        self.grad = None
        self.requires_grad = requires_grad
        self.name = name
        self._record = None

    # What it is -------------------------------------------------------------------------

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
    def T(self) -> Tensor:
        """The axes in reverse order."""
        return self.transpose()

    @property
    def mT(self) -> Tensor:
        """The last two axes exchanged."""
        return numpy.matrix_transpose(self)

    def item(self) -> Any:
        """The only element, as a Python number."""
        return self.data.item()

    def numpy(self) -> Array:
        """The values as an array that shares this Tensor's memory."""
        return self.data

    def tolist(self) -> Any:
        """The values as nested lists of Python numbers."""
        return self.data.tolist()

    def detach(self) -> Tensor:
        """A leaf with the same values (and memory), cut off from the tape."""
        return Tensor(self.data, name=self.name)

    def backward(self, gradient: Any = None) -> None:
        """Add the gradient of this Tensor to ``.grad`` of every leaf that requires one.

        Args:
            gradient: The gradient of this Tensor itself, of its shape; 1 for a scalar.

        Raises:
            ValueError: It is not a scalar and no ``gradient`` is given, the shapes differ, or
                nothing that requires a gradient leads here.
        """
        from .tape import accumulate_leaves

        accumulate_leaves(self, gradient)

    def __deepcopy__(self, memo: dict[int, Any]) -> Tensor:
        if self._record is not None:
            raise TypeError(
                f"a deep copy of {describe(self)} would have a tape and parameters of its own, to "
                "which no gradient comes; write np.copy(x) to stay on the tape, x.detach() for the "
                "values"
            )
        other = memo[id(self)] = _new(type(self))
        for name in ("data", "grad", "name", "requires_grad", "_record"):
            setattr(other, name, copy.deepcopy(getattr(self, name), memo))
        if hasattr(self, "__dict__"):  # of a subclass
            other.__dict__.update(copy.deepcopy(self.__dict__, memo))
        return other

    def __len__(self) -> int:
        return len(self.data)

    def __iter__(self) -> Iterator[Tensor]:
        if not self.data.ndim:
            raise TypeError(f"{describe(self)} is a scalar and cannot be iterated over")
        return (self[i] for i in range(len(self.data)))

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

    # What would leave the tape ----------------------------------------------------------

    def _leaves_tape(self, how: str, cure: str) -> None:
        if self._record is not None or self.requires_grad:
            raise TypeError(
                f"{how} would cut {describe(self)} off its tape without a word; write {cure}"
            )

    # For one element, as in ``a[0] = t`` and ``np.fromiter``, NumPy raises a ValueError of its
    # own ("setting an array element with a sequence"), whose cause is the TypeError from here.

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Array:
        self._leaves_tape(
            "making an array of it",
            ".data for the plain values, or np.stack or np.concatenate to join Tensors",
        )
        return np.array(self.data, dtype=dtype, copy=copy)

    def __float__(self) -> float:
        self._leaves_tape("float()", ".item() for the number, or np's function to stay on the tape")
        return float(self.data)

    def __int__(self) -> int:
        self._leaves_tape("int()", "int(x.item()) for the number")
        return int(self.data)

    def __index__(self) -> int:
        return self.data.__index__()

    def __bool__(self) -> bool:
        return bool(self.data)

    def __setitem__(self, index: Any, value: Any) -> NoReturn:
        raise TypeError(
            f"{describe(self)} cannot be assigned into: the tape needs the old values; write "
            "np.where(mask, new, x) or np.concatenate of the parts (x.data[...] = v changes a "
            "leaf outside of any tape)"
        )

    # NumPy's functions ------------------------------------------------------------------

    def __array_ufunc__(self, ufunc: Any, method: str, *args: Any, **kwargs: Any) -> Any:
        if method == "__call__" and not kwargs:
            row = TABLE.get(ufunc)
            if type(row) is Op:
                return apply(row, args)
        if method != "__call__":
            raise TypeError(
                f"np.{ufunc.__name__}.{method} has no gradient rule; write np.sum, np.prod, "
                "np.max, np.cumsum, np.outer or indexing instead"
            )
        return dispatch(ufunc, args, kwargs)

    def __array_function__(self, function: Any, types: Any, args: Any, kwargs: Any) -> Any:
        return dispatch(function, args, kwargs)

    # Operators. TABLE is filled by the table's own files. ---------------------------------

    # fmt: off
    __add__, __radd__ = operators(np.add)
    __sub__, __rsub__ = operators(np.subtract)
    __mul__, __rmul__ = operators(np.multiply)
    __truediv__, __rtruediv__ = operators(np.divide)
    def __floordiv__(self, other: Any) -> Tensor: return numpy.floor_divide(self, other)
    def __rfloordiv__(self, other: Any) -> Tensor: return numpy.floor_divide(other, self)
    def __divmod__(self, other: Any) -> Any: return numpy.divmod(self, other)
    def __rdivmod__(self, other: Any) -> Any: return numpy.divmod(other, self)
    __mod__, __rmod__ = operators(np.remainder)
    __pow__, __rpow__ = operators(np.power)
    __matmul__, __rmatmul__ = operators(np.matmul)
    def __neg__(self) -> Tensor: return apply(TABLE[np.negative], (self,))
    def __pos__(self) -> Tensor: return self
    def __abs__(self) -> Tensor: return numpy.abs(self)
    def __round__(self, decimals: int = 0) -> Tensor: return numpy.round(self, decimals)

    def __lt__(self, other: Any) -> Array: return self.data < values(other)
    def __le__(self, other: Any) -> Array: return self.data <= values(other)
    def __gt__(self, other: Any) -> Array: return self.data > values(other)
    def __ge__(self, other: Any) -> Array: return self.data >= values(other)
    def __eq__(self, other: Any) -> Any: return self.data == values(other)
    def __ne__(self, other: Any) -> Any: return self.data != values(other)
    __hash__ = object.__hash__
    # fmt: on

    def __getitem__(self, index: Any) -> Tensor:
        for part in index if type(index) is tuple else (index,):
            if isinstance(part, Tensor):
                index = values(index)
        return apply(TABLE[operator.getitem], (self,), {"index": index})

    # Methods, by NumPy's names --------------------------------------------------------------

    # fmt: off
    def sum(self, axis: Any = None, keepdims: bool = False, **options: Any) -> Tensor:
        """``np.sum``."""
        return numpy.sum(self, axis=axis, keepdims=keepdims, **options)
    def mean(self, axis: Any = None, keepdims: bool = False, **options: Any) -> Tensor:
        """``np.mean``."""
        return numpy.mean(self, axis=axis, keepdims=keepdims, **options)
    def max(self, axis: Any = None, keepdims: bool = False, **options: Any) -> Tensor:
        """``np.max``; ties share the gradient evenly."""
        return numpy.max(self, axis=axis, keepdims=keepdims, **options)
    def min(self, axis: Any = None, keepdims: bool = False, **options: Any) -> Tensor:
        """``np.min``; ties share the gradient evenly."""
        return numpy.min(self, axis=axis, keepdims=keepdims, **options)
    def prod(self, axis: Any = None, keepdims: bool = False, **options: Any) -> Tensor:
        """``np.prod``."""
        return numpy.prod(self, axis=axis, keepdims=keepdims, **options)
    def var(
        self, axis: Any = None, ddof: int = 0, keepdims: bool = False, **options: Any
    ) -> Tensor:
        """``np.var``."""
        return numpy.var(self, axis=axis, ddof=ddof, keepdims=keepdims, **options)
    def std(
        self, axis: Any = None, ddof: int = 0, keepdims: bool = False, **options: Any
    ) -> Tensor:
        """``np.std``; its gradient is 0 where the deviation is."""
        return numpy.std(self, axis=axis, ddof=ddof, keepdims=keepdims, **options)
    def cumsum(self, axis: int | None = None) -> Tensor:
        """``np.cumsum``."""
        return numpy.cumsum(self, axis=axis)
    def cumprod(self, axis: int | None = None) -> Tensor:
        """``np.cumprod``."""
        return numpy.cumprod(self, axis=axis)
    def clip(self, min: Any = None, max: Any = None) -> Tensor:
        """``np.clip``; the gradient is 1 at the bounds, as in PyTorch."""
        return numpy.clip(self, min, max)
    def round(self, decimals: int = 0) -> Tensor:
        """``np.round``, with gradient 0."""
        return numpy.round(self, decimals)
    def dot(self, other: Any) -> Tensor:
        """``np.dot``."""
        return numpy.dot(self, other)
    def reshape(self, *shape: Any, order: str | None = None) -> Tensor:
        """``np.reshape``; the lengths singly or as one tuple."""
        return numpy.reshape(self, shape[0] if len(shape) == 1 else shape, order=order)
    def ravel(self, order: str | None = None) -> Tensor:
        """``np.ravel``."""
        return numpy.reshape(self, -1, order=order)
    def flatten(self, order: str | None = None) -> Tensor:
        """``np.ravel``."""
        return numpy.reshape(self, -1, order=order)
    def transpose(self, *axes: Any) -> Tensor:
        """``np.transpose``; the axes singly or as one tuple, none for the reverse order."""
        return numpy.transpose(self, (axes[0] if len(axes) == 1 else axes) or None)
    def swapaxes(self, axis1: int, axis2: int) -> Tensor:
        """``np.swapaxes``."""
        return numpy.swapaxes(self, axis1, axis2)
    def squeeze(self, axis: Any = None) -> Tensor:
        """``np.squeeze``."""
        return numpy.squeeze(self, axis)
    def repeat(self, repeats: Any, axis: int | None = None) -> Tensor:
        """``np.repeat``."""
        return numpy.repeat(self, repeats, axis)
    def take(self, indices: Any, axis: int | None = None) -> Tensor:
        """``np.take``."""
        return numpy.take(self, indices, axis)
    def diagonal(self, offset: int = 0, axis1: int = 0, axis2: int = 1) -> Tensor:
        """``np.diagonal``."""
        return numpy.diagonal(self, offset, axis1, axis2)
    def trace(self, offset: int = 0, axis1: int = 0, axis2: int = 1) -> Tensor:
        """``np.trace``."""
        return numpy.trace(self, offset, axis1, axis2)
    def ptp(self, axis: Any = None, keepdims: bool = False) -> Tensor:
        """``np.ptp``, the maximum less the minimum."""
        return numpy.ptp(self, axis=axis, keepdims=keepdims)
    def astype(self, dtype: Any) -> Tensor:
        """The values in another dtype; the gradient comes back in this one's."""
        dtype = np.dtype(dtype)
        if dtype.kind not in "fiub":
            raise TypeError(
                f"{describe(self)} cannot become {dtype}: a Tensor is of real numbers; write "
                ".data.astype(...) for the plain values"
            )
        out: Tensor = apply(TABLE[np.ndarray.astype], (self,), {"dtype": dtype})
        out.requires_grad = out.requires_grad and dtype.kind == "f"
        return out
    def copy(self) -> Tensor:
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


class Parameter(Tensor):
    """A Tensor that requires a gradient; it owns a copy of its data.

    Unnamed, it takes its attribute's name when a Module holds it.
    """

    __slots__ = ()

    def __init__(self, data: Any, name: str | None = None) -> None:
        super().__init__(np.array(data) if not isinstance(data, Tensor) else data, True, name)


def operands_of(t: Tensor) -> tuple[Any, ...]:
    """The operands of the record that made it: Tensors, arrays and numbers. A leaf has none."""
    record = t._record or ()
    return record[4 : len(record) // 2 + 2]


def arrays_of(t: Tensor) -> tuple[Any, ...]:
    """The arrays and numbers that the op was run on, one for each operand."""
    record = t._record or ()
    return record[len(record) // 2 + 2 :]


def made_by(
    number: int,
    op: Op,
    inputs: tuple[Any, ...],
    params: Params,
    path: tuple[str, ...],
    data: Array,
    requires_grad: bool,
) -> Tensor:
    """A Tensor with a record that ``apply`` did not make, and without its operands' arrays."""
    out: Tensor = _new(Tensor)
    out.data, out.grad, out.name = data, None, None
    out.requires_grad = requires_grad
    out._record = (number, op, params, path, *inputs, *(None for _ in inputs))
    return out


def reserve_numbers(count: int) -> int:
    """Take the next ``count`` running numbers; the first of them."""
    first = next(running_number)
    collections.deque(itertools.islice(running_number, count - 1), maxlen=0)
    return first


def constant(x: Any) -> Any:
    """An operand that is no Tensor: a Python number stays weak, all else is an array."""
    if type(x) in SCALARS or x is None:
        return x
    if type(x) is _ndarray:
        array = x
    elif isinstance(x, np.matrix):
        raise TypeError("an operand is an np.matrix, whose * is another; write np.asarray(m)")
    else:
        array = plain_array(x)
    if array.dtype.kind == "c":
        raise TypeError("complex numbers have no gradients; compute with their two real parts")
    if array.dtype.kind not in "fiub":
        kind = array.dtype if isinstance(x, (np.ndarray, list, tuple)) else type(x).__name__
        words = array.dtype.kind in "US"
        raise TypeError(f"an operand: expected real numbers, got {kind}{WORDS if words else ''}")
    return array


def plain_array(x: Any) -> Array:
    """What is to be computed with as an array, or an error if a mask would be lost."""
    if isinstance(x, np.ma.MaskedArray):
        raise TypeError(
            "a masked array would lose its mask; write x.filled(0) and np.where(x.mask, 0, ...)"
        )
    return np.asarray(x)


def operand(x: Any) -> Any:
    """An operand as ``apply`` wants it: a Tensor, a Python number, or an array."""
    return x if isinstance(x, Tensor) else constant(x)


def values(x: Any) -> Any:
    """The plain arrays of an argument, also inside of tuples, lists and dicts."""
    if isinstance(x, Tensor):
        return x.data
    if type(x) in (tuple, list):
        return type(x)(values(item) for item in x)
    if isinstance(x, dict):
        return {key: values(item) for key, item in x.items()}
    return x


def one_array(who: str, x: Any, read: Callable[[Any], Any] = values) -> Array:
    """An argument as one array, or an error that says what to do with lists that are none."""
    try:
        return np.asarray(read(x))
    except ValueError as error:
        if "inhomogeneous" not in str(error):
            raise
        raise ValueError(
            f"{who}: the sequences differ in length; fill them up behind, ids by "
            "pad_sequences(ids), vectors by rows of 0, and say where each ends by lengths="
        ) from error


def asks_for_gradient(x: Any) -> bool:
    """Whether an argument is a Tensor that requires a gradient, or has one inside of it."""
    if isinstance(x, (tuple, list)):
        return any(map(asks_for_gradient, x))
    return isinstance(x, Tensor) and x.requires_grad


def function_name(function: Callable[..., Any]) -> str:
    """What it is called by: ``np.tanh``, ``np.linalg.norm``."""
    module = getattr(function, "__module__", None) or "numpy"
    prefix = module.replace("numpy", "np", 1) if module.startswith("numpy") else module
    return f"{'np' if prefix.startswith('np._') else prefix}.{function.__name__}"


def dispatch(function: Callable[..., Any], args: Sequence[Any], kwargs: Params) -> Any:
    """A NumPy function called with Tensors: find its row and apply it."""
    row = TABLE.get(function)
    if row is None:
        if function in PLAIN:
            place = OUT_PLACES.get(function, len(args))
            if "out" in kwargs or any(x is not None for x in args[place : place + 1]):
                raise refused(function, args, "out")
            return function(*values(tuple(args)), **values(kwargs))
        if function.__name__ == "clip":  # what the method of an array asks; np.clip has a row
            raise TypeError(
                f"{call_text('array.clip', args)}: an array's own method takes no Tensors; write "
                "np.clip(array, low, high)"
            )
        raise TypeError(
            f"{call_text(function, (*args, *kwargs.values()))}: it has no gradient rule for "
            "Tensors; call it on x.data if no gradient is needed, or write it with functions that "
            f"have one{_WRITES if function is numpy.copyto else ''}"
        )
    names, alike, _ = arguments(function)
    if len(args) > alike:
        kwargs = {**dict(zip(names[alike:], args[alike:], strict=False)), **kwargs}
        args = args[:alike]
    if not isinstance(row, Op):
        return in_its_name(function, row, args, kwargs)
    count = len(row.rules) if isinstance(row.rules, tuple) else len(args)
    arrays, rest = tuple(args[:count]), args[count:]
    params = {**dict(zip(row.names, rest, strict=False)), **kwargs}
    for name in names[len(arrays) : count]:  # np.sum(a=x)
        arrays += (params.pop(name),)
    own = set(row.names) - OPTIONS  # elsewhere None asks for nothing
    for name, value in params.items():
        if asks_for_gradient(value) and name != "out" and scope_here() is not None:
            raise TypeError(
                f"{call_text(function, args)} has no gradient for its {name}=; compute with it "
                f"outside of {function_name(function)}, or give its values, {name}=x.detach()"
            )
    params = {k: values(v) for k, v in params.items() if v is not None or k in own}
    wider = WIDER.get(function)
    for name in sorted(params, key="out".__ne__):  # a @= t has axes= too
        if name in row.names and (wider or name not in OPTIONS):
            continue
        if not asks_nothing(function, name, params.pop(name)):
            raise refused(function, args, name, row.names)
    if wider and not OPTIONS.isdisjoint(params):
        return in_its_name(function, wider, arrays, params)
    return apply(row, tuple(map(operand, arrays)), params)


def positional(function: Callable[..., Any]) -> list[inspect.Parameter] | None:
    """What a function takes by position, or None if that is any number of arguments."""
    if isinstance(function, np.ufunc):
        return None
    parameters = list(inspect.signature(function).parameters.values())
    if any(p.kind is p.VAR_POSITIONAL for p in parameters):
        return None
    return [p for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]


# Of the functions that are written in C, ufuncs too, NumPy gives the signatures from 2.4 on.
WRITTEN_IN_C = {"concatenate": "arrays axis out", "dot": "a b out"}


@functools.cache
def arguments(function: Callable[..., Any]) -> tuple[tuple[str, ...], int, Params]:
    """How NumPy's function is called, beside its row or what stands for it.

    Returns:
        NumPy's names of positional arguments; how many of them stand at the same places in
        ours, so that the others must go by name; NumPy's defaults.
    """
    row = TABLE[function]
    try:
        signature = inspect.signature(function)
    except ValueError:
        names = tuple(WRITTEN_IN_C.get(function.__name__, "").split())
        return names, len(names) - 1 if names else sys.maxsize, {}
    defaults = {k: p.default for k, p in signature.parameters.items()}
    theirs = positional(function)
    if theirs is None:
        return (), sys.maxsize, defaults
    names = tuple(p.name for p in theirs)
    if isinstance(row, Op):
        ours = [*names[: len(row.rules) if isinstance(row.rules, tuple) else 1], *row.names]
    else:
        own = positional(row)
        if own is None:
            return names, sys.maxsize, defaults
        ours = [p.name for p in own]
    alike = 0
    for p, name in zip(theirs, ours, strict=False):
        if p.default is not p.empty and p.name != name:
            break
        alike += 1
    return names, alike, defaults


# Options that ask for what is done anyhow, beside those at NumPy's default.
DONE_ANYHOW = frozenset(
    {
        ("out", None), ("dtype", None), ("where", True), ("casting", "same_kind"),
        ("casting", "safe"), ("order", "K"), ("order", "A"), ("order", "C"), ("subok", True),
        ("subok", False), ("copy", True), ("kind", "stable"), ("stable", True),
    }
)  # fmt: skip


def asks_nothing(function: Callable[..., Any], name: str, value: Any) -> bool:
    """Whether a call would be the same without an option."""
    default = arguments(function)[2].get(name, inspect.Parameter.empty)
    if value is default:
        return True
    return type(value) in (bool, int, float, str, type(None)) and (
        (type(default) is type(value) and default == value) or (name, value) in DONE_ANYHOW
    )


def in_its_name(
    function: Callable[..., Any], stand_in: Callable[..., Any], args: Sequence[Any], kwargs: Params
) -> Any:
    """Call what stands for a function of NumPy; an error inside is told as the function's."""
    try:
        return stand_in(*args, **kwargs)
    except (ValueError, TypeError, IndexError) as error:
        if "unexpected keyword argument" in str(error):
            needed = {k: v for k, v in kwargs.items() if not asks_nothing(function, k, v)}
            if len(needed) < len(kwargs):
                return in_its_name(function, stand_in, args, needed)
            raise refused(function, args, str(error).split("'")[1]) from error
        if "positional argument" in str(error):
            counts = str(error).partition("() ")[2]
            raise TypeError(f"{call_text(function, args)} {counts}") from error
        if error.__cause__ is None:
            raise
        raise explained(error.__cause__, function.__name__, args) from error.__cause__


_WRITES = (
    ". If np.full_like or np.nan_to_num of an array called it: write np.broadcast_to(x, shape), or "
    "np.where(mask, x, array)"
)
_CURES = {
    "out": "a Tensor is never overwritten; use the result, and a = a + t in place of a += t",
    "copy": "a Tensor is never overwritten; leave copy= out and use the result",
    "dtype": "write x.astype(dtype) first",
    "where": "write np.where(mask, x, 0) first",
}


def refused(
    function: Callable[..., Any], args: Sequence[Any], name: str, taken: Sequence[str] = ()
) -> TypeError:
    """The error for an option that a function does not take for Tensors."""
    cure = _CURES.get(name) or f"it takes {', '.join(taken) or 'no options'}"
    return TypeError(f"{call_text(function, args)} takes no {name}= for Tensors: {cure}")


def call_text(function: Any, args: Sequence[Any]) -> str:
    """A call in a message: the function (or its name), its operands and the scope."""
    name = function if isinstance(function, str) else function_name(function)
    return f"{name} of {operands_text(args)}{located(current.get() or ())}"


def operands_text(args: Any) -> str:
    """The Tensors and arrays among arguments, and in the lists among them."""
    found = []
    for x in args:
        if isinstance(x, (Tensor, np.ndarray)):
            found.append(describe(x))
        elif isinstance(x, (tuple, list)):
            found.append(operands_text(x))
    return " and ".join(filter(None, found))


def describe(x: Any) -> str:
    """An operand in a message: its name, shape and dtype."""
    if type(x) in SCALARS:
        return repr(x)
    if isinstance(x, Tensor):
        name = x.name or (f"the result of {x._record[1]}" if x._record else "a Tensor")
        return f"{name} {x.shape} {x.dtype}"
    if isinstance(x, np.ndarray):
        return f"an array {x.shape} {x.dtype}"
    return repr(x)


def came(x: Any) -> str:
    """What came in place of something else, in a message: a value, or what kind of thing it is."""
    if isinstance(x, type):
        return f"the class {x.__name__}"
    return describe(x) if isinstance(x, (str, Tensor, np.ndarray)) else type(x).__name__


def options_text(params: Params) -> str:
    """The metadata of an op as messages and printed tapes show it; arrays by their shapes."""
    shown = {k: v for k, v in params.items() if v is not None and v is not False}
    if "index" in shown:
        index = shown["index"]
        return " " + (option_text(index) if isinstance(index, tuple) else f"[{option_text(index)}]")
    return "".join(f" {k}={option_text(v)}" for k, v in shown.items())


def option_text(value: Any) -> str:
    """One piece of metadata."""
    if isinstance(value, np.ndarray):
        return f"array{value.shape}" if value.size > 4 else str(value.tolist())
    if isinstance(value, slice):
        start, stop, step = (
            "" if x is None else str(x) for x in (value.start, value.stop, value.step)
        )
        return f"{start}:{stop}" + (f":{step}" if step else "")
    if value is Ellipsis:
        return "..."
    if isinstance(value, (tuple, list)):
        return f"[{', '.join(map(option_text, value))}]"
    return repr(value)


def located(path: tuple[str, ...]) -> str:
    """`` in lstm / t=3 / forget``, or nothing outside of every scope."""
    return f" in {path_text(path)}" if path else ""


def explained(
    error: BaseException, op: str, inputs: Sequence[Any], params: Params = NO_PARAMS
) -> Exception:
    """The error of an op, retold with the op, its operands and the scope."""
    where = located(current.get() or ())
    message = str(error).split("\n")[0]
    hint = ""
    shapes = [np.shape(values(x)) for x in inputs if isinstance(x, (Tensor, np.ndarray))]
    if op in ("matmul", "dot") and len(shapes) == 2 and shapes[0] and shapes[1]:
        inner = shapes[1][-2] if len(shapes[1]) > 1 else shapes[1][0]
        if shapes[0][-1] != inner:
            hint = f"; the left has {shapes[0][-1]} columns, the right {inner} rows"
    elif isinstance(op, Op) and op.elementwise and "broadcast" in message and op != "einsum":
        hint = "; from the right, lengths must be equal or 1"
    kinds = (TypeError, ValueError, IndexError)
    kind = next((kind for kind in kinds if isinstance(error, kind)), ValueError)
    operands = " and ".join(map(describe, inputs)) if isinstance(op, Op) else operands_text(inputs)
    return kind(f"{op} of {operands}{options_text(params)}{where}: {message}{hint}")


# Ops that compute nothing: a NaN that they pass on may still be left out by the next.
MOVES = frozenset(
    {
        "getitem", "reshape", "ravel", "expand_dims", "squeeze", "transpose", "swapaxes",
        "moveaxis", "broadcast_to", "flip", "roll", "concatenate", "stack", "where", "take",
        "take_along_axis", "diagonal", "repeat", "tile", "pad", "copy", "astype", "positive",
        "identity", "cut",
    }
)  # fmt: skip


def holds_nan(x: Any) -> bool:
    """Whether an operand has a NaN among its elements."""
    array = np.asarray(values(x))
    return array.dtype.kind == "f" and bool(np.isnan(array).any())


def origin(x: Any) -> Any:
    """The leaf, constant or result behind x that held a NaN first."""
    while isinstance(x, Tensor) and x._record is not None:
        before = [operand for operand in operands_of(x) if holds_nan(operand)]
        if not before:
            break
        x = before[0]
    return x


def check_finite(
    op: str, inputs: tuple[Any, ...], result: Any, path: tuple[str, ...], what: str = "results"
) -> None:
    """Raise FloatingPointError if finite operands gave a result that is not finite.

    Or if a result is a NaN because an operand was: then the error names the leaf behind it.
    """
    array = np.asarray(result)
    if array.dtype.kind not in "f" or np.isfinite(array).all():
        return
    spoilt = [x for x in inputs if holds_nan(x)]
    if what == "results" and spoilt and op not in MOVES and np.isnan(array).any():
        x = origin(spoilt[0])
        place = np.argwhere(np.isnan(values(x)))[0].tolist()
        raise FloatingPointError(
            f"{op} of {' and '.join(map(describe, inputs))}{located(path)}: the NaN in the result "
            f"comes from {describe(x)}, where one stands at {place}"
        )
    if not all(np.isfinite(x).all() for x in values(inputs) if np.asarray(x).dtype.kind in "fiu"):
        return
    bad = np.argwhere(~np.isfinite(array))
    place = [int(i) for i in bad[0]]
    raise FloatingPointError(
        f"{op} of {' and '.join(map(describe, inputs))}{located(path)}: {len(bad)} of {array.size} "
        f"{what} {'is' if len(bad) == 1 else 'are'} not finite ({array[tuple(place)]} at {place})"
    )
