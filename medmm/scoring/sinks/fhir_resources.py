"""From a row of results to resources of FHIR R4: a report, an observation of the study, one of each answer, their provenance.

Every cell of a row has its place: those of an answer in its Observation, all others in the Observation of the study, as
components whose code is the name of the column. Where the model abstains, an answer has no value but a reason why, and the
number that should not be relied on stands in a component, so that no list of results shows it.

Source: FHIR R4 (4.0.1), resources DiagnosticReport, Observation, Device and Provenance.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, cast

from medmm import __version__
from medmm.doubts import ABSTAIN, WHY
from medmm.evaluation.answers import CONTRIBUTION_FOR, PREFIXES
from medmm.evaluation.grades import GRADE
from medmm.scoring.sinks.base import Row
from medmm.scoring.sinks.fhir_cells import CONTRIBUTION, INFINITE, Cells
from medmm.scoring.sinks.fhir_terms import (
    INTERPRETATION,
    MARKED,
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
from medmm.types import CLASS_TASKS, Study

if TYPE_CHECKING:
    from medmm.package import Package

ELSEWHERE = ("patient_id", "study_id", "model_digest", "computed_in", "scored_at", "code", "reason")
"""Columns that have an element of their own."""

SAID = {True: ("POS", "Positive"), False: ("NEG", "Negative"), None: ("IND", "Indeterminate")}
"""Decision -> HL7 v3 ObservationInterpretation; None where the model abstains."""


UNSURE = " (not to be relied on)"


class Resources:
    """Says in FHIR what a model said.

    Args:
        package: The model.
    """

    def __init__(self, package: "Package") -> None:
        self._package = package
        self._target = package.target
        self._device = identity("Device", package.digest)
        self._cells = Cells(package.target)
        self._prefix = PREFIXES.get(self._target.task, "probability")

    def device(self) -> Element:
        """Give the model."""
        package = self._package
        return {
            "resourceType": "Device",
            "id": self._device,
            "identifier": [identifier(package.digest, "SHA-256 of the model's package")],
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
            cells = self._take(left, name, row)
            answers.append(self._answer(row, name, common, cells, doubt))
            said.append(self._said(row, name, doubt))
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
        columns = [f"{self._prefix}_{name}" for name in self._target.names]
        codes = [concept(coding(OWN, "scoring"), text=self._title), *(self._code(column) for column in columns)]
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
            found["subject"] = {"type": "Patient", "identifier": identifier(patient, self._package.cohort.patient)}
        if study is not None and study.time is not None:
            # A time of day has a zone in FHIR, which a table may leave out: then the day is all that can be said.
            zoned = study.time.utcoffset() is not None
            found["effectiveDateTime"] = study.time.isoformat(timespec="seconds") if zoned else study.time.date().isoformat()
        return found | {"issued": row["scored_at"], "device": reference("Device", self._device)}

    def _answer(self, row: Row, name: str, common: Element, cells: Row, doubt: str | None) -> Element:
        column = f"{self._prefix}_{name}"
        value = self._cells.answer(cast(float, row[column]))
        found: Element = {
            "resourceType": "Observation",
            "id": self._id(row, "Observation", column),
            "meta": MARKED,
            **common,
            "code": self._code(column),
        }
        components = self._cells.components(cells, row)
        if doubt is None:
            found["valueQuantity"] = value
        else:
            found |= absent("unknown", text=f"The model abstains: {doubt}")
            components = [{"code": concept(coding(OWN, column)), "valueQuantity": value}, *components]
        if doubt is not None or self._target.task in CLASS_TASKS:
            decision = None if doubt is not None else bool(row[f"decision_{name}"])
            found["interpretation"] = [concept(coding(INTERPRETATION, *SAID[decision]))]
        return found | _some(component=components)

    def _said(self, row: Row, name: str, doubt: str | None) -> str:
        """Say an answer to a person."""
        column = f"{self._prefix}_{name}"
        decision = row.get(f"decision_{name}")
        decided = "" if decision is None else f", {SAID[bool(decision)][1].lower()}"
        return f"{_words(column)}: {self._cells.shown(cast(float, row[column]))}{decided if doubt is None else UNSURE}"

    def _code(self, column: str) -> Element:
        return concept(coding(OWN, column), text=_words(column))

    def _whole(self, whole: Element, answers: Sequence[Element], components: Sequence[Element], uids: Sequence[str]) -> Element:
        """Give the Observation of a study with what it is made of."""
        return whole | _some(
            hasMember=[reference("Observation", str(one["id"])) for one in answers],
            derivedFrom=[imaging_study(uid) for uid in uids],
            component=components,
        )

    def _take(self, left: dict[str, object], name: str, row: Row) -> Row:
        """Take out of the columns of a row those that speak of one answer, without the answer itself."""
        own = {f"{what}_{name}" for what in ("decision", "raw_probability", "set", "set_has", "set_not")}
        names = self._target.names
        if self._target.task == "regression":
            own |= set(INFINITE)
        if name == (row.get(CONTRIBUTION_FOR) if len(names) > 1 else names[0]):
            own |= {column for column in left if column.startswith(CONTRIBUTION)}
        left.pop(f"{self._prefix}_{name}")
        return {column: left.pop(column) for column in list(left) if column in own}

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
        own = [] if is_blank(study) else [identifier(study, self._package.cohort.study)]
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


def _words(column: str) -> str:
    what, _, name = column.partition("_")
    return f"{WORDS[what]} {name}"


WORDS: Mapping[str, str] = {"probability": "Probability of", "predicted": "Predicted", "risk": "Risk of"}
