"""What every language model does with its probabilities: losses, scores, new texts.

A model says only how it reads: ``LanguageModel`` by a recurrent network, ``WindowLanguageModel`` by
a feedforward one.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...autograd import Tensor, cross_entropy
from ...autograd.nn_ops import class_ids
from ...autograd.tensor import one_array, values
from ...cells import Module, State
from ...cells.cell import real_positions
from ..text.baselines import perplexity_of
from .generation import beam_search, check_sampling, choose, next_distribution
from .layers import evaluating, whole

__all__ = ["TextModel"]

Ids = NDArray[np.intp]


class TextModel(Module):
    """Base of the language models: P(w_1 ... w_n) = Π P(w_{t+1} | w_1 ... w_t), a softmax each.

    Ids are (batch, time), or (time,) for a single sequence, and begin with ``<s>``; results have
    the axes of the ids. A subclass sets ``vocab_size``, and gives ``initial_state``, ``_outputs``
    and ``_scores``.
    """

    vocab_size: int

    def initial_state(self, batch: int | None = None) -> State:
        """The state before a text begins, of a batch or of a single sequence."""
        raise NotImplementedError(f"{type(self).__name__} defines no initial_state(batch)")

    def _outputs(self, ids: Ids, state: Any, lengths: Any) -> tuple[Any, Any]:
        """The outputs h (..., time, width) after ids that were checked, and the last state."""
        raise NotImplementedError(f"{type(self).__name__} defines no _outputs(ids, state, lengths)")

    def _scores(self, h: Any) -> Any:
        """The scores of the next token, for h (..., width)."""
        raise NotImplementedError(f"{type(self).__name__} defines no _scores(h)")

    def _forward(self, ids: Ids, state: Any, lengths: Any) -> tuple[Tensor, Any]:
        hs, state = self._outputs(ids, state, lengths)
        return self._scores(hs), state

    def __call__(
        self, ids: Any, state: State | None = None, lengths: Any = None
    ) -> tuple[Tensor, State]:
        """``(logits, state)``: the scores after each token, and the state after the last.

        Args:
            ids: (batch, time) or (time,), time at least 1.
            state: The state before the first token, as an earlier call returned it (through
                ``unspool.cells.detached`` in training); None for the initial one.
            lengths: (batch,), where each sequence ends; behind it any id may stand.

        Raises:
            ValueError: An id is outside of the vocabulary, there is none, or lengths or the
                state do not fit.
            TypeError: The ids are not integers.
        """
        ids, lengths, _ = self._checked("logits", ids, lengths, least=1)
        return self._forward(ids, state, lengths)

    def logits(self, ids: Any, lengths: Any = None) -> Tensor:
        """The scores of the next token, (batch, time, vocab): position t predicts t + 1.

        Args and errors are those of calling the model.
        """
        return self(ids, None, lengths)[0]

    # Probabilities of given texts -------------------------------------------------------------

    def loss(self, ids: Any, lengths: Any = None) -> Tensor:
        """The mean nats per predicted token, with teacher forcing: a scalar.

        Args:
            ids: (batch, time) or (time,), time at least 2; each sequence begins with ``<s>``,
                which is given and not predicted.
            lengths: (batch,), where each sequence ends.

        Raises:
            ValueError: No token is to be predicted, or as in calling the model.
            TypeError: The ids are not integers.
        """
        return self.stream_loss(ids, lengths=lengths)[0]

    def stream_loss(
        self,
        ids: Any,
        state: State | None = None,
        lengths: Any = None,
        ignore: int | None = None,
    ) -> tuple[Tensor, State]:
        """``(loss, state)`` of a piece of a long text, for truncated backpropagation.

        The next piece begins with the last token of this one, and gets
        ``unspool.cells.detached(state)``.

        Args:
            ids: (batch, time) or (time,), time at least 2.
            state: The state before the first token; None for the initial one.
            lengths: (batch,), where each sequence ends.
            ignore: An id that is given and never predicted, such as ``<s>`` within a text.

        Raises:
            ValueError: As in ``loss``.
            TypeError: The ids are not integers.

        Source: truncated BPTT, Williams and Peng (1990).
        """
        inputs, targets, before, counted = self._shifted("loss", ids, lengths)
        if counted is not None and not counted.any():
            raise ValueError(
                f"{type(self).__name__}.loss: no token is to be predicted; a sequence has at "
                "least 2, <s> and one more"
            )
        logits, state = self._forward(inputs, state, before)
        return cross_entropy(logits, targets, mask=counted, ignore=ignore), state

    def score(self, ids: Any, lengths: Any = None) -> Tensor:
        """log P of each sequence: the sum of its tokens' log probabilities, (batch,) or a scalar.

        A plain value, computed without dropout and without a tape. Args and errors are those of
        ``loss``; a sequence of length 0 or 1 predicts nothing and has log P = 0.
        """
        inputs, targets, before, counted = self._shifted("score", ids, lengths)
        with evaluating(self):
            logits, _ = self._forward(inputs, None, before)
            nats = cross_entropy(logits, targets, mask=counted, reduction="none")
            return -np.sum(nats, axis=-1)  # type: ignore[no-any-return]

    def perplexity(self, ids: Any, lengths: Any = None) -> float:
        """exp of the loss, computed without dropout. Args and errors are those of ``loss``."""
        with evaluating(self):
            return perplexity_of(self.loss(ids, lengths).item())

    # New texts --------------------------------------------------------------------------------

    def generate(
        self,
        prompt: Any,
        steps: int,
        temperature: float = 1.0,
        top_k: int | None = None,
        rng: Any = None,
        *,
        top_p: float | None = None,
        exclude: Sequence[int] = (),
        state: State | None = None,
    ) -> NDArray[np.int64]:
        """Go on from a prompt, one token at a time, each drawn from what the model expects.

        Args:
            prompt: Ids (time,) or (batch, time), beginning with ``<s>``.
            steps: How many new ids.
            temperature: Divides the scores; 0 is greedy, the most probable token each time.
            top_k: How many of the most probable tokens may be drawn; None for all.
            rng: A Generator, a seed, or None; the same seed draws the same ids.
            top_p: As few of the most probable tokens may be drawn as together have at least this
                probability (after ``temperature`` and ``top_k``); None for all.
            exclude: Ids that may not come, such as ``<unk>``.
            state: The state before the prompt; None for the initial one. What is known of the text
                besides its beginning can stand in it.

        Returns:
            The new ids only, (steps,) or (batch, steps).

        Raises:
            ValueError: The prompt is empty or holds an id outside of the vocabulary, ``steps``
                or ``temperature`` is negative, ``top_k`` is below 1, or ``top_p`` is no
                probability above 0.
            TypeError: The prompt, ``steps`` or ``top_k`` are not integers.
        """
        ids, _, _ = self._checked("generate", prompt, None, least=1)
        who = f"{type(self).__name__}.generate"
        steps = whole(who, "steps", steps, least=0)
        try:
            check_sampling(temperature, top_k, top_p)
        except (ValueError, TypeError) as error:
            raise type(error)(f"{who}: {error}") from None
        rng = np.random.default_rng(rng)
        new = np.zeros((*ids.shape[:-1], steps), np.int64)
        with evaluating(self):
            hs, state = self._outputs(ids, state, None)
            for k in range(steps):
                if k:
                    hs, state = self._outputs(new[..., k - 1 : k].astype(np.intp), state, None)
                h = hs[..., -1, :]
                p = next_distribution(self._scores(h).data, temperature, top_k, exclude, top_p)
                new[..., k] = choose(p, rng)
        return new

    def beam(
        self,
        prompt: Any,
        steps: int,
        width: int = 4,
        *,
        end: int | None = None,
        length_penalty: float = 0.0,
        exclude: Sequence[int] = (),
    ) -> Any:
        """The most probable ways to go on from a prompt that a beam finds.

        Args:
            prompt: Ids (time,) or (batch, time), beginning with ``<s>``.
            steps: How many new ids at most, ``</s>`` included.
            width: How many hypotheses are followed; a width of 1 is greedy.
            end: The id of ``</s>``, with which a text is finished; None for texts of ``steps``
                tokens.
            length_penalty: α: hypotheses are ranked by score / tokens^α. 0 ranks by probability;
                1 by the mean log probability of a token, which favours longer ones.
            exclude: Ids that may not come, such as ``<unk>``.

        Returns:
            A list of up to ``width`` Hypothesis, best first, finished ones before the others: the
            new ids without ``end``, their log probability, and whether they are finished. For
            (batch, time) a list of such lists.

        Raises:
            ValueError: The prompt is empty or holds an id outside of the vocabulary, ``end`` is
                outside of it, ``steps`` or ``width`` is below 1, or ``length_penalty`` below 0.
            TypeError: The prompt, ``steps``, ``width`` or ``end`` are not integers.

        Source: as in ``unspool.models.networks.generation.beam_search``.

        Example:
            >>> from unspool.models import LanguageModel
            >>> model = LanguageModel(vocab_size=10, d=8, rng=0)
            >>> best, *others = model.beam([1], steps=5, width=3, end=2)
            >>> best.ids.shape, best.score > others[0].score
            ((5,), True)
        """
        ids, _, _ = self._checked("beam", prompt, None, least=1)
        who = f"{type(self).__name__}.beam"
        steps, width = whole(who, "steps", steps), whole(who, "width", width)
        if not length_penalty >= 0:
            raise ValueError(f"{who}: length_penalty is 0 or more, got {length_penalty}")
        if end is not None and whole(who, "end", end, least=0) >= self.vocab_size:
            raise ValueError(f"{who}: end is an id, 0..{self.vocab_size - 1}, got {end}")

        def advance(new: Any, state: Any) -> tuple[Any, Any]:
            hs, state = self._outputs(new[:, None], state, None)
            return self._scores(hs[:, -1]).data, state

        found = []
        with evaluating(self):
            for row in np.atleast_2d(ids):
                hs, state = self._outputs(row[None], None, None)
                found.append(
                    beam_search(
                        self._scores(hs[:, -1]).data,
                        state,
                        advance,
                        steps=steps,
                        width=width,
                        end=end,
                        length_penalty=length_penalty,
                        exclude=exclude,
                    )
                )
        return found if ids.ndim == 2 else found[0]

    # Checked arguments --------------------------------------------------------------------------

    def _checked(
        self, what: str, ids: Any, lengths: Any, least: int
    ) -> tuple[Ids, Any, NDArray[np.bool_] | None]:
        """Ids with 0 at padded positions, lengths, and where there are tokens (None: all)."""
        who = f"{type(self).__name__}.{what}"
        array = one_array(who, ids)
        if array.ndim not in (1, 2):
            raise ValueError(f"{who}: expected ids (batch, time) or (time,), got {array.shape}")
        if array.shape[-1] < least:
            thing = "the prompt is empty" if what in ("generate", "beam") else "there is too little"
            raise ValueError(
                f"{who}: {thing}; expected at least {least} token{'s' * (least > 1)} a sequence, "
                f"the first one <s>, got {array.shape}"
            )
        if array.dtype.kind not in "iu":
            raise TypeError(f"{who}: ids are integers, got {array.dtype} {array.shape}")
        real = real_positions(who, array.shape, lengths, None)
        if real is not None:
            array = np.where(real, array, 0)
        return class_ids(array, self.vocab_size, who, "tokens"), lengths, real

    def _shifted(
        self, what: str, ids: Any, lengths: Any
    ) -> tuple[Ids, Ids, Any, NDArray[np.bool_] | None]:
        """Inputs, targets, the inputs' lengths, and which targets count (None: all)."""
        ids, lengths, real = self._checked(what, ids, lengths, least=2)
        before = None if lengths is None else np.maximum(np.asarray(values(lengths)) - 1, 0)
        counted = None if real is None else real[..., 1:]
        return ids[..., :-1], ids[..., 1:], before, counted
