"""Text to ids and back, the batches made of it, and the counting models."""

from __future__ import annotations

import itertools
import math
from collections import Counter

import numpy as np
import pytest

from unspool.models import (
    NGram,
    Vocabulary,
    hold_out,
    load_text,
    pad_sequences,
    python_manual,
    stream_batches,
    tokenize,
)
from unspool.models.text import characters, join_words, paragraphs, words

# Tokens -----------------------------------------------------------------------------------------

TOKENS = {
    "plain": ("The cat sat.", ["The", "cat", "sat", "."]),
    "inside a word": ("don't e.g. x-y sys.path", ["don't", "e.g", ".", "x-y", "sys.path"]),
    "typographic": ("don’t “go”", ["don't", "“", "go", "”"]),
    "straight quotes": ('say "a" ("b")', ["say", "“", "a", "”", "(", "“", "b", "”", ")"]),
    "single quotes": ("it's 'so' boys' x", ["it's", "‘", "so", "’", "boys", "’", "x"]),
    "numbers": ("3.14 -2 1,000", ["3.14", "-", "2", "1", ",", "000"]),
    "runs": ("**** a == b ...", ["****", "a", "==", "b", "..."]),
    "operators": ("a<=b != c ::= d **= e", ["a", "<=", "b", "!=", "c", "::=", "d", "**=", "e"]),
    "calls": ("f() g(x)", ["f", "()", "g", "(", "x", ")"]),
    "scripts": ("Ünïcödé слово 日本 ñ", ["Ünïcödé", "слово", "日本", "ñ"]),
    "marks": ("हिन्दी में cafe\u0301 ไทยดี", ["हिन्दी", "में", "café", "ไทยดี"]),
    "joiners": ("می\u200cخواهم", ["می\u200cخواهم"]),
    "symbols": ("👍👍 ok…", ["👍👍", "ok", "…"]),
    "emoji": ("❤\ufe0f 👍🏽👍🏽 👩\u200d💻!", ["❤\ufe0f", "👍🏽", "👍🏽", "👩\u200d💻", "!"]),
    "flags": ("🇩🇪🇫🇷 #\ufe0f\u20e3", ["🇩🇪", "🇫🇷", "#\ufe0f\u20e3"]),
    "white space": (" a\t\n b ", ["a", "b"]),
    "nothing": (" \n", []),
}  # fmt: skip


@pytest.mark.parametrize("name", TOKENS)
def test_words(name):
    text, tokens = TOKENS[name]
    assert words(text) == tokens


SAFE = [
    r"\w+(?:['.-]\w+)*|[^\w\s]", r"[A-Z](?P<rest>[a-z]*)|x*", r"(?i)[a-z]+", r"\d{3}", r"a{,3}b",
    r"x{2|y{}", r"[]a]+[^]]*", r"(\w)\1*", r"(?P<q>['\"]).*?(?P=q)", r"([a-z]|[A-Z])*1", r"(a|b)*c",
    r"(?<=\s)\S+(?!x)", r"\x41+|\u00e9*", r"(a?){20}", r"^\w+$", r"(?a)(\w|é)*$", r"(?s:.)+(?#all)",
    r"\N{BULLET}+", r"\\+\.*",
]  # fmt: skip
UNSAFE = [
    r"(\w+\s?)+$", r"(a+)+", r"(a|a)*b", r"(\w|\d)*$", r"(a*b*)*c", r"(ab|a|b)*c",
    r"(?:a{1,3}){9,}", r"(?=(a+)+$)a", r"(?i)([a-z]|[A-Z])*1", r"((?i:a)|A)*$", r"(?a)(\W|é)*$",
    r"(?x)(a +)+", "a" * 151, r"(?:\s|[^\S\n])*x", r"(.*)+x",
]  # fmt: skip


@pytest.mark.parametrize("pattern", SAFE)
def test_a_level_that_takes_linear_time(pattern):
    tokenize("a 12 x\u2022.\\", f"re:{pattern}|.")


