"""The values that pass between layers.

Letters: B studies of a batch, S studies of a table, N tokens, D width, C answers (classes, a value, horizons), T numbers of a
target, K image channels. Of a signal: L leads, T samples.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from itertools import accumulate
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self, TypeAlias

from numpy.typing import NDArray

from medmm.errors import Rejected

if TYPE_CHECKING:
    import torch

Task: TypeAlias = Literal["binary", "multiclass", "multilabel", "ordinal", "regression", "survival"]
"""One of two, one of several, any number of several classes; a grade; a number; the time to an event."""

CLASS_TASKS: tuple[Task, ...] = ("binary", "multiclass", "multilabel", "ordinal")
"""Tasks whose answers are probabilities of classes; of a grade, for each but the lowest, that it is reached."""

Array: TypeAlias = NDArray[Any]


@dataclass(frozen=True)
class Volume:
    """An image in real units, with its place in the patient.

    Attributes:
        values: 3D (i, j, k), or 2D images as (column, row, 1); colour adds a last axis of 3 channels. CT in Hounsfield units.
            Without an affine, k counts the frames of a film (ultrasound, angiography) in time.
        affine: (4, 4) from index (i, j, k) to millimetres, axes to the right, anterior and superior (RAS);
            None where the file has no patient geometry.
        spacing_mm: (3,) size of a voxel along i, j, k; None where the file states no physical size.
        modality: DICOM Modality (0008,0060) such as "CT"; "" where unknown.
        padding: (i, j, k) true where the pixel holds no measurement; None where there is none.
    """

    values: Array
    affine: Array | None
    spacing_mm: tuple[float, float, float] | None
    modality: str = ""
    padding: Array | None = None


@dataclass(frozen=True)
class Waveform:
    """A recorded signal in real units: an ECG, a pressure, a sound.

    Attributes:
        values: (L, T) float32 of L leads and T samples; sound in shares of full scale, -1 to 1.
        rate_hz: Samples a second, the same for all leads.
        leads: (L,) name of each: of an ECG `I`, `II`, `III`, `aVR`, `aVL`, `aVF`, `V1` to `V6`; of a sound the number of the
            channel, from `1`.
        units: (L,) UCUM code of each, such as `mV` or `mm[Hg]`; `1` for shares of full scale, "" where the file states none.
    """

    values: Array
    rate_hz: float
    leads: tuple[str, ...]
    units: tuple[str, ...]

    @property
    def seconds(self) -> float:
        """Duration."""
        return float(self.values.shape[1] / self.rate_hz)


@dataclass(frozen=True)
class Facts:
    """What the headers of the images of one input say of them and of the patient; what no header states is empty or None.

    Attributes:
        modalities: DICOM Modality of each series, each once.
        body_parts: Body Part Examined, each once, in upper case.
        pixel_mm: Smallest and largest distance of pixels within an image.
        slice_mm: Smallest and largest distance of neighbouring slices.
        thickness_mm: Smallest and largest slice thickness.
        age_years: Of the patient, as `medmm.cohort.ages` has it.
    """

    modalities: tuple[str, ...] = ()
    body_parts: tuple[str, ...] = ()
    pixel_mm: tuple[float, float] | None = None
    slice_mm: tuple[float, float] | None = None
    thickness_mm: tuple[float, float] | None = None
    age_years: float | None = None


@dataclass(frozen=True)
class Evidence:
    """Where one input of one study lies: the files of a series, the cells of a row, or the text of a note.

    Exactly one of files, cells and text is set. It carries no decoded data, so a study is cheap to hand to a worker process.

    Attributes:
        files: Of one image, or of several, one after the other.
        counts: How many of the files belong to each image, where these are several volumes; empty where the files are one
            image, or where each of them is one.
        cells: Column -> cell.
        text: The note.
        facts: What the headers of the files say; None where nobody has read them. They follow from the content, so they are
            part of no digest.
    """

    files: tuple[Path, ...] = ()
    counts: tuple[int, ...] = ()
    cells: Mapping[str, str] | None = None
    text: str | None = None
    facts: Facts | None = None

    def images(self) -> list[tuple[Path, ...]]:
        """Give the files of each image."""
        ends = list(accumulate(self.counts or (len(self.files),)))
        return [self.files[start:end] for start, end in zip([0, *ends], ends, strict=False)]


@dataclass(frozen=True)
class Firing:
    """A rule that fired for a study.

    Attributes:
        rule: Its name.
        effect: What it does, in a word: `reject`, `flag`, `penalty`, `floor`, `ceiling`, `override` or `alert`.
        said: Its message, or what it did, with the probability before and after.
    """

    rule: str
    effect: str
    said: str

    def __str__(self) -> str:
        return f"{self.rule}: {self.said}"


@dataclass(frozen=True)
class Study:
    """One examination at one time: the unit that gets a diagnosis.

    Attributes:
        row: Number of the study in its table, from 1. The only thing about a study that may be printed or logged.
        patient_id: The person; never printed.
        study_id: The examination, as the hospital calls it; never printed, stands in the results only.
        time: Nothing recorded after it is read.
        label: (T,) target: one number a class, the value, or the time and the event; None where the table gives none.
        groups: Values of the subgroup columns.
        cells: The row of the studies table, without the label.
        evidence: Input name -> where it lies. A name that is missing here is an absent input.
        rejected: Input name -> why it must not be used.
        fired: Rules that fired before the model.
    """

    row: int
    patient_id: str
    study_id: str
    time: datetime | None = None
    label: tuple[float, ...] | None = None
    groups: Mapping[str, str] = field(default_factory=dict)
    cells: Mapping[str, str] = field(default_factory=dict)
    evidence: Mapping[str, Evidence] = field(default_factory=dict)
    rejected: Mapping[str, Rejected] = field(default_factory=dict)
    fired: tuple[Firing, ...] = ()

    @property
    def key(self) -> str:
        """What may be printed of a study: its row in the table."""
        return f"study in row {self.row}"

    def dated(self, time: datetime | None, label: tuple[float, ...] | None) -> Self:
        """Give the study with its time and label."""
        return replace(self, time=time, label=label)

    def with_input(self, name: str, found: Evidence | Rejected | None) -> Self:
        """Give the study with one more input found, rejected or (None) absent."""
        if isinstance(found, Evidence):
            return replace(self, evidence={**self.evidence, name: found})
        if isinstance(found, Rejected):
            return replace(self.without_input(name), rejected={**self.rejected, name: found})
        return self

    def without_input(self, name: str) -> Self:
        """Give the study as if it lacked an input."""
        return replace(self, evidence={known: one for known, one in self.evidence.items() if known != name})


@dataclass(frozen=True)
class Tokens:
    """What an encoder gives.

    Attributes:
        values: (B, N, D)
        mask: (B, N) true where the token is real. A study whose mask is all false lacks the input.
    """

    values: torch.Tensor
    mask: torch.Tensor


@dataclass(frozen=True)
class Batch:
    """Studies on their way into the model.

    Attributes:
        inputs: Input name -> field -> (B, ...) prepared tensors; rows of absent inputs hold filler.
        present: Input name -> (B,) bool.
        target: (B, C), NaN for a study without a label; None at scoring.
        rows: (B,) index of each study in its list.
        group: (B,) number of the group, such as the site, that each study belongs to, -1 for none; None where nobody asks.
        bounds: (B, C, 3) lower and upper probability that clinical rules allow, and the weight of a breach; None without rules.
        views: Further augmentations of `inputs`, stronger ones.
    """

    inputs: Mapping[str, Mapping[str, torch.Tensor]]
    present: Mapping[str, torch.Tensor]
    target: torch.Tensor | None
    rows: torch.Tensor
    group: torch.Tensor | None = None
    bounds: torch.Tensor | None = None
    views: tuple[Mapping[str, Mapping[str, torch.Tensor]], ...] = ()

    @property
    def labelled(self) -> torch.Tensor:
        """Which studies have a label: (B,) bool."""
        assert self.target is not None
        return ~self.target.isnan().any(1)

    def seen(self, view: int) -> Self:
        """Give the batch as one of its further augmentations shows it."""
        return replace(self, inputs=self.views[view], views=())

    def to(self, device: torch.device) -> Self:
        """Move what a network computes with to a device; what travels in 16 bits has 32 there."""

        def move(tensors: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
            moved = {name: tensor.to(device, non_blocking=True) for name, tensor in tensors.items()}
            narrow = {name for name, one in moved.items() if one.is_floating_point() and one.element_size() == 2}
            return {name: one.float() if name in narrow else one for name, one in moved.items()}

        def move_inputs(inputs: Mapping[str, Mapping[str, torch.Tensor]]) -> dict[str, dict[str, torch.Tensor]]:
            return {name: move(fields) for name, fields in inputs.items()}

        optional = {"target": self.target, "group": self.group, "bounds": self.bounds}
        return replace(
            self,
            inputs=move_inputs(self.inputs),
            present=move(self.present),
            views=tuple(move_inputs(view) for view in self.views),
            **move({name: tensor for name, tensor in optional.items() if tensor is not None}),
        )


@dataclass(frozen=True)
class Scores:
    """Predictions with the truth beside them, all that evaluation needs.

    Attributes:
        classes: Names of the C columns; one name, the positive class, for a binary target.
        predicted: (S, C) answers: probabilities in [0, 1], a value, or risks in [0, 1] that rise with the horizon.
        target: (S, T) of 0 and 1 with T = C for classes; a value; or time and event.
        patient: (S,) whole numbers that tell patients apart; they identify nobody.
        groups: Subgroup column -> (S,) values.
        horizons: (C,) times by which risks are told, where these are known; empty for a task without them.
    """

    classes: tuple[str, ...]
    predicted: Array
    target: Array
    patient: Array
    groups: Mapping[str, Array] = field(default_factory=dict)
    horizons: tuple[float, ...] = ()

    def some(self, keep: Array) -> Self:
        """Give the scores of the studies where keep (S,) is true."""
        groups = {name: values[keep] for name, values in self.groups.items()}
        predicted, target, patient = self.predicted[keep], self.target[keep], self.patient[keep]
        return replace(self, predicted=predicted, target=target, patient=patient, groups=groups)
