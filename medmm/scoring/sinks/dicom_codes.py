"""The concepts of a report, coded: the standard's own where they exist, else those of the scheme 99MEDMM, which is declared.

Source: DICOM PS3.16, annex D (DCM) and CID 230 (SNOMED CT for yes and no); PS3.3, section 8 (codes) and C.12.1.1.4.2 (how a
private scheme is declared); The Unified Code for Units of Measure.
"""

from __future__ import annotations

import hashlib
import json
import re
import uuid
from typing import TYPE_CHECKING, NamedTuple

from medmm.readers.units import read_unit
from medmm.scoring.sinks.dicom_source import LONG, one_line
from medmm.settings import Plain

if TYPE_CHECKING:
    from highdicom.sr import CodedConcept

SCHEME = "99MEDMM"
"""Designators of private schemes begin with 99 (PS3.3, section 8.2)."""

SCHEME_NAME = "Answers of medmm, a research workflow"

CODE_DIGITS = 12
"""Hexadecimal digits of the code of a class, by its name: a code of 14 characters, where 16 are allowed."""

MOST_UNIT = 62
"""Characters of a unit in words, which stands in braces."""


class Concept(NamedTuple):
    """A coded concept."""

    value: str
    scheme: str
    meaning: str

    def coded(self) -> CodedConcept:
        """Give it as it stands in a document."""
        from highdicom.sr import CodedConcept

        return CodedConcept(self.value, self.scheme, self.meaning)


PROBABILITY = Concept("122157", "DCM", "Probability")
YES, NO = Concept("373066001", "SCT", "Yes"), Concept("373067005", "SCT", "No")
NO_UNITS = Concept("1", "UCUM", "no units")
EVALUATIONS = Concept("C0034375", "UMLS", "Qualitative Evaluations")
COMMENT = Concept("121106", "DCM", "Comment")

DISCLAIMER = Concept("DISCLAIMER", SCHEME, "Disclaimer")
DECISION = Concept("DECISION", SCHEME, "Said by the model, at its threshold")
POSSIBLE = Concept("POSSIBLE", SCHEME, "Cannot be ruled out, by a conformal set")
OPPOSITE_POSSIBLE = Concept("OTHER_POSSIBLE", SCHEME, "Its contrary cannot be ruled out, by a conformal set")
INTERVAL_LOW = Concept("INTERVAL_LOW", SCHEME, "Lower end of the conformal interval")
INTERVAL_HIGH = Concept("INTERVAL_HIGH", SCHEME, "Upper end of the conformal interval")
GRADE = Concept("GRADE", SCHEME, "Grade that the model says")
ABSTAIN = Concept("ABSTAIN", SCHEME, "Abstains: no answer should be relied on")
ABSTAIN_WHY = Concept("ABSTAIN_WHY", SCHEME, "Reason to abstain")
ALERT, FLAG = Concept("ALERT", SCHEME, "Alert of a clinical rule"), Concept("FLAG", SCHEME, "Flag of a clinical rule")
RULE = Concept("RULE", SCHEME, "Clinical rule that fired")
INPUTS = Concept("INPUTS", SCHEME, "Inputs of the model that the study has")

PROCEDURES = {
    "CT": Concept("77477000", "SCT", "Computed tomography"),
    "MG": Concept("71651007", "SCT", "Mammography"),
    "CR": Concept("168537006", "SCT", "Plain radiography"),
    "DX": Concept("168537006", "SCT", "Plain radiography"),
}
"""Modality -> procedure reported."""

IMAGING = Concept("363679005", "SCT", "Imaging procedure")


def own_concept(name: str) -> Concept:
    """Give the concept of a class or value that only the model knows, by its name."""
    return Concept(f"C-{hashlib.sha256(name.encode()).hexdigest()[:CODE_DIGITS]}", SCHEME, one_line(name, LONG) or "unnamed")


def unit_of(text: str) -> Concept:
    """Give a unit as UCUM has it; one that it does not know becomes an annotation, which counts as no unit."""
    if not text.strip():
        return NO_UNITS
    if read_unit(text) is not None and all("!" <= letter <= "~" for letter in text):
        return Concept(text, "UCUM", text)
    words = re.sub(r"[^!-z|~]+", "_", text)[:MOST_UNIT]
    return Concept(f"{{{words}}}", "UCUM", one_line(text, LONG) or words)


def uid_of(*parts: Plain) -> str:
    """Give the UID that the same parts always have: below 2.25, from a UUID that is made of a hash (PS3.5, B.2)."""
    content = json.dumps(parts, sort_keys=True, ensure_ascii=True).encode()
    return f"2.25.{uuid.UUID(bytes=hashlib.sha256(content).digest()[:16], version=5).int}"
