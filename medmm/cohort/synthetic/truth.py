"""What is true of every study: who it is of, its latents, its diagnosis, and what its records lack. Nothing is rendered here.

The latents of image, laboratory, note and signal are independent of each other, so each input tells what no other does.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from enum import IntEnum
from typing import Literal, TypeAlias

import numpy as np
from pydicom.uid import generate_uid

from medmm.cohort.synthetic.settings import INPUT_NAMES, LARGEST_NUMBER, SIGNAL_NAMES, InputName, SignalName, SyntheticSettings
from medmm.types import Array

Finding: TypeAlias = Literal["affirmed", "unmentioned", "denied"]
Fault: TypeAlias = Literal["", "gap", "truncated"]
SignalFault: TypeAlias = Literal["", "flat", "truncated"]

SITE_SHARES = {"A": 0.5, "B": 0.3, "C": 0.2}
SITE_SHIFTS = {"A": 0.0, "B": 1.0, "C": -1.0}
FINDING_SHARES: dict[Finding, float] = {"denied": 0.2, "unmentioned": 0.4, "affirmed": 0.4}
FINDING_LATENTS: dict[Finding, float] = {"denied": -1.0, "unmentioned": -0.6, "affirmed": 1.0}
FINDING_BOUNDS = {"denied": -0.842, "affirmed": 0.253}
"""Quantiles 0.2 and 0.6 of the standard normal distribution, which give the shares above."""

STUDY_COUNT_SHARES = (0.6, 0.25, 0.15)
WITHIN_PATIENT_CORRELATION = 0.5
FIRST_DAY = datetime(2022, 1, 1, 8)
DAYS_BETWEEN_STUDIES = (30, 400)
FAULTS: tuple[Fault, ...] = ("gap", "truncated")
SIGNAL_FAULTS: dict[SignalFault, SignalName] = {"flat": "ecg", "truncated": "heart_sound"}
"""Fault -> the signal that has it."""


SURNAMES = ("Novak", "O'Brien", "Müller", "Lindqvist", "Da Silva", "Okafor", "Yılmaz", "Kowalska", "Tanaka", "Null")
GIVEN_NAMES = {"F": ("Ana", "Siobhán", "Greta", "Ngozi", "Elif"), "M": ("Ivo", "Seán", "Lars", "Chidi", "Emre")}


class Purpose(IntEnum):
    """Keeps the streams of random numbers of one study apart, so that a setting that changes one leaves the others alone."""

    PERSON = 0
    LATENTS = 1
    DIAGNOSIS = 2
    LABEL_NOISE = 3
    ABSENCE = 4
    LABORATORY = 5
    NOTE = 6
    CHEST = 7
    RADIOGRAPH_NOISE = 8
    CT_NOISE = 9
    RADIOGRAPH_STORAGE = 10
    CT_STORAGE = 11
    CT_ARRANGEMENT = 12
    SIGNAL_PERSON = 13
    SIGNAL = 14
    HEART = 15
    ECG = 16
    ECG_STORAGE = 17
    HEART_SOUND = 18


@dataclass(frozen=True)
class Person:
    """Somebody who comes to the hospital; `name` is a DICOM person name, family name first."""

    number: int
    name: str
    sex: str
    birth_date: date
    site: str


@dataclass(frozen=True)
class StudyTruth:
    """All that is true of a study.

    Attributes:
        person: Who it is of.
        order: Which of the person's studies, from 0.
        patient_id: As the hospital calls the person; two of them where the person was registered twice.
        study_id: As the hospital calls the study: the accession number.
        study_uid: DICOM Study Instance UID.
        time: When the images were made.
        image: Latent of the images, standard normal.
        laboratory: Latent of the laboratory values, standard normal.
        laboratory_nuisance: Raises one laboratory value and lowers the other, standard normal; tells nothing of the diagnosis.
        signal: Latent of the signals, standard normal.
        finding: What the note says of the telling symptoms.
        probability: Of the diagnosis, given the latents and the site.
        diagnosis: Drawn from the probability.
        label: The recorded diagnosis, after label noise.
        absent: Inputs that this study lacks.
        broken: Fault planted in its series.
        broken_signal: Fault planted in one of its signals.
    """

    person: Person
    order: int
    patient_id: str
    study_id: str
    study_uid: str
    time: datetime
    image: float
    laboratory: float
    laboratory_nuisance: float
    signal: float
    finding: Finding
    probability: float
    diagnosis: bool
    label: bool
    absent: frozenset[InputName]
    broken: Fault = ""
    broken_signal: SignalFault = ""

    @property
    def note(self) -> float:
        """Latent of the note: -1, 0 or 1."""
        return FINDING_LATENTS[self.finding]

    @property
    def age_years(self) -> int:
        """Completed years at the time of the study."""
        birth = self.person.birth_date
        return self.time.year - birth.year - ((self.time.month, self.time.day) < (birth.month, birth.day))


def stream(settings: SyntheticSettings, purpose: Purpose, number: int, order: int = 0) -> np.random.Generator:
    """Give the random numbers for one purpose in one study, the same whatever else is drawn."""
    return np.random.default_rng((settings.seed, number, order, int(purpose)))


def draw_truth(settings: SyntheticSettings) -> list[StudyTruth]:
    """Draw every study of the cohort, ordered by person and time; a second registration follows the first."""
    bias = balancing_bias(settings)
    studies: list[StudyTruth] = []
    for place in range(settings.patients):
        drawn = list(_draw_person_studies(settings, settings.first_patient + place, bias))
        studies += drawn
        if place < settings.duplicate_patients:
            studies += [_registered_again(study, settings.seed) for study in drawn]
    return list(_with_signal_faults(_with_faults(studies, settings), settings))


def balancing_bias(settings: SyntheticSettings) -> float:
    """Find the log-odds to which the effects are added, so that the mean probability is the prevalence."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(61)
    spread = np.hypot(np.hypot(settings.image_strength, settings.laboratory_strength), _signal_strength(settings))
    note = settings.note_strength * np.array([FINDING_LATENTS[finding] for finding in FINDING_SHARES])
    site = settings.site_effect * np.array([SITE_SHIFTS[name] for name in SITE_SHARES])
    effects = spread * nodes[:, None, None] + note[:, None] + site
    shares = weights[:, None, None] * np.array([*FINDING_SHARES.values()])[:, None] * np.array([*SITE_SHARES.values()])
    shares /= shares.sum()
    low, high = -100.0, 100.0
    for _ in range(60):
        middle = (low + high) / 2
        if (shares * _probability(middle + effects)).sum() < settings.prevalence:
            low = middle
        else:
            high = middle
    return (low + high) / 2


