"""One run for each task, from a folder to scores, and what is refused by name because it does not fit a task."""

from dataclasses import dataclass
from pathlib import Path

import mlflow
import numpy as np
import pandas as pd
import pytest
from rich.console import Console

from medmm.config import RunConfig, parse_config
from medmm.workflows.screen import Screen
from medmm.workflows.train import Trained, show_trained, train

SCREEN = Screen(Console(quiet=True))
PATIENTS = 160
COLUMNS = ("grade", "value", "days", "died", "sign", "kind", "signs")
TARGETS: dict[str, dict[str, object]] = {
    "binary": {"column": "sign", "positive": "yes"},
    "multiclass": {"column": "kind", "classes": ["a", "b", "c"]},
    "multilabel": {"column": "signs", "classes": ["x", "y"]},
    "ordinal": {"column": "grade", "classes": ["none", "mild", "severe"]},
    "regression": {"column": "value", "unit": "%", "range": [-100, 200]},
    "survival": {"time": "days", "event": "died", "unit": "days", "horizons": [30, 120]},
}
NAMES = {
    "binary": ["probability_yes", "decision_yes"],
    "multiclass": [f"{what}_{name}" for what in ("probability", "decision") for name in "abc"],
    "multilabel": [f"{what}_{name}" for what in ("probability", "decision") for name in "xy"],
    "ordinal": [f"{what}_at_least_{name}" for what in ("probability", "decision") for name in ("mild", "severe")] + ["grade"],
    "regression": ["predicted_value"],
    "survival": ["risk_died_by_30_days", "risk_died_by_120_days"],
}
HEADLINES = {"regression": "r2", "survival": "c_index"}


def make_hospital(root: Path) -> None:
    """Write two tables whose numbers tell, each in part, of everything that can be predicted; four studies have no label."""
    rng = np.random.default_rng(0)
    studies = PATIENTS + 20  # some patients have two
    one, two = rng.normal(size=(2, studies))
    latent = one + two
    noisy = latent + rng.normal(scale=0.4, size=studies)
    days = rng.exponential(100 * np.exp(-0.8 * latent)).round(1)
    ends = rng.uniform(20, 400, studies).round(1)
    table = pd.DataFrame(
        {
            "patient_id": [f"PAT{i % PATIENTS:03d}" for i in range(studies)],
            "study_id": [f"STU{i:03d}" for i in range(studies)],
            "sex": rng.choice(["F", "M"], studies),
            "grade": np.array(["none", "mild", "severe"])[np.digitize(noisy, [-0.5, 0.8])],
            "value": (50 + 10 * noisy).round(2).astype(str),
            "days": np.minimum(days, ends).astype(str),
            "died": (days <= ends).astype(int).astype(str),
            "sign": np.where(noisy > 0, "yes", "no"),
            "kind": np.array(["a", "b", "c"])[np.digitize(noisy, [-0.5, 0.8])],
            "signs": [
                ";".join(n for n, has in zip("xy", own, strict=True) if has) or ";"
                for own in zip(noisy > 0, two + rng.normal(size=studies) > 0, strict=True)
            ],
        }
    )
    table.loc[[3, 50, 90, 120], list(COLUMNS)] = ""
    root.mkdir()
    table.to_csv(root / "studies.csv", index=False)
    for name, values in (("first", one), ("second", two)):
        cells = pd.DataFrame(
            {"study_id": table["study_id"], "number": values.round(3), "noise": rng.normal(size=studies).round(3)}
        )
        cells[rng.random(studies) > 0.1].to_csv(root / f"{name}.csv", index=False)


def run_file(out: Path, root: Path, task: str, **changes: object) -> dict[str, object]:
    tables = {
        name: {"kind": "tabular", "table": f"{name}.csv", "numeric": {"number": {}, "noise": {}}, "encoder": {"name": "mlp"}}
        for name in ("first", "second")
    }
    return {
        "name": f"of_{task}",
        "cohort": {"root": str(root), "subgroups": ["sex"]},
        "target": {"task": task, **TARGETS[task]},
        "inputs": tables,
        "split": {"fractions": {"train": 0.5, "validation": 0.2, "test": 0.3}},
        "model": {"width": 16, "fusion": "concat"},
        "training": {"epochs": 12, "patience": 12, "learning_rate": 5e-3, "batch_size": 32, "accelerator": "cpu"},
        "evaluation": {"resamples": 100},
        "compare": {"folds": 2, "methods": ["late"]},
        "tracking": {"uri": f"sqlite:///{out / 'mlflow.db'}"},
        "output": str(out / "runs"),
        **changes,
    }


@pytest.fixture(scope="module")
def hospital(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("tasks") / "export"
    make_hospital(root)
    return root


@dataclass(frozen=True)
class Run:
    task: str
    folder: Path
    config: RunConfig
    trained: Trained


@pytest.fixture(scope="module", params=TARGETS)
def run(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, hospital: Path) -> Run:
    task = str(request.param)
    folder = tmp_path_factory.mktemp(task)
    config = parse_config(run_file(folder, hospital, task), "run.yaml")
    trained = train(config, SCREEN)
    show_trained(trained, config, SCREEN)
    return Run(task, folder, config, trained)


def test_a_run_learns_and_is_recorded_by_the_headline_of_its_task(run: Run) -> None:
    headline = run.trained.evaluation.headline
    assert run.trained.champion
    assert headline.low < headline.value < headline.high
    assert headline.value > (0.5 if run.task == "regression" else 0.7)
    for name, one in run.trained.comparison.singles.items():
        assert one.gain.value > 0, name
    client = mlflow.MlflowClient(run.config.tracking.uri)
    parent = client.get_run(run.trained.run_page.split("/runs/")[1].split("?")[0])
    metric = HEADLINES.get(run.task, "auroc")
    ending = {"binary": "", "regression": "", "survival": "_died_by_120_days"}.get(run.task, "_macro")
    assert parent.data.metrics[f"test/{metric}{ending}"] == pytest.approx(headline.value)
    assert ("temperature" in parent.data.metrics) == (run.task not in HEADLINES)
    figures = {Path(one.path).name for one in client.list_artifacts(parent.info.run_id, "plots")}
    wanted = {"regression": {"agreement.png"}, "survival": {"events.png"}}.get(run.task, {"roc.png", "confusion.png"})
    assert wanted <= figures
    assert ("roc.png" in figures) == (run.task not in HEADLINES)
