"""Checks of the inputs: what the model says without some, and whether each is used at all."""

from collections.abc import Iterator
from functools import partial

import numpy as np

from medmm.evaluation.intervals import Estimate, interval
from medmm.evaluation.metrics import share as mean_of
from medmm.evaluation.yardstick import YARDSTICKS
from medmm.predict import Subset
from medmm.types import Array, Scores

from .audited import Audited, headline_of
from .finding import Finding, beyond, judge, less, not_applicable, not_enough, shown
from .rivals import number

LOST_BY_HIDING = 0.15
"""By which the fusion with one input may surely stay behind a model that was trained on that input alone."""

EXCHANGED = ("importance", "exchanged_.*")
"""Chapter and names of what is lost when an input is another patient's."""

LEAST_CHANGE = 0.005
"""Mean change of an answer when an input is hidden: of a probability, or of a value in standard deviations of the truth. An
input that surely changes less is not used."""


def missing_inputs(audited: Audited) -> Finding:
    """Tell whether the model stays sensible with every subset of its inputs."""
    subject = audited.subject
    names = subject.inputs
    if len(names) < 2:
        return not_applicable("the model has one input, without which it says nothing")
    yardstick = YARDSTICKS[subject.config.target.task]
    if len(subject.test.only) < 2 ** len(names) - 1:
        lacking = 2 ** len(names) - 1 - len(subject.test.only)
        return Finding("fail", f"of {lacking} subsets of the inputs nobody knows what the model says")
    found: dict[Subset, Estimate] = {}
    few: dict[Subset, int] = {}
    for some, scores in subject.test.only.items():
        kept = _having(audited, some)
        if kept.any():
            own = scores.some(kept)
            found[some] = headline_of(own, subject.config)
            few[some] = yardstick.rests_on(own)
    behind = _behind(audited)
    comparisons = len(found) + len(behind)
    worst = min(found, key=lambda some: np.nan_to_num(found[some].value, nan=np.inf))
    told = (
        f"{len(found)} subsets looked at; worst with {' + '.join(sorted(worst))} alone: {yardstick.label} {shown(found[worst])}"
    )
    for name, one in behind.items():
        if beyond(one, most=LOST_BY_HIDING, comparisons=comparisons):
            said = f"with {name} alone the fusion is {shown(one)} behind a model trained on {name} alone"
            return Finding("fail", f"{said}; {told}", f"{yardstick.label} lost where the other inputs are missing", one)
    measure = f"{yardstick.label} with {' + '.join(sorted(worst))} alone"
    surely = [some for some, one in found.items() if beyond(one, least=yardstick.nothing, comparisons=comparisons)]
    if surely:
        return Finding("fail", f"worse than knowing nothing; {told}", measure, found[surely[0]])
    return judge(measure, found[worst], told, rests_on=few[worst], widest=1.0)


def every_input_is_used(audited: Audited) -> Finding:
    """Tell by how much the answer of a study changes when one of its inputs is hidden."""
    subject = audited.subject
    names = subject.inputs
    if len(names) < 2:
        return not_applicable("the model has one input, so that every answer comes from it")
    whole, changed = frozenset(names), {}
    nobody = []
    unit = float(np.std(subject.test.scores.target)) if subject.config.target.task == "regression" else 1.0
    for name in names:
        rest = whole - {name}
        has = subject.test.present[:, names.index(name)].astype(bool) & _having(audited, rest)
        if not has.any() or rest not in subject.test.only:
            nobody.append(name)
            continue
        change = _change(subject.test.only[whole].some(has), subject.test.only[rest].some(has), unit)
        patient = subject.test.scores.patient[has]
        changed[name] = interval(partial(mean_of, change), patient, subject.config.evaluation.resamples)
    if not changed:
        return not_enough("no test study has two inputs, of which one could be hidden", 0, 10)
    worst = min(changed, key=lambda name: changed[name].value)
    told = "; ".join(f"{name}: {shown(one, 3)}" for name, one in changed.items())
    told = f"mean change of the answer when an input is hidden: {told}" + (
        f"; no test study has {', '.join(nobody)}" if nobody else ""
    )
    worth = [f"{name.partition('_')[2]} {one}" for name, one in audited.measures(*EXCHANGED).items()]
    told += f"; headline lost when exchanged between patients: {', '.join(worth)}" if worth else ""
    one = changed[worst]
    return judge(f"mean change of the answer without {worst}", one, told, least=LEAST_CHANGE, comparisons=len(changed))


def _having(audited: Audited, some: Subset) -> Array:
    """Tell which test studies have any of some inputs."""
    columns = [audited.subject.inputs.index(name) for name in sorted(some)]
    return np.asarray(audited.subject.test.present[:, columns].astype(bool).any(axis=1))


def _behind(audited: Audited) -> dict[str, Estimate]:
    """Estimate how far the fusion with one input lies behind a model trained on it alone, both as the training recorded them.

    The two are of the same studies, so that the interval of independent numbers is too wide rather than too narrow.
    """
    rows = {row["model"]: number(row) for row in audited.subject.package.facts.get("inputs", ())}

    def pairs() -> Iterator[tuple[str, Estimate]]:
        for name in audited.subject.inputs:
            alone, fused = rows.get(f"{name} alone, own model"), rows.get(f"fusion with only {name}")
            if alone is not None and fused is not None and np.isfinite(alone.low) and np.isfinite(fused.low):
                yield name, less(alone, fused)

    return dict(pairs())


def _change(whole: Scores, rest: Scores, unit: float) -> Array:
    """Give the (S,) mean absolute change of the answers, in a unit."""
    return np.asarray(np.abs(whole.predicted - rest.predicted).mean(axis=1) / (unit or 1.0))
