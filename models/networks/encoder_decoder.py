"""Encoder and decoder: one network reads a sequence, a second one writes another.

The lectures' many-to-many shape that is not aligned: the encoder's last state is the decoder's
first, and with attention each step of the decoder looks back at all of the encoder's outputs.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ...autograd import (
    Parameter,
    Tensor,
    class_ids,
    cross_entropy,
    flatten,
    log_softmax,
    one_array,
    recording,
    scope,
    values,
)
from ...cells import (
    LSTM,
    Cell,
    Stacked,
    State,
    cell_maker,
    glorot_uniform,
    real_positions,
    register,
    width_out,
)
from ...checks import Checked, check_choice, check_float, check_fraction, check_int, check_rng
from ..text import Vocabulary, pad_sequences
from .attention import ATTENTIONS, Attention, Memory
from .generation import Hypothesis, allowed, beam_search, choose
from .illustration import Illustrated, Illustration, most_probable, probabilities
from .layers import Dense, Dropout, Embedding, evaluating, make_layers, one_layer_only

Ids = NDArray[np.intp]


class Encoded(NamedTuple):
    """An encoded source: the decoder's initial state, and the memory of its attention."""

    state: State
    memory: Memory | None


@register
class EncoderDecoder(Illustrated):
    """P(target | source), one token of the target at a time.

    ::

        hs = encoder(E_s x)              s_0 = the encoder's last state, B s + b of both directions
        h_t, s_t = decoder(E_t y_{t-1}, s_{t-1})
        c_t, a_t = attention(h_t, hs)
        o_t = tanh([h_t; c_t] W + b)     without attention o_t = h_t
        P(y_t) = softmax(V o_t)

    Ids are (batch, time), or (time,) for a single pair. Targets begin with ``<s>`` and end with
    ``</s>``; sources are read as they are. Methods of given targets take them as ``loss`` does.

    Args:
        source_size: The number of ids in sources.
        target_size: The number of ids in targets.
        d: The width of embeddings and states.
        cell: The class of a layer, its name ("lstm"), or a function of yours that is called as
            ``cell(d_in, d_h, rng=, dtype=)``.
        layers: The number of layers of the encoder, and of the decoder.
        bidirectional: Whether the encoder reads from both ends; then a dense layer maps the two
            states to each state of the decoder.
        attention: "dot", "scaled_dot", "bilinear", "additive", a subclass of Attention, or None.
        dropout: The probability of dropping an element of the embeddings, of the outputs between
            layers, and of o_t in training.
        start: The id of ``<s>``.
        end: The id of ``</s>``.

    Source: Sutskever, Vinyals and Le (2014); Cho et al. (2014); attention after the step, without
    input feeding, from Luong, Pham and Manning (2015).

    Example:
        >>> from unspool.models.networks.encoder_decoder import EncoderDecoder
        >>> model = EncoderDecoder(8, 8, d=16, attention="bilinear", rng=0)
        >>> source = np.array([[3, 4, 5], [6, 7, 0]])
        >>> target = np.array([[1, 5, 4, 3, 2], [1, 7, 6, 2, 0]])
        >>> model.loss(source, target, [3, 2], [5, 4]).backward()
        >>> model.attention_matrix(source, target, [3, 2], [5, 4]).shape
        (2, 4, 3)
    """

    def __init__(
        self,
        source_size: int,
        target_size: int,
        d: int,
        cell: Callable[..., Any] | str = LSTM,
        *,
        layers: int = 1,
        bidirectional: bool = False,
        attention: str | type[Attention] | None = None,
        dropout: float = 0.0,
        start: int = 1,
        end: int = 2,
        rng: Any = None,
        dtype: Any = np.float32,
    ) -> None:
        self.source_size = check_int("EncoderDecoder", "source_size", source_size)
        self.target_size = check_int("EncoderDecoder", "target_size", target_size)
        self.d = check_int("EncoderDecoder", "d", d)
        self.layers = check_int("EncoderDecoder", "layers", layers)
        self.start = check_int("EncoderDecoder", "start", start, 0, self.target_size - 1)
        self.end = check_int("EncoderDecoder", "end", end, 0, self.target_size - 1)
        self.bidirectional = bidirectional = bool(bidirectional)
        rng = np.random.default_rng(rng)
        if isinstance(cell, Cell):
            raise one_layer_only("EncoderDecoder", cell)
        options: dict[str, Any] = {"rng": rng, "dtype": dtype}
        self.source_embedding = Embedding(source_size, d, **options)
        make = functools.partial(make_layers, "EncoderDecoder", cell, d, d, layers, **options)
        self.encoder = Stacked(make(both=bidirectional), dropout=dropout, rng=rng)
        self.target_embedding = Embedding(target_size, d, **options)
        self.decoder: Any = Stacked(make(), dropout=dropout, rng=rng)
        self.bridges: list[Dense] = []
        if bidirectional:
            states, _ = flatten(self.decoder.initial_state(1))
            self.bridges = [Dense(2 * s.shape[-1], s.shape[-1], **options) for s in states]
        width, read = width_out(self.decoder), width_out(self.encoder)
        self.attention: Attention | None = None
        if attention is not None:
            self.attention = attention_named(attention)(width, read, **options)
            self.combine = Dense(width + read, width, "tanh", **options)
        self.dropout = Dropout(dropout, rng=rng)
        self.V = Parameter(glorot_uniform(rng, target_size, width, dtype))

    target_vocabulary: Vocabulary | None = None  # of targets, if it is not that of sources

    def arguments(self) -> dict[str, Any]:
        """The constructor's arguments; the cell's class and options are read off a layer."""
        return {**super().arguments(), "cell": cell_maker(self.decoder.members[0])}

    # The network ----------------------------------------------------------------------------------

    def encode(self, source: Any, lengths: Any = None) -> Encoded:
        """The decoder's initial state, and the memory of its attention.

        Args:
            source: (batch, time) or (time,), time at least 1.
            lengths: (batch,), where each source ends; the ids behind it are not read.
        """
        ids, real = checked_ids("source", source, lengths, self.source_size, least=1)
        with scope("encoder"):
            es = self.dropout(self.source_embedding(ids))
            hs, state = self.encoder.unroll(es, mask=real)
            if self.bridges:
                state = self._bridged(state)
        memory = None if self.attention is None else self.attention.memory(hs, mask=real)
        return Encoded(state, memory)

    def _bridged(self, state: State) -> State:
        """From each layer's states of two directions to its states in the decoder."""
        ahead, rebuild = flatten(tuple(ahead for ahead, _ in state))
        back, _ = flatten(tuple(back for _, back in state))
        pairs = zip(self.bridges, ahead, back, strict=True)
        return rebuild([bridge(np.concatenate(pair, axis=-1)) for bridge, *pair in pairs])

    def _written(self, h: Any, memory: Memory | None) -> tuple[Tensor, Any]:
        """The scores of the next token from the decoder's output, and the attention (or None)."""
        weights = None
        if self.attention is not None and memory is not None:
            context, weights = self.attention.read(h, memory)
            h = self.combine(np.concatenate([h, context], axis=-1))
        with scope("scores"):
            return self.dropout(h) @ self.V.T, weights

    def _forced(self, encoded: Encoded, inputs: Ids) -> tuple[Tensor, Any]:
        """Scores and attention at every step of a given target."""
        with scope("decoder"):
            hs, _ = self.decoder.unroll(self.dropout(self.target_embedding(inputs)), encoded.state)
            return self._written(hs, encoded.memory)

    def _step(
        self, decoder: Any, ids: Any, state: State, memory: Memory | None
    ) -> tuple[Tensor, State]:
        """Scores and the state after one more token, ids (batch,) or ()."""
        with scope("decoder"):
            h, state = decoder(self.dropout(self.target_embedding(ids)), state)
            return self._written(h, memory)[0], state

    # Given targets --------------------------------------------------------------------------------

    def logits(
        self, source: Any, target: Any, source_lengths: Any = None, target_lengths: Any = None
    ) -> Tensor:
        """The scores with teacher forcing, (batch, time - 1, target_size).

        Position t predicts token t + 1.
        """
        inputs, _, _ = self._shifted(target, target_lengths)
        return self._forced(self._encoded(source, source_lengths, inputs), inputs)[0]

    def loss(
        self,
        source: Any,
        target: Any,
        source_lengths: Any = None,
        target_lengths: Any = None,
        *,
        sampling: float = 0.0,
        rng: Any = None,
    ) -> Tensor:
        """The mean nats per predicted token of the target: a scalar.

        Args:
            source: (batch, time) or (time,).
            target: (batch, time') or (time',), ``<s>`` first, ``</s>`` last.
            source_lengths: (batch,), where each source ends.
            target_lengths: (batch,), where each target ends.
            sampling: The probability that an input of the decoder is its own draw and not the
                target's token: scheduled sampling. 0 is teacher forcing.
            rng: For these draws: a Generator, a seed, or None.

        Source: scheduled sampling from Bengio et al. (2015).
        """
        check_fraction("EncoderDecoder.loss", "sampling", sampling)
        inputs, targets, counted = self._shifted(target, target_lengths)
        encoded = self._encoded(source, source_lengths, inputs)
        if sampling:
            logits = self._sampled(encoded, inputs, sampling, check_rng("EncoderDecoder.loss", rng))
        else:
            logits, _ = self._forced(encoded, inputs)
        return cross_entropy(logits, targets, mask=counted)

    def _sampled(
        self, encoded: Encoded, inputs: Ids, sampling: float, rng: np.random.Generator
    ) -> Tensor:
        """The scores where some inputs are the model's own draws."""
        state, memory = encoded
        decoder = self.decoder.sampled(len(inputs) if inputs.ndim == 2 else None)
        steps: list[Tensor] = []
        for t in range(inputs.shape[-1]):
            ids = inputs[..., t]
            if steps:
                own = choose(np.exp(log_softmax(steps[-1].data.astype(np.float64))), rng)
                ids = np.where(rng.random(ids.shape) < sampling, own, ids)
            with scope(f"t={t + 1}", step=t + 1):
                logits, state = self._step(decoder, ids, state, memory)
            steps.append(logits)
        return np.stack(steps, axis=-2)  # type: ignore[call-overload, return-value]

    def score(
        self, source: Any, target: Any, source_lengths: Any = None, target_lengths: Any = None
    ) -> Tensor:
        """log P(target | source) of each pair, (batch,) or a scalar; without dropout or a tape."""
        inputs, targets, counted = self._shifted(target, target_lengths)
        with evaluating(self):
            logits, _ = self._forced(self._encoded(source, source_lengths, inputs), inputs)
            nats = cross_entropy(logits, targets, mask=counted, reduction="none")
            return -np.sum(nats, axis=-1)  # type: ignore[no-any-return]

    def attention_matrix(
        self, source: Any, target: Any, source_lengths: Any = None, target_lengths: Any = None
    ) -> NDArray[Any]:
        """The attention of each step of a target: (batch, time' - 1, time), rows that sum to 1.

        Row t belongs to the prediction of token t + 1. Rows behind a target's end and columns
        behind a source's end are 0. Args as in ``loss``; a target of the model's own is
        ``[start, *model.greedy(source, steps), end]``.
        """
        if self.attention is None:
            raise ValueError(
                "EncoderDecoder.attention_matrix: the model has no attention; make it with "
                f"attention= one of {', '.join(ATTENTIONS)}"
            )
        inputs, _, counted = self._shifted(target, target_lengths)
        with evaluating(self):
            _, weights = self._forced(self._encoded(source, source_lengths, inputs), inputs)
        matrix: NDArray[Any] = weights.data
        return matrix if counted is None else np.where(counted[..., None], matrix, 0)

    # New targets ----------------------------------------------------------------------------------

    def greedy(self, source: Any, steps: int, lengths: Any = None) -> Any:
        """The most probable token at each step, until ``</s>`` or for ``steps`` tokens.

        Args:
            source, lengths: As in ``encode``.
            steps: The maximal number of tokens, ``</s>`` included.

        Returns:
            The new ids without ``<s>`` and ``</s>``: a list of arrays, or one array for a single
            source.
        """
        steps = check_int("EncoderDecoder.greedy", "steps", steps)
        with evaluating(self):
            state, memory = self.encode(source, lengths)
            batch = np.shape(source)[:-1]
            ids = np.full(batch, self.start)
            done = np.zeros(batch, bool)
            written = []
            for _ in range(steps):
                logits, state = self._step(self.decoder, ids, state, memory)
                ids = np.argmax(allowed(logits.data, ()), axis=-1)
                done |= ids == self.end
                written.append(np.where(done, self.end, ids))
                if done.all():
                    break
        new = np.stack(written, axis=-1).astype(np.int64)
        return [row[row != self.end] for row in new] if batch else new[new != self.end]

    def beam(
        self,
        source: Any,
        steps: int,
        width: int = 4,
        lengths: Any = None,
        *,
        length_penalty: float = 0.0,
    ) -> Any:
        """The most probable targets found by beam search; see ``generation.beam_search``.

        Args:
            source, lengths: As in ``encode``.
            steps, width, length_penalty: As in ``beam_search``; a width of 1 is greedy.

        Returns:
            Per source a list of up to ``width`` Hypothesis, best first, finished ones before the
            others; for a single source one such list.
        """
        steps = check_int("EncoderDecoder.beam", "steps", steps)
        width = check_int("EncoderDecoder.beam", "width", width)
        check_float("EncoderDecoder.beam", "length_penalty", length_penalty, least=0)
        ids, real = checked_ids("source", source, lengths, self.source_size, least=1)
        rows = np.atleast_2d(ids)
        ends = [rows.shape[1]] * len(rows) if real is None else real.sum(-1)
        with evaluating(self):
            found = [
                self._beam(row, int(end), steps, width, length_penalty)
                for row, end in zip(rows, ends, strict=True)
            ]
        return found if ids.ndim == 2 else found[0]

    def _beam(
        self, source: Ids, length: int, steps: int, width: int, alpha: float
    ) -> list[Hypothesis]:
        """Beam decoding of one source (time,); the hypotheses are the batch."""
        state, memory = self.encode(source[None], [length])

        def advance(ids: Any, state: State) -> tuple[Any, State]:
            # The memory holds the source once; every hypothesis reads it.
            here = None if memory is None else repeated(memory, len(ids))
            logits, state = self._step(self.decoder, ids, state, here)
            return logits.data, state

        logits, state = advance(np.array([self.start]), state)
        return beam_search(
            logits, state, advance, steps=steps, width=width, end=self.end, length_penalty=alpha
        )

    # To be drawn ----------------------------------------------------------------------------------

    def illustration(
        self, words: Any = None, targets: Any = None, generate: int | None = None
    ) -> Illustration:
        """The loss of a pair with teacher forcing, or a target that the model writes itself.

        Args:
            words: The source: a text, tokens or ids, read by ``vocabulary``.
            targets: The target, read by ``target_vocabulary``, or by ``vocabulary``; ``<s>`` and
                ``</s>`` are put around it.
            generate: How many tokens the model writes at most, each fed back as the next input.
        """
        if (targets is None) == (not generate):
            raise ValueError(
                "draw: EncoderDecoder is drawn with targets=, or with generate= so many words"
            )
        known = self.target_vocabulary or self.vocabulary
        source = self._ids(words)
        ids = self.greedy(source, generate) if generate else self._ids(targets, known)
        inner = ids[(ids != self.start) & (ids != self.end)]
        ended = [] if generate and len(inner) == generate else [self.end]
        ids = np.array([self.start, *inner, *ended], np.intp)
        with evaluating(self), recording():
            logits = self.logits(source, ids)
            best = self._words(most_probable(logits), known)
            shown = {"encoder": self._words(source), "decoder": self._words(ids[:-1], known)}
            if generate:
                p = probabilities(logits)
                return Illustration(p, shown, None, best, range(1, len(ids) - 1))
            loss = cross_entropy(logits, ids[1:])
            return Illustration(loss, shown, self._words(ids[1:], known), best)

    # Checked arguments ----------------------------------------------------------------------------

    def _shifted(self, target: Any, lengths: Any) -> tuple[Ids, Ids, NDArray[np.bool_] | None]:
        """Inputs, targets, and which targets count (None: all)."""
        ids, real = checked_ids("target", target, lengths, self.target_size, least=2)
        begins = ids[..., 0] == self.start
        counted = None if real is None else real[..., 1:]
        short = np.zeros(begins.shape, bool) if counted is None else ~counted.any(-1)
        if short.any():
            raise ValueError(
                "EncoderDecoder: a target has at least 2 tokens, <s> and </s>; that of row "
                f"{int(np.argmax(short))} is shorter"
            )
        if not begins.all():
            row = f" of row {int(np.argmin(begins))}" if ids.ndim == 2 else ""
            raise ValueError(
                f"EncoderDecoder: targets begin with <s>, the id {self.start}; that{row} begins "
                f"with {ids[..., 0].ravel()[int(np.argmin(begins))]}"
            )
        return ids[..., :-1], ids[..., 1:], counted

    def _encoded(self, source: Any, lengths: Any, inputs: Ids) -> Encoded:
        """The encoded source of a target, whose batch is checked."""
        if np.shape(values(source))[:-1] != inputs.shape[:-1]:
            raise ValueError(
                "EncoderDecoder: sources and targets must be of one batch, got sources "
                f"{np.shape(values(source))} and targets {inputs.shape[:-1]} of them"
            )
        return self.encode(source, lengths)


