"""The Tensor, the op, and ``apply``: how a result remembers what it was computed from.

An ``Op`` is a NumPy function together with the rules that carry a gradient back through it.
``apply`` runs the NumPy function on the operands' arrays and gives the result a record: the op,
its metadata (keywords such as ``axis``), the scope, the operands and their arrays. A graph is
Tensors that point to their operands through their records, so it lives as long as its outputs do,
``backward()`` leaves it as it is, and reference counts alone free it. A Tensor without a record,
which no op made, is a leaf.

What a first reading may skip comes from other files: ``as_constant`` and ``plain_array`` convert
operands that are not Tensors, ``describe`` and ``explain`` write errors, ``current_scope`` is the
path of the scopes around an op, ``anomaly_check`` and ``open_checks`` serve ``detect_anomaly``,
and ``ArrayMethods`` has ``shape``, ``sum()`` and the other attributes of an array.
"""

from __future__ import annotations

import itertools
import operator
from collections.abc import Callable
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from ..checks import check_bool, check_callable, check_text, describe_received
from .coercion import WORDS, as_constant, plain_array
from .context import anomaly_check, current_scope, open_checks
from .messages import describe, explain
from .methods import ArrayMethods

Array = NDArray[Any]
Rule = Callable[..., Any]
BatchRule = Callable[[list[Any], Any], Any]
Operator = Callable[[Any, Any], Any]
Params = dict[str, Any]
numpy: Any = np  # NumPy's type stubs say arrays; given Tensors its functions return Tensors


# Ops ------------------------------------------------------------------------------------------


class Op(str):
    """A NumPy function and its gradient rules, under the name that tapes and pictures show.

    Args:
        name: The op's name; an Op is a str.
        forward: Runs on arrays, with the metadata as keywords.
        rules: ``rules[k](g, y, *inputs, **params)`` is the gradient of operand k, given the
            gradient ``g`` of the result ``y``; None where there is none. Rules are written in
            NumPy: they run on arrays, and on Tensors when they are to be differentiated again.
            A single function in place of the tuple serves any number of operands and returns
            a list of their gradients.
        elementwise: Whether the operands are broadcast, so that a rule may return a gradient
            larger than its operand: the backward pass then sums it to the operand's shape.
        batch_rules: ``batch_rules[k](contributions, x)`` is the gradient of an operand ``x``
            that several records use, summed over all of them at once; a contribution is a
            tuple ``(g, params, y, *inputs)``.
        buffer_until: When buffered contributions are summed: "rows", once they have enough rows
            for a fast product; "operand", once they are as large as the operand; "all", at the
            end.
        pointwise: Whether each element of the result depends on the operands' elements at its
            place only; so it is without saying for a ufunc.
        into: ``into(*arrays, out)`` writes the result of ``forward`` into an array; a ufunc does
            so itself.
        names: The metadata's names in the order of NumPy's arguments, separated by spaces.
        expand: Of a fused record, which stands for many (all steps of a loop over time):
            ``expand(tensor)`` replaces it by those, for a tape that is read or differentiated
            again. Their numbers were reserved when the fused record was made.

    Example:
        An exponential whose gradient is clipped, so that it cannot explode:

        >>> from unspool import Parameter, grad
        >>> from unspool.autograd import Op, apply
        >>> clipped_exp = Op("clipped_exp", np.exp, (lambda g, y, x: np.clip(g * y, -5, 5),))
        >>> x = Parameter([0.0, 3.0])
        >>> apply(clipped_exp, (x,)).sum().backward()
        >>> x.grad
        array([1., 5.])

        The sign s(x) with a straight-through gradient: 1, as if it were the identity. It has
        second derivatives too: s(x) x² has x² + 2 x s(x), and that has 4 x + 2 s(x).

        >>> sign = Op("sign", np.sign, (lambda g, y, x: g,))
        >>> grad(grad(lambda x: apply(sign, (x,)) * x**2))(3.0)
        array(14.)
    """

    forward: Callable[..., Any]
    rules: tuple[Rule | None, ...] | Rule
    elementwise: bool
    variadic: bool  # a single rule for all operands
    operand_rules: tuple[tuple[Rule | None, BatchRule | None], ...]  # empty if variadic
    binary: tuple[Any, ...]  # cached for the binary fast path of the backward pass
    buffer_until: str
    pointwise: bool
    into: Callable[..., Any] | None
    names: tuple[str, ...]
    expand: Callable[[Any], None] | None

    def __new__(  # noqa: D102
        cls,
        name: str,
        forward: Callable[..., Any],
        rules: tuple[Rule | None, ...] | Rule,
        *,
        elementwise: bool = False,
        batch_rules: tuple[BatchRule | None, ...] | None = None,
        buffer_until: str = "operand",
        pointwise: bool = False,
        into: Callable[..., Any] | None = None,
        names: str = "",
        expand: Callable[[Any], None] | None = None,
    ) -> Op:
        check_text("Op", "name", name)
        check_callable("Op", "forward", forward)
        if not callable(rules) and not isinstance(rules, tuple):
            raise TypeError(
                "Op: rules must be a tuple, one function (g, y, *inputs, **params) or None for "
                f"each operand, or one function for all, got {describe_received(rules)}"
            )
        self = super().__new__(cls, name)
        self.forward, self.rules, self.elementwise = forward, rules, elementwise
        self.variadic = not isinstance(rules, tuple)
        self.operand_rules = ()
        if isinstance(rules, tuple):
            batch_rules = batch_rules or (None,) * len(rules)
            self.operand_rules = tuple(zip(rules, batch_rules, strict=True))
        first, second, *_ = (*self.operand_rules, (None, None), (None, None))
        self.binary = (*first, *second, buffer_until, elementwise)
        self.buffer_until = buffer_until
        ufunc = isinstance(forward, np.ufunc) and forward.signature is None
        self.pointwise, self.into = pointwise or ufunc, into or (forward if ufunc else None)
        self.names = tuple(names.split())
        self.expand = expand
        return self

    def __reduce__(self) -> NoReturn:  # so that no Tensor with a record can be pickled
        raise TypeError(f"a record of a tape ({self}) cannot be pickled; save .data instead")

    def __deepcopy__(self, memo: Any) -> Op:
        return self


