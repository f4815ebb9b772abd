"""Chunks (CoNLL-2000): F1 of BiLSTM and BiLSTM-CRF, from words and the corpus's parts of speech.

Run: ``python tagging_conll2000.py`` where unspool[data] is installed and NLTK has the corpus
conll2000 (--data FOLDER or the variable NLTK_DATA say where). The last tenth of train is the
development part, on which the settings were chosen; it is not learnt from. It ends with exit
code 1 if a mean over the seeds is below its goal, or the corpus's own baseline, the most frequent
chunk tag of each part of speech, has another F1 than the 77.07 that were published.

Source: Tjong Kim Sang and Buchholz (2000).
"""

from __future__ import annotations

import os
import sys

from tagging_common import Model, Part, Settings, arguments, compare

from unspool.models import MostFrequentTag, hold_out, span_f1
from unspool.models.text.readers import conll2000

FORMS = Settings(suffixes=(2, 3), shape=True, epochs=7)
MODELS = {
    "BiLSTM": Model(FORMS, 91.7),
    "BiLSTM-CRF": Model(FORMS._replace(crf=True), 92.5),
}
BASELINE = 77.07


def main() -> int:
    """The table."""
    given = arguments(__doc__, "NLTK_DATA", needed=False)
    os.environ["NLTK_DATA"] = given.data or ""
    words, tags, chunks = conll2000("train")
    whole = Part((words, tags), chunks)
    learnt, held_out = hold_out(range(len(words)), 0.1)
    train, development = whole[: len(learnt)], whole[-len(held_out) :]
    words, tags, chunks = conll2000("test")
    test = Part((words, tags), chunks)
    baseline = MostFrequentTag(whole.inputs[1], whole.tags)
    figure = 100 * span_f1(test.tags, [baseline.predict(sentence) for sentence in tags])
    print(f"most frequent chunk tag of each part of speech: {figure:.2f}, published {BASELINE}")
    code = compare(given, MODELS, (train, development, test), span_f1, "F1")
    return code if round(figure, 2) == BASELINE else 1


if __name__ == "__main__":
    sys.exit(main())