def attention_named(attention: Any) -> type[Attention]:
    """A kind of attention by its name, or as it is."""
    if isinstance(attention, type) and issubclass(attention, Attention):
        return attention
    also = "a subclass of Attention, or None"
    return ATTENTIONS[check_choice("EncoderDecoder", "attention", attention, ATTENTIONS, also)]


def checked_ids(
    what: str, ids: Any, lengths: Any, size: int, least: int
) -> tuple[Ids, NDArray[np.bool_] | None]:
    """Ids with 0 at padded positions, and where there are tokens (None: all)."""
    who = f"EncoderDecoder: {what}"
    array = one_array(who, ids)
    if array.ndim not in (1, 2) or array.shape[-1] < least:
        raise ValueError(
            f"{who}: expected ids (batch, time) or (time,), time at least {least}, got "
            f"{array.shape}"
        )
    real = real_positions(who, array.shape, lengths, None)
    if real is not None:
        array = np.where(real, array, 0)
    return class_ids(array, size, who, "tokens"), real


def repeated(memory: Memory, count: int) -> Memory:
    """The memory of one source, for ``count`` queries."""
    keys, held, mask = memory
    return Memory(
        np.repeat(keys.data, count, axis=0),
        np.repeat(held.data, count, axis=0),
        None if mask is None else np.repeat(mask, count, axis=0),
    )