# NumPy function -> its Op, or a function of the same signature that is written with others.
TABLE: dict[Any, Any] = {}

# Functions that Tensor's methods call by name, defined in files that import this one:
# "backward" (backward.py) and "call_numpy" (numpy_calls.py).
LATER: dict[str, Callable[..., Any]] = {}


def provides(function: Callable[..., Any]) -> Callable[..., Any]:
    """Register a function for Tensor's methods under its name (a decorator)."""
    LATER[function.__name__] = function
    return function


# Records ----------------------------------------------------------------------------------------

# The record of a result: running number, op, metadata, scope, then the operands, then the arrays
# that the op ran on, one for each operand: an update may give an operand a new array. One flat
# tuple of length 4 + 2 n, as every object that the garbage collector visits slows recording down.
RecordFields = tuple[Any, ...]
UNARY, BINARY = 6, 8  # the lengths of the records of one operand and of two

NO_PARAMS: Params = {}
next_number = itertools.count().__next__
scope_here = current_scope.get
_set = object.__setattr__
_new = object.__new__  # without the checks of Tensor.__init__
_ndarray = np.ndarray


def reserve_numbers(count: int) -> int:
    """Take the next ``count`` running numbers; returns the first of them."""
    global next_number
    first = next_number()
    next_number = itertools.count(first + count).__next__
    return first


