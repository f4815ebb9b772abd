"""The exercises of the notebooks: right answers pass, and each known mistake is named."""

from __future__ import annotations

import itertools
import sys

import numpy as np
import pytest

from unspool import exercises
from unspool.cells import LSTM
from unspool.exercises import check, given, grading, hint, progress, solution
from unspool.exercises.answers import Faulty, compare, named_results
from unspool.exercises.exercise import digest, edited
from unspool.exercises.kinds import CellClass, Choice, Conditions, Function, Value

ALL = exercises.exercises()
each = pytest.mark.parametrize("exercise", ALL.values(), ids=ALL)


def handed_in(exercise, made, material):
    """What a student would hand in for a solution or a wrong one: a value, not what computes it."""
    return made(*material) if isinstance(exercise, (Value, Conditions)) else made


def drawn(exercise, seed):
    return exercise.given(np.random.default_rng(seed)) if exercise.given else ()


def right(exercise, material):
    if isinstance(exercise, Choice):
        return exercise.solved()
    return handed_in(exercise, exercise.solution, material)


def wrong(exercise, material):
    """The sentence that ``check`` has to say, and the wrong answer."""
    if isinstance(exercise, Choice):
        answer = exercise.solved()
        for option, sentence in exercise.options.items():
            if isinstance(answer, list):
                if option != answer[0]:
                    yield sentence, [option, *answer[1:]]
            elif option != answer:
                yield sentence, option
        return
    for sentence, made in exercise.planted.items():
        yield sentence, handed_in(exercise, made, material)


# Every exercise ---------------------------------------------------------------------------------


@each
def test_an_exercise_is_whole(exercise):
    assert exercise in file_of(exercise).EXERCISES
    assert len(set(exercise.hints)) == 3
    assert all(text.strip()[-1] in ".?!" for text in exercise.question.splitlines())
    assert exercise.title


def file_of(exercise):
    """The module of its notebook."""
    prefix = f"unspool.exercises.n{exercise.id[:2]}_"
    [module] = [module for name, module in sys.modules.items() if name.startswith(prefix)]
    return module


@each
def test_the_right_answer_passes_with_every_seed(exercise):
    material = drawn(exercise, 0)
    answer = right(exercise, material)
    for seed in range(20):
        if exercise.given:
            material = drawn(exercise, seed)
            answer = right(exercise, material)
        shown = exercise.check(answer, np.random.default_rng(seed), material)
        assert shown.passed is True, f"{seed}: {shown}"


@each
def test_the_solution_that_is_shown_passes(exercise):
    code = solution(exercise.id).code
    if isinstance(exercise, Choice):
        assert repr(exercise.solved()) in code
        return
    names = dict(vars(file_of(exercise)))
    exec(compile(code, "<shown>", "exec"), names)
    material = drawn(exercise, 1)
    answer = handed_in(exercise, names[exercise.solution.__name__], material)
    assert exercise.check(answer, np.random.default_rng(1), material)


@each
@pytest.mark.parametrize("seed", range(3))
def test_each_known_mistake_is_named(exercise, seed):
    material = drawn(exercise, seed)
    named = 0
    for sentence, answer in wrong(exercise, material):
        shown = exercise.check(answer, np.random.default_rng(seed), material)
        if exercise.given and shown:  # one of several possible answers, and right this time
            continue
        assert shown.passed is False
        assert sentence in str(shown)
        named += 1
    assert named >= (2 if exercise.given else 3)


@each
def test_no_two_mistakes_give_the_same_numbers(exercise):
    if isinstance(exercise, (Choice, Conditions)):
        return
    rng = np.random.default_rng(0)
    material = drawn(exercise, 0)
    *_, (_, inputs) = exercise.trials(rng, material)
    results = {}
    for sentence, answer in [*exercise.planted.items(), ("right", exercise.solution)]:
        results[sentence] = exercise.results(answer, inputs)
    for (a, one), (b, other) in itertools.combinations(results.items(), 2):
        if exercise.given and "right" in (a, b):
            continue
        try:
            assert compare(one, other, exercise.tolerance), f"{a!r} and {b!r}"
        except Faulty:
            continue  # of another shape


def blank_function(*args):
    raise NotImplementedError


