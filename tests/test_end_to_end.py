"""From a folder of studies to scores, the whole way, on real DICOM; and what must hold however a run ends."""

import io
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import mlflow
import numpy as np
import pandas as pd
import pydicom
import pytest
import yaml
from rich.console import Console
from typer.testing import CliRunner

from medmm.cohort.synthetic import SyntheticSettings, make_cohort
from medmm.config import RunConfig, parse_config
from medmm.fusion.late import Late
from medmm.package import WEIGHTS, load_package
from medmm.scoring.engine import Options
from medmm.scoring.studies import find_studies
from medmm.training.tracking import TrackingSettings
from medmm.workflows.cli import app
from medmm.workflows.evaluate import evaluate_model
from medmm.workflows.inspect import inspect_config
from medmm.workflows.score import Manner, score_studies
from medmm.workflows.screen import Screen
from medmm.workflows.train import Trained, train

PATIENTS = 90
PROGRAM = """
import signal
signal.signal(signal.SIGINT, signal.default_int_handler)  # a test that runs in the background inherits it ignored
from medmm.workflows.cli import main
main()
"""
SCREEN = Screen(Console(quiet=True))


def run_file(folder: Path, cohort: Path, **training: object) -> dict[str, object]:
    """Give a small run over an image, a long table and notes."""
    return {
        "name": "small",
        "cohort": {"root": str(cohort), "time": "time", "subgroups": ["sex"]},
        "target": {"column": "diagnosis", "positive": "pneumonia"},
        "inputs": {
            "chest": {
                "kind": "image",
                "path": "dicom",
                "column": "study_uid",
                "modality": ["CR", "DX"],
                "size": [32, 32],
                "encoder": {"name": "resnet18", "channels": 8},
            },
            "labs": {
                "kind": "tabular",
                "table": "labs.csv",
                "layout": "long",
                "window_days": 14,
                "numeric": {"crp": {"unit": "mg/L", "range": [0, 600]}, "wbc": {"unit": "10*9/L"}},
            },
            "history": {"kind": "text", "table": "notes.csv", "max_tokens": 80},
        },
        "split": {"fractions": {"train": 0.5, "validation": 0.2, "test": 0.3}},
        "model": {"width": 16, "fusion": "transformer"},
        "training": {"epochs": 4, "patience": 4, "learning_rate": 1e-3, "accelerator": "cpu", **training},
        "evaluation": {"resamples": 200, "single_inputs": False},
        "tracking": {"uri": f"sqlite:///{folder / 'mlflow.db'}"},
        "output": str(folder / "runs"),
    }


def config_of(folder: Path, cohort: Path, **training: object) -> RunConfig:
    return parse_config(run_file(folder, cohort, **training), "small.yaml")


def weights_digest(folder: Path) -> str:
    manifest = json.loads((folder / "runs" / "small" / "package" / "manifest.json").read_text())
    return str(manifest["files"][WEIGHTS])


def runs_of(folder: Path) -> list[mlflow.entities.Run]:
    client = mlflow.MlflowClient(f"sqlite:///{folder / 'mlflow.db'}")
    return list(client.search_runs([one.experiment_id for one in client.search_experiments()]))


@pytest.fixture(scope="module")
def export(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("export") / "cohort"
    make_cohort(
        folder,
        SyntheticSettings(
            patients=PATIENTS, images=("radiograph",), radiograph_size=48, broken=2, absent={"laboratory": 0.2, "note": 0.2}
        ),
    )
    return folder


@dataclass(frozen=True)
class Run:
    folder: Path
    config: RunConfig
    trained: Trained


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, export: Path) -> Run:
    """Train once, with the single inputs beside the fusion."""
    folder = tmp_path_factory.mktemp("run")
    content = run_file(folder, export)
    content["evaluation"] = {"resamples": 200}
    config = parse_config(content, "small.yaml")
    return Run(folder, config, train(config, SCREEN))


def test_a_training_ends_with_a_champion_and_numbers_with_their_n(run: Run) -> None:
    assert run.trained.champion
    headline = run.trained.evaluation.headline
    assert 0 <= headline.low <= headline.value <= headline.high <= 1
    assert 0 < headline.patients <= headline.studies
    assert set(run.trained.comparison.singles) == {"chest", "labs", "history"}
    assert len(run.trained.comparison.hidden) == 6  # every subset of three inputs but the empty and the whole