@pytest.mark.parametrize("pattern", UNSAFE)
def test_a_level_that_could_hang(pattern):
    with pytest.raises(ValueError, match="can take exponential time"):
        tokenize("a", f"re:{pattern}")


def test_a_regular_expression_tells_what_a_token_is():
    level = r"re:[A-Z](?P<rest>[a-z]*)|x*"
    assert tokenize("Ab c Dx\n\nE", level) == ["<s>", "Ab", "Dx", "</s>", "<s>", "E", "</s>"]
    vocabulary = Vocabulary.count(tokenize("Ab c Dx", level), level=level)
    assert vocabulary.decode(vocabulary.encode("Ab c Dx E")) == "Ab Dx <unk>"
    with pytest.raises(ValueError, match=r"level 're:\(' is no valid regular expression: missing"):
        Vocabulary(["a"], level="re:(")
    with pytest.raises(ValueError, match="there is no token in it"):
        tokenize("a b", "re:[0-9]")


@pytest.mark.parametrize(
    "text",
    [
        "The cat (or dog) sat; it's “well-known”, isn't it? Yes!",
        "Write “f()” or “g[0]”, e.g. 3.5 of sys.path: ‘x’.",
        "… and so on.",
        "suite ::= x != y <= z ... end",
    ],
)
def test_joined_words_read_as_the_text_did(text):
    assert join_words(words(text)).replace(" [", "[") == text


def test_characters_keep_everything():
    text = "a \n\tb\u00a0é"
    assert "".join(characters(text)) == text


def test_paragraphs_are_between_blank_lines():
    assert paragraphs("\n a\nb\n \t\n\n\nc\n\n") == ["a\nb", "c"]


def test_a_stream_has_each_paragraph_between_its_marks():
    assert tokenize("One two\n\n\n...\n\nthree") == (
        ["<s>", "One", "two", "</s>", "<s>", "...", "</s>", "<s>", "three", "</s>"]
    )
    assert tokenize("A\n\nb", "character") == ["<s>", "A", "\n", "\n", "b", "</s>"]
    assert tokenize("ÀB", "character", lower=True) == ["<s>", "à", "b", "</s>"]
    for empty in ("", " \n\n "):
        with pytest.raises(ValueError, match="the text is empty"):
            tokenize(empty)
    with pytest.raises(
        ValueError, match=r"level must be one of word, character, or re: .* got 'byte'"
    ):
        tokenize("a", "byte")


# Texts ------------------------------------------------------------------------------------------


def test_load_text_reads_any_line_ends_and_drops_the_mark(tmp_path):
    path = tmp_path / "a.txt"
    path.write_bytes(b"\xef\xbb\xbfone\r\ntwo\rthr\xc3\xa9\n")
    assert load_text(path) == "one\ntwo\nthré\n"
    path.write_bytes("é".encode("latin-1"))
    assert load_text(path, encoding="latin-1") == "é"


def test_load_text_says_what_is_wrong(tmp_path):
    path = tmp_path / "a.txt"
    with pytest.raises(FileNotFoundError, match=r"a\.txt: no such text file"):
        load_text(path)
    path.write_bytes(b"")
    with pytest.raises(ValueError, match=r"a\.txt: the file is empty"):
        load_text(path)
    path.write_bytes(b" \n\t\n")
    with pytest.raises(ValueError, match=r"a\.txt: the file is empty"):
        load_text(path)
    path.write_bytes(b"caf\xe9 au lait")
    with pytest.raises(ValueError, match=r"a\.txt: not utf-8 text at byte 3"):
        load_text(path)
    with pytest.raises(ValueError, match="unknown encoding: nonsense"):
        load_text(path, encoding="nonsense")
    with pytest.raises(ValueError, match="is a folder, expected a text file"):
        load_text(tmp_path)


