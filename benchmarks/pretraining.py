"""What pretraining is worth where a tenth of the studies has a label: scores on planted cohorts, not seconds.

An image, a note and a table each tell of the same four hidden numbers, and of four more that are its own; the diagnosis follows
from those that they share. Settings were chosen on seeds 10 to 14 alone; the table is of seeds 0 to 4.
"""

import tempfile
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image

from benchmarks.fusion import Finding, silent
from medmm.config import RunConfig, parse_config
from medmm.evaluation.intervals import Estimate, difference, interval
from medmm.evaluation.yardstick import headline
from medmm.training.tracking import connect, open_record
from medmm.types import Array, Scores
from medmm.workflows.cohort import prepare
from medmm.workflows.learn import learn
from medmm.workflows.pretrain import Pretrained, pretrain

SEEDS = range(5)
PATIENTS = {"train": 600, "validation": 100, "test": 300}
LABELLED = 0.1
METHOD = "contrastive"
SHARED, OWN, COLUMNS, SIDE, WORDS, TILTED = 4, 4, 40, 24, 400, 40
WAYS = ("from scratch", "pretrained, linear probe", "pretrained, fine-tuned")
RESAMPLES = 1000


def run() -> list[Finding]:
    """Pretrain and train, seed by seed."""
    rows: list[tuple[object, ...]] = []
    gains: list[tuple[Estimate, ...]] = []
    values: list[list[float]] = []
    pretrained: list[Pretrained] = []
    for seed in SEEDS:
        scores, own = of_seed(seed)
        pretrained.append(own)
        found = [_auroc(one) for one in scores]
        gains.append(tuple(difference(headline, one, scores[0], RESAMPLES) for one in scores[1:]))
        values.append([one.value for one in found])
        rows.append((seed, *map(str, found), *map(str, gains[-1])))
    mean = [f"{value:.3f}" for value in np.mean(values, axis=0)]
    better = [sum(one[i].value > 0 for one in gains) for i in range(2)]
    rows.append(("mean", *mean, *(f"{np.mean([one[i].value for one in gains]):+.3f}" for i in range(2))))
    labelled = int(LABELLED * PATIENTS["train"])
    title = f"{labelled} labelled patients of {PATIENTS['train']}: AUROC on {PATIENTS['test']} test patients, 95 % by patient"
    columns = ("seed", *WAYS, "gain of the probe", "gain of fine-tuning")
    found_own = np.mean(
        [one.estimate.value for own in pretrained for one in own.measured if one.name == "retrieval/slice-note"]
    )
    verdict = (
        f"The probe is better than training from scratch in {better[0]} of {len(rows) - 1} seeds, fine-tuning in {better[1]}. "
        f"In pretraining an image found its note among those of all validation studies in {100 * found_own:.0f} % (chance 1 %)."
    )
    return [Finding(title, columns, rows, verdict)]