def apply(op: Op, inputs: tuple[Any, ...], params: Params = NO_PARAMS) -> Any:
    """Run an op on its operands and record it. Every op goes through here or a binary operator.

    Without a Tensor among the operands nothing is recorded and the result is an array, so that
    a gradient rule runs on plain arrays at NumPy's speed.

    Args:
        op: The op.
        inputs: Its operands: Tensors, arrays, numbers.
        params: Its metadata, the keywords of its forward and of its rules.

    Returns:
        A Tensor, or what the forward returned if no operand is a Tensor.

    Example:
        A power with the exponent as metadata; ``Op`` has more:

        >>> from unspool import Parameter
        >>> from unspool.autograd import Op, apply
        >>> power = Op("power", lambda x, n: x**n, (lambda g, y, x, n: g * n * x ** (n - 1),))
        >>> x = Parameter([2.0])
        >>> apply(power, (x,), {"n": 3}).sum().backward()
        >>> x.grad
        array([12.])
    """
    try:
        forward = op.forward
    except AttributeError as error:
        raise TypeError(
            f"apply: op must be an Op(name, forward, rules), got {describe_received(op)}"
        ) from error
    try:
        if len(inputs) == 1:
            (x,) = inputs
            if not isinstance(x, Tensor):
                return forward(x, **params)
            array, requires_grad = x.data, x.requires_grad
            data = forward(array, **params) if params else forward(array)
            operands: Any = (x, array)
        else:
            converted, arrays, requires_grad = convert(inputs)
            if converted is None:
                return forward(*inputs, **params)
            inputs, operands = converted, converted + arrays
            data = forward(*arrays, **params)
    except (ValueError, TypeError, IndexError) as error:
        if not any(isinstance(x, Tensor) for x in inputs):
            raise
        raise explain(error, op, inputs, params) from error
    if type(data) is not _ndarray:
        data = np.asarray(data)
    path = scope_here()
    out: Tensor = _new(Tensor)
    out.data = data
    out.name = None
    if path is None:  # within no_grad()
        out.requires_grad = False
        out._record = None
    else:
        out.requires_grad = requires_grad
        out._record = (next_number(), op, params, path) + operands  # noqa: RUF005  (faster)
    if open_checks and (check := anomaly_check.get()):
        check(op, inputs, data, path or ())
    return out


def convert(inputs: tuple[Any, ...]) -> tuple[Any, tuple[Any, ...], bool]:
    """Operands as Tensors and constants, their arrays, and whether one requires a gradient.

    The operands are None if no Tensor is among them.
    """
    operands, arrays = [], []
    requires_grad = recorded = False
    for x in inputs:
        if isinstance(x, Tensor):
            recorded = True
            requires_grad = requires_grad or x.requires_grad
            array = x.data
        else:
            x = array = as_constant(x)
        operands.append(x)
        arrays.append(array)
    return tuple(operands) if recorded else None, tuple(arrays), requires_grad


def binary_operator(function: Any) -> tuple[Operator, Operator]:
    """``x + other`` and ``other + x`` of a Tensor x, for a ufunc such as ``np.add``.

    The fast path of recording: ``apply`` written out for two operands without metadata. Most
    records of a network are made here, in less than half of the time.
    """
    op: Any = None  # from the table, which a later file fills
    forward: Any = None

    def operate(a: Any, b: Any) -> Any:
        nonlocal op, forward
        if op is None:
            op = TABLE[function]
            forward = op.forward
        try:
            if isinstance(a, Tensor):
                x = a.data
                requires_grad = a.requires_grad
            else:
                x = a = as_constant(a)
                requires_grad = False
            if isinstance(b, Tensor):
                z = b.data
                if b.requires_grad:
                    requires_grad = True
            elif getattr(b, "__array_ufunc__", b) is None:
                return NotImplemented  # it opts out of NumPy's operators, as None must
            else:
                z = b = as_constant(b)
            data = forward(x, z)
        except (ValueError, TypeError) as error:
            raise explain(error, op, (a, b)) from error
        if type(data) is not _ndarray:
            data = np.asarray(data)
        out: Tensor = _new(Tensor)
        out.data = data
        out.name = None
        path = scope_here()
        if path is None:
            out.requires_grad = False
            out._record = None
        else:
            out.requires_grad = requires_grad
            out._record = (next_number(), op, NO_PARAMS, path, a, b, x, z)
        if open_checks and (check := anomaly_check.get()):
            check(op, (a, b), data, path or ())
        return out

    def reflected(b: Any, a: Any) -> Any:
        return operate(a, b)

    return operate, reflected


# The Tensor -------------------------------------------------------------------------------------


