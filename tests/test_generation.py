"""New texts: draws against their definition, beams against all texts there are."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

from unspool.cells import GRU, LSTM, Elman
from unspool.models import Hypothesis, LanguageModel, next_distribution


def sharp(**options) -> LanguageModel:
    """A model with opinions: its distributions are far from even."""
    model = LanguageModel(**{"vocab_size": 4, "d": 5, "rng": 0, "dtype": np.float64, **options})
    rng = np.random.default_rng(options.get("rng", 0))
    for p in model.parameters():
        p.data += rng.normal(0, 0.8, p.shape)
    return model


# The nucleus ------------------------------------------------------------------------------------


def nucleus(p: np.ndarray, top_p: float) -> set[int]:
    """By the definition: of all sets of tokens with this probability, the smallest; of equally
    small ones the most probable."""
    sets = (
        chosen
        for size in range(1, len(p) + 1)
        for chosen in itertools.combinations(range(len(p)), size)
        if p[list(chosen)].sum() >= top_p - 1e-12
    )
    return set(min(sets, key=lambda chosen: (len(chosen), -p[list(chosen)].sum())))


@pytest.mark.parametrize("top_p", [0.01, 0.3, 0.5, 0.77, 0.95, 0.999, 1.0])
def test_the_nucleus_is_the_smallest_set_with_this_probability(top_p):
    for seed in range(5):
        logits = np.random.default_rng(seed).normal(0, 1.5, 8)
        p = np.exp(logits) / np.exp(logits).sum()
        kept = next_distribution(logits, top_p=top_p)
        chosen = sorted(nucleus(p, top_p))
        assert np.flatnonzero(kept).tolist() == chosen
        np.testing.assert_allclose(kept[chosen], p[chosen] / p[chosen].sum(), rtol=1e-13)


def test_of_equal_tokens_the_lower_ids_are_in_the_nucleus():
    assert next_distribution(np.zeros(4), top_p=0.5).tolist() == [0.5, 0.5, 0, 0]
    assert next_distribution(np.zeros(4), top_p=0.51).round(3).tolist() == [0.333] * 3 + [0]
    assert (next_distribution(np.zeros(1000), top_p=1) == 1 / 1000).all()


def test_the_nucleus_comes_after_temperature_and_top_k():
    logits = np.log([0.4, 0.3, 0.2, 0.1])
    # Squared and normed: 16, 9, 4, 1 of 30. Of three: 16, 9, 4 of 29.
    assert np.flatnonzero(next_distribution(logits, 0.5, top_p=0.83)).tolist() == [0, 1]
    assert np.flatnonzero(next_distribution(logits, 0.5, top_p=0.84)).tolist() == [0, 1, 2]
    assert np.flatnonzero(next_distribution(logits, 0.5, 3, top_p=0.86)).tolist() == [0, 1]
    assert np.flatnonzero(next_distribution(logits, exclude=[0], top_p=0.49)).tolist() == [1]
    assert next_distribution(logits, 0, top_p=0.9).tolist() == [1, 0, 0, 0]


def test_rows_have_a_nucleus_each():
    logits = np.log([[0.7, 0.2, 0.1], [0.1, 0.5, 0.4]])
    kept = next_distribution(logits, top_p=0.6)
    assert (kept > 0).tolist() == [[True, False, False], [False, True, True]]
    np.testing.assert_array_equal(kept[1], next_distribution(logits[1], top_p=0.6))


def test_draws_come_from_the_nucleus_in_its_proportions():
    model = sharp(vocab_size=6)
    logits = model.logits([1, 3]).data[-1]
    p = next_distribution(logits, top_p=0.8)
    assert 1 < np.count_nonzero(p) < 6
    drawn = model.generate(np.tile([1, 3], (20_000, 1)), 1, rng=0, top_p=0.8)[:, 0]
    counts = np.bincount(drawn, minlength=6) / 20_000
    assert set(np.flatnonzero(counts)) == set(np.flatnonzero(p))
    np.testing.assert_allclose(counts, p, atol=4 * math.sqrt(0.25 / 20_000))
    greedy = model.generate([1, 3], 12, temperature=0)
    np.testing.assert_array_equal(model.generate([1, 3], 12, top_p=1e-9, rng=0), greedy)


@pytest.mark.parametrize("top_p", [0, -0.1, 1.1, math.nan])
def test_a_nucleus_needs_a_probability(top_p):
    with pytest.raises(ValueError, match=r"generate: top_p must be a probability > 0"):
        LanguageModel(4, 3, rng=0).generate([1], 2, top_p=top_p)


# Beams ------------------------------------------------------------------------------------------


def every_text(size: int, steps: int, end: int | None) -> list[tuple[int, ...]]:
    """All texts of so many tokens, or fewer that end; ``end`` included."""
    texts = []
    for n in range(1, steps + 1):
        for ids in itertools.product(range(size), repeat=n):
            if end not in ids[:-1] and (n == steps or ids[-1] == end):
                texts.append(ids)
    return texts


@pytest.mark.parametrize("end", [None, 2])
@pytest.mark.parametrize(("cell", "layers"), [(LSTM, 1), (GRU, 2), (Elman, 1)])
def test_a_wide_beam_is_full_enumeration(cell, layers, end):
    model = sharp(cell=cell, layers=layers)
    prompt = [1, 3]

    def log_p(ids):
        given = model.score(prompt).item()
        return model.score([*prompt, *ids]).item() - given

    texts = every_text(4, 4, end)
    scores = {ids: log_p(ids) for ids in texts}
    np.testing.assert_allclose(sum(math.exp(s) for s in scores.values()), 1)
    found = model.beam(prompt, 4, width=1000, end=end)
    assert len(found) == len(texts)
    written = [(*h.ids.tolist(), *[end] * h.finished) for h in found]
    assert set(written) == set(texts)
    np.testing.assert_allclose([h.score for h in found], [scores[ids] for ids in written])
    finished = [h.finished for h in found]
    assert finished == sorted(finished, reverse=True)
    for kind in (True, False):
        ranked = [h.score for h in found if h.finished is kind]
        assert ranked == sorted(ranked, reverse=True)
    # Ranked by the mean log probability of a token.
    means = [
        h.score / (len(h.ids) + h.finished)
        for h in model.beam(prompt, 4, width=1000, end=end, length_penalty=1.0)
    ]
    cut = sum(finished)
    assert means[:cut] == sorted(means[:cut], reverse=True)
    assert means[cut:] == sorted(means[cut:], reverse=True)


def plain_beam(model: LanguageModel, prompt: list[int], steps: int, width: int, end: int | None):
    """A beam by the definition, every text scored from its beginning."""
    going, finished = [()], []
    for _ in range(steps):
        longer = [(*text, i) for text in going for i in range(model.vocab_size)]
        longer.sort(key=lambda ids: -model.score([*prompt, *ids]).item())
        kept = longer[: width - len(finished)]
        finished += [ids for ids in kept if ids[-1] == end]
        going = [ids for ids in kept if ids[-1] != end]
    finished.sort(key=lambda ids: -model.score([*prompt, *ids]).item())
    return finished + going


@pytest.mark.parametrize("end", [None, 0])
def test_a_narrow_beam_against_its_definition(end):
    for seed in range(4):
        model = sharp(rng=seed)
        for width in (2, 3, 5):
            found = model.beam([1, 2], 5, width, end=end)
            expected = plain_beam(model, [1, 2], 5, width, end)
            assert [(*h.ids.tolist(), *[end] * h.finished) for h in found] == expected


def test_a_beam_of_one_is_greedy_and_a_wider_one_is_more_probable():
    model = sharp(vocab_size=9, layers=2)
    prompts = np.array([[1, 4], [3, 8]])
    greedy = model.generate(prompts, 8, temperature=0)
    narrow, wide = model.beam(prompts, 8, 1), model.beam(prompts, 8, 40)
    for row, one, many, prompt in zip(greedy, narrow, wide, prompts, strict=True):
        assert len(one) == 1
        assert isinstance(one[0], Hypothesis)
        np.testing.assert_array_equal(one[0].ids, row)
        assert len(many) == 40
        assert many[0].score >= one[0].score
        assert model.beam(prompt, 8, 1)[0].ids.tolist() == row.tolist()
    assert any(m[0].score > o[0].score for o, m in zip(narrow, wide, strict=True))


def test_a_beam_leaves_out_what_may_not_come_and_keeps_the_probabilities():
    model = sharp(vocab_size=5)
    found = model.beam([1], 3, 200, exclude=[0, 4], end=2)
    assert not any(i in (0, 4) for h in found for i in h.ids.tolist())
    for h in found:
        score = model.score([1, *h.ids, *[2] * h.finished]).item()
        np.testing.assert_allclose(h.score, score)
    # 2; x 2; x y 2; x y z, each of x, y, z one of two.
    assert len(found) == 1 + 2 + 4 + 8


def test_beams_are_without_dropout():
    model = sharp(vocab_size=6, dropout=0.5)
    assert len({tuple(model.beam([1], 6, 2)[0].ids) for _ in range(5)}) == 1
    assert model.training


def test_what_beams_refuse():
    model = LanguageModel(5, 3, rng=0)
    with pytest.raises(ValueError, match=r"beam: the prompt is empty"):
        model.beam([], 3)
    with pytest.raises(ValueError, match=r"id 5 at \[0\] is outside of 0\.\.4"):
        model.beam([5], 3)
    with pytest.raises(ValueError, match=r"beam: steps must be an integer >= 1, got 0"):
        model.beam([1], 0)
    with pytest.raises(ValueError, match=r"beam: width must be an integer >= 1, got 0"):
        model.beam([1], 3, 0)
    with pytest.raises(TypeError, match=r"beam: width must be an integer >= 1, got 2\.0"):
        model.beam([1], 3, 2.0)
    with pytest.raises(ValueError, match=r"beam: end must be an integer from 0 to 4, got 5"):
        model.beam([1], 3, end=5)
    with pytest.raises(ValueError, match="length_penalty must be a number >= 0, got -1"):
        model.beam([1], 3, length_penalty=-1)
    with pytest.raises(ValueError, match="no token is left"):
        model.beam([1], 3, exclude=range(5))
    with pytest.raises(ValueError, match=r"exclude: ids must be from 0 to 4, got 7"):
        model.beam([1], 3, exclude=[7])
    model.V.data[2, 1] = np.nan
    with pytest.raises(ValueError, match="scores are not finite"):
        model.beam([1], 3)
