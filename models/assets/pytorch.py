"""The parts of the module texts that ``unspool.models.to_torch`` writes; unspool never imports it.

Vectors are rows, batch first. Layers over time are called as ``layer(xs, lengths, state)`` and
return ``(ys, state)``: xs is (batch, time, width); lengths (batch,) or None for all of the time
axis; a state is a tuple of (batch, width), of a composite the tuple of its parts' states, or None
for zeros. At padding ys is 0 and the state stays. ``layer.last(state)`` is the output of a state.
"""

# mypy: ignore-errors
from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: F401  # for the equations of cells
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence


def real_positions(x: Tensor, lengths: Tensor | None) -> Tensor:
    """Where a sequence has not ended, (batch, time) booleans, for x (batch, time, ...)."""
    if lengths is None:
        return torch.ones(x.shape[:2], dtype=torch.bool, device=x.device)
    return torch.arange(x.shape[1], device=x.device) < lengths.to(x.device)[:, None]


def cleared(x: Tensor, lengths: Tensor | None) -> Tensor:
    """x (batch, time, ...) with 0 at padding."""
    if lengths is None:
        return x
    real = real_positions(x, lengths)
    return torch.where(real.reshape(*real.shape, *[1] * (x.ndim - 2)), x, 0)


def turned(xs: Tensor, lengths: Tensor | None) -> Tensor:
    """Each sequence from its own end to its beginning; padding stays where it is."""
    if lengths is None:
        return xs.flip(1)
    t = torch.arange(xs.shape[1], device=xs.device)
    ends = lengths.to(xs.device)[:, None]
    places = torch.where(t < ends, ends - 1 - t, t)
    return xs.gather(1, places[..., None].expand_as(xs))


class OverTime:
    """Sequences of different length for a layer of torch.nn."""

    def forward(self, xs, lengths=None, state=None):
        """The layer over time."""
        if state is None:
            count = 2 if isinstance(self, nn.LSTM) else 1
            state = tuple(xs.new_zeros(len(xs), self.hidden_size) for _ in range(count))
        given = tuple(s[None].contiguous() for s in state)
        given = given if len(given) > 1 else given[0]
        if lengths is None:
            ys, new = super().forward(xs, given)
        else:
            # torch.nn reads no empty sequences: those are read for a step, and not used.
            ends = lengths.clamp(min=1).cpu()
            packed = pack_padded_sequence(xs, ends, batch_first=True, enforce_sorted=False)
            ys, new = super().forward(packed, given)
            ys, _ = pad_packed_sequence(ys, batch_first=True, total_length=xs.shape[1])
            ys = cleared(ys, lengths)
        new = new if isinstance(new, tuple) else (new,)
        new = tuple(s[0] for s in new)
        if lengths is not None:
            some = lengths.to(xs.device)[:, None] > 0
            new = tuple(torch.where(some, s, old) for s, old in zip(new, state))
        return ys, new

    def last(self, state):
        """The output of a state."""
        return state[0]


class RNNLayer(OverTime, nn.RNN):
    """nn.RNN of one layer, over sequences of different length."""


class LSTMLayer(OverTime, nn.LSTM):
    """nn.LSTM of one layer, over sequences of different length."""


class GRULayer(OverTime, nn.GRU):
    """nn.GRU of one layer, over sequences of different length."""


class Steps(nn.Module):
    """A cell as the equations of its step, and the loop over time.

    Args:
        d_h: The width of each state.
        **shapes: The shapes of its parameters.
    """

    states = 1

    def __init__(self, d_h: int, **shapes: tuple[int, ...]) -> None:
        super().__init__()
        self.d_h = d_h
        for name, shape in shapes.items():
            self.register_parameter(name, nn.Parameter(torch.zeros(shape)))

    def forward(self, xs, lengths=None, state=None):
        """The cell over time."""
        if state is None:
            state = tuple(xs.new_zeros(len(xs), self.d_h) for _ in range(self.states))
        real = real_positions(xs, lengths)
        ys = []
        for t in range(xs.shape[1]):
            here = real[:, t, None]
            new = self.step(torch.where(here, xs[:, t], 0), state)
            state = tuple(torch.where(here, s, old) for s, old in zip(new, state))
            ys.append(torch.where(here, self.last(new), 0))
        return torch.stack(ys, 1), state

    def last(self, state):
        """The output of a state."""
        return state[0]