def _draw_person_studies(settings: SyntheticSettings, number: int, bias: float) -> Iterator[StudyTruth]:
    rng = stream(settings, Purpose.PERSON, number)
    person = _draw_person(rng, number)
    common = rng.normal(size=4)
    time = FIRST_DAY + timedelta(days=int(rng.integers(700)))
    for order in range(1 + int(rng.choice(len(STUDY_COUNT_SHARES), p=STUDY_COUNT_SHARES))):
        minutes = int(rng.integers(600))
        yield _draw_study(settings, person, order, time + timedelta(minutes=minutes), common, bias)
        time += timedelta(days=int(rng.integers(*DAYS_BETWEEN_STUDIES)) + 1)


def _draw_person(rng: np.random.Generator, number: int) -> Person:
    sex = str(rng.choice(["F", "M"]))
    name = f"{rng.choice(SURNAMES)}^{rng.choice(GIVEN_NAMES[sex])}"
    birth_date = date(1932, 1, 1) + timedelta(days=int(rng.integers(72 * 365)))
    site = str(rng.choice([*SITE_SHARES], p=[*SITE_SHARES.values()]))
    return Person(number, name, sex, birth_date, site)


def _draw_study(
    settings: SyntheticSettings, person: Person, order: int, time: datetime, common: Array, bias: float
) -> StudyTruth:
    own = stream(settings, Purpose.LATENTS, person.number, order).normal(size=4)
    latents = np.sqrt(WITHIN_PATIENT_CORRELATION) * common + np.sqrt(1 - WITHIN_PATIENT_CORRELATION) * own
    image, laboratory, nuisance, symptoms = (float(latent) for latent in latents)
    signal = _draw_signal_latent(settings, person.number, order)
    finding = _finding(symptoms)
    log_odds = (
        bias
        + settings.image_strength * image
        + settings.laboratory_strength * laboratory
        + settings.note_strength * FINDING_LATENTS[finding]
        + settings.site_effect * SITE_SHIFTS[person.site]
        + _signal_strength(settings) * signal
    )
    probability = float(_probability(np.array(log_odds)))
    diagnosis = bool(stream(settings, Purpose.DIAGNOSIS, person.number, order).random() < probability)
    wrong = bool(stream(settings, Purpose.LABEL_NOISE, person.number, order).random() < settings.label_noise)
    patient_id, study_id, study_uid = _identifiers(settings.seed, person.number, order)
    return StudyTruth(
        person=person,
        order=order,
        patient_id=patient_id,
        study_id=study_id,
        study_uid=study_uid,
        time=time,
        image=image,
        laboratory=laboratory,
        laboratory_nuisance=nuisance,
        signal=signal,
        finding=finding,
        probability=probability,
        diagnosis=diagnosis,
        label=diagnosis != wrong,
        absent=_draw_absence(settings, person.number, order, diagnosis),
    )


