"""Settings come from constructors: an object knows the arguments that it was made with.

``to_config`` writes them as plain data, ``from_config`` calls the constructor again. Nothing is
declared twice: a new argument of a constructor is in the configurations, and so in files, too.

Classes are named by the names under which they were registered, so a configuration from a file can
make nothing else. It describes the structure of an object, not its trained values (``state_dict``)
and not its initial ones (``rng``, ``W_init``, ``U_init``). The defaults of a class's own
constructor are written out, those of arguments that it passes on by ``**options`` are not.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Iterable, Mapping
from typing import Any, TypeVar

import numpy as np

from ..checks import check_annotated, check_choice, describe_received

C = TypeVar("C", bound="Configured")
K = TypeVar("K", bound=type)
Config = dict[str, Any]

PLAIN = (bool, int, float, str, type(None))
DTYPES = ("float16", "float32", "float64")
LEFT_OUT = frozenset({"rng", "W_init", "U_init"})
OMITTED = object()  # in place of an argument that no configuration could hold
CLASSES: dict[str, type[Configured]] = {}
NAMES: dict[type, str] = {}


class NotConfigurable(TypeError):
    """An object was made from something that a configuration cannot name, such as a function."""


def register(kind: K, name: str | None = None) -> K:
    """Let configurations, and so saved files, name a class; a decorator for cells of one's own.

    The name is the class's own, if none is given.

    Example:
        >>> from unspool import cells
        >>> @cells.register
        ... class Slow(cells.Elman):
        ...     '''h' = tanh(x W + h U + b) / 2.'''
        >>> cells.Stacked([Slow(3, 4)]).to_config()["members"][0]["class"]
        'Slow'
    """
    name = name or kind.__name__
    taken = CLASSES.get(name, kind)
    if (taken.__module__, taken.__qualname__) != (kind.__module__, kind.__qualname__):
        raise ValueError(
            f"register: {name!r} is the name of {taken.__module__}.{taken.__qualname__} already; "
            "give the class another name"
        )
    CLASSES[name], NAMES[kind] = kind, name
    return kind


class Configured:
    """Base of the classes with configurations: modules, vocabularies, features."""

    __slots__ = ("__dict__", "__weakref__", "_given")  # _given is no attribute that a walk meets

    _given: tuple[tuple[Any, ...], dict[str, Any]]

    def __new__(cls, *args: Any, **options: Any) -> Any:  # noqa: D102
        if cls.__init__ is object.__init__ and (args or options):
            raise TypeError(f"{cls.__name__}() takes no arguments")
        check_annotated(cls, args, options)
        self = super().__new__(cls)
        self._given = (
            tuple(kept(value) for value in args),
            {name: kept(value) for name, value in options.items()},
        )
        return self

    def arguments(self) -> dict[str, Any]:
        """The constructor's arguments by name, as they are now.

        An attribute with the name and kind of an argument replaces the value that was passed, as
        it may have been changed since. A class may override this.
        """
        kind = type(self)
        try:
            args, options = self._given
            bound = inspect.signature(kind.__init__).bind(self, *args, **options)
        except (AttributeError, TypeError) as error:
            raise NotConfigurable(
                f"{kind.__name__}: the arguments that it was made with are not known: {error}"
            ) from error
        bound.apply_defaults()
        (_, *parameters) = bound.signature.parameters.values()
        found: dict[str, Any] = {}
        for parameter in parameters:
            value = bound.arguments[parameter.name]
            found.update(
                value if parameter.kind is parameter.VAR_KEYWORD else {parameter.name: value}
            )
        return {name: self._current(name, v) for name, v in found.items() if name not in LEFT_OUT}

    def _current(self, name: str, given: Any) -> Any:
        """The attribute of an argument's name, where it is of the argument's kind."""
        now = getattr(self, name, given)
        if isinstance(now, Configured):
            now = getattr(now, "setting", now)  # a Dropout stands for its p
        if isinstance(now, Configured) or now is None:
            same = given is None or isinstance(given, Configured)
        elif isinstance(now, (list, tuple)):  # not the modules that were made from a list of widths
            listed = isinstance(given, (list, tuple)) and holds_objects(now) == holds_objects(given)
            same = listed or given is OMITTED
        else:
            same = type(now) is type(given)
        return now if same else given

    def to_config(self) -> Config:
        """The class and its arguments as plain data, for JSON; see ``from_config``.

        Raises:
            NotConfigurable: It was made with a function, or with a class that is not registered.

        Example:
            >>> from unspool.cells import LSTM
            >>> LSTM(3, 4).to_config()
            {'class': 'LSTM', 'd_in': 3, 'd_h': 4, 'bias': True, 'dtype': 'float32'}
        """
        return encode(self, NAMES.get(type(self), type(self).__name__), [])

    @classmethod
    def from_config(cls: type[C], config: Mapping[str, Any], *, rng: Any = None) -> C:
        """A new object of the class and arguments in a configuration.

        Args:
            config: From ``to_config``, or its copy in JSON.
            rng: For initial parameters and for dropout: a Generator, a seed, or None.

        Raises:
            ValueError: It is no configuration of this class.

        Example:
            >>> from unspool.cells import Elman
            >>> Elman.from_config(Elman(3, 4, "relu").to_config()).activation
            'relu'
        """
        try:
            made = decode(config, np.random.default_rng(rng), [])
        except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
            raise ValueError(f"this is no configuration of {cls.__name__}: {error}") from error
        if not isinstance(made, cls):
            raise ValueError(
                f"this is no configuration of {cls.__name__}, but of {describe_received(made)}"
            )
        return made


def holds_objects(items: Iterable[Any]) -> bool:
    """Whether there is an object with a configuration among these."""
    return any(isinstance(item, Configured) for item in items)


KEPT = (*PLAIN, type, Configured, list, tuple, np.generic, np.ndarray, np.dtype)


def kept(value: Any) -> Any:
    """An argument, or OMITTED for one that no configuration could hold (and pickle might not)."""
    if isinstance(value, functools.partial):
        return value if isinstance(value.func, type) else OMITTED
    return value if isinstance(value, KEPT) else OMITTED


def accepts(kind: type, name: str) -> bool:
    """Whether a class's constructor takes an argument of this name, also by ``**options``."""
    for base in kind.__mro__:
        if "__init__" in vars(base):
            parameters = inspect.signature(vars(base)["__init__"]).parameters
            if name in parameters:
                return True
            if all(p.kind is not p.VAR_KEYWORD for p in parameters.values()):
                return False
    return False


