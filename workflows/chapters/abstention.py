"""What is gained where the least sure studies are left to a human."""

import pandas as pd

from medmm.evaluation.canvas import counts
from medmm.evaluation.chapter import Chapter
from medmm.evaluation.intervals import Estimate, sample_and_resamples, summarise
from medmm.evaluation.metrics import share
from medmm.evaluation.risk_coverage import accuracy_at, decisions, risk_area, risk_coverage_plot
from medmm.evaluation.subgroups import MINIMUM
from medmm.types import CLASS_TASKS

from ..screen import Screen
from ..subject import Subject
from .telling import named, resting_on, told

NAME, TITLE = "abstention", "Abstention"


def abstention_chapter(subject: Subject, screen: Screen) -> Chapter:
    """Give the accuracy of the surest studies, and the area under the risk-coverage curve."""
    task, scores = subject.config.target.task, subject.test.scores
    if task not in CLASS_TASKS:
        why = f"A {task} model gives no probability of a class, so it cannot say how sure it is of a decision."
        return Chapter(NAME, TITLE, (why,))
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
    return Chapter(NAME, TITLE, tuple(says), measures, {"accuracy": pd.DataFrame(rows)}, {"risk_coverage": figure})
