"""From a row of results to resources of FHIR R4: a report, an observation of the study, one of each answer, their provenance.

Every cell of a row has its place: those of an answer in its Observation, all others in the Observation of the study, as
components whose code is the name of the column.

Source: FHIR R4 (4.0.1), resources DiagnosticReport, Observation, Device and Provenance.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from medmm import __version__
from medmm.doubts import ABSTAIN, WHY
from medmm.evaluation.grades import GRADE
from medmm.scoring.sinks.base import UNKNOWN_RANGES, NumberRanges, Row
from medmm.scoring.sinks.fhir_answers import UNSURE, Answers
from medmm.scoring.sinks.fhir_cells import Cells
from medmm.scoring.sinks.fhir_terms import (
    MARKED,
    MODELS,
    OWN,
    PARTICIPANT,
    RESEARCH,
    SECTION,
    Element,
    absent,
    coding,
    concept,
    identifier,
    identity,
    imaging_study,
    is_blank,
    narrative,
    plain,
    reference,
)
from medmm.types import Study

if TYPE_CHECKING:
    from medmm.package import Package

ELSEWHERE = ("patient_id", "study_id", "model_digest", "computed_in", "scored_at", "code", "reason")
"""Columns that have an element of their own."""


class Resources:
    """Says in FHIR what a model said.

    Args:
        package: The model.
        ranges: Of the identifiers.
    """

    def __init__(self, package: "Package", ranges: NumberRanges = UNKNOWN_RANGES) -> None:
        self._package = package
        self._ranges = ranges
        self._target = package.target
        self._device = identity("Device", package.digest)
        self._cells = Cells(package.target)
        self._answers = Answers(package.target, self._cells)

    def device(self) -> Element:
        """Give the model."""
        package = self._package
        return {
            "resourceType": "Device",
            "id": self._device,
            "identifier": [identifier(package.digest, "SHA-256 of the model's package", MODELS)],
            "status": "active",
            "deviceName": [{"name": plain(package.name), "type": "model-name"}],
            "type": concept(coding(OWN, "software"), text="Software: a model of medmm"),
            "version": [
                {"type": {"text": "model"}, "value": package.digest},
                {"type": {"text": "medmm"}, "value": __version__},
            ],
            "note": [{"text": RESEARCH}],
        }

    def scored(self, row: Row, study: Study | None, uids: Sequence[str]) -> list[Element]:
        """Give the resources of a row of `scores`.

        Args:
            row: As in the table.
            study: What it speaks of; None where only the row is known.
            uids: StudyInstanceUIDs of its images.
        """
        shared = self._shared(row, study)
        doubt = str(row.get(WHY) or "") if row.get(ABSTAIN) else None
        notes = [RESEARCH] if doubt is None else [RESEARCH, f"The model abstains, no answer should be relied on: {doubt}"]
        common: Element = {
            "status": "preliminary",
            **shared,
            "method": {"text": f"computed in {plain(str(row['computed_in']))}"},
            "note": [{"text": plain(note)} for note in notes],
        }
        left = {name: cell for name, cell in row.items() if name not in ELSEWHERE}
        answers, said = [], []
        for name in self._target.names:
            cells = self._answers.take(left, name, row)
            id_ = self._id(row, "Observation", self._answers.column(name))
            answers.append(self._answers.observation(id_, row, name, common, cells, doubt))
            said.append(self._answers.said(row, name, doubt))
        if row.get(GRADE):
            said.append(f"Grade: {row[GRADE]}{UNSURE if doubt is not None else ''}")
        whole: Element = {
            "resourceType": "Observation",
            "id": self._id(row, "Observation", ""),
            "meta": MARKED,
            **common,
            "code": concept(coding(OWN, "scoring"), text=self._title),
        }
        observations = [self._whole(whole, answers, self._cells.components(left, row), uids), *answers]
        return self._reported(row, "preliminary", shared, observations, [*notes, *said], uids)

    def rejected(self, row: Row, study: Study | None, uids: Sequence[str], copy: int) -> list[Element]:
        """Give the resources of a row of `rejected`: a report that never came to be, and why.

        Args:
            row: As in the table.
            study: What it speaks of; None where only the row is known.
            uids: StudyInstanceUIDs of its images.
            copy: How many rows of the same study came before, which are all rejected for that.
        """
        shared = self._shared(row, study)
        reason = f"Not scored: {row['reason']}"
        left = {name: cell for name, cell in row.items() if name not in ELSEWHERE}
        columns = [self._answers.column(name) for name in self._target.names]
        codes = [concept(coding(OWN, "scoring"), text=self._title), *map(self._answers.code, self._target.names)]
        whole, *answers = [
            {
                "resourceType": "Observation",
                "id": self._id(row, "Observation", what, copy),
                "meta": MARKED,
                "status": "cancelled",
                **shared,
                "code": code,
                **absent("not-performed", coding(OWN, str(row["code"])), text=str(row["reason"])),
                "note": [{"text": RESEARCH}],
            }
            for what, code in zip(["", *columns], codes, strict=True)
        ]
        whole = self._whole(whole, answers, self._cells.components(left, row), uids)
        return self._reported(row, "cancelled", shared, [whole, *answers], [RESEARCH, reason], uids, copy)

    def key(self, row: Row) -> str:
        """Give what tells the study of a row from others."""
        return self._id(row, "", "")

    @property
    def _title(self) -> str:
        return f"What the model {self._package.name} says of a study"

    def _id(self, row: Row, kind: str, what: str, copy: int = 0) -> str:
        """Give the id of a resource; a study that is scored after it was rejected takes the place of its refusal."""
        return identity(kind, self._package.digest, str(row["patient_id"]), str(row["study_id"]), what, copy)

    def _shared(self, row: Row, study: Study | None) -> Element:
        """Give whose it is, of when, and by what, as far as it is known."""
        found: Element = {}
        patient = str(row["patient_id"] or "")
        if not is_blank(patient):
            found["subject"] = {
                "type": "Patient",
                "identifier": identifier(patient, self._package.cohort.patient, self._ranges.patients),
            }
        if study is not None and study.time is not None:
            # A time of day has a zone in FHIR, which a table may leave out: then the day is all that can be said.
            zoned = study.time.utcoffset() is not None
            found["effectiveDateTime"] = study.time.isoformat(timespec="seconds") if zoned else study.time.date().isoformat()
        return found | {"issued": row["scored_at"], "device": reference("Device", self._device)}

    def _whole(self, whole: Element, answers: Sequence[Element], components: Sequence[Element], uids: Sequence[str]) -> Element:
        """Give the Observation of a study with what it is made of."""
        return whole | _some(
            hasMember=[reference("Observation", str(one["id"])) for one in answers],
            derivedFrom=[imaging_study(uid) for uid in uids],
            component=components,
        )

    def _reported(
        self,
        row: Row,
        status: str,
        shared: Element,
        observations: list[Element],
        said: Sequence[str],
        uids: Sequence[str],
        copy: int = 0,
    ) -> list[Element]:
        """Give the report of observations, these, and where all of them come from."""
        study = str(row["study_id"] or "")
        own = [] if is_blank(study) else [identifier(study, self._package.cohort.study, self._ranges.studies)]
        report: Element = {
            "resourceType": "DiagnosticReport",
            "id": self._id(row, "DiagnosticReport", "", copy),
            "meta": MARKED,
            "text": narrative([self._title, *said]),
            "status": status,
            "category": [concept(coding(SECTION, "OTH", "Other"))],
            "code": concept(coding(OWN, "scoring"), text=self._title),
            **{name: one for name, one in shared.items() if name != "device"},
            "result": [reference("Observation", str(one["id"])) for one in observations],
            "conclusion": plain("\n".join(said)),
        }
        report |= _some(
            identifier=[{"use": "secondary", **one} for one in own], imagingStudy=[imaging_study(uid) for uid in uids]
        )
        sources = [*({"identifier": one} for one in own), *map(imaging_study, uids)]
        provenance: Element = {
            "resourceType": "Provenance",
            "id": self._id(row, "Provenance", "", copy),
            "meta": MARKED,
            "target": [reference(str(one["resourceType"]), str(one["id"])) for one in (report, *observations)],
            "recorded": row["scored_at"],
            "agent": [
                {"type": concept(coding(PARTICIPANT, "author", "Author")), "who": reference("Device", self._device)},
            ],
        }
        provenance |= _some(entity=[{"role": "source", "what": one} for one in sources])
        return [*observations, report, provenance]


def _some(**lists: Sequence[Element]) -> Element:
    """Give the lists that are not empty, for FHIR has no empty list."""
    return {name: list(items) for name, items in lists.items() if items}
