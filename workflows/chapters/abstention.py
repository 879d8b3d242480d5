"""What is gained where the least sure studies are left to a human, and how many lie outside the intended use."""

from collections import Counter
from functools import partial

import numpy as np
import pandas as pd

from medmm.evaluation.canvas import counts
from medmm.evaluation.chapter import Chapter
from medmm.evaluation.intervals import Estimate, interval, sample_and_resamples, summarise
from medmm.evaluation.metrics import share
from medmm.evaluation.risk_coverage import accuracy_at, decisions, risk_area, risk_coverage_plot
from medmm.evaluation.subgroups import MINIMUM
from medmm.types import CLASS_TASKS

from ..screen import Screen
from ..subject import Subject
from .telling import named, resting_on, told

NAME, TITLE = "abstention", "Abstention"


def abstention_chapter(subject: Subject, screen: Screen) -> Chapter:
    """Give the accuracy of the surest studies, the area under the risk-coverage curve, and what is outside the intended use."""
    task, scores = subject.config.target.task, subject.test.scores
    outside, beyond = _outside(subject)
    if task not in CLASS_TASKS:
        why = f"A {task} model gives no probability of a class, so it cannot say how sure it is of a decision."
        return Chapter(NAME, TITLE, (why, outside), beyond)
    patients = len(set(scores.patient.tolist()))
    if patients < MINIMUM:
        return Chapter(NAME, TITLE, (f"Not enough data: {patients} patients, {MINIMUM} are needed.",))
    weights = sample_and_resamples(scores.patient, subject.config.evaluation.resamples, 0)
    answered = decisions(scores, task, subject.package.thresholds)
    names = [one.name for one in answered]
    measures: dict[str, Estimate] = {}
    rows: list[dict[str, object]] = []
    says = [
        "Studies are answered from the surest down: a decision is the surer, the farther its odds are from the threshold's."
        if task != "multiclass"
        else "Studies are answered from the surest down, by the probability of the likeliest class."
    ]
    for one in answered:
        area = risk_area(one.sure, one.wrong, weights)
        gain = share(one.wrong, weights) - area
        own = {"aurc": summarise(area, one.patient), "aurc_gain": summarise(gain, one.patient)}
        at = accuracy_at(one, weights)
        own |= {f"accuracy_at_{100 * coverage:g}": estimate for coverage, estimate in at.items()}
        measures |= {named(name, one.name, names): estimate for name, estimate in own.items()}
        rows += [
            {"class": one.name, "coverage": coverage, "accuracy": got.value, "low": got.low, "high": got.high}
            for coverage, got in at.items()
        ]
        parts = ", ".join(f"{told(got)} of the surest {coverage:.0%}" for coverage, got in at.items())
        judged = "less" if own["aurc_gain"].low > 0 else "not surely less"
        says.append(
            f"{one.name}: accuracy {parts}. The mean error over all shares is {told(own['aurc'], 3)}, {judged} than where "
            f"studies are left out at random: by {told(own['aurc_gain'], 3)}, {resting_on(own['aurc'])}."
        )
    figure = risk_coverage_plot(answered, weights, TITLE, counts(scores))
    says.append(outside)
    measures |= beyond
    return Chapter(NAME, TITLE, tuple(says), measures, {"accuracy": pd.DataFrame(rows)}, {"risk_coverage": figure})


def _outside(subject: Subject) -> tuple[str, dict[str, Estimate]]:
    """Say how many test studies are outside the intended use, as scoring would say of each, and by which limits."""
    intended, scores = subject.package.intended, subject.test.scores
    if intended is None:
        return "The package states no intended use.", {}
    reasons = [intended.outside(subject.studies[i]) for i in subject.test.rows]
    own = np.array([len(some) > 0 for some in reasons], float)
    share_outside = interval(partial(share, own), scores.patient, subject.config.evaluation.resamples)
    if not own.any():
        return f"None of the test studies, {resting_on(share_outside)}, is outside the intended use.", {}
    counts_of = Counter(limit for some in reasons for limit in {reason.limit for reason in some})
    limits = ", ".join(f"{limit} {count}" for limit, count in sorted(counts_of.items()))
    return (
        f"Outside the intended use are {told(share_outside)} of the test studies, {resting_on(share_outside)}: by {limits}. "
        "Scoring abstains from them.",
        {"outside_intended_use": share_outside},
    )
