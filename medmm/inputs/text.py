"""Notes of a study: from a column of a table or from text files; those known at its time, oldest first."""

import re
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal, Self

import numpy as np
from pydantic import BeforeValidator, Field, SerializeAsAny, model_validator

from medmm.cohort.studies import CohortSettings, Sources
from medmm.encoders import TEXT_ENCODERS
from medmm.encoders.bag_of_words import BagOfWords
from medmm.encoders.base import TextEncoderSettings
from medmm.encoders.several import Several
from medmm.encoders.text_transformer import TextTransformer
from medmm.errors import Code, DataError, Rejected
from medmm.files import write_text
from medmm.inputs.base import FEW_PATIENTS, Fields, Found, Input, InputSettings
from medmm.inputs.examples import note_example
from medmm.inputs.note_tokens import NoteTokenizer, pieces
from medmm.inputs.perturbation import blank_features, lose_words
from medmm.inputs.records import ROW, UNREADABLE, By, known_rows
from medmm.readers.note_sections import NOTE_END, SECTIONS, STATES_DIAGNOSIS, SectionName, join_notes, keep_sections
from medmm.readers.notes import read_note
from medmm.settings import Plain, named_choice
from medmm.types import Array, Evidence, Study

if TYPE_CHECKING:
    from torch import nn


class TextSettings(InputSettings):
    """Notes."""

    kind: Literal["text"] = "text"
    """Which kind."""

    table: str | None = None
    """Table with the notes, inside the export."""

    column: str = "text"
    """Its column with the note."""

    by: By = "study"
    """Which identifier joins table and study."""

    time: str = "time"
    """Its column with the time of recording; what is later than the study is not read."""

    folder: str | None = None
    """Instead of a table: folder with text files, inside the export."""

    file: str | None = None
    """Column of the studies table with the name of the text file; the study's identifier and `.txt` where left out."""

    sections: tuple[SectionName, ...] | None = None
    """The only sections that are read, by the note's own headings; `other` is what stands before the first. `leave_out` does
    not act on what is named here."""

    leave_out: tuple[SectionName, ...] = STATES_DIAGNOSIS
    """Sections that are never read, since they state the diagnosis or what follows from it. The findings of a report are read:
    they say what is seen, not what it is; leave them out too where the model shall judge the same image by itself. A note of
    which nothing is left is absent. A note without headings cannot be taken apart and is read whole."""

    strike: tuple[str, ...] = ()
    """Words that are struck from every note before anything reads it, such as the name of the disease where a leakage check
    finds it; `*` stands for any letters and digits: covid*."""

    mark: bool = True
    """Tell the network where a section begins, and what is negated or uncertain, by tokens of their own. A pretrained encoder
    knows no such tokens and gets the words as they stand."""

    max_tokens: int | None = Field(None, ge=8, le=8192)
    """Longest note, or chunk of a note, in tokens; where left out, what is usual for the encoder."""

    chunks: int = Field(1, ge=1, le=64)
    """Most chunks of `max_tokens` that a note is split into, an eighth of each shared with the next. With one, what follows is
    cut; with more, each is encoded and pooled to one token, and of a note that is longer still the middle is cut. The field
    `cut` of the prepared note counts the tokens that were."""

    encoder: Annotated[SerializeAsAny[TextEncoderSettings], BeforeValidator(named_choice("name", lambda: TEXT_ENCODERS))] = (
        TextTransformer()
    )
    """The network; where left out, transformer, or below 1,000 training patients bag_of_words."""

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        if (self.table is None) == (self.folder is None):
            raise ValueError("name a table or a folder, one of the two")
        return self

    def suited(self, patients: int) -> TextEncoderSettings:
        """Give the encoder for a run that does not name one."""
        return BagOfWords() if patients < FEW_PATIENTS else TextTransformer()

    def stands_in(self, sources: Sources) -> bool:
        """Tell whether an export has the table or the folder."""
        return sources.has_table(self.table) if self.table is not None else sources.has(self.folder or "")

    def meaning(self) -> Mapping[str, Plain]:
        """Tell how notes become tokens."""
        length = self.max_tokens or self.encoder.usual_tokens
        return {"kind": self.kind, "mark": self.mark, "chunks": self.chunks, "max_tokens": length}

    def open(self, name: str, state: Plain = None) -> Input[object]:
        """Make the input."""
        return TextInput(name, self, state)  # type: ignore[return-value]