class Pairs(Checked):
    """Sources and their targets, padded to batches: a Task for ``fit`` and ``evaluate``.

    Args:
        sources: Ids (time,) each, at least 1.
        targets: Ids (time',) each, ``<s>`` first, ``</s>`` last.
        batch: The number of pairs in a batch.
        sampling: The probability of scheduled sampling, or a function from the epoch, counted from
            1, to it. ``evaluate`` uses none.
        shuffle: Whether each epoch has an order of its own.
        rng: For the order and the draws: a Generator, a seed, or None.
    """

    def __init__(
        self,
        sources: Iterable[Any],
        targets: Iterable[Any],
        batch: int = 32,
        *,
        sampling: float | Callable[[int], float] = 0.0,
        shuffle: bool = True,
        rng: Any = None,
    ) -> None:
        self.sources = [np.asarray(source) for source in sources]
        self.targets = [np.asarray(target) for target in targets]
        if not self.sources or len(self.sources) != len(self.targets):
            raise ValueError(
                f"Pairs: expected a target for each source, got {len(self.sources)} sources and "
                f"{len(self.targets)} targets"
            )
        for what, rows, least in (("source", self.sources, 1), ("target", self.targets, 2)):
            for i, row in enumerate(rows):
                if row.ndim != 1 or len(row) < least:
                    raise ValueError(
                        f"Pairs: expected a {what} (time,) of at least {least}; {what} {i} is "
                        f"{row.shape}"
                    )
        self.batch = check_int("Pairs", "batch", batch)
        self.sampling = sampling
        self.shuffle = shuffle
        self.seed = int(check_rng("Pairs", rng).integers(2**62))

    def __len__(self) -> int:
        return -(-len(self.sources) // self.batch)

    def batches(self, epoch: int) -> Iterator[Any]:
        """(sources, targets, their lengths, the probability of sampling, a Generator)."""
        rng = np.random.default_rng((self.seed, epoch))
        order = np.arange(len(self.sources))
        if self.shuffle:
            rng.shuffle(order)
        sampling = self.sampling(epoch) if callable(self.sampling) else self.sampling
        for begin in range(0, len(order), self.batch):
            chosen = order[begin : begin + self.batch]
            sources = [self.sources[i] for i in chosen]
            targets = [self.targets[i] for i in chosen]
            lengths = [len(row) for row in sources], [len(row) for row in targets]
            yield pad_sequences(sources), pad_sequences(targets), lengths, sampling, rng

    def loss(self, model: Any, batch: Any, carry: Any) -> tuple[Tensor, int, Any]:
        """The mean loss of a batch, the number of its tokens, and no carry."""
        sources, targets, lengths, sampling, rng = batch
        sampling = sampling if model.training else 0.0
        loss = model.loss(sources, targets, *lengths, sampling=sampling, rng=rng)
        return loss, sum(lengths[1]) - len(targets), None
