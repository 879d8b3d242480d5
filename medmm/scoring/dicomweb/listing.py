"""What a DICOMweb server lists, in the DICOM JSON Model, and what of it is believed.

Source: DICOM PS3.18, annex F (DICOM JSON Model) and section 10.6.3 (results of searches).
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any

UID = re.compile(r"[0-9]+(\.[0-9]+)*")
"""PS3.5, section 9.1. Zeros at the beginning of a component are not legal, but met."""

LETTERS = 64
"""Most of a UID, or of a patient's identifier (PS3.5, section 6.2)."""

STUDY, SERIES, INSTANCE = "0020000D", "0020000E", "00080018"
PATIENT, MODALITY, MODALITIES = "00100020", "00080060", "00080061"
INSTANCES_OF_STUDY, INSTANCES_OF_SERIES = "00201208", "00201209"


@dataclass(frozen=True)
class Search:
    """Which studies of a server are wanted.

    Attributes:
        modalities: A study with a series of one of these; any where empty.
        first_day, last_day: Of the study dates; None where there is no limit.
        most: How many studies at most; None takes all.
    """

    modalities: tuple[str, ...] = ()
    first_day: date | None = None
    last_day: date | None = None
    most: int | None = None

    def days(self) -> str | None:
        """Give the range of study dates as QIDO-RS writes it; None where there is none."""
        if self.first_day is None and self.last_day is None:
            return None
        return "-".join("" if day is None else f"{day:%Y%m%d}" for day in (self.first_day, self.last_day))


@dataclass(frozen=True)
class RemoteStudy:
    """A study as a server lists it.

    Attributes:
        uid: Study Instance UID.
        patient_id: As the server says; "" where it does not.
        instances: How many it has; None where the server does not say.
    """

    uid: str
    patient_id: str
    instances: int | None


@dataclass(frozen=True)
class RemoteInstance:
    """An instance as a server lists it: the UIDs of its study, its series and itself."""

    study: str
    series: str
    uid: str


def texts_in(row: Mapping[str, Any], tag: str) -> tuple[str, ...]:
    """Give the values of an attribute of a result that are text or numbers."""
    entry = row.get(tag)
    values = entry.get("Value") if isinstance(entry, dict) else None
    return tuple(str(value) for value in values if isinstance(value, str | int)) if isinstance(values, list) else ()


def uid_in(row: Mapping[str, Any], tag: str) -> str | None:
    """Give a UID of a result; None where there is none, or what stands there is none."""
    text = next(iter(texts_in(row, tag)), "")
    return text if len(text) <= LETTERS and UID.fullmatch(text) else None


def count_in(row: Mapping[str, Any], tag: str) -> int | None:
    """Give a number of a result that counts something; None where it has none."""
    text = next(iter(texts_in(row, tag)), "").strip()
    return int(text) if text.isascii() and text.isdecimal() and len(text) <= 9 else None


def study_in(row: Mapping[str, Any]) -> RemoteStudy | None:
    """Give the study of a result; None where its UID cannot be used."""
    uid = uid_in(row, STUDY)
    patient = next(iter(texts_in(row, PATIENT)), "")
    return (
        None if uid is None else RemoteStudy(uid, patient if len(patient) <= LETTERS else "", count_in(row, INSTANCES_OF_STUDY))
    )
