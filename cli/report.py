"""What the commands print about data and models."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

from ..models import (
    Labelled,
    Labels,
    LanguageModel,
    NGram,
    Stream,
    accuracy,
    evaluate,
    label_scores,
    perplexity_of,
    predictions,
    span_f1,
    span_scores,
)
from .data import TextParts, count_of, predicted

MOST_EVALUATED = 1 << 20  # tokens of a held-out text: their mean loss is known to 0.005

# Language models --------------------------------------------------------------------------------


def print_parts(parts: TextParts) -> None:
    """Print the sizes of the vocabulary and of the parts of a text."""
    unknown = count_of(parts.held_out, parts.vocabulary.unknown) / len(parts.held_out)
    print(
        f"vocabulary  {len(parts.vocabulary):,} tokens; {unknown:.1%} of those held out are <unk>\n"
        f"tokens      {len(parts.train):,} to train on, {len(parts.development):,} to see when to "
        f"stop, {len(parts.held_out):,} held out at the end"
    )


def evaluated(parts: TextParts) -> Any:
    """The ids of the held-out part that perplexities are of: of a large one its beginning."""
    return parts.held_out[:MOST_EVALUATED]


def baselines(parts: TextParts) -> list[tuple[str, float]]:
    """The held-out perplexity of n-grams that are counted on all that is not held out."""
    size, start = len(parts.vocabulary), parts.vocabulary.start
    return [
        (name, NGram(parts.before, size, order, start).perplexity(evaluated(parts)))
        for order, name in enumerate(("unigram", "bigram, Witten-Bell"), 1)
    ]


def held_out_perplexity(model: LanguageModel, parts: TextParts) -> float:
    """The perplexity of the held-out part, the state carried along.

    A large one is read in up to 8 pieces side by side.
    """
    ids = evaluated(parts)
    pieces = max(8 * len(ids) // MOST_EVALUATED, 1)
    task = Stream(ids, batch=pieces, steps=100, ignore=parts.vocabulary.start)
    return perplexity_of(evaluate(model, task))


def print_perplexities(parts: TextParts, rows: Sequence[tuple[str, float]]) -> None:
    """Print perplexities below each other, and how those of the two parts compare."""
    count = predicted(evaluated(parts), parts.vocabulary)
    print(f"perplexity on {count:,} of the tokens held out: the first, and <s>, are only given")
    for name, perplexity in rows:
        print(f"  {name:<36}{perplexity:10.1f}")
    bigram = NGram(parts.train, len(parts.vocabulary), 2, parts.vocabulary.start)
    there, here = (bigram.perplexity(part) for part in (parts.development, evaluated(parts)))
    print(
        "the validation perplexity is of another piece of the text: a bigram of the part to train\n"
        f"on has {there:.1f} there and {here:.1f} here"
    )


# Labels -----------------------------------------------------------------------------------------


def mark_spans(labels: Labels) -> bool:
    """Whether labels mark spans, as B-NP, I-NP and O do."""
    try:
        return bool(span_scores([labels.names], [labels.names]).types)
    except ValueError:
        return False


def metrics_for(labels: Labels, gold: Sequence[Any]) -> dict[str, Callable[[Any, Any], float]]:
    """The metrics for ``fit``: accuracy, and of labels that mark spans their F1."""
    metrics = {"accuracy": lambda model, task: accuracy(task.labels, predictions(model, task))}
    if mark_spans(labels):
        metrics["f1"] = lambda model, task: span_f1(
            gold, [labels.decode(ids) for ids in predictions(model, task)]
        )
    return metrics


def print_scores(name: str, model: Any, labels: Labels, task: Labelled) -> None:
    """Print the loss and the metrics on a part, and those of each label, or kind of span."""
    gold, found = task.labels or [], predictions(model, task)
    learnt = getattr(model, "n_labels", None) or max(model.d_out, 2)
    loss = evaluate(model, task) if len(labels) == learnt else math.inf  # some have probability 0
    print(f"\n{name}: loss {loss:.4f}, accuracy {accuracy(gold, found):.4f}")
    if mark_spans(labels):
        print(span_scores([*map(labels.decode, gold)], [*map(labels.decode, found)]))
    else:
        print(label_scores(gold, found, labels.names))
