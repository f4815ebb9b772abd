"""Positions in a row that keep order and distance and are as near as can be to the wanted ones."""

from __future__ import annotations

import itertools

from .units import Unit, distance


def spread(row: list[Unit], wanted: list[float], weights: list[float]) -> list[float]:
    """Positions as near as can be to the wanted ones that keep order and distance."""
    if len(row) == 1:
        return wanted
    gaps = [distance(a, b) for a, b in itertools.pairwise(row)]
    return isotonic(wanted, weights, gaps)


def isotonic(wanted: list[float], weights: list[float], gaps: list[float]) -> list[float]:
    """min Σ w (x - wanted)² with x[i+1] - x[i] >= gaps[i], by pooling adjacent violators."""
    shifts = [0.0, *itertools.accumulate(gaps)] if wanted else []
    pools: list[tuple[float, float, int]] = []  # (mean, weight, count)
    for target, weight, shift in zip(wanted, weights, shifts, strict=True):
        mean, total, count = target - shift, weight, 1
        while pools and pools[-1][0] > mean:
            other, more, n = pools.pop()
            mean = (mean * total + other * more) / (total + more)
            total, count = total + more, count + n
        pools.append((mean, total, count))
    flat = [mean for mean, _, count in pools for _ in range(count)]
    return [x + shift for x, shift in zip(flat, shifts, strict=True)]
