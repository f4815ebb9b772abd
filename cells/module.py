"""Module: a thing with parameters, found by an ordered walk over its attributes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from types import FunctionType
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from ..autograd import Parameter, Tensor
from ..checks import describe_received, printable, shown, wrong_type
from ..files import PathLike, load_arrays, save_arrays
from .config import Configured, accepts
from .summary import summary

M = TypeVar("M", bound="Module")
MOST_NAMED = 30  # problems in one message


class Module(Configured):
    """Base of everything that holds parameters: cells, layers, models.

    Parameters are the Parameter attributes, those of Module attributes, and those inside of
    lists, tuples and dicts of them, in the order in which they were assigned. A Parameter that
    stands in several places (a tied weight) counts once, under its first name.

    Attributes:
        training: Whether dropout and its like are on.
    """

    training: bool = True
    # Set by viz: from a module to its equations in LaTeX, as a notebook shows them.
    latex: Callable[[Any], str] | None = None

    def __setattr__(self, name: str, value: Any) -> None:
        if isinstance(value, Parameter):
            if value.name is None:
                value.name = name
        elif value is not None and not isinstance(value, Module):
            self._check_replaces_no_parameter(name, value)
            if isinstance(getattr(type(self), name, None), FunctionType) and not callable(value):
                raise TypeError(
                    f"{type(self).__name__}.{name} is a method, got {describe_received(value)} in "
                    f"its place; take another name, as self.{name}_"
                )
        super().__setattr__(name, value)

    def _check_replaces_no_parameter(self, name: str, value: Any) -> None:
        """Raise TypeError if a plain Tensor, array, list or number would replace a Parameter."""
        if isinstance(self.__dict__.get(name), Parameter):
            array = "value.data" if isinstance(value, Tensor) else "value"
            raise TypeError(
                f"{type(self).__name__}.{name} is a Parameter, got {describe_received(value)}, "
                f"which no optimiser would train; write net.{name}.data = {array} for new values, "
                f"or net.{name} = Parameter({array})"
            )

    def __init_subclass__(cls, **options: Any) -> None:
        """A class with a ``forward`` is called by it, unless it has a ``__call__``."""
        super().__init_subclass__(**options)
        called = any("__call__" in vars(base) for base in cls.__mro__)
        if isinstance(vars(cls).get("forward"), FunctionType) and not called:
            cls.__call__ = call_forward  # type: ignore[attr-defined, method-assign]

    def children(self, prefix: str = "") -> Iterator[tuple[str, Parameter | Module]]:
        """(name, child) of the Parameters and Modules in the attributes, in order.

        Also inside of lists, tuples and dicts; not inside of the Modules.
        """
        return walk(self, prefix, into=Containers)

    def named_places(self, prefix: str = "") -> Iterator[tuple[str, Parameter]]:
        """Every place where a Parameter stands, tied ones at each of them."""
        for name, child in walk(self, prefix, into=(Module, *Containers)):
            if isinstance(child, Parameter):
                yield name, child

    def named_parameters(self) -> Iterator[tuple[str, Parameter]]:
        """(name, Parameter) in order, each Parameter once, under its first name."""
        seen: set[Parameter] = set()
        for name, parameter in self.named_places():
            if parameter not in seen:
                seen.add(parameter)
                yield name, parameter

    def parameters(self) -> list[Parameter]:
        """All Parameters, each once."""
        return [parameter for _, parameter in self.named_parameters()]

    def modules(self) -> Iterator[Module]:
        """This Module and all below it, each once, outermost first."""
        seen: set[int] = set()
        stack: list[Module] = [self]
        while stack:
            module = stack.pop()
            if id(module) not in seen:
                seen.add(id(module))
                yield module
                below = [child for _, child in module.children() if isinstance(child, Module)]
                stack.extend(reversed(below))

    def size(self) -> int:
        """The number of trained numbers: tied ones count once."""
        return sum(parameter.size for parameter in self.parameters())

    def arguments(self) -> dict[str, Any]:
        """The constructor's arguments by name, with the dtype that the parameters have now."""
        found = super().arguments()
        dtypes = {parameter.dtype for parameter in self.parameters()}
        if accepts(type(self), "dtype") and (len(dtypes) == 1 or "dtype" in found):
            dtype = dtypes.pop() if len(dtypes) == 1 else found["dtype"]
            found["dtype"] = np.dtype(dtype).name
        return found

    def state_dict(self) -> dict[str, NDArray[Any]]:
        """A copy of every Parameter's values, by name."""
        return {name: parameter.data.copy() for name, parameter in self.named_parameters()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Give the Parameters new values; their dtype and identity stay.

        Each gets a new array: a tape that holds the old one still differentiates.

        Args:
            state: A mapping like that of ``state_dict``. A tied Parameter's other names are taken
                too where they hold the same values.

        Raises:
            ValueError: Entries are missing, unexpected or misshapen; all of them are named,
                and nothing is changed.
        """
        if not isinstance(state, Mapping):
            who = f"{type(self).__name__}.load_state_dict"
            cure = "a file is read by load(path)"
            raise wrong_type(f"{who}: expected a dict of arrays by name", state, cure)
        names = dict(self.named_parameters())
        first_name = {parameter: name for name, parameter in names.items()}
        aliases = {
            name: first_name[parameter]
            for name, parameter in self.named_places()
            if name not in names
        }
        update = Update(f"{type(self).__name__}.load_state_dict")
        unexpected: list[str] = []
        for name, value in state.items():
            array = np.asarray(value)
            target = aliases.get(name, name)
            if target not in names:
                unexpected.append(f"unexpected {shown(name)} {array.shape}")
            elif update.fits(name, array, names[target].shape):
                update.put(name, names[target], array, f"{target}, to which it is tied")
        given = {aliases.get(name, name) for name in state}
        missing = [f"missing {n} {p.shape}" for n, p in names.items() if n not in given]
        update.problems += missing + unexpected  # a long list is cut: what says most comes first
        update.finish()

    def save(self, path: PathLike) -> None:
        """Write ``state_dict`` to a file, atomically and without pickle.

        A path that ends in ``.safetensors`` becomes such a file (extra ``io``), any other a
        ``.npz``.
        """
        save_arrays(path, self.state_dict())

    def load(self: M, path: PathLike) -> M:
        """Read a file of ``save`` into the Parameters, and return the Module.

        One that is damaged, or whose entries do not fit, raises a ValueError; nothing is changed.
        """
        state = load_arrays(path)
        try:
            self.load_state_dict(state)
        except ValueError as error:
            raise ValueError(f"{path}: {error}") from error
        return self

    def train(self: M, mode: bool = True) -> M:
        """Switch dropout and its like on, here and below."""
        for module in self.modules():
            module.training = mode
        return self

    def eval(self: M) -> M:
        """Switch dropout and its like off, here and below."""
        return self.train(False)

    def freeze(self: M) -> M:
        """Let the Parameters require no gradient: optimisers leave them as they are."""
        for parameter in self.parameters():
            parameter.requires_grad = False
        return self

    def unfreeze(self: M) -> M:
        """Let the Parameters require a gradient again."""
        for parameter in self.parameters():
            parameter.requires_grad = True
        return self

    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any:
            """Raise AttributeError with what is written here for another library's method."""
            if name in ELSEWHERE:
                raise AttributeError(
                    f"{type(self).__name__!r} object has no attribute {name!r}; {ELSEWHERE[name]}"
                )
            return object.__getattribute__(self, name)  # raises what it raised

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.size():,} parameters)"

    def __str__(self) -> str:
        """The structure with settings, shapes and numbers of parameters, a line a Module.

        Example:
            >>> from unspool.cells import Elman, Stacked
            >>> print(Stacked([Elman(3, 4, "relu"), Elman(4, 4)]))
            StackedCell
              0  Elman(3, 4, activation='relu')  W (3, 4)   U (4, 4)   b (4,)  32
              1  Elman(4, 4)                     W U (4, 4)   b (4,)           36
            68 parameters
        """
        return printable(summary(self))

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:
        """The structure, where IPython shows a Module."""
        printer.text(str(self))

    def _repr_latex_(self) -> str | None:
        """The equations of a cell or composite, for a notebook, read off its own tape."""
        latex = Module.latex
        if latex is None or not (hasattr(self, "unroll") and hasattr(self, "d_in")):
            return None
        return latex(self)


