"""Image, table, text and signal in one run: from files to training, package, scores and explanation."""

from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import pytest
from rich.console import Console

from medmm.cohort.synthetic import SyntheticSettings, make_cohort
from medmm.config import RunConfig, parse_config
from medmm.errors import Code
from medmm.explanation.study import explain
from medmm.package import Package, load_package
from medmm.scoring.engine import Options
from medmm.scoring.studies import find_studies
from medmm.training.tracking import TrackingSettings
from medmm.workflows.score import Manner, score_studies
from medmm.workflows.screen import Screen
from medmm.workflows.train import Trained, train

SCREEN = Screen(Console(quiet=True))
PATIENTS = 70
SIGNALS: dict[str, object] = {
    "signals": ("ecg", "heart_sound"),
    "ecg_rate_hz": 250,
    "ecg_seconds": 3,
    "sound_rate_hz": 1000,
    "sound_seconds": 3,
    "broken_signals": 2,
}


@dataclass(frozen=True)
class Run:
    config: RunConfig
    trained: Trained
    package: Package


@pytest.fixture(scope="module")
def export(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("export")
    settings = {"patients": PATIENTS, "images": ("radiograph",), "radiograph_size": 32, "seed": 4, **SIGNALS}
    make_cohort(root, SyntheticSettings.model_validate(settings))
    return root


@pytest.fixture(scope="module")
def run(export: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    folder = tmp_path_factory.mktemp("run")
    config = parse_config(
        {
            "name": "four",
            "cohort": {"root": str(export), "time": "time"},
            "target": {"column": "diagnosis", "positive": "pneumonia"},
            "inputs": {
                "chest": {
                    "kind": "image",
                    "path": "dicom",
                    "column": "study_uid",
                    "size": [32, 32],
                    "encoder": {"name": "resnet18", "channels": 8},
                },
                "labs": {
                    "kind": "tabular",
                    "table": "labs.csv",
                    "layout": "long",
                    "window_days": 14,
                    "numeric": {"crp": {"unit": "mg/L"}, "wbc": {"unit": "10*9/L"}},
                },
                "history": {"kind": "text", "table": "notes.csv", "max_tokens": 80},
                "ecg": {
                    "kind": "signal",
                    "path": "ecg",
                    "match": "study_uid",
                    "column": "study_uid",
                    "unit": "mV",
                    "rate_hz": 125,
                    "seconds": 2.5,
                    "band_hz": [0.5, 40],
                },
                "heart": {
                    "kind": "signal",
                    "path": ".",
                    "column": "heart_sound",
                    "rate_hz": 1000,
                    "seconds": 1,
                    "segments": 2,
                    "spectrogram": {"mels": 32, "window_seconds": 0.128, "hop_seconds": 0.02},
                    "encoder": {"name": "spectrogram_cnn", "channels": 8},
                },
            },
            "split": {"fractions": {"train": 0.5, "validation": 0.2, "test": 0.3}},
            "model": {"width": 16, "fusion": "transformer"},
            "training": {"epochs": 2, "patience": 2, "learning_rate": 1e-3, "accelerator": "cpu"},
            "evaluation": {"resamples": 100, "single_inputs": False},
            "tracking": {"uri": f"sqlite:///{folder / 'mlflow.db'}"},
            "output": str(folder / "runs"),
        },
        "four.yaml",
    )
    trained = train(config, SCREEN)
    return Run(config, trained, load_package(trained.package))


def test_each_kind_has_its_own_encoder(run: Run) -> None:
    assert {name: one.settings.encoder.name for name, one in run.package.inputs.items()} == {
        "chest": "resnet18",
        "labs": "mlp",
        "history": "bag_of_words",
        "ecg": "rocket",
        "heart": "spectrogram_cnn",
    }


def test_the_package_scores_every_study_or_says_why_not(run: Run, export: Path, tmp_path: Path) -> None:
    studies = find_studies(run.package, export)
    model = str(run.trained.package)
    done = [
        score_studies(model, export, tmp_path / out, TrackingSettings(), SCREEN, Manner(Options(workers=workers)))
        for out, workers in (("out", 2), ("again", 0))
    ]
    assert done[0] == done[1]
    scores = pd.read_parquet(tmp_path / "out" / "scores.parquet")
    rejected = pd.read_parquet(tmp_path / "out" / "rejected.parquet")
    assert len(scores) + len(rejected) == len(studies)
    truth = pd.read_csv(export / "truth.csv", dtype=str, keep_default_na=False)
    broken = truth[truth["broken_signal"] != ""]
    assert set(rejected["study_id"]) == set(broken["study_id"])
    codes = {"flat": Code.FLAT.value, "truncated": Code.TRUNCATED.value}
    told = dict(zip(rejected["study_id"], rejected["code"], strict=True))
    assert {told[row["study_id"]] == codes[row["broken_signal"]] for row in broken.to_dict("records")} == {True}


def test_an_explanation_weighs_signals_beside_the_others(run: Run, export: Path) -> None:
    truth = pd.read_csv(export / "truth.csv", dtype=str, keep_default_na=False)
    whole = set(truth.loc[truth["broken_signal"] == "", "study_id"])
    studies = find_studies(run.package, export)
    study = next(study for study in studies if len(study.evidence) == 5 and study.study_id in whole)
    said = explain(run.package, study)
    assert {share.name for share in said.inputs} == set(run.package.inputs)
    assert {share.name for share in said.signals} == {"ecg", "heart"}
