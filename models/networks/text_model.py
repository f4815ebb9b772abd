"""Language models in general: losses, scores and generation from next-token probabilities.

A subclass adds the network: ``LanguageModel`` a recurrent, ``WindowLanguageModel`` a feedforward
one.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...autograd import Tensor, class_ids, cross_entropy, one_array, recording, values
from ...cells import State, real_positions
from ...checks import check_float, check_int, check_rng
from ..text import Vocabulary, perplexity_of
from .generation import beam_search, check_sampling, choose, next_distribution
from .illustration import Illustrated, Illustration, most_probable, probabilities
from .layers import evaluating

Ids = NDArray[np.intp]


class TextModel(Illustrated):
    """Base of the language models: P(w_1 ... w_n) = Π P(w_{t+1} | w_1 ... w_t), a softmax each.

    Ids are (batch, time), or (time,) for a single sequence, and begin with ``<s>``; results have
    the axes of the ids. All methods take ids and ``lengths`` as calling the model or ``loss``
    does. A subclass sets ``vocab_size``, and defines ``initial_state``, ``_outputs`` and
    ``_scores``.
    """

    vocab_size: int

    def initial_state(self, batch: int | None = None) -> State:
        """The state before a text begins, of a batch or of a single sequence."""
        raise NotImplementedError(f"{type(self).__name__} defines no initial_state(batch)")

    def _outputs(self, ids: Ids, state: Any, lengths: Any) -> tuple[Any, Any]:
        """The outputs h (..., time, width) for checked ids, and the last state."""
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
            lengths: (batch,), where each sequence ends; the ids behind it are not read.
        """
        ids, lengths, _ = self._checked("logits", ids, lengths, least=1)
        return self._forward(ids, state, lengths)

    def logits(self, ids: Any, lengths: Any = None) -> Tensor:
        """The scores of the next token, (batch, time, vocab): position t predicts t + 1."""
        return self(ids, None, lengths)[0]

    # Probabilities of given texts -------------------------------------------------------------

    def loss(self, ids: Any, lengths: Any = None) -> Tensor:
        """The mean nats per predicted token, with teacher forcing: a scalar.

        Args:
            ids: (batch, time) or (time,), time at least 2; each sequence begins with ``<s>``,
                which is given and not predicted.
            lengths: (batch,), where each sequence ends.
        """
        return self.stream_loss(ids, lengths=lengths)[0]

    def stream_loss(
        self, ids: Any, state: State | None = None, lengths: Any = None, ignore: int | None = None
    ) -> tuple[Tensor, State]:
        """``(loss, state)`` of a piece of a long text, for truncated backpropagation.

        The next piece begins with the last token of this one, and gets
        ``unspool.cells.detached(state)``.

        Args:
            ids: (batch, time) or (time,), time at least 2.
            state: The state before the first token; None for the initial one.
            lengths: (batch,), where each sequence ends.
            ignore: An id that is never predicted, such as ``<s>`` within a text.

        Source: truncated BPTT, Williams and Peng (1990).
        """
        inputs, targets, before, counted = self._shifted("loss", ids, lengths)
        if counted is not None and not counted.any():
            raise ValueError(
                f"{type(self).__name__}.loss: there is no token to predict; a sequence has at "
                "least 2, <s> and one more"
            )
        logits, state = self._forward(inputs, state, before)
        return cross_entropy(logits, targets, mask=counted, ignore=ignore), state

    def score(self, ids: Any, lengths: Any = None) -> Tensor:
        """log P of each sequence: the sum of its tokens' log probabilities, (batch,) or a scalar.

        A plain value, computed without dropout and without a tape. A sequence of length 0 or 1
        predicts nothing and has log P = 0.
        """
        inputs, targets, before, counted = self._shifted("score", ids, lengths)
        with evaluating(self):
            logits, _ = self._forward(inputs, None, before)
            nats = cross_entropy(logits, targets, mask=counted, reduction="none")
            return -np.sum(nats, axis=-1)  # type: ignore[no-any-return]

    def perplexity(self, ids: Any, lengths: Any = None) -> float:
        """exp of the loss, computed without dropout."""
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
        """Continue a prompt, one token at a time, each drawn from the model's distribution.

        Args:
            prompt: Ids (time,) or (batch, time), beginning with ``<s>``.
            steps: The number of new ids.
            temperature, top_k, top_p, exclude: As in ``next_distribution``.
            rng: A Generator, a seed, or None; the same seed draws the same ids.
            state: The state before the prompt; None for the initial one.

        Returns:
            The new ids only, (steps,) or (batch, steps).
        """
        ids, _, _ = self._checked("generate", prompt, None, least=1)
        who = f"{type(self).__name__}.generate"
        steps = check_int(who, "steps", steps, least=0)
        check_sampling(who, temperature, top_k, top_p)
        rng = check_rng(who, rng)
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

    def write(self, prompt: str = "", steps: int = 60, **how: Any) -> str:
        """A text that begins with a prompt, written by the model; ``<unk>`` is never generated.

        Args:
            prompt: The beginning of the text.
            steps: The number of new tokens.
            **how: The other arguments of ``generate``, such as ``temperature`` and ``rng``.

        Raises:
            ValueError: The model has no vocabulary.
        """
        known = self.vocabulary
        if not isinstance(known, Vocabulary):
            raise ValueError(
                f"{type(self).__name__}.write: the model has no vocabulary to write with; set "
                "model.vocabulary = Vocabulary(...)"
            )
        ids = known.encode(prompt, start=True)
        new = self.generate(ids, steps, exclude=[known.unknown], **how)
        return known.decode(np.concatenate([ids, new]))

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
        """The most probable continuations of a prompt found by beam search.

        Args:
            prompt: Ids (time,) or (batch, time), beginning with ``<s>``.
            steps, width, length_penalty, exclude: As in ``generation.beam_search``; a width of 1 is
                greedy.
            end: The id of ``</s>``, with which a text is finished; None for texts of ``steps``
                tokens.

        Returns:
            A list of up to ``width`` Hypothesis, best first, finished ones before the others: the
            new ids without ``end``, their log probability, and whether they are finished. For
            (batch, time) a list of such lists.

        Example:
            >>> from unspool.models import LanguageModel
            >>> model = LanguageModel(vocab_size=10, d=8, rng=0)
            >>> best, *others = model.beam([1], steps=5, width=3, end=2)
            >>> best.ids.shape, best.score > others[0].score
            ((5,), True)
        """
        ids, _, _ = self._checked("beam", prompt, None, least=1)
        who = f"{type(self).__name__}.beam"
        steps, width = check_int(who, "steps", steps), check_int(who, "width", width)
        check_float(who, "length_penalty", length_penalty, least=0)
        if end is not None:
            check_int(who, "end", end, 0, self.vocab_size - 1)

        def advance(new: Any, state: Any) -> tuple[Any, Any]:
            hs, state = self._outputs(new[:, None], state, None)
            return self._scores(hs[:, -1]).data, state

        how: dict[str, Any] = {"steps": steps, "width": width, "end": end, "exclude": exclude}
        found = []
        with evaluating(self):
            for row in np.atleast_2d(ids):
                hs, state = self._outputs(row[None], None, None)
                logits = self._scores(hs[:, -1]).data
                found.append(
                    beam_search(logits, state, advance, length_penalty=length_penalty, **how)
                )
        return found if ids.ndim == 2 else found[0]

    # To be drawn --------------------------------------------------------------------------------

    def illustration(
        self, words: Any = None, targets: Any = None, generate: int | None = None
    ) -> Illustration:
        """The loss of a text, or a text that the model goes on with, its best token each time.

        Args:
            words: A text, tokens or ids; ``<s>`` is put in front where the model has a vocabulary.
            targets: Not given: each token's target is the next one.
            generate: The number of tokens that the model writes behind these, each fed back as
                the next input.
        """
        name = type(self).__name__
        if targets is not None:
            raise ValueError(f"draw: the targets of {name} are the next words; leave targets= out")
        known = self.vocabulary
        if known is not None and words is None:
            words = []
        ids = [] if known is not None and not len(words) else self._ids(words).tolist()
        if isinstance(known, Vocabulary) and ids[:1] != [known.start]:
            ids = [known.start, *ids]
        given = len(ids)
        if generate:
            ids += self.generate(ids, check_int(f"draw: {name}", "generate", generate), 0).tolist()
        elif given < 2:
            raise ValueError(f"draw: {name} predicts the next word; give words= or generate=")
        with evaluating(self), recording():
            logits = self.logits(ids[:-1])
            best = self._words(most_probable(logits))
            if generate:
                fed_back = range(given, len(ids) - 1)
                p = probabilities(logits)
                return Illustration(p, self._words(ids[:-1]), None, best, fed_back)
            loss = cross_entropy(logits, np.asarray(ids[1:]))
            return Illustration(loss, self._words(ids[:-1]), self._words(ids[1:]), best)

    # Checked arguments --------------------------------------------------------------------------

    def _checked(
        self, what: str, ids: Any, lengths: Any, least: int
    ) -> tuple[Ids, Any, NDArray[np.bool_] | None]:
        """Ids with 0 at padded positions, lengths, and where there are tokens (None: all)."""
        who = f"{type(self).__name__}.{what}"
        array = one_array(who, ids)
        if array.dtype.kind in "US":
            raise TypeError(
                f"{who}: expected ids, got words; write vocabulary.encode(text, start=True), or "
                "model.write(text, ...) for new words after it"
            )
        if array.ndim not in (1, 2):
            raise ValueError(f"{who}: expected ids (batch, time) or (time,), got {array.shape}")
        if array.shape[-1] < least:
            short = (
                "the prompt is empty" if what in ("generate", "beam") else "there are too few ids"
            )
            raise ValueError(
                f"{who}: {short}; expected at least {least} token{'s' * (least > 1)} a sequence, "
                f"the first one <s>, got {array.shape}"
            )
        if array.dtype.kind not in "iu":
            raise TypeError(f"{who}: ids must be integers, got {array.dtype} {array.shape}")
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
