"""What goes wrong with notes: slips of the keyboard, and parts that were never written or got lost.

Source:
    Belinkov & Bisk, Synthetic and natural noise both break neural machine translation, ICLR 2018.
"""

import re

import numpy as np

from medmm.readers.note_sections import split_sections

WORD = re.compile(r"[^\W\d_]{3,}")
SENTENCE_END = re.compile(r"(?<=[.!?;])\s+|\n+")
LETTERS = "abcdefghijklmnopqrstuvwxyz"


def typos(note: str, share: float, rng: np.random.Generator) -> str:
    """Put one slip into a share of the words of three letters or more: two letters swapped, one lost, doubled or another.

    Numbers stay: a wrong number is no slip of the tongue of the writer but another finding.
    """
    parts: list[str] = []
    after = 0
    for word in WORD.finditer(note):
        chance, place, kind, letter = rng.random(), rng.random(), int(rng.integers(4)), LETTERS[int(rng.integers(26))]
        parts.append(note[after : word.start()])
        parts.append(_slip(word[0], int(place * (len(word[0]) - 1)), kind, letter) if chance < share else word[0])
        after = word.end()
    return "".join([*parts, note[after:]])


def lost_sections(note: str, share: float, rng: np.random.Generator) -> str:
    """Take a share of the sections out, heading and text; at least one that says something stays."""
    sections = split_sections(note)
    telling = [i for i, one in enumerate(sections) if one.text.strip()]
    if len(telling) < 2:
        return note
    lost = set(rng.permutation(telling)[: min(len(telling) - 1, round(share * len(telling)))].tolist())
    return "".join(one.heading + one.text for i, one in enumerate(sections) if i not in lost)


def lost_sentences(note: str, share: float, rng: np.random.Generator) -> str:
    """Take a share of the sentences and lines out; at least one stays."""
    ends = [found.end() for found in SENTENCE_END.finditer(note)]
    sentences = [note[start:end] for start, end in zip([0, *ends], [*ends, len(note)], strict=True) if note[start:end].strip()]
    if len(sentences) < 2:
        return note
    lost = set(rng.permutation(len(sentences))[: min(len(sentences) - 1, round(share * len(sentences)))].tolist())
    return "".join(sentence for i, sentence in enumerate(sentences) if i not in lost)


def _slip(word: str, place: int, kind: int, letter: str) -> str:
    first, second, rest = word[place], word[place + 1], word[place + 2 :]
    return word[:place] + (second + first, second, first + first + second, letter + second)[kind] + rest
