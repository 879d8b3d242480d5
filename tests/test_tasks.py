"""One run for each task, from a folder to scores, and what is refused by name because it does not fit a task."""

import json
import shutil
from dataclasses import dataclass, replace
from pathlib import Path

import mlflow
import numpy as np
import pandas as pd
import pytest
from rich.console import Console

from medmm.config import RunConfig, parse_config
from medmm.errors import ConfigError
from medmm.evaluation.recalibration import Recalibration, choose_recalibration
from medmm.package import load_package
from medmm.scoring.engine import Options
from medmm.training.tracking import TrackingSettings
from medmm.workflows.audit import CHECKS
from medmm.workflows.audit.run import audit_model
from medmm.workflows.cohort import open_export
from medmm.workflows.compare import compare
from medmm.workflows.comparison import PAGE
from medmm.workflows.evaluate import evaluate_model
from medmm.workflows.inspect import inspect_config
from medmm.workflows.score import Manner, score_studies
from medmm.workflows.screen import Screen
from medmm.workflows.subject import open_subject
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
SETS = {
    "binary": ["set_has_yes", "set_not_yes"],
    "multiclass": ["set_a", "set_b", "set_c"],
    "multilabel": ["set_has_x", "set_not_x", "set_has_y", "set_not_y"],
    "ordinal": ["set_none", "set_mild", "set_severe"],
    "regression": ["set_low", "set_high"],
    "survival": [],
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
    assert max(one.gain.value for one in run.trained.comparison.singles.values()) > 0.05
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


def test_the_scores_are_those_of_the_test_studies_in_the_words_of_the_task(run: Run, hospital: Path, tmp_path: Path) -> None:
    tracking = TrackingSettings(uri=run.config.tracking.uri)
    score_studies(run.trained.model, hospital, tmp_path, tracking, SCREEN, Manner(Options(workers=0)))
    scores = pd.read_parquet(tmp_path / "scores.parquet").set_index("study_id")
    told = NAMES[run.task]
    beside = [*SETS[run.task], "novelty", "novelty_first", "novelty_second", "abstain", "abstain_why"]
    several = ["contribution_for"] if len(told) > 2 or run.task == "survival" else []
    beside += [*several, "contribution_first", "contribution_second"]
    always = ("patient_id", "inputs", "conflict", "drift_projection", "model_digest", "computed_in", "scored_at")
    assert [name for name in scores if name not in always] == [*told, *beside]
    numbers = scores[[name for name in told if not name.startswith(("decision_", "grade"))]]
    assert len(scores) + len(pd.read_parquet(tmp_path / "rejected.parquet")) == PATIENTS + 20
    if run.task != "regression":
        assert numbers.to_numpy().min() >= 0
        assert numbers.to_numpy().max() <= 1
    steps = np.diff(numbers.to_numpy(), axis=1)
    if run.task == "ordinal":
        assert (steps <= 0).all()
        decided = scores[["decision_at_least_mild", "decision_at_least_severe"]].to_numpy()
        assert list(scores["grade"]) == [("none", "mild", "severe")[int(one.sum())] for one in decided]
        assert set(scores["grade"]) == {"none", "mild", "severe"}
    if run.task == "survival":
        assert (steps >= 0).all()
        assert (steps > 0).any()
    predictions = pd.read_csv(next((run.folder / "mlartifacts").rglob("predictions.csv")))
    studies = pd.read_csv(hospital / "studies.csv", dtype=str)["study_id"]
    own = [studies[row - 1] for row in predictions["row"]]
    for name in [*numbers, "novelty"]:
        np.testing.assert_allclose(scores.loc[own, name], predictions[name], atol=1e-4, rtol=1e-4)
    assert (scores.loc[own, "abstain"].to_numpy() == predictions["abstain"].to_numpy()).mean() > 0.98  # but for rounding
    model = mlflow.pyfunc.load_model(run.trained.model)
    table = pd.read_csv(hospital / "studies.csv", dtype=str, keep_default_na=False)
    answers = model.predict(table, params={"root": str(hospital)})
    answers = answers[answers["code"] == ""].set_index("study_id")
    for name in told:
        same = (answers[name] == scores[name]) if name not in numbers else np.isclose(answers[name].astype(float), scores[name])
        assert same.all()


def test_a_packaged_model_is_evaluated_again_to_the_same_headline(run: Run) -> None:
    evaluated = evaluate_model(str(run.trained.package), run.config, SCREEN)
    assert evaluated.own_cohort
    assert evaluated.evaluation.metric == HEADLINES.get(run.task, "auroc")
    assert evaluated.evaluation.headline.value == pytest.approx(run.trained.evaluation.headline.value, abs=1e-6)
    chapters = {one.name: one for one in evaluated.chapters}
    hidden, weighed, damaged = (chapters[name].measures for name in ("missing_inputs", "importance", "robustness"))
    assert {"first-second", "first", "second", "lost_first", "lost_second"} == set(hidden)
    assert hidden["first-second"].value == pytest.approx(evaluated.evaluation.headline.value, abs=1e-6)
    if run.task == "binary":  # one number, one interval, wherever it stands
        whole = evaluated.evaluation.headline
        assert (hidden["first-second"].low, hidden["first-second"].high) == pytest.approx((whole.low, whole.high), abs=1e-6)
    assert max(hidden["lost_first"].value, hidden["lost_second"].value) > 0.05
    assert max(weighed["exchanged_first"].value, weighed["exchanged_second"].value) > 0.05
    assert min(weighed["shapley_first"].low, weighed["shapley_second"].low) > 0
    assert damaged["worst"].value == max(damaged["worst_first"].value, damaged["worst_second"].value)
    assert all(one.low <= one.value <= one.high for one in (*hidden.values(), *weighed.values()))
    sets, novelty = chapters["conformal"], chapters["novelty"]
    if run.task == "survival":
        assert "Not applicable" in sets.says[0]
        assert not sets.measures
    else:
        assert sets.measures["coverage"].value == pytest.approx(0.9, abs=0.15)
        assert any("as promised" in said for said in sets.says)
        assert len(sets.tables["coverage"]) >= 3
        assert set(sets.figures) == {"coverage"}
    assert novelty.measures["false_alarms"].value < 0.2
    assert novelty.measures["outliers/first"].low > 0.9
    told = 2 if run.task in ("regression", "survival") else 3  # which have no energy
    assert len(novelty.tables["outliers"]) == 2 * told
    assert set(novelty.figures) == {"distance"}


def test_an_audit_of_every_task_gives_25_verdicts_and_its_record(run: Run) -> None:
    report = audit_model(str(run.config.folder), run.config, {}, SCREEN)
    assert [one.check for one in report.findings] == list(CHECKS)
    assert not report.failed
    by_name = {one.check: one for one in report.findings}
    assert by_name["overlap"].verdict == by_name["metadata_only"].verdict == by_name["record_complete"].verdict == "pass"
    content = json.loads((run.config.folder / "audit.json").read_text())
    assert content["model_digest"] == load_package(run.trained.package).digest
    assert len(pd.read_csv(run.config.folder / "audit.csv")) == 25
    record = mlflow.MlflowClient(run.config.tracking.uri).get_run(report.run_page.split("/runs/")[1].split("?")[0])
    assert record.data.tags["model_digest"] == content["model_digest"]
    assert record.data.metrics["audit/label_shuffle"] == pytest.approx(by_name["label_shuffle"].number.value)  # type: ignore[union-attr]


def test_the_package_holds_what_turns_logits_into_answers(run: Run) -> None:
    package = load_package(run.trained.package)
    buffers = dict(package.model.criterion.named_buffers())
    if run.task == "regression":
        assert buffers["mean"].item() == pytest.approx(50, abs=4)
        assert buffers["deviation"].item() == pytest.approx(14, abs=4)
    elif run.task == "survival":
        early, late = buffers["baseline"].tolist()
        assert 0 < early < late
    else:
        assert len(buffers["class_weight"]) == len(package.target.names)
        assert package.temperature != 1
    card = (run.trained.package / "card.md").read_text()
    assert {
        "regression": "- predicts: value (regression, in %)",
        "survival": "the baseline hazard is that of the training",
    }.get(run.task, "both from the validation studies") in card
    assert len(package.thresholds) == (0 if run.task in ("multiclass", *HEADLINES) else len(package.target.names))


def test_temperature_and_calibration_come_from_the_validation_studies_alone(run: Run) -> None:
    subject = open_subject(str(run.trained.package), run.config, SCREEN)
    package, seen = subject.package, subject.parts["validation"]
    if not package.model.criterion.tempered:
        assert (package.temperature, package.calibration) == (1, Recalibration())
        return
    bare = replace(package, calibration=Recalibration())
    found = choose_recalibration(
        seen.logits,
        seen.scores.target,
        seen.scores.patient,
        run.task,
        lambda some, t: replace(bare, temperature=t).answer(some),
    )
    assert found == (pytest.approx(package.temperature), package.calibration)


def test_a_study_without_a_label_is_left_out_and_the_cohort_is_described(run: Run) -> None:
    table = pd.read_csv(next((run.folder / "mlartifacts").rglob("cohort.csv")), keep_default_na=False)
    assert list(table.index[table["reason"] == "no label"]) == [3, 50, 90, 120]
    classes = {row[0]: row[1] for row in inspect_config(run.config, SCREEN).sections["classes"].rows}
    assert set(run.config.target.mark_names) <= set(classes)
    assert all(classes.values())


def test_hazards_of_intervals_are_joined_late_and_scored(hospital: Path, tmp_path: Path) -> None:
    model = {"width": 16, "fusion": "late", "loss": {"name": "discrete_time", "intervals": 6}}
    content = run_file(tmp_path, hospital, "survival", model=model)
    content["training"] = {"epochs": 40, "patience": 40, "learning_rate": 5e-3, "batch_size": 32, "accelerator": "cpu"}
    config = parse_config(content, "run.yaml")
    trained = train(config, SCREEN)
    assert trained.evaluation.headline.value > 0.6
    package = load_package(trained.package)
    edges = dict(package.model.criterion.named_buffers())["edges"].tolist()
    assert edges == sorted(edges)
    assert len(edges) == 7
    score_studies(
        trained.model, hospital, tmp_path / "out", TrackingSettings(uri=config.tracking.uri), SCREEN, Manner(Options(workers=0))
    )
    risks = pd.read_parquet(tmp_path / "out" / "scores.parquet")[NAMES["survival"]].to_numpy()
    assert (np.diff(risks, axis=1) >= 0).all()
    assert risks.std(axis=0).min() > 0.01


@pytest.mark.parametrize("task", ["ordinal", "regression", "survival"])
def test_methods_are_compared_by_the_headline_of_the_task(task: str, hospital: Path, tmp_path: Path) -> None:
    config = parse_config(run_file(tmp_path, hospital, task), "run.yaml")
    compared = compare(config, SCREEN)
    comparison = compared.comparison
    names = {one.method.name for one in comparison.ratings}
    rivals = set() if task == "survival" else {"first, boosting", "second, boosting"}
    assert names == {"first alone", "second alone", "concat", "late"} | rivals
    fused = {one.method.name: one for one in comparison.ratings if one.contrast is not None}
    metric, label = {"ordinal": ("auroc", "AUROC"), "regression": ("r2", "R²"), "survival": ("c_index", "C-index")}[task]
    for one in fused.values():
        assert one.contrast is not None
        assert np.isnan(one.contrast.delong_p) == (task != "ordinal")
        assert one.contrast.corrected_p == pytest.approx(max(one.contrast.corrected_p, one.contrast.bootstrap_p))
    assert f" {label} [" in comparison.verdict.text
    assert max(one.contrast.gain.value for one in fused.values() if one.contrast is not None) > 0
    assert comparison.verdict.kind != "not worth it"
    assert f"{metric}_value" in comparison.table()
    client = mlflow.MlflowClient(config.tracking.uri)
    run_id = compared.run_page.split("/runs/")[1].split("?")[0]
    assert f"{metric}/late" in client.get_run(run_id).data.metrics
    page = Path(client.download_artifacts(run_id, PAGE)).read_text()
    assert f"{label} of each method" in page
    assert ("AUROC" in page) == ("DeLong" in page) == (task == "ordinal")


REFUSED: list[tuple[str, dict[str, object], str]] = [
    ("regression", {"model": {"fusion": "evidential"}}, "the fusion 'evidential' is not for a regression task"),
    ("survival", {"compare": {"methods": ["late", "evidential"]}}, "the fusion 'evidential' is not for a survival task"),
    ("survival", {"model": {"loss": "focal"}}, "the loss 'focal' is not for a survival task: choose cox, discrete_time"),
    (
        "multiclass",
        {"model": {"loss": "asymmetric"}},
        "the loss 'asymmetric' is not for a multiclass task: choose cross_entropy",
    ),
    ("regression", {"model": {"class_weight": "balanced"}}, "the loss 'squared_error' takes no class weights"),
    ("regression", {"training": {"strategy": "ogm_ge"}}, "the strategy 'ogm_ge' is not for a regression task"),
    ("survival", {"compare": {"strategies": ["fixmatch"]}}, "the strategy 'fixmatch' is not for a survival task"),
    (
        "regression",
        {"rules": [{"name": "r", "when": "first.number > 3", "then": {"floor": {"probability": 0.9}}, "why": "x"}]},
        "moves the probability of a class, of which a regression task has none",
    ),
    ("survival", {"compare": {"baselines": True}}, "compare.baselines: a survival task has no classical rival here"),
    ("survival", {"cohort": {"root": "x", "subgroups": ["died"]}}, "cohort.subgroups names 'died', which is the target"),
]


@pytest.mark.parametrize(("task", "changes", "message"), REFUSED)
def test_what_does_not_fit_a_task_is_refused_by_name(
    task: str, changes: dict[str, object], message: str, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match=message):
        parse_config(run_file(tmp_path, tmp_path, task, **changes), "run.yaml")


@pytest.mark.parametrize(("cells", "code"), [(("-1", "1"), "E_RANGE"), (("9", "2"), "E_CATEGORY"), (("9", ""), "E_EMPTY")])
def test_a_study_whose_time_or_event_cannot_be_is_left_out_by_code(
    cells: tuple[str, str], code: str, hospital: Path, tmp_path: Path
) -> None:
    shutil.copytree(hospital, tmp_path / "export")
    table = pd.read_csv(hospital / "studies.csv", dtype=str, keep_default_na=False)
    table.loc[7, ["days", "died"]] = cells
    table.to_csv(tmp_path / "export" / "studies.csv", index=False)
    _, intake = open_export(parse_config(run_file(tmp_path, tmp_path / "export", "survival"), "run.yaml"), SCREEN)
    assert {i: why for i, why in intake.left_out.items() if not why.startswith("no ")} == {7: code}
    (reason,) = intake.studies[7].rejected.values()
    assert "study in row 8, target" in str(reason)


@pytest.mark.parametrize("column", ["days", "died"])
def test_neither_column_of_a_survival_target_can_be_read_as_an_input(column: str, hospital: Path, tmp_path: Path) -> None:
    leaking = {"kind": "tabular", "table": "studies.csv", "numeric": {column: {}}}
    content = run_file(tmp_path, hospital, "survival")
    config = parse_config({**content, "inputs": {**content["inputs"], "leak": leaking}}, "run.yaml")  # type: ignore[dict-item]
    with pytest.raises(ConfigError, match=f"inputs.leak reads '{column}' of the studies table, which is the target"):
        open_export(config, SCREEN)


@pytest.mark.parametrize("task", TARGETS)
def test_no_input_sees_the_target_among_the_cells_of_a_study(task: str, hospital: Path, tmp_path: Path) -> None:
    config = parse_config(run_file(tmp_path, hospital, task), "run.yaml")
    _, intake = open_export(config, SCREEN)
    assert all(not set(config.target.columns) & set(study.cells) for study in intake.studies)
