"""Laboratory values and clinical notes of a study, as rows of labs.csv and notes.csv.

C-reactive protein and leucocytes each carry the laboratory's latent plus or minus a nuisance: only both together tell all.
"""

from collections.abc import Iterator
from datetime import timedelta
from typing import TypeAlias

import numpy as np

from medmm.cohort.synthetic.settings import SyntheticSettings
from medmm.cohort.synthetic.truth import Purpose, StudyTruth, stream

Row: TypeAlias = dict[str, str]

DRAW_NOISE = 0.3
"""Standard deviation of one draw about the person's state, in units of the latent."""

HOURS_BEFORE = ((30.0, 60.0), (12.0, 24.0), (1.0, 6.0))
HOURS_AFTER = (12.0, 48.0)
GIVEAWAY_CRP_MG_PER_L = {True: 300.0, False: 2.0}
"""C-reactive protein once the study is over, by recorded diagnosis: what a reader that ignores time finds."""

UNITS = {"crp": "mg/L", "wbc": "10*9/L", "creatinine": "umol/L", "haemoglobin": "g/L"}

TELLING = (
    ("productive cough", "rigors"),
    ("drenching sweats", "shaking chills"),
)
OTHER = (
    ("ankle swelling", "palpitations"),
    ("abdominal pain", "nausea"),
    ("headache", "dizziness"),
    ("heartburn", "poor appetite"),
)
AFFIRMED = (
    "Reports {0} with {1} for {2} days.",
    "Presents with {0}, also {1} over the past {2} days.",
)
DENIED = (
    "Denies {0} or {1} in the past {2} days.",
    "There has been no {0} and no {1} for {2} days.",
)
OTHER_AFFIRMED = 0.7
"""Share of the other symptoms that are there; the rest are denied, so a negation alone says little."""

EXAMINATIONS = (
    "Alert and orientated, heart sounds normal.",
    "Comfortable at rest, abdomen soft and not tender.",
    "Mild tachycardia, skin warm and dry.",
    "Talks in full sentences, no oedema.",
)
MEDICATIONS = ("ramipril", "metformin", "levothyroxine", "none regular", "atorvastatin", "inhaled salbutamol")
WORD_SENTENCE = "Referred for suspected pneumonia."


def laboratory_rows(study: StudyTruth, settings: SyntheticSettings) -> Iterator[Row]:
    """Give several draws before the study and one, not to be read, 12 to 48 hours after it; none where they are absent."""
    if "laboratory" in study.absent:
        return
    rng = stream(settings, Purpose.LABORATORY, study.person.number, study.order)
    draws = int(rng.integers(2, len(HOURS_BEFORE) + 1))
    for hours in HOURS_BEFORE[-draws:]:
        values = _draw_values(rng, study, settings.drift)
        time = study.time - timedelta(hours=float(rng.uniform(*hours)))
        for code, value in values.items():
            yield _laboratory_row(study, time.isoformat(timespec="seconds"), code, value)
    time = study.time + timedelta(hours=float(rng.uniform(*HOURS_AFTER)))
    giveaway = GIVEAWAY_CRP_MG_PER_L[study.label] * float(rng.uniform(0.8, 1.2))
    yield _laboratory_row(study, time.isoformat(timespec="seconds"), "crp", giveaway)


def note_rows(study: StudyTruth, settings: SyntheticSettings) -> Iterator[Row]:
    """Give the clinical history, written before the study; none where it is absent."""
    if "note" in study.absent:
        return
    rng = stream(settings, Purpose.NOTE, study.person.number, study.order)
    time = study.time - timedelta(minutes=int(rng.integers(20, 240)))
    yield {
        "patient_id": study.patient_id,
        "study_id": study.study_id,
        "time": time.isoformat(timespec="seconds"),
        "text": _note(rng, study, settings.leak == "word" and study.label),
    }


def _draw_values(rng: np.random.Generator, study: StudyTruth, drift: float) -> dict[str, float]:
    raised = (study.laboratory + study.laboratory_nuisance) / np.sqrt(2) + rng.normal(0, DRAW_NOISE)
    opposed = (study.laboratory - study.laboratory_nuisance) / np.sqrt(2) + rng.normal(0, DRAW_NOISE)
    return {
        "crp": float(np.clip(30 * np.exp(raised + 0.5 * drift), 0.3, 550)),
        "wbc": float(np.clip(9.5 + 3 * opposed + 1.5 * drift, 0.5, 60)),
        "creatinine": float(np.clip(80 * np.exp(rng.normal(0, 0.25)) + 8 * drift, 20, 1500)),
        "haemoglobin": float(np.clip(rng.normal(132, 14) + 6 * drift, 50, 220)),
    }


def _laboratory_row(study: StudyTruth, time: str, code: str, value: float) -> Row:
    return {"patient_id": study.patient_id, "time": time, "code": code, "value": f"{value:.1f}", "unit": UNITS[code]}


def _note(rng: np.random.Generator, study: StudyTruth, named: bool) -> str:
    """Write one sentence on the telling symptoms, or none, among sentences on others."""
    others = rng.permutation(len(OTHER))[: 3 if study.finding == "unmentioned" else 2]
    sentences = [_sentence(rng, OTHER[other], bool(rng.random() < OTHER_AFFIRMED)) for other in others]
    if study.finding != "unmentioned":
        telling = TELLING[int(rng.integers(len(TELLING)))]
        sentences.append(_sentence(rng, telling, study.finding == "affirmed"))
    history = " ".join(sentences[place] for place in rng.permutation(len(sentences)))
    noun = {"F": "woman", "M": "man"}[study.person.sex]
    request = "Please assess." if not named else WORD_SENTENCE
    return (
        f"History: {study.age_years} year old {noun}. {history}\n"
        f"Medication: {rng.choice(MEDICATIONS)}.\n"
        f"Examination: {rng.choice(EXAMINATIONS)} Oxygen saturation {rng.integers(92, 100)} %.\n"
        f"Request: {request}"
    )


def _sentence(rng: np.random.Generator, symptoms: tuple[str, str], affirmed: bool) -> str:
    templates = AFFIRMED if affirmed else DENIED
    first, second = rng.permutation(symptoms)
    sentence = templates[int(rng.integers(len(templates)))].format(first, second, rng.integers(2, 10))
    return sentence[0].upper() + sentence[1:]
