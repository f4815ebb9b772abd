"""Conditional random fields: the probability of a whole sequence of labels, and the best one.

A linear chain scores a label sequence s_1 ... s_m by a sum over its positions of the scores of
pairs of neighbouring labels, and P(s) = exp(score(s)) / Z. Because the score is such a sum, Z, a
sum over n^m sequences, and the maximum over them cost only m n² (Lafferty, McCallum and Pereira
2001). The gradient of log Z comes from the tape: it is the backward algorithm.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ...autograd import (
    ClassName,
    Parameter,
    Reduction,
    Tape,
    Tensor,
    check_reduction,
    class_ids,
    describe,
    floats,
    logsumexp,
    no_grad,
    one_array,
    operand,
    recording,
    scope,
    values,
)
from ...cells import Module, glorot_uniform, real_positions, register
from ...checks import check_choice, check_int, wrong_type

Bools = NDArray[np.bool_]
Ids = NDArray[np.intp]

# The prefixes that may follow a prefix, for each scheme: within a span (of the same type), and
# otherwise. "" stands before the first label and behind the last one.
SCHEMES: dict[str, tuple[dict[str, str], dict[str, str]]] = {
    "IOB1": ({"B": "BI", "I": "BI"}, dict.fromkeys(["", "O", "B", "I"], "OI")),
    "BIO": ({"B": "I", "I": "I"}, dict.fromkeys(["", "O", "B", "I"], "OB")),
    "BIOES": ({"B": "IE", "I": "IE"}, dict.fromkeys(["", "O", "E", "S"], "OBS")),
    "BILOU": ({"B": "IL", "I": "IL"}, dict.fromkeys(["", "O", "L", "U"], "OBU")),
    "BMES": ({"B": "ME", "M": "ME"}, dict.fromkeys(["", "O", "E", "S"], "OBS")),
}


class Constraints(NamedTuple):
    """The allowed label sequences; all others have probability 0.

    Attributes:
        transitions: (n, n) booleans, ``[a, b]``: label b may follow label a.
        start: (n,), which labels a sequence may begin with.
        end: (n,), which labels it may end with.
    """

    transitions: Bools
    start: Bools
    end: Bools


def span_constraints(labels: Sequence[str], scheme: str = "BIO") -> Constraints:
    """The constraints of labels that mark spans, from the labels' names.

    In BIO (IOB2), I-X follows only B-X or I-X. In IOB1 spans begin with I-X, and with B-X only
    right behind another span of the type X. In BIOES a span of several tokens is B-X, any number
    of I-X, E-X, and one of a single token is S-X; BILOU has L and U in place of E and S, BMES
    (words from characters) M in place of I.

    Args:
        labels: Names such as ``O``, ``B-NP``, ``I-NP``, in the order of their ids.
        scheme: "BIO", "IOB1", "BIOES", "BILOU" or "BMES".

    Example:
        >>> from unspool.models.networks.crf import span_constraints
        >>> transitions, start, end = span_constraints(["O", "B-NP", "I-NP"])
        >>> start.tolist(), transitions[0].tolist()
        ([True, True, False], [True, True, False])
    """
    inside, outside = SCHEMES[check_choice("span_constraints", "scheme", scheme, SCHEMES)]
    pairs = []
    for label in labels:
        prefix, _, kind = label.partition("-")
        letters = [letter for letter in scheme if letter.isalpha() and letter != "O"]
        if label != "O" and not (prefix in letters and (kind or scheme == "BMES")):
            raise ValueError(
                f"span_constraints: a label of {scheme} is O, or one of {', '.join(letters)} with "
                f"a type, as in B-NP; got {label!r}"
            )
        pairs.append((prefix, kind))

    def follows(before: tuple[str, str], after: tuple[str, str]) -> bool:
        within = after[0] in inside.get(before[0], "") and before[1] == after[1]
        return within or after[0] in outside.get(before[0], "")

    return Constraints(
        np.array([[follows(a, b) for b in pairs] for a in pairs], bool).reshape(2 * (len(pairs),)),
        np.array([follows(("", ""), b) for b in pairs], bool),
        np.array([a[0] in outside for a in pairs], bool),
    )


class Scored(NamedTuple):
    """Scores of every label at every position, with the real positions in front."""

    unary: Any  # (batch, time, n)
    pair: Any  # (n, n), or (batch, time - 1, n, n)
    end: Any  # (n,)
    real: Bools  # (batch, time)
    order: Ids | None  # (batch, time), the original positions; None if none were moved
    batched: bool
    time: int  # how many positions were given; 0 where the one there is stands for none

    def pair_into(self, t: int) -> Any:
        """The scores of (label at t - 1, label at t), (n, n) or (batch, n, n)."""
        return self.pair if self.pair.ndim == 2 else self.pair[:, t - 1]


class Lattice(NamedTuple):
    """What a CRF scores over a sequence: a picture of all its paths.

    Attributes:
        words: The words.
        labels: The names of the labels.
        emissions: (time, labels), the score of each label at each word.
        transitions: (time - 1, labels, labels), the score of each label after each other.
        best: (time,), the most probable sequence of labels.
        log_partition: log Z, with the tape of the forward algorithm.
    """

    words: list[str]
    labels: list[str]
    emissions: NDArray[Any]
    transitions: NDArray[Any]
    best: Ids
    log_partition: Tensor


class Chain(Module):
    """Base of the linear-chain models: inference and losses, given a chain's scores.

    A subclass sets ``d_in``, the width of its input at each position, and defines ``scores``. All
    methods take x, ``lengths`` and ``mask`` as ``log_partition`` does, those that infer also
    ``observed``.

    Args:
        labels: The number of labels, or their names.
        constraints: Constraints, a scheme of ``span_constraints`` (the labels are then names),
            or None for none.
    """

    d_in: int

    def __init__(
        self, labels: int | Sequence[str], constraints: Constraints | str | None = None
    ) -> None:
        name = type(self).__name__
        if isinstance(labels, str) or not isinstance(labels, (int, np.integer, Sequence)):
            raise wrong_type(f"{name}: labels must be a number or names", labels)
        self.labels = list(labels) if isinstance(labels, Sequence) else None
        count = labels if self.labels is None else len(self.labels)
        self.n_labels = n = check_int(name, "the number of labels", count)
        if isinstance(constraints, str):
            if self.labels is None:
                raise ValueError(
                    f"{name}: constraints={constraints!r} need the labels' names; write "
                    'CRF(["O", "B-NP", "I-NP"], ...) instead of their number'
                )
            constraints = span_constraints(self.labels, constraints)
        if constraints is not None:
            constraints = Constraints(*(np.asarray(c) for c in constraints))
            for part, array, shape in zip(
                Constraints._fields, constraints, ((n, n), (n,), (n,)), strict=True
            ):
                if array.shape != shape or array.dtype != bool:
                    raise ValueError(
                        f"{name}: the constraints' {part} must be booleans {shape}, got "
                        f"{array.dtype} {array.shape}"
                    )
        self.constraints = constraints

    def scores(self, x: Any) -> tuple[Any, Any, Any]:
        """``(unary, pair, end)`` of x (batch, time, d_in), time at least 1.

        unary (batch, time, n), the first position's with the scores of beginning; pair (n, n), or
        (batch, time - 1, n, n); end (n,).
        """
        raise NotImplementedError(
            f"{type(self).__name__} defines no scores(x) -> (unary, pair, end)"
        )

    # Probabilities ----------------------------------------------------------------------------

    def log_partition(
        self, x: Any, lengths: Any = None, mask: Any = None, *, observed: Any = None
    ) -> Tensor:
        """log Z, the logarithm of the sum of exp(score) over all label sequences: (batch,).

        Args:
            x: (batch, time, d_in), or (time, d_in) for a single sequence with a scalar result.
            lengths: As in ``unroll``; a sequence of length 0 has log Z = 0.
            mask: As in ``unroll``; the positions on both sides of a hole are neighbours.
            observed: (batch, time) or (time,), the label ids that are known and -1 where none
                is: the sum is over the sequences that have them, so that less ``log_partition``
                without it is the log probability of what was observed.

        Source: the forward algorithm (Rabiner 1989), in log space.
        """
        with self._scope():
            found = self._prepared("log_partition", x, lengths, mask, observed)
            total = self._forward(found)
            return total if found.batched else total[0]

    def score(self, x: Any, tags: Any, lengths: Any = None, mask: Any = None) -> Tensor:
        """The score of given label sequences, before it is normalised: (batch,).

        Args:
            tags: (batch, time) or (time,), label ids; at padding anything.
        """
        with self._scope():
            found = self._prepared("score", x, lengths, mask)
            total = self._score(found, self._checked_tags("score", tags, found))
            return total if found.batched else total[0]

    def loss(
        self,
        x: Any,
        tags: Any,
        lengths: Any = None,
        mask: Any = None,
        *,
        reduction: Reduction = "mean",
    ) -> Tensor:
        """-log P(tags), in nats.

        Args:
            tags: As in ``score``.
            reduction: "mean" over the sequences that have a position, "sum", or "none" for one
                a sequence, (batch,).
        """
        check_reduction("CRF.loss", reduction)
        with self._scope():
            found = self._prepared("loss", x, lengths, mask)
            tags = self._checked_tags("loss", tags, found)
            nats = self._forward(found) - self._score(found, tags)
            if reduction == "none":
                return nats if found.batched else nats[0]
            total: Tensor = np.sum(nats)
            if reduction == "sum":
                return total
            return total / max(int(found.real.any(1).sum()), 1)

    def scored(self, x: Any) -> tuple[NDArray[Any], NDArray[Any]]:
        """The scores of a single sequence x (time, d_in): of labels and of pairs of neighbours.

        Returns:
            (time, n), the first with that of beginning and the last with that of ending, and
            (time - 1, n, n).
        """
        with no_grad():
            found = self._prepared("scored", operand(values(x)), None, None)
        unary, pair, end = (np.asarray(values(a)) for a in found[:3])
        unary = unary[0].copy()
        unary[-1] += end
        time = len(unary)
        shape = (time - 1, self.n_labels, self.n_labels)
        return unary, np.broadcast_to(pair, shape) if pair.ndim == 2 else pair[0]

    def lattice(self, x: Any, words: Sequence[Any] | None = None) -> Lattice:
        """All that is scored over a single sequence, for ``unspool.viz.lattice``.

        Args:
            x: (time, d_in).
            words: What stands below each position; by default t=1, t=2, ...

        Raises:
            ValueError: x has another shape or no position, or there is another number of words.
        """
        x = operand(x)
        if x.ndim != 2 or not len(x):
            raise ValueError(
                f"lattice: expected one sequence of scores (time, {self.d_in}), got {x.shape}"
            )
        steps = len(x)
        if words is None:
            words = [f"t={t}" for t in range(1, steps + 1)]
        if len(words) != steps:
            raise ValueError(
                f"lattice: expected a word for each of {steps} positions, got {len(words)}"
            )
        with recording():
            total = self.log_partition(x)
        names = self.labels or [str(k) for k in range(self.n_labels)]
        return Lattice(list(map(str, words)), names, *self.scored(x), self.decode(x), total)

    def marginals(
        self, x: Any, lengths: Any = None, mask: Any = None, *, observed: Any = None
    ) -> NDArray[Any]:
        """P(label at t) over all sequences, (batch, time, n), 0 at padding: a plain array.

        It is the gradient of log Z by the scores of the labels.
        """
        with no_grad():
            found = self._prepared("marginals", operand(values(x)), lengths, mask, observed)
        with recording():
            added = Tensor(np.zeros(found.unary.shape, found.unary.dtype), requires_grad=True)
            total = np.sum(self._forward(found._replace(unary=found.unary + added)))
            gradient = Tape(total).gradients().get(added)
        p = np.zeros(added.shape, added.dtype) if gradient is None else np.array(values(gradient))
        return self._in_place(found, np.where(found.real[..., None], p, 0), axis=1)

    def _forward(self, found: Scored) -> Tensor:
        """log Z of each sequence: alpha_t[s] is the log of the sum over all that end in s at t."""
        unary, real = found.unary, found.real
        with scope("forward_algorithm"):
            for t in range(unary.shape[1]):
                with scope(f"t={t + 1}", step=t + 1):
                    if t == 0:
                        alpha = unary[:, 0]
                    else:
                        paths = alpha[:, :, None] + found.pair_into(t)
                        new = logsumexp(paths, axis=1) + unary[:, t]
                        here = real[:, t, None]
                        alpha = new if here.all() else np.where(here, new, alpha)
                    alpha.name = f"alpha_{t + 1}"
            total: Tensor = logsumexp(alpha + found.end)
            filled = real.any(1)
            if not filled.all():
                total = np.where(filled, total, 0)  # type: ignore[assignment]
            return total

    def _score(self, found: Scored, tags: Ids) -> Tensor:
        batch, real = np.arange(len(tags)), found.real
        with scope("score"):
            labels = np.take_along_axis(found.unary, tags[..., None], -1)[..., 0]
            total = np.sum(np.where(real, labels, 0), axis=1)
            if tags.shape[1] > 1:
                where: Any = (tags[:, :-1], tags[:, 1:])
                if found.pair.ndim == 4:
                    where = (batch[:, None], np.arange(tags.shape[1] - 1), *where)
                steps = found.pair[where]
                total = total + np.sum(np.where(real[:, 1:], steps, 0), axis=1)
            last = tags[batch, np.maximum(real.sum(1) - 1, 0)]
            return total + np.where(real.any(1), found.end[last], 0)

    # The best sequences -----------------------------------------------------------------------

    def decode(self, x: Any, lengths: Any = None, mask: Any = None, *, observed: Any = None) -> Ids:
        """The most probable label sequence, (batch, time), -1 at padding (Viterbi 1967).

        It has the labels that are ``observed``, -1 where none is.

        Scores without a best sequence (NaN, or -inf for all) raise ValueError.
        """
        tags, scores = self._best("decode", x, 1, lengths, mask, observed)
        bad = np.flatnonzero(~(scores[..., 0] > -np.inf))
        if bad.size:
            raise ValueError(
                f"{type(self).__name__}.decode: sequence {bad[0]} has no best labels, its highest "
                f"score is {scores[..., 0].flat[bad[0]]}; look for NaN in the inputs and parameters"
                f"{' and for observed labels that the constraints forbid' * (observed is not None)}"
            )
        return tags[..., 0, :]

    def nbest(
        self, x: Any, n: int, lengths: Any = None, mask: Any = None, *, observed: Any = None
    ) -> tuple[Ids, NDArray[Any]]:
        """The n most probable label sequences, best first, and their scores.

        Args:
            n: How many sequences.

        Returns:
            Label ids (batch, n, time), -1 at padding, and scores (batch, n), without the axis of
            the batch for a single sequence. Where there are fewer than n sequences, the rest have
            score -inf and ids -1.
        """
        n = check_int(f"{type(self).__name__}.nbest", "n", n)
        return self._best("nbest", x, n, lengths, mask, observed)

    def _best(
        self, what: str, x: Any, n: int, lengths: Any, mask: Any, observed: Any
    ) -> tuple[Ids, NDArray[Any]]:
        with no_grad():
            found = self._prepared(what, operand(values(x)), lengths, mask, observed)
        unary, pair, end = (np.asarray(values(a)) for a in found[:3])
        found = found._replace(unary=unary, pair=pair, end=end)
        size, time, labels = unary.shape
        rows = np.arange(size)[:, None]
        # best[b, s, k]: the score of the k-th best that ends in s; a cell (s, k) has the number
        # s * n + k, and back[t][b, number] is the number of the cell before it.
        best = np.full((size, labels, n), -np.inf, unary.dtype)
        best[:, :, 0] = unary[:, 0]
        back = np.empty((time, size, labels * n), np.intp)
        for t in range(1, time):
            paths = best[:, :, :, None] + found.pair_into(t)[..., :, None, :]
            paths = paths.reshape(size, labels * n, labels)
            before = largest(paths, n)  # (batch, n, labels)
            new = np.take_along_axis(paths, before, 1).swapaxes(1, 2) + unary[:, t, :, None]
            here = found.real[:, t, None]
            back[t] = before.swapaxes(1, 2).reshape(size, labels * n)
            back[t] = np.where(here, back[t], np.arange(labels * n))
            best = np.where(here[..., None], new, best)
        paths = (best + end[:, None]).reshape(size, labels * n, 1)
        cells = largest(paths, n)[..., 0]
        scores = np.take_along_axis(paths[..., 0], cells, 1)
        empty = ~found.real.any(1)
        scores[empty] = np.where(np.arange(n) == 0, 0, -np.inf)
        tags = np.empty((size, n, time), np.intp)
        for t in reversed(range(time)):
            tags[:, :, t] = cells // n
            if t:
                cells = back[t][rows, cells]
        tags[~(found.real[:, None] & (scores > -np.inf)[..., None])] = -1
        return self._in_place(found, tags, axis=2), scores if found.batched else scores[0]

    def _scope(self) -> scope:
        return scope(ClassName(type(self).__name__))

    # Checked arguments ------------------------------------------------------------------------

    def _prepared(self, what: str, x: Any, lengths: Any, mask: Any, observed: Any = None) -> Scored:
        who = f"{type(self).__name__}.{what}"
        x = floats(operand(x))
        shape = np.shape(x)
        if len(shape) not in (2, 3) or shape[-1] != self.d_in:
            raise ValueError(
                f"{who}: expected (batch, time, {self.d_in}) or (time, {self.d_in}), got "
                f"{describe(x)}"
            )
        real = real_positions(who, shape[:-1], lengths, mask)
        if real is None:
            real = np.ones(shape[:-1], bool)
        batched = len(shape) == 3
        if not batched:
            x, real = x[None], real[None]
        order = None
        if (real[:, 1:] > real[:, :-1]).any():  # a hole: the real positions move to the front
            order = np.argsort(~real, axis=1, kind="stable")
            x = x[np.arange(len(real))[:, None], order]
            real = np.take_along_axis(real, order, 1)
        if not real.shape[1]:  # one position of padding, so that there is a first step
            x, real = np.zeros((len(real), 1, self.d_in), x.dtype), np.zeros((len(real), 1), bool)
        elif not real.all():
            x = np.where(real[..., None], x, 0)
        with scope("scores"):
            unary, pair, end = self.scores(x)
            if self.constraints is not None:
                follows, start, ends = self.constraints
                first = np.where(start, unary[:, :1], -np.inf)
                unary = np.concatenate([first, unary[:, 1:]], axis=1)
                pair, end = np.where(follows, pair, -np.inf), np.where(ends, end, -np.inf)
                self._check_possible(who, real.sum(1))
            found = Scored(unary, pair, end, real, order, batched, shape[-2])
            return found if observed is None else self._held(what, found, observed)

    def _held(self, what: str, found: Scored, observed: Any) -> Scored:
        """The scores with -inf for all labels but the observed one, where there is one."""
        who = f"{type(self).__name__}.{what}"
        array = one_array(who, observed)
        known = array != -1
        ids = self._in_order(who, "observed", np.where(known, array, 0), found)
        free = self._in_order(who, "observed", np.where(known, 0, 1), found).astype(bool)
        allowed = free[..., None] | (ids[..., None] == np.arange(self.n_labels))
        return found._replace(unary=np.where(allowed, found.unary, -np.inf))

    def _check_possible(self, who: str, lengths: NDArray[Any]) -> None:
        """Raise if no sequence of one of these lengths keeps the constraints."""
        assert self.constraints is not None
        follows, reached, ends = self.constraints
        for length in range(1, int(lengths.max(initial=0)) + 1):
            if length > 1:
                reached = np.asarray((reached[:, None] & follows).any(0))
            if not (reached & ends).any() and (lengths == length).any():
                raise ValueError(
                    f"{who}: the constraints allow no label sequence of length {length}; check "
                    "their start, end and transitions"
                )

    def _checked_tags(self, what: str, tags: Any, found: Scored) -> Ids:
        """The tags, 0 at padding, in the order of the prepared positions."""
        who = f"{type(self).__name__}.{what}"
        array = self._in_order(who, "tags", one_array(who, tags), found)
        if self.constraints is not None:
            self._check_allowed(who, array, found.real)
        return array

    def _in_order(self, who: str, name: str, array: NDArray[Any], found: Scored) -> Ids:
        """Label ids of the positions as they were given, 0 at padding, as they were prepared."""
        given = array.shape
        if not found.batched and array.ndim == 1:
            array = array[None]
        real = found.real
        if not array.size and not real.any() and array.shape[:1] == real.shape[:1]:
            return np.zeros(real.shape, np.intp)
        if array.shape != real.shape:
            want = real.shape if found.batched else real.shape[1:]
            raise ValueError(f"{who}: expected {name} {want}, one a position, got {given}")
        if found.order is not None:
            array = np.take_along_axis(array, found.order, 1)
        return class_ids(np.where(real, array, 0), self.n_labels, who, "labels")

    def _check_allowed(self, who: str, tags: Ids, real: Bools) -> None:
        """Raise if constraints forbid a sequence of labels: its probability would be 0."""
        assert self.constraints is not None
        follows, start, ends = self.constraints
        broken = np.zeros(real.shape, bool)
        broken[:, 0] = ~start[tags[:, 0]]
        broken[:, 1:] = ~follows[tags[:, :-1], tags[:, 1:]]
        is_last = real & ~np.append(real[:, 1:], np.zeros((len(real), 1), bool), axis=1)
        broken = real & (broken | (is_last & ~ends[tags]))
        if broken.any():
            b, t = np.argwhere(broken)[0].tolist()
            near = [self._label(int(s)) for s in tags[b, max(t - 1, 0) : t + 1]]
            raise ValueError(
                f"{who}: the constraints forbid sequence {b} at its position {t}, "
                f"{' then '.join(near)} ({'begins' if t == 0 else 'goes on'}"
                f"{' and ends' if is_last[b, t] else ''}); correct the labels or the constraints"
            )

    def _label(self, s: int) -> str:
        return str(s) if self.labels is None else self.labels[s]

    @staticmethod
    def _in_place(found: Scored, result: NDArray[Any], axis: int) -> Any:
        """A result with its positions (on ``axis``) back where they were."""
        if found.order is not None:
            back = np.argsort(found.order, axis=1)
            shape = [1] * result.ndim
            shape[0], shape[axis] = back.shape
            result = np.take_along_axis(result, back.reshape(shape), axis)
        if not found.time:
            result = np.delete(result, 0, axis)
        return result if found.batched else result[0]


@register
class CRF(Chain):
    """A linear-chain CRF over scores of labels, such as a network's outputs ("emissions").

    ::

        score(x, s) = start[s_1] + Σ_t x_t[s_t] + Σ_t T[s_{t-1}, s_t] + end[s_m]

    All parameters begin at 0: no label is preferred.

    Args:
        labels, constraints: As in ``Chain``.

    Source: Lafferty, McCallum and Pereira (2001); on top of a BiLSTM: Huang, Xu and Yu (2015),
    Lample et al. (2016).

    Example:
        >>> from unspool.models.networks.crf import CRF
        >>> crf = CRF(["O", "B-NP", "I-NP"], constraints="BIO")
        >>> emissions = np.array([[0.0, 0.0, 9.0], [0.0, 1.0, 5.0]])
        >>> [crf.labels[s] for s in crf.decode(emissions)]
        ['B-NP', 'I-NP']
        >>> crf.marginals(emissions).sum(-1).round(6)
        array([1., 1.])
    """

    def __init__(
        self,
        labels: int | Sequence[str],
        constraints: Constraints | str | None = None,
        *,
        dtype: Any = np.float32,
    ) -> None:
        super().__init__(labels, constraints)
        n = self.d_in = self.n_labels
        self.T = Parameter(np.zeros((n, n), dtype))
        self.start = Parameter(np.zeros(n, dtype))
        self.end = Parameter(np.zeros(n, dtype))

    def scores(self, x: Any) -> tuple[Any, Any, Any]:
        """The emissions, the first with ``start``; T; end."""
        first = x[:, :1] + self.start
        unary = np.concatenate([first, x[:, 1:]], axis=1)
        return unary, self.T, self.end


@register
class PairwiseCRF(Chain):
    """A CRF whose transition scores depend on the input: the lecture's form.

    ::

        score(h, s) = Σ_t W[s_{t-1}, s_t] · h_t + b[s_{t-1}, s_t]

    s_0 is a start symbol before the first label; its rows are ``W_start`` and ``b_start``. W is
    Glorot-uniform, b zero. Its input are the states of a network, without a layer of scores.

    Args:
        labels, constraints: As in ``Chain``.
        d_in: The width of h.

    Source: score_lstm-crf of the lecture on applications of RNNs; the pairwise form of Ma and
    Hovy (2016).
    """

    def __init__(
        self,
        labels: int | Sequence[str],
        d_in: int,
        constraints: Constraints | str | None = None,
        *,
        rng: Any = None,
        dtype: Any = np.float32,
    ) -> None:
        super().__init__(labels, constraints)
        self.d_in = check_int("PairwiseCRF", "d_in", d_in)
        n = self.n_labels
        W = glorot_uniform(np.random.default_rng(rng), d_in, (n + 1) * n, dtype)
        W = W.T.reshape(n + 1, n, d_in)
        self.W, self.b = Parameter(W[1:].copy()), Parameter(np.zeros((n, n), dtype))
        self.W_start, self.b_start = Parameter(W[0].copy()), Parameter(np.zeros(n, dtype))

    def scores(self, x: Any) -> tuple[Any, Any, Any]:
        """W_start · h_1 + b_start at the first position, W · h_t + b for each pair of labels."""
        n, (batch, time, _) = self.n_labels, x.shape
        first = x[:, :1] @ self.W_start.T + self.b_start
        nothing = np.zeros((batch, time - 1, n), first.dtype)
        W = np.reshape(self.W, (n * n, self.d_in))
        pair = np.reshape(x[:, 1:] @ W.T, (batch, time - 1, n, n)) + self.b
        return np.concatenate([first, nothing], axis=1), pair, Tensor(np.zeros(n, first.dtype))


def largest(x: NDArray[Any], n: int) -> Ids:
    """Where the n largest stand along axis 1, largest first, the earlier one at ties."""
    if n == 1:
        return np.argmax(x, axis=1)[:, None]
    return np.argsort(-x, axis=1, kind="stable")[:, :n]
