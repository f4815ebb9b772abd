"""Exercises of notebook 12: from sequence to sequence."""

from __future__ import annotations

from typing import Any

import numpy as np

from .exercise import digest
from .kinds import Choice, Function

__all__ = ["EXERCISES"]

Rng = np.random.Generator


def shifted(targets: Any) -> Any:
    """What the decoder reads, and what it is to predict, of targets (batch, time)."""
    inputs = targets[:, :-1]
    wanted = targets[:, 1:]
    return inputs, wanted


def some_targets(rng: Rng) -> tuple[Any, ...]:
    """Targets from <s> (1) to </s> (2)."""
    middle = rng.integers(3, 13, (3, 5))
    return (np.concatenate([np.full((3, 1), 1), middle, np.full((3, 1), 2)], axis=1),)


def attend(h: Any, hs: Any, real: Any) -> Any:
    """The weights of the encoder's states for the decoder's state h, and their weighted sum."""
    scores = hs @ h
    scores = np.where(real, scores, -np.inf)
    e = np.exp(scores - scores.max())
    weights = e / e.sum()
    context = weights @ hs
    return weights, context


def attention_inputs(rng: Rng) -> tuple[Any, ...]:
    """A state of the decoder, five of the encoder, the last two of them padding."""
    return rng.normal(size=4), rng.normal(size=(5, 4)), np.arange(5) < 3


def beam(first: Any, second: Any, width: int) -> Any:
    """The best pair of tokens that a beam of this width finds, and its probability."""
    kept = np.argsort(-first)[:width]
    p = first[kept, None] * second[kept]
    i, b = np.unravel_index(np.argmax(p), p.shape)
    return np.array([kept[i], b]), p[i, b]


def a_tree(rng: Rng) -> tuple[Any, ...]:
    """P(a) and P(b | a) of 5 tokens: greedy, a beam of 2 and all pairs differ in what they find."""
    order = rng.permutation(5)
    first, second = np.empty(5), np.empty((5, 5))
    first[order] = np.array([0.35, 0.27, 0.22, 0.1, 0.06]) + rng.uniform(-0.005, 0.005, 5)
    for a, likely in zip(order, (0.35, 0.6, 0.93, 0.9, 0.97)):
        rest = np.array([0.4, 0.3, 0.2, 0.1]) * (1 - likely)
        second[a] = rng.permutation([likely, *rest])
    return first / first.sum(), second, 2


def normalised(logs: Any, alpha: float) -> Any:
    """The score of each hypothesis: the sum of its tokens' log probabilities / length^alpha."""
    scores = [np.sum(logp) / len(logp) ** alpha for logp in logs]
    return np.array(scores)


def hypotheses(rng: Rng) -> tuple[Any, ...]:
    """Log probabilities of the tokens of three hypotheses of different length."""
    return [np.log(rng.uniform(0.2, 0.9, n)) for n in (3, 5, 8)], float(rng.uniform(0.5, 0.8))


GROWS, COUNTS, FIXED, NOTHING = "grows", "a counter", "fixed", "nothing"