def test_the_run_is_recorded_whole(run: Run) -> None:
    parent, *children = sorted(runs_of(run.folder), key=lambda one: "mlflow.parentRunId" in one.data.tags)
    assert len(children) == 3
    assert len({one.info.experiment_id for one in (parent, *children)}) == 1
    assert {one.info.status for one in (parent, *children)} == {"FINISHED"}
    for name in (
        "test/auroc",
        "test/auroc_low",
        "test/auroc_patients",
        "alone/labs",
        "gain/labs_high",
        "only/chest-labs",
        "temperature",
        "notes/history/cut",
    ):
        assert name in parent.data.metrics
    assert parent.data.params["model.fusion.name"] == "transformer"
    client = mlflow.MlflowClient(f"sqlite:///{run.folder / 'mlflow.db'}")
    paths = {
        one.path
        for top in client.list_artifacts(parent.info.run_id)
        for one in [top, *client.list_artifacts(parent.info.run_id, top.path)]
    }
    assert {f"plots/{name}.png" for name in ("roc", "pr", "reliability", "confusion", "inputs")} <= paths
    assert {"cohort.html", "table1.csv", "flow.csv", "plots/flow.png", "proof.json", "leaks.csv"} <= paths
    assert {"cohort.csv", "config.json", "test/predictions.csv", "test/results.csv", "test/subgroups.csv"} <= paths
    contexts = {tag.value for one in parent.inputs.dataset_inputs for tag in one.tags}
    assert contexts == {"train", "validation", "test"}


def test_no_identifier_and_no_path_reaches_the_record_or_the_package(run: Run, export: Path) -> None:
    studies = pd.read_csv(export / "studies.csv", dtype=str)
    secrets = [*studies["patient_id"], *studies["study_id"], *studies["study_uid"], str(export)]
    files = [
        path
        for path in (run.folder / "mlartifacts", run.folder / "runs" / "small" / "package")
        for path in path.rglob("*")
        if path.is_file()
    ]
    assert len(files) > 20
    for path in [run.folder / "mlflow.db", *files]:
        content = path.read_bytes()
        found = [secret for secret in secrets if secret.encode() in content]
        assert not found, f"{path.name} holds {len(found)} identifiers"


def test_the_package_knows_what_it_is_made_for_from_its_training_studies_and_abstains_from_others(
    run: Run, export: Path, tmp_path: Path
) -> None:
    package = load_package(run.trained.package)
    intended = package.intended
    assert intended is not None
    assert intended.may_lack is not None
    assert intended.may_lack.patients == package.facts["cohort"]["train"]["patients"]
    assert not intended.may_lack.holds(["chest"])
    assert (intended.images["chest"].body_part, intended.age_years) != (None, None)
    predictions = pd.read_csv(next((run.folder / "mlartifacts").rglob("predictions.csv")), keep_default_na=False)
    studies = find_studies(package, export)
    tested = (studies[row - 1].evidence.get("chest") for row in predictions["row"])
    child = pydicom.dcmread(next(one.files[0] for one in tested if one is not None))
    child.PatientAge, child.BodyPartExamined = "004Y", "HAND"
    (tmp_path / "one").mkdir()
    child.save_as(tmp_path / "one" / "film")
    score_studies(
        run.trained.model, tmp_path / "one", tmp_path / "scores", run.config.tracking, SCREEN, Manner(Options(workers=0))
    )
    (row,) = pd.read_parquet(tmp_path / "scores" / "scores.parquet").to_dict("records")
    assert row["abstain"]
    begins = [
        "chest: body part HAND, made for CHEST",
        f"age 4 years, made for {intended.age_years}",
        "inputs absent: history, labs",
    ]
    reasons = row["abstain_why"].split("; ")
    assert reasons[:2] == begins[:2]
    assert intended.may_lack.holds(["history", "labs"]) == (not reasons[2:] or not reasons[2].startswith(begins[2]))
    assert not predictions["abstain_why"].str.contains("body part|modality").any()


def test_the_package_says_what_calibration_and_shares_were_for_a_monitoring_to_compare(run: Run) -> None:
    package = load_package(run.trained.package)
    assert package.references is not None
    known = {one.metric: one for one in package.references.standing}
    assert set(known) == {"slope", "in_the_large", "abstain", "rejected"}
    learned = int(package.facts["proof"]["parts"]["validation"]["studies"])
    assert known["slope"].studies == known["abstain"].studies == learned
    assert known["slope"].error > 0
    assert known["rejected"].value * known["rejected"].studies == pytest.approx(2)  # the broken ones


def test_a_broken_study_is_left_out_of_training_by_its_code(run: Run) -> None:
    table = pd.read_csv(next((run.folder / "mlartifacts").rglob("cohort.csv")), keep_default_na=False)
    assert (table["reason"] == "E_TRUNCATED").sum() == 2
    assert (table.loc[table["reason"] != "", "part"] == "left out").all()


