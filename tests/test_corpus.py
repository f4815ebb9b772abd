"""From texts to predictions: corpora, tables, saved models, and what is read wrongly elsewhere."""

from __future__ import annotations

import io
import subprocess
import sys
import types

import numpy as np
import pytest

from helpers import needs_corpus
from unspool.__main__ import main
from unspool.cells import GRU, LSTM, Elman
from unspool.models import (
    SGD,
    Acceptor,
    Adam,
    Corpus,
    Embedding,
    EncoderDecoder,
    FeatureEmbedding,
    Features,
    Labelled,
    LanguageModel,
    Transducer,
    Vocabulary,
    accuracy,
    evaluate,
    fit,
    labelled_rows,
    load_labelled,
    load_model,
    load_tagged,
    load_text,
    predictions,
    readers,
    save_model,
    tokenize,
)
from unspool.models.text.encodings import guess_encoding

TEXTS = ["a good film", "so bright", "dull and flat", "what a bore"] * 10
LABELS = ["pos", "pos", "neg", "neg"] * 10
WORDS = [["the", "cat", "sings"], ["a", "dog", "sees", "the", "bird"]] * 10
TAGS = [["DET", "NOUN", "VERB"], ["DET", "NOUN", "VERB", "DET", "NOUN"]] * 10


def written(folder, text, name="corpus.tsv", encoding="utf-8"):
    path = folder / name
    path.write_bytes(text.encode(encoding))
    return path


# Corpora ----------------------------------------------------------------------------------------


def test_a_corpus_of_texts_holds_examples_out():
    corpus = Corpus.labelled(TEXTS, LABELS, held_out=0.2, rng=0)
    parts = [corpus.train, corpus.development, corpus.test]
    assert [len(part.sequences) for part in parts] == [32, 4, 4]
    decoded = [
        (corpus.vocabulary.decode(ids), corpus.labels.names[label])
        for part in parts
        for ids, label in zip(part.sequences, part.labels, strict=True)
    ]
    assert sorted(decoded) == sorted(zip(TEXTS, LABELS, strict=True))
    again = Corpus.labelled(TEXTS, LABELS, held_out=0.2, rng=0)
    for part, other in zip(parts, (again.train, again.development, again.test), strict=True):
        np.testing.assert_equal(part.sequences, other.sequences)
    other = Corpus.labelled(TEXTS, LABELS, held_out=0.2, rng=1)
    assert [*map(list, other.test.sequences)] != [*map(list, corpus.test.sequences)]


def test_the_vocabulary_is_that_of_the_training_part():
    texts = [f"only{i} shared" for i in range(20)]
    corpus = Corpus.labelled(texts, ["x", "y"] * 10, rng=0)
    assert len(corpus.vocabulary) == 3 + 1 + 16
    unknown = [corpus.vocabulary.unknown in ids for ids in corpus.test.sequences]
    assert all(unknown)
    assert len(Corpus.labelled(texts, ["x", "y"] * 10, minimum_count=2).vocabulary) == 4
    letters = Corpus.labelled(texts, ["x", "y"] * 10, level="character", rng=0)
    assert letters.vocabulary.level == "character"
    assert len(letters.train.sequences[0]) >= len("only1 shared")


def test_texts_that_are_tokens_already():
    corpus = Corpus.labelled([text.upper().split() for text in TEXTS], LABELS, rng=0)
    plain = Corpus.labelled(TEXTS, LABELS, rng=0)
    np.testing.assert_equal(corpus.train.sequences, plain.train.sequences)
    with pytest.raises(ValueError, match="no token in text 1"):
        Corpus.labelled([["a"], [], ["b"]], ["x", "y", "x"])


def test_corpora_of_nltk_are_taken_as_they_are():
    for name in ("names", "sentence_polarity", "conll2000"):
        needs_corpus(name)
    names = Corpus.labelled(*readers.names(), level="character", rng=0)
    assert names.labels.names == ("female", "male")
    films = Corpus.labelled(*readers.sentence_polarity(), rng=0)
    assert len(films.train.sequences) == 10_662 - 2 * round(1066.2)
    words, _, chunks = readers.conll2000()
    assert Corpus.tagged(words, chunks, rng=0).labels.names[:2] == ("B-ADJP", "B-ADVP")