def cell_maker(cell: Configured) -> Any:
    """The class of a cell as ``cell(d_in, d_h, rng=, dtype=)``, its other arguments bound."""
    kind = type(cell)
    given = ("d_in", "d_h", "rng", "dtype")
    if not all(accepts(kind, name) for name in given):
        raise NotConfigurable(f"{kind.__name__} is not made from {', '.join(given)}")
    options = {name: value for name, value in cell.arguments().items() if name not in given}
    return functools.partial(kind, **options)


# Plain data: {"class": "LSTM", argument: ...} is an object, {"same": n} the n-th object again,
# {"kind": "LSTM", argument: ...} a class, called later with further arguments.


def encode(value: Any, where: str, seen: list[Any]) -> Any:
    """A value as plain data; ``seen`` lists the objects that are already written."""
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, PLAIN):
        return value
    if isinstance(value, (list, tuple)):
        return [encode(item, where, seen) for item in value]
    if isinstance(value, np.ndarray):
        return encode(value.tolist(), where, seen)
    if isinstance(value, Configured):
        for place, other in enumerate(seen):
            if other is value:
                return {"same": place}
        seen.append(value)
        return {"class": name_of(type(value), where)} | encoded(value.arguments(), where, seen)
    if isinstance(value, functools.partial) and not value.args:
        return {"kind": name_of(value.func, where)} | encoded(value.keywords, where, seen)
    if isinstance(value, type):
        return {"kind": name_of(value, where)}
    raise NotConfigurable(f"{where} is something that a configuration cannot hold")


def encoded(settings: Mapping[str, Any], where: str, seen: list[Any]) -> Config:
    """The arguments of one object."""
    return {name: encode(value, f"{where}.{name}", seen) for name, value in settings.items()}


def name_of(kind: Any, where: str) -> str:
    """The registered name of a class."""
    if kind not in NAMES:
        raise NotConfigurable(
            f"{where} is {describe_received(kind)}, which is not registered; write "
            "@unspool.cells.register above the class"
        )
    return NAMES[kind]


def decode(value: Any, rng: np.random.Generator, made: list[Any]) -> Any:
    """The value of plain data; ``made`` lists the objects so far, in the order of ``encode``."""
    if isinstance(value, PLAIN):
        return value
    if isinstance(value, (list, tuple)):
        return [decode(item, rng, made) for item in value]
    if not isinstance(value, Mapping):
        raise TypeError(f"expected plain data, got {describe_received(value)}")
    if "same" in value:
        return made[value["same"]]
    settings = dict(value)
    what = "class" if "class" in value else "kind"
    name = settings.pop(what, None)
    if not isinstance(name, str) or name not in CLASSES:
        raise ValueError(f"a part of it is unknown here: {describe_received(name)}")
    kind = CLASSES[name]
    if unwanted := LEFT_OUT & set(settings):
        raise ValueError(f"{name}: {', '.join(sorted(unwanted))} is no setting of a configuration")
    if "dtype" in settings:
        check_choice(name, "dtype", settings["dtype"], DTYPES)
    place = len(made)
    if what == "class":
        made.append(None)
    settings = {key: decode(item, rng, made) for key, item in settings.items()}
    if what == "kind":
        return functools.partial(kind, **settings) if settings else kind
    if accepts(kind, "rng"):
        settings["rng"] = rng
    made[place] = kind(*positional(kind, settings), **settings)
    return made[place]


def positional(kind: type, settings: Config) -> list[Any]:
    """The arguments up to ``*args``, to be given by position; taken out of ``settings``."""
    _, *parameters = inspect.signature(kind.__init__).parameters.values()  # type: ignore[misc]
    only = [p.kind in (p.VAR_POSITIONAL, p.POSITIONAL_ONLY) for p in parameters]
    found: list[Any] = []
    for parameter in parameters[: len(only) - only[::-1].index(True)] if any(only) else ():
        value = settings.pop(parameter.name)
        found += value if parameter.kind is parameter.VAR_POSITIONAL else [value]
    return found
