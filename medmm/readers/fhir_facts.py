"""From FHIR resources to rows of facts: observations, diagnoses, procedures, orders, allergies, encounters.

An Observation gives a row for each code of its value and of each component: Quantity (a comparator stays before the number, as
in `<5`), CodeableConcept (its first code), string, boolean, integer, time and dateTime. Every other resource gives the value
"true" for each of its codes: a later status of it, such as resolved or stopped, would tell what was not known at its time.

The time is when it was known, never when it began: the later of `effective` and `issued`, `recordedDate` and never an onset,
the end of a procedure, `authoredOn`, the start of an encounter. What was amended without being issued anew, and a diagnosis
without `recordedDate`, was known when the server last changed it. Without any of these the time is "", which an input that
reads the row refuses.

Source: FHIR R4 (4.0.1), resources Observation, Condition, Procedure, MedicationRequest, AllergyIntolerance, Encounter.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from medmm.errors import Code, Rejected
from medmm.readers.facts import PRESENT, Rows, malformed, token
from medmm.readers.fhir_values import (
    Coding,
    child,
    children,
    codings,
    known_at,
    last_updated,
    moment,
    reference_of,
    status_of,
    text,
    unit_of,
    value_of,
)
from medmm.readers.strict_json import Json, Number

AMENDED = ("amended", "corrected", "appended")
COMPARATORS = ("<", "<=", ">=", ">")
NOT_READ = ("valueRange", "valueRatio", "valueSampledData", "valuePeriod")


@dataclass(frozen=True)
class Subject:
    """Whose record it is.

    Attributes:
        patient: Id of the Patient.
        encounter: Id of the Encounter, "" where there is none.
    """

    patient: str
    encounter: str


def observation(rows: Rows, resource: Json, subject: Subject) -> None:
    """Add the value and the components of an Observation."""
    time = known_at(resource, "effective[x]", "issued")
    if text(resource, "status") in AMENDED and "issued" not in resource:
        time = last_updated(resource) or time
    found = False
    for holder in (resource, *children(resource, "component")):
        check_modifiers(holder)
        value = value_of(holder)
        if value is None:
            continue
        found = True
        name, content = value
        if name in NOT_READ:
            rows.counts[f"observations with {name}"] += 1
            continue
        written, unit = _write(name, content)
        for code in _codes(child(holder, "code"), "code"):
            _add(rows, subject, time, code, written, unit, "Observation")
    if not found:
        rows.counts["observations without a value"] += 1


def condition(rows: Rows, resource: Json, subject: Subject) -> None:
    """Add a diagnosis."""
    _present(rows, resource, subject, _recorded(resource))


def allergy(rows: Rows, resource: Json, subject: Subject) -> None:
    """Add an allergy."""
    _present(rows, resource, subject, _recorded(resource))


def procedure(rows: Rows, resource: Json, subject: Subject) -> None:
    """Add a procedure."""
    _present(rows, resource, subject, known_at(resource, "performed[x]"))


def encounter(rows: Rows, resource: Json, subject: Subject) -> None:
    """Add the class and the types of an encounter."""
    time = text(child(resource, "period"), "start")
    time = moment(time) if time else ""
    kind = child(resource, "class")
    codes = [(text(kind, "system"), text(kind, "code"))] if "code" in kind else []
    for concept in children(resource, "type"):
        codes += codings(concept)
    for code in codes:
        _add(rows, subject, time, code, PRESENT, "", "Encounter")


def medication(rows: Rows, resource: Json, subject: Subject) -> str:
    """Add an order of a medication, or give the reference of the Medication whose codes it has to be added with."""
    if reference := reference_of(resource, "medicationReference"):
        if not reference.startswith("#"):
            return reference
        for one in children(resource, "contained"):
            if text(one, "id") == reference[1:]:
                add_medication(rows, resource, subject, _codes(child(one, "code"), "code"))
                return ""
        raise Rejected(Code.EMPTY, "medicationReference", "no such medication", "a contained one", "export it")
    add_medication(rows, resource, subject, _codes(child(resource, "medicationCodeableConcept"), "medication"))
    return ""


def add_medication(rows: Rows, resource: Json, subject: Subject, codes: list[Coding]) -> None:
    """Add an order with the codes of its medication."""
    time = known_at(resource, "authoredOn")
    for code in codes:
        _add(rows, subject, time, code, PRESENT, "", "MedicationRequest")


def check_modifiers(holder: Json) -> None:
    """Refuse what changes the meaning of an element in a way that this reader cannot know.

    Raises:
        Rejected: UNSUPPORTED.
    """
    if "modifierExtension" in holder or "implicitRules" in holder:
        raise Rejected(
            Code.UNSUPPORTED,
            "modifierExtension",
            "an extension that changes the meaning",
            "records as the standard defines them",
            "have it exported without, or leave the record out",
        )


def _present(rows: Rows, resource: Json, subject: Subject, time: str) -> None:
    kind = text(resource, "resourceType")
    for code in _codes(child(resource, "code"), "code"):
        _add(rows, subject, time, code, PRESENT, "", kind)


def _recorded(resource: Json) -> str:
    return known_at(resource, "recordedDate") or last_updated(resource)


def _codes(concept: Json, where: str) -> list[Coding]:
    found = codings(concept)
    if not found:
        raise malformed(where, "no code and no text", "what was recorded")
    return found


def _add(rows: Rows, subject: Subject, time: str, code: Coding, value: str, unit: str, kind: str) -> None:
    system, name = code
    rows.facts.append((subject.patient, subject.encounter, time, name, value, unit, system, kind, token(system, name)))


def _write(name: str, content: object) -> tuple[str, str]:
    """Write value[x] as text, with its unit."""
    if name not in WRITERS:
        raise malformed("value[x]", "a type that FHIR does not have", "a value of an Observation")
    return WRITERS[name](content)


def _quantity(content: object) -> tuple[str, str]:
    if type(content) is not dict:
        raise malformed("valueQuantity", "another type", "an object")
    if "value" not in content:
        return "", unit_of(content)
    value = content["value"]
    if type(value) is not Number:
        raise malformed("valueQuantity.value", "no number of JSON", "a decimal")
    comparator = text(content, "comparator")
    if comparator and comparator not in COMPARATORS:
        raise malformed("valueQuantity.comparator", "another word", f"one of {' '.join(COMPARATORS)}")
    return f"{comparator}{value}", unit_of(content)


def _concept(content: object) -> tuple[str, str]:
    if type(content) is not dict:
        raise malformed("valueCodeableConcept", "another type", "an object")
    return _codes(content, "valueCodeableConcept")[0][1], ""


def _boolean(content: object) -> tuple[str, str]:
    if type(content) is not bool:
        raise malformed("valueBoolean", "another type", "true or false")
    return str(content).lower(), ""


def _integer(content: object) -> tuple[str, str]:
    if type(content) is not Number or not content.removeprefix("-").isdigit():
        raise malformed("valueInteger", "another type", "a whole number")
    return str(content), ""


def _text(content: object) -> tuple[str, str]:
    if type(content) is not str:
        raise malformed("value[x]", "another type", "text")
    return content, ""


WRITERS: Mapping[str, Callable[[object], tuple[str, str]]] = {
    "valueQuantity": _quantity,
    "valueCodeableConcept": _concept,
    "valueString": _text,
    "valueBoolean": _boolean,
    "valueInteger": _integer,
    "valueTime": _text,
    "valueDateTime": _text,
}


def condition_status(resource: Json) -> str:
    """Give the status that decides whether a diagnosis or an allergy counts; confirmed where it does not say."""
    return status_of(child(resource, "verificationStatus")) or "confirmed"


def codes_of(resource: Json) -> list[Coding]:
    """Give the codes of a Medication.

    Raises:
        Rejected: MALFORMED where it has none.
    """
    return _codes(child(resource, "code"), "Medication.code")
