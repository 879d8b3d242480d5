"""What a DICOMweb server answers to a request to store: which objects it did not take, and why, in words of our own.

Source: DICOM PS3.18, section 10.5 (Store Transaction); PS3.4, annex CC.2.3, and PS3.7, annex C (reasons of failures).
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

FAILED, REASON, INSTANCE = "00081198", "00081197", "00081155"
"""Failed SOP Sequence, and in an item of it Failure Reason and Referenced SOP Instance UID."""

DUPLICATE = 0x0111
"""The server has it, and as an object's UID follows from what it says, it has the same."""

REASONS = {
    0x0106: "an attribute with a value that it does not allow",
    0x0110: "it could not process it",
    0x0117: "an instance that it finds invalid",
    0x0120: "an attribute is missing",
    0x0122: "it does not take this kind of object",
    0x0124: "it is not allowed",
    0xC122: "it does not take this transfer syntax",
}
RANGES = {0xA7: "it has no room", 0xA9: "the object is not as its kind asks", 0xC0: "it cannot understand the object"}
"""First byte of a reason -> what it means."""


@dataclass(frozen=True)
class Unstored:
    """An object that was not stored.

    Attributes:
        uid: Its SOP Instance UID, which is a hash and names nobody.
        why: In words that hold nothing of the server's answer.
    """

    uid: str
    why: str


def unstored(objects: Iterable[str], status: int, answer: object) -> list[Unstored]:
    """Read from an answer which objects were not stored, and why."""
    failures = _failures(answer)
    if failures is None:
        return (
            [] if status == 200 else [Unstored(uid, f"the server gave the status {status} without a reason") for uid in objects]
        )
    if status == 409:  # all failed, also those that it does not name
        failures = {**dict.fromkeys(objects), **failures}
    return [
        Unstored(uid, f"the server refused it: {in_words(failures[uid])}")
        for uid in objects
        if uid in failures and failures[uid] != DUPLICATE
    ]


def _failures(answer: object) -> dict[str, int | None] | None:
    """Give SOP Instance UID -> reason, of what an answer says failed; None where it is no answer."""
    found = answer[0] if isinstance(answer, list) and len(answer) == 1 else answer
    if not isinstance(found, dict):
        return None
    failures: dict[str, int | None] = {}
    for item in _values(found, FAILED):
        if isinstance(item, dict):
            reason = next((one for one in _values(item, REASON) if isinstance(one, int)), None)
            failures |= {str(uid): reason for uid in _values(item, INSTANCE)}
    return failures


def _values(item: Mapping[str, Any], tag: str) -> list[Any]:
    element = item.get(tag)
    values = element.get("Value") if isinstance(element, dict) else None
    return values if isinstance(values, list) else []


def in_words(reason: int | None) -> str:
    """Say what a Failure Reason means."""
    if reason is None:
        return "no reason given"
    known = REASONS.get(reason) or RANGES.get(reason >> 8) or RANGES.get(reason >> 8 & 0xF0) or "a reason of its own"
    return f"{known} (0x{reason:04X})"
