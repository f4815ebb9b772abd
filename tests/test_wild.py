"""Files in the shapes in which they are found, through every reader and the command line.

Each is made here, with what its format's documentation says beside it; none is anybody's data.
"""

from __future__ import annotations

import gzip
from typing import Any, NamedTuple

import numpy as np
import pytest

from unspool.__main__ import main
from unspool.models import (
    load_folder,
    load_labelled,
    load_model,
    load_tagged,
    load_text,
    load_vectors,
    tokenize,
)


class Tagged(NamedTuple):
    """A tagged file: its bytes, how it is read, what comes, and the options for the command."""

    name: str
    content: bytes
    how: dict[str, Any]
    expected: tuple[Any, ...]
    options: list[str]


def conllu(*lines: str) -> str:
    """Lines of CoNLL-U, whose ten columns are given by spaces."""
    return "\n".join(line if line[:1] in ("#", "") else "\t".join(line.split()) for line in lines)


UD = conllu(
    "# sent_id = 1",
    "# text = Don't go.",
    "1-2 Don't _ _ _ _ _ _ _ _",
    "1 Do do AUX VB _ 3 aux _ _",
    "2 n't not PART RB _ 3 advmod _ _",
    "3 go go VERB VB _ 0 root _ SpaceAfter=No",
    "3.1 went go VERB VBD _ _ _ 3:conj _",
    "4 . . PUNCT . _ 3 punct _ _",
    "",
    "# newpar",
    "1 Hi hi INTJ UH _ 0 root _ _",
    "",
    "",
)
UD_READ = ([["Do", "n't", "go", "."], ["Hi"]], [["AUX", "PART", "VERB", "PUNCT"], ["INTJ"]])

TAGGED = {
    # universaldependencies.org/format.html: ten columns by tabs, # comments, ranges for words of
    # several tokens, decimal numbers for empty nodes, a blank line after each sentence.
    "CoNLL-U": Tagged("a.conllu", UD.encode(), {}, UD_READ, []),
    "CoNLL-U from Windows": Tagged(
        "a.conllu", b"\xef\xbb\xbf" + UD.replace("\n", "\r\n").encode(), {}, UD_READ, []
    ),
    "CoNLL-U by another name": Tagged(
        "a.txt",
        UD.encode(),
        {"columns": (1, 4)},
        (UD_READ[0], [["VB", "RB", "VB", "."], ["UH"]]),
        ["--word-column", "1", "--label-column", "4"],
    ),
    # universaldependencies.org/ext-format.html: the first line names the columns.
    "CoNLL-U Plus": Tagged(
        "a.conllup",
        conllu("# global.columns = ID FORM BIO", "1 New B-LOC", "2 York I-LOC", "", "").encode(),
        {"columns": ("FORM", "BIO")},
        ([["New", "York"]], [["B-LOC", "I-LOC"]]),
        ["--word-column", "FORM", "--label-column", "BIO"],
    ),
    # The CoNLL-2000 page: word, part of speech and chunk by spaces; # is a word of the Journal.
    "CoNLL-2000": Tagged(
        "train.txt",
        b"He PRP B-NP\npaid VBD B-VP\n# # B-NP\n5 CD I-NP\n\nYes UH O\n",
        {"columns": (0, 2), "separator": None},
        ([["He", "paid", "#", "5"], ["Yes"]], [["B-NP", "B-VP", "B-NP", "I-NP"], ["O"]]),
        ["--spaces", "--label-column", "2"],
    ),
    # The CoNLL-2003 README: four columns; a line -DOCSTART- begins a document.
    "CoNLL-2003": Tagged(
        "eng.train",
        b"-DOCSTART- -X- O O\n\nEU NNP I-NP I-ORG\nrejects VBZ I-VP O\n\n-DOCSTART- -X- O O\n\n"
        b"Bonn NNP I-NP I-LOC\n",
        {"columns": (0, 3), "separator": None},
        ([["EU", "rejects"], ["Bonn"]], [["I-ORG", "O"], ["I-LOC"]]),
        ["--spaces", "--label-column", "3"],
    ),
    # CoNLL-2002: word and tag by a space, ISO 8859-1.
    "CoNLL-2002": Tagged(
        "esp.train",
        "Melbourne B-LOC\nestá O\n\nAquí O\n".encode("latin-1"),
        {"separator": None, "encoding": "latin-1"},
        ([["Melbourne", "está"], ["Aquí"]], [["B-LOC", "O"], ["O"]]),
        ["--spaces", "--encoding", "latin-1"],
    ),
    # GermEval 2014: a # line with the source, then number, word and two layers of tags by tabs.
    "GermEval 2014": Tagged(
        "dev.tsv",
        b"#\thttp://example.org [2009-10-17]\n1\tIn\tO\tO\n2\tBonn\tB-LOC\tO\n\n"
        b"#\thttp://example.org [2010-01-01]\n1\tAda\tB-PER\tO\n",
        {"columns": (1, 2)},
        ([["In", "Bonn"], ["Ada"]], [["O", "B-LOC"], ["B-PER"]]),
        ["--word-column", "1", "--label-column", "2"],
    ),
    # WNUT-17: word and tag by a tab; hashtags and names with @ are words.
    "WNUT-17": Tagged(
        "emerging.conll",
        b"@ada\tO\n#bonn\tB-location\n:)\tO\n\t\n#\tO\n",
        {},
        ([["@ada", "#bonn", ":)"], ["#"]], [["O", "B-location", "O"], ["O"]]),
        [],
    ),
    # What editors and spreadsheets leave: blanks and tabs at the ends of lines, no last line end.
    "trailing blanks": Tagged(
        "a.tsv",
        b"New\tB-LOC \nYork\tI-LOC\t\n \t \nhere \tO",
        {},
        ([["New", "York"], ["here"]], [["B-LOC", "I-LOC"], ["O"]]),
        [],
    ),
}


