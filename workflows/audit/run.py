"""`medmm audit`: 25 checks of a packaged model and its evidence, and an exit status that a pipeline can rely on."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from medmm.config import RunConfig
from medmm.errors import ConfigError
from medmm.evaluation.chapter import Chapter
from medmm.files import write_text
from medmm.inert import csv_text
from medmm.privacy.gate import write_answer, write_page
from medmm.settings import Plain
from medmm.tables import nearest
from medmm.training.tracking import connect, open_record

from ..evaluate import keep_evidence, tracking_of, write_chapters
from ..evidence_page import PAGE
from ..screen import Screen
from ..subject import open_subject
from ..train import RUN_FILE
from . import CHECKS, check_all
from .audited import gather
from .finding import CHECKED, FAMILY, Finding

NAME = "audit"
CHECK_COLUMNS = ("check", "verdict", "number")
PACKAGE = "package"
"""Where the folder of a run keeps its package."""


@dataclass(frozen=True)
class AuditReport:
    """What an audit gave.

    Attributes:
        findings: One a check.
        idle: Waivers that let nothing pass.
        model_digest, cohort_digest: What was audited, and on what.
        folder: Where audit.json, audit.csv and the report lie.
        run_page: The run's page below the address of the UI.
    """

    findings: tuple[Finding, ...]
    idle: tuple[str, ...]
    model_digest: str
    cohort_digest: str
    folder: Path
    run_page: str

    @property
    def failed(self) -> tuple[Finding, ...]:
        """The checks that fail and that nobody waived."""
        return tuple(one for one in self.findings if one.verdict == "fail")


def audit_model(model: str, config: RunConfig, waive: Mapping[str, str], screen: Screen) -> AuditReport:
    """Audit a packaged model on the labelled studies of the run file's cohort; nothing of the model is fitted or chosen.

    Args:
        model: As `medmm evaluate` takes it, or the folder of a run.
        config: The run file.
        waive: Check -> why its failure may pass; over those of the run file.
        screen: Shows progress.

    Raises:
        MedmmError: Something that the user can repair.
    """
    client = connect(config.tracking)
    waive = {**config.audit.waive, **waive}
    subject = open_subject(_package_of(model), config, screen)
    screen.say("gathering the evidence ...")
    chapters = write_chapters(subject, screen)
    audited = gather(subject, chapters, screen)
    screen.say(f"making {CHECKED} checks ...")
    findings, idle = check_all(audited, waive)
    chapter = audit_chapter(findings)
    content = plain(findings, idle, subject.package.digest, subject.manifest.digest)
    with open_record(client, tracking_of(config), NAME) as record:
        failed = any(one.verdict == "fail" for one in findings)
        _, report = keep_evidence(record, subject, (*chapters, chapter))
        record.tags({"audit": "fail" if failed else "pass"})
        record.measures({f"{NAME}/{verdict.replace(' ', '_')}": count for verdict, count in _counts(findings).items()})
        record.document(content, "audit.json")
        page = record.address()
    write_answer(config.folder / "audit.json", content)
    write_text(config.folder / "audit.csv", csv_text(chapter.tables["checks"]))
    write_page(config.folder / PAGE, report)
    return AuditReport(findings, idle, subject.package.digest, subject.manifest.digest, config.folder, page)


def run_file(run: str) -> Path:
    """Give the run file that the folder of a run keeps.

    Raises:
        ConfigError: It is no folder of a run.
    """
    path = Path(run) / RUN_FILE
    if not path.is_file():
        raise ConfigError("MODEL is no folder of a run that `medmm train` wrote: give the run file behind it, as CONFIG")
    return path


def audit_chapter(findings: Sequence[Finding]) -> Chapter:
    """Give an audit as a part of the evidence."""
    counts = _counts(findings)
    says = [
        f"{len(findings)} checks: " + ", ".join(f"{count} {verdict}" for verdict, count in counts.items() if count),
        "A check fails where all that its number may be lies beyond a limit, at a level that all checks share: a faultless "
        f"model fails any of them in at most {FAMILY:.0%} of audits. A pass says that nothing was found, which with few "
        "patients is little.",
    ]
    says += [f"{CHECKS_TITLED[one.check]} fails: {one.evidence}." for one in findings if one.verdict == "fail"]
    says += [
        f"{CHECKS_TITLED[one.check]} was waived ({one.reason}): {one.evidence}." for one in findings if one.verdict == "waived"
    ]
    numbers = {one.check: one.number for one in findings if one.number is not None}
    return Chapter(NAME, "Audit", tuple(says), numbers, {"checks": pd.DataFrame([one.row() for one in findings])})


def plain(findings: Sequence[Finding], idle: Sequence[str], model_digest: str, cohort_digest: str) -> Plain:
    """Give an audit as JSON can say it."""
    return {
        "model_digest": model_digest,
        "cohort_digest": cohort_digest,
        "passes": not any(one.verdict == "fail" for one in findings),
        "false_alarms_at_most": FAMILY,
        "verdicts": _counts(findings),
        "checks": [one.row() for one in findings],
        "idle_waivers": list(idle),
    }


def waivers(given: Sequence[str]) -> dict[str, str]:
    """Read CHECK=REASON.

    Raises:
        ConfigError: It is not of that form, or the reason is empty.
    """
    read = {}
    for one in given:
        check, equals, reason = one.partition("=")
        if not equals or not check.strip() or not reason.strip():
            raise ConfigError(f"--waive {one!r} is not of the form CHECK=REASON: a waiver needs its reason")
        read[check.strip()] = reason.strip()
    return read


def show_audit(report: AuditReport, screen: Screen) -> None:
    """Say how an audit ended."""
    rows = [(CHECKS_TITLED[one.check], one.told(), "" if one.number is None else str(one.number)) for one in report.findings]
    screen.table("Audit, with 95 % intervals by patient; what each number is stands in audit.csv", CHECK_COLUMNS, rows)
    for one in report.findings:
        if one.verdict != "pass":
            screen.say(f"{one.check}: {one.verdict}: {one.evidence}")
    for name in report.idle:
        why = "it does not fail" if name in CHECKS else f"no check is called that: {nearest(name, CHECKS)}"
        screen.say(f"the waiver of {name} lets nothing pass: {why}")
    counts = _counts(report.findings)
    screen.say(", ".join(f"{count} {verdict}" for verdict, count in counts.items() if count))
    if report.failed:
        screen.say(
            "fails: " + ", ".join(one.check for one in report.failed) + "; what may be so, waive with its reason: "
            f"--waive {report.failed[0].check}=REASON, or under audit.waive in the run file"
        )
    screen.say(f"report: {report.folder / PAGE}; beside it audit.json and audit.csv")
    screen.say(f"run: {report.run_page} in `medmm ui`")


CHECKS_TITLED: Mapping[str, str] = {name: name.replace("_", " ") for name in CHECKS}
"""Check -> its name for the eye."""


def _package_of(model: str) -> str:
    """Give the package of the folder of a run; what is no such folder is left as it is."""
    inside = Path(model) / PACKAGE
    return str(inside) if not model.startswith(("models:/", "runs:/")) and inside.is_dir() else model


def _counts(findings: Sequence[Finding]) -> dict[str, int]:
    found = Counter(one.verdict for one in findings)
    return {verdict: found[verdict] for verdict in ("pass", "fail", "waived", "not enough data", "not applicable")}
