"""What the header of a DICOM file says of people: names in their forms, identifiers, dates of birth, addresses, numbers.

Source: DICOM PS3.5, section 6.2.1 (person names); PS3.15, annex E, table E.1-1.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, fields
from datetime import datetime
from functools import cached_property
from typing import TYPE_CHECKING

from medmm.privacy.folded import spellings
from medmm.privacy.known import KnownValues
from medmm.privacy.terms import words_of

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

IDENTIFIERS = words_of(
    "PatientID OtherPatientIDs AccessionNumber AdmissionID ServiceEpisodeID FillerOrderNumberImagingServiceRequest "
    "PlacerOrderNumberImagingServiceRequest MedicalRecordLocator StudyID RequestedProcedureID ScheduledProcedureStepID "
    "PerformedProcedureStepID InsurancePlanIdentification DeviceSerialNumber"
)
BIRTH_DATES = frozenset({"PatientBirthDate", "PatientBirthDateInAlternativeCalendar"})
ADDRESSES = frozenset(
    {"PatientAddress", "PersonAddress", "ResponsibleOrganization", "RegionOfResidence", "ReferringPhysicianAddress"}
)
PHONES = frozenset(
    {"PatientTelephoneNumbers", "PersonTelephoneNumbers", "ReferringPhysicianTelephoneNumbers", "PatientTelecomInformation"}
)
NOBODY = frozenset({"", "UNKNOWN", "ANONYMOUS", "ANON", "NONE", "N/A", "NA", "NO", "XXX", "ANONYMIZED"})
"""What stands for a name or an identifier where there is none."""

LONGEST = 256
"""Letters of a value that is still looked for."""

DEPTH_LIMIT = 16
"""Sequences within sequences that are looked through."""

SHORTEST_WORD, SHORTEST_PART = 2, 5
"""Letters of what is found where it stands as a word, and where it stands within a word."""


@dataclass(frozen=True)
class Person:
    """Whose header it is.

    Attributes:
        patient_id: As it stands.
        known: What is struck wherever it stands.
    """

    patient_id: str
    known: KnownValues

    def is_named_in(self, text: str) -> bool:
        """Tell whether a text that is no term holds a word, or the inside of a word, that tells of a person."""
        folded = text.casefold()
        words = set(re.findall(r"[^\W_]+", folded))
        for value in self._values:
            if (value in words and len(value) >= SHORTEST_WORD) or (len(value) >= SHORTEST_PART and value in folded):
                return True
        return False

    @cached_property
    def _values(self) -> frozenset[str]:
        known = self.known
        values = {
            value.casefold() for kind in (known.names, known.identifiers, known.addresses, known.phones) for value in kind
        }
        values |= {form for name in known.names for form in spellings(name)}
        return frozenset(values | {form for day in known.birth_dates for form in (day, day.replace("-", ""))})


def known_of(dataset: Dataset) -> KnownValues:
    """Give what a header says of people, sequences within sequences included."""
    names: dict[str, None] = {}
    found: dict[str, dict[str, None]] = {kind: {} for kind in ("identifiers", "birth_dates", "addresses", "phones")}
    for keyword, representation, value in _texts(dataset, 0):
        if representation == "PN":
            names.update(dict.fromkeys(form for name in _as_meant(value) for form in forms_of(name)))
        elif keyword in IDENTIFIERS:
            found["identifiers"][value] = None
        elif keyword in BIRTH_DATES and (day := _iso(value)):
            found["birth_dates"][day] = None
        elif keyword in ADDRESSES:
            found["addresses"][value] = None
        elif keyword in PHONES:
            found["phones"][value] = None
    kept = {kind: tuple(one for one in values if one.upper() not in NOBODY) for kind, values in found.items()}
    return KnownValues(tuple(names), **kept)


def joined(parts: Iterable[KnownValues]) -> KnownValues:
    """Give what several headers of one patient say together."""
    parts = tuple(parts)
    whole = {
        field.name: tuple(dict.fromkeys(value for part in parts for value in getattr(part, field.name)))
        for field in fields(KnownValues)
    }
    return KnownValues(**whole)


def forms_of(name: str) -> Iterator[str]:
    """Give the forms of a person name: as it stands, as people write it, and each of its components.

    Args:
        name: As in a header: up to three groups (letters, ideographs, sounds) of up to five components each.
    """
    for group in name.split("="):
        parts = [part.strip() for part in group.split("^")]
        components = [part for part in parts[:3] if part]
        if not components or group.strip(" ^").upper() in NOBODY:
            continue
        yield group.strip(" ^")
        family, *given = components
        if given:
            first = given[0]
            yield from (f"{family} {first}", f"{first} {family}", f"{family}, {first}", f"{family}{first}", f"{family}^{first}")
            yield f"{' '.join(given)} {family}"
        for component in components:
            yield component
            words = re.split(r"[\s-]+", component)
            yield from (word for word in words if len(words) > 1 and len(word) > 1)


def _as_meant(name: str) -> Iterator[str]:
    """Give a name as it was read, and as it was meant where a header in UTF-8 does not say so."""
    yield name
    try:
        meant = name.encode("latin-1").decode()
    except UnicodeError:
        return
    if meant != name:
        yield meant


def _texts(dataset: Dataset, depth: int) -> Iterator[tuple[str, str, str]]:
    """Give keyword, value representation and text of every value that may tell of a person."""
    interesting = IDENTIFIERS | BIRTH_DATES | ADDRESSES | PHONES
    for tag in list(dataset.keys()):
        try:
            element = dataset[tag]
            if element.VR == "SQ":
                if depth < DEPTH_LIMIT:
                    for item in element.value:
                        yield from _texts(item, depth + 1)
                continue
            if element.VR != "PN" and element.keyword not in interesting:
                continue
            for value in element.value if element.VM > 1 else [element.value]:
                text = str(value or "").strip(" \0")[:LONGEST]
                if text:
                    yield element.keyword, element.VR, text
        except (ValueError, TypeError, AttributeError, KeyError, NotImplementedError, OverflowError, UnicodeError):
            continue  # a value that breaks its rules; it is not copied either


def _iso(text: str) -> str:
    try:
        return datetime.strptime(text, "%Y%m%d").date().isoformat()
    except ValueError:
        return ""