class InputDropout(nn.Module):
    """Dropout on the inputs of a layer."""

    def __init__(self, cell: nn.Module, p: float) -> None:
        super().__init__()
        self.cell, self.dropout = cell, nn.Dropout(p)

    def forward(self, xs, lengths=None, state=None):
        """The layer over time."""
        return self.cell(self.dropout(xs), lengths, state)

    def last(self, state):
        """The output of a state."""
        return self.cell.last(state)


class Stacked(nn.Module):
    """Layers on top of each other, with dropout between them."""

    def __init__(self, *members: nn.Module, dropout: float = 0.0, residual: bool = False) -> None:
        super().__init__()
        self.members, self.dropout = nn.ModuleList(members), nn.Dropout(dropout)
        self.residual = residual

    def forward(self, xs, lengths=None, state=None):
        """The layers over time, lowest first."""
        states = []
        for i, member in enumerate(self.members):
            below = self.dropout(xs) if i else xs
            ys, new = member(below, lengths, None if state is None else state[i])
            xs = ys + xs if i and self.residual else ys
            states.append(new)
        return xs, tuple(states)

    def last(self, state):
        """The output of a state."""
        outputs = [member.last(s) for member, s in zip(self.members, state)]
        return sum(outputs) if self.residual else outputs[-1]


class Bidirectional(nn.Module):
    """A layer from the beginning, and one from the end."""

    def __init__(self, ahead: nn.Module, back: nn.Module, merge: str = "concat") -> None:
        super().__init__()
        self.ahead, self.back, self.merge = ahead, back, merge

    def forward(self, xs, lengths=None, state=None):
        """Both over time."""
        first, second = (None, None) if state is None else state
        ys, first = self.ahead(xs, lengths, first)
        zs, second = self.back(turned(xs, lengths), lengths, second)
        return self.merged(ys, turned(zs, lengths)), (first, second)

    def merged(self, a, b):
        """Both outputs as one."""
        if self.merge == "concat":
            return torch.cat([a, b], -1)
        if self.merge == "mul":
            return a * b
        return a + b if self.merge == "sum" else (a + b) * 0.5

    def last(self, state):
        """The output of a state: ahead's after the last position, back's after the first."""
        return self.merged(self.ahead.last(state[0]), self.back.last(state[1]))


class CharacterEncoder(nn.Module):
    """Letters (batch, time, letters), each word's followed by the id ``end``, to vectors."""

    def __init__(self, embedding: nn.Embedding, network: nn.Module, end: int = 2) -> None:
        super().__init__()
        self.embedding, self.network, self.end = embedding, network, end

    def forward(self, ids):
        """The last outputs of both directions over each word's letters."""
        words = ids.flatten(0, 1)
        lengths = (words != self.end).cumprod(1).sum(1)
        _, state = self.network(self.embedding(words), lengths)
        return self.network.last(state).unflatten(0, ids.shape[:2])


class FeatureEmbedding(nn.Module):
    """Rows of ids (batch, time, columns) to the concatenated vectors of the columns."""

    def __init__(self, *columns: nn.Embedding, letters=None, word_dropout: float = 0.0) -> None:
        super().__init__()
        self.columns, self.letters = nn.ModuleList(columns), letters
        self.word_dropout = word_dropout

    def forward(self, ids):
        """In training a word's id, the first column, is 0 with probability ``word_dropout``."""
        words = ids[..., 0]
        if self.training and self.word_dropout:
            words = torch.where(torch.rand(words.shape) < self.word_dropout, 0, words)
        columns = [words, *ids.unbind(-1)[1 : len(self.columns)]]
        parts = [E(column) for E, column in zip(self.columns, columns)]
        if self.letters is not None:
            parts.append(self.letters(ids[..., len(self.columns) :]))
        return torch.cat(parts, -1)


