"""Ways to fine-tune in a whole run: groups from the studies table, studies without a label, tuned encoders, refusals."""

import csv
import io
import shutil
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console
from test_compare import run_file, silent

from medmm.cohort.synthetic import SyntheticSettings, make_cohort
from medmm.dataset.batches import TrainingBatches
from medmm.encoders.tuning import Tuning
from medmm.errors import ConfigError
from medmm.inputs.base import Input
from medmm.inputs.image import ImageSettings
from medmm.model import DiagnosisModel
from medmm.training.attack import Attacked, AttackSettings, attacked
from medmm.training.strategies.gradual import Gradual
from medmm.training.strategies.group_dro import GroupDRO
from medmm.training.tracking import connect
from medmm.types import Batch
from medmm.workflows.cohort import UNLABELLED, Cohort, open_export, prepare
from medmm.workflows.compare import _set_up, compare
from medmm.workflows.fine_tuning import fine_tuned, groups_of, refuse_idle_strategy
from medmm.workflows.learn import ATTACK_STEPS, learn
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
    judged = [i for i in every if i not in cohort.unlabelled]
    assert judged
    assert all(cohort.prepared["labs"].place[i, 0] < 0 for i in judged)
    labs, learning = cohort.inputs["labs"], sorted({*cohort.split["train"], *cohort.unlabelled})
    found = [study for study in (cohort.studies[i] for i in learning) if "labs" in study.evidence]
    raws = [(study.patient_id, labs.read(study.evidence["labs"])) for study in found]
    assert labs.state == labs.settings.open("labs").fit(raws).state
    assert labs.state != prepared(hospital, tmp_path, "supervised").inputs["labs"].state


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


def test_of_one_input_those_unlabelled_learn_that_have_it(hospital: Path, tmp_path: Path) -> None:
    cohort = prepared(hospital, tmp_path, "mean_teacher")
    having = tuple(i for i in cohort.unlabelled if "history" in cohort.studies[i].evidence)
    assert cohort.only("history").unlabelled == having
    assert 0 < len(having) < len(cohort.unlabelled)