def _signal_strength(settings: SyntheticSettings) -> float:
    """Give the log-odds for one standard deviation of the signals' latent: none where no signal could show it."""
    return settings.signal_strength if settings.signals else 0.0


def _draw_signal_latent(settings: SyntheticSettings, number: int, order: int) -> float:
    """Draw from streams of its own, so that a cohort without signals is what it was before there were any."""
    common = stream(settings, Purpose.SIGNAL_PERSON, number).normal()
    own = stream(settings, Purpose.SIGNAL, number, order).normal()
    return float(np.sqrt(WITHIN_PATIENT_CORRELATION) * common + np.sqrt(1 - WITHIN_PATIENT_CORRELATION) * own)


def _finding(symptoms: float) -> Finding:
    if symptoms < FINDING_BOUNDS["denied"]:
        return "denied"
    return "affirmed" if symptoms > FINDING_BOUNDS["affirmed"] else "unmentioned"


def _draw_absence(settings: SyntheticSettings, number: int, order: int, diagnosis: bool) -> frozenset[InputName]:
    chances = stream(settings, Purpose.ABSENCE, number, order).random(len(INPUT_NAMES))
    absent: set[InputName] = set()
    for name, chance in zip(INPUT_NAMES, chances, strict=True):
        share = settings.absent.get(name, 0.0) + (settings.absent_by_label.get(name, 0.0) if diagnosis else 0.0)
        if name in SIGNAL_NAMES and name not in settings.signals:
            continue
        if chance < share or (name in ("radiograph", "ct") and name not in settings.images):
            absent.add(name)
    return frozenset(absent)


def _identifiers(seed: int, registration: int, order: int) -> tuple[str, str, str]:
    """Give patient_id, study_id and study UID: leading zeros, and an "E" that careless readers take for a power of ten."""
    patient_id = f"{(registration * 7919 + 1234) % (2 * LARGEST_NUMBER):07d}"
    study_uid = generate_uid(entropy_srcs=["study", str(seed), str(registration), str(order)])
    return patient_id, f"{patient_id}E{order + 1}", str(study_uid)


def _registered_again(study: StudyTruth, seed: int) -> StudyTruth:
    patient_id, study_id, study_uid = _identifiers(seed, study.person.number + LARGEST_NUMBER, study.order)
    return replace(study, patient_id=patient_id, study_id=study_id, study_uid=study_uid)


def _with_faults(studies: list[StudyTruth], settings: SyntheticSettings) -> Iterator[StudyTruth]:
    faults = FAULTS if "ct" in settings.images else ("truncated",)
    planted = 0
    for study in studies:
        fault = faults[planted % len(faults)]
        needed = {"ct"} if fault == "gap" else set(settings.images)
        if planted < settings.broken and needed - study.absent:
            planted += 1
            yield replace(study, broken=fault)
        else:
            yield study


def _with_signal_faults(studies: Iterator[StudyTruth], settings: SyntheticSettings) -> Iterator[StudyTruth]:
    """Plant them in studies whose series are whole, so that each study has one fault at most."""
    faults = [fault for fault, name in SIGNAL_FAULTS.items() if name in settings.signals]
    planted = 0
    for study in studies:
        fault = faults[planted % len(faults)] if planted < settings.broken_signals else ""
        if fault and not study.broken and SIGNAL_FAULTS[fault] not in study.absent:
            planted += 1
            yield replace(study, broken_signal=fault)
        else:
            yield study


def _probability(log_odds: Array) -> Array:
    return np.asarray(1 / (1 + np.exp(-log_odds)))
