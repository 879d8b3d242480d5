"""What a synthetic cohort holds, and what is wrong with it."""

from collections.abc import Mapping
from typing import Annotated, Literal, Self, TypeAlias

from pydantic import Field, model_validator

from medmm.settings import Settings

ImageName: TypeAlias = Literal["radiograph", "ct"]
SignalName: TypeAlias = Literal["ecg", "heart_sound"]
InputName: TypeAlias = Literal["radiograph", "ct", "laboratory", "note", "ecg", "heart_sound"]
Leak: TypeAlias = Literal["none", "column", "word", "marker"]

INPUT_NAMES: tuple[InputName, ...] = ("radiograph", "ct", "laboratory", "note", "ecg", "heart_sound")
"""In the order in which their absence is drawn: a new name stands last, so that the others stay as they are."""

SIGNAL_NAMES: tuple[SignalName, ...] = ("ecg", "heart_sound")

LARGEST_NUMBER = 500_000
"""Numbers of persons stay below it, so that identifiers of persons registered twice can stand above it."""


class SyntheticSettings(Settings):
    """A population, how strongly each input tells of its diagnosis, and the faults planted in the export."""

    patients: int = Field(200, ge=1, le=LARGEST_NUMBER)
    """Persons with at least one study; some have two or three."""

    first_patient: int = Field(0, ge=0, le=LARGEST_NUMBER)
    """Number of the first person: exports whose numbers do not overlap hold other people of the same population."""

    seed: int = Field(0, ge=0, lt=2**32)
    """A person's data depends on this, on the person's number and on the settings below, not on how many others are made."""

    prevalence: float = Field(0.4, gt=0, lt=1)
    """Share of studies with the diagnosis, before label noise."""

    image_strength: float = Field(2.7, ge=0, le=20)
    """Log-odds of the diagnosis for one standard deviation of the image's latent; 0 makes the images noise."""

    laboratory_strength: float = Field(2.4, ge=0, le=20)
    """Log-odds of the diagnosis for one standard deviation of the laboratory's latent; 0 makes the values noise."""

    note_strength: float = Field(2.8, ge=0, le=20)
    """Log-odds of the diagnosis that an affirmed finding adds and a denied one takes away; 0 makes the notes noise."""

    signal_strength: float = Field(2.6, ge=0, le=20)
    """Log-odds of the diagnosis for one standard deviation of the signals' latent, if there are signals; 0 makes them noise."""

    images: tuple[ImageName, ...] = ("radiograph", "ct")
    """Kinds of image that a study has."""

    radiograph_size: int = Field(128, ge=32, le=2048)
    """Rows and columns of a radiograph; JPEG 2000 needs 32 here too."""

    ct_size: int = Field(48, ge=32, le=512)
    """Rows and columns of a CT slice; JPEG 2000 with its usual six resolutions needs 32."""

    ct_slices: int = Field(16, ge=4, le=256)
    """Slices of a CT."""

    signals: tuple[SignalName, ...] = ()
    """Kinds of signal that a study has: a 12-lead ECG, a sound recorded over the heart."""

    ecg_rate_hz: int = Field(500, ge=200, le=1000)
    """Samples a second of an ECG; the limits are those of PS3.3, section A.34.3.4."""

    ecg_seconds: float = Field(10.0, ge=1, le=16)
    """Duration of an ECG; with 16 s at the highest rate a lead has fewer than the 16384 samples that the section allows."""

    sound_rate_hz: int = Field(2000, ge=1000, le=48000)
    """Samples a second of a heart sound; its highest component, the murmur, ends at 400 Hz."""

    sound_seconds: float = Field(8.0, ge=1, le=60)
    """Duration of a heart sound."""

    absent: Mapping[InputName, Annotated[float, Field(ge=0, le=1)]] = dict.fromkeys(INPUT_NAMES, 0.1)
    """Share of studies that lack an input, at random; 0 for an input that is not named."""

    absent_by_label: Mapping[InputName, Annotated[float, Field(ge=-1, le=1)]] = {}
    """Added to the share among studies with the diagnosis only, so that absence itself tells of it; may be negative."""

    label_noise: float = Field(0.0, ge=0, le=1)
    """Share of studies whose recorded diagnosis is wrong."""

    leak: Leak = "none"
    """What gives the recorded diagnosis away: a column of studies.csv, a word in the notes, a marker in the images' corner."""

    duplicate_patients: int = Field(0, ge=0)
    """Persons, counted from the first, whose records also stand under a second patient_id."""

    site_effect: float = Field(0.0, ge=0, le=5)
    """How far the sites lie apart in the log-odds of the diagnosis, in brightness of images, in noise of images and signals."""

    drift: float = Field(0.0, ge=-1, le=5)
    """Brighter and noisier images, noisier signals, higher laboratory values, in all studies: a later time at the hospital."""

    unlabelled: bool = False
    """Leave the diagnosis column out of studies.csv, as in an export of new studies."""

    broken: int = Field(0, ge=0)
    """Studies with a series that must be refused: in turn, a CT that lacks a slice and a file that ends too early."""

    broken_signals: int = Field(0, ge=0)
    """Further studies with a signal that must be refused: in turn, an ECG with a flat chest lead and a sound cut short."""

    @model_validator(mode="after")
    def _persons_suffice(self) -> Self:
        if self.duplicate_patients > self.patients:
            raise ValueError(f"duplicate_patients {self.duplicate_patients} exceeds patients {self.patients}: lower it")
        if self.first_patient + self.patients > LARGEST_NUMBER:
            raise ValueError(f"first_patient + patients exceeds {LARGEST_NUMBER}: lower either")
        if self.broken_signals and not self.signals:
            raise ValueError(f"broken_signals {self.broken_signals} needs signals: name 'ecg', 'heart_sound' or both")
        return self
