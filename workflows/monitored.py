"""What a monitoring found: the answer, in words and as plain data."""

import math
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from medmm import __version__
from medmm.evaluation.intervals import Estimate
from medmm.evaluation.novelty import JOINT
from medmm.monitoring.drift_tests import Finding
from medmm.monitoring.quality import Quality
from medmm.monitoring.window import Span, Window
from medmm.package import Package
from medmm.references import References
from medmm.settings import Plain

from .report import number

ALWAYS = Span()


@dataclass(frozen=True)
class Asked:
    """What is to be looked at, as the command line says it.

    Attributes:
        span: Which studies count.
        labels: Table with the truth; None where it is not known yet.
        alpha: Chance of any false alarm, inside 0 to 1.
        record: Whether to keep the answer in MLflow.
    """

    span: Span = ALWAYS
    labels: Path | None = None
    alpha: float = 0.05
    record: bool = True


@dataclass(frozen=True)
class Monitored:
    """What came out.

    Attributes:
        package: The model.
        window: What was scored.
        asked: What was to be looked at.
        findings: One a test of drift; none where there are too few studies.
        quality: What the truth says; None where it is not known of any study.
        rejected, abstain: Shares with intervals; abstain None for a model that never says so.
        no_verdict: Why there is no verdict on drift; "" where there is one.
        alarms: What is off, a sentence each.
    """

    package: Package
    window: Window
    asked: Asked
    findings: tuple[Finding, ...]
    quality: Quality | None
    rejected: Estimate
    abstain: Estimate | None
    no_verdict: str
    alarms: tuple[str, ...]

    @property
    def verdict(self) -> str:
        """The answer in words."""
        if self.alarms:
            return "alarm"
        return "no verdict" if self.no_verdict else "no alarm"

    @property
    def alpha(self) -> float:
        """Chance of any false alarm of drift, and as much of quality where there are labels."""
        return self.asked.alpha if self.asked.labels is None else self.asked.alpha / 2

    @property
    def references(self) -> References:
        """What the package says of its validation studies."""
        assert self.package.references is not None
        return self.package.references


SUBJECTS = {"answer": "answer {}", "presence": "presence of {}", "representation": "representation of {}"}


def subject_of(one: Finding) -> str:
    """Name what a test compared."""
    return SUBJECTS[one.what].format("all inputs" if one.name == JOINT else one.name)


def in_words(one: Finding) -> str:
    """Say how large a difference is."""
    if one.what == "answer":
        medians = f"median {one.reference:.3g} in the reference, {one.batch:.3g} now"
        return f"{medians}; the shares below a value differ by up to {one.statistic:.0%}"
    if one.what == "presence":
        return f"in {one.reference:.1%} of the reference, in {one.batch:.1%} now"
    return f"its mean has moved by {one.batch:.2f} standard deviations beyond chance, discrepancy {one.statistic:.3f}"


def plain_of(answer: Monitored) -> Plain:
    """Give all numbers as plain data; no identifier of a patient stands in it."""
    window, asked, quality = answer.window, answer.asked, answer.quality
    known = answer.references.drift
    limits = {name: None if one is None else one.isoformat() for name, one in vars(asked.span).items()}
    return {
        "verdict": answer.verdict,
        "alarms": list(answer.alarms),
        "no_verdict": answer.no_verdict,
        "made": datetime.now(UTC).isoformat(timespec="seconds"),
        "medmm": __version__,
        "model": {"name": answer.package.name, "digest": answer.package.digest},
        "span": {**limits, "first": window.first, "last": window.last},
        "alpha": asked.alpha,
        "scored": {"studies": len(window.study_id), "patients": len(set(window.patient_id.tolist()))},
        "reference": {"studies": len(known.patient), "patients": len(set(known.patient.tolist()))},
        "rejected": {**number(answer.rejected), "codes": dict(window.rejected)},
        "abstain": None if answer.abstain is None else number(answer.abstain),
        "drift": [dict(vars(one)) for one in answer.findings],
        "quality": None
        if quality is None
        else {
            "unknown": quality.unknown,
            "unreadable": quality.unreadable,
            "checks": [
                {
                    "metric": one.metric,
                    "class": one.class_name,
                    **number(one.estimate),
                    "expected": one.expected if math.isfinite(one.expected) else None,
                    "alarm": one.alarm,
                    "why": one.why,
                }
                for one in quality.checks
            ],
            "results": [
                {"metric": one.metric, "class": one.class_name, **number(one.estimate), "note": one.note}
                for one in quality.results
            ],
        },
    }
