"""`medmm compare`: the same folds for all, a verdict that fits what was planted, and going on after an interruption."""

import io
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from rich.console import Console

from medmm.cohort.synthetic import SyntheticSettings, make_cohort
from medmm.config import RunConfig, parse_config
from medmm.dataset.batches import Batches
from medmm.errors import ConfigError, DataError
from medmm.fusion.base import pooled
from medmm.training.tracking import connect, open_record
from medmm.workflows import cells as cells_module
from medmm.workflows.cells import Cell, Method, methods_of, read_cell
from medmm.workflows.cohort import Cohort, divide, open_export, prepare, share_out
from medmm.workflows.compare import Compared, _set_up, compare, parts_of
from medmm.workflows.comparison import PAGE
from medmm.workflows.learn import Learned, join, learn
from medmm.workflows.screen import Screen

COMPLEMENTARY = SyntheticSettings(
    patients=300, images=(), image_strength=0, laboratory_strength=4, note_strength=4, absent={"note": 0.05}, seed=0
)
METHODS = (
    "labs alone",
    "history alone",
    "labs, boosting",
    "history, TF-IDF",
    "weighted",
    "late",
)


def run_file(root: Path, out: Path, **changes: object) -> RunConfig:
    settings: dict[str, object] = {
        "name": "trial",
        "cohort": {"root": str(root), "time": "time"},
        "target": {"column": "diagnosis", "task": "binary", "positive": "pneumonia"},
        "inputs": {
            "labs": {
                "kind": "tabular",
                "table": "labs.csv",
                "layout": "long",
                "window_days": 14,
                "numeric": {"crp": {"unit": "mg/L"}, "wbc": {"unit": "10*9/L"}},
            },
            "history": {"kind": "text", "table": "notes.csv"},
        },
        "model": {"width": 32, "fusion": "weighted"},
        "training": {"epochs": 10, "patience": 5, "learning_rate": 2e-3, "batch_size": 32},
        "evaluation": {"resamples": 500},
        "compare": {"folds": 3, "methods": ["late"]},
        "tracking": {"uri": f"sqlite:///{out}/mlflow.db"},
        "output": str(out / "runs"),
    }
    return parse_config({**settings, **changes}, "trial.yaml")


def silent() -> Screen:
    return Screen(Console(quiet=True))


