"""Module: a thing with parameters, found by an ordered walk over its attributes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from ..autograd import Parameter
from ..files import PathLike, load_arrays, save_arrays

__all__ = ["Module"]

M = TypeVar("M", bound="Module")


class Module:
    """Base of everything that holds parameters: cells, layers, models.

    Parameters are the Parameter attributes, those of Module attributes, and those inside of
    lists, tuples and dicts of them, in the order in which they were assigned. A Parameter that
    stands in several places (a tied weight) counts once, under its first name.

    Attributes:
        training: Whether what differs between training and use (dropout) is on.
    """

    training: bool = True

    def __setattr__(self, name: str, value: Any) -> None:
        if isinstance(value, Parameter) and value.name is None:
            value.name = name
        super().__setattr__(name, value)

    def named_places(self, prefix: str = "") -> Iterator[tuple[str, Parameter]]:
        """Every place where a Parameter stands, tied ones at each of them."""
        for name, value in vars(self).items():
            yield from _places(f"{prefix}{name}", value)

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
        stack: list[Any] = [self]
        while stack:
            value = stack.pop()
            if isinstance(value, Module):
                if id(value) in seen:
                    continue
                seen.add(id(value))
                yield value
                stack.extend(reversed(list(vars(value).values())))
            elif isinstance(value, (list, tuple)):
                stack.extend(reversed(value))
            elif isinstance(value, dict):
                stack.extend(reversed(list(value.values())))

    def size(self) -> int:
        """The number of trained numbers: tied ones count once."""
        return sum(parameter.size for parameter in self.parameters())

    def state_dict(self) -> dict[str, NDArray[Any]]:
        """A copy of every Parameter's values, by name."""
        return {name: parameter.data.copy() for name, parameter in self.named_parameters()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Write values into the Parameters, in place; their dtype and identity stay.

        Args:
            state: What ``state_dict`` returned, or a mapping like it. A tied Parameter's other
                names are taken too where they hold the same values.

        Raises:
            ValueError: Entries are missing, unexpected or misshapen; all of them are named,
                and nothing is changed.
            TypeError: ``state`` is no mapping.
        """
        if not isinstance(state, Mapping):
            raise TypeError(
                f"{type(self).__name__}.load_state_dict: expected a dict of arrays by name, got "
                f"{type(state).__name__}; a file is read by load(path)"
            )
        names = dict(self.named_parameters())
        first_name = {parameter: name for name, parameter in names.items()}
        aliases = {
            name: first_name[parameter]
            for name, parameter in self.named_places()
            if name not in names
        }
        found: dict[str, NDArray[Any]] = {}
        problems = []
        for name, value in state.items():
            array = np.asarray(value)
            target = aliases.get(name, name)
            if target not in names:
                problems.append(f"unexpected {name} {array.shape}")
            elif array.shape != names[target].shape:
                problems.append(f"{name} is {array.shape}, expected {names[target].shape}")
            elif array.dtype.kind not in "fiub":
                problems.append(f"{name} holds {array.dtype}, expected numbers")
            elif target in found and not np.array_equal(found[target], array):
                problems.append(f"{name} differs from {target}, to which it is tied")
            else:
                found[target] = array
        given = {aliases.get(name, name) for name in state}
        problems += [f"missing {n} {p.shape}" for n, p in names.items() if n not in given]
        if problems:
            raise ValueError(f"{type(self).__name__}.load_state_dict: {'; '.join(problems)}")
        for name, array in found.items():
            names[name].data[...] = array

    def save(self, path: PathLike) -> None:
        """Write ``state_dict`` to a file, atomically and without pickle.

        A path that ends in ``.safetensors`` becomes such a file (extra ``io``), any other a
        ``.npz``.
        """
        save_arrays(path, self.state_dict())

    def load(self: M, path: PathLike) -> M:
        """Read what ``save`` wrote into the Parameters, and return the Module.

        Raises:
            FileNotFoundError: There is no such file.
            ValueError: It is damaged, or its entries do not fit; nothing is changed.
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

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.size():,} parameters)"

    def _repr_latex_(self) -> str | None:
        """The equations of what can be unrolled, for a notebook, read off its own tape."""
        if not (hasattr(self, "unroll") and hasattr(self, "d_in")):
            return None
        from ..viz.equations import latex_of  # viz reads tapes and needs no cells; they load first

        return latex_of(self)


def _places(name: str, value: Any) -> Iterator[tuple[str, Parameter]]:
    if isinstance(value, Parameter):
        yield name, value
    elif isinstance(value, Module):
        yield from value.named_places(f"{name}.")
    elif isinstance(value, (list, tuple)):
        for i, item in enumerate(value):
            yield from _places(f"{name}.{i}", item)
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from _places(f"{name}.{key}", item)