def test_pythons_manual_is_there_and_long():
    text = python_manual()
    assert len(text.split()) > 55_000
    assert 'The "while" statement' in text


def test_hold_out_is_the_contiguous_end():
    before, after = hold_out(list(range(105)))
    assert before == list(range(95))  # 10.5 rounds to even
    assert after == list(range(95, 105))
    assert hold_out(np.arange(4), 0.5)[1].tolist() == [2, 3]
    for fraction in (0, 1, -0.1, 2):
        with pytest.raises(ValueError, match="fraction must be a number > 0 and < 1"):
            hold_out([1, 2], fraction)
    with pytest.raises(ValueError, match="4 items are too few"):
        hold_out([1, 2, 3, 4])


# Vocabularies -----------------------------------------------------------------------------------


def test_vocabulary_counts_and_orders():
    stream = tokenize("b b b a a c c d")
    vocabulary = Vocabulary.count(stream, 2)
    assert vocabulary.tokens == ("<unk>", "<s>", "</s>", "b", "a", "c")
    assert len(vocabulary) == 6
    assert "a" in vocabulary
    assert "d" not in vocabulary
    assert len(Vocabulary.count(stream)) == 7
    with pytest.raises(ValueError, match="minimum_count must be an integer >= 1, got 0"):
        Vocabulary.count(stream, 0)
    with pytest.raises(ValueError, match="'a' occurs twice"):
        Vocabulary(["a", "b", "a"])


def test_encode_and_decode():
    vocabulary = Vocabulary(["the", "cat", ".", "(", ")"], lower=True)
    ids = vocabulary.encode("The (CAT) meows.", start=True, end=True)
    assert ids.dtype == np.int64
    assert ids.tolist() == [1, 3, 6, 4, 7, 0, 5, 2]
    assert vocabulary.decode(ids) == "the (cat) <unk>."
    assert vocabulary.decode([1, 3, 4, 2, 1, 4, 5, 2]) == "the cat\n\ncat."
    assert vocabulary.encode(["<s>", "cat", "The"]).tolist() == [1, 4, 0]
    assert vocabulary.encode("").tolist() == []
    assert vocabulary.decode([]) == ""


def test_characters_round_trip():
    text = "Any text,\n\nwith  spaces — and ünïcode.\n."
    stream = tokenize(text, "character")
    vocabulary = Vocabulary.count(stream, level="character")
    ids = vocabulary.encode(stream)
    assert ids.tolist() == vocabulary.encode(text, start=True, end=True).tolist()
    assert vocabulary.decode(ids) == text
    assert len(vocabulary) == 3 + len(set(text))


def test_decode_says_what_is_wrong():
    vocabulary = Vocabulary(["a"])
    with pytest.raises(ValueError, match=r"id 4 at .* is outside of 0\.\.3"):
        vocabulary.decode([3, 4])
    with pytest.raises(ValueError, match=r"id -1 at .* is outside"):
        vocabulary.decode([-1])
    with pytest.raises(ValueError, match=r"ids must be \(time,\), got \(1, 2\)"):
        vocabulary.decode([[1, 2]])
    with pytest.raises(TypeError, match="ids are integers, got float64"):
        vocabulary.decode([1.0])


# Batches ----------------------------------------------------------------------------------------


