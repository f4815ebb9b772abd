"""What ``compile`` was given: losses and metrics, for one output or several."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...checks import describe_received
from . import losses, metrics, notes
from .metrics import Mean, Metric
from .session import plain
from .symbolic import leaves


class Objective:
    """Losses and metrics of a network's outputs, and their averages over an epoch.

    Args:
        loss: A name, a Loss or a function; for several outputs a list, or a dict by their names.
        loss_weights: The factor of each output's loss, a list or a dict.
        metrics: A list; for several outputs a list of lists, or a dict of lists.
        weighted_metrics: The same, for metrics that ``sample_weight`` counts for.
    """

    def __init__(
        self, loss: Any, loss_weights: Any = None, metrics_: Any = None, weighted: Any = None
    ) -> None:
        for name, given in (("metrics", metrics_), ("weighted_metrics", weighted)):
            if isinstance(given, str):
                raise TypeError(f"compile: {name} must be a list, as in [{given!r}]")
            if given is not None and not isinstance(given, (list, tuple, dict)):
                raise TypeError(
                    f"compile: {name} must be a list, as in ['accuracy'], got "
                    f"{describe_received(given)}"
                )
        self.loss, self.loss_weights = loss, loss_weights
        self.metrics, self.weighted = metrics_, weighted
        for one in leaves(loss):  # raises for unknown names at once
            losses.get(one, "compile")
        for given in (metrics_, weighted):
            for one in leaves(given or []):
                metrics.get(one)
        self.total = Mean("loss")
        self.names: list[str] | None = None

    def bind(self, names: list[str]) -> None:
        """Assign losses and metrics to the outputs of these names."""
        if self.names == names:
            return
        self.names = names
        several = len(names) > 1
        self.losses = [
            None if one is None else losses.get(one, "compile")
            for one in spread("loss", self.loss, names)
        ]
        weights = spread("loss_weights", self.loss_weights, names, 1.0)
        self.factors = [1.0 if weight is None else float(weight) for weight in weights]
        self.parts = [Mean(f"{name}_loss") for name in names] if several else []
        self.measured: list[list[tuple[str, Metric, bool]]] = []
        given = spread_lists("metrics", self.metrics, names)
        given_weighted = spread_lists("weighted_metrics", self.weighted, names)
        for name, loss, plain_ones, weighted in zip(
            names, self.losses, given, given_weighted, strict=True
        ):
            found = []
            for ones, counts in ((plain_ones, False), (weighted, True)):
                for one in ones:
                    metric = metrics.get(one, loss)
                    column = one if isinstance(one, str) else metric.name
                    found.append((f"{name}_{column}" if several else column, metric, counts))
            self.measured.append(found)

    @property
    def columns(self) -> list[str]:
        """The names of the numbers, the loss first."""
        if self.names is None:
            self.bind(["output"])
        parts = [part.name for part in self.parts]
        return ["loss", *parts, *(name for group in self.measured for name, _, _ in group)]

    def reset(self) -> None:
        """Begin new averages."""
        self.total.reset_state()
        for part in self.parts if self.names is not None else ():
            part.reset_state()
        for group in self.measured if self.names is not None else ():
            for _, metric, _ in group:
                metric.reset_state()

    def results(self) -> dict[str, Any]:
        """The averages by their names."""
        found: dict[str, Any] = {"loss": self.total.result()}
        found |= {part.name: part.result() for part in self.parts}
        for group in self.measured:
            for name, metric, _ in group:
                result = plain(metric.result())
                found[name] = float(result) if result.ndim == 0 else result
        return found

    def __call__(
        self, targets: list[Any], outputs: list[Any], weights: list[Any], extra: list[Any], n: int
    ) -> Any:
        """The loss of a batch, a Tensor; the averages see it and the metrics.

        Args:
            targets, outputs, weights: Of each output; a weight may be None.
            extra: Terms that are added to the loss.
            n: The number of instances.
        """
        total: Any = None
        for i, (y, output, weight) in enumerate(zip(targets, outputs, weights, strict=True)):
            loss = self.losses[i]
            mask = notes.masks.get(output)
            if mask is not None and y.shape[: mask.ndim] == mask.shape:
                # A target at a padded position may be anything, also no class.
                y = np.where(mask.reshape(mask.shape + (1,) * (y.ndim - mask.ndim)), y, 0)
            self.measure(i, y, output.data, weight, mask)
            if loss is None:
                continue
            one = loss(y, output, sample_weight=weight, mask=mask)
            if self.parts:
                self.parts[i].update_state(float(plain(one)), n)
            one = one * self.factors[i] if self.factors[i] != 1 else one
            total = one if total is None else total + one
        for term in extra:
            total = total + term
        if np.ndim(plain(total)):
            raise ValueError(
                f"the loss must be a number, got {total.shape}; give the Loss another reduction"
            )
        return total

    def measure(self, i: int, y: Any, output: Any, weight: Any, mask: Any) -> None:
        """Add a batch to the metrics of an output, over its real positions."""
        for _, metric, counts in self.measured[i]:
            factors = weight if counts else None
            if mask is not None:
                if factors is None:
                    factors = mask
                else:
                    factors = plain(factors)
                    lead = factors.reshape(factors.shape + (1,) * (mask.ndim - factors.ndim))
                    factors = lead * mask
            if factors is None:
                metric.update_state(y, output)
            else:
                metric.update_state(y, output, sample_weight=factors)


def spread(who: str, given: Any, names: list[str], one: Any = None) -> list[Any]:
    """One value for each output, from a list, a dict by name, or a single value for all."""
    if given is None:
        return [one] * len(names)
    if isinstance(given, dict):
        unknown = [name for name in given if name not in names]
        if unknown:
            raise ValueError(
                f"compile: {who} names {', '.join(map(repr, unknown))}, the outputs are "
                f"{', '.join(map(repr, names))}"
            )
        return [given.get(name) for name in names]
    if isinstance(given, (list, tuple)):
        if len(given) != len(names):
            raise ValueError(
                f"compile: expected {len(names)} of {who}, one for each output "
                f"({', '.join(names)}), got {len(given)}"
            )
        return list(given)
    return [given] * len(names)


def spread_lists(who: str, given: Any, names: list[str]) -> list[list[Any]]:
    """A list of metrics for each output; one list of metrics is for all."""
    if isinstance(given, (list, tuple)) and not any(isinstance(g, (list, tuple)) for g in given):
        if len(names) > 1 and len(given) == len(names):  # as Keras: one metric for each output
            return [[one] for one in given]
        return [list(given)] * len(names)
    each = spread(who, given, names)
    return [
        [] if one is None else list(one) if isinstance(one, (list, tuple)) else [one]
        for one in each
    ]
