"""Notes that are nearly the same: one report copied to another patient, or sent twice with a word changed.

A text that many patients have, word by word or nearly so, is a template, such as that of a normal finding, and tells of no
copy.

Source: Broder, On the resemblance and containment of documents (1997), for shingles and MinHash.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
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
    for studies in _groups(texts, by_few):
        yield from ((one, other) for one, other in combinations(sorted(studies), 2) if sides[one] != sides[other])


def _shingles(note: str) -> frozenset[str]:
    """Give every run of three words."""
    words = re.findall(r"\w+", note.casefold())
    return frozenset(" ".join(words[i : i + SHINGLE_WORDS]) for i in range(len(words) - SHINGLE_WORDS + 1))


def _groups(texts: Mapping[frozenset[str], list[int]], by_few: Callable[[Sequence[int]], bool]) -> Iterator[list[int]]:
    """Give the studies of near texts together, where they are of few patients; a chain of near texts leads from each to each.

    A text that comes to a group of many patients is not looked for again: a template costs no more than its first texts.
    """
    from datasketch import MinHash, MinHashLSH

    index = MinHashLSH(threshold=FIRST_LIKENESS, num_perm=PERMUTATIONS)
    known: list[frozenset[str]] = []
    group_of: list[int] = []
    groups: dict[int, list[int]] = {}
    for text, studies in texts.items():
        sketch = MinHash(num_perm=PERMUTATIONS)
        sketch.update_batch([shingle.encode() for shingle in text])
        near = {group_of[other] for other in index.query(sketch) if _likeness(text, known[other]) >= LIKENESS}
        template = any(not by_few(groups[group]) for group in near)
        group = len(known)
        groups[group] = studies + [study for one in near for study in groups.pop(one)]
        group_of = [group if one in near else one for one in group_of] if near else group_of
        group_of.append(group)
        known.append(text)
        if not template:
            index.insert(len(known) - 1, sketch)
    yield from (studies for studies in groups.values() if by_few(studies))


def _likeness(one: frozenset[str], other: frozenset[str]) -> float:
    return len(one & other) / len(one | other)
