"""Chapter: is a study that is unlike those of the training told from the others, and how often is an ordinary one?"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import pandas as pd

from medmm.dataset.batches import Batches
from medmm.dataset.cache import ABSENT, PreparedInput
from medmm.evaluation.chapter import Chapter
from medmm.evaluation.intervals import Estimate, interval
from medmm.evaluation.metrics import auroc, share
from medmm.evaluation.novelty import ACCEPTED, Novelty, energy, neighbour_distance, whole
from medmm.evaluation.novelty_plot import Spread, novelty_plot
from medmm.evaluation.outliers import plant, ways
from medmm.evaluation.subgroups import MINIMUM
from medmm.predict import predict
from medmm.types import Array

from ..screen import Screen, with_interval
from ..subject import Said, Subject

NAME = "novelty"
TITLE = "Studies unlike those of the training"

MOST = 200
"""Test studies that are made outliers, of each input and in each way; the interval of an AUROC of 0.9 is then 0.06 wide."""

DETECTORS = {"distance": "Mahalanobis", "neighbours": "nearest neighbours", "energy": "energy"}
"""The first is the one that travels with the model."""


@dataclass(frozen=True)
class Planted:
    """Test studies beside themselves as outliers.

    Attributes:
        name: The input that was altered.
        way: How.
        patient: (n,) of the studies.
        known: (n,) distance of the studies as they are.
        outlier: (n,) of the same studies altered.
        found: (n,) whether the altered study as a whole is beyond its threshold.
        areas: Detector -> AUROC of altered studies against those as they are.
    """

    name: str
    way: str
    patient: Array
    known: Array
    outlier: Array
    found: Array
    areas: Mapping[str, Estimate]


def novelty(subject: Subject, screen: Screen) -> Chapter:
    """Judge the distances that travel with the model: false alarms on test studies, and planted outliers."""
    references = subject.package.references
    if references is None:
        return Chapter(NAME, TITLE, ("The package holds no reference of its training studies, so none can be told unlike.",))
    fitted, test, resamples = references.novelty, subject.test, subject.config.evaluation.resamples
    distance = fitted.of(test)  # (S, P)
    alarms = _alarms(fitted, distance, test, resamples)
    planted = []
    with screen.step("planting outliers") as step:
        for done, name in enumerate(fitted.inputs):
            planted += _plant(subject, fitted, distance, name, resamples)
            step(done + 1, len(fitted.inputs), name)
    table = pd.DataFrame([_row(one, detector) for one in planted for detector in one.areas])
    outliers = {f"outliers/{name}": _told_apart(planted, name, resamples) for name in fitted.inputs}
    outliers = {name: one for name, one in outliers.items() if one.studies}
    measures = {**alarms, **outliers, **_detected(planted, resamples)}
    says = [_how(fitted), *_quiet(fitted, alarms, own=subject.own), *_seen(planted, outliers), _kept(references.drift.patient)]
    few = [name for name in fitted.inputs if f"outliers/{name}" not in outliers]
    if few:
        says.append(
            f"Not enough data to plant outliers of {', '.join(few)}: {MINIMUM} test patients who have it are needed, and "
            f"{round(ACCEPTED / (1 - ACCEPTED))} validation patients for its limit."
        )
    figure = novelty_plot(_spreads(fitted, distance, planted, measures), _counts(test))
    tables = {"outliers": table, "false_alarms": _alarm_table(alarms)}
    return Chapter(NAME, TITLE, tuple(says), measures, tables, {"distance": figure})


def _alarms(fitted: Novelty, distance: Array, test: Said, resamples: int) -> dict[str, Estimate]:
    """Give the share of test studies that are called unlike, as wholes and by each input that they have."""
    patient = test.scores.patient
    found = {"false_alarms": interval(partial(share, np.asarray(fitted.beyond(distance).any(axis=1))), patient, resamples)}
    for place, name in enumerate(fitted.inputs, start=1):
        has = np.isfinite(distance[:, place])
        if len(np.unique(patient[has])) >= MINIMUM:
            beyond = distance[has, place] > 1
            found[f"false_alarms/{name}"] = interval(partial(share, beyond), patient[has], resamples)
    return found


def _plant(subject: Subject, fitted: Novelty, distance: Array, name: str, resamples: int) -> list[Planted]:
    test, place = subject.test, fitted.inputs.index(name)
    if not np.isfinite(fitted.limit[place + 1]):  # then every distance is 0 limits
        return []
    has = np.flatnonzero(test.present[:, place])
    has = np.sort(np.random.default_rng(0).permutation(has)[:MOST])
    if len(np.unique(test.scores.patient[has])) < MINIMUM or not np.isfinite(distance[has, place + 1]).all():
        return []
    rows = test.rows[has].tolist()
    found = [subject.prepared[name].fields(i) for i in rows]
    fields = {key: np.stack([one[key] for one in found if one is not None]) for key in found[0] or ()}
    everything = frozenset(subject.inputs)
    task, train = subject.package.target.task, subject.parts.get("train")
    planted = []
    for way in ways(fields):
        changed = {**subject.prepared, name: _placed(plant(fields, way, np.random.default_rng(0)), rows, len(subject.studies))}
        said = predict(subject.package.model, Batches(changed, rows, None, subject.config.training.batch_size), [everything])
        new = fitted.of(said)
        known, outlier = {"distance": distance[has, place + 1]}, {"distance": new[:, place + 1]}
        if train is not None:
            own = train.pooled[name][train.present[:, place]]
            known["neighbours"], outlier["neighbours"] = (
                neighbour_distance(own, values) for values in (test.pooled[name][has], said.pooled[name])
            )
        before, after = energy(test.logits[has], task), energy(said.logits[everything], task)
        if before is not None and after is not None:
            known["energy"], outlier["energy"] = before, after
        patient, found_whole = test.scores.patient[has], np.asarray(fitted.beyond(new).any(axis=1))
        areas = {one: _area(known[one], outlier[one], patient, resamples) for one in known}
        planted.append(Planted(name, way, patient, known["distance"], outlier["distance"], found_whole, areas))
    return planted


def _placed(fields: Mapping[str, Array], rows: list[int], studies: int) -> PreparedInput:
    """Give prepared fields (n, ...) of some of all studies as an input that the others lack."""
    place = np.full((studies, 2), ABSENT)
    place[rows] = np.stack([np.zeros(len(rows), np.int64), np.arange(len(rows))], axis=1)
    return PreparedInput(place, (fields,), {}, [None] * studies)


def _area(known: Array, outlier: Array, patient: Array, resamples: int) -> Estimate:
    label = np.repeat([0, 1], [len(known), len(outlier)])
    people = np.concatenate([patient] * (1 + len(outlier) // len(known)))
    one = interval(partial(auroc, np.concatenate([known, outlier]), label), people, resamples)
    return replace(one, studies=len(known))


def _told_apart(planted: list[Planted], name: str, resamples: int) -> Estimate:
    """Give the AUROC by which outliers of all ways are told from the studies that they were made of."""
    own = [one for one in planted if one.name == name]
    if not own:
        return Estimate(np.nan, np.nan, np.nan, 0, 0, 0)
    outlier = np.concatenate([one.outlier for one in own])
    return _area(own[0].known, outlier, own[0].patient, resamples)


def _detected(planted: list[Planted], resamples: int) -> dict[str, Estimate]:
    return {f"found/{one.name}/{one.way}": interval(partial(share, one.found), one.patient, resamples) for one in planted}


def _row(one: Planted, detector: str) -> dict[str, object]:
    area = one.areas[detector]
    return {
        "input": one.name,
        "way": one.way,
        "detector": DETECTORS[detector],
        "auroc": area.value,
        "low": area.low,
        "high": area.high,
        "found": float(one.found.mean()) if detector == "distance" else np.nan,
        "studies": area.studies,
        "patients": area.patients,
    }


def _how(fitted: Novelty) -> str:
    if not np.isfinite(fitted.threshold):
        need = round(ACCEPTED / (1 - ACCEPTED))
        return f"Not enough data: fewer than {need} validation patients, so no study is called unlike those of the training."
    return (
        "Each study is held against the training studies by its distance in the network's representation, input by input; the "
        f"limits let {ACCEPTED:.0%} of the validation patients' studies pass."
    )


def _quiet(fitted: Novelty, alarms: Mapping[str, Estimate], *, own: bool) -> list[str]:
    one = alarms["false_alarms"]
    if not np.isfinite(fitted.threshold):
        return []
    what = "are called unlike, falsely" if own else "of this other cohort are called unlike the training studies"
    says = [f"{with_interval(one)} of the test studies {what} (n = {one.studies:,} studies of {one.patients:,} patients)."]
    worst = max((name for name in alarms if "/" in name), key=lambda name: alarms[name].value, default=None)
    if worst is not None:
        most = alarms[worst]
        says.append(
            f"By a single input most are in {worst.partition('/')[2]}: {with_interval(most)} (n = {most.studies:,} studies of "
            f"{most.patients:,} patients)."
        )
    return says


def _seen(planted: list[Planted], outliers: Mapping[str, Estimate]) -> list[str]:
    says = []
    for key, one in outliers.items():
        name = key.partition("/")[2]
        found = ", ".join(f"{way.way.replace('_', ' ')} {way.found.mean():.0%}" for way in planted if way.name == name)
        says.append(
            f"Planted outliers of {name}, test studies altered on purpose, are told from the studies as they are with an AUROC "
            f"of {with_interval(one)} (n = {one.studies:,} studies of {one.patients:,} patients); called unlike: {found}."
        )
    return says


def _kept(patient: Array) -> str:
    return (
        f"A sample of {len(patient):,} validation studies of {len(np.unique(patient)):,} patients travels with the model, so "
        "that later studies can be held against them: which inputs are there, what the network makes of them, and the answers."
    )


def _spreads(fitted: Novelty, distance: Array, planted: list[Planted], measures: Mapping[str, Estimate]) -> list[Spread]:
    rows = [Spread("study as a whole", False, whole(distance), fitted.threshold, _short(measures["false_alarms"]))]
    for place, name in enumerate(fitted.inputs, start=1):
        own = distance[np.isfinite(distance[:, place]), place]
        if not len(own):
            continue
        alarm = measures.get(f"false_alarms/{name}")
        rows.append(Spread(name, False, own, 1.0, "" if alarm is None else _short(alarm)))
        for one in planted:
            if one.name == name:
                area = one.areas["distance"]
                label = f"{name}, {one.way.replace('_', ' ')}"
                rows.append(Spread(label, True, one.outlier, 1.0, f"AUROC {with_interval(area)}"))
    return rows


def _short(one: Estimate) -> str:
    return f"beyond {with_interval(one)}"


def _alarm_table(alarms: Mapping[str, Estimate]) -> pd.DataFrame:
    return pd.DataFrame(
        [
            {
                "of": name.partition("/")[2] or "study as a whole",
                "false_alarms": one.value,
                "low": one.low,
                "high": one.high,
                "studies": one.studies,
                "patients": one.patients,
            }
            for name, one in alarms.items()
        ]
    )


def _counts(test: Said) -> str:
    patients = len(np.unique(test.scores.patient))
    return f"{len(test.rows):,} test studies of {patients:,} patients; up to {MOST} of them altered a way"
