"""From FHIR reports and documents to rows of notes: their text in the resource, in base64, or in a Binary of the same export.

Nothing is ever fetched. Of several forms of one document the first with text counts, plain before HTML; PDF, images and other
forms are counted, not read. HTML gives its text alone. A conclusion that the report's text does not hold is a note of its own.
A note was known at the later of `issued` and `effective` (report), of `date` and the attachment's `creation` (document).

Source: FHIR R4 (4.0.1), resources DiagnosticReport, DocumentReference, Binary, data type Attachment.
"""

import base64
import binascii
import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass

from medmm.errors import Code, Rejected
from medmm.readers.facts import Rows, latest, malformed
from medmm.readers.fhir_facts import AMENDED, Subject
from medmm.readers.fhir_values import child, children, known_at, last_updated, moment, text
from medmm.readers.html_text import text_of
from medmm.readers.notes import NOTE_LIMIT_BYTES
from medmm.readers.strict_json import Json, Number

PLAIN, HTML = "text/plain", "text/html"
CHARSETS = {"": "utf-8", "utf-8": "utf-8", "us-ascii": "ascii", "iso-8859-1": "iso-8859-1", "windows-1252": "cp1252"}


@dataclass(frozen=True)
class Pending:
    """A note whose text stands in a Binary that may come later.

    Attributes:
        subject: Whose.
        studies: Ids of the imaging studies it belongs to.
        time: When it was known.
        kind: Type of its resource.
        attachment: What points to the Binary.
        url: Its url.
        place: Of the resource, for a refusal.
    """

    subject: Subject
    studies: Sequence[str]
    time: str
    kind: str
    attachment: Json
    url: str
    place: str


def report(rows: Rows, resource: Json, subject: Subject, studies: Sequence[str], place: str) -> Pending | None:
    """Add the text of a DiagnosticReport, or give what waits for its Binary."""
    time = known_at(resource, "effective[x]", "issued")
    if text(resource, "status") in AMENDED and "issued" not in resource:
        time = last_updated(resource) or time
    attachment = _best(rows, children(resource, "presentedForm"))
    note = _inline(attachment) if attachment else ""
    add_note(rows, subject, studies, time, note, "DiagnosticReport")
    conclusion = text(resource, "conclusion")
    if conclusion and conclusion not in note:
        add_note(rows, subject, studies, time, conclusion, "DiagnosticReport")
    return _pending(subject, studies, time, "DiagnosticReport", attachment, place)


def document(rows: Rows, resource: Json, subject: Subject, studies: Sequence[str], place: str) -> Pending | None:
    """Add the text of a DocumentReference, or give what waits for its Binary."""
    attachment = _best(rows, [child(one, "attachment") for one in children(resource, "content")])
    if attachment is None:
        return None
    creation = text(attachment, "creation")
    times = [time for time in (known_at(resource, "date"), moment(creation) if creation else "") if time]
    time = latest(times)
    add_note(rows, subject, studies, time, _inline(attachment), "DocumentReference")
    return _pending(subject, studies, time, "DocumentReference", attachment, place)


def add_note(rows: Rows, subject: Subject, studies: Sequence[str], time: str, note: str, kind: str) -> None:
    """Add a note to each of its studies; one without a study has none."""
    if not note.strip():
        return
    for study in studies or [""]:
        rows.notes.append((subject.patient, study, time, note, kind))


def decode(attachment: Json, content: bytes) -> str:
    """Turn the bytes of an attachment into text.

    Raises:
        Rejected: MALFORMED where they are not what the attachment states, TOO_LARGE.
    """
    _check(attachment, content)
    kind, _, parameters = text(attachment, "contentType").lower().partition(";")
    found = re.search(r"charset=\"?([a-z0-9\-]+)", parameters)
    charset = CHARSETS.get(found.group(1) if found else "")
    if charset is None:
        raise malformed("an attachment", "another character set", f"one of {', '.join(filter(None, CHARSETS))}")
    if len(content) > NOTE_LIMIT_BYTES:
        raise Rejected(Code.TOO_LARGE, "an attachment", f"{len(content)} bytes", "a note", "give the text of one report only")
    try:
        note = content.decode(charset).removeprefix("\ufeff")
    except UnicodeDecodeError:
        raise malformed("an attachment", "bytes that are no text", f"text in {charset}") from None
    if "\0" in note:
        raise malformed("an attachment", "a NUL", "text")
    note = note.replace("\r\n", "\n").replace("\r", "\n")
    return text_of(note) if kind.strip() == HTML else note


def unbase64(data: str) -> bytes:
    """Decode base64, in which only white space may stand beside its alphabet.

    Raises:
        Rejected: MALFORMED.
    """
    try:
        return base64.b64decode("".join(data.split()), validate=True)
    except (binascii.Error, ValueError):
        raise malformed("an attachment", "broken base64", "base64 as RFC 4648 writes it") from None


def is_text(content_type: str) -> bool:
    """Tell whether an attachment of this type holds text that is read."""
    return content_type.lower().partition(";")[0].strip() in (PLAIN, HTML)


def _best(rows: Rows, attachments: Sequence[Json]) -> Json | None:
    readable = [one for one in attachments if is_text(text(one, "contentType"))]
    if not readable:
        rows.counts["reports and documents without a form that is text"] += 1
        return None
    return next((one for one in readable if text(one, "contentType").lower().startswith(PLAIN)), readable[0])


def _inline(attachment: Json) -> str:
    return decode(attachment, unbase64(text(attachment, "data"))) if "data" in attachment else ""


def _pending(
    subject: Subject, studies: Sequence[str], time: str, kind: str, attachment: Json | None, place: str
) -> Pending | None:
    if attachment is None or "data" in attachment or "url" not in attachment:
        return None
    return Pending(subject, studies, time, kind, attachment, text(attachment, "url"), place)


def _check(attachment: Json, content: bytes) -> None:
    """Hold the bytes against size and hash, where the attachment states them (of the bytes, before base64)."""
    if "size" in attachment:
        size = attachment["size"]
        if type(size) is not Number or size != str(len(content)):
            raise malformed("an attachment", f"{len(content)} bytes", "as many as it states")
    if "hash" in attachment and unbase64(text(attachment, "hash")) != hashlib.sha1(content, usedforsecurity=False).digest():
        raise malformed("an attachment", "other bytes than were hashed", "the bytes whose SHA-1 it states")