def call_forward(self: Any, *args: Any, **options: Any) -> Any:
    """``module(x)`` is ``module.forward(x)``."""
    return self.forward(*args, **options)


# Methods of other libraries' models, and what is written here.
ELSEWHERE = {
    **dict.fromkeys(("to", "cuda", "cpu"), "all arrays are in memory"),
    **dict.fromkeys(
        ("fit", "compile"),
        "write unspool.models.fit(model, task, Adam(model.parameters())); Keras's way is in "
        "unspool.models.keras",
    ),
    "predict_proba": "write model.probabilities(x)",
    "requires_grad_": "write model.freeze() or model.unfreeze()",
    "save_weights": "write model.save(path)",
    "load_weights": "write model.load(path)",
    "summary": "write print(model)",
    "zero_grad": "write optimizer.zero_grad()",
}

Containers = (list, tuple, dict)


def walk(
    module: Module, prefix: str, into: tuple[type, ...]
) -> Iterator[tuple[str, Parameter | Module]]:
    """The Parameters and Modules below a Module, named by their places; without recursion.

    Args:
        module: Where the walk begins.
        prefix: Of the names.
        into: The classes whose parts are walked too; what is of none of them is a child.

    Raises:
        TypeError: Something holds itself, or a set holds a Parameter or Module.
    """
    above = [id(module)]
    stack = [iter([(f"{prefix}{name}", value) for name, value in vars(module).items()])]
    while stack:
        name, value = next(stack[-1], ("", None))
        if isinstance(value, (set, frozenset)):
            check_set(name, value)
        elif isinstance(value, into):
            if id(value) in above:
                raise TypeError(holds_itself(name, value))
            above.append(id(value))
            stack.append(iter([(f"{name}.{key}", item) for key, item in parts(value)]))
        elif isinstance(value, (Parameter, Module)):
            yield name, value
        elif not name:
            stack.pop()
            above.pop()


