"""Words of FHIR R4: codes, quantities, references, texts that every server takes, and ids that the same study always gets.

Source: FHIR R4 (4.0.1), sections 2.24 (data types), 2.3 (references) and 2.4 (narrative); HL7 v3 code systems; UCUM.
"""

import hashlib
import json
import re
from collections.abc import Sequence
from html import escape
from typing import TypeAlias

from medmm.readers.units import read_unit
from medmm.settings import Plain

Element: TypeAlias = dict[str, Plain]

OWN = "urn:oid:2.25.228143749023730087997806456973356835922"
"""System of our own codes: the names of the columns and of the reasons to reject, as `docs/results.md` has them.

An OID that is a UUID (ITU-T X.667), which needs no registration.
"""

MODELS = "urn:oid:2.25.250108513347361099290698126910227252716"
"""System of the digests of packages, which tell models apart."""

UCUM = "http://unitsofmeasure.org"
ABSENT = "http://terminology.hl7.org/CodeSystem/data-absent-reason"
WHY_ABSENT = "http://hl7.org/fhir/StructureDefinition/data-absent-reason"
INTERPRETATION = "http://terminology.hl7.org/CodeSystem/v3-ObservationInterpretation"
SECTION = "http://terminology.hl7.org/CodeSystem/v2-0074"
PARTICIPANT = "http://terminology.hl7.org/CodeSystem/provenance-participant-type"

MARKED: Element = {
    "security": [
        {
            "system": "http://terminology.hl7.org/CodeSystem/v3-ObservationValue",
            "code": "AIAST",
            "display": "Artificial Intelligence asserted",
        },
        {"system": "http://terminology.hl7.org/CodeSystem/v3-ActReason", "code": "HRESCH", "display": "healthcare research"},
    ]
}
"""The security labels by which a server can keep all this out of the care of a patient."""

RESEARCH = "Research use only: research software, not a medical device, not for use in the care of a patient."

XHTML = "http://www.w3.org/1999/xhtml"

FORBIDDEN = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff\ufdd0-\ufdef\ufffe\uffff]")
"""What a string of FHIR, or XML 1.0 in a narrative, cannot hold; a tab and line ends are allowed."""

DELETE, PICTURES, REPLACEMENT = "\x7f", 0x2400, "\ufffd"


def plain(text: str) -> str:
    """Give a text as FHIR can hold it: a control character becomes its picture, what is no letter at all U+FFFD."""
    return FORBIDDEN.sub(lambda found: _sign(found[0]), text)


def _sign(letter: str) -> str:
    if letter == DELETE:
        return "\u2421"
    return chr(PICTURES + ord(letter)) if letter < " " else REPLACEMENT


def is_blank(text: str) -> bool:
    """Tell whether a text has nothing that FHIR would keep; it has no empty string."""
    return not text.strip()


def identity(*parts: str | int) -> str:
    """Give the id that a resource always gets: a UUID of version 8 (RFC 9562), made of the SHA-256 of what it is about."""
    said = hashlib.sha256(json.dumps(parts).encode()).hexdigest()
    variant = "89ab"[int(said[16], 16) % 4]
    return f"{said[:8]}-{said[8:12]}-8{said[13:16]}-{variant}{said[17:20]}-{said[20:32]}"


def coding(system: str, code: str, display: str = "") -> Element:
    """Give a coding; a code has no space but single ones inside."""
    shown: Element = {"display": display} if display else {}
    return {"system": system, "code": " ".join(plain(code).split()), **shown}


def concept(*codings: Element, text: str = "") -> Element:
    """Give a CodeableConcept."""
    return ({"coding": list(codings)} if codings else {}) | ({} if is_blank(text) else {"text": plain(text)})


def quantity(value: float, unit: str, ucum: str = "") -> Element:
    """Give a Quantity.

    Args:
        value: The number.
        unit: In words; "" for a value without one.
        ucum: Its code in UCUM; `unit` itself where that is one, left out where it is none.
    """
    code = ucum or (unit if read_unit(unit) is not None else "")
    coded: Element = {"system": UCUM, "code": code} if code else {}
    return {"value": value, **({} if is_blank(unit) else {"unit": plain(unit)}), **coded}


def share(value: float) -> Element:
    """Give a number in [0, 1], or another one without a dimension."""
    return quantity(value, "1", "1")


def absent(reason: str, *more: Element, text: str = "") -> Element:
    """Give why there is no value, a code of HL7's data-absent-reason."""
    return {"dataAbsentReason": concept(coding(ABSENT, reason), *more, text=text)}


def reference(kind: str, name: str) -> Element:
    """Give the reference to a resource of ours."""
    return {"reference": f"{kind}/{name}"}


def identifier(value: str, what: str, system: str) -> Element:
    """Give an identifier with the name of the column that it comes from.

    Args:
        value: It.
        what: The column.
        system: URI of its number range; "" where nobody told us. Then it says so, for without a system nothing can be matched
            by it but where the receiver knows the system (R4, Identifier); a system of our own making would match nothing, and
            that of another hospital the wrong patient.
    """
    known: Element = {"system": system} if system else {"_system": {"extension": [{"url": WHY_ABSENT, "valueCode": "unknown"}]}}
    return {"type": {"text": plain(what)}, **known, "value": plain(value)}


def imaging_study(uid: str) -> Element:
    """Refer to an imaging study by its StudyInstanceUID (R4, ImagingStudy.identifier), wherever its resource is."""
    return {"type": "ImagingStudy", "identifier": {"system": "urn:dicom:uid", "value": f"urn:oid:{uid}"}}


def narrative(lines: Sequence[str]) -> Element:
    """Give the text that a person reads, a paragraph a line; nothing in it is markup but the paragraphs."""
    body = "".join(f"<p>{escape(plain(line))}</p>" for line in lines)
    return {"status": "generated", "div": f'<div xmlns="{XHTML}">{body}</div>'}