class Tensor(ArrayMethods["Tensor"]):
    """An array that remembers how it was computed.

    Args:
        data: An array, number or nested list. An array is shared, not copied, also by the tape:
            writing into it before ``backward()`` changes what the rules read.
        requires_grad: Whether ``backward()`` leaves a gradient here.
        name: Its name in pictures and errors.

    Attributes:
        data: The values, always an ndarray (0-d for a scalar).
        grad: The gradient that ``backward()`` accumulated here (leaves only), or None. A result
            has none, and warns when it is asked for it.
        requires_grad: True for a leaf that asks for a gradient and for everything computed
            from one.
        name: The name, or None.

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
                "Tensor(x.data) for a new leaf, detached from its tape"
            )
        kind = type(self).__name__
        if name is not None and not isinstance(name, str):
            check_text(kind, "name", name)
        if requires_grad is not False and requires_grad is not True:
            check_bool(kind, "requires_grad", requires_grad)
        array = plain_array(data)
        who = f"{kind} {name}" if name else kind
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

    def detach(self) -> Tensor:
        """A leaf with the same values (and memory), off the tape."""
        return Tensor(self.data, name=self.name)

    def astype(self, dtype: Any) -> Tensor:
        """The values in another dtype; the gradient comes back in this one's."""
        try:
            dtype = np.dtype(dtype)
        except TypeError as error:
            raise TypeError(
                f"astype of {describe(self)}: dtype must be a type, as np.float32, got "
                f"{describe_received(dtype)}"
            ) from error
        if dtype.kind not in "fiub":
            raise TypeError(
                f"{describe(self)} cannot become {dtype}: a Tensor is of real numbers; write "
                ".data.astype(...) for the plain values"
            )
        out: Tensor = apply(TABLE[np.ndarray.astype], (self,), {"dtype": dtype})
        out.requires_grad = out.requires_grad and dtype.kind == "f"
        return out

    def backward(self, gradient: Any = None) -> None:
        """Add the gradient of this Tensor to ``.grad`` of every leaf that requires one.

        Args:
            gradient: The gradient of this Tensor itself, of its shape; 1 for a scalar.

        Raises:
            ValueError: It is not a scalar and no ``gradient`` is given, the shapes differ, or
                nothing that requires a gradient leads here.
        """
        LATER["backward"](self, gradient)

    def __getitem__(self, index: Any) -> Tensor:
        for part in index if type(index) is tuple else (index,):
            if isinstance(part, Tensor):
                index = values(index)
        return apply(TABLE[operator.getitem], (self,), {"index": index})

    def __setitem__(self, index: Any, value: Any) -> NoReturn:
        raise TypeError(
            f"{describe(self)} cannot be assigned into: the tape needs the old values; write "
            "np.where(mask, new, x) or np.concatenate of the parts (x.data[...] = v changes a "
            "leaf outside of any tape)"
        )

    # Operators --------------------------------------------------------------------------------

    # fmt: off
    __add__, __radd__ = binary_operator(np.add)
    __sub__, __rsub__ = binary_operator(np.subtract)
    __mul__, __rmul__ = binary_operator(np.multiply)
    __truediv__, __rtruediv__ = binary_operator(np.divide)
    def __floordiv__(self, other: Any) -> Tensor: return numpy.floor_divide(self, other)
    def __rfloordiv__(self, other: Any) -> Tensor: return numpy.floor_divide(other, self)
    def __divmod__(self, other: Any) -> Any: return numpy.divmod(self, other)
    def __rdivmod__(self, other: Any) -> Any: return numpy.divmod(other, self)
    __mod__, __rmod__ = binary_operator(np.remainder)
    __pow__, __rpow__ = binary_operator(np.power)
    __matmul__, __rmatmul__ = binary_operator(np.matmul)
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
    __hash__ = object.__hash__  # in dicts and sets Tensors go by identity
    # fmt: on

    # NumPy's functions: it calls these two when one gets a Tensor -----------------------------

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
        return LATER["call_numpy"](ufunc, args, kwargs)

    def __array_function__(self, function: Any, types: Any, args: Any, kwargs: Any) -> Any:
        return LATER["call_numpy"](function, args, kwargs)