def of_seed(seed: int) -> tuple[list[Scores], Pretrained]:
    """Give the scores of each way on the test patients of one cohort, and how the pretraining ended."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        make(folder / "cohort", seed)
        own = pretrain(run_file(folder, seed), silent())
        scores = []
        for i, changes in enumerate(({}, {"init": own.address, "strategy": "linear_probe"}, {"init": own.address})):
            config = run_file(folder, seed, **changes)
            cohort = prepare(config, silent())
            with open_record(connect(config.tracking), config.tracking, "benchmark") as record:
                learned = learn(cohort, record.measures, silent(), WAYS[i], folder / "checkpoints" / str(i), decides=False)
            scores.append(learned.test[frozenset(cohort.inputs)])
        return scores, own


def make(folder: Path, seed: int) -> None:
    """Write the export: a label for a tenth of the training and validation patients, and for all test patients."""
    rng = np.random.default_rng(seed)
    frequency = 1 / np.arange(5, WORDS + 5)
    tilts = np.zeros((SHARED + OWN, WORDS))
    for tilt in tilts:
        tilt[rng.choice(WORDS, TILTED, replace=False)] = rng.normal(0, 1, TILTED)
    mixing = 1.5 * rng.normal(size=(SHARED + OWN, COLUMNS)) / np.sqrt(SHARED + OWN)
    direction = rng.choice([-1.0, 1.0], SHARED) * 3 / np.sqrt(SHARED)
    (folder / "images").mkdir(parents=True)
    rows = []
    for part, patients in PATIENTS.items():
        for number in range(patients):
            name, shared = f"{part}{number}", rng.normal(size=SHARED)
            seen = [np.concatenate([shared, rng.normal(size=OWN)]) for _ in range(3)]  # by table, note and image
            ill = rng.random() < 1 / (1 + np.exp(-shared @ direction))
            known = part == "test" or number < LABELLED * patients
            numbers = seen[0] @ mixing + rng.normal(size=COLUMNS)
            chance = frequency * np.exp(0.8 * seen[1] @ tilts)
            words = rng.choice(WORDS, int(rng.integers(40, 70)), p=chance / chance.sum())
            Image.fromarray(_slice(seen[2], rng)).save(folder / "images" / f"{name}.png")
            rows.append(
                {
                    "patient_id": name,
                    "study_id": name,
                    "file": f"{name}.png",
                    "part": part,
                    "diagnosis": ("ill" if ill else "well") if known else "",
                    "note": " ".join(f"word{word}" for word in words),
                    **{f"value{i}": f"{value:.3f}" for i, value in enumerate(numbers)},
                }
            )
    pd.DataFrame(rows).to_csv(folder / "studies.csv", index=False)


def _slice(hidden: Array, rng: np.random.Generator) -> Array:
    """Draw gratings of four directions and two wavelengths in noise, each as strong as one number says, at any place."""
    y, x = np.mgrid[:SIDE, :SIDE]
    image = rng.normal(size=(SIDE, SIDE))
    for i, value in enumerate(hidden):
        angle, wavelength = np.pi * (i % SHARED) / SHARED, 6 if i < SHARED else 3.5
        along = (x * np.cos(angle) + y * np.sin(angle)) * 2 * np.pi / wavelength
        image += 1.2 / (1 + np.exp(-1.5 * value)) * np.sin(along + rng.uniform(0, 2 * np.pi))
    return np.asarray(np.clip(128 + 40 * image, 0, 255), np.uint8)


def run_file(folder: Path, seed: int, **training: Any) -> RunConfig:
    """Give the run file of all these cohorts."""
    table = {"kind": "tabular", "table": "studies.csv", "numeric": {f"value{i}": {} for i in range(COLUMNS)}}
    none = dict.fromkeys(("shift", "rotation_degrees", "scale", "noise", "contrast"), 0)
    image = {"kind": "image", "path": "images", "match": "file", "column": "file", "size": [SIDE, SIDE], "augmentation": none}
    return parse_config(
        {
            "name": "pretraining",
            "cohort": {"root": str(folder / "cohort")},
            "target": {"column": "diagnosis", "positive": "ill"},
            "inputs": {
                "slice": image,
                "labs": table,
                "note": {"kind": "text", "table": "studies.csv", "column": "note", "max_tokens": 128},
            },
            "split": {"by": "column", "column": "part"},
            "model": {"width": 64, "fusion": "concat"},
            "training": {"epochs": 30, "patience": 10, "learning_rate": 1e-3, "seed": seed, **training},
            "pretraining": {"method": METHOD, "epochs": 8, "patience": 8, "learning_rate": 5e-4, "seed": seed},
            "evaluation": {"resamples": RESAMPLES},
            "tracking": {"uri": f"sqlite:///{folder}/mlflow.db"},
            "output": str(folder / "runs"),
        },
        "pretraining",
    )


def _auroc(scores: Scores) -> Estimate:
    return interval(partial(headline, scores), scores.patient, RESAMPLES)
