"""Notes that are nearly the same: one report copied to another patient, or sent twice with a word changed.

A text that many patients have is a template, such as that of a normal finding, and tells of no copy.

Source: Broder, On the resemblance and containment of documents (1997), for shingles and MinHash.
"""

import re
from collections.abc import Iterator, Sequence
from itertools import combinations

from medmm.types import Array

SHINGLE_WORDS = 3
LEAST_SHINGLES = 20
"""Of a note that is looked at: shorter ones are alike by chance."""

LIKENESS = 0.75
"""Shared shingles of all of two notes (Jaccard). A changed word in a note of fifty leaves 0.88, two leave 0.79; notes of two
patients of a synthetic cohort, which are made of few sentences, reach 0.68, those of a real one 0.10."""

FIRST_LIKENESS = 0.6
"""By estimate, for a pair to be looked at more closely."""

PERMUTATIONS = 128

MOST_PATIENTS = 4
"""Of one text; what more of them have is a template."""


def near_notes(notes: Sequence[str], patients: Sequence[object], sides: Array) -> Iterator[tuple[int, int]]:
    """Find pairs of studies on two sides of a split whose notes are nearly the same.

    Args:
        notes: (S,) "" where absent.
        patients: (S,) what tells patients apart.
        sides: (S,) whole numbers that tell sides apart; below zero for none.
    """
    having: dict[frozenset[str], list[int]] = {}
    for index, note in enumerate(notes):
        shingles = _shingles(note)
        if sides[index] >= 0 and len(shingles) >= LEAST_SHINGLES:
            having.setdefault(shingles, []).append(index)

    def by_few(studies: Sequence[int]) -> bool:
        return len({patients[i] for i in studies}) <= MOST_PATIENTS

    texts = {shingles: studies for shingles, studies in having.items() if by_few(studies)}
    for group in _groups(list(texts)):
        studies = sorted(i for shingles in group for i in texts[shingles])
        if by_few(studies):
            yield from ((one, other) for one, other in combinations(studies, 2) if sides[one] != sides[other])


def _shingles(note: str) -> frozenset[str]:
    """Give every run of three words."""
    words = re.findall(r"\w+", note.casefold())
    return frozenset(" ".join(words[i : i + SHINGLE_WORDS]) for i in range(len(words) - SHINGLE_WORDS + 1))


def _groups(texts: Sequence[frozenset[str]]) -> Iterator[list[frozenset[str]]]:
    """Give texts in groups, within which a chain of near texts leads from each to each."""
    import numpy as np
    from datasketch import MinHash, MinHashLSH
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    index = MinHashLSH(threshold=FIRST_LIKENESS, num_perm=PERMUTATIONS)
    near: list[tuple[int, int]] = []
    for number, text in enumerate(texts):
        sketch = MinHash(num_perm=PERMUTATIONS)
        sketch.update_batch([shingle.encode() for shingle in text])
        near += [(number, other) for other in index.query(sketch) if _likeness(text, texts[other]) >= LIKENESS]
        index.insert(number, sketch)
    if texts:
        one, other = np.array(near, dtype=int).reshape(-1, 2).T
        _, group = connected_components(coo_array((np.ones(len(near)), (one, other)), shape=(len(texts), len(texts))), False)
        for members in (np.flatnonzero(group == number) for number in range(group.max() + 1)):
            yield [texts[int(i)] for i in members]


def _likeness(one: frozenset[str], other: frozenset[str]) -> float:
    return len(one & other) / len(one | other)