def test_every_study_is_scored_or_rejected_once_and_the_same_elsewhere(run: Run, export: Path, tmp_path: Path) -> None:
    tracking = TrackingSettings(uri=run.config.tracking.uri)
    done = [
        score_studies("models:/small@champion", export, tmp_path / out, tracking, SCREEN, Manner(Options(workers=workers)))
        for out, workers in (("one", 2), ("two", 0))
    ]
    assert done[0] == done[1]
    scores, rejected = (pd.read_parquet(tmp_path / "one" / f"{name}.parquet") for name in ("scores", "rejected"))
    everyone = list(pd.read_csv(export / "studies.csv", dtype=str)["study_id"])
    assert sorted([*scores["study_id"], *rejected["study_id"]]) == sorted(everyone)
    assert list(rejected["code"]) == ["E_TRUNCATED", "E_TRUNCATED"]
    assert scores["probability_pneumonia"].between(0, 1).all()
    one, two = (tmp_path / out / "violations.parquet" for out in ("one", "two"))
    assert one.read_bytes() == two.read_bytes()


def test_the_pyfunc_gives_the_scores_of_the_command(run: Run, export: Path, tmp_path: Path) -> None:
    score_studies(str(run.trained.package), export, tmp_path, TrackingSettings(), SCREEN, Manner(Options(workers=0)))
    mlflow.set_tracking_uri(run.config.tracking.uri)
    model = mlflow.pyfunc.load_model("models:/small@champion")
    table = pd.read_csv(export / "studies.csv", dtype=str, keep_default_na=False)
    answers = model.predict(table, params={"root": str(export)})
    assert list(answers["study_id"]) == list(table["study_id"])
    assert (answers["code"] == "E_TRUNCATED").sum() == 2
    scores = pd.read_parquet(tmp_path / "scores.parquet").set_index("study_id")["probability_pneumonia"]
    good = answers[answers["code"] == ""].set_index("study_id")["probability_pneumonia"]
    pd.testing.assert_series_equal(good.astype(float), scores, check_exact=True)


def test_a_packaged_model_is_evaluated_with_its_own_threshold(run: Run, tmp_path: Path) -> None:
    other = tmp_path / "other"
    make_cohort(other, SyntheticSettings(patients=40, first_patient=1000, images=("radiograph",), radiograph_size=48))
    config = config_of(tmp_path, other)
    evaluated = evaluate_model(str(run.trained.package), config, SCREEN)
    assert not evaluated.own_cohort
    assert evaluated.left_out == 0
    assert evaluated.evaluation.headline.patients == 40
    references = load_package(run.trained.package).references
    assert references is not None
    assert np.isinf(references.novelty.limit).all(), "18 validation patients draw no limit"
    novelty = next(one for one in evaluated.chapters if one.name == "novelty")
    assert not [name for name in novelty.measures if name.startswith("outliers/")]
    assert "Not enough data to plant outliers" in " ".join(novelty.says)


def test_a_patient_whose_images_taught_the_model_is_not_judged_under_another_name(run: Run, tmp_path: Path) -> None:
    whole, other = Path(run.config.cohort.root), tmp_path / "renamed"
    shutil.copytree(whole, other)
    for number, file in enumerate(sorted((other / "dicom").rglob("IM*"), reverse=True)):
        file.rename(file.with_name(f"{number:05d}"))
    studies = pd.read_csv(other / "studies.csv", dtype=str, keep_default_na=False)
    studies["study_id"] = "new" + studies["study_id"]
    studies.to_csv(other / "studies.csv", index=False)
    evaluated = evaluate_model(str(run.trained.package), config_of(tmp_path, other), SCREEN)
    assert not evaluated.own_cohort
    assert evaluated.learned_from > 20
    assert evaluated.evaluation.headline.patients == run.trained.evaluation.headline.patients
    assert evaluated.evaluation.headline.studies == run.trained.evaluation.headline.studies


def test_on_its_own_cohort_a_model_is_judged_on_its_test_studies_only(run: Run) -> None:
    evaluated = evaluate_model("models:/small@champion", run.config, SCREEN)
    assert evaluated.own_cohort
    assert {one.info.experiment_id for one in runs_of(run.folder) if one.info.run_name == "evaluation"} <= {
        one.info.experiment_id for one in runs_of(run.folder) if one.info.run_name == "small"
    }
    assert evaluated.evaluation.table().equals(run.trained.evaluation.table())


@pytest.mark.slow
def test_an_audit_ends_with_status_1_until_what_fails_is_waived(run: Run, tmp_path: Path) -> None:
    first = CliRunner().invoke(app, ["audit", str(run.config.folder), "evaluation.robustness_studies=20"])
    told = json.loads((run.config.folder / "audit.json").read_text())
    failed = [row["check"] for row in told["checks"] if row["verdict"] == "fail"]
    assert first.exit_code == (1 if failed else 0)
    assert {"overlap", "label_in_text", "shortcut", "label_shuffle"}.isdisjoint(failed)
    waive = [option for name in failed for option in ("--waive", f"{name}=a small run")]
    second = CliRunner().invoke(
        app, ["audit", str(run.config.folder), "evaluation.robustness_studies=20", *waive, "--waive", "overlaps=misspelt"]
    )
    assert second.exit_code == 0
    assert "the waiver of overlaps lets nothing pass: no check is called that: did you mean 'overlap'?" in second.output
    told = json.loads((run.config.folder / "audit.json").read_text())
    assert told["passes"]
    assert {row["check"]: row["reason"] for row in told["checks"] if row["reason"]} == dict.fromkeys(failed, "a small run")
    nowhere = CliRunner().invoke(app, ["audit", str(tmp_path)])
    assert nowhere.exit_code == 1
    assert "no folder of a run" in nowhere.output + nowhere.stderr


