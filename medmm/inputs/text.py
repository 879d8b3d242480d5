"""Notes of a study: from a column of a table or from text files; those known at its time, oldest first."""

from collections.abc import Iterable, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Annotated, Literal, Self

import numpy as np
from pydantic import BeforeValidator, Field, SerializeAsAny, model_validator

from medmm.cohort.studies import CohortSettings, Sources
from medmm.encoders import TEXT_ENCODERS
from medmm.encoders.base import TextEncoderSettings
from medmm.encoders.text_transformer import TextTransformer
from medmm.errors import Code, DataError, Rejected
from medmm.inputs.base import Fields, Found, Input, InputSettings
from medmm.inputs.records import ROW, UNREADABLE, By, known_rows
from medmm.readers.notes import read_note
from medmm.settings import Plain, named_choice
from medmm.types import Evidence, Study

if TYPE_CHECKING:
    from tokenizers import Tokenizer
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

    max_tokens: int = Field(128, ge=8, le=8192)
    """Longest note in tokens; what follows is cut."""

    encoder: Annotated[SerializeAsAny[TextEncoderSettings], BeforeValidator(named_choice("name", lambda: TEXT_ENCODERS))] = (
        TextTransformer()
    )
    """The network."""

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        if (self.table is None) == (self.folder is None):
            raise ValueError("name a table or a folder, one of the two")
        return self

    def open(self, name: str, state: Plain = None) -> Input[object]:
        """Make the input."""
        return TextInput(name, self, state)  # type: ignore[return-value]


class TextInput(Input[str]):
    """Notes of a study. State: the tokenizer, and the architecture of a pretrained encoder."""

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
        groups = {int(str(row)): part for row, part in rows.groupby(ROW, sort=False)}
        found: list[Found] = []
        for study in studies:
            part = groups.get(study.row)
            if part is not None and part[UNREADABLE].any():
                where = f"{study.key}, input {self.name}"
                found.append(
                    Rejected(Code.TYPE, where, "a time that cannot be read", "ISO 8601", "write it as 2024-05-31T14:30:00")
                )
                continue
            text = "" if part is None else "\n".join(part[s.column]).strip()
            found.append(Evidence(text=text) if text else None)
        return found

    def read(self, evidence: Evidence) -> str:
        """Give the note."""
        return evidence.text if evidence.text is not None else read_note(evidence.files[0])

    def fit(self, raws: Iterable[tuple[str, str]]) -> Self:
        """Learn the tokenizer, or take the one of a pretrained encoder."""
        notes = list(raws)
        if not notes:
            raise DataError(f"no training study has the input {self.name!r}: correct its table, or leave the input out")
        state = self.settings.encoder.fit(
            [note for _, note in notes], [patient for patient, _ in notes], self.settings.max_tokens
        )
        return type(self)(self.name, self.settings, state)

    def prepare(self, raw: str) -> Fields:
        """Split into tokens: {"ids": (L,), "mask": (L,)}; a note without any known token keeps one."""
        length = self.state["max_tokens"]
        ids = self._tokenizer.encode(raw).ids[:length]
        padded = np.full(length, self.state["padding"], np.int32)
        padded[: len(ids)] = ids
        mask = np.zeros(length, np.uint8)
        mask[: max(1, len(ids))] = 1
        return {"ids": padded, "mask": mask}

    def encoder(self, width: int) -> "nn.Module":
        """Build the network."""
        return self.settings.encoder.build(width, self.state)

    def initialise(self, network: "nn.Module") -> None:
        """Load pretrained weights into what `encoder` built."""
        self.settings.encoder.initialise(network)

    @cached_property
    def _tokenizer(self) -> "Tokenizer":
        from tokenizers import Tokenizer

        tokenizer = Tokenizer.from_str(self.state["tokenizer"])
        tokenizer.no_padding()
        tokenizer.enable_truncation(self.state["max_tokens"])
        return tokenizer

    def _file(self, sources: Sources, study: Study) -> Found:
        name = study.cells[self.settings.file] if self.settings.file else f"{study.study_id}.txt"
        path = sources.path(f"{self.settings.folder}/{name}")
        return Evidence(files=(path,)) if name and path.is_file() else None
