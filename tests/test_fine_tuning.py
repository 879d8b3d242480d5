"""Ways to fine-tune in a whole run: groups from the studies table, studies without a label, tuned encoders, refusals."""

import csv
import io
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console
from test_compare import run_file, silent

from medmm.cohort.synthetic import SyntheticSettings, make_cohort
from medmm.errors import ConfigError
from medmm.training.tracking import connect
from medmm.workflows.cohort import UNLABELLED, Cohort, prepare
from medmm.workflows.compare import compare
from medmm.workflows.fine_tuning import groups_of
from medmm.workflows.screen import Screen
from medmm.workflows.train import train

SMALL = SyntheticSettings(patients=90, images=(), laboratory_strength=4, note_strength=4, absent={"note": 0.1}, seed=3)


@pytest.fixture(scope="module")
def hospital(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An export in which every third study of the table has no label."""
    root = tmp_path_factory.mktemp("unlabelled")
    make_cohort(root, SMALL)
    with (root / "studies.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    for number, row in enumerate(rows):
        if number % 3 == 0:
            row["diagnosis"] = ""
    with (root / "studies.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return root


def training(strategy: object, **changes: object) -> dict[str, object]:
    return {"epochs": 3, "patience": 3, "learning_rate": 2e-3, "batch_size": 16, "strategy": strategy, **changes}


def prepared(hospital: Path, out: Path, strategy: object) -> Cohort:
    return prepare(run_file(hospital, out, training=training(strategy)), silent())


def test_studies_without_a_label_learn_only_where_a_strategy_asks_and_never_of_patients_who_judge(
    hospital: Path, tmp_path: Path
) -> None:
    assert prepared(hospital, tmp_path, "supervised").unlabelled == ()
    cohort = prepared(hospital, tmp_path, "mean_teacher")
    judging = {cohort.studies[i].patient_id for part in ("validation", "test") for i in cohort.split[part]}
    kept = {cohort.studies[i].patient_id for i in cohort.unlabelled}
    assert cohort.unlabelled
    assert not kept & judging
    assert all(cohort.studies[i].label is None for i in cohort.unlabelled)
    every = [i for i, study in enumerate(cohort.studies) if study.label is None and study.evidence]
    assert set(cohort.unlabelled) == {i for i in every if cohort.studies[i].patient_id not in judging}
    parts = cohort.manifest.table["part"].to_numpy()
    assert np.flatnonzero(parts == UNLABELLED).tolist() == list(cohort.unlabelled)
    assert all(cohort.prepared["labs"].place[i, 0] >= 0 for i in cohort.unlabelled if "labs" in cohort.studies[i].evidence)


def test_groups_are_those_of_the_studies_that_learn(hospital: Path, tmp_path: Path) -> None:
    cohort = prepared(hospital, tmp_path, "supervised")
    names, group = groups_of(cohort, ("site", "sex"))
    assert group is not None
    for i, study in enumerate(cohort.studies):
        own = f"{study.cells['site']} {study.cells['sex']}"
        assert names[group[i]] == own if own in names else group[i] == -1
    assert names == tuple(
        sorted({f"{cohort.studies[i].cells['site']} {cohort.studies[i].cells['sex']}" for i in cohort.split["train"]})
    )


@pytest.mark.parametrize(
    ("columns", "says"), [(("sight",), "did you mean 'site'"), (("diagnosis",), "no column"), (("time",), "")]
)
def test_a_column_that_is_not_there_is_refused_with_the_nearest(
    columns: tuple[str, ...], says: str, hospital: Path, tmp_path: Path
) -> None:
    cohort = prepared(hospital, tmp_path, "supervised")
    if says:
        with pytest.raises(ConfigError, match=says):
            groups_of(cohort, columns)
    else:
        assert len(groups_of(cohort, columns)[0]) > 2


STRATEGIES = {
    "mean_teacher": {"name": "mean_teacher"},
    "fixmatch": {"name": "fixmatch"},
    "pseudo_labels": {"name": "pseudo_labels", "precision": 0.7},
    "domain_adversarial": {"name": "domain_adversarial", "column": "site"},
    "group_dro": {"name": "group_dro", "columns": ["site", "sex"]},
    "adversarial": {"name": "adversarial", "method": "free"},
}


@pytest.mark.parametrize(
    ("name", "fusion"), [*((name, "weighted") for name in STRATEGIES), ("mean_teacher", "late"), ("adversarial", "late")]
)
def test_a_run_trains_by_every_strategy(name: str, fusion: str, hospital: Path, tmp_path: Path) -> None:
    config = run_file(
        hospital,
        tmp_path,
        training=training(STRATEGIES[name]),
        model={"width": 32, "fusion": fusion},
        evaluation={"resamples": 100},
    )
    file = io.StringIO()
    trained = train(config, Screen(Console(file=file, width=160)))
    assert np.isfinite(trained.evaluation.headline.value)
    assert ("studies without a label learn too" in file.getvalue()) == (name in {"mean_teacher", "fixmatch", "pseudo_labels"})
    (run,) = connect(config.tracking).search_runs(
        [connect(config.tracking).get_experiment_by_name("trial").experiment_id],
        filter_string="tags.mlflow.runName = 'trial'",  # type: ignore[union-attr]
    )
    assert run.data.params["training.strategy.name"] == name
    robust = {metric for metric in run.data.metrics if metric.startswith("robust_accuracy/")}
    assert bool(robust) == (name == "adversarial")
    assert ("robust accuracy" in file.getvalue()) == (name == "adversarial")


@pytest.mark.parametrize("name", ["linear_probe", "gradual", "lora"])
def test_a_way_to_tune_pretrained_encoders_is_refused_where_there_is_none(name: str, hospital: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=f"{name} builds on pretrained encoders"):
        train(run_file(hospital, tmp_path, training=training(name)), silent())


def test_compare_tries_ways_to_fine_tune(hospital: Path, tmp_path: Path) -> None:
    asked = {
        "folds": 2,
        "methods": ["weighted"],
        "baselines": False,
        "strategies": ["mean_teacher", {"name": "group_dro", "columns": ["site"]}],
    }
    config = run_file(hospital, tmp_path, training=training("supervised", epochs=2, patience=2), compare=asked)
    found = compare(config, silent()).comparison
    fusions = {"weighted", "weighted, mean_teacher", "weighted, group_dro"}
    assert {one.method.name for one in found.ratings if one.method.kind == "fusion"} == fusions
    values = {one.method.name: one.everywhere.value for one in found.ratings}
    assert len({values[name] for name in fusions}) == 3
