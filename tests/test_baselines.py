"""The classical rivals: what they learn from, and cohorts in which a column or a class is missing."""

from collections.abc import Sequence

import numpy as np
import pytest
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression

from medmm.baselines import baseline
from medmm.dataset.cache import PreparedInput
from medmm.inputs.base import Input
from medmm.inputs.tabular import TabularSettings
from medmm.inputs.text import TextSettings
from medmm.types import Array, Evidence, Study

RNG = np.random.default_rng(0)
LEARN, JUDGE = range(80), range(80, 120)


def table(rows: Sequence[dict[str, str]]) -> tuple[Input[object], PreparedInput]:
    settings = {"table": "x", "numeric": {"a": {}, "b": {}}, "categorical": ["c"]}
    one = TabularSettings.model_validate(settings).open("labs").fit((str(i), row) for i, row in enumerate(rows))
    fields = [one.prepare(row) for row in rows]
    shard = {name: np.stack([field[name] for field in fields]) for name in fields[0]}
    place = np.stack([np.zeros(len(rows), int), np.arange(len(rows))], axis=1)
    return one, PreparedInput(place, (shard,), {}, [])


def rows_of(b: Sequence[str]) -> list[dict[str, str]]:
    return [{"a": f"{RNG.normal():.3f}", "b": cell, "c": "xy"[i % 2]} for i, cell in enumerate(b)]


def test_boosting_is_that_of_scikit_learn_on_the_prepared_cells() -> None:
    rows = rows_of([f"{i % 7}" if i % 5 else "" for i in range(120)])
    one, prepared = table(rows)
    target = np.array([[float(row["a"]) + (row["b"] == "3") > 0] for row in rows], float)
    said = baseline(one, [], prepared, target, LEARN, JUDGE, "binary", 3)
    shard = prepared.shards[0]
    cells = np.concatenate([np.where(shard["known"] > 0, shard["number"], np.nan), shard["category"]], axis=1)
    model = HistGradientBoostingClassifier(categorical_features=[2], random_state=3).fit(cells[:80], target[:80, 0])
    np.testing.assert_allclose(said[:, 0], model.predict_proba(cells[80:])[:, 1])


def test_a_column_that_no_training_study_has_is_left_out() -> None:
    one, prepared = table(rows_of(["" if i < 80 else "1" for i in range(120)]))
    target = (RNG.random((120, 1)) < 0.5).astype(float)
    assert np.isfinite(baseline(one, [], prepared, target, LEARN, JUDGE, "binary", 0)).all()


def test_a_class_that_no_training_study_has_gets_nothing() -> None:
    one, prepared = table(rows_of(["1"] * 120))
    target = np.eye(3)[[i % 2 for i in range(80)] + [2] * 40]
    said = baseline(one, [], prepared, target, LEARN, JUDGE, "multiclass", 0)
    assert said.shape == (40, 3)
    assert not said[:, 2].any()
    np.testing.assert_allclose(said.sum(1), 1)


@pytest.mark.parametrize("constant", [0.0, 1.0])
def test_a_label_with_one_answer_is_not_learned(constant: float) -> None:
    one, prepared = table(rows_of(["1"] * 120))
    target = np.stack([np.full(120, constant), RNG.random(120) < 0.5], axis=1).astype(float)
    said = baseline(one, [], prepared, target, LEARN, JUDGE, "multilabel", 0)
    assert (said[:, 0] == constant).all()
    assert 0 < said[:, 1].min() < said[:, 1].max() < 1


def notes(texts: Sequence[str]) -> tuple[Input[object], list[Study]]:
    one = TextSettings.model_validate({"table": "notes.csv", "encoder": "bag_of_words"}).open("history")
    return one, [Study(i + 1, f"p{i}", f"s{i}", evidence={"history": Evidence(text=text)}) for i, text in enumerate(texts)]


def test_words_are_those_of_scikit_learn() -> None:
    target = (RNG.random((120, 1)) < 0.5).astype(float)
    texts = [f"{'fever high' if label else 'fever low'} word{RNG.integers(9)} cough" for label in target[:, 0]]
    one, studies = notes(texts)
    nothing: Array = np.zeros((0, 2))
    said = baseline(one, studies, PreparedInput(nothing, (), {}, []), target, LEARN, JUDGE, "binary", 0)
    words = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True, min_df=2)
    model = LogisticRegression(max_iter=2000).fit(words.fit_transform(texts[:80]), target[:80, 0])
    np.testing.assert_allclose(said[:, 0], model.predict_proba(words.transform(texts[80:]))[:, 1])
    assert ((said[:, 0] > 0.5) == (target[80:, 0] > 0)).all()


def test_notes_without_a_common_word_say_the_prevalence() -> None:
    one, studies = notes([f"w{i}x" for i in range(120)])
    target = np.array([[float(i % 4 == 0)] for i in range(120)])
    said = baseline(one, studies, PreparedInput(np.zeros((0, 2)), (), {}, []), target, LEARN, JUDGE, "binary", 0)
    assert (said == 0.25).all()


def test_values_are_boosted_in_their_unit_and_grades_stay_in_order() -> None:
    rows = rows_of([f"{i % 7}" for i in range(120)])
    one, prepared = table(rows)
    value = np.array([[50 + 10 * float(row["a"])] for row in rows])
    said = baseline(one, [], prepared, value, LEARN, JUDGE, "regression", 3)
    shard = prepared.shards[0]
    cells = np.concatenate([shard["number"], shard["category"]], axis=1)
    model = HistGradientBoostingRegressor(categorical_features=[2], random_state=3).fit(cells[:80], value[:80, 0])
    np.testing.assert_allclose(said[:, 0], model.predict(cells[80:]))
    grade = (np.digitize(value + RNG.normal(scale=8, size=value.shape), [45, 55]) > np.arange(2)).astype(float)
    steps = np.diff(baseline(one, [], prepared, grade, LEARN, JUDGE, "ordinal", 3), axis=1)
    assert (steps <= 0).all()


def test_notes_tell_of_a_value_by_a_ridge_over_their_words() -> None:
    texts = [f"{word} {other}" for word, other in zip(["mild", "severe"] * 60, ["left", "right", "both"] * 40, strict=True)]
    one, studies = notes(texts)
    value = np.array([[20.0 + 30 * ("severe" in text)] for text in texts])
    said = baseline(one, studies, PreparedInput(np.empty((0, 2)), (), {}, []), value, LEARN, JUDGE, "regression", 0)
    np.testing.assert_allclose(said, value[80:], atol=1)