def test_inspect_counts_what_was_made(run: Run, export: Path) -> None:
    sections = inspect_config(run.config, SCREEN).sections
    truth = pd.read_csv(export / "truth.csv", dtype=str, keep_default_na=False)
    present = {row[0]: row[2] for row in sections["inputs"].rows}
    assert sections["cohort"].rows[0][:2] == (PATIENTS, len(truth))
    assert present["labs"] == sum("laboratory" not in one for one in truth["absent"])
    assert present["history"] == sum("note" not in one for one in truth["absent"])


def test_shuffled_labels_give_chance(tmp_path: Path) -> None:
    cohort = tmp_path / "cohort"
    make_cohort(cohort, SyntheticSettings(patients=150, images=(), label_noise=0.5, seed=3))
    content = run_file(tmp_path, cohort)
    del content["inputs"]["chest"]  # type: ignore[attr-defined]
    headline = train(parse_config(content, "small.yaml"), SCREEN).evaluation.headline
    assert headline.low < 0.5 < headline.high


def test_a_run_that_names_no_network_gets_those_for_few_patients_and_scores(export: Path, tmp_path: Path) -> None:
    content = run_file(tmp_path, export, epochs=2, patience=2)
    content["model"] = {"width": 16}
    del content["inputs"]["chest"]["encoder"]  # type: ignore[index]
    file = io.StringIO()
    trained = train(parse_config(content, "small.yaml"), Screen(Console(file=file, width=200)))
    assert "chest: resnet18, labs: mlp, history: bag_of_words, fusion: late" in file.getvalue()
    parent, *children = sorted(runs_of(tmp_path), key=lambda one: "mlflow.parentRunId" in one.data.tags)
    assert parent.data.params["model.fusion.name"] == "late"
    assert sorted(str(one.info.run_name) for one in children) == ["chest alone", "history alone", "labs alone"]
    assert isinstance(load_package(trained.package).model.fusion, Late)
    tracking = TrackingSettings(uri=f"sqlite:///{tmp_path / 'mlflow.db'}")
    score_studies(trained.model, export, tmp_path / "scores", tracking, SCREEN, Manner(Options(workers=0)))
    scores = pd.read_parquet(tmp_path / "scores" / "scores.parquet").set_index("study_id")["probability_pneumonia"]
    predictions = pd.read_csv(next((tmp_path / "mlartifacts").rglob("predictions.csv")))
    studies = pd.read_csv(export / "studies.csv", dtype=str)["study_id"]
    own = [studies[row - 1] for row in predictions["row"]]
    np.testing.assert_allclose(scores[own], predictions["probability_pneumonia"], atol=1e-5)  # the joined model, packaged


@pytest.mark.slow
def test_the_same_seed_gives_the_same_weights_and_a_kill_changes_nothing(export: Path, tmp_path: Path) -> None:
    digests = {}
    for name in ("first", "again", "killed", "interrupted"):
        folder = tmp_path / name
        folder.mkdir()
        file = folder / "small.yaml"
        file.write_text(yaml.safe_dump(run_file(folder, export, epochs=6, patience=6)))
        command = [sys.executable, "-c", PROGRAM, "train", str(file)]
        if name in {"killed", "interrupted"}:
            process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
            checkpoint = folder / "runs" / "small" / "checkpoints" / "all" / "last.ckpt"
            deadline = time.monotonic() + 120
            while not checkpoint.exists() and time.monotonic() < deadline:
                time.sleep(0.02)
            process.send_signal(signal.SIGKILL if name == "killed" else signal.SIGINT)
            output = process.communicate(timeout=60)[0].decode()
            assert process.returncode == (-signal.SIGKILL if name == "killed" else 130), output
            if name == "interrupted":
                assert "--resume" in output
                assert [one.info.status for one in runs_of(folder)] == ["KILLED"]
            command.append("--resume")
        subprocess.run(command, check=True, capture_output=True, env={**os.environ, "COLUMNS": "120"})
        assert [one.info.status for one in runs_of(folder)] == ["FINISHED"]
        digests[name] = weights_digest(folder)
    assert len(set(digests.values())) == 1, digests
