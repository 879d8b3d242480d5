"""Check of site and scanner: a model that recognises where a study was made can diagnose the place instead of the patient.

That an embedding tells the site is the rule (images of two devices differ), and that sites differ in how often they see a
disease is the rule too. Neither is a fault alone. The check fails where the embedding tells the site, the site tells the label,
and the model is better at comparing studies of different sites than of one: then part of its number is knowledge of the place.

Source:
    Zech et al., Variable generalization performance of a deep learning model to detect pneumonia in chest radiographs, PLOS
    Medicine 15 (2018) e1002683.
"""

import re
import warnings
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from medmm.cohort.association import LEAST_PATIENTS, Association, of_features
from medmm.evaluation.intervals import Estimate, interval
from medmm.evaluation.subgroups import MINIMUM
from medmm.evaluation.yardstick import YARDSTICKS
from medmm.types import Array, Scores

from .audited import Audited, joined
from .finding import CHECKED, Finding, beyond, judge, not_applicable, not_enough, shown

PLACES = re.compile(
    r"site|hospital|cent(er|re)|clinic|institut|scanner|device|manufacturer|vendor|station|machine", re.IGNORECASE
)
"""Names of subgroup columns that say where, or on what, a study was made."""

RECOGNISED = 0.6
"""AUROC beyond which an embedding tells the site."""

TELLING = 0.55
"""AUROC beyond which a site tells the label: somewhat more than by chance, for that alone is no fault here."""

FOLDS = 5


@dataclass(frozen=True)
class Place:
    """What was found of one column.

    Attributes:
        name: Of the column, or the scanner of an image input.
        recognised: AUROC of the sites by the embedding, over the sites.
        label: How well the site tells the class that it tells best; None where too few patients.
        tells: Whether that is beyond the limit.
        gain: How much higher the headline is over all pairs of test studies than over pairs of one site; NaN where no site has
            such pairs.
        fewest: Patients of the rarest site.
    """

    name: str
    recognised: Estimate
    label: Association | None
    tells: bool
    gain: Estimate
    fewest: int


def site_and_scanner(audited: Audited) -> Finding:
    """Tell whether the model may know the site or the scanner, and profit by it."""
    columns = list(_columns(audited))
    if not columns:
        return not_applicable(
            "no column of cohort.subgroups says where a study was made, and image headers name no device: name a column such "
            "as site under cohort.subgroups, or under audit.sites"
        )
    places = [place for name, values in columns if (place := _place(audited, name, values, len(columns))) is not None]
    if not places:
        names = ", ".join(name for name, _ in columns)
        return not_applicable(f"fewer than two sites or devices with {MINIMUM} patients each, by {names}")
    worst = max(places, key=lambda one: (_bad(one, len(places)), one.tells, one.recognised.value))
    told = "; ".join(_said(one) for one in places)
    measure = f"AUROC of {worst.name} by the embedding"
    if _bad(worst, len(places)):
        return Finding("fail", told, measure, worst.recognised)
    if worst.label is None:
        return not_enough(told, LEAST_PATIENTS - 1, LEAST_PATIENTS, measure, worst.recognised)
    return judge(measure, worst.recognised, told, rests_on=worst.fewest)


def _columns(audited: Audited) -> Iterator[tuple[str, Array]]:
    """Give name -> value of each of all studies: of the columns that say where, and of the devices."""
    subject = audited.subject
    named = subject.config.audit.sites
    for name in subject.config.cohort.subgroups:
        if name in named or (not named and PLACES.search(name)):
            yield name, np.array([study.groups.get(name, "") for study in subject.studies])
    for name, devices in audited.made_on.items():
        yield f"{name}.scanner", np.array([str(one) for one in devices])


def _place(audited: Audited, name: str, values: Array, places: int) -> Place | None:
    subject = audited.subject
    said = joined(list(subject.parts.values()))
    own, patient = values[said.rows], said.scores.patient
    many = [one for one in np.unique(own) if one != "" and len(np.unique(patient[own == one])) >= MINIMUM]
    if len(many) < 2:
        return None
    kept = np.isin(own, many)
    told = _recognised(said.joint[kept], own[kept], patient[kept], many)
    scores = Scores(tuple(str(one) for one in many), told, _one_hot(own[kept], many), patient[kept])
    recognised = interval(lambda w: YARDSTICKS["multilabel"].of(scores, w), patient[kept], subject.config.evaluation.resamples)
    marks = subject.config.target.marks(said.scores.target[kept])
    tried = CHECKED * marks.shape[1] * places
    found = [of_features(_one_hot(own[kept], many), column, patient[kept], tried) for column in marks.T]
    known = [one for one in found if one is not None]
    label = max(known, key=lambda one: one.low, default=None)
    fewest = min(len(np.unique(patient[own == one])) for one in many)
    return Place(name, recognised, label, label is not None and label.low > TELLING, _gain(audited, values, many), fewest)


def _recognised(joint: Array, own: Array, patient: Array, many: list[str]) -> Array:
    """Give (S, sites) probabilities of each site by a logistic regression that has not seen the patient."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import StratifiedGroupKFold
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    told = np.zeros((len(own), len(many)))
    for learn, judged in StratifiedGroupKFold(FOLDS, shuffle=True, random_state=0).split(joint, own, patient):
        classes = np.unique(own[learn])
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a fit that is not quite done ranks as well
            model = make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=300)).fit(joint[learn], own[learn])
        columns = [many.index(one) for one in classes]
        told[np.ix_(judged, columns)] = model.predict_proba(joint[judged])
    return told


def _gain(audited: Audited, values: Array, many: list[str]) -> Estimate:
    """Estimate how much the headline gains by comparing studies of different sites; NaN of a value, which knows no pairs."""
    subject, test = audited.subject, audited.subject.test
    own = values[test.rows]
    kept = np.isin(own, many)
    scores = test.scores.some(kept)
    yardstick = YARDSTICKS[subject.config.target.task]
    if not kept.any() or yardstick.shares_a_scale:
        return Estimate(np.nan, np.nan, np.nan, 0, 0, 0)
    fold = np.searchsorted(np.array(many), own[kept])
    return interval(
        lambda w: yardstick.of(scores, w) - yardstick.within(scores, fold, w),
        scores.patient,
        subject.config.evaluation.resamples,
    )


def _bad(one: Place, places: int) -> bool:
    known = beyond(one.recognised, most=RECOGNISED, comparisons=places) and one.tells
    return known and (not np.isfinite(one.gain.value) or beyond(one.gain, most=0.0, comparisons=places))


def _said(one: Place) -> str:
    label = (
        "too few patients to tell whether it tells the label" if one.label is None else f"it tells the label with {one.label}"
    )
    gain = (
        f"the headline is {shown(one.gain, 3)} higher over all pairs of test studies than within a site"
        if np.isfinite(one.gain.value)
        else "no site has pairs of test studies to compare"
    )
    return f"the embedding tells {one.name} with AUROC {shown(one.recognised)}; {label}; {gain}"


def _one_hot(own: Array, many: list[str]) -> Array:
    return np.stack([own == one for one in many], axis=1).astype(np.float64)
