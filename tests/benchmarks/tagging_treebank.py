"""Parts of speech of NLTK's Penn Treebank sample: BiLSTM-CRF with suffixes and shapes.

Run: ``python tagging_treebank.py`` where unspool[data] is installed and NLTK has the corpus
treebank (--data FOLDER or the variable NLTK_DATA say where). The corpus is cut 80/10/10 in the
order of its files, without empty elements; the settings were chosen on the second part. It ends
with exit code 1 if a mean over the seeds is below its goal.

Source: Marcus, Santorini and Marcinkiewicz (1993).
"""

from __future__ import annotations

import os
import sys

from tagging_common import Model, Part, Settings, arguments, compare

from unspool.models import MostFrequentTag, accuracy
from unspool.models.text.readers import treebank

FORMS = Settings(suffixes=(1, 2, 3), prefixes=(1, 2, 3), shape=True, crf=True, epochs=10)
MODELS = {"BiLSTM-CRF": Model(FORMS, 94.3)}


def main() -> int:
    """The table."""
    given = arguments(__doc__, "NLTK_DATA", needed=False)
    os.environ["NLTK_DATA"] = given.data or ""
    words, tags = treebank()
    whole = Part((words,), tags)
    one, two = 8 * len(words) // 10, 9 * len(words) // 10
    train, development, test = whole[:one], whole[one:two], whole[two:]
    baseline = MostFrequentTag(*train.inputs, train.tags)
    part = development if given.no_test else test
    found = [baseline.predict(sentence) for sentence in part.inputs[0]]
    print(f"most frequent tag: {100 * accuracy(part.tags, found):.2f}")
    return compare(given, MODELS, (train, development, test), accuracy, "accuracy")


if __name__ == "__main__":
    sys.exit(main())