def parts(value: Any) -> Iterable[tuple[Any, Any]]:
    """The parts of a Module or container, each with its key."""
    if isinstance(value, Module):
        return vars(value).items()
    return value.items() if isinstance(value, dict) else enumerate(value)


def check_set(name: str, value: Iterable[Any]) -> None:
    """Raise TypeError for a set of Parameters or Modules: their order differs from run to run."""
    if any(isinstance(item, (Parameter, Module)) for item in value):
        raise TypeError(f"{name} is a set of Parameters or Modules; make it a list, in order")


def holds_itself(name: str, value: Any) -> str:
    """The message for a part that is also above itself."""
    if isinstance(value, Module):
        return (
            f"{name} is the {type(value).__name__} that this is a part of; a Module holds only its "
            "parts: keep a parent as weakref.ref(parent)"
        )
    return f"{name} is a {type(value).__name__} that holds itself"


class Update:
    """New values for Parameters: problems are gathered, then all values are set, or none."""

    def __init__(self, who: str) -> None:
        self.who = who
        self.problems: list[str] = []
        self.found: dict[Parameter, tuple[str, NDArray[Any]]] = {}

    def fits(self, name: str, array: NDArray[Any], shape: tuple[int, ...]) -> bool:
        """Whether an array has numbers and this shape; if not, it is a problem."""
        if array.dtype.kind not in "fiub":
            self.problems.append(f"{shown(name)} holds {array.dtype}, expected numbers")
        elif array.shape != shape:
            self.problems.append(f"{shown(name)} is {array.shape}, expected {shape}")
        else:
            return True
        return False

    def put(
        self, name: str, parameter: Parameter, array: NDArray[Any], other: str | None = None
    ) -> None:
        """The array of this name for a Parameter; a second one for it must be equal.

        ``other`` names that second one in the message; None for the first one's name.
        """
        held = self.found.get(parameter, ("", array))[1]
        if not np.array_equal(held, array, equal_nan=array.dtype.kind == "f"):
            first = f"{self.found[parameter][0]}, and both are one Parameter here"
            self.problems.append(f"{name} differs from {other or first}")
        self.found[parameter] = (name, array)

    def finish(self) -> None:
        """Set all values as new arrays, or raise one error that names every problem."""
        new: list[tuple[Parameter, NDArray[Any]]] = []
        for parameter, (name, array) in self.found.items():
            with np.errstate(over="ignore"):
                values = np.array(array, parameter.dtype, order="C")
            if array.dtype.itemsize > values.itemsize and not same_finite(values, array):
                self.problems.append(f"{name} holds numbers too large for {parameter.dtype}")
            new.append((parameter, values))
        if self.problems:
            more = f"; and {len(self.problems) - MOST_NAMED} more"
            shown = "; ".join(self.problems[:MOST_NAMED])
            raise ValueError(f"{self.who}: {shown}{more * (len(self.problems) > MOST_NAMED)}")
        for parameter, values in new:
            parameter.data = values


def same_finite(values: NDArray[Any], array: NDArray[Any]) -> bool:
    """Whether the same elements are finite before and after a conversion."""
    return bool((np.isfinite(values) == np.isfinite(array)).all())
