"""What the readers of FHIR need of any resource: elements of the right type, times, codes and references.

Source: FHIR R4 (4.0.1), sections 2.6.2 (JSON), 2.24 (data types) and 2.3 (references).
"""

import re
from datetime import datetime
from typing import Any, cast

from medmm.errors import Code, Rejected
from medmm.readers.facts import last_moment, latest, malformed
from medmm.readers.strict_json import Json

ID = re.compile(r"[A-Za-z0-9\-.]{1,64}")
INSTANT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,9})?(?:Z|[+-]\d\d:\d\d)")
DATE = re.compile(r"\d{4}(?:-\d\d(?:-\d\d)?)?")
REFERENCE = re.compile(
    r"(?:(https?://[^\s?#]+)/)?([A-Z][A-Za-z]{1,63})/([A-Za-z0-9\-.]{1,64})(?:/_history/[A-Za-z0-9\-.]{1,64})?"
)
UCUM = "http://unitsofmeasure.org"

Coding = tuple[str, str]
"""System and code."""


def text(holder: Json, name: str) -> str:
    """Give a string element, "" where it is absent."""
    if name not in holder:
        return ""
    value = holder[name]
    if type(value) is not str or not value:
        raise _type(name, "text")
    return value


def child(holder: Json, name: str) -> Json:
    """Give an element that is an object, an empty one where it is absent."""
    if name not in holder:
        return {}
    value = holder[name]
    if type(value) is not dict:
        raise _type(name, "an object")
    return cast(Json, value)


def children(holder: Json, name: str) -> list[Json]:
    """Give an element that is a list of objects, an empty one where it is absent."""
    if name not in holder:
        return []
    value = holder[name]
    if type(value) is not list or any(type(one) is not dict for one in value):
        raise _type(name, "a list of objects")
    return cast("list[Json]", value)


def moment(written: str) -> str:
    """Check a time: an instant stays as it is written, a date becomes the last moment that it can mean.

    Raises:
        Rejected: TYPE where it is no time, or has hours but no zone.
    """
    try:
        if INSTANT.fullmatch(written):
            datetime.fromisoformat(written)
            return written
        if DATE.fullmatch(written):
            return last_moment(written)
        raise ValueError("neither an instant nor a date")
    except ValueError:
        expected = "a dateTime of FHIR, with its zone"
        raise Rejected(Code.TYPE, "a time", "a time that cannot be read", expected, "correct the export") from None


def known_at(resource: Json, *names: str) -> str:
    """Give when a record was known: the latest of these elements, "" where it has none of them.

    Args:
        resource: The record.
        names: Times; a name that ends in `[x]` stands for its dateTime, its instant, or the end (else the start) of its period.
    """
    times = []
    for name in names:
        if name.endswith("[x]"):
            stem = name[:-3]
            period = child(resource, f"{stem}Period")
            written = (
                text(resource, f"{stem}DateTime")
                or text(resource, f"{stem}Instant")
                or text(period, "end")
                or text(period, "start")
            )
        else:
            written = text(resource, name)
        if written:
            times.append(moment(written))
    return latest(times)


def last_updated(resource: Json) -> str:
    """Give when the server last changed the resource, "" where it does not say: never earlier than what it holds was known."""
    return known_at(child(resource, "meta"), "lastUpdated")


def codings(concept: Json) -> list[Coding]:
    """Give every code of a CodeableConcept, or its text where it has no code."""
    found = [(text(one, "system"), text(one, "code")) for one in children(concept, "coding") if "code" in one]
    if not found and "text" in concept:
        return [("", text(concept, "text"))]
    return found


def status_of(concept: Json) -> str:
    """Give the code of a status that is a CodeableConcept, "" where there is none."""
    found = codings(concept)
    return found[0][1] if found else ""


def unit_of(quantity: Json) -> str:
    """Give the unit, in UCUM where it is stated in UCUM."""
    if text(quantity, "system") == UCUM and "code" in quantity:
        return text(quantity, "code")
    return text(quantity, "unit") or text(quantity, "code")


def identifier(resource: Json) -> str:
    """Give the logical id, "" where there is none."""
    found = text(resource, "id")
    if found and not ID.fullmatch(found):
        raise malformed("id", "an id of other letters", "up to 64 letters, digits, - and .")
    return found


class References:
    """Resolves references within one export, from one server.

    A relative reference, an absolute one and a fullUrl of a bundle can mean the same resource; nothing is ever fetched.
    """

    def __init__(self) -> None:
        self._full: dict[str, tuple[str, str]] = {}
        self._base = ""

    def learn(self, full_url: str, kind: str, id_: str) -> str:
        """Note the fullUrl of a bundle's entry, and give the entry's id: its own, or the end of a urn:uuid."""
        id_ = id_ or re.split(r"[/:]", full_url)[-1]
        if full_url:
            self._full[full_url] = (kind, id_)
        return id_

    def target(self, reference: str) -> tuple[str, str] | None:
        """Give type and id that a literal reference means, None where it means nothing that an export could hold.

        Raises:
            Rejected: AMBIGUOUS where it means a second server, whose ids may be those of others.
        """
        if reference in self._full:
            return self._full[reference]
        found = REFERENCE.fullmatch(reference)
        if found is None:
            return None
        base, kind, id_ = found.groups()
        if base:
            self._base = self._base or base
            if base != self._base:
                raise Rejected(
                    Code.AMBIGUOUS, "a reference", "a second server", "the resources of one server", "give each export a folder"
                )
        return kind, id_


def reference_of(holder: Json, name: str) -> str:
    """Give a literal reference, "" where there is none: an identifier or a display alone names nothing in the export."""
    return text(child(holder, name), "reference")


def _type(name: str, expected: str) -> Rejected:
    return malformed(name, "another type", expected)


def value_of(holder: Json) -> tuple[str, dict[str, Any] | Any] | None:
    """Give the name and content of value[x], None where there is none.

    Raises:
        Rejected: MALFORMED where there are two.
    """
    names = [name for name in holder if name.startswith("value")]
    if not names:
        return None
    if len(names) > 1:
        raise malformed("value[x]", f"{len(names)} values", "one value")
    return names[0], holder[names[0]]
