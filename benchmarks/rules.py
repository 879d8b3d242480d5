"""A rule that the recorded diagnoses violate: found in what a model says, less often broken once it is a penalty, and traced.

Of the patients with a CRP above 150 mg/L, all of whom are ill, the records of the training part call 60 % healthy; those of
validation and test are right. Age tells of the others. A model that learns from the records alone gives the ruled patients too
little; the rule says "at least 0.8".
"""

import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from benchmarks.fusion import Finding, silent
from medmm.config import RunConfig, parse_config
from medmm.evaluation.intervals import Estimate, interval
from medmm.evaluation.metrics import auroc, share
from medmm.types import Array, Firing
from medmm.workflows.cohort import prepare
from medmm.workflows.learn import learn

PATIENTS, HIGH, AT_LEAST, HIDDEN = 600, 150.0, 0.8, 0.6
RULE = "crp_is_infection"
SEEDS = range(5)


@dataclass(frozen=True)
class Ruled:
    """What a model says of the test studies.

    Attributes:
        breach: How far below the bound its probability lies on average, in the studies under the rule; 0 where it does not.
        violated: Share of the studies under the rule to which it gives less.
        area: AUROC of all.
        traced: Studies whose trace says that the rule was violated.
        below: Studies under the rule to which the model gives less, counted from CRP and probability alone.
        firings: Studies whose trace names the rule.
        ruled: Studies with such a CRP.
    """

    breach: Estimate
    violated: Estimate
    area: Estimate
    traced: int
    below: int
    firings: int
    ruled: int


def run() -> list[Finding]:
    """Train with and without the rule."""
    rows: list[tuple[object, ...]] = []
    for seed in SEEDS:
        for weight in (None, 1.0):
            one = trained(seed, weight)
            name = "without the rule" if weight is None else "rule as a penalty"
            trace = "" if weight is None else f"{one.firings} of {one.ruled}, {one.traced} of {one.below}"
            rows.append((seed, name, str(one.breach), str(one.violated), str(one.area), trace))
    title = f"{PATIENTS} patients, {HIDDEN:.0%} of the diagnoses under the rule recorded wrongly in training"
    columns = ("seed", "training", "below the bound by", "share below it", "AUROC", "firings and violations traced")
    note = "Shares are of the test studies under the rule; intervals are by patient, 95 %."
    return [Finding(title, columns, rows, note)]


def trained(seed: int, weight: float | None, epochs: int = 25) -> Ruled:
    """Train on a cohort of a seed, with the rule as a penalty of a weight, or (None) as a mere observer."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        crp, truth = make(folder / "cohort", seed)
        cohort = prepare(run_file(folder, weight or 1e-9, epochs), silent())
        learned = learn(cohort, lambda _measures, _epoch: None, silent(), "", folder / "checkpoints")
    rows = np.asarray(cohort.split["test"])
    said = learned.test[frozenset({"labs"})].predicted[:, 0]
    patient = learned.test[frozenset({"labs"})].patient
    under = crp[rows] > HIGH
    below = under & (said < AT_LEAST)
    short = np.clip(AT_LEAST - said[under], 0, None)
    fired = [[one for one in of_study if one.rule == RULE] for of_study in learned.fired]
    return Ruled(
        interval(lambda w: share(short, w), patient[under]),
        interval(lambda w: share(below[under].astype(float), w), patient[under]),
        interval(lambda w: auroc(said, truth[rows], w), patient),
        sum(any(is_violated(one) for one in of_study) for of_study in fired),
        int(below.sum()),
        sum(bool(of_study) for of_study in fired),
        int(under.sum()),
    )


def is_violated(firing: Firing) -> bool:
    """Tell whether a trace says that the model broke the rule."""
    return firing.said.startswith("violated")


def make(folder: Path, seed: int) -> tuple[Array, Array]:
    """Write the export; give CRP and truth of each study."""
    rng = np.random.default_rng(seed)
    crp = np.round(rng.lognormal(3.2, 1.4, PATIENTS).clip(1, 500), 1)
    age = np.round(rng.normal(60, 15, PATIENTS).clip(18, 95), 1)
    truth = (rng.random(PATIENTS) < 1 / (1 + np.exp(-(age - 65) / 8))) | (crp > HIGH)
    part = np.array(["train", "validation", "test"])[rng.choice(3, PATIENTS, p=(0.5, 0.15, 0.35))]
    recorded = truth & ~((crp > HIGH) & (part == "train") & (rng.random(PATIENTS) < HIDDEN))
    folder.mkdir()
    columns = {"patient_id": [f"p{i}" for i in range(PATIENTS)], "study_id": [f"s{i}" for i in range(PATIENTS)]}
    words = np.where(recorded, "ill", "healthy")
    pd.DataFrame({**columns, "part": part, "diagnosis": words, "crp": crp, "age": age}).to_csv(
        folder / "studies.csv", index=False
    )
    return crp, truth.astype(float)


def run_file(folder: Path, weight: float, epochs: int) -> RunConfig:
    """Give the run file."""
    numeric = {"crp": {"unit": "mg/L", "range": [0, 600]}, "age": {"unit": "a"}}
    penalty = {"at_least": AT_LEAST, "weight": weight}
    return parse_config(
        {
            "name": "ruled",
            "cohort": {"root": str(folder / "cohort")},
            "target": {"column": "diagnosis", "task": "binary", "positive": "ill"},
            "inputs": {"labs": {"kind": "tabular", "table": "studies.csv", "numeric": numeric}},
            "split": {"by": "column", "column": "part"},
            "rules": [{"name": RULE, "when": f"labs.crp > {HIGH:g} mg/L", "then": {"penalty": penalty}}],
            "model": {"width": 32},
            "training": {"epochs": epochs, "patience": epochs, "batch_size": 32, "learning_rate": 3e-3},
            "leakage": {"waive": {}},
            "output": str(folder / "runs"),
        },
        "ruled.yaml",
    )