class LanguageModel(nn.Module):
    """The scores of each next token, given all before it."""

    def __init__(self, embedding, cell, scores, *, dropout: float = 0.0) -> None:
        super().__init__()
        self.embedding, self.cell, self.scores = embedding, cell, scores
        self.dropout = nn.Dropout(dropout)

    def forward(self, ids, lengths=None, state=None):
        """``(logits, state)`` of ids (batch, time): (batch, time, vocabulary), and the last state.

        Position t predicts token t + 1. One token at a time: give the state that came back.
        """
        xs = self.dropout(self.embedding(cleared(ids, lengths)))
        hs, state = self.cell(xs, lengths, state)
        return self.scores(self.dropout(hs)), state


class Acceptor(nn.Module):
    """The scores of the classes of whole sequences."""

    def __init__(self, embedding, network, head, *, pooling: str, dropout: float = 0.0) -> None:
        super().__init__()
        self.embedding, self.network, self.head = embedding, network, head
        self.pooling, self.dropout = pooling, nn.Dropout(dropout)

    def forward(self, x, lengths=None):
        """Ids (batch, time), or what the embedding reads, to scores (batch, classes)."""
        xs = self.dropout(self.embedding(cleared(x, lengths)))
        ys, state = self.network(xs, lengths)
        vector = self.network.last(state) if self.pooling == "last" else self.pooled(ys, lengths)
        return self.head(self.dropout(vector))

    def pooled(self, ys, lengths):
        """Outputs pooled over the real positions; where there are none, 0."""
        real = real_positions(ys, lengths)[..., None]
        if self.pooling == "max":
            best = torch.where(real, ys, -torch.inf).amax(1)
            return torch.where(real.any(1), best, 0)
        total = ys.sum(1)  # the outputs at padding are 0
        return total if self.pooling == "sum" else total / real.sum(1).clamp(min=1)


class SplitHead(nn.Module):
    """The scores of two directions, each with a matrix of its own."""

    def __init__(self, d_f: int, d_b: int, d_out: int) -> None:
        super().__init__()
        self.V_f = nn.Parameter(torch.zeros(d_f, d_out))
        self.V_b = nn.Parameter(torch.zeros(d_b, d_out))
        self.b = nn.Parameter(torch.zeros(d_out))

    def forward(self, h):
        """(..., d_f + d_b) to (..., d_out)."""
        d_f = len(self.V_f)
        return h[..., :d_f] @ self.V_f + h[..., d_f:] @ self.V_b + self.b


class Transducer(nn.Module):
    """The scores of the labels of each position; of a CRF, whose parameters lie in ``crf``,
    what it reads.
    """

    def __init__(self, embedding, network, head, *, crf=None, dropout: float = 0.0) -> None:
        super().__init__()
        self.embedding, self.network, self.head = embedding, network, head
        self.crf, self.dropout = crf, nn.Dropout(dropout)

    def forward(self, x, lengths=None):
        """Ids (batch, time), or what the embedding reads, to scores (batch, time, labels)."""
        xs = self.dropout(self.embedding(cleared(x, lengths)))
        hs, _ = self.network(xs, lengths)
        return self.head(self.dropout(hs))


