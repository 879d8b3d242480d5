"""`medmm compare-runs`: may a new model replace the present one? By criteria that were fixed before anybody looked."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pandas as pd

from medmm import __version__
from medmm.config import RunConfig
from medmm.errors import DataError
from medmm.evaluation.intervals import Estimate
from medmm.evaluation.protocol import Criterion, Judged, Protocol, check_fits, judge_protocol, read_protocol
from medmm.files import digest_file
from medmm.preview.report_page import Part, Sheet, Summary, Tag, measure, report_page
from medmm.training.tracking import Record, connect, open_record
from medmm.types import Array, Scores

from .report import named_numbers
from .screen import Screen
from .start import people_of
from .subject import Subject, open_subject

PAGE = "compare-runs.html"
DIGITS = 16
KINDS = {
    "at_least": "at least {value:g}",
    "no_worse_by": "no worse by more than {value:g}",
    "better_by": "better by more than {value:g}",
}
NOTE = (
    "A criterion is met where the limit of its 95 % interval meets what was asked, not its number alone. Intervals are by "
    "patient, gains are paired: both models are asked about the same studies. All criteria must be met; one that cannot be "
    "judged is not met."
)


@dataclass(frozen=True)
class ComparedRuns:
    """What came out.

    Attributes:
        judged: One a criterion.
        studies, patients: On whom both were judged.
        page: As HTML.
        run_page: The run's page below the address of the UI.
    """

    judged: tuple[Judged, ...]
    studies: int
    patients: int
    page: str
    run_page: str

    @property
    def accepted(self) -> bool:
        """Whether every criterion is met."""
        return all(one.met for one in self.judged)


def compare_runs(champion: str, challenger: str, config: RunConfig, protocol: Path, screen: Screen) -> ComparedRuns:
    """Judge two packaged models by a protocol on the studies that neither learned from.

    Args:
        champion: The present model.
        challenger: The new one; it takes the same inputs and tells the same.
        config: The run file of the cohort.
        protocol: File of the criteria.
        screen: Shows progress.

    Raises:
        MedmmError: Something that the user can repair.
    """
    criteria = read_protocol(protocol)
    check_fits(criteria, config.target.task, config.target.names, config.cohort.subgroups)
    sealed = digest_file(protocol)
    client = connect(config.tracking)
    subjects = []
    for what, address in (("champion", champion), ("challenger", challenger)):
        screen.say(f"{what}: {address}")
        subjects.append(open_subject(address, config, screen))
        refuse_unknown_learners(subjects[-1], what)
    said = same_studies(*subjects)
    thresholds = (subjects[0].package.thresholds, subjects[1].package.thresholds)
    judged = judge_protocol(criteria, *said, config.target.task, thresholds, config.evaluation.resamples)
    patients = len(np.unique(said[0].patient))
    page = compared_page(criteria, sealed, subjects, judged, (len(said[0].patient), patients))
    tracking = config.tracking.model_copy(update={"experiment": config.tracking.experiment or config.name})
    with open_record(client, tracking, "comparison of runs") as record:
        _log(record, criteria, sealed, subjects, judged, page)
    return ComparedRuns(judged, len(said[0].patient), patients, page, record.address())


def refuse_unknown_learners(subject: Subject, what: str) -> None:
    """Refuse a model that learned from patients of this export when it cannot be told from whom.

    Raises:
        DataError: It did: the export is that of its training, split otherwise, and files do not tell who taught.
    """
    if subject.own:
        return
    known = subject.package.facts.get("people", {}).get("everyone", "")
    everyone = people_of(subject.config.cohort, subject.studies, {})["everyone"]
    if known and known == everyone and not subject.learned_from:
        raise DataError(
            f"the {what} was trained on this export by another split, and no file tells from which patients it learned: give "
            "the run file with the split of its training"
        )


def same_studies(champion: Subject, challenger: Subject) -> tuple[Scores, Scores]:
    """Give what both models say of the studies that neither learned from, in the same order.

    Raises:
        DataError: There is none, or the two do not tell the same.
    """
    pair = (champion.test, challenger.test)
    _, first, second = np.intersect1d(pair[0].rows, pair[1].rows, return_indices=True)
    if not len(first):
        raise DataError("there is no study that neither of the two models learned from: give a cohort with new patients")
    return _in_order(pair[0].scores, first), _in_order(pair[1].scores, second)


def _in_order(scores: Scores, places: Array) -> Scores:
    return replace(
        scores,
        predicted=scores.predicted[places],
        target=scores.target[places],
        patient=scores.patient[places],
        groups={name: values[places] for name, values in scores.groups.items()},
    )


def criteria_table(judged: Sequence[Judged]) -> pd.DataFrame:
    """Give one row a criterion."""
    rows = []
    for one in judged:
        row: dict[str, object] = {
            "criterion": one.criterion.name,
            "metric": one.criterion.metric,
            "class": one.criterion.class_name or "",
            "studies_of": group_of(one.criterion),
            "kind": one.criterion.kind,
            "asked": one.criterion.value,
            "verdict": "met" if one.met else "not met",
            "why": one.why,
        }
        for name, estimate in (("champion", one.champion), ("challenger", one.challenger), ("gain", one.gain)):
            row |= {name: estimate.value, f"{name}_low": estimate.low, f"{name}_high": estimate.high}
        rows.append(row | {"studies": one.gain.studies, "patients": one.gain.patients})
    return pd.DataFrame(rows)


def group_of(one: Criterion) -> str:
    """Say which studies count."""
    return "all" if one.subgroup is None else f"{one.subgroup.column} = {one.subgroup.value}"


def asked(one: Criterion) -> str:
    """Say what is asked."""
    what = one.metric if one.class_name is None else f"{one.metric} of {one.class_name}"
    return f"{what}: {KINDS[one.kind].format(value=one.value)}"


def _measure(one: Estimate) -> str:
    return measure(one.value, one.low, one.high)


def compared_page(
    protocol: Protocol, sealed: str, subjects: Sequence[Subject], judged: Sequence[Judged], n: tuple[int, int]
) -> str:
    """Give the page."""
    met = sum(one.met for one in judged)
    accepted = met == len(judged)
    rows = [
        (
            one.criterion.name,
            asked(one.criterion),
            group_of(one.criterion),
            _measure(one.champion),
            _measure(one.challenger),
            _measure(one.gain),
            one.gain.studies,
            one.gain.patients,
            Tag("met", "good") if one.met else Tag("not met", "bad"),
        )
        for one in judged
    ]
    columns = ("criterion", "asked", "studies of", "champion", "challenger", "gain", "studies", "patients", "verdict")
    made = [
        ("digest of the protocol", sealed),
        ("digest of the champion", subjects[0].package.digest),
        ("digest of the challenger", subjects[1].package.digest),
        ("digest of the cohort", subjects[0].manifest.digest),
        ("patients of each outcome that a criterion needs", protocol.least_patients),
        ("medmm", __version__),
    ]
    verdict = "accepted" if accepted else "not accepted"
    summary = Summary(
        "Criteria met",
        f"{met} of {len(judged)}",
        f"The challenger is {verdict}",
        f"n = {n[0]:,} studies of {n[1]:,} patients, from whom neither model learned",
        [("Change", protocol.title or "not named in the protocol"), *_models(subjects)],
        [(Tag("met", "good") if one.met else Tag("not met", "bad"), f"{one.criterion.name}: {one.why}.", "") for one in judged],
        "What is compared",
    )
    parts = [
        Part("criteria", "The criteria", [NOTE], sheets=[Sheet("Each criterion", columns, rows, folded=False)], flows=True),
        Part("limits", "Limits", _limits(subjects), flows=True, lead=False),
        Part("made", "How this page was made", sheets=[Sheet("Facts", ("what", "value"), made, folded=False)], flows=True),
    ]
    facts = f"Judged on {datetime.now(UTC).date().isoformat()} by the protocol with digest {sealed[:DIGITS]}."
    ends = "Research software, not a medical device: not for use in the care of a patient."
    return report_page(f"{subjects[0].package.name}: may the challenger replace the champion?", facts, summary, parts, ends)


def _models(subjects: Sequence[Subject]) -> list[tuple[str, str]]:
    names = ("Champion", "Challenger")
    return [(name, f"{one.package.name}, {one.package.digest[:DIGITS]}") for name, one in zip(names, subjects, strict=True)]


def _limits(subjects: Sequence[Subject]) -> list[str]:
    said = [
        "That the criteria were fixed before anybody looked at the challenger is not known to the run: keep the protocol with "
        "its date where it cannot be changed, and compare its digest.",
    ]
    for name, one in zip(("champion", "challenger"), subjects, strict=True):
        if not one.own:
            said.append(
                f"The cohort is not that of the training of the {name}: {one.learned_from:,} studies of patients from whose "
                "images it had learned were left out; whether others were there without an image cannot be told."
            )
    return said


def _log(
    record: Record, protocol: Protocol, sealed: str, subjects: Sequence[Subject], judged: Sequence[Judged], page: str
) -> None:
    accepted = all(one.met for one in judged)
    record.tags(
        {
            "protocol_digest": sealed,
            "champion_digest": subjects[0].package.digest,
            "challenger_digest": subjects[1].package.digest,
            "cohort_digest": subjects[0].manifest.digest,
            "verdict": "accepted" if accepted else "not accepted",
            "mlflow.note.content": "\n".join(f"- {'met' if one.met else 'NOT met'}: {one.criterion.name}" for one in judged),
        }
    )
    record.measures({"accepted": float(accepted), "criteria_met": float(sum(one.met for one in judged))})
    for one in judged:
        named = {"champion": one.champion, "challenger": one.challenger, "gain": one.gain}
        record.measures(named_numbers({f"{one.criterion.name}/{name}": estimate for name, estimate in named.items()}))
        record.measures({f"{one.criterion.name}/met": float(one.met)})
    record.document(protocol.model_dump(mode="json", by_alias=True), "protocol.json")
    record.table(criteria_table(judged), "criteria.csv")
    record.text(page, PAGE)


def show_compared_runs(compared: ComparedRuns, screen: Screen) -> None:
    """Write the table and the verdict."""
    rows = [
        (
            one.criterion.name,
            asked(one.criterion),
            group_of(one.criterion),
            _measure(one.champion),
            _measure(one.challenger),
            _measure(one.gain),
            "met" if one.met else "NOT MET",
        )
        for one in compared.judged
    ]
    columns = ("criterion", "asked", "studies of", "champion", "challenger", "gain", "verdict")
    n = f"{compared.studies:,} studies of {compared.patients:,} patients"
    screen.table(f"Criteria on {n}, with 95 % intervals by patient, gains paired", columns, rows)
    for one in compared.judged:
        if not one.met:
            screen.say(f"{one.criterion.name}: {one.why}")
    screen.say("accepted: every criterion is met" if compared.accepted else "not accepted")
