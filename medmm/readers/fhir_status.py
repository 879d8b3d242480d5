"""Which FHIR records count by their status: one that says it was a mistake, never came to be or is a mere intention does not.

Source: FHIR R4 (4.0.1), the value sets that are bound to the status of each type.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from medmm.readers.facts import malformed
from medmm.readers.fhir_facts import condition_status
from medmm.readers.fhir_values import text
from medmm.readers.strict_json import Json

STATUS: Mapping[str, tuple[Callable[[Json], str], tuple[str, ...], tuple[str, ...]]] = {
    "Observation": (
        lambda one: text(one, "status"),
        ("registered", "preliminary", "final", "amended", "corrected", "unknown"),
        ("cancelled", "entered-in-error"),
    ),
    "Condition": (
        condition_status,
        ("unconfirmed", "provisional", "confirmed"),
        ("differential", "refuted", "entered-in-error"),
    ),
    "AllergyIntolerance": (condition_status, ("unconfirmed", "confirmed"), ("refuted", "entered-in-error")),
    "Procedure": (
        lambda one: text(one, "status"),
        ("in-progress", "stopped", "completed", "unknown"),
        ("preparation", "not-done", "on-hold", "entered-in-error"),
    ),
    "MedicationRequest": (
        lambda one: text(one, "status"),
        ("active", "on-hold", "completed", "stopped", "unknown"),
        ("cancelled", "entered-in-error", "draft"),
    ),
    "Encounter": (
        lambda one: text(one, "status"),
        ("arrived", "triaged", "in-progress", "onleave", "finished", "unknown"),
        ("planned", "cancelled", "entered-in-error"),
    ),
    "DiagnosticReport": (
        lambda one: text(one, "status"),
        ("registered", "partial", "preliminary", "final", "amended", "corrected", "appended", "unknown"),
        ("cancelled", "entered-in-error"),
    ),
    "DocumentReference": (lambda one: text(one, "status"), ("current", "superseded"), ("entered-in-error",)),
    "ImagingStudy": (
        lambda one: text(one, "status"),
        ("registered", "available", "unknown"),
        ("cancelled", "entered-in-error"),
    ),
}
"""Type -> how to ask for its status, the codes of R4 that count, and those that leave the record out."""

INTENTIONS = ("proposal", "plan", "option")
"""Intents of a MedicationRequest that order nothing."""


def why_left_out(resource: Json, kind: str) -> str:
    """Give under which words a record that does not count is counted, "" for one that counts.

    Raises:
        Rejected: MALFORMED for a status that the standard does not have.
    """
    ask, kept, left = STATUS[kind]
    status = ask(resource)
    if status in left:
        return f"{kind} with the status {status}"
    if status not in kept:
        raise malformed(f"{kind}, its status", "no status of the standard", f"one of {', '.join(kept + left)}")
    if kind == "MedicationRequest" and (text(resource, "intent") in INTENTIONS or resource.get("doNotPerform") is True):
        return "MedicationRequest that orders nothing"
    if kind == "DocumentReference" and resource.get("docStatus") == "entered-in-error":
        return "DocumentReference with the status entered-in-error"
    return ""