@each
def test_a_blank_answer_gets_a_hint(exercise):
    blanks = [None, ..., ""]
    if isinstance(exercise, Function):
        blanks += [blank_function, lambda *args: None, lambda *args: ...]
    if isinstance(exercise, CellClass):
        for forward in (blank_function, lambda self, x, state: None):
            blanks.append(type("Mine", (exercise.solution,), {"forward": forward}))
    for blank in blanks:
        shown = exercise.check(blank, np.random.default_rng(), drawn(exercise, 0))
        assert shown.passed is False
        assert "Not answered yet" in str(shown)
        assert exercise.hints[0] in str(shown)


@each
def test_an_answer_of_another_type_is_told_what_was_expected(exercise):
    answers = [object(), {"a": 1}]
    if isinstance(exercise, (Function, CellClass)):
        answers += [3.5, int]
    for answer in answers:
        shown = exercise.check(answer, np.random.default_rng(), drawn(exercise, 0))
        assert shown.passed is False
        assert shown.sentences == () or all("\n" not in s for s in shown.sentences)
        if not isinstance(exercise, Conditions):
            assert "xpected" in str(shown)


def dividing(*args):
    return 1 / 0


@each
def test_an_error_in_an_answer_is_one_line(exercise):
    if isinstance(exercise, Function):
        answer = dividing
    elif isinstance(exercise, CellClass):
        answer = type("Mine", (exercise.solution,), {"forward": dividing})
    else:
        return
    shown = exercise.check(answer, np.random.default_rng())
    line = dividing.__code__.co_firstlineno + 1
    assert shown.sentences == (
        f"Your code raises ZeroDivisionError in line {line}, return 1 / 0: division by zero",
    )


@each
def test_hints_come_in_three_levels(exercise, monkeypatch):
    monkeypatch.setattr("unspool.exercises.session.HINTED", type(exercises.session.HINTED)())
    told = [hint(exercise.id).sentences[0] for _ in range(4)]
    assert told == [*exercise.hints, exercise.hints[2]]


@each
def test_grading_raises_what_is_shown_otherwise(exercise):
    shown = check(exercise.id)
    grading()
    try:
        with pytest.raises(AssertionError) as raised:
            check(exercise.id)
        assert str(raised.value) == str(shown)
    finally:
        grading(False)


# The machinery ------------------------------------------------------------------------------------


def step(h, W, U):
    a = np.tanh(h @ W)
    return a, a @ U


STEP = Function(
    id="99.step",
    title="A step",
    question="Write it.",
    hints=("one", "two", "three"),
    solution=step,
    inputs=lambda rng: tuple(rng.normal(size=shape) for shape in ((5, 4), (4, 3), (3, 2))),
    cases={"U at 0": lambda h, W, U: (h, W, 0 * U)},
    names=("a", "b"),
    mistakes={"No tanh.": ("np.tanh(h @ W)", "h @ W")},
)


def said(answer, exercise=STEP):
    return exercise.check(answer, np.random.default_rng(0)).sentences


def test_terms_are_isolated_before_all_is_compared():
    first, *rest = said(lambda h, W, U: (np.tanh(h @ W) + 1, np.tanh(h @ W) @ U))
    assert first.startswith("With U at 0: a[0, 0] is ")
    first, *rest = said(lambda h, W, U: (np.tanh(h @ W), 2 * np.tanh(h @ W) @ U))
    assert first.startswith("b[0, 0] is ")
    assert rest == []


def test_shapes_and_parts_are_told():
    assert said(lambda h, W, U: h) == ("Expected a tuple (a, b), got an array (5, 4) float64.",)
    assert said(lambda h, W, U: [np.tanh(h @ W), np.tanh(h @ W) @ U]) == ()  # a list will do
    assert said(lambda h, W, U: (np.tanh(h @ W).T, h)) == (
        "Expected the shape (5, 3) for a, got (3, 5); it is transposed.",
    )
    assert said(lambda h, W, U: ("a", "b"))[0].startswith("Expected numbers for a, got 'a'")
    one = {"the result": 1.0}
    with pytest.raises(Faulty, match="Expected one result, got 2"):
        compare(named_results((1.0, 2.0)), one, 1e-5)


def test_a_value_that_is_asked_for_is_not_told():
    value = Value(
        id="99.value", title="A value", question="Which?", hints=("1", "2", "3"), solution=lambda: 7
    )
    assert said(3, value) == ("the result is 3, which is not right.",)
    assert said(7, value) == ()


def test_an_overflow_is_a_number_and_no_warning():
    first, *_ = said(lambda h, W, U: (np.exp(1000 + h @ W), h @ W @ U))
    assert first.startswith("With U at 0: a[0, 0] is inf, expected ")