class Attention(nn.Module):
    """Base of the kinds of attention: softmax of scores, and the weighted mean of the values.

    Args:
        scale: A factor of the scores; None for a parameter ``g``.
        **shapes: The shapes of further parameters.
    """

    def __init__(self, scale: float | None = 1.0, **shapes: tuple[int, ...]) -> None:
        super().__init__()
        self.scale = scale
        for name, shape in (shapes | ({"g": ()} if scale is None else {})).items():
            self.register_parameter(name, nn.Parameter(torch.zeros(shape)))

    def compared(self, keys):
        """What no query changes of the keys."""
        return keys

    def forward(self, queries, memory):
        """``(context, weights)`` of queries (batch, steps, width)."""
        keys, values, real = memory
        scores = self.scores(queries, keys) * (self.g if self.scale is None else self.scale)
        real = real[:, None]
        nothing = ~real.any(-1, keepdim=True)
        weights = torch.softmax(torch.where(real | nothing, scores, -torch.inf), -1)
        weights = torch.where(real, weights, 0)
        return weights @ values, weights


class DotAttention(Attention):
    """score = q · k."""

    def scores(self, queries, keys):
        """Q Kᵀ."""
        return queries @ keys.mT


class BilinearAttention(Attention):
    """score = q W k."""

    def compared(self, keys):
        """W k for every key."""
        return keys @ self.W.T

    def scores(self, queries, keys):
        """Q (W Kᵀ)."""
        return queries @ keys.mT


class AdditiveAttention(Attention):
    """score = v · tanh(q W + k U + b)."""

    def compared(self, keys):
        """K U + b."""
        return keys @ self.U + self.b

    def scores(self, queries, keys):
        """Of every pair."""
        return torch.tanh((queries @ self.W)[:, :, None] + keys[:, None]) @ self.v


class EncoderDecoder(nn.Module):
    """P(target | source), one token of the target at a time."""

    def __init__(
        self,
        source_embedding,
        encoder,
        target_embedding,
        decoder,
        scores,
        *,
        bridges=(),
        attention=None,
        combine=None,
        dropout: float = 0.0,
        start: int = 1,
        end: int = 2,
    ) -> None:
        super().__init__()
        self.source_embedding, self.encoder = source_embedding, encoder
        self.target_embedding, self.decoder = target_embedding, decoder
        self.bridges = nn.ModuleList(bridges)
        self.attention, self.combine, self.scores = attention, combine, scores
        self.dropout = nn.Dropout(dropout)
        self.start, self.end = start, end

    def encode(self, source, lengths=None):
        """The decoder's first state and the memory of its attention, for ids (batch, time)."""
        xs = self.dropout(self.source_embedding(cleared(source, lengths)))
        hs, state = self.encoder(xs, lengths)
        if len(self.bridges):
            bridges = iter(self.bridges)
            state = tuple(
                tuple(next(bridges)(torch.cat(pair, -1)) for pair in zip(ahead, back))
                for ahead, back in state
            )
        if self.attention is None:
            return state, None
        return state, (self.attention.compared(hs), hs, real_positions(source, lengths))

    def decode(self, ids, state, memory):
        """``(logits, state, weights)`` after ids (batch, steps); weights are the attention's."""
        hs, state = self.decoder(self.dropout(self.target_embedding(ids)), None, state)
        weights = None
        if self.attention is not None:
            context, weights = self.attention(hs, memory)
            hs = self.combine(torch.cat([hs, context], -1))
        return self.scores(self.dropout(hs)), state, weights

    def forward(self, source, target, source_lengths=None, target_lengths=None):
        """Scores with teacher forcing, (batch, time - 1, size): position t predicts token t + 1."""
        state, memory = self.encode(source, source_lengths)
        return self.decode(cleared(target, target_lengths)[:, :-1], state, memory)[0]

    @torch.no_grad()
    def greedy(self, source, steps: int, lengths=None):
        """The most probable token at each step, (batch, up to steps), ``end`` behind the end."""
        state, memory = self.encode(source, lengths)
        ids = torch.full((len(source),), self.start, device=source.device)
        done = torch.zeros_like(ids, dtype=torch.bool)
        written = []
        for _ in range(steps):
            logits, state, _ = self.decode(ids[:, None], state, memory)
            ids = logits[:, -1].argmax(-1)
            done |= ids == self.end
            written.append(torch.where(done, self.end, ids))
            if done.all():
                break
        return torch.stack(written, 1)
