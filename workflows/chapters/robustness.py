"""What the model says when an input is damaged, and when the damage is refused: curves over severity, and the worst fall."""

from collections.abc import Iterator
from zlib import crc32

import numpy as np
import torch

from medmm.dataset.batches import stack
from medmm.errors import Rejected
from medmm.evaluation.chapter import Chapter
from medmm.evaluation.intervals import Estimate, sample_and_resamples
from medmm.evaluation.robustness import Curve, Step, curve_table, judge
from medmm.evaluation.robustness_plot import robustness_plot
from medmm.evaluation.subgroups import MINIMUM
from medmm.evaluation.yardstick import YARDSTICKS, Yardstick
from medmm.inputs.base import Fields
from medmm.inputs.damage import Damage, damages_of
from medmm.predict import encoded
from medmm.types import Array, Batch

from ..encoded import Encoded, by_the_model_alone, draw_patients, encode
from ..screen import Screen, with_interval
from ..subject import Subject

TITLE = "Robustness to damaged inputs"


def robustness(subject: Subject, screen: Screen) -> Chapter:
    """Damage each input of the test studies that have it, in steps, and give the headline, its fall and the share refused."""
    test, yardstick = subject.test, YARDSTICKS[subject.config.target.task]
    curves: list[Curve] = []
    says: list[str] = []
    chosen: dict[str, Array] = {}
    for column, name in enumerate(subject.inputs):
        has = np.flatnonzero(test.present[:, column])
        places = has[draw_patients(test.scores.patient[has], subject.config.evaluation.robustness_studies)] if len(has) else has
        few = yardstick.rests_on(test.raw.some(places)) if len(places) else 0
        if few < MINIMUM:
            says.append(
                f"{name} was not damaged: not enough data, {few} patients who have it have {yardstick.counted}, {MINIMUM} are "
                "needed."
            )
        else:
            chosen[name] = places
    if chosen:
        union = np.unique(np.concatenate(list(chosen.values())))
        together = encode(subject, union)
        for name, places in chosen.items():
            curves += _curves(together.some(np.searchsorted(union, places)), name, screen)
        says = [*_sentences(curves, yardstick), *says]
    figures = {"damages": robustness_plot(curves, yardstick)} if curves else {}
    return Chapter(
        "robustness", TITLE, (*says, *by_the_model_alone(subject)), _measures(curves), {"damages": curve_table(curves)}, figures
    )


def _curves(own: Encoded, name: str, screen: Screen) -> Iterator[Curve]:
    config, scores = own.subject.config, own.scores
    weights = sample_and_resamples(scores.patient, config.evaluation.resamples, 0)
    damages = damages_of(own.subject.package.inputs[name])
    whole, done = sum(len(one.severities) for one in damages.values()), 0
    everyone = np.ones(len(own.rows), bool)
    clean = judge(scores, scores.predicted, everyone, 0, config.target.task, weights)
    with screen.step(f"damaging {name}") as step:
        for key, damage in damages.items():
            steps = [clean]
            for severity in damage.severities:
                predicted, kept = _damaged(own, name, key, damage, severity)
                steps.append(judge(scores, predicted, kept, severity, config.target.task, weights))
                step(done := done + 1, whole, damage.label)
            yield Curve(name, key, damage.label, damage.unit, tuple(steps))


def _damaged(own: Encoded, name: str, key: str, damage: Damage, severity: float) -> tuple[Array, Array]:
    """Give what is said (n, C) of the studies with one input damaged, and which (n,) were not refused."""
    kept: list[bool] = []

    def batches() -> Iterator[Batch]:
        size = own.subject.config.training.batch_size
        for start in range(0, len(own.rows), size):
            rows = own.rows[start : start + size]
            found = [_damage(own.subject, name, key, damage, severity, int(row)) for row in rows]
            present = [one is not None for one in found]
            kept.extend(present)
            yield Batch({name: stack(found)}, {name: torch.tensor(present)}, None, torch.from_numpy(rows))

    tokens = encoded(own.subject.package.model, name, batches())
    return own.with_input(name, tokens).predicted, np.array(kept)


def _damage(subject: Subject, name: str, key: str, damage: Damage, severity: float, row: int) -> Fields | None:
    """Damage one study; its chance is that of its row, input and damage, so a higher severity does more of the same."""
    study, fields = subject.studies[row], subject.prepared[name].fields(row)
    assert fields is not None
    rng = np.random.default_rng([study.row, crc32(f"{name} {key}".encode())])
    try:
        return damage.make(subject.package.inputs[name], study.evidence[name], fields, severity, rng)
    except Rejected:
        return None


def _measures(curves: list[Curve]) -> dict[str, Estimate]:
    """Give the fall and the share refused at the hardest step, the worst fall of each input, and that at a mildest step."""
    measures: dict[str, Estimate] = {}
    for one in curves:
        measures[f"{one.source}_{one.damage}"] = one.steps[-1].drop
        measures[f"{one.source}_{one.damage}_refused"] = one.steps[-1].refused
    for name in dict.fromkeys(one.source for one in curves):
        own = [one for one in curves if one.source == name]
        if worst := _worst(own):
            measures[f"worst_{name}"] = worst[1].drop
        mild = [one.steps[1].drop for one in own if np.isfinite(one.steps[1].drop.value)]
        if mild:
            measures[f"mild_{name}"] = max(mild, key=lambda drop: drop.value)
    if worst := _worst(curves):
        measures["worst"] = worst[1].drop
    return measures


def _worst(curves: list[Curve]) -> tuple[Curve, Step] | None:
    found = [(one, worst) for one in curves if (worst := one.worst) is not None]
    return max(found, key=lambda pair: pair[1].drop.value, default=None)


def _sentences(curves: list[Curve], yardstick: Yardstick) -> Iterator[str]:
    tried = sum(len(one.steps) - 1 for one in curves)
    if worst := _worst(curves):
        yield (
            f"The worst of {tried} damages tried: {_told(*worst, yardstick)} The largest of so many falls looks larger than it "
            "is, and its interval does not allow for that."
        )
    for name in dict.fromkeys(one.source for one in curves):
        own = [one for one in curves if one.source == name]
        mine = _worst(own)
        if mine is not None and mine != worst:
            yield f"The worst for {name}: {_told(*mine, yardstick)}"
        for one in own:
            hardest = one.steps[-1]
            if hardest.refused.value > 0:
                yield (
                    f"{name}, {one.label} at {hardest.severity:g} ({one.unit}): {with_interval(hardest.refused)} of "
                    f"{hardest.refused.studies} studies of {hardest.refused.patients} patients are refused, which is the right "
                    "answer to values that cannot be; the others are judged."
                )


def _told(curve: Curve, step: Step, yardstick: Yardstick) -> str:
    headline, drop = step.headline, step.drop
    return (
        f"{curve.label} of {curve.source} at {step.severity:g} ({curve.unit}) leaves the {yardstick.label} at "
        f"{with_interval(headline)}, {with_interval(drop)} lower than undamaged on the same {drop.studies} studies of "
        f"{drop.patients} patients."
    )
