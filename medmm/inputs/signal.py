"""Recorded signals of a study, such as an ECG or the sound of a heart: found, read, filtered, resampled, cut and scaled."""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal, Self

import numpy as np
from pydantic import BeforeValidator, Field, SerializeAsAny, field_validator, model_validator

from medmm.cohort.headers import WaveformFound
from medmm.cohort.studies import CohortSettings, Sources
from medmm.encoders import SIGNAL_ENCODERS
from medmm.encoders.base import SignalEncoderSettings
from medmm.encoders.resnet1d import ResNet1D
from medmm.encoders.rocket import Rocket
from medmm.encoders.several import THERE, Several
from medmm.encoders.spectrogram_cnn import SpectrogramCNN
from medmm.errors import Code, DataError, Rejected
from medmm.inputs.base import FEW_PATIENTS, Fields, Found, Input, InputSettings
from medmm.inputs.examples import signal_example
from medmm.inputs.perturbation import blank_features
from medmm.inputs.signal_augmentation import SignalAugmentationSettings, augmented
from medmm.inputs.signal_preparation import check_band, chosen, filtered, in_units, resampled, segments_of
from medmm.inputs.signal_scale import Scale, scaled
from medmm.inputs.spectrogram import SpectrogramSettings, log_mel, shape
from medmm.readers.formats import files_in
from medmm.readers.waveform import read_waveform
from medmm.readers.waveform_checks import check_waveform
from medmm.readers.waveform_leads import is_known, standard_lead
from medmm.readers.waveform_wfdb import HEADER_SUFFIX, record_files
from medmm.settings import Plain, named_choice
from medmm.types import Array, Evidence, Study, Waveform

if TYPE_CHECKING:
    from torch import nn