def written(folder, name, content):
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def train(kind, path, *options):
    """A training of one epoch with the command line, in its folder; the saved model."""
    out = path.parent / "out"
    tiny = ["--width", "2", "--epochs", "1", "--out", str(out)]
    assert main(["train", kind, str(path), *tiny, *options]) == 0
    return load_model(out / "model.npz")


@pytest.mark.parametrize("name", TAGGED)
def test_tagged_files(tmp_path, name, capsys):
    case = TAGGED[name]
    path = written(tmp_path, case.name, case.content)
    assert load_tagged(path, **case.how) == case.expected
    content = case.content.removeprefix(b"\xef\xbb\xbf").rstrip()
    more = written(tmp_path / "more", case.name, (content + b"\n\n") * 8)
    saved = train("tagger", more, "--embedding", "2", "--feature-embedding", "2", *case.options)
    assert set(saved.labels.names) == {tag for tags in case.expected[1] for tag in tags}
    encoding = ["--encoding", case.how["encoding"]] if "encoding" in case.how else []
    assert main(["evaluate", str(more.parent / "out"), str(path), *encoding]) == 0
    assert "accuracy" in capsys.readouterr().out


class Labelled(NamedTuple):
    """A file of labelled texts, as ``Tagged``."""

    name: str
    content: bytes
    how: dict[str, Any]
    texts: list[str]
    labels: list[str]
    options: list[str]


LONG = "so long " * 30_000  # 240,000 characters; the csv module stops at 131,072