def test_a_corpus_of_sentences():
    corpus = Corpus.tagged(WORDS, TAGS, suffixes=[2], shape=False, rng=0)
    assert corpus.features.names == ["word", "suffix2"]
    assert corpus.train.per_token
    assert [len(part.sequences) for part in (corpus.train, corpus.development)] == [16, 2]
    assert corpus.labels.names == ("DET", "NOUN", "VERB")
    with pytest.raises(ValueError, match="3 words and 2 tags in sentence 0"):
        Corpus.tagged(WORDS, [tags[:-1] for tags in TAGS])


def test_a_corpus_of_running_text():
    text = "\n\n".join(" ".join(words) for words in WORDS)
    corpus = Corpus.text(text, held_out=0.2, batch=2, rng=0)
    count = len(tokenize(text))
    parts = [corpus.train.ids, corpus.development.ids, corpus.test.ids]
    assert sum(map(len, parts)) == count
    assert abs(len(parts[0]) - 0.8 * count) <= 1
    joined = np.concatenate(parts)
    np.testing.assert_array_equal(joined, corpus.vocabulary.encode(tokenize(text)))
    listed = Corpus.text([" ".join(words) for words in WORDS], held_out=0.2, batch=2, rng=0)
    np.testing.assert_array_equal(listed.train.ids, corpus.train.ids)
    with pytest.raises(ValueError, match="too short to hold"):
        Corpus.text("one")


# Tables -----------------------------------------------------------------------------------------


class Frame:
    """What of a pandas DataFrame is used: iterating it gives the names of its columns."""

    def __init__(self, **columns):
        self.data = {name: np.array(values, object) for name, values in columns.items()}
        self.columns = np.array([*columns], object)

    def __iter__(self):
        return iter(self.columns)

    def __getitem__(self, name):
        return self.data[name]


class Dataset(Frame):
    """What of a Hugging Face Dataset is used: ids of classes, whose names are a feature's."""

    def __init__(self, names=None, **columns):
        super().__init__(**columns)
        del self.columns
        self.column_names = [*columns]
        self.features = {name: object() for name in columns}
        self.features["label"] = types.SimpleNamespace(names=names)
        self.data = {name: values.tolist() for name, values in self.data.items()}


def test_tables_are_taken_where_lists_are():
    frame = Frame(review=TEXTS, opinion=LABELS)
    assert labelled_rows(frame, "review", "opinion") == (TEXTS, LABELS)
    assert labelled_rows(Frame(text=["a"], label=[4]), "text") == (["a"], ["4"])
    ids = [int(label == "pos") for label in LABELS]
    dataset = Dataset(names=["neg", "pos"], text=TEXTS, label=ids)
    assert labelled_rows(dataset) == (TEXTS, LABELS)
    corpus = Corpus.labelled(frame["review"], frame["opinion"], rng=0)
    assert corpus.labels.names == ("neg", "pos")


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (Frame(review=["a"], label=["x"]), "no column 'text'; the table has 'review', 'label'"),
        (Frame(text=["a", "b"], label=["x", float("nan")]), "'label' has no value in row 1"),
        (Frame(text=["a", None], label=["x", "y"]), "text must be a list of texts, got None at 1"),
        ({"train": 1, "test": 2}, "'train', 'test'; take table"),
    ],
)
def test_tables_that_lack_something(table, message):
    with pytest.raises((TypeError, ValueError), match=message):
        labelled_rows(table)


def test_a_whole_frame_is_no_list_of_texts():
    with pytest.raises(TypeError, match=r'take the column, as in table\["text"\]'):
        Corpus.labelled(Frame(text=["a"]), ["x"])


# Models that were saved -------------------------------------------------------------------------


def classifier(corpus):
    embedding = Embedding(len(corpus.vocabulary), 8, rng=0)
    return Acceptor("lstm", len(corpus.labels), "max", embedding=embedding, rng=0)


