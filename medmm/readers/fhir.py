"""FHIR R4 exports: a folder of bundles (JSON) and Bulk Data (NDJSON), plain or gzip, read into tables of text.

Bulk Data is streamed line by line; a file that is one JSON value is held as a whole, so it has a smaller limit. Nothing is ever
fetched, and no message holds an identifier or a value: a place is the number of a file, in the order of names, and of a line.

Two kinds of fault. What breaks the export itself refuses all of it: a line that is no JSON, a bundle with another patient in
it, a record whose patient cannot be told, a last page that is missing. What breaks one record of a known patient (a value of a
type that FHIR does not have, an attachment that is not what it states, a modifier that nobody here understands) is kept in
`Records.faults`: that patient's studies are refused for inputs that read the table, for a fact would be missing in silence.

Every resource that is used is checked as far as it is used: the types of its elements, its status, its times and references.
`strict` holds it against the whole definition of R4B too, by fhir.resources, which takes several times as long.

A status that says a record was a mistake, never came to be or is a mere intention leaves it out, and is counted. Patients are
told apart by the logical id of their Patient, the one that references carry.

Source: FHIR R4 (4.0.1); Bulk Data Access 2.0; RFC 6920 and urn:oid for DICOM UIDs (ImagingStudy.identifier).
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

from medmm.errors import Code, MedmmError, Rejected
from medmm.readers import fhir_facts, fhir_notes
from medmm.readers.facts import Records, Rows, malformed
from medmm.readers.fhir_announced import Announced
from medmm.readers.fhir_facts import Subject, check_modifiers
from medmm.readers.fhir_notes import Pending
from medmm.readers.fhir_status import why_left_out
from medmm.readers.fhir_values import (
    References,
    child,
    children,
    identifier,
    known_at,
    reference_of,
    text,
)
from medmm.readers.formats import files_in
from medmm.readers.strict_json import Json, lines, parse_object, whole

LINES = (".ndjson", ".ndjson.gz", ".jsonl", ".jsonl.gz")
WHOLE = (".json", ".json.gz")
PATIENT_ELEMENT = {"AllergyIntolerance": "patient"}
SUBJECT_IS_OPTIONAL = ("Observation", "DiagnosticReport", "DocumentReference")
OTHER_SUBJECTS = ("Group", "Device", "Location", "Practitioner", "Medication", "Substance")
TYPE_NAME = re.compile(r"[A-Z][A-Za-z]{1,63}")
UID = re.compile(r"(?:urn:oid:)?([0-9.]{1,64})")
UID_SYSTEM = "urn:dicom:uid"
BUNDLES = ("document", "collection", "searchset", "transaction", "batch")

TABLE_OF = {"DiagnosticReport": "notes", "DocumentReference": "notes", "ImagingStudy": "studies"}
"""Type -> the table that its faults concern; facts for the others."""


def is_fhir(folder: Path) -> bool:
    """Tell whether a folder holds FHIR files, by their names."""
    return any(file.name.lower().endswith(LINES + WHOLE) for file in files_in(folder))


def read_fhir(folder: Path, strict: bool = False) -> Records:
    """Read an export.

    Args:
        folder: With its files, in any depth; files of other names are passed over and counted.
        strict: Check each resource that is used against its whole definition.

    Returns:
        The tables facts, notes, studies (of ImagingStudy, with its StudyInstanceUID) and patients.

    Raises:
        Rejected: The export itself is broken: MALFORMED, TRUNCATED, TOO_LARGE, MIXED_PATIENTS, AMBIGUOUS, UNSUPPORTED, EMPTY.
        MedmmError: `strict` without fhir.resources.
    """
    reader = _Reader(strict)
    files = list(files_in(folder))
    for number, file in enumerate(files, start=1):
        where = f"file {number} of {len(files)}"
        name = file.name.lower()
        if name.endswith(LINES):
            for line, content in lines(file, where):
                reader.take_line(content, f"{where}, line {line}")
        elif name.endswith(WHOLE):
            reader.take_file(whole(file, where), where)
        else:
            reader.rows.counts["files of other names"] += 1
    return reader.records()


class _Reader:
    """Takes resources in any order, and resolves at the end what needs all of them."""

    def __init__(self, strict: bool) -> None:
        self.rows = Rows()
        self._strict = strict
        self._references = References()
        self._seen: dict[tuple[str, str], bytes] = {}
        self._owners: dict[tuple[str, str], str] = {}
        self._binaries: dict[str, Json] = {}
        self._medications: dict[str, Json] = {}
        self._orders: list[tuple[Json, Subject, str, str]] = []
        self._notes: list[Pending] = []
        self._only_patient = ""
        self._announced = Announced()
        self._take: Mapping[str, Callable[[Json, Subject, str], None]] = {
            "Observation": self._fact(fhir_facts.observation),
            "Condition": self._fact(fhir_facts.condition),
            "AllergyIntolerance": self._fact(fhir_facts.allergy),
            "Procedure": self._fact(fhir_facts.procedure),
            "Encounter": self._fact(fhir_facts.encounter),
            "MedicationRequest": self._order,
            "DiagnosticReport": self._report,
            "DocumentReference": self._document,
            "ImagingStudy": self._study,
        }

    def take_line(self, content: bytes, place: str) -> None:
        """Take a resource of Bulk Data."""
        resource = parse_object(content, place)
        kind = _type(resource, place)
        if kind == "Bundle":
            raise malformed(place, "a bundle", "a resource, as Bulk Data has it")
        self._announced.take(kind)
        self._resource(resource, kind, self._id(resource, kind, place), content.strip(), place)

    def take_file(self, content: bytes, place: str) -> None:
        """Take a bundle, a single resource, or the manifest of Bulk Data."""
        value = parse_object(content, place)
        try:
            if "resourceType" not in value and "transactionTime" in value and "output" in value:
                self._announced.manifest(value)
                return
            kind = _type(value, place)
            if kind == "Bundle":
                self._bundle(value, place)
                return
        except Rejected as reason:
            raise reason if reason.where.startswith(place) else reason.at(place) from None
        self.take_line(content, place)

    def records(self) -> Records:
        """Resolve what was waiting, and give the tables.

        Raises:
            Rejected: TRUNCATED where a page or a resource that was announced is missing.
        """
        self._announced.check()
        for resource, subject, reference, place in self._orders:
            self._attempt("facts", subject.patient, place, partial(self._order_by_reference, resource, subject, reference))
        for note in self._notes:
            self._attempt("notes", note.subject.patient, note.place, partial(self._note_of_binary, note))
        return self.rows.records()

    def _bundle(self, bundle: Json, place: str) -> None:
        kind = text(bundle, "type")
        if kind not in BUNDLES:
            raise Rejected(
                Code.UNSUPPORTED, "Bundle.type", "a bundle of another type", ", ".join(BUNDLES), "export the current records"
            )
        self._announced.page(bundle)
        entries = []
        for number, entry in enumerate(children(bundle, "entry"), start=1):
            where = f"{place}, entry {number}"
            if child(entry, "request").get("method") in ("DELETE", "PATCH"):
                raise Rejected(Code.UNSUPPORTED, where, "a deletion or a patch", "records", "export the current records")
            resource = child(entry, "resource")
            if not resource:
                continue
            type_ = _type(resource, where)
            if type_ == "Bundle":
                raise Rejected(Code.UNSUPPORTED, where, "a bundle in a bundle", "records", "give each bundle a file")
            id_ = self._references.learn(text(entry, "fullUrl"), type_, self._id(resource, type_, where))
            resource = {"id": id_, **resource} if id_ else resource
            entries.append((resource, type_, id_, where))
        patients = {id_ for _, type_, id_, _ in entries if type_ == "Patient"}
        self._only_patient = patients.pop() if len(patients) == 1 else ""
        for resource, type_, id_, where in entries:
            self._resource(resource, type_, id_, repr(resource).encode(), where)
        self._only_patient = ""

    def _resource(self, resource: Json, kind: str, id_: str, content: bytes, place: str) -> None:
        if kind in ("Patient", "Binary", "Medication"):
            if not id_:
                raise malformed(place, "no id", "an id, by which others refer to it")
        elif kind not in self._take:
            self.rows.counts["resources of types that are not read"] += 1
            return
        again = False
        if id_:
            digest = hashlib.blake2b(content, digest_size=8).digest()
            earlier = self._seen.setdefault((kind, id_), digest)
            again = earlier is not digest
            if again and earlier == digest:
                self.rows.counts["resources that stand there twice"] += 1
                return
        if kind == "Patient":
            if again:
                raise _two_versions(place)
            self._patient(resource, id_, place)
            return
        if kind in ("Binary", "Medication"):
            if again:
                raise _two_versions(place)
            self._keep(resource, kind, id_)
            return
        patient = self._patient_of(resource, kind, place)
        if not patient:
            return
        table = TABLE_OF.get(kind, "facts")
        if again:
            self.rows.fault((table,), patient, _two_versions(place))
            return
        self._attempt(table, patient, place, partial(self._record, resource, kind, id_, patient, place))

    def _id(self, resource: Json, kind: str, place: str) -> str:
        """Give the id, "" for a broken one of a record that has a patient to be told of it.

        Raises:
            Rejected: The broken id is one that others refer to.
        """
        try:
            return identifier(resource)
        except Rejected as reason:
            if kind in self._take:
                return ""
            raise reason.at(place) from None

    def _record(self, resource: Json, kind: str, id_: str, patient: str, place: str) -> None:
        identifier(resource)
        check_modifiers(resource)
        if self._strict:
            _check_whole(resource, kind)
        if reason := why_left_out(resource, kind):
            self.rows.counts[reason] += 1
            return
        if kind in ("Encounter", "ImagingStudy"):
            self._own(kind, id_, patient)
        encounter = id_ if kind == "Encounter" else self._encounter(resource, kind, patient)
        self._take[kind](resource, Subject(patient, encounter), place)

    def _encounter(self, resource: Json, kind: str, patient: str) -> str:
        """Give the id of a record's encounter, "" where it has none."""
        written = ""
        if kind == "DocumentReference":
            for one in children(child(resource, "context"), "encounter")[:1]:
                written = text(one, "reference")
        else:
            written = reference_of(resource, "encounter")
        target = self._references.target(written) if written else None
        return self._own(*target, patient) if target is not None else ""

    def _attempt(self, table: str, patient: str, place: str, work: Callable[[], None]) -> None:
        try:
            work()
        except Rejected as reason:
            self.rows.fault((table,), patient, reason.at(place))

    def _patient(self, resource: Json, id_: str, place: str) -> None:
        try:
            check_modifiers(resource)
            if self._strict:
                _check_whole(resource, "Patient")
            if "link" in resource:
                self.rows.counts["patients who are linked to a second record"] += 1
            self.rows.patients.append((id_, text(resource, "birthDate"), text(resource, "gender")))
        except Rejected as reason:
            self.rows.fault(("facts", "notes", "studies", "patients"), id_, reason.at(place))

    def _patient_of(self, resource: Json, kind: str, place: str) -> str:
        """Give whose record it is, "" for a record of no patient."""
        element = PATIENT_ELEMENT.get(kind, "subject")
        if kind in SUBJECT_IS_OPTIONAL and element not in resource:
            self.rows.counts["records of no patient"] += 1
            return ""
        try:
            target = self._references.target(reference_of(resource, element))
        except Rejected as reason:
            raise reason.at(place) from None
        if target is None or target[0] not in ("Patient", *OTHER_SUBJECTS):
            raise malformed(place, "no patient", "a reference such as Patient/id")
        if target[0] != "Patient":
            self.rows.counts["records of no patient"] += 1
            return ""
        if self._only_patient and target[1] != self._only_patient:
            raise Rejected(
                Code.MIXED_PATIENTS,
                place,
                "a record of another patient",
                "records of the bundle's one patient",
                "export each patient again, and tell the system's vendor",
            )
        return target[1]

    def _own(self, kind: str, id_: str, patient: str) -> str:
        """Note whose encounter or imaging study it is, and give its id; two patients who share one are both refused."""
        owner = self._owners.setdefault((kind, id_), patient) if id_ else patient
        if owner != patient:
            reason = Rejected(
                Code.MIXED_PATIENTS,
                f"an {kind}",
                "records of two patients",
                "records of one patient",
                "correct their subject at the source",
            )
            self.rows.fault(("facts", "notes", "studies"), owner, reason)
            self.rows.fault(("facts", "notes", "studies"), patient, reason)
        return id_

    def _keep(self, resource: Json, kind: str, id_: str) -> None:
        if kind == "Medication":
            self._medications[id_] = resource
        elif fhir_notes.is_text(text(resource, "contentType")):
            self._binaries[id_] = resource
        else:
            self.rows.counts["Binary that is no text"] += 1
            self._binaries[id_] = {}

    def _fact(self, add: Callable[[Rows, Json, Subject], None]) -> Callable[[Json, Subject, str], None]:
        return lambda resource, subject, _: add(self.rows, resource, subject)

    def _order(self, resource: Json, subject: Subject, place: str) -> None:
        if reference := fhir_facts.medication(self.rows, resource, subject):
            self._orders.append((resource, subject, reference, place))

    def _order_by_reference(self, resource: Json, subject: Subject, reference: str) -> None:
        target = self._references.target(reference)
        if target is None or target[0] != "Medication" or target[1] not in self._medications:
            raise Rejected(
                Code.EMPTY,
                "medicationReference",
                "no such medication",
                "a Medication of the export",
                "export the Medication too",
            )
        codes = fhir_facts.codes_of(self._medications[target[1]])
        fhir_facts.add_medication(self.rows, resource, subject, codes)

    def _report(self, resource: Json, subject: Subject, place: str) -> None:
        studies = self._studies(children(resource, "imagingStudy"), subject.patient)
        self._wait(fhir_notes.report(self.rows, resource, subject, studies, place))

    def _document(self, resource: Json, subject: Subject, place: str) -> None:
        studies = self._studies(children(child(resource, "context"), "related"), subject.patient)
        self._wait(fhir_notes.document(self.rows, resource, subject, studies, place))

    def _wait(self, note: Pending | None) -> None:
        if note is not None:
            self._notes.append(note)

    def _note_of_binary(self, note: Pending) -> None:
        target = self._references.target(note.url)
        if target is None or target[0] != "Binary":
            raise Rejected(
                Code.UNSUPPORTED,
                "an attachment",
                "an address outside the export",
                "a Binary of the export, for nothing is fetched",
                "export the text with it",
            )
        binary = self._binaries.get(target[1])
        if binary is None:
            raise Rejected(Code.EMPTY, "an attachment", "no such Binary", "a Binary of the export", "export the Binary too")
        if binary:
            content = fhir_notes.unbase64(text(binary, "data"))
            read = fhir_notes.decode({**note.attachment, "contentType": text(binary, "contentType")}, content)
            fhir_notes.add_note(self.rows, note.subject, note.studies, note.time, read, note.kind)

    def _studies(self, references: list[Json], patient: str) -> list[str]:
        """Give the imaging studies among some references."""
        written = [text(one, "reference") for one in references]
        targets = [self._references.target(one) for one in written if one]
        return [self._own(*target, patient) for target in targets if target is not None and target[0] == "ImagingStudy"]

    def _study(self, resource: Json, subject: Subject, _: str) -> None:
        if "id" not in resource:
            raise malformed("ImagingStudy", "no id", "an id, which is the study_id")
        uids = [
            text(one, "value")
            for one in children(resource, "identifier")
            if "system" in one and text(one, "system") == UID_SYSTEM
        ]
        found = UID.fullmatch(uids[0]) if len(uids) == 1 else None
        uid = found.group(1) if found else ""
        self.rows.studies.append((subject.patient, text(resource, "id"), uid, known_at(resource, "started")))
        if not uid:  # the row stays, so that the study is refused instead of missing
            raise malformed("ImagingStudy", f"{len(uids)} StudyInstanceUIDs, or none that is a UID", "one")


def _type(resource: Json, place: str) -> str:
    kind = resource.get("resourceType")
    if type(kind) is not str or not TYPE_NAME.fullmatch(kind):
        raise malformed(place, "no resourceType of FHIR", "a resource")
    return kind


def _two_versions(place: str) -> Rejected:
    return Rejected(
        Code.AMBIGUOUS, place, "a second version of a record", "one version", "export the current version of each record"
    )


def _check_whole(resource: Json, kind: str) -> None:
    """Hold a resource against the definition of its type.

    Raises:
        Rejected: MALFORMED, without the message of the check, which holds what it found.
        MedmmError: fhir.resources is not installed.
    """
    try:
        from fhir.resources.R4B import get_fhir_model_class
    except ImportError:
        raise MedmmError("a strict check of FHIR needs fhir.resources: pip install medmm[fhir]") from None

    try:
        get_fhir_model_class(kind).model_validate(resource)
    except ValueError:
        raise malformed(kind, "a resource that its definition does not allow", "a resource of FHIR R4") from None