LABELLED = {
    # SMS Spam Collection: label and raw message by a tab; quotation marks are the message's.
    "SMS spam": Labelled(
        "SMSSpamCollection",
        b'ham\tOk lar... "joking" wif u\nspam\tFree entry\n',
        {},
        ['Ok lar... "joking" wif u', "Free entry"],
        ["ham", "spam"],
        [],
    ),
    # GLUE's SST-2: a header, the sentence first, label 0 or 1, a blank at the end of sentences.
    "SST-2": Labelled(
        "train.tsv",
        b"sentence\tlabel\nhide new secretions \t0\na joy \t1\n",
        {"label": "label", "text": "sentence"},
        ["hide new secretions", "a joy"],
        ["0", "1"],
        ["--label-column", "label", "--text-column", "sentence"],
    ),
    # Sentiment140: six quoted columns without a header, the label first, ISO 8859-1.
    "Sentiment140": Labelled(
        "tweets.csv",
        '"0","1","Mon Apr 06","NO_QUERY","ada","@bob - that\'s a bummer, caf\xe9"\n'
        '"4","2","Mon Apr 06","NO_QUERY","eve","yes!"\n'.encode("latin-1"),
        {"text": 5, "encoding": "latin-1"},
        ["@bob - that's a bummer, café", "yes!"],
        ["0", "4"],
        ["--text-column", "5", "--encoding", "latin-1"],
    ),
    # IMDB as a table: a header, quoted reviews with line ends, commas and doubled quotes.
    "IMDB table": Labelled(
        "IMDB.csv",
        b'review,sentiment\n"One.<br /><br />A ""fine"", long\nfilm",positive\nBad,negative\n',
        {"label": "sentiment", "text": "review"},
        ['One.<br /><br />A "fine", long\nfilm', "Bad"],
        ["positive", "negative"],
        ["--label-column", "sentiment", "--text-column", "review"],
    ),
    # AG News: class index, title, description, all quoted, without a header.
    "AG News": Labelled(
        "train.csv",
        b'"3","Wall St.","Short-sellers, again"\n"4","Chips","New ones"\n',
        {"text": 2},
        ["Short-sellers, again", "New ones"],
        ["3", "4"],
        ["--text-column", "2"],
    ),
    # A spreadsheet where the comma is the decimal sign: semicolons, a byte order mark, CRLF.
    "spreadsheet": Labelled(
        "umfrage.csv",
        '\ufeffKlasse;Text\r\ngut;"schön; sehr"\r\nschlecht;öde\r\n'.encode(),
        {"header": True},
        ["schön; sehr", "öde"],
        ["gut", "schlecht"],
        ["--header"],
    ),
    "semicolons without a header": Labelled(
        "a.csv", b"pos;fine\nneg;dull\n", {}, ["fine", "dull"], ["pos", "neg"], []
    ),
    # RFC 4180: lines end with CRLF; the last one may lack it.
    "RFC 4180": Labelled("a.csv", b'pos,"a, b"\r\nneg,c', {}, ["a, b", "c"], ["pos", "neg"], []),
    "a very long field": Labelled(
        "a.csv", f'pos,"{LONG}"\nneg,c\n'.encode(), {}, [LONG.strip(), "c"], ["pos", "neg"], []
    ),
    "a very long line": Labelled(
        "a.tsv", f"pos\t{LONG}\nneg\tc\n".encode(), {}, [LONG.strip(), "c"], ["pos", "neg"], []
    ),
    "tabs within texts": Labelled(
        "a.tsv", b"pos\tone\ttwo\nneg\tthree\n", {}, ["one\ttwo", "three"], ["pos", "neg"], []
    ),
    # A table that annotators wrote: text, label, annotator.
    "a column behind the label": Labelled(
        "a.tsv",
        b"good\tpos\tann1\nbad\tneg\tann2\n",
        {"label": 1, "text": 0},
        ["good", "bad"],
        ["pos", "neg"],
        ["--label-column", "1", "--text-column", "0"],
    ),
    "a column behind the text": Labelled(
        "a.tsv", b"pos\tgood\tann1\nneg\tbad\tann2\n", {}, ["good", "bad"], ["pos", "neg"], []
    ),
    # Unicode's line separator and a form feed are white space within a line, not its end.
    "characters that end lines elsewhere": Labelled(
        "a.tsv",
        "pos\tone\u2028two\x0cthree\nneg\tfour\x85five\n".encode(),
        {},
        ["one\u2028two\x0cthree", "four\x85five"],
        ["pos", "neg"],
        [],
    ),
    "old Macintosh": Labelled("a.tsv", b"pos\ta\rneg\tb\r", {}, ["a", "b"], ["pos", "neg"], []),
    "UTF-16, as Windows' Unicode text": Labelled(
        "a.txt",
        "pos\té\r\nneg\tb\r\n".encode("utf-16"),
        {"encoding": "utf-16"},
        ["é", "b"],
        ["pos", "neg"],
        ["--encoding", "utf-16"],
    ),
}


@pytest.mark.parametrize("name", LABELLED)
def test_labelled_files(tmp_path, name, capsys):
    case = LABELLED[name]
    path = written(tmp_path, case.name, case.content)
    assert load_labelled(path, **case.how) == (case.texts, case.labels)
    if len(case.content) > 10_000:
        return  # the same reader; a training takes its time
    encoding = case.how.get("encoding", "utf-8")
    head, _, body = case.content.decode(encoding).replace("\r\n", "\n").partition("\n")
    has_header = case.how.get("header") or isinstance(case.how.get("label"), str)
    repeated = f"{body}\n" * 8 if has_header else f"{head}\n{body}\n" * 8
    text = f"{head}\n{repeated}" if has_header else repeated
    more = written(tmp_path / "more", case.name, text.encode(encoding))
    saved = train("classifier", more, "--model", "bag", "--embedding", "2", *case.options)
    assert set(saved.labels.names) == set(case.labels)
    arguments = ["--encoding", encoding] if "encoding" in case.how else []
    assert main(["evaluate", str(more.parent / "out"), str(path), *arguments]) == 0
    assert "accuracy" in capsys.readouterr().out


def test_folders_of_classes(tmp_path):
    """ACL's IMDB, a text in each file, with what unpacking and looking at it adds."""
    for label, texts in (("neg", ["dull", "flat"]), ("pos", ["fine", "bright"])):
        for i, text in enumerate(texts * 6):
            written(tmp_path, f"imdb/{label}/{i}_{len(text)}.txt", text.encode())
        written(tmp_path, f"imdb/{label}/.DS_Store", b"\x00\x01Bud1\xff")
        written(tmp_path, f"imdb/{label}/Thumbs.db", b"\xd0\xcf\x11\xe0")
    written(tmp_path, "imdb/__MACOSX/pos/._0_4.txt", b"\x00\x05\x16\x07\xff")
    written(tmp_path, "imdb/.DS_Store", b"\x00\x01Bud1\xff")
    texts, labels = load_folder(tmp_path / "imdb")
    assert (sorted(set(labels)), len(texts)) == (["neg", "pos"], 24)
    assert dict(zip(texts, labels, strict=True))["bright"] == "pos"
    saved = train("classifier", tmp_path / "imdb", "--model", "bag", "--embedding", "2")
    assert saved.labels.names == ("neg", "pos")