class SignalSettings(InputSettings):
    """Recorded signals: WAV, FLAC, OGG, WFDB, EDF, DICOM waveforms, CSV or parquet."""

    kind: Literal["signal"] = "signal"
    """Which kind."""

    path: str
    """Folder with the recordings, inside the export."""

    match: Literal["file", "study_uid", "accession"] = "file"
    """What joins recording and study: the path of a file or folder below `path` (of a WFDB record its name, without a suffix,
    will do), or StudyInstanceUID or AccessionNumber of a DICOM waveform."""

    column: str | None = None
    """Column of the studies table that holds it; the study's identifier where left out."""

    check_patient: bool = True
    """Reject a DICOM waveform whose header names another patient than the studies table."""

    modality: tuple[str, ...] = ()
    """DICOM Modality of the waveforms to take, such as ECG, HD or AU; any where left out."""

    leads: tuple[str, ...] = ()
    """Leads to take, in this order, such as I, II, V1. Where left out, those of the first training recording, if they are
    leads of an ECG or channels of a sound; leads by other names have to be listed."""

    unit: str | None = None
    """UCUM unit, such as mV, that every recording is turned into; where left out, into that of the first training recording."""

    rate_hz: float = Field(gt=0, le=192_000)
    """Samples a second that recordings are resampled to."""

    seconds: float = Field(gt=0)
    """Length of a segment; a shorter recording is refused, never padded."""

    segments: int = Field(1, ge=1, le=64)
    """Most segments of a recording, evenly spaced; with one, its middle. With more, each is encoded by itself and attention
    weighs them."""

    band_hz: tuple[float | None, float | None] | None = None
    """Lowest and highest frequency that is kept, such as [0.5, 100] of an ECG; none is cut off where left out."""

    mains_hz: Literal[50, 60] | None = None
    """Frequency of the mains, whose hum is taken out with its harmonics."""

    spectrogram: SpectrogramSettings | None = None
    """Turn segments into log-mel spectrograms, as suits sounds."""

    augmentation: SignalAugmentationSettings = SignalAugmentationSettings()
    """Random changes in training."""

    encoder: Annotated[
        SerializeAsAny[SignalEncoderSettings], BeforeValidator(named_choice("name", lambda: SIGNAL_ENCODERS))
    ] = ResNet1D()
    """The network; where left out, spectrogram_cnn of spectrograms; of traces resnet1d, below 1,000 patients rocket."""

    @field_validator("leads")
    @classmethod
    def _leads_are_spelled_as_readers_do(cls, leads: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(map(standard_lead, leads))

    @model_validator(mode="after")
    def _settings_agree(self) -> Self:
        check_band(self.band_hz, self.mains_hz, self.rate_hz)
        size = self.size
        if "encoder" in self.model_fields_set and len(size) not in self.encoder.axes:
            fitting = ", ".join(name for name, one in SIGNAL_ENCODERS.items() if len(size) in one.axes)
            what = "traces" if len(size) == 1 else "spectrograms"
            raise ValueError(f"the encoder {self.encoder.name!r} does not take {what}: take one of {fitting}")
        if len(set(self.leads)) < len(self.leads):
            raise ValueError("leads names one twice")
        return self

    @property
    def samples(self) -> int:
        """T, of a segment."""
        return round(self.seconds * self.rate_hz)

    @property
    def size(self) -> tuple[int, ...]:
        """What a segment of one lead becomes: (T,), or (M, N) of a spectrogram."""
        if self.samples < 2:
            raise ValueError("seconds times rate_hz gives no signal: lengthen the segment")
        return (self.samples,) if self.spectrogram is None else shape(self.spectrogram, self.samples, self.rate_hz)

    def suited(self, patients: int) -> SignalEncoderSettings:
        """Give the encoder for a run that does not name one."""
        if self.spectrogram is not None:
            return SpectrogramCNN()
        return Rocket() if patients < FEW_PATIENTS else ResNet1D()

    def stands_in(self, sources: Sources) -> bool:
        """Tell whether an export has the folder."""
        return sources.has(self.path)

    def meaning(self) -> Mapping[str, Plain]:
        """Tell what the prepared signals are."""
        names = {"kind", "leads", "unit", "rate_hz", "seconds", "segments", "band_hz", "mains_hz", "spectrogram"}
        return self.model_dump(mode="json", include=names)

    def open(self, name: str, state: Plain = None) -> Input[object]:
        """Make the input."""
        return SignalInput(name, self, state)  # type: ignore[return-value]


class SignalInput(Input[Waveform]):
    """Recorded signals of a study. State: the leads, their units, and where their values lie in training."""

    meanings: ClassVar[Mapping[str, str]] = {
        "signal": "leads of `state.leads` first, filtered, resampled, cut and turned into spectrograms as `settings` say, then "
        "(value - centre) / spread, both of `state`, lead by lead",
        THERE: "1 for each segment that the study has",
    }
    decodes: ClassVar[bool] = True
    packages: ClassVar[tuple[str, ...]] = ("edfio", "soundfile", "wfdb")

    def __init__(self, name: str, settings: SignalSettings, state: Plain = None) -> None:
        super().__init__(name, state)
        self._settings = settings

    @property
    def settings(self) -> SignalSettings:
        """The settings, as the run file gave them."""
        return self._settings

    def study_columns(self, cohort: CohortSettings) -> Sequence[str]:
        """Name the column that joins study and recording."""
        return (self.settings.column or cohort.study,)

    def gather(self, sources: Sources, studies: Sequence[Study]) -> list[Found]:
        """Find the recording of every study by its path, or by its DICOM header."""
        (column,) = self.study_columns(sources.settings)
        sources.table(sources.settings.studies, [column])
        if self.settings.match == "file":
            return [self._file(sources, study.cells[column]) for study in studies]
        known: dict[str, list[WaveformFound]] = {}
        for found in sources.scan(self.settings.path).waveforms:
            if not self.settings.modality or found.modality in self.settings.modality:
                known.setdefault(getattr(found, self.settings.match), []).append(found)
        return [self._found(study, known.get(study.cells[column], []) if study.cells[column] else []) for study in studies]

    def read(self, evidence: Evidence) -> Waveform:
        """Read the recording with all its leads."""
        return read_waveform(evidence.files)

    def fit(self, raws: Iterable[tuple[str, Waveform]]) -> Self:
        """Learn leads, units and scale; a recording that must not be used teaches nothing, for `prepare` refuses it.

        Raises:
            DataError: No training study has a recording that can be used, most have other leads, or a lead never moves.
        """
        leads, units = list(self.settings.leads), list[str]()  # of the first recording that can be used
        drawn = used = 0

        def segments() -> Iterator[Array]:
            nonlocal drawn, used
            for _, raw in raws:
                drawn += 1
                try:
                    asked = leads or list(raw.leads)
                    turned = units or [self.settings.unit or unit for unit in chosen(raw, asked).units]
                    made = self._segments(raw, asked, turned)
                except Rejected:
                    continue
                leads[:], units[:] = asked, turned
                used += 1
                yield made

        scale = Scale.fit(segments(), leads, axis=1)
        if not (self.settings.leads or all(map(is_known, leads))):
            raise DataError(
                f"the recordings of the input {self.name!r} call their leads by words of their own, in which a name may stand: "
                "list those to take under `leads`"
            )
        if used * 2 < drawn:
            raise DataError(
                f"of {drawn} training recordings of the input {self.name!r} only {used} can be used with the leads of the "
                "first of them: name under `leads` those that all have, and look at the others with `medmm inspect`"
            )
        return type(self)(self.name, self.settings, {"leads": leads, "units": units, **scale.plain()})

    def prepare(self, raw: Waveform) -> Fields:
        """Choose leads, resample, filter, cut and scale: {"signal": (L, *size) float16}.

        An input of several segments gives {"signal": (P, L, *size), "there": (P,)}, P its `segments`.

        Raises:
            Rejected: The recording must not be used.
        """
        made = scaled(self._segments(raw, self.state["leads"], self.state["units"]), Scale.of(self.state), axis=1)
        if self.settings.segments == 1:
            return {"signal": made[0].astype(np.float16)}
        signal = np.zeros((self.settings.segments, *made.shape[1:]), np.float16)
        signal[: len(made)] = made
        return {"signal": signal, THERE: (np.arange(len(signal)) < len(made)).astype(np.uint8)}

    def augment(self, fields: Mapping[str, Array], rng: np.random.Generator) -> Mapping[str, Array]:
        """Add noise, change gain, shift, mask."""
        return fields if self.is_still(fields) else _varied(fields, self.settings.augmentation, rng)

    def is_still(self, fields: Collection[str]) -> bool:
        """Tell whether nothing varies: augmentation is off, or these are the kept features of a frozen backbone."""
        return "signal" not in fields or not self.settings.augmentation.acts

    def perturb(self, fields: Mapping[str, Array], rng: np.random.Generator) -> Mapping[str, Array]:
        """Do the same thrice as far; of a frozen backbone blank some of the kept features."""
        return _varied(fields, self._stronger, rng) if "signal" in fields else blank_features(fields, rng)

    def example(self, rng: np.random.Generator, folder: Path) -> Evidence:
        """Write a synthetic recording: an ECG, a heart sound, or noise."""
        s, state = self.settings, self.state
        seconds = s.seconds * min(s.segments, 2)
        return signal_example(rng, folder, leads=state["leads"], rate_hz=s.rate_hz, seconds=seconds, units=state["units"])

    def made_up(self, rng: np.random.Generator) -> Fields:
        """Make noise, of as many segments as come up."""
        s = self.settings
        signal = rng.standard_normal((s.segments, len(self.state["leads"]), *s.size)).astype(np.float16)
        if s.segments == 1:
            return {"signal": signal[0]}
        return {"signal": signal, THERE: (np.arange(s.segments) < rng.integers(1, s.segments + 1)).astype(np.uint8)}

    def encoder(self, width: int) -> "nn.Module":
        """Build the network."""
        network = self.settings.encoder.build(width, len(self.state["leads"]), self.settings.size)
        return network if self.settings.segments == 1 else Several(network, width)

    def initialise(self, network: "nn.Module") -> str:
        """Load pretrained weights into what `encoder` built, and give a line about them; "" where there are none."""
        return self.settings.encoder.initialise(network.network if isinstance(network, Several) else network)

    @cached_property
    def _stronger(self) -> SignalAugmentationSettings:
        return self.settings.augmentation.stronger()

    def _segments(self, raw: Waveform, leads: Sequence[str], units: Sequence[str]) -> Array:
        """Give (P, L, *size) in the units of the recordings."""
        s = self.settings
        picked = in_units(chosen(raw, leads), units)
        check_waveform(picked)
        steady = filtered(resampled(picked.values, picked.rate_hz, s.rate_hz), s.rate_hz, s.band_hz, s.mains_hz)
        cut = segments_of(steady, s.samples, s.segments)
        return cut if s.spectrogram is None else log_mel(cut, s.rate_hz, s.spectrogram)

    def _file(self, sources: Sources, key: str) -> Found:
        if not key:
            return None
        path = sources.path(f"{self.settings.path}/{key}")
        header = path if path.suffix == HEADER_SUFFIX else path.with_name(path.name + HEADER_SUFFIX)
        if path.is_dir():
            files = tuple(files_in(path))
            return Evidence(files=files) if files else None
        if header.is_file():
            return Evidence(files=record_files(header))
        return Evidence(files=(path,)) if path.is_file() else None

    def _found(self, study: Study, known: Sequence[WaveformFound]) -> Found:
        """Give the waveform of a study; a rejection where it, or whose it is, is in doubt."""
        where = f"{study.key}, input {self.name}"
        if self.settings.check_patient and any(one.patient_id != study.patient_id for one in known):
            return Rejected(
                Code.MIXED_PATIENTS,
                where,
                "another patient's identifier in the header of a waveform",
                "that of the studies table",
                "correct the export, or set check_patient: false where waveforms carry other identifiers on purpose",
            )
        if len(known) > 1:
            repair = "name its modality, or give each study one recording, by `match: file`"
            return Rejected(Code.AMBIGUOUS, where, f"{len(known)} waveforms", "one", repair)
        if not known:
            return None
        (one,) = known
        return one.problem.at(where) if one.problem is not None else Evidence(files=(one.file,))


def _varied(fields: Mapping[str, Array], settings: SignalAugmentationSettings, rng: np.random.Generator) -> Fields:
    if THERE not in fields:
        return {**fields, "signal": augmented(fields["signal"], settings, rng)}
    signal = fields["signal"].copy()
    for place in np.flatnonzero(fields[THERE]):
        signal[place] = augmented(signal[place], settings, rng)
    return {**fields, "signal": signal}