def test_a_known_mistake_of_shape_is_named():
    wide = Function(
        id="99.wide",
        title="Wide",
        question="Write it.",
        hints=("one", "two", "three"),
        solution=step,
        inputs=STEP.inputs,
        names=("a", "b"),
        mistakes={"No U.": (", a @ U", ", a")},
    )
    assert said(lambda h, W, U: (np.tanh(h @ W), np.tanh(h @ W)), wide) == (
        "Expected the shape (5, 2) for b, got (5, 3).",
        "No U.",
    )


def test_equations_stand_beside_each_other_in_the_letters_of_the_answer():
    def mine(h, W, U):
        a = np.tanh(h @ W)
        return a, a @ U @ U.T @ U

    assert STEP.check(mine, np.random.default_rng(0)).table == [
        ("your equations", "", "expected"),
        ("a = tanh(h W)", "", "a = tanh(h W)"),
        ("b = a U Uᵀ U", "≠", "b = a U"),
    ]


def test_a_cell_is_told_of_its_parameters():
    class NoBias(LSTM):
        def __init__(self, d_in, d_h):
            super().__init__(d_in, d_h, bias=False)

    class Wide(LSTM):
        def __init__(self, d_in, d_h):
            super().__init__(d_in + 1, d_h)

    lstm = ALL["05.lstm"]
    assert "no Parameter b_f; it needs W_f" in said(NoBias, lstm)[0]
    assert said(Wide, lstm) == ("Expected W_f of (3, 4) for d_in = 3, d_h = 4, got (4, 4).",)
    assert "write LSTM without ()" in said(LSTM(3, 4), lstm)[0]
    assert said(LSTM, lstm) == ()


CHOICE = Choice(
    id="99.choice",
    title="Which?",
    question="Which?",
    hints=("one", "two", "three"),
    options={"Many to one": "One answer is too few.", "many to many": "Too many."},
    right=(digest("99.choice", "many to many"), digest("99.choice", "MANY  to one")),
    because="so it is.",
)


def test_a_choice_is_kept_as_a_hash_and_read_without_case():
    assert said(["many to MANY", "many  to one "], CHOICE) == ()
    assert said(["many to one", "many to one"], CHOICE) == ("Answer 1: One answer is too few.",)
    assert said(["many to one"], CHOICE) == ("Expected a list of 2, got a list of 1.",)
    assert said(["none", "x"], CHOICE)[0].startswith(
        "Expected one of 'Many to one', 'many to many'"
    )
    assert CHOICE.solution_text() == "['many to many', 'Many to one']: so it is."
    assert digest("99.other", "many to one") != digest("99.choice", "many to one")


def test_results_keep_their_names():
    assert list(named_results((1, 2))) == ["part 1", "part 2"]
    assert list(named_results({"h": 1})) == ["h"]
    assert named_results("  A  b ") == {"the result": "a b"}
    assert compare({"x": np.array([1, np.nan])}, {"x": np.array([1, np.nan])}, 1e-5) is None
    assert compare({"x": ["a", "b"]}, {"x": ["a", "c"]}, 1e-5) == "x[1] is b, expected c."


def test_an_edit_that_finds_nothing_raises():
    with pytest.raises(ValueError, match="step: no 'sin' in its source"):
        edited(step, ("sin", "cos"))


def test_an_unknown_id_names_its_neighbours():
    with pytest.raises(ValueError, match=r"no exercise '05.lsmt'; did you mean '05.lstm'"):
        check("05.lsmt")
    with pytest.raises(ValueError, match="no material of its own"):
        given("05.lstm")


def test_the_same_number_gives_the_same_material():
    (a, _), (b, _), (c, _) = (given("05.swapped", n) for n in (1, 1, 2))
    np.testing.assert_array_equal(a.W_f.data, b.W_f.data)
    assert not np.array_equal(a.W_f.data, c.W_f.data)


def test_progress_counts():
    before = str(progress())
    check("05.lstm", LSTM)
    check("05.gru")
    shown = progress()
    assert "✓ passed" in str(shown)
    assert "05.coupled" in str(shown)
    assert str(shown) != before
    assert "<pre" in shown._repr_html_()


def test_a_verdict_is_escaped_in_a_notebook():
    def mine(h, W, U):
        raise ValueError("<b>")

    html = STEP.check(mine, np.random.default_rng())._repr_html_()
    assert "&lt;b&gt;" in html
    assert "<b>" not in html
