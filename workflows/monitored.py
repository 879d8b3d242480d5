"""What a monitoring found: the answer, in words and as plain data."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from medmm import __version__
from medmm.evaluation.novelty import JOINT
from medmm.monitoring.drift_tests import Finding
from medmm.monitoring.quality import Quality
from medmm.monitoring.rates import Rate
from medmm.monitoring.window import Span, Window
from medmm.package import Package
from medmm.references import References
from medmm.settings import Plain

from .report import number
from .screen import with_interval

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
        rates: The share of rejected studies, and of abstentions where the model has them.
        no_verdict: Why there is no verdict on drift; "" where there is one.
        alarms: What is off, a sentence each.
    """

    package: Package
    window: Window
    asked: Asked
    findings: tuple[Finding, ...]
    quality: Quality | None
    rates: tuple[Rate, ...]
    no_verdict: str
    alarms: tuple[str, ...]

    @property
    def verdict(self) -> str:
        """The answer in words."""
        if self.alarms:
            return "alarm"
        return "no verdict" if self.no_verdict or self.unlabelled else "no alarm"

    @property
    def unlabelled(self) -> str:
        """Why there is no verdict on quality though there are labels; "" where there is one, or nobody gave any."""
        if self.asked.labels is None or self.quality is not None:
            return ""
        return "none of the scored studies has a label that can be read in the table"

    @property
    def shares(self) -> "Shares":
        """How alpha is shared out."""
        return shares_of(self.asked, self.rates)

    @property
    def references(self) -> References:
        """What the package says of its validation studies."""
        assert self.package.references is not None
        return self.package.references


RATES = 0.2
"""Share of alpha that rates get: what is wrong with an export is seldom small."""


@dataclass(frozen=True)
class Shares:
    """How the chance of any false alarm is shared out; the parts sum to alpha.

    Attributes:
        drift: For all tests of drift together.
        quality: For all checks of quality; 0 without labels.
        rate: For each rate that has something to be compared with; 0 without one.
    """

    drift: float
    quality: float
    rate: float


def shares_of(asked: Asked, rates: Sequence[Rate]) -> Shares:
    """Share alpha out: a fifth to the rates, of the rest one half to drift and one to quality where there are labels."""
    compared = sum(one.known is not None for one in rates)
    left = asked.alpha * (1 - RATES) if compared else asked.alpha
    quality = 0.0 if asked.labels is None else left / 2
    return Shares(left - quality, quality, asked.alpha * RATES / compared if compared else 0.0)


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


def rate_in_words(one: Rate) -> str:
    """Say what a rate is, and was, and what the verdict rests on."""
    name = {"rejected": "rejected studies", "abstain": "no answer to rely on"}[one.what]
    if one.known is None:
        return f"{name}: {with_interval(one.estimate)}; the package does not say what is usual"
    where = {"rejected": "in the cohort", "abstain": "at validation"}[one.what]
    was = f"{one.known} {where} ({one.known.studies:,} studies of {one.known.patients:,} patients)"
    told = "too few studies to compare" if math.isnan(one.p) else f"p = {one.p:.2g} that it has not risen"
    return f"{name}: {with_interval(one.estimate)}, {was}; {told}"


def plain_of(answer: Monitored) -> Plain:
    """Give all numbers as plain data; no identifier of a patient stands in it."""
    window, asked, quality = answer.window, answer.asked, answer.quality
    known = answer.references.drift
    limits = {name: None if one is None else one.isoformat() for name, one in vars(asked.span).items()}
    rates: dict[str, dict[str, Plain]] = {
        one.what: {
            **number(one.estimate),
            "expected": None if one.known is None else one.known.value,
            "p": None if math.isnan(one.p) else one.p,
        }
        for one in answer.rates
    }
    return {
        "verdict": answer.verdict,
        "alarms": list(answer.alarms),
        "no_verdict": answer.no_verdict,
        "made": datetime.now(UTC).isoformat(timespec="seconds"),
        "medmm": __version__,
        "model": {"name": answer.package.name, "digest": answer.package.digest},
        "span": {**limits, "first": window.first, "last": window.last},
        "alpha": asked.alpha,
        "alpha_of": dict(vars(answer.shares)),
        "scored": {"studies": len(window.study_id), "patients": len(set(window.patient_id.tolist()))},
        "reference": {"studies": len(known.patient), "patients": len(set(known.patient.tolist()))},
        "rejected": {**rates["rejected"], "codes": dict(window.rejected)},
        "abstain": rates.get("abstain"),
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