def test_a_classifier_predicts_new_texts_in_another_process(tmp_path):
    corpus = Corpus.labelled(TEXTS, LABELS, rng=0)
    model = classifier(corpus)
    fit(model, corpus.train, Adam(model.parameters(), 0.05), epochs=8, progress=False)
    path = tmp_path / "films.npz"
    save_model(path, model, vocabulary=corpus.vocabulary, labels=corpus.labels)
    texts = ["So BRIGHT", "a dull bore", "good"]
    expected = [
        corpus.labels.names[int(model.predict(corpus.vocabulary.encode(text)))] for text in texts
    ]
    assert load_model(path).predict(texts) == expected == ["pos", "neg", "pos"]
    assert load_model(path).predict(np.array(texts, object)) == expected
    code = (
        f"from unspool.models import load_model; print(load_model({str(path)!r}).predict({texts}))"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert result.stdout == f"{expected}\n"
    assert load_model(path).predict([text.split() for text in texts]) == expected
    assert load_model(path).predict([]) == []
    with pytest.raises(TypeError, match=r"got one text; write \[text\]"):
        load_model(path).predict("so bright")
    with pytest.raises(ValueError, match="there is no token in the text ' '"):
        load_model(path).predict([" "])


def test_a_tagger_predicts_words_with_their_tags(tmp_path):
    corpus = Corpus.tagged(WORDS, TAGS, rng=0)
    embedding = FeatureEmbedding(corpus.features.sizes, [8, 4, 4, 2], rng=0)
    tagger = Transducer("gru", 3, embedding=embedding, rng=0)
    fit(tagger, corpus.train, Adam(tagger.parameters(), 0.05), epochs=8, progress=False)
    path = tmp_path / "tagger.npz"
    save_model(path, tagger, features=corpus.features, labels=corpus.labels)
    expected = [("The", "DET"), ("bird", "NOUN"), ("sings", "VERB")]
    saved = load_model(path)
    assert saved.predict(["The bird sings", ["The", "bird", "sings"]]) == [expected, expected]


def test_a_tagger_of_a_vocabulary_predicts_too(tmp_path):
    vocabulary = Vocabulary.count([word for words in WORDS for word in words])
    tagger = Transducer("elman", 3, embedding=Embedding(len(vocabulary), 8, rng=0), rng=0)
    labels = Corpus.tagged(WORDS, TAGS, rng=0).labels
    task = Labelled([*map(vocabulary.encode, WORDS)], [*map(labels.encode, TAGS)], rng=0)
    fit(tagger, task, Adam(tagger.parameters(), 0.05), epochs=8, progress=False)
    save_model(tmp_path / "t.npz", tagger, vocabulary=vocabulary, labels=labels)
    (found,) = load_model(tmp_path / "t.npz").predict(["the dog sings"])
    assert found == [("the", "DET"), ("dog", "NOUN"), ("sings", "VERB")]


def test_a_language_model_goes_on(tmp_path):
    corpus = Corpus.text("to be or not to be\n\n" * 40, batch=2, rng=0)
    model = LanguageModel(len(corpus.vocabulary), 16, rng=0)
    fit(model, corpus.train, Adam(model.parameters(), 0.02), epochs=12, progress=False)
    assert evaluate(model, corpus.test) < 0.5
    save_model(tmp_path / "lm.npz", model, vocabulary=corpus.vocabulary)
    saved = load_model(tmp_path / "lm.npz")
    assert saved.predict(["to be or", "to be or not"]) == ["not", "to"]
    assert saved.model.write("to be", steps=4, temperature=0) == "to be or not to be"
    assert saved.model.write("to", steps=3, rng=0) == saved.model.write("to", steps=3, rng=0)


def test_what_a_file_lacks_is_said(tmp_path):
    model = classifier(Corpus.labelled(TEXTS, LABELS, rng=0))
    save_model(tmp_path / "bare.npz", model)
    with pytest.raises(ValueError, match="saved without vocabulary or features"):
        load_model(tmp_path / "bare.npz").predict(["a"])


def test_a_loaded_model_is_saved_with_what_it_knows(tmp_path):
    corpus = Corpus.labelled(TEXTS, LABELS, rng=0)
    save_model(
        tmp_path / "a.npz",
        classifier(corpus),
        vocabulary=corpus.vocabulary,
        labels=corpus.labels,
    )
    save_model(tmp_path / "b.npz", load_model(tmp_path / "a.npz").model)
    saved = load_model(tmp_path / "b.npz")
    assert saved.vocabulary.tokens == corpus.vocabulary.tokens
    assert saved.labels.names == corpus.labels.names


# Training ---------------------------------------------------------------------------------------


def test_metrics_by_name():
    corpus = Corpus.labelled(TEXTS, LABELS, rng=0)
    model = classifier(corpus)
    options = {"epochs": 2, "validation": corpus.development, "progress": False}
    rows = fit(model, corpus.train, metrics=["accuracy"], monitor="validation_accuracy", **options)
    best = max(row["validation_accuracy"] for row in rows)
    gold, found = corpus.development.labels, predictions(model, corpus.development)
    assert accuracy(gold, found) == best
    rows = fit(model, corpus.train, metrics={"share": accuracy}, **options)
    assert 0 <= rows[0]["validation_share"] <= 1


def test_an_optimiser_of_a_part_of_the_model_is_allowed():
    corpus = Corpus.labelled(TEXTS, LABELS, rng=0)
    model = classifier(corpus)
    before = model.embedding.E.data.copy()
    fit(model, corpus.train, SGD(model.head.parameters(), 0.1), epochs=1, progress=False)
    np.testing.assert_array_equal(model.embedding.E.data, before)
    stale = Adam(model.parameters())
    model.new_head(3, rng=0)
    with pytest.raises(ValueError, match=r"lacks head\.layers\.0\.W.*Adam\(model\.parameters"):
        fit(model, corpus.train, stale, progress=False)


@pytest.mark.parametrize("notebook", [False, True])
def test_progress_is_on_stdout_in_a_notebook(notebook, monkeypatch):
    streams = {name: io.StringIO() for name in ("stdout", "stderr")}
    for name, stream in streams.items():
        monkeypatch.setattr(sys, name, stream)
    if notebook:
        shell = types.SimpleNamespace(kernel=object())
        monkeypatch.setitem(
            sys.modules, "IPython", types.SimpleNamespace(get_ipython=lambda: shell)
        )
    corpus = Corpus.labelled(TEXTS, LABELS, rng=0)
    fit(classifier(corpus), corpus.train, epochs=1)
    shown, empty = ("stdout", "stderr") if notebook else ("stderr", "stdout")
    assert "epoch 1/1: loss" in streams[shown].getvalue()
    assert streams[empty].getvalue() == ""


# Cells in models --------------------------------------------------------------------------------


@pytest.mark.parametrize("make", [lambda cell: LanguageModel(9, 4, cell=cell, rng=0)])
def test_a_cell_is_given_by_class_name_or_as_it_is(make):
    by_class, by_name = make(GRU), make("gru")
    for name, array in by_class.state_dict().items():
        np.testing.assert_array_equal(by_name.state_dict()[name], array)
    cell = Elman(4, 4, "relu", rng=0)
    assert make(cell).cell is cell


def test_a_network_is_given_by_class_name_or_as_it_is(tmp_path):
    embedding = Embedding(9, 4, rng=0)
    for network in (LSTM, "lstm", LSTM(4, 4, rng=0)):
        for kind in (Acceptor, Transducer):
            model = kind(network, 2, embedding=embedding, rng=0)
            assert isinstance(model.network, LSTM)
            assert (model.network.d_in, model.network.d_h) == (4, 4)
            save_model(tmp_path / "m.npz", model)
            ids = np.array([[3, 4, 5]])
            loaded = load_model(tmp_path / "m.npz").model
            np.testing.assert_array_equal(loaded.logits(ids).data, model.eval().logits(ids).data)
    model = Acceptor("gru", 2, embedding=embedding, rng=0, dtype=np.float64)
    assert {p.dtype.name for p in model.network.parameters()} == {"float64"}
    assert type(EncoderDecoder(5, 5, 4, cell="gru", rng=0).decoder.members[0]) is GRU


# What is read wrongly elsewhere -----------------------------------------------------------------


def test_a_last_line_end_is_decoded():
    vocabulary = Vocabulary.count("a\nb\n", level="character")
    ids = vocabulary.encode("a\nb\n\n")
    assert "".join(vocabulary.decode([i]) for i in ids) == "a\nb\n\n" == vocabulary.decode(ids)
    words = Vocabulary(["a", "b"])
    assert words.decode([1, 3, 2, 1, 4, 2]) == "a\n\nb"
    assert words.decode([2, 2]) == words.decode([]) == ""


def test_words_that_a_corpus_left_out_are_one_token():
    tokens = tokenize("the <unk> sat on <unk>s", lower=True)
    assert tokens[:4] == ["<s>", "the", "<unk>", "sat"]
    vocabulary = Vocabulary.count(tokens)
    assert vocabulary.encode("the <unk>").tolist() == [vocabulary.ids["the"], 0]
    assert tokenize("x <unknown>")[1:-1] == ["x", "<", "unknown", ">"]


def test_words_with_spaces_are_words_of_a_tagger():
    """CoNLL-U allows them, as in 10 000."""
    features = Features.count([["10 000", "times"], ["so"]], suffixes=[], shape=False)
    assert features.encode(["10 000", "20 000"])[:, 0].tolist() == [3, 0]


def test_numbers_of_tokens_are_no_words(tmp_path, capsys):
    path = written(tmp_path, "1\tdo\tAUX\n2\tn't\tPART\n\n1\tgo\tVERB\n\n" * 2)
    with pytest.raises(ValueError, match=r"column 0 holds the numbers .* columns=\(1, \.\.\.\)"):
        load_tagged(path, (0, 2))
    assert main(["train", "tagger", str(path), "--label-column", "2"]) == 2
    assert "--word-column 1" in capsys.readouterr().err
    digits = written(tmp_path, "1\tNUM\n2\tNUM\n\ncat\tNOUN\n")  # one sentence that counts
    assert load_tagged(digits)[0] == [["1", "2"], ["cat"]]


@pytest.mark.parametrize(
    ("text", "name", "refused"),
    [
        ("sentiment,text\npos,good\nneg,bad\n", "a.csv", True),
        ("label\tsentence\n1\tgood\n0\tbad\n", "a.tsv", True),
        ("text,is\ntext,good\n", "a.csv", False),  # the label occurs again
        ("pos,text\npos,good\n", "a.csv", False),
        ("pos,good one\nneg,bad\n", "a.csv", False),
    ],
)
def test_names_of_columns_are_no_example(tmp_path, text, name, refused):
    path = written(tmp_path, text, name)
    if refused:
        with pytest.raises(ValueError, match="looks like the names of the columns; write header="):
            load_labelled(path)
    else:
        assert len(load_labelled(path)[0]) == 2
    assert len(load_labelled(path, header=False)[0]) == text.count("\n")
    assert len(load_labelled(path, header=True)[0]) == text.count("\n") - 1


def test_columns_that_are_not_there_are_named(tmp_path):
    path = written(tmp_path, "review,opinion\ngood,pos\n", "a.csv")
    with pytest.raises(ValueError, match="no column 'label'; its first line names 'review', 'opi"):
        load_labelled(path, "label", "review")
    assert load_labelled(path, "Opinion", "REVIEW") == (["good"], ["pos"])
    path = written(tmp_path, "1\ta\tX\n", "a.conllu")
    with pytest.raises(ValueError, match="no column 'TAG'; it has ID, FORM, LEMMA"):
        load_tagged(path, ("FORM", "TAG"))


SAMPLES = {
    "cp1252": ["Ein schöner Tag, über Größe und Maß", "L'été où j'étais à la mer", "El niño comió"],
    "cp1251": [
        "Мама мыла раму, и всё было хорошо",
        "Хороший фильм, очень понравился",
        "мама мыла раму",
    ],
    "koi8-r": ["Мама мыла раму, и всё было хорошо", "Хороший фильм, очень понравился"],
    "shift_jis": ["これは良い映画です。とても面白かった。"],
    "euc_jp": ["これは良い映画です。とても面白かった。"],
    "cp949": ["이 영화는 정말 재미있었다. 좋은 영화입니다."],
    "gb18030": ["这部电影非常好看,我很喜欢。他说今天天气很好"],
    "big5": ["這部電影非常好看,我很喜歡。他說今天天氣很好"],
    "utf-16": ["any text at all"],
    "utf-16-le": ["any text at all"],
    "utf-16-be": ["any text at all"],
}


@pytest.mark.parametrize("encoding", SAMPLES)
def test_the_encoding_is_guessed(tmp_path, encoding, capsys):
    for text in SAMPLES[encoding]:
        data = text.encode(encoding)
        assert guess_encoding(data).replace("-", "_") == encoding.replace("-", "_")
        if encoding.startswith("utf"):
            continue
        path = written(tmp_path, text, "a.txt", encoding)
        with pytest.raises(ValueError, match="not utf-8 text at byte") as raised:
            load_text(path)
        assert f"encoding={guess_encoding(data)!r}" in str(raised.value)
        assert load_text(path, guess_encoding(data)) == text
    path = written(tmp_path, SAMPLES[encoding][0], "b.txt", encoding)
    if not encoding.startswith("utf"):
        assert main(["train", "lm", str(path)]) == 2
        assert f"--encoding {guess_encoding(path.read_bytes())}" in capsys.readouterr().err


def test_standard_input_is_named_and_no_temporary_file(tmp_path, monkeypatch, capsys):
    corpus = Corpus.labelled(TEXTS, LABELS, rng=0)
    path = tmp_path / "m.npz"
    save_model(path, classifier(corpus), vocabulary=corpus.vocabulary, labels=corpus.labels)
    stream = types.SimpleNamespace(buffer=io.BytesIO(b"caf\xe9\n"))
    monkeypatch.setattr(sys, "stdin", stream)
    assert main(["predict", str(path)]) == 2
    assert capsys.readouterr().err.startswith("unspool: standard input: not utf-8 text at byte 3")
