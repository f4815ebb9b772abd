"""A model over words, to be looked at: its tape, and the words that belong to each time step.

``draw(model, words=...)`` asks a model for its ``illustration``; the model reads words itself where
it has a vocabulary, as ``load_model`` gives it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ...autograd import Tensor, scope, softmax, values
from ...cells import Module
from ...checks import describe_received
from ..text import Features, Labels, Vocabulary, tokenize

__all__ = ["Illustrated", "Illustration"]

Ids = NDArray[np.intp]


class Illustration(NamedTuple):
    """What a model computed over words.

    Attributes:
        output: The loss, or the probabilities where there are no targets.
        words: The words that the time steps read; by the scope of a network, of several networks.
        targets, predictions: The words at the time steps' outputs, or none.
        fed_back: The steps whose prediction is the word that the next step reads.
    """

    output: Tensor
    words: list[str] | Mapping[str, list[str]]
    targets: list[str] | None = None
    predictions: list[str] | None = None
    fed_back: Sequence[int] = ()


class Illustrated(Module):
    """Base of the models that can be drawn over words.

    Attributes:
        vocabulary: From words to ids: a Vocabulary, a tagger's Features, or None;
            ``load_model`` sets it.
        labels: The names of a classifier's or tagger's labels, or None; ``load_model`` sets it.
    """

    vocabulary: Vocabulary | Features | None = None
    labels: Labels | None = None

    def illustration(
        self, words: Any = None, targets: Any = None, generate: int | None = None
    ) -> Illustration:
        """The model over words, for ``draw``.

        Args:
            words: A text, a list of tokens, or a list of ids.
            targets: What should come out.
            generate: How many words the model writes.

        Raises:
            ValueError: There are no words, the model has no vocabulary to read them with, takes no
                targets, or generates nothing.
            TypeError: Words are something else.
        """
        raise NotImplementedError(f"{type(self).__name__} defines no illustration(words, ...)")

    def _ids(self, words: Any, vocabulary: Any = None) -> Ids:
        """The ids of a text, of tokens, or as they are: (time,), of features (time, columns)."""
        name, known = type(self).__name__, vocabulary or self.vocabulary
        if words is None or not len(words):
            raise ValueError(f'draw: {name} is drawn over words; give words=["the", "cat"] or ids')
        if isinstance(words, str) or all(isinstance(word, str) for word in words):
            if known is None:
                raise ValueError(
                    f"draw: this {name} has no vocabulary to read words with; set "
                    "model.vocabulary = Vocabulary(...), or give ids"
                )
            if isinstance(words, str) and isinstance(known, Features):
                words = tokenize(words)[1:-1]
            return np.asarray(known.encode(words), np.intp)
        ids = np.asarray(words)
        if ids.dtype.kind not in "iu":
            raise TypeError(
                "draw: words are a text, or a list of tokens or of ids, got "
                f"{describe_received(words)}"
            )
        return ids.astype(np.intp)

    def _words(self, ids: Any, vocabulary: Any = None) -> list[str]:
        """Tokens of ids, or the ids as text."""
        known = vocabulary or self.vocabulary
        tokens = known.tokens if isinstance(known, Vocabulary) else None
        return [str(i) if tokens is None else tokens[i] for i in np.asarray(ids).tolist()]

    def _label_ids(self, targets: Any) -> Ids:
        """The ids of labels, given by names or as they are."""
        if not all(isinstance(target, str) for target in targets):
            return np.asarray(targets, np.intp)
        if self.labels is None:
            raise ValueError(
                f"draw: this {type(self).__name__} has no labels; set model.labels = Labels(...), "
                "or give targets as ids"
            )
        return self.labels.encode(targets).astype(np.intp)

    def _label_names(self, ids: Any) -> list[str]:
        """The names of labels, or their ids as text."""
        names = self.labels.names if self.labels is not None else None
        return [str(i) if names is None else names[i] for i in np.asarray(ids).tolist()]

    def _labelled(self, words: Any, generate: int | None) -> tuple[Ids, list[str]]:
        """Ids and words of a model that labels and generates nothing."""
        if generate:
            raise ValueError(f"draw: {type(self).__name__} generates nothing; leave generate= out")
        ids = self._ids(words)
        given = not isinstance(words, str) and isinstance(words[0], str)
        if isinstance(words, str) and ids.ndim > 1:
            return ids, tokenize(words)[1:-1]
        return ids, list(words) if given else self._words(ids)


def probabilities(scores: Any) -> Tensor:
    """The softmax of scores, in a scope of this name."""
    with scope("softmax"):
        p: Tensor = softmax(scores)
    return p


def most_probable(scores: Any) -> Ids:
    """The ids of the highest scores."""
    return np.argmax(np.asarray(values(scores)), axis=-1)
