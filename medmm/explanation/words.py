"""What each word of a note adds to an answer: the note is read again without it.

By default a note is not shown, only the words that add most; what could name a person is withheld. P parts, W words.

Source: Li, Monroe and Jurafsky 2016, Understanding Neural Networks through Representation Erasure.
"""

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
from tokenizers import Tokenizer

from medmm.cohort.studies import CohortSettings
from medmm.explanation.deletion import Deletion, deletion
from medmm.explanation.voice import Voice
from medmm.inputs.text import TextInput
from medmm.settings import Plain
from medmm.types import Array, Evidence, Study

WORD = re.compile(r"\w+(?:[-'.,/:\N{RIGHT SINGLE QUOTATION MARK}]\w+)*")
PART_OF_WORD = re.compile(r"[^\W_]+")

MOST_PARTS = 300
"""A longer note is taken in runs of neighbouring words."""

SHOWN_WORDS = 12
"""Words that are shown of a note that is not."""

STRUCK = "\N{FULL BLOCK}" * 4
"""Stands for a word that may name a person."""

LEAST_NAME = 2
"""A shorter part of a name, such as an initial, is struck only where it is a whole identifier."""

LEAST_INSIDE = 4
"""An identifier of so many letters and digits is struck inside a longer word too."""

LONGEST_NUMBER = 3
"""Longer numbers, such as those of dates, files and telephones, are withheld where a vocabulary was not learned here."""


@dataclass(frozen=True)
class WordShare:
    """One word, or a run of words of a long note.

    Attributes:
        text: As the note has it, or `STRUCK`.
        adds: To the answer, in log odds or the unit of the target.
    """

    text: str
    adds: float


@dataclass(frozen=True)
class NoteShare:
    """What the words of one note say.

    Attributes:
        name: Of the input.
        words: W, the number of words.
        each: How many words were taken away together; 1 but in a long note.
        telling: The words that add most to either side, the strongest first; one that stands several times counts each time.
        withheld: How many of these are struck.
        whole: The note piece by piece, with what each piece adds (None between the words); None where it is not shown.
        deletion: Whether this holds against random.
    """

    name: str
    words: int
    each: int
    telling: tuple[WordShare, ...]
    withheld: int
    whole: tuple[tuple[str, float | None], ...] | None
    deletion: Deletion


def explain_words(
    voice: Voice,
    one: TextInput,
    evidence: Evidence,
    side: float,
    rng: np.random.Generator,
    names: Collection[str],
    *,
    show_text: bool = False,
) -> NoteShare:
    """Explain a note.

    Args:
        voice: The model.
        one: The input.
        evidence: Where it stands.
        side: 1 where the answer is for the class that is explained, -1 where it is against it.
        rng: Of random orders.
        names: What is struck wherever it stands, from `names_of`.
        show_text: Give the whole note, without `names`.
    """
    note = one.read(evidence)
    spans = [found.span() for found in WORD.finditer(note)]
    each = max(1, -(-len(spans) // MOST_PARTS))
    runs = [spans[start : start + each] for start in range(0, len(spans), each)]
    whole = float(voice.of_prepared(one.name, [one.prepare(note)])[0])

    def said(gone: Array) -> Array:
        """Give what is said (B,) of the note without some of its parts (B, P)."""
        some = [without(note, [span for place in np.flatnonzero(row) for span in runs[place]]) for row in gone]
        return voice.of_prepared(one.name, [one.prepare(text) for text in some])

    adds = whole - said(np.eye(len(runs), dtype=bool)) if runs else np.empty(0)
    tested = deletion(lambda gone: voice.support(said(gone), side), side * adds, rng, voice.unit)
    texts = [note[run[0][0] : run[-1][1]] for run in runs]
    safe = [all(is_fit(note[start:end], names, one.state) for start, end in run) for run in runs]
    order = [place for place in np.argsort(-np.abs(adds), kind="stable").tolist() if adds[place]][:SHOWN_WORDS]
    telling = tuple(WordShare(texts[place] if safe[place] else STRUCK, float(adds[place])) for place in order)
    pieces = tuple(_pieces(note, runs, adds, names)) if show_text else None
    return NoteShare(one.name, len(spans), each, telling, sum(not safe[place] for place in order), pieces, tested)


def without(note: str, spans: Sequence[tuple[int, int]]) -> str:
    """Give a note without some spans of it."""
    kept, place = [], 0
    for start, end in sorted(spans):
        kept.append(note[place:start])
        place = end
    return "".join([*kept, note[place:]])


def names_of(study: Study, cohort: CohortSettings) -> frozenset[str]:
    """Give what must not be shown of a study: its identifiers and the cells of `cohort.person`, whole and in parts."""
    cells = [study.cells.get(column, "") for column in (*cohort.person, cohort.patient, cohort.study)]
    whole = {cell.strip().casefold() for cell in (study.patient_id, study.study_id, *cells)}
    parts = {part for cell in whole for part in PART_OF_WORD.findall(cell) if len(part) >= LEAST_NAME}
    return frozenset(filter(None, whole | parts))


def is_named(text: str, names: Collection[str]) -> bool:
    """Tell whether a text holds one of the names: as a word of it, or, of a longer name, anywhere in it."""
    folded = text.casefold()
    parts = {folded, *PART_OF_WORD.findall(folded)}
    return not parts.isdisjoint(names) or any(len(name) >= LEAST_INSIDE and name in folded for name in names)


def is_fit(word: str, names: Collection[str], state: Plain) -> bool:
    """Tell whether a word may be shown: it is no name of the study's, and is known to the model as a word of many.

    A vocabulary that was learned here holds only words of several patients. That of a pretrained encoder may hold names, so
    words with a capital letter and long numbers are withheld too.
    """
    if is_named(word, names):
        return False
    if "config" in state and (word != word.lower() or sum(letter.isdigit() for letter in word) > LONGEST_NUMBER):
        return False
    tokenizer = Tokenizer.from_str(state["tokenizer"])
    unknown = {tokenizer.token_to_id(token) for token in ("[UNK]", "<unk>")}
    parts = [tokenizer.encode(part, add_special_tokens=False).ids for part in PART_OF_WORD.findall(word)]
    return all(len(ids) == 1 and ids[0] not in unknown for ids in parts)


def _pieces(
    note: str, runs: Sequence[Sequence[tuple[int, int]]], adds: Array, names: Collection[str]
) -> list[tuple[str, float | None]]:
    """Cut a note into words, with what each adds, and what stands between them; what names a person is struck."""
    found: list[tuple[str, float | None]] = []
    place = 0
    for run, share in zip(runs, adds.tolist(), strict=True):
        for start, end in run:
            word = note[start:end]
            found += [(note[place:start], None), (STRUCK if is_named(word, names) else word, share)]
            place = end
    return [*found, (note[place:], None)]