class TextInput(Input[str]):
    """Notes of a study. State: the tokenizer, and the architecture of a pretrained encoder."""

    meanings: ClassVar[Mapping[str, str]] = {
        "ids": "of the tokens by `state.tokenizer`, a JSON text of the package tokenizers; the rest is `state.padding`",
        "mask": "1 for a real token, the real ones first; a note has at least one",
    }

    def __init__(self, name: str, settings: TextSettings, state: Plain = None) -> None:
        super().__init__(name, state)
        self._settings = settings

    @property
    def settings(self) -> TextSettings:
        """The settings, as the run file gave them."""
        return self._settings

    def study_columns(self, cohort: CohortSettings) -> Sequence[str]:
        """Name the column with the text, or with the name of its file, where the studies table holds it."""
        if self.settings.table == cohort.studies:
            return (self.settings.column,)
        return (self.settings.file,) if self.settings.file else ()

    def gather(self, sources: Sources, studies: Sequence[Study]) -> list[Found]:
        """Find the notes of every study that were known at its time."""
        if self.settings.table is None:
            return [self._file(sources, study) for study in studies]
        s = self.settings
        rows = known_rows(sources, studies, self.settings.table, [s.column], s.by, s.time)
        notes: dict[int, list[str]] = {}
        for row, note in zip(rows[ROW].tolist(), rows[s.column].tolist(), strict=True):
            notes.setdefault(row, []).append(note)
        unreadable = set(rows.loc[rows[UNREADABLE].astype(bool), ROW].tolist())
        found: list[Found] = []
        for study in studies:
            if study.row in unreadable:
                where = f"{study.key}, input {self.name}"
                found.append(
                    Rejected(Code.TYPE, where, "a time that cannot be read", "ISO 8601", "write it as 2024-05-31T14:30:00")
                )
                continue
            text = join_notes(filter(None, map(self._kept, notes.get(study.row, ())))).strip()
            found.append(Evidence(text=text) if text else None)
        return found

    def read(self, evidence: Evidence) -> str:
        """Give the note, without the sections that are not to be read."""
        return evidence.text if evidence.text is not None else self._kept(read_note(evidence.files[0]))

    def fit(self, raws: Iterable[tuple[str, str]]) -> Self:
        """Learn the tokenizer, or take the one of a pretrained encoder."""
        notes = list(raws)
        if not notes:
            raise DataError(f"no training study has the input {self.name!r}: correct its table, or leave the input out")
        mark = self.settings.mark
        texts = [" ".join(piece.text for piece in pieces(note, mark=mark) if not piece.is_marker) for _, note in notes]
        encoder = self.settings.encoder
        state = encoder.fit(texts, [patient for patient, _ in notes], self.settings.max_tokens or encoder.usual_tokens)
        return type(self)(self.name, self.settings, state)

    def prepare(self, raw: str) -> Fields:
        """Split into tokens: {"ids": (L,), "mask": (L,), "cut": (1,)}, or (P, L) for several chunks."""
        return self._tokenizer.fields(raw, self.settings.chunks, mark=self.settings.mark)

    def perturb(self, fields: Mapping[str, Array], rng: np.random.Generator) -> Mapping[str, Array]:
        """Take some words out; blank some of the kept features of a frozen backbone."""
        return blank_features(fields, rng) if "features" in fields else lose_words(fields, rng, self.state["padding"])

    def example(self, rng: np.random.Generator, folder: Path) -> Evidence:
        """Write a synthetic note that holds words which the tokenizer knows, with the sections that are read."""
        note = note_example(rng, self._tokenizer.words())
        bare = note.replace(":", ",")  # without headings
        notes = [note, bare, *(f"{name}: {bare}" for name in self.settings.sections or SECTIONS)]
        note = next((one for one in notes if self._kept(one)), note)
        if self.settings.table is not None:
            return Evidence(text=self._kept(note))
        write_text(folder / "note", note)
        return Evidence(files=(folder / "note",))

    def made_up(self, rng: np.random.Generator) -> Fields:
        """Draw tokens of as many chunks as come up, each filled up with padding."""
        chunks, length = self.settings.chunks, self.state["max_tokens"]
        tokens = self.state["tokens"] if "tokens" in self.state else self.state["config"]["vocab_size"]
        there = np.arange(chunks) < rng.integers(1, chunks + 1)
        mask = there[:, None] & (np.arange(length) < rng.integers(1, length + 1, (chunks, 1)))
        ids = np.where(mask, rng.integers(0, tokens, (chunks, length)), self.state["padding"]).astype(np.int32)
        shape = (length,) if chunks == 1 else (chunks, length)
        return {"ids": ids.reshape(shape), "mask": mask.astype(np.uint8).reshape(shape), "cut": np.zeros(1, np.int32)}

    def encoder(self, width: int) -> "nn.Module":
        """Build the network."""
        network = self.settings.encoder.build(width, self.state)
        return network if self.settings.chunks == 1 else Several(network, width, self.settings.chunks)

    def initialise(self, network: "nn.Module") -> str:
        """Load pretrained weights into what `encoder` built, and give a line about them; "" where there are none."""
        return self.settings.encoder.initialise(network.network if isinstance(network, Several) else network)

    @cached_property
    def _struck(self) -> "re.Pattern[str] | None":
        words = "|".join(re.escape(word).replace(r"\*", r"\w*") for word in self.settings.strike)
        return re.compile(rf"(?<!\w)(?:{words})(?!\w)", re.IGNORECASE) if words else None

    @cached_property
    def _tokenizer(self) -> NoteTokenizer:
        return NoteTokenizer(self.state)

    def _kept(self, note: str) -> str:
        s = self.settings
        names = s.sections if s.sections is not None else [name for name in SECTIONS if name not in s.leave_out]
        kept = keep_sections(note.replace(NOTE_END, " "), names)
        return kept if self._struck is None else self._struck.sub(" ", kept)

    def _file(self, sources: Sources, study: Study) -> Found:
        name = study.cells[self.settings.file] if self.settings.file else f"{study.study_id}.txt"
        path = sources.path(f"{self.settings.folder}/{name}")
        if not (name and path.is_file()):
            return None
        try:
            return Evidence(files=(path,)) if self._kept(read_note(path)) else None
        except Rejected as reason:
            return reason.at(f"{study.key}, input {self.name}")