class Parameter(Tensor):
    """A Tensor that requires a gradient; it owns a copy of its data.

    Unnamed, it takes its attribute's name when a Module holds it. Within ``no_grad()`` it can
    be updated, ``net.W -= step``: it stays the same Parameter and gets a new array, so that a
    tape that was recorded before keeps its own.

    Example:
        >>> from unspool import Parameter, no_grad
        >>> W = Parameter([1.0, 2.0])
        >>> (W * W).sum().backward()
        >>> with no_grad():
        ...     W -= 0.5 * W.grad
        >>> W
        Parameter([0., 0.], requires_grad=True)
    """

    __slots__ = ()

    def __init__(self, data: Any, name: str | None = None) -> None:
        super().__init__(data, True, name)
        self.data = np.array(self.data)

    def __setattr__(self, name: str, value: Any) -> None:
        if name == "grad":
            if value is not None and np.shape(value) != self.data.shape:
                raise ValueError(
                    f"{describe(self)}: its .grad must be an array {self.shape} or None, got "
                    f"{describe_received(value)}"
                )
        elif name == "data" and hasattr(self, "data"):
            value = self._as_data(value)
        _set(self, name, value)

    def _as_data(self, value: Any) -> Array:
        """New values of the same shape: an array of floats as it is, others in the old dtype."""
        if type(value) is _ndarray and value.dtype.kind == "f" and value.shape == self.data.shape:
            return value
        if isinstance(value, Tensor):
            raise TypeError(
                f"{describe(self)}: its .data must be an array, got {describe(value)}; write "
                ".data = x.data"
            )
        array = plain_array(value)
        if array.dtype.kind not in "fiub":
            words = WORDS if array.dtype.kind in "US" else ""
            raise TypeError(
                f"{describe(self)}: its .data must be real numbers, got {array.dtype}{words}"
            )
        if array.shape != self.data.shape:
            raise ValueError(
                f"{describe(self)}: its .data must be an array {self.shape}, got "
                f"{describe_received(array)}; for another shape write a new Parameter(...)"
            )
        floats = isinstance(value, _ndarray) and array.dtype.kind == "f"
        return array if floats else array.astype(self.data.dtype)

    def _update(self, function: Callable[[Array, Any], Array], sign: str, other: Any) -> Parameter:
        if scope_here() is not None:
            raise TypeError(
                f"{describe(self)} {sign}= outside of no_grad(): an update is not on the tape; "
                f"write it inside of `with no_grad():`, or x = x {sign} ... for a new Tensor"
            )
        data = function(self.data, values(other))
        if data.shape != self.shape:
            raise ValueError(
                f"{describe(self)} {sign}= {describe(other)}: an update keeps the shape, got "
                f"{data.shape}"
            )
        self.data = np.asarray(data, self.dtype)
        return self

    # fmt: off
    def __iadd__(self, other: Any) -> Parameter: return self._update(np.add, "+", other)
    def __isub__(self, other: Any) -> Parameter: return self._update(np.subtract, "-", other)
    def __imul__(self, other: Any) -> Parameter: return self._update(np.multiply, "*", other)
    def __itruediv__(self, other: Any) -> Parameter: return self._update(np.divide, "/", other)
    # fmt: on


# Operands ---------------------------------------------------------------------------------------


def operand(x: Any) -> Any:
    """An operand as ``apply`` wants it: a Tensor, a Python number, or an array."""
    return x if isinstance(x, Tensor) else as_constant(x)


def values(x: Any) -> Any:
    """The plain arrays of an argument, also inside of tuples, lists and dicts."""
    if isinstance(x, Tensor):
        return x.data
    if type(x) in (tuple, list):
        return type(x)(values(item) for item in x)
    if isinstance(x, dict):
        return {key: values(item) for key, item in x.items()}
    return x


def operands_of(t: Tensor) -> tuple[Any, ...]:
    """The operands of a result's record: Tensors, arrays and numbers. A leaf has none."""
    record = t._record or ()
    return record[4 : len(record) // 2 + 2]  # its length is 4 + 2 n


def arrays_of(t: Tensor) -> tuple[Any, ...]:
    """The arrays and numbers that the op ran on, one for each operand."""
    record = t._record or ()
    return record[len(record) // 2 + 2 :]