def test_pad_sequences():
    rows = [[1, 2, 3], [], [4, 5]]
    assert pad_sequences(rows).tolist() == [[1, 2, 3], [0, 0, 0], [4, 5, 0]]
    assert pad_sequences(rows, padding="pre", value=9).tolist() == [[1, 2, 3], [9, 9, 9], [9, 4, 5]]
    assert pad_sequences(rows, 2).tolist() == [[1, 2], [0, 0], [4, 5]]
    assert pad_sequences(rows, 2, truncating="pre").tolist() == [[2, 3], [0, 0], [4, 5]]
    assert pad_sequences(rows, 0).shape == (3, 0)
    assert pad_sequences([]).shape == (0, 0)
    with pytest.raises(ValueError, match="padding must be one of pre, post, got 'left'"):
        pad_sequences(rows, padding="left")
    columns = pad_sequences([[[1, 2]], [[3, 4], [5, 6]]], padding="pre")
    assert columns.tolist() == [[[0, 0], [1, 2]], [[3, 4], [5, 6]]]
    with pytest.raises(ValueError, match=r"sequence 1 is \(1, 2\), sequence 0 \(1,\)"):
        pad_sequences([[1], [[2, 3]]])
    with pytest.raises(ValueError, match=r"sequence 0 is \(\)"):
        pad_sequences([1, 2])
    with pytest.raises(TypeError, match=r'sequence 0 holds float64.* give dtype="float32"'):
        pad_sequences([[0.5]])
    numbers = pad_sequences([[0.5, 1.5], [2]], dtype="float32", value=-1.0)
    assert numbers.dtype == np.float32
    assert numbers.tolist() == [[0.5, 1.5], [2.0, -1.0]]


@pytest.mark.parametrize("count", [2, 3, 7, 8, 9, 41, 100])
@pytest.mark.parametrize(("batch", "steps"), [(1, 1), (1, 100), (3, 2), (4, 5), (50, 3)])
def test_a_stream_predicts_every_token_once_after_the_one_before(count, batch, steps):
    ids = np.arange(count)
    seen = Counter()
    ends: dict[int, int] = {}
    for chunk, lengths in stream_batches(ids, batch, steps):
        assert chunk.shape[1] <= steps + 1
        assert len(chunk) <= batch
        for r, row in enumerate(chunk):
            row = row if lengths is None else row[: lengths[r]]
            if len(row) > 1:
                assert r not in ends or ends[r] == row[0]  # chunks overlap by one token
                ends[r] = row[-1]
            assert (np.diff(row) == 1).all()
            seen.update(row[1:].tolist())
    assert seen == Counter(range(1, count))


def test_stream_batches_say_what_is_wrong():
    with pytest.raises(ValueError, match="batch must be an integer >= 1, got 0"):
        next(stream_batches([1, 2, 3], 0, 5))
    with pytest.raises(ValueError, match=r"of at least 2, got \(1,\)"):
        next(stream_batches([1], 2, 5))


# Counting models ----------------------------------------------------------------------------------


def text_of(size: int, count: int) -> np.ndarray:
    """Ids with a few frequent ones, such as a text has."""
    rng = np.random.default_rng(3)
    return np.minimum(rng.geometric(0.3, count), size - 1)


def witten_bell(ids, size, history, w):
    """The formula again, by plain loops over the text; history is a tuple."""
    n = len(history)
    after = [ids[t] for t in range(max(n, 1), len(ids)) if tuple(ids[t - n : t]) == history]
    lower = witten_bell(ids, size, history[1:], w) if n else 1 / size
    kinds = len(set(after))
    return (after.count(w) + kinds * lower) / (len(after) + kinds) if after else lower


@pytest.mark.parametrize("piece", [7, 1 << 20])  # sorted piece by piece, or a place for each
@pytest.mark.parametrize("order", [1, 2, 3, 4])
def test_counting_against_its_formula(order, piece, monkeypatch):
    monkeypatch.setattr("unspool.models.text.baselines.PIECE", piece)
    size = 5
    ids = text_of(size, 60)
    model = NGram(ids, size, order)
    for history in itertools.product(range(size), repeat=order - 1):
        expected = [witten_bell(ids.tolist(), size, history, w) for w in range(size)]
        np.testing.assert_allclose(model.probabilities(history), expected, rtol=1e-13)
        # More than the model looks at, and less.
        longer = model.probabilities([0, *history])
        np.testing.assert_array_equal(longer, model.probabilities(history))
        shorter = [witten_bell(ids.tolist(), size, history[1:], w) for w in range(size)]
        np.testing.assert_allclose(model.probabilities(history[1:]), shorter, rtol=1e-13)


