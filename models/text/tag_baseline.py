"""What a tagger has to beat: the tag that was the most frequent one."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence

__all__ = ["MostFrequentTag"]


class MostFrequentTag:
    """Each word gets the tag that it had most often, whatever stands around it.

    A word that was never seen gets the tag that is the most frequent of all. Ties go to the tag
    that comes first in the alphabet.

    Args:
        sentences: The words of each sentence, or whatever else is to tell the tag, such as the
            parts of speech in the baseline of CoNLL-2000.
        tags: The tags of each sentence.

    Attributes:
        tags: The tag of each word.
        unknown: The tag of all others.

    Raises:
        ValueError: There is no word, or words and tags differ in number.

    Example:
        >>> baseline = MostFrequentTag([["the", "cat"], ["cat"]], [["DET", "NOUN"], ["NOUN"]])
        >>> baseline.predict(["the", "dog"])
        ['DET', 'NOUN']
    """

    def __init__(self, sentences: Iterable[Sequence[str]], tags: Iterable[Sequence[str]]) -> None:
        counts: defaultdict[str, Counter[str]] = defaultdict(Counter)
        everything: Counter[str] = Counter()
        sentences, tags = list(sentences), list(tags)
        if [*map(len, sentences)] != [*map(len, tags)]:
            raise ValueError("MostFrequentTag: words and tags differ in number")
        for words, names in zip(sentences, tags):
            everything.update(names)
            for word, tag in zip(words, names):
                counts[word][tag] += 1
        if not everything:
            raise ValueError("MostFrequentTag: there is no word to count")
        self.tags = {word: most_frequent(counter) for word, counter in counts.items()}
        self.unknown = most_frequent(everything)

    def predict(self, words: Iterable[str]) -> list[str]:
        """The tags of a sentence's words."""
        return [self.tags.get(word, self.unknown) for word in words]


def most_frequent(counts: Counter[str]) -> str:
    """The name counted most often, of several the first by alphabet."""
    return min(counts, key=lambda name: (-counts[name], name))
