"""Universal parts of speech of English web text (UD English EWT): BiLSTMs of words and of forms.

``words`` reads words alone; ``forms`` also their suffixes, prefixes and shapes; ``letters`` their
shapes, and each word letter by letter.

Run: ``python tagging_ewt.py --data FOLDER`` where unspool is installed; FOLDER (or the variable
UNSPOOL_DATA) holds ``ud_english_ewt/{train,dev,test}.tsv``, the columns FORM and UPOS. The
settings were chosen on dev. It ends with exit code 1 if a mean over the seeds is below its goal.

Source: Silveira et al. (2014), Universal Dependencies.
"""

from __future__ import annotations

import sys
from pathlib import Path

from tagging_common import Model, Part, Settings, arguments, compare

from unspool.models import MostFrequentTag, accuracy, load_tagged

MODELS = {
    "words": Model(Settings(epochs=6), 91.0),
    "forms": Model(Settings(suffixes=(1, 2, 3), prefixes=(1, 2, 3), shape=True, epochs=4), 93.3),
    "letters": Model(Settings(letters=16, shape=True, epochs=4), 93.3),
}


def main() -> int:
    """The table."""
    given = arguments(__doc__, "UNSPOOL_DATA")
    folder = Path(given.data, "ud_english_ewt")
    parts = []
    for name in ("train", "dev", "test"):
        words, tags = load_tagged(folder / f"{name}.tsv")
        parts.append(Part((words,), tags))
    train, development, test = parts
    baseline = MostFrequentTag(*train.inputs, train.tags)
    part = development if given.no_test else test
    found = [baseline.predict(sentence) for sentence in part.inputs[0]]
    print(f"most frequent tag: {100 * accuracy(part.tags, found):.2f}")
    return compare(given, MODELS, (train, development, test), accuracy, "accuracy")


if __name__ == "__main__":
    sys.exit(main())