def test_leaks_of_unlabelled_studies_are_looked_for_as_of_those_that_learn(
    hospital: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked: list[dict[int, str]] = []
    monkeypatch.setattr(
        "medmm.workflows.cohort.across",
        lambda *given: looked.append(dict(given[-1])) or [],  # type: ignore[func-returns-value]
    )
    cohort = prepared(hospital, tmp_path, "mean_teacher")
    (sides,) = looked
    assert sides == {**cohort.sides(), **dict.fromkeys(cohort.unlabelled, "train")}


class _SeenError(Exception):
    pass


@pytest.mark.parametrize(
    ("strategy", "views", "share", "repeats", "grouped"),
    [
        ({"name": "supervised"}, 0, 0, 1, False),
        ({"name": "fixmatch", "share": 2}, 1, 2, 1, False),
        ({"name": "domain_adversarial", "column": "site", "share": 1}, 0, 1, 1, True),
        ({"name": "adversarial", "method": "free", "replays": 3}, 0, 0, 3, False),
    ],
)
def test_a_training_gets_the_batches_that_its_strategy_asks_for(
    strategy: dict[str, object],
    views: int,
    share: int,
    repeats: int,
    grouped: bool,
    hospital: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made: list[TrainingBatches] = []

    def fit(_objective: object, batches: Callable[[Callable[[], int]], TrainingBatches], *_: object) -> None:
        made.append(batches(lambda: 0))
        raise _SeenError

    monkeypatch.setattr("medmm.workflows.learn.fit", fit)
    cohort = prepared(hospital, tmp_path, strategy)
    with pytest.raises(_SeenError):
        learn(cohort, lambda _measures, _epoch: None, silent(), "all", tmp_path)
    found = list(made[0])
    assert len(found) == repeats * -(-len(cohort.split["train"]) // 16)
    assert all(len(batch.views) == views for batch in found)
    assert all(int((~batch.labelled).sum()) == share * int(batch.labelled.sum()) for batch in found)
    _, group = groups_of(cohort, ("site",))
    assert group is not None
    for batch in found:
        assert (batch.group is not None) == grouped
        assert batch.group is None or batch.group.tolist() == group[batch.rows].tolist()


def test_images_of_unlabelled_studies_are_decoded_where_they_learn(tmp_path: Path) -> None:
    make_cohort(tmp_path / "whole", SyntheticSettings(patients=12, images=("radiograph",), radiograph_size=32, seed=1))

    def forget(row: dict[str, str]) -> None:
        row["diagnosis"] = "" if int(row["patient_id"][-1]) % 2 else row["diagnosis"]

    root = rewritten(tmp_path / "whole", tmp_path / "half", forget)
    chest = {"kind": "image", "path": "dicom", "column": "study_uid", "modality": ["CR", "DX"], "size": [32, 32]}
    for strategy, learn_too in (("fixmatch", True), ("supervised", False)):
        config = run_file(root, tmp_path, training=training(strategy), inputs={"chest": chest})
        _, intake = open_export(config, silent())
        without = [i for i, study in enumerate(intake.studies) if study.label is None and "chest" in study.evidence]
        assert without
        assert all((intake.images["chest"].place[i, 0] >= 0) == learn_too for i in without)


def rewritten(hospital: Path, root: Path, change: Callable[[dict[str, str]], None]) -> Path:
    """Copy the export with each row of its studies table changed."""
    shutil.copytree(hospital, root)
    with (root / "studies.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    for row in rows:
        change(row)
    with (root / "studies.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return root


@pytest.mark.parametrize(("strategy", "told"), [("pseudo_labels", True), ("supervised", False)])
def test_it_is_told_where_no_study_without_a_label_learns(strategy: str, told: bool, hospital: Path, tmp_path: Path) -> None:
    def label(row: dict[str, str]) -> None:
        row["diagnosis"] = row["diagnosis"] or "none"

    root, file = rewritten(hospital, tmp_path / "labelled", label), io.StringIO()
    cohort = prepare(run_file(root, tmp_path, training=training(strategy)), Screen(Console(file=file, width=160)))
    assert cohort.unlabelled == ()
    assert ("no study without a label learns" in file.getvalue()) == told


def test_a_person_who_judges_does_not_learn_under_another_identifier(hospital: Path, tmp_path: Path) -> None:
    before = prepared(hospital, tmp_path, "mean_teacher")
    judge = before.studies[before.split["test"][0]].patient_id
    learner = before.studies[before.unlabelled[0]]
    own = [i for i, study in enumerate(before.studies) if study.patient_id == learner.patient_id]
    assert set(own) <= {*before.unlabelled, *before.split["train"]}

    def name(row: dict[str, str]) -> None:
        row["born"] = judge if row["study_id"] == learner.study_id else row["patient_id"]
        row["patient_id"] = "another" if row["study_id"] == learner.study_id else row["patient_id"]

    root = rewritten(hospital, tmp_path / "renamed", name)
    cohort_settings = {"root": str(root), "time": "time", "person": ["born"]}
    for name_of, joined in ((["born"], True), ([], False)):
        asked = {**cohort_settings, "person": name_of}
        cohort = prepare(run_file(root, tmp_path, training=training("mean_teacher"), cohort=asked), silent())
        judging = {cohort.studies[i].cells["born"] for part in ("validation", "test") for i in cohort.split[part]}
        (place,) = (i for i, study in enumerate(cohort.studies) if study.study_id == learner.study_id)
        assert judge in judging
        assert (place in cohort.unlabelled) is not joined
        assert not joined or not judging & {cohort.studies[i].cells["born"] for i in cohort.unlabelled}


def test_with_a_split_by_group_no_unlabelled_study_is_of_a_group_that_judges(hospital: Path, tmp_path: Path) -> None:
    split = {"by": "group", "column": "site"}
    cohort = prepare(run_file(hospital, tmp_path, training=training("mean_teacher"), split=split), silent())
    sites = {part: {cohort.studies[i].cells["site"] for i in cohort.split[part]} for part in ("train", "validation", "test")}
    assert cohort.unlabelled
    assert not {cohort.studies[i].cells["site"] for i in cohort.unlabelled} & (sites["validation"] | sites["test"])


def test_groups_of_unlabelled_studies_count_only_where_these_learn(hospital: Path, tmp_path: Path) -> None:
    seen = prepared(hospital, tmp_path, "mean_teacher")
    alone = seen.unlabelled[0]
    studies = tuple(
        replace(study, cells={**study.cells, "site": "far" if i == alone else "near"}) for i, study in enumerate(seen.studies)
    )
    cohort = replace(seen, studies=studies)
    names, group = groups_of(cohort, ("site",))
    assert names == ("far", "near")
    assert group is not None
    assert group.tolist() == [0 if i == alone else 1 for i in range(len(studies))]
    with pytest.raises(ConfigError, match="of 1 group by 'site', two or more"):
        groups_of(fine_tuned(cohort, GroupDRO(columns=("site",))), ("site",))


def test_a_study_with_an_empty_cell_or_of_a_group_that_nobody_learns_is_of_none(hospital: Path, tmp_path: Path) -> None:
    cohort = prepared(hospital, tmp_path, "supervised")
    first, second, *_ = cohort.split["train"]
    other = cohort.split["test"][0]
    cells = {first: "", other: "unseen"}
    studies = tuple(
        replace(study, cells={**study.cells, "site": cells.get(i, "AB"[i % 2])}) for i, study in enumerate(cohort.studies)
    )
    names, group = groups_of(replace(cohort, studies=studies), ("site", "sex"))
    assert group is not None
    assert (group[first], group[other]) == (-1, -1)
    assert group[second] == names.index(f"{'AB'[second % 2]} {studies[second].cells['sex']}")
    assert not any("unseen" in name or name.startswith(" ") for name in names)
    assert group.dtype == np.int64
    assert groups_of(cohort, ()) == ((), None)


def test_another_way_to_fine_tune_tunes_pretrained_encoders_and_leaves_the_cohort_as_it_is(
    hospital: Path, tmp_path: Path
) -> None:
    cohort = prepared(hospital, tmp_path, "supervised")
    assert fine_tuned(cohort, None) is cohort
    other = fine_tuned(cohort, GroupDRO(columns=("site",)))
    assert other.config.training.strategy == GroupDRO(columns=("site",))
    assert cohort.config.training.strategy.name == "supervised"
    assert other.inputs is cohort.inputs
    settings = ImageSettings.model_validate({"path": "x", "size": [32, 32], "encoder": {"name": "resnet18", "weights": "w.pt"}})
    scan: Input[object] = settings.open("scan")
    config = cohort.config.model_copy(update={"inputs": {"scan": settings}})
    tuned = fine_tuned(replace(cohort, config=config, inputs={"scan": scan}), Gradual(stage_epochs=3))
    for found in (tuned.config.inputs["scan"], tuned.inputs["scan"].settings):
        assert found.encoder.tuning == Tuning(learn="gradual", stage_epochs=3)  # type: ignore[attr-defined]


def test_an_attack_on_an_input_that_is_not_there_is_refused_with_the_nearest(hospital: Path, tmp_path: Path) -> None:
    strategy = {"name": "adversarial", "inputs": ["labs", "histroy"]}
    with pytest.raises(ConfigError, match=r"no input 'histroy': did you mean 'history'"):
        train(run_file(hospital, tmp_path, training=training(strategy)), silent())
    refuse_idle_strategy(run_file(hospital, tmp_path, training=training({**strategy, "inputs": ["labs"]})))


def test_cells_of_a_comparison_are_others_where_unlabelled_studies_are_fitted_on(hospital: Path, tmp_path: Path) -> None:
    def digest_with(*strategies: str) -> str:
        asked = {"methods": ["late"], "strategies": strategies}
        config = run_file(hospital, tmp_path, training=training("supervised"), compare=asked)
        return _set_up(config, silent()).folder.name

    assert digest_with() == digest_with("supervised") != digest_with("mean_teacher") == digest_with("fixmatch")


def test_robustness_is_asked_for_where_the_model_decides(
    hospital: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    searched: list[int] = []

    def watched(model: DiagnosisModel, batches: Iterable[Batch], settings: AttackSettings) -> Attacked:
        searched.append(settings.steps)
        return attacked(model, batches, settings)

    monkeypatch.setattr("medmm.workflows.learn.attacked", watched)
    strategy = {"name": "adversarial", "attack": {"steps": 1}}
    config = run_file(hospital, tmp_path, training=training(strategy, epochs=1, patience=1))
    cohort = prepare(config, silent()).only("labs")
    quiet = lambda _measures, _epoch: None  # noqa: E731
    learned = [learn(cohort, quiet, silent(), "labs", tmp_path / str(decides), decides=decides) for decides in (True, False)]
    assert [set(one.attacked) for one in learned] == [{"labs"}, set()]
    assert searched == [ATTACK_STEPS]
    (scores,) = learned[0].attacked.values()
    clean = learned[0].test[frozenset({"labs"})]
    worse = np.where(clean.target > 0, scores.predicted < clean.predicted, scores.predicted > clean.predicted)
    assert worse.mean() > 0.9


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


def test_an_encoder_from_another_run_is_tuned_as_one_with_weights(hospital: Path, tmp_path: Path) -> None:
    chest = {"kind": "image", "path": "dicom", "size": [32, 32], "encoder": {"name": "resnet18"}}
    config = run_file(hospital, tmp_path, inputs={"chest": chest, "other": chest}, training=training("lora"))
    settled = config.settled(90, {"chest"})
    assert settled.inputs["chest"].encoder.model_dump()["tuning"]["learn"] == "lora"
    assert settled.inputs["other"] == config.inputs["other"]