def test_files_of_classes(tmp_path):
    """The sentence polarity data: rt-polarity.pos and .neg, a sentence a line, ISO 8859-1."""
    for label, text in (("pos", "a fianc\xe9 \n"), ("neg", "simplistic , silly \n")):
        written(tmp_path, f"rt/rt-polarity.{label}", text.encode("latin-1"))
    assert load_folder(tmp_path / "rt", "latin-1") == (
        ["simplistic , silly", "a fiancé"],
        ["rt-polarity.neg", "rt-polarity.pos"],
    )


TEXTS = {
    # Mikolov's version of the Penn Treebank: a sentence a line between blanks, rare words <unk>.
    "PTB": (b" no it was n't <unk> \n $ N million \n", "utf-8", ["<unk>", "N", "$"]),
    # WikiText: headings between =, rare words <unk>, hyphens within words as @-@.
    "WikiText": (b" = Title = \n\n a <unk> role @-@ play 1 @,@ 500 \n", "utf-8", ["@-@", "@,@"]),
    # Project Gutenberg: a byte order mark, CRLF, blank lines between paragraphs.
    "Gutenberg": (b"\xef\xbb\xbfTitle\r\n\r\nA line\r\nof it.\r\n", "utf-8", ["Title", "of"]),
    # text8: small letters and single blanks in one line.
    "text8": (b" anarchism originated as a term of abuse" * 40_000, "utf-8", ["anarchism"]),
    "Windows-1252": ("“naïve” café".encode("cp1252"), "cp1252", ["“", "naïve", "café"]),
}


@pytest.mark.parametrize("name", TEXTS)
def test_texts(tmp_path, name, capsys):
    content, encoding, wanted = TEXTS[name]
    path = written(tmp_path, "text.txt", content)
    text = load_text(path, encoding)
    assert "\r" not in text
    assert "\ufeff" not in text
    tokens = tokenize(text)
    assert {*wanted} <= {*tokens}
    assert not {"<", "unk", ">"} & {*tokens}
    if len(content) < 10_000:
        more = written(tmp_path / "more", "text.txt", (content.rstrip() + b"\n\n") * 40)
        saved = train("lm", more, "--encoding", encoding)
        assert {*wanted} <= {*saved.vocabulary.tokens}


VECTORS = {
    # GloVe's README: a word and its numbers by single blanks, no header.
    "GloVe": (b"the 0.5 -1\n, 1e-3 2\n", "v.txt", {"the": [0.5, -1], ",": [0.001, 2]}),
    # glove.840B.300d has words with blanks in them.
    "GloVe 840B": (b"the 0.5 1\n. . . 2 3\n", "v.txt", {"the": [0.5, 1], ". . .": [2, 3]}),
    # word2vec -binary 0: a header of count and width, a blank at the end of each line.
    "word2vec": (b"2 2\n</s> 0.5 1 \nthe 2 3 \n", "v.txt", {"</s>": [0.5, 1], "the": [2, 3]}),
    # fastText's .vec: the same header; words can hold no-break spaces.
    "fastText": (
        "2 2\n, 0.5 1\nà\u00a0la 2 3\n".encode(),
        "v.vec",
        {",": [0.5, 1], "à\u00a0la": [2, 3]},
    ),
    "from Windows": (b"\xef\xbb\xbf2 2\r\nthe 1 2\r\na 3 4\r\n", "v.txt", {"the": [1, 2]}),
    "by tabs": (b"the\t1\t2\na\t3\t4\n", "v.tsv", {"a": [3, 4]}),
    "packed": (gzip.compress(b"the 1 2\r\na 3 4\r\n"), "v.txt.gz", {"a": [3, 4]}),
}


@pytest.mark.parametrize("name", VECTORS)
def test_vectors(tmp_path, name):
    content, file, expected = VECTORS[name]
    path = written(tmp_path, file, content)
    vectors = load_vectors(path)
    for word, vector in expected.items():
        np.testing.assert_allclose(vectors[word], vector, rtol=1e-6)
    reviews = written(tmp_path, "a.tsv", b"pos\tthe , la\nneg\ta </s> . the\n" * 8)
    options = ["--model", "bag", "--vectors", str(path), "--embedding", "2"]
    assert train("classifier", reviews, *options).labels.names == ("neg", "pos")
