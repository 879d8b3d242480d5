"""What a clinical researcher would try first on one input: the rivals that a network has to beat.

They need no validation studies, so they learn from these too. They are compared with, never packaged.

Sources: Friedman 2001, Greedy function approximation, and Ke et al. 2017, LightGBM, for the boosting by histograms;
Joachims 1998, Text categorization with support vector machines, for linear models of words.
"""

from collections.abc import Callable, Sequence

import numpy as np

from medmm.dataset.cache import PreparedInput
from medmm.inputs.base import Input
from medmm.inputs.tabular import TabularInput
from medmm.inputs.text import TextInput
from medmm.types import Array, Study, Task

RIVALLED: tuple[Task, ...] = ("binary", "multiclass", "multilabel", "ordinal", "regression")
"""Tasks that have a classical rival here."""

BASELINES = {"tabular": "boosting", "text": "TF-IDF"}
"""Kind of input -> its classical rival: gradient boosting; TF-IDF of words and pairs of words with a linear model."""

MOST_CATEGORIES = 255  # that scikit-learn's boosting tells apart; a column of more is taken for a number

RIDGES = (0.1, 1.0, 10.0, 100.0)
"""Of which leave-one-out chooses the penalty of a linear model of values."""

WORDS = {"ngram_range": (1, 2), "sublinear_tf": True, "min_df": 2}


def baseline(
    one: Input[object],
    studies: Sequence[Study],
    prepared: PreparedInput,
    target: Array,
    learn: Sequence[int],
    judge: Sequence[int],
    task: Task,
    seed: int,
) -> Array:
    """Train the classical rival of one input and let it speak.

    Args:
        one: A tabular or text input, fitted.
        studies: All of them.
        prepared: The input of all of them.
        target: (S, T) of all of them.
        learn: Indices of the training and validation studies that have the input.
        judge: Indices of the studies to speak of, all of which have it.
        task: One of `RIVALLED`.
        seed: Of the boosting.

    Returns:
        (len(judge), C) answers.
    """
    if isinstance(one, TabularInput):
        x, categorical = _cells(prepared, [*learn, *judge])
        known, asked = x[: len(learn)], x[len(learn) :]
        return _boosted(known, asked, target[list(learn)], task, categorical, seed)
    assert isinstance(one, TextInput)
    notes = [one.read(studies[i].evidence[one.name]) for i in [*learn, *judge]]
    return _worded(notes[: len(learn)], notes[len(learn) :], target[list(learn)], task)


def _boosted(known: Array, asked: Array, target: Array, task: Task, categorical: Array, seed: int) -> Array:
    from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor

    filled = np.isfinite(known).any(0)  # a column that no study of the training has is none
    known, asked, categorical = known[:, filled], asked[:, filled], categorical[filled]

    if task == "regression":
        values = HistGradientBoostingRegressor(categorical_features=categorical, random_state=seed)
        return np.asarray(values.fit(known, target[:, 0]).predict(asked))[:, np.newaxis]

    def say(labels: Array) -> Array:
        model = HistGradientBoostingClassifier(categorical_features=categorical, random_state=seed)
        return np.asarray(model.fit(known, labels).predict_proba(asked))

    return _by_task(say, target, task, len(asked))


def _worded(known: Sequence[str], asked: Sequence[str], target: Array, task: Task) -> Array:
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression, RidgeCV

    words = TfidfVectorizer(**WORDS)
    try:
        learned = words.fit_transform(known)
    except ValueError:  # no word stands in two notes
        return np.repeat(target.mean(0, keepdims=True), len(asked), axis=0)
    told = words.transform(asked)
    if task == "regression":
        return np.asarray(RidgeCV(RIDGES).fit(learned, target[:, 0]).predict(told))[:, np.newaxis]

    def say(labels: Array) -> Array:
        return np.asarray(LogisticRegression(max_iter=2000).fit(learned, labels).predict_proba(told))

    return _by_task(say, target, task, len(asked))


def _by_task(say: Callable[[Array], Array], target: Array, task: Task, asked: int) -> Array:
    """Ask once for all classes, or column by column; (asked, C). What has one answer only is not asked."""
    if task == "multiclass":
        labels = target.argmax(1)
        classes = np.unique(labels)
        said = np.zeros((asked, target.shape[1]))  # a class that none of the studies has gets nothing
        said[:, classes] = say(labels) if len(classes) > 1 else 1.0
        return said
    columns = []
    for labels in target.T:
        constant = labels.min() == labels.max()
        columns.append(np.full(asked, labels[0]) if constant else say(labels)[:, 1])
    said = np.stack(columns, axis=1)
    return np.minimum.accumulate(said, axis=1) if task == "ordinal" else said  # no grade is likelier than a lower one


def _cells(prepared: PreparedInput, rows: Sequence[int]) -> tuple[Array, Array]:
    """Give (S, F + G) cells, missing ones NaN, and which columns are categories."""
    found = [prepared.fields(i) for i in rows]
    fields = [one for one in found if one is not None]
    assert len(fields) == len(rows)
    number = np.stack([np.where(one["known"] > 0, one["number"], np.nan) for one in fields]).astype(np.float64)
    category = np.stack([np.where(one["category"] > 0, one["category"], np.nan) for one in fields]).astype(np.float64)
    few = np.array([codes < MOST_CATEGORIES for codes in np.nan_to_num(category).max(0)], bool)
    return np.concatenate([number, category], axis=1), np.concatenate([np.zeros(number.shape[1], bool), few])