@pytest.fixture(scope="module")
def hospital(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("complementary")
    make_cohort(root, COMPLEMENTARY)
    return root


@pytest.fixture(scope="module")
def compared(hospital: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Compared, RunConfig, str]:
    """A whole comparison: what it gave, its run file, and what was written on the terminal."""
    from medmm.workflows.comparison import show_compared

    config = run_file(hospital, tmp_path_factory.mktemp("out"))
    file = io.StringIO()
    screen = Screen(Console(file=file, width=200))
    made = compare(config, screen)
    show_compared(made.comparison, screen)
    return made, config, file.getvalue()


def test_inputs_that_complete_each_other_are_worth_fusing(compared: tuple[Compared, RunConfig, str]) -> None:
    made, _, written = compared
    comparison = made.comparison
    assert comparison.verdict.kind == "worth it"
    assert {one.method.name for one in comparison.ratings} == set(METHODS)
    best = next(one for one in comparison.ratings if one.method == comparison.best)
    for one in comparison.ratings:
        if one.method.kind == "fusion":
            assert one.everywhere.value > best.everywhere.value
            assert one.contrast is not None
            assert one.contrast.rival == comparison.best.name
    assert written.count("Worth it: ") == 1
    assert "3 folds by patient, 1 seed (3 trainings a method)" in written


def test_every_study_is_judged_once_and_never_by_a_model_that_saw_its_patient(
    compared: tuple[Compared, RunConfig, str], hospital: Path
) -> None:
    made, config, _ = compared
    sources, intake = open_export(config, silent())
    seen: list[int] = []
    for part in parts_of(config):
        cohort = divide(part.config, sources, intake, silent(), labels=False)
        judged = {cohort.studies[i].patient_id for i in cohort.split["test"]}
        assert not judged & {cohort.studies[i].patient_id for p in ("train", "validation") for i in cohort.split[p]}
        seen += cohort.split["test"]
    assert len(seen) == len(set(seen)) == made.comparison.ratings[0].everywhere.studies


def test_mlflow_holds_one_parent_and_a_child_for_each_training(compared: tuple[Compared, RunConfig, str]) -> None:
    made, config, _ = compared
    client = connect(config.tracking)
    (experiment,) = [e for e in client.search_experiments() if e.name == "trial"]
    runs = client.search_runs([experiment.experiment_id], max_results=1000)
    parents = [run for run in runs if "mlflow.parentRunId" not in run.data.tags]
    assert len(parents) == 1
    parent = parents[0]
    children = [run for run in runs if run.data.tags.get("mlflow.parentRunId") == parent.info.run_id]
    assert len(children) == len(METHODS) * 3
    assert {run.info.status for run in runs} == {"FINISHED"}
    assert {run.data.tags["method"] for run in children} == set(METHODS)
    assert all({"test/auroc", "test/auroc_low", "test/auroc_studies"} <= set(run.data.metrics) for run in children)
    assert parent.data.tags["verdict"] == "worth it"
    for one in made.comparison.ratings:
        name = one.method.name.replace(",", "")
        assert parent.data.metrics[f"auroc/{name}"] == pytest.approx(one.everywhere.value)
        assert parent.data.metrics[f"auroc/{name}_patients"] == one.everywhere.patients
    names = {one.path for one in client.list_artifacts(parent.info.run_id)}
    assert {PAGE, "compare.csv", "config.json", "plots"} <= names


def test_the_page_tells_the_verdict_and_shows_the_pictures(compared: tuple[Compared, RunConfig, str]) -> None:
    made, config, _ = compared
    run_id = made.run_page.split("/runs/")[1].split("?")[0]
    page = Path(connect(config.tracking).download_artifacts(run_id, PAGE)).read_text()
    assert "Worth it: " in page
    assert page.count("data:image/svg+xml;base64,") == 2
    assert "<script" not in page


def test_a_second_comparison_trains_nothing_and_says_the_same(
    compared: tuple[Compared, RunConfig, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    made, config, _ = compared
    monkeypatch.setattr(cells_module.Fold, "cell", None)  # would raise
    again = compare(config, silent())
    assert again.run_page == made.run_page
    assert again.comparison.table().equals(made.comparison.table())


def test_an_interrupted_comparison_goes_on_and_ends_as_an_unbroken_one(
    compared: tuple[Compared, RunConfig, str], hospital: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = run_file(hospital, tmp_path)
    trained: list[str] = []
    cell = cells_module.Fold.cell

    def broken(fold: cells_module.Fold, method: Method, record: object, title: str) -> Cell:
        trained.append(title)
        if len(trained) == 9:
            raise KeyboardInterrupt
        return cell(fold, method, record, title)  # type: ignore[arg-type]

    monkeypatch.setattr(cells_module.Fold, "cell", broken)
    with pytest.raises(KeyboardInterrupt):
        compare(config, silent())
    done = compare(config, silent())
    assert len(trained) == 3 * len(METHODS) + 1  # each once, and the one that was broken off again
    assert done.comparison.table().equals(compared[0].comparison.table())
    client = connect(config.tracking)
    (experiment,) = [e for e in client.search_experiments() if e.name == "trial"]
    runs = client.search_runs([experiment.experiment_id], max_results=1000)
    assert sum("mlflow.parentRunId" not in run.data.tags for run in runs) == 1
    assert sum(run.info.status == "KILLED" for run in runs) == 1


def test_noise_beside_a_telling_input_is_not_worth_it(tmp_path: Path) -> None:
    noise = SyntheticSettings(
        patients=600, images=(), image_strength=0, laboratory_strength=8, note_strength=0, absent={}, seed=1
    )
    make_cohort(tmp_path / "cohort", noise)
    config = run_file(tmp_path / "cohort", tmp_path, compare={"folds": 2, "methods": ["late"], "margin": 0.03})
    verdict = compare(config, silent()).comparison.verdict
    assert verdict.kind == "not worth it", verdict.text


def test_twenty_patients_cannot_tell(tmp_path: Path) -> None:
    make_cohort(tmp_path / "cohort", SyntheticSettings(patients=20, images=(), absent={}, seed=2))
    training = {"epochs": 2, "patience": 2}
    config = run_file(tmp_path / "cohort", tmp_path, training=training, compare={"folds": 2, "methods": ["late"]})
    verdict = compare(config, silent()).comparison.verdict
    assert verdict.kind == "cannot be told"
    assert "20 patients" in verdict.text


def test_a_run_with_one_input_has_nothing_to_fuse(hospital: Path, tmp_path: Path) -> None:
    config = run_file(hospital, tmp_path, inputs={"history": {"kind": "text", "table": "notes.csv"}})
    with pytest.raises(ConfigError, match="nothing to fuse"):
        compare(config, silent())


def test_seeds_draw_other_folds_and_a_split_by_time_has_one_part(hospital: Path, tmp_path: Path) -> None:
    config = run_file(hospital, tmp_path, compare={"folds": 3, "seeds": [0, 5], "methods": ["late"]})
    parts = parts_of(config)
    assert [(part.config.split.seed, part.config.split.fold, part.config.training.seed) for part in parts] == [
        (0, 0, 0),
        (0, 1, 0),
        (0, 2, 0),
        (5, 0, 5),
        (5, 1, 5),
        (5, 2, 5),
    ]
    timed = run_file(hospital, tmp_path, split={"by": "time"}, compare={"seeds": [0, 5], "methods": ["late"]})
    assert [(part.config.split.folds, part.config.training.seed) for part in parts_of(timed)] == [(None, 0), (None, 5)]


def test_every_method_is_named_once_and_the_runs_own_fusion_comes_first(hospital: Path, tmp_path: Path) -> None:
    config = run_file(
        hospital,
        tmp_path,
        model={"width": 32, "fusion": {"name": "concat", "dropout": 0.3}},
        compare={"methods": ["late", "concat", {"name": "late", "combine": "mean"}]},
    )
    kinds = {name: one.kind for name, one in config.inputs.items()}
    names = [one.name for one in methods_of(kinds, [config.model.fusion, *config.compare.methods], baselines=False)]
    assert names == ["labs alone", "history alone", "concat", "late", "late 2"]


def test_a_cell_comes_back_as_it_was_saved_and_is_asked_by_study(tmp_path: Path) -> None:
    cell = Cell(np.array([7, 2, 5]), np.array([[0.7], [0.2], [0.5]]), np.array([True, False, True]))
    cell.save(tmp_path / "cell.npz")
    again = read_cell(tmp_path / "cell.npz")
    assert again is not None
    probability, covers = again.of(np.array([2, 7]))
    assert probability.tolist() == [[0.2], [0.7]]
    assert covers.tolist() == [False, True]
    assert read_cell(tmp_path / "other.npz") is None


def cells_of(config: RunConfig) -> dict[str, str]:
    """Give the key of every training of a comparison, by part and method."""
    bench = _set_up(config, silent())
    return {f"{part.name}, {method.name}": bench.key(part, method) for part in bench.parts for method in bench.methods}


def test_a_training_of_another_split_or_setting_has_another_key_and_place(hospital: Path, tmp_path: Path) -> None:
    def keys(**settings: object) -> dict[str, str]:
        return cells_of(run_file(hospital, tmp_path, compare={"methods": ["late"], **settings}))

    five, two = keys(folds=5, seeds=[0, 1]), keys(folds=10, seeds=[0])
    assert not set(five.values()) & set(two.values())
    assert set(keys(folds=5, seeds=[0]).values()) < set(five.values())  # of a seed that is added, the others are known
    plain = keys(folds=3, methods=["late", "concat"])
    changed = keys(folds=3, methods=["late", {"name": "concat", "dropout": 0.5}])
    same = {name for name in plain if plain[name] == changed[name]}
    assert {name for name in plain if name not in same} == {name for name in plain if name.endswith("concat")}
    assert len(set(plain.values())) == len(plain)


def test_an_interrupted_comparison_of_other_folds_leaves_nothing_to_go_on_from(
    hospital: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    places: list[Path] = []

    def stop(_cohort: Cohort, _tell: object, _screen: Screen, _title: str, checkpoints: Path, **_: object) -> Learned:
        places.append(checkpoints)
        raise KeyboardInterrupt

    monkeypatch.setattr(cells_module, "learn", stop)
    for folds in (3, 2, 3):
        with pytest.raises(KeyboardInterrupt):
            compare(run_file(hospital, tmp_path, compare={"folds": folds, "methods": ["late"]}), silent())
    assert places[0] == places[2]
    assert places[0] != places[1]


def test_studies_that_change_sides_in_a_column_are_trained_anew(tmp_path: Path) -> None:
    make_cohort(tmp_path / "cohort", COMPLEMENTARY.model_copy(update={"patients": 60}))
    table = pd.read_csv(tmp_path / "cohort" / "studies.csv", dtype=str, keep_default_na=False)
    patients = sorted(set(table["patient_id"]))
    side = {patient: ("train", "validation", "test")[i % 3] for i, patient in enumerate(patients)}
    config = run_file(tmp_path / "cohort", tmp_path, split={"by": "column", "column": "side"})
    keys = []
    for swap in ({}, {"train": "test", "test": "train"}):
        table["side"] = [swap.get(side[patient], side[patient]) for patient in table["patient_id"]]
        table.to_csv(tmp_path / "cohort" / "studies.csv", index=False)
        keys.append(set(cells_of(config).values()))
    assert not keys[0] & keys[1]


def test_another_question_gets_a_run_of_its_own_and_known_trainings(
    compared: tuple[Compared, RunConfig, str], hospital: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made, config, _ = compared
    monkeypatch.setattr(cells_module.Fold, "cell", None)  # would raise
    changed = config.model_copy(update={"compare": config.compare.model_copy(update={"margin": 0.4})})
    again = compare(changed, silent())
    assert again.run_page != made.run_page
    assert again.comparison.verdict.kind == "not worth it"


def test_too_many_folds_for_the_patients_are_refused_before_anything_is_trained(tmp_path: Path) -> None:
    make_cohort(tmp_path / "cohort", SyntheticSettings(patients=20, images=(), absent={}, seed=2))
    with pytest.raises(DataError, match="choose fewer folds"):
        compare(run_file(tmp_path / "cohort", tmp_path, compare={"folds": 15, "methods": ["late"]}), silent())


def test_an_input_that_no_test_study_of_a_fold_has_says_the_prevalence_there(tmp_path: Path) -> None:
    make_cohort(tmp_path / "cohort", SyntheticSettings(patients=60, images=(), absent={}, seed=4))
    notes = pd.read_csv(tmp_path / "cohort" / "notes.csv", dtype=str, keep_default_na=False)
    table = pd.read_csv(tmp_path / "cohort" / "studies.csv", dtype=str, keep_default_na=False)
    config = run_file(tmp_path / "cohort", tmp_path, training={"epochs": 1, "patience": 1})
    config = config.model_copy(update={"compare": config.compare.model_copy(update={"folds": 2})})
    _, intake = open_export(config, silent())
    sides, _ = share_out(parts_of(config)[0].config, intake.studies, intake.left_out)
    tested = {intake.studies[i].study_id for i, side in sides.items() if side == "test"}
    assert tested < set(table["study_id"])
    notes[~notes["study_id"].isin(tested)].to_csv(tmp_path / "cohort" / "notes.csv", index=False)
    waived = config.leakage.model_copy(update={"waive": {"history.missing": "planted", "labs.missing": "planted"}})
    with pytest.raises(DataError, match="no training study has the input 'history'"):  # of the other fold
        compare(config.model_copy(update={"leakage": waived}), silent())
    bench = _set_up(config.model_copy(update={"leakage": waived}), silent())
    part = bench.parts[0]
    cohort = divide(part.config, bench.sources, bench.intake, silent(), labels=False)
    fold = cells_module.Fold(cohort, lambda method: tmp_path / "checkpoints" / method.name, silent())
    client = connect(config.tracking)
    with open_record(client, config.tracking, "x") as record:
        cell = fold.cell(cells_module.single("history"), record, "history")
        baseline = fold.cell(Method("history, TF-IDF", "baseline", "history"), record, "history")
    assert not cell.covers.any()
    prevalence = cohort.target[list(cohort.split["train"])].mean()
    assert (cell.predicted == prevalence).all()
    assert not baseline.covers.any()


def test_a_joined_model_says_of_each_input_what_its_own_model_says(tmp_path: Path) -> None:
    # Those who have notes are sick more often than all together.
    planted = SyntheticSettings(patients=120, images=(), absent={"note": 0.7}, absent_by_label={"note": -0.6}, seed=5)
    make_cohort(tmp_path / "cohort", planted)
    waive = {"history.missing": "planted", "labs.missing": "planted"}
    config = run_file(
        tmp_path / "cohort", tmp_path, training={"epochs": 2, "patience": 2}, leakage={"waive": waive}, model={"width": 16}
    )
    cohort = prepare(config, silent())
    singles = {
        name: learn(cohort.only(name), lambda *_: None, silent(), name, tmp_path / name, decides=False)
        for name in cohort.inputs
    }
    joined = join(cohort, singles, silent()).package.model
    for one in singles.values():  # all know the classes of the whole training part, so that their logits speak alike
        assert torch.equal(joined.criterion.class_weight, one.package.model.criterion.class_weight)  # type: ignore[arg-type]
    for name, one in singles.items():
        only = cohort.only(name)
        batches = Batches(only.prepared, only.split["test"], None, 64)
        (batch,) = batches
        own = one.package.model
        with torch.inference_mode():
            expected = own.evidence(own.auxiliary[name](pooled(own.encoders[name](batch.inputs[name]))))
            said = joined.evidence(joined.auxiliary[name](pooled(joined.encoders[name](batch.inputs[name]))))
        torch.testing.assert_close(said, expected)