EXERCISES = [
    Function(
        id="12.shift",
        title="Inputs and targets",
        question="Return what the decoder reads and what it is to predict, with teacher forcing.",
        hints=(
            "At step t the decoder reads token t and predicts token t + 1.",
            "The last token, </s>, is never read; the first one, <s>, is never predicted.",
            "targets[:, :-1] and targets[:, 1:].",
        ),
        solution=shifted,
        inputs=some_targets,
        names=("inputs", "wanted"),
        mistakes={
            "The two are exchanged: the decoder reads <s> first, and predicts </s> last.": (
                "return inputs, wanted",
                "return wanted, inputs",
            ),
            "The decoder reads the token that it is to predict; it can copy it.": (
                "inputs = targets[:, :-1]",
                "inputs = targets[:, 1:]",
            ),
            "The decoder is to predict what it has just read; the prediction is one token ahead.": (
                "wanted = targets[:, 1:]",
                "wanted = targets[:, :-1]",
            ),
            "</s> is among the inputs; nothing follows it.": ("[:, :-1]", ""),
            "<s> is among what is predicted; it is always given.": ("[:, 1:]", ""),
            "</s> is not predicted; then the decoder never learns to stop.": (
                ("targets[:, :-1]", "targets[:, :-2]"),
                ("targets[:, 1:]", "targets[:, 1:-1]"),
            ),
            "A prediction for each input: the last one, </s>, is missing.": (
                "targets[:, 1:]",
                "targets[:, 1:-1]",
            ),
            "Sequences are cut, not time: the first axis is the batch.": (
                ("targets[:, :-1]", "targets[:-1]"),
                ("targets[:, 1:]", "targets[1:]"),
            ),
        },
    ),
    Function(
        id="12.attention",
        title="Attention with a mask",
        question="Return the weights of the encoder's states and their weighted sum.",
        hints=(
            "A score for each state of the encoder: its dot product with h.",
            "Padding gets the score -inf before the softmax: its weight is then 0.",
            "np.where(real, hs @ h, -np.inf), a softmax over it, then weights @ hs.",
        ),
        solution=attend,
        inputs=attention_inputs,
        cases={"no padding": lambda h, hs, real: (h, hs, np.ones(5, bool))},
        names=("weights", "context"),
        mistakes={
            "Padding is attended to: the mask is not used.": (
                "np.where(real, scores, -np.inf)",
                "scores",
            ),
            "Scores of padding are set to 0, and exp(0) is 1; set them to -np.inf.": (
                "scores, -np.inf",
                "scores, 0",
            ),
            "The mask comes after the softmax: the weights do not sum to 1.": (
                ("np.where(real, scores, -np.inf)", "scores"),
                ("e / e.sum()", "real * e / e.sum()"),
            ),
            "Padding is left out: give a weight for each state, which is 0 at padding.": (
                ("scores = hs @ h", "scores = hs[real] @ h"),
                ("np.where(real, scores, -np.inf)", "scores"),
                ("weights @ hs", "weights @ hs[real]"),
            ),
            "The two are exchanged: the weights come first, then the context.": (
                "return weights, context",
                "return context, weights",
            ),
            "The mask is the wrong way round: real is true where there are tokens.": (
                "scores, -np.inf",
                "-np.inf, scores",
            ),
            "The scores are not put through a softmax: exp is missing.": (
                "np.exp(scores - scores.max())",
                "np.where(real, scores, 0)",
            ),
            "The weights are not divided by their sum.": (" / e.sum()", ""),
            "The scores are divided by the root of the width; here they are plain dot products.": (
                "hs @ h",
                "hs @ h / np.sqrt(len(h))",
            ),
            "This is the plain average; weight each state by its weight.": (
                "weights @ hs",
                "hs[real].mean(0)",
            ),
            "Only the state with the largest weight is read: that is hard attention.": (
                "weights @ hs",
                "hs[np.argmax(weights)]",
            ),
        },
    ),
    Function(
        id="12.beam",
        title="A beam of two tokens",
        question="Return the best pair of tokens that beam search finds, and its probability.",
        hints=(
            "First keep the width best first tokens: np.argsort(-first)[:width].",
            "A pair has the probability P(a) P(b | a), for each a that is kept and every b.",
            "p = first[kept, None] * second[kept]; find its largest entry, and kept[row].",
        ),
        solution=beam,
        inputs=a_tree,
        cases={"width = 1": lambda first, second, width: (first, second, 1)},
        names=("pair", "probability"),
        mistakes={
            "This is greedy search, a beam of 1: the width is not used.": ("[:width]", "[:1]"),
            "All first tokens are kept; a beam keeps width of them.": ("[:width]", ""),
            "The least probable first tokens are kept.": ("-first", "first"),
            "Only P(b | a) is compared; a pair has the probability P(a) P(b | a).": (
                "first[kept, None] * second[kept]",
                "second[kept]",
            ),
            "The first token is its place in the beam; look it up in what was kept.": (
                "[kept[i], b]",
                "[i, b]",
            ),
            "The tokens of the pair are exchanged.": ("[kept[i], b]", "[b, kept[i]]"),
            "Probabilities of steps are multiplied; they are added here.": (
                "first[kept, None] * second",
                "first[kept, None] + second",
            ),
        },
    ),
    Function(
        id="12.length",
        title="Long and short",
        question="Return the score of each hypothesis: its log probability over length to alpha.",
        hints=(
            "The log probability of a hypothesis is the sum over its tokens.",
            "Its length is the number of its tokens, len(logp).",
            "np.sum(logp) / len(logp) ** alpha for each logp in logs.",
        ),
        solution=normalised,
        inputs=hypotheses,
        cases={
            "alpha = 0": lambda logs, alpha: (logs, 0.0),
            "alpha = 1": lambda logs, alpha: (logs, 1.0),
        },
        mistakes={
            "This is the mean, with alpha = 1 whatever it is.": (" ** alpha", ""),
            "This is the sum; the lengths are not used.": (" / len(logp) ** alpha", ""),
            "A product with the length makes long ones still worse; divide.": (
                "/ len(logp)",
                "* len(logp)",
            ),
            "This divides by the number of hypotheses, not by the length of each.": (
                "len(logp) ** alpha",
                "len(logs) ** alpha",
            ),
            "alpha multiplies the length; it is its power.": (
                "len(logp) ** alpha",
                "(len(logp) * alpha)",
            ),
            "The probabilities are summed; take the sum of their logarithms.": (
                "np.sum(logp)",
                "np.sum(np.exp(logp))",
            ),
            "A score is negative: the logarithm of a probability. The sign is wrong.": (
                "np.sum(logp)",
                "-np.sum(logp)",
            ),
        },
    ),
    Choice(
        id="12.memory",
        title="What the last state cannot hold",
        question="What must the encoder's last state hold for each of the five tasks?",
        hints=(
            "Imagine that you read one item after the other and may keep one note.",
            "Does the note grow with each item, or do a few fixed things suffice?",
            "All items in order: grows. How many: a counter. A few items, or a yes or no: fixed.",
        ),
        right=tuple(digest("12.memory", answer) for answer in (GROWS, COUNTS, FIXED, GROWS, FIXED)),
        options={
            GROWS: "Is every item needed later, in its place? A note of fixed size may do.",
            COUNTS: "A counter tells how many there were; is that needed here, and enough?",
            FIXED: "Can a note of fixed size tell all that the output needs, however long the "
            "input is?",
            NOTHING: "Without anything from the input the output would always be the same.",
        },
        because=(
            "to reverse or to translate, each item must be kept in its place; as many b's as there "
            "were a's needs their number; a last item, or whether a 7 has occurred, is fixed."
        ),
    ),
]
