"""HL7 version 2 messages: a folder of .hl7 files with results (ORU^R01) and documents (MDM), read into tables of text.

A file holds messages one after the other, as a batch (FHS, BHS) or framed for MLLP too; a segment ends with CR, LF or both. The
message says itself which characters separate its parts (MSH-1, MSH-2) and in which character set it is written (MSH-18).

A numeric, coded or short text OBX is a row of facts for each repetition; consecutive TX and FT of one OBX-3 are one note.
The time is when it was known: the later of the observation (OBX-14, else OBR-7) and the report (OBR-22, else the message,
MSH-7), for documents the latest of TXA-6, -7 and -8, else the message. A time without a zone stays without one; one without
seconds is the last moment that it can mean. A result that is sent again as wrong or deleted (OBX-11 of W or D) takes the
earlier one with it. `study_id` is the filler's order number (OBR-3.1), `study_uid` stands in ZDS-1.

The patient is the MR identifier of PID-3, or its only one. A message of two patients, or whose patient cannot be told, refuses
the export; a broken record of a known patient is kept in `Records.faults`. Test and debug messages (MSH-11) are left out.

Source: HL7 version 2.5.1, chapters 2 (encoding), 3 (PID), 7 (OBR, OBX), 9 (TXA); IHE Radiology TF-2, 4.4 (ZDS).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

from medmm.errors import Code, Rejected
from medmm.readers.facts import Records, Rows, latest, malformed, token
from medmm.readers.formats import files_in
from medmm.readers.hl7_message import Message, messages, parse_message, parse_time

SUFFIX = ".hl7"
RESULTS = ("R01",)
DOCUMENTS = ("T02", "T04", "T06", "T08", "T10")
COUNTED = ("", "F", "P", "C", "R", "S", "U", "A", "B", "V")
WITHDRAWN = ("D", "W")
LEFT = ("X", "N", "I", "O")
WHOLE_TEXT = ("NM", "ST", "DT", "TM", "TS", "DTM")
FIRST_COMPONENT = ("CE", "CWE", "CNE", "CF", "IS", "ID")
NOTE = ("TX", "FT")
Key: TypeAlias = tuple[str, ...]
"""Patient, order, code, sub-identifier and time: what names an observation when it is sent again."""


@dataclass
class _Order:
    """What OBR and TXA say of the observations that follow."""

    number: str = ""
    observed: str = ""
    reported: str = ""
    note: list[str] = field(default_factory=list)
    note_code: str = ""
    note_time: str = ""


def is_hl7(folder: Path) -> bool:
    """Tell whether a folder holds HL7 messages, by their names."""
    return any(file.name.lower().endswith(SUFFIX) for file in files_in(folder))


def read_hl7(folder: Path) -> Records:
    """Read every message of a folder, in the order of the files' names.

    Raises:
        Rejected: The export itself is broken: MALFORMED, MIXED_PATIENTS, AMBIGUOUS, UNSUPPORTED, TOO_LARGE, EMPTY.
    """
    reader = _Reader()
    files = list(files_in(folder))
    for number, file in enumerate(files, start=1):
        where = f"file {number} of {len(files)}"
        if not file.name.lower().endswith(SUFFIX):
            reader.rows.counts["files of other names"] += 1
            continue
        for count, content in enumerate(messages(file, where), start=1):
            place = f"{where}, message {count}"
            try:
                reader.take(parse_message(content), place)
            except Rejected as reason:
                raise reason.at(place) from None
    return reader.records()


class _Reader:
    """Takes messages one after the other."""

    def __init__(self) -> None:
        self.rows = Rows()
        self._places: dict[Key, list[int]] = {}
        self._gone: set[int] = set()
        self._known: set[tuple[str, ...]] = set()

    def take(self, message: Message, place: str) -> None:
        """Take one message.

        Raises:
            Rejected: Its patient cannot be told.
        """
        head = message.segments[0]
        event = (message.part(head, 9, 1), message.part(head, 9, 2))
        if not ((event[0] == "ORU" and event[1] in RESULTS) or (event[0] == "MDM" and event[1] in DOCUMENTS)):
            self.rows.counts["messages of types that are not read"] += 1
            return
        if message.part(head, 11) in ("T", "D"):
            self.rows.counts["messages for tests"] += 1
            return
        patients = {_patient(message, segment) for segment in message.segments if segment[0] == "PID"}
        if len(patients) != 1:
            found = "several patients" if patients else "no PID"
            code = Code.MIXED_PATIENTS if patients else Code.MALFORMED
            raise Rejected(code, "the message", found, "one patient", "send a message for each patient")
        (patient,) = patients
        try:
            self._read(message, patient)
        except Rejected as reason:
            self.rows.fault(("facts", "notes", "studies"), patient, reason.at(place))

    def records(self) -> Records:
        """Give the tables, without what was taken back."""
        if self._gone:
            self.rows.facts = [row for place, row in enumerate(self.rows.facts) if place not in self._gone]
        return self.rows.records()

    def _read(self, message: Message, patient: str) -> None:
        head = message.segments[0]
        sent = parse_time(message.part(head, 7))
        order = _Order(reported=sent)
        visit = ""
        for segment in message.segments:
            name = segment[0]
            if name != "OBX":
                self._end_note(patient, order)
            if name == "PID":
                self._person(message, segment, patient)
            elif name == "PV1":
                visit = message.part(segment, 19)
            elif name == "OBR":
                observed = parse_time(message.part(segment, 7))
                reported = parse_time(message.part(segment, 22)) or sent
                order = _Order(message.part(segment, 3), observed, reported)
            elif name == "TXA":
                times = [time for number in (6, 7, 8) if (time := parse_time(message.part(segment, number)))]
                order = _Order(message.part(segment, 14) or order.number, "", latest(times) or sent)
                if message.part(segment, 19) == "CA":
                    self.rows.counts["documents that were cancelled"] += 1
                    return
            elif name == "ZDS":
                self.rows.studies.append((patient, order.number, message.part(segment, 1), order.observed or order.reported))
            elif name == "OBX":
                self._observation(message, segment, patient, visit, order)
        self._end_note(patient, order)

    def _person(self, message: Message, segment: Sequence[str], patient: str) -> None:
        born = message.part(segment, 7)[:8]
        date = f"{born[:4]}-{born[4:6]}-{born[6:]}" if len(born) == 8 else born
        row = (patient, date, message.part(segment, 8))
        if row not in self._known:
            self._known.add(row)
            self.rows.patients.append(row)

    def _observation(self, message: Message, segment: Sequence[str], patient: str, visit: str, order: _Order) -> None:
        kind, status = message.part(segment, 2), message.part(segment, 11)
        code, system = message.part(segment, 3, 1), message.part(segment, 3, 3)
        observed = parse_time(message.part(segment, 14)) or order.observed
        time = latest([one for one in (observed, order.reported) if one])
        if kind in NOTE and code != order.note_code:
            self._end_note(patient, order)
        if status in LEFT:
            self.rows.counts[f"observations with the status {status}"] += 1
            return
        if status not in (*COUNTED, *WITHDRAWN):
            raise malformed("OBX-11", "no status of the standard", "a code of table 0085")
        key = (patient, order.number, code, message.part(segment, 4), observed)
        if status in WITHDRAWN:
            self._withdraw(key, status, kind)
            return
        content = message.field(segment, 5)
        if kind in NOTE:
            order.note_code, order.note_time = code, time
            order.note += [message.unescape(one) for one in content.split(message.repetition)]
            return
        if not code:
            raise malformed("OBX-3", "no identifier", "what was observed")
        if not content:
            self.rows.counts["observations without a value"] += 1
            return
        for one in content.split(message.repetition):
            value = _write(message, kind, one)
            if value is None:
                self.rows.counts["observations of value types that are not read"] += 1
                return
            unit = message.part(segment, 6)
            self._places.setdefault(key, []).append(len(self.rows.facts))
            self.rows.facts.append((patient, visit, time, code, value, unit, system, "OBX", token(system, code)))

    def _withdraw(self, key: Key, status: str, kind: str) -> None:
        """Take back what was sent under the same patient, order, code, sub-identifier and time.

        Raises:
            Rejected: UNSUPPORTED for text, of which it cannot be told where a part that is taken back ends.
        """
        if kind in NOTE:
            raise Rejected(
                Code.UNSUPPORTED, "OBX-11", "text that is taken back", "text that stands", "send the message without that text"
            )
        self.rows.counts[f"observations with the status {status}"] += 1
        self._gone.update(self._places.pop(key, ()))

    def _end_note(self, patient: str, order: _Order) -> None:
        note = "\n".join(order.note)
        if note.strip():
            self.rows.notes.append((patient, order.number, order.note_time, note, "OBX"))
        order.note, order.note_code = [], ""


def _patient(message: Message, segment: Sequence[str]) -> str:
    """Give the identifier of the patient.

    Raises:
        Rejected: MALFORMED where there is none, AMBIGUOUS where several are and none is marked as the record's number.
    """
    repetitions = [one for one in message.field(segment, 3).split(message.repetition) if message.component_of(one, 1)]
    marked = [one for one in repetitions if message.component_of(one, 5) == "MR"]
    chosen = marked or repetitions
    if not chosen:
        raise malformed("PID-3", "no identifier", "one")
    if len(chosen) > 1:
        raise Rejected(
            Code.AMBIGUOUS, "PID-3", f"{len(chosen)} identifiers", "one, or one of type MR", "mark the record's number as MR"
        )
    return message.component_of(chosen[0], 1)


def _write(message: Message, kind: str, content: str) -> str | None:
    """Write a value as text, None where its type is not read."""
    if kind in WHOLE_TEXT:
        return message.unescape(content)
    if kind in FIRST_COMPONENT:
        return message.component_of(content, 1)
    if kind == "SN":
        comparator, *numbers = (message.component_of(content, number) for number in range(1, 5))
        return f"{'' if comparator == '=' else comparator}{''.join(numbers)}"
    return None
