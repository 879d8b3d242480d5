"""From a note to the arrays that a text encoder takes: markers, pieces of words, chunks. P chunks, L tokens."""

from array import array
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from tokenizers import Tokenizer

from medmm.inputs.base import Fields
from medmm.readers.negation import mark_negation
from medmm.readers.note_sections import NOTE_END, split_sections
from medmm.settings import Plain

OVERLAP = 8
"""Neighbouring chunks share one part in so many, so that no phrase is torn apart in both."""

PIECE_CHARACTERS = 10_000
"""Text that is tokenized at a time, which bounds the memory."""


class Piece(NamedTuple):
    """A part of a note, or a marker between two parts. Told apart by type: a note that holds "[neg]" holds five characters."""

    text: str
    is_marker: bool = False


def pieces(note: str, *, mark: bool) -> Iterator[Piece]:
    """Give a note in order, each heading and each end of a negated or uncertain part as a marker where those are wanted."""
    if not mark:
        yield Piece(note.replace(NOTE_END, ""))
        return
    for section in split_sections(note):
        if section.heading:
            yield Piece(f"[{section.name}]", is_marker=True)
        place = 0
        for span in mark_negation(section.text):
            yield Piece(section.text[place : span.start])
            yield Piece(f"[{span.kind}]", is_marker=True)
            yield Piece(section.text[span.start : span.end])
            yield Piece(f"[/{span.kind}]", is_marker=True)
            place = span.end
        yield Piece(section.text[place:])


class NoteTokenizer:
    """The tokenizer of a text encoder.

    Args:
        state: As the encoder's `fit` gave it; "markers", where there is one, has the id of each marker.
    """

    def __init__(self, state: Plain) -> None:
        self._tokenizer = Tokenizer.from_str(state["tokenizer"])
        self._tokenizer.no_padding()
        self._tokenizer.no_truncation()
        self._tokenizer.encode_special_tokens = True  # words of a note are never the tokenizer's own tokens
        self._markers: dict[str, int] = state.get("markers", {})
        self._padding: int = state["padding"]
        self._length: int = state["max_tokens"]
        example = self._tokenizer.encode("a")
        inside = [place for place, special in enumerate(example.special_tokens_mask) if not special]
        first, last = (inside[0], inside[-1] + 1) if inside else (0, len(example.ids))
        self._head, self._tail = example.ids[:first], example.ids[last:]

    def words(self) -> list[str]:
        """Give the vocabulary: words, and pieces of words."""
        return list(self._tokenizer.get_vocab())

    def fields(self, note: str, chunks: int, *, mark: bool) -> Fields:
        """Give {"ids": (P, L), "mask": (P, L), "cut": (1,) tokens that did not fit}; (L,) for one chunk.

        A note that needs more chunks than there are keeps its beginning and, in the last of several chunks, its end.
        """
        tokens = self._ids(note, mark=mark and bool(self._markers))
        inner = self._length - len(self._head) - len(self._tail)
        starts, cut = chunk_starts(len(tokens), inner, chunks)
        ids = np.full((chunks, self._length), self._padding, np.int32)
        mask = np.zeros((chunks, self._length), np.uint8)
        for chunk, start in enumerate(starts):
            whole = [*self._head, *tokens[start : start + inner], *self._tail]
            ids[chunk, : len(whole)] = whole
            mask[chunk, : max(1, len(whole))] = 1  # a note without any known token keeps one
        one = chunks == 1
        return {"ids": ids[0] if one else ids, "mask": mask[0] if one else mask, "cut": np.array([cut], np.int32)}

    def _ids(self, note: str, *, mark: bool) -> Sequence[int]:
        found = array("i")
        for piece in pieces(note, mark=mark):
            if piece.is_marker:
                found.append(self._markers[piece.text])
                continue
            for text in _bits(piece.text):
                found.extend(self._tokenizer.encode(text, add_special_tokens=False).ids)
        return found


def chunk_starts(tokens: int, length: int, chunks: int) -> tuple[list[int], int]:
    """Tell where the chunks of a note start, and how many of its tokens stand in none.

    Args:
        tokens: Of the note.
        length: Of a chunk.
        chunks: Most of them.
    """
    step = length - length // OVERLAP
    needed = 1 + max(0, -(-(tokens - length) // step))
    starts = [chunk * step for chunk in range(min(needed, chunks))]
    if needed <= chunks:
        return starts, 0
    if chunks == 1:
        return starts, tokens - length
    starts[-1] = tokens - length
    return starts, max(0, starts[-1] - starts[-2] - length)


def _bits(text: str) -> Iterator[str]:
    """Cut a text where it is too long to be tokenized at once, if it can be at a space."""
    start = 0
    while len(text) - start > PIECE_CHARACTERS:
        space = text.rfind(" ", start + 1, start + PIECE_CHARACTERS)
        end = space if space > 0 else start + PIECE_CHARACTERS
        yield text[start:end]
        start = end
    if text[start:]:
        yield text[start:]
