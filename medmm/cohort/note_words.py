"""Whether notes tell of the label by naming it, by a single word, or by their words together.

Letters: S studies.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from medmm.cohort.association import LEAST_PATIENTS, Association, of_features, of_number
from medmm.cohort.leakage import Check, Finding, judged
from medmm.types import Array

WORD = r"(?u)[^\W\d_]{2,}|\d+"

LEAST_LETTERS = 4
"""Of a class whose name is looked for within words: a shorter one stands in many."""

HYPHEN = r"(?:[-\u00ad\u2010]\s*)?"
"""What may stand between two letters of a word, at the end of a line too."""

CHANCE = 0.05
"""Of a false alarm, at most: how often a class that is named by chance alone would be called a leak."""


def told_by_notes(
    name: str,
    notes: Sequence[str],
    label: Array,
    patient: Array,
    class_name: str,
    synonyms: Sequence[str],
    limits: Mapping[Check, float],
    classes: int = 1,
) -> Iterator[Finding]:
    """Hold the notes of one input against one class.

    Args:
        name: Of the input.
        notes: (S,) "" where absent.
        label: (S,) of 0 and 1.
        patient: (S,) whole numbers.
        class_name: The class.
        synonyms: Other words for it.
        limits: Check -> the low end from which on it leaks.
        classes: How many are held against the notes, over all of which a false alarm stays rare.
    """
    given = np.array([bool(note) for note in notes])
    if not given.any():
        return
    texts, label, patient = [note for note in notes if note], label[given], patient[given]
    named = np.array([names(text, class_name, synonyms) for text in texts])
    if named.any():
        yield _own_words(f"{name}.own_words", named, label, patient, class_name, CHANCE / classes)
    elif not _letters(class_name) and not synonyms:
        yield Finding(
            "own words", f"{name}.own_words", "a class without a name: give leakage.words", False, class_name, judged=False
        )
    for check, told, association in _words(name, texts, label, patient):
        yield judged(check, told, class_name, association, limits[check])


def names(note: str, class_name: str, synonyms: Sequence[str] = ()) -> bool:
    """Tell whether a note names a class, however it is spelled: COVID-19, Co-Vid for covid19; or a synonym as a word.

    A long name may stand within a word, as pneumonia in bronchopneumonia; a short one, such as PE, is a word of its own.
    """
    parts = _letters(class_name)
    if parts:
        spelled = r"[\W\d_]*".join(HYPHEN.join(part) for part in parts)
        whole = r"(?<![^\W\d_]){}(?![^\W\d_])" if sum(map(len, parts)) < LEAST_LETTERS else "{}"
        if re.search(whole.format(spelled), note, re.IGNORECASE):
            return True
    return any(re.search(rf"\b{re.escape(word)}\b", note, re.IGNORECASE) for word in synonyms)


def _own_words(name: str, named: Array, label: Array, patient: Array, class_name: str, least: float) -> Finding:
    """Ask whether patients with the class are named it more often than those without (Fisher's exact test)."""
    from scipy.stats import fisher_exact

    having = set(patient[label == 1])
    others = set(patient) - having
    with_it, without = len(set(patient[named & (label == 1)])), len(set(patient[named]) - having)
    table = np.array([[with_it, len(having) - with_it], [without, len(others) - without]])
    chance = float(fisher_exact(table, alternative="greater").pvalue)
    found = f"named for {with_it} of {len(having)} patients with it, {without} of {len(others)} without"
    return Finding("own words", name, found, chance < least, class_name)


def _words(name: str, texts: Sequence[str], label: Array, patient: Array) -> Iterator[tuple[Check, str, Association | None]]:
    from sklearn.feature_extraction.text import CountVectorizer

    vectorizer = CountVectorizer(token_pattern=WORD, binary=True)
    try:
        holds = vectorizer.fit_transform(texts)  # (S, words)
    except ValueError:  # no note has a word
        return
    yield "all words", f"{name}.all_words", of_features(holds, label, patient)
    common = [i for i, count in enumerate(_patients(holds, patient)) if count >= LEAST_PATIENTS]  # rarer ones may be names
    words = vectorizer.get_feature_names_out()[common]
    if len(words) and 0 < label.sum() < len(label):
        share = [np.asarray(holds[label == side][:, common].mean(axis=0)).ravel() for side in (0, 1)]
        best = int(np.abs(share[1] - share[0]).argmax())
        found = of_number(holds[:, [common[best]]].toarray().ravel().astype(float), label, patient, len(words))
        yield "one word", f"{name}.{words[best]}", found


def _patients(holds: Array, patient: Array) -> Array:
    """Count the patients in whose notes each word stands."""
    from scipy.sparse import coo_array

    studies, words = holds.nonzero()
    _, number = np.unique(patient, return_inverse=True)
    pairs = coo_array((np.ones(len(studies)), (number[studies], words)), shape=(number.max() + 1, holds.shape[1])).tocsr()
    return np.asarray((pairs > 0).sum(axis=0)).ravel()


def _letters(text: str) -> list[str]:
    """Give the runs of letters."""
    return re.findall(r"[^\W\d_]+", text)