def test_every_history_has_a_distribution_without_zeros():
    size = 50
    ids = text_of(size, 400)
    bigram, unigram = NGram(ids, size, 2), NGram(ids, size, 1)
    never = set(range(size)) - set(ids.tolist())
    assert never
    for h in range(size):
        p = bigram.probabilities([h])
        assert abs(p.sum() - 1) < 1e-12
        assert (p > 0).all()
    assert abs(unigram.probabilities().sum() - 1) < 1e-12
    assert (unigram.probabilities() > 0).all()
    np.testing.assert_array_equal(bigram.probabilities([min(never)]), unigram.probabilities())


@pytest.mark.parametrize("order", [1, 2, 3, 7])
def test_scores_and_perplexities_of_counting(order):
    size = 12
    ids, other = text_of(size, 200), text_of(size, 31)
    model = NGram(ids, size, order)
    logs = [math.log(model.probabilities(other[:t])[other[t]]) for t in range(1, 31)]
    np.testing.assert_allclose(model.log_probabilities(other), logs, rtol=1e-12)
    assert model.score(other) == pytest.approx(sum(logs), rel=1e-12)
    assert model.perplexity(other) == pytest.approx(math.exp(-sum(logs) / 30), rel=1e-12)


def test_an_order_beyond_the_text_is_that_of_the_text():
    ids = [3, 1, 4]
    np.testing.assert_array_equal(
        NGram(ids, 5, 9).log_probabilities([3, 1, 4, 1, 2]),
        NGram(ids, 5, 3).log_probabilities([3, 1, 4, 1, 2]),
    )


def test_an_ignored_token_is_neither_counted_nor_predicted():
    size, start = 6, 1
    ids = np.array([1, 3, 4, 2, 1, 3, 5, 2])
    model = NGram(ids, size, 2, ignore=start)
    counts = Counter([3, 4, 2, 3, 5, 2])
    p = [(counts[w] + 4 / size) / (6 + 4) for w in range(size)]
    unigram = NGram(ids, size, 1, ignore=start)
    np.testing.assert_allclose(unigram.probabilities(), p, rtol=1e-14)
    assert len(model.log_probabilities(ids)) == 6
    # After </s> nothing was ever predicted: the unigram speaks.
    np.testing.assert_allclose(model.probabilities([2]), p, rtol=1e-14)


def test_a_bigram_beats_a_unigram_where_the_last_token_tells():
    ids = np.tile([3, 4, 5, 6], 50)
    assert NGram(ids, 7, 2).perplexity(ids) < 1.2
    assert NGram(ids, 7, 1).perplexity(ids) > 3.9


def test_counting_says_what_is_wrong():
    with pytest.raises(ValueError, match=r"NGram: id 9 at .* is outside of 0\.\.4"):
        NGram([1, 9, 2], 5)
    with pytest.raises(ValueError, match=r"NGram: expected ids \(time,\).* got int64 \(1,\)"):
        NGram([1], 5)
    with pytest.raises(ValueError, match="NGram: order must be an integer >= 1, got 0"):
        NGram([1, 2], 5, 0)
    with pytest.raises(ValueError, match="no token of this text is to be predicted"):
        NGram([3, 1, 1], 5, 1, ignore=1)
    with pytest.raises(ValueError, match=r"NGram: id -1 at .* is outside of 0\.\.4"):
        NGram([1, 2, 3], 5).probabilities([-1])
    with pytest.raises(ValueError, match=r"history must be ids \(time,\), as in \[4\], got \(\)"):
        NGram([1, 2, 3], 5).probabilities(4)
    with pytest.raises(ValueError, match="got float64"):
        NGram([1, 2, 3], 5).loss([0.5, 1.0])
