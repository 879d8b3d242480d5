"""Rules on their way: in the package, at scoring, in a training and its record, and in the command that checks them."""

import io
import json
import re
import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml
from conftest import Hospital
from rich.console import Console
from typer.testing import CliRunner, Result

from medmm.cohort.synthetic import SyntheticSettings, make_cohort
from medmm.config import RunConfig, load_config, parse_config
from medmm.errors import Code, DataError
from medmm.evaluation.decision import DecisionSettings, choose_thresholds
from medmm.package import FILES, FORMAT, SETTINGS, Package, load_package, save_package
from medmm.rules.settings import Rule
from medmm.scoring.engine import Options
from medmm.scoring.pyfunc import StudyModel
from medmm.scoring.run import Scored, score
from medmm.scoring.studies import find_studies
from medmm.sealed import seal
from medmm.training.tracking import TrackingSettings
from medmm.types import Scores, Study
from medmm.workflows.cli import app
from medmm.workflows.evaluate import evaluate_model
from medmm.workflows.score import Manner, score_studies
from medmm.workflows.screen import Screen
from medmm.workflows.train import Trained, train

DOCS = Path(__file__).parents[1] / "docs" / "rules.md"
SCREEN = Screen(Console(quiet=True))
HIGH, LOW = 100.0, 5.0


def rules(*some: Mapping[str, Any]) -> tuple[Rule, ...]:
    return tuple(Rule.model_validate(one) for one in some)


RULES: list[dict[str, Any]] = [
    {"name": "odd", "when": f"labs.crp < {LOW} mg/L", "then": {"reject": "labs"}},
    {"name": "noted", "when": "missing(history)", "then": {"flag": "no note"}},
    {"name": "held", "when": f"labs.crp > {HIGH} mg/L", "then": {"penalty": {"at_least": 0.99, "weight": 0.001}}},
    {"name": "lifted", "when": f"labs.crp > {HIGH} mg/L", "then": {"floor": {"probability": 0.97}}},
    {"name": "called", "when": 'study.sex is "F"', "then": {"alert": "call the ward"}},
]


def crp(study: Study) -> float | None:
    cells = study.evidence["labs"].cells if "labs" in study.evidence else None
    return float(cells["crp"]) if cells and cells["crp"] else None


def is_odd(study: Study) -> bool:
    value = crp(study)
    return value is not None and value < LOW


@pytest.fixture(scope="module")
def ruled(package: Package, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("ruled") / "package"
    save_package(replace(package, rules=rules(*RULES)), folder)
    return folder


@pytest.fixture(scope="module")
def found(ruled: Path, hospital: Hospital) -> tuple[Study, ...]:
    """Studies as they came, before any rule; two of those whose labs are rejected have nothing else."""
    studies = find_studies(load_package(ruled), hospital.cohort.root)
    bare = [study.row for study in studies if is_odd(study)][:2]
    return tuple(replace(study, evidence={"labs": study.evidence["labs"]}) if study.row in bare else study for study in studies)


@pytest.fixture(scope="module")
def results(ruled: Path, found: tuple[Study, ...], tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Scored]:
    out = tmp_path_factory.mktemp("results")
    return out, score(load_package(ruled), found, out, Options(workers=0))


def table(folder: Path, name: str) -> pd.DataFrame:
    return pd.read_parquet(folder / f"{name}.parquet").set_index("study_id")


def test_rules_travel_in_the_package(ruled: Path) -> None:
    loaded = load_package(ruled)
    assert loaded.rules == rules(*RULES)
    assert (
        "- rule lifted: when labs.crp is above 100 mg/L, the probability of pneumonia becomes at least 0.97"
        in (ruled / "card.md").read_text()
    )


def test_a_package_of_a_format_that_forgot_the_order_of_columns_is_refused(saved: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(saved, tmp_path / "package"))
    settings = json.loads((copy / SETTINGS).read_text())
    assert settings["format"] == FORMAT == 6
    (copy / SETTINGS).write_text(json.dumps({**settings, "format": 3}))
    seal(copy, FILES)
    with pytest.raises(DataError, match="the package has format 3, this version reads 6: package the run again"):
        load_package(copy)


def test_a_floor_lifts_the_studies_for_which_it_fires_and_no_other(
    results: tuple[Path, Scored], found: tuple[Study, ...]
) -> None:
    scores = table(results[0], "scores")
    high = {study.study_id for study in found if (crp(study) or 0) > HIGH} & set(scores.index)
    assert 0 < len(high) < len(scores)
    for name, row in scores.iterrows():
        raw, answer = row["raw_probability_pneumonia"], row["probability_pneumonia"]
        assert answer == (max(raw, 0.97) if name in high else raw)
        assert row["decision_pneumonia"] == (answer >= 0.4)
        lifted = f"lifted: floor pneumonia {raw:.3f} -> {answer:.3f}"
        held = f"held: violated, pneumonia {raw:.3f}, wanted at least 0.99"
        assert (lifted in row["rules"]) == (held in row["rules"]) == (name in high)


def test_a_rejected_input_is_absent_and_the_last_one_takes_the_study(
    results: tuple[Path, Scored], found: tuple[Study, ...]
) -> None:
    scores, rejected = table(results[0], "scores"), table(results[0], "rejected")
    odd = [study for study in found if is_odd(study)]
    alone = [study.study_id for study in odd if len(study.evidence) == 1]
    assert len(odd) > len(alone) >= 2
    for study in odd:
        if study.study_id in alone:
            assert rejected.loc[study.study_id, "code"] == Code.RULE.value
            assert list(rejected.loc[study.study_id, "rules"]) == ["odd: rejected labs"] + (
                ["noted: no note"] if "history" not in study.evidence else []
            )
        else:
            assert "labs" not in scores.loc[study.study_id, "inputs"]
            assert "odd: rejected labs" in scores.loc[study.study_id, "rules"]
    assert (rejected["code"] == Code.RULE.value).sum() == len(alone)


def test_a_rejected_input_is_one_that_the_model_does_not_see(
    package: Package, results: tuple[Path, Scored], found: tuple[Study, ...], tmp_path: Path
) -> None:
    odd = [study for study in found if is_odd(study)]
    score(package, [study.without_input("labs") for study in odd], tmp_path, Options(workers=0))
    expected, among = table(tmp_path, "scores"), table(results[0], "scores")
    assert len(expected)
    np.testing.assert_allclose(
        among.loc[expected.index, "raw_probability_pneumonia"], expected["probability_pneumonia"], atol=1e-6
    )


def test_messages_stand_in_columns_of_their_own_and_every_firing_is_counted(
    results: tuple[Path, Scored], found: tuple[Study, ...]
) -> None:
    scores, rejected = table(results[0], "scores"), table(results[0], "rejected")
    by_id = {study.study_id: study for study in found}
    for name, row in scores.iterrows():
        study = by_id[str(name)]
        assert list(row["flags"]) == ([] if "history" in study.evidence else ["noted: no note"])
        assert list(row["alerts"]) == (["called: call the ward"] if study.cells["sex"] == "F" else [])
    fired = [cell.partition(":")[0] for cells in [*scores["rules"], *rejected["rules"]] for cell in cells]
    assert results[1].fired == {one["name"]: fired.count(one["name"]) for one in RULES}
    assert all(results[1].fired.values())


def test_worker_processes_change_no_byte(
    ruled: Path, found: tuple[Study, ...], results: tuple[Path, Scored], tmp_path: Path
) -> None:
    assert score(load_package(ruled), found, tmp_path, Options(workers=2)) == results[1]  # with the digest of all rows


def test_the_pyfunc_traces_too(ruled: Path, hospital: Hospital, results: tuple[Path, Scored]) -> None:
    given = pd.read_csv(hospital.cohort.root / "studies.csv", dtype=str, keep_default_na=False)
    answers = StudyModel(load_package(ruled)).predict(given, {"root": str(hospital.cohort.root)}).set_index("study_id")
    for name, row in table(results[0], "scores").iterrows():
        assert answers.loc[name, "rules"] == list(row["rules"])
        assert answers.loc[name, "raw_probability_pneumonia"] == pytest.approx(row["raw_probability_pneumonia"], abs=1e-6)


def test_a_rule_whose_column_the_studies_lack_is_named(ruled: Path, hospital: Hospital, tmp_path: Path) -> None:
    root = tmp_path / "incoming"
    shutil.copytree(hospital.cohort.root, root)
    studies = pd.read_csv(root / "studies.csv", dtype=str, keep_default_na=False).drop(columns=["sex"])
    studies.to_csv(root / "studies.csv", index=False)
    console = Console(record=True, quiet=False, file=io.StringIO(), width=200)
    done = score_studies(str(ruled), root, tmp_path / "out", TrackingSettings(), Screen(console), Manner(Options(workers=0)))
    assert "cannot tell, for it lacks them: sex" in console.export_text()
    assert done.fired["called"] == 0


def test_a_package_without_rules_has_no_column_of_them(saved: Path, found: tuple[Study, ...], tmp_path: Path) -> None:
    assert score(load_package(saved), found, tmp_path, Options(workers=0)).fired == {}
    assert not {"rules", "flags", "alerts", "raw_probability_pneumonia"} & set(table(tmp_path, "scores").columns)
    assert "rules" not in table(tmp_path, "rejected").columns


def test_a_rule_that_rejects_an_input_saves_no_study_whose_cells_cannot_be_used(
    package: Package, found: tuple[Study, ...], tmp_path: Path
) -> None:
    one = next(study for study in found if len(study.evidence) > 1 and "labs" in study.evidence)
    evidence = one.evidence["labs"]
    broken = replace(evidence, cells={**(evidence.cells or {}), "crp": "1", "wbc": "many"})
    ruled = replace(package, rules=rules(RULES[0]))
    score(ruled, [replace(one, evidence={**one.evidence, "labs": broken})], tmp_path, Options(workers=0))
    assert list(table(tmp_path, "rejected")["code"]) == [Code.TYPE.value]


# ---- a training


@pytest.fixture(scope="module")
def export(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("export") / "cohort"
    make_cohort(
        folder,
        SyntheticSettings(
            patients=120, images=("radiograph",), radiograph_size=32, seed=4, absent={"laboratory": 0.2, "note": 0.3}
        ),
    )
    return folder


def run_file(folder: Path, export: Path) -> dict[str, Any]:
    """Give a small run over tables and notes, the quickest there is."""
    labs = {
        "kind": "tabular",
        "table": "labs.csv",
        "layout": "long",
        "numeric": {"crp": {"unit": "mg/L", "range": [0, 600]}, "wbc": {"unit": "10*9/L"}},
        "encoder": "mlp",
    }
    return {
        "name": "ruled",
        "cohort": {"root": str(export), "time": "time"},
        "target": {"column": "diagnosis", "positive": "pneumonia"},
        "inputs": {
            "labs": labs,
            "history": {"kind": "text", "table": "notes.csv", "max_tokens": 40, "encoder": "bag_of_words"},
        },
        "split": {"fractions": {"train": 0.5, "validation": 0.2, "test": 0.3}},
        "model": {"width": 16, "fusion": "concat"},
        "training": {"epochs": 2, "patience": 2, "accelerator": "cpu"},
        "evaluation": {"resamples": 100, "single_inputs": False},
        "tracking": {"uri": f"sqlite:///{folder / 'mlflow.db'}"},
        "output": str(folder / "runs"),
        "rules": RULES,
    }


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, export: Path) -> tuple[Path, RunConfig, Trained]:
    folder = tmp_path_factory.mktemp("run")
    config = parse_config(run_file(folder, export), "ruled.yaml")
    return folder, config, train(config, SCREEN)


def artifact(folder: Path, name: str) -> pd.DataFrame:
    return pd.read_csv(next((folder / "mlartifacts").rglob(name)), keep_default_na=False)


def metrics_of(folder: Path, name: str) -> dict[str, float]:
    import mlflow

    client = mlflow.MlflowClient(f"sqlite:///{folder / 'mlflow.db'}")
    runs = client.search_runs([one.experiment_id for one in client.search_experiments()])
    return dict(next(one.data.metrics for one in runs if one.info.run_name == name))


def test_a_run_traces_every_firing_of_its_test_studies(run: tuple[Path, RunConfig, Trained]) -> None:
    folder, _, trained = run
    said = artifact(folder, "predictions.csv")
    lifted = said["rules"].str.contains("lifted: ")
    assert lifted.any()
    assert (said.loc[lifted, "probability_pneumonia"] == said.loc[lifted, "raw_probability_pneumonia"].clip(lower=0.97)).all()
    assert (said.loc[~lifted, "probability_pneumonia"] == said.loc[~lifted, "raw_probability_pneumonia"]).all()
    assert (said["rules"].str.contains("called: ") == (said["alerts"] == "called: call the ward")).all()
    counts = artifact(folder, "rules.csv").set_index("rule")
    for name in counts.index:
        assert counts.loc[name, "test"] == said["rules"].str.contains(f"{name}: ").sum()
        assert metrics_of(folder, "ruled")[f"rule_{name}_fired"] == counts.loc[name, "test"]
    assert list(trained.rules["rule"]) == [one["name"] for one in RULES]


def test_training_studies_are_counted_by_their_cells(run: tuple[Path, RunConfig, Trained], export: Path) -> None:
    from medmm.cohort.studies import Sources, read_studies
    from medmm.inputs import gather

    folder, config, _ = run
    sources = Sources.open(config.cohort)
    inputs = {name: one.open(name) for name, one in config.inputs.items()}
    studies = {s.row: s for s in gather(inputs, sources, read_studies(sources, config.target))}
    cohort = artifact(folder, "cohort.csv")
    rows = cohort.loc[cohort["part"] == "train", "row"]
    values = [crp(studies[row]) for row in rows]
    counts = artifact(folder, "rules.csv").set_index("rule")["train"]
    assert counts["held"] == counts["lifted"] == sum(value is not None and value > HIGH for value in values)
    assert counts["odd"] == sum(value is not None and value < LOW for value in values)
    left = cohort.loc[cohort["reason"] == Code.RULE.value, "row"]
    assert len(left)
    assert all(set(studies[row].evidence) == {"labs"} for row in left)


def test_the_answers_after_the_rules_are_judged_and_the_models_own_stand_beside_them(
    run: tuple[Path, RunConfig, Trained],
) -> None:
    from sklearn.metrics import roc_auc_score

    folder, _, trained = run
    said, measured = artifact(folder, "predictions.csv"), metrics_of(folder, "ruled")
    target = said["target_pneumonia"]
    after, alone = (roc_auc_score(target, said[f"{raw}probability_pneumonia"]) for raw in ("", "raw_"))
    assert measured["test/auroc"] == pytest.approx(after)
    assert measured["raw/auroc"] == pytest.approx(alone)
    assert after != alone
    assert measured["raw/auroc_patients"] == measured["test/auroc_patients"]
    assert trained.comparison.fusion.value == pytest.approx(alone)  # inputs are compared by the models alone
    assert trained.evaluation.headline.value == pytest.approx(after)


def test_thresholds_are_chosen_on_the_answers_after_the_rules(
    run: tuple[Path, RunConfig, Trained], export: Path, tmp_path: Path
) -> None:
    folder, _, trained = run
    package = load_package(trained.package)
    cohort = artifact(folder, "cohort.csv").set_index("row")
    studies = [study for study in find_studies(package, export) if cohort.loc[study.row, "part"] == "validation"]
    score(package, studies, tmp_path, Options(workers=0))
    said = table(tmp_path, "scores")
    labels = pd.read_csv(export / "studies.csv", dtype=str).set_index("study_id").loc[said.index, "diagnosis"]
    target = (labels == "pneumonia").to_numpy(float)[:, None]
    after, alone = (
        choose_thresholds(
            Scores(("pneumonia",), said[[f"{raw}probability_pneumonia"]].to_numpy(), target, np.arange(len(said))),
            "binary",
            DecisionSettings(),
        )
        for raw in ("", "raw_")
    )
    assert package.thresholds == pytest.approx(after, abs=1e-5)
    assert package.thresholds != pytest.approx(alone, abs=1e-5)


def test_an_evaluation_uses_the_rules_of_the_model(run: tuple[Path, RunConfig, Trained]) -> None:
    folder, config, trained = run
    other = config.model_copy(update={"rules": ()})
    evaluated = evaluate_model(str(trained.package), other, SCREEN)
    assert evaluated.own_cohort
    assert evaluated.evaluation.headline.value == pytest.approx(trained.evaluation.headline.value)
    measured = metrics_of(folder, "evaluation")
    assert measured["raw/auroc"] == pytest.approx(trained.comparison.fusion.value)
    assert measured["rule_lifted_fired"] == trained.rules.set_index("rule").loc["lifted", "test"]


def test_no_identifier_stands_in_what_rules_record(run: tuple[Path, RunConfig, Trained], export: Path) -> None:
    folder, _, _ = run
    studies = pd.read_csv(export / "studies.csv", dtype=str)
    for path in (folder / "mlartifacts").rglob("*.csv"):
        content = path.read_text()
        assert not [one for one in [*studies["patient_id"], *studies["study_id"]] if one in content]


def test_a_rule_on_a_column_that_the_studies_table_lacks_ends_a_training(tmp_path: Path, export: Path) -> None:
    rule = {"name": "old", "when": "study.agee >= 65", "then": {"flag": "x"}}
    config = parse_config({**run_file(tmp_path, export), "rules": [rule]}, "x")
    with pytest.raises(DataError, match="no column 'agee': did you mean 'age'"):
        train(config, SCREEN)


def test_the_signature_lets_a_rule_read_the_studies_table(package: Package) -> None:
    from medmm.registry import _signature

    ruled = replace(package, rules=rules(*RULES))
    given = {one.name: one.required for one in _signature(ruled).inputs}
    assert given["sex"] is False
    assert given["study_id"] is True
    outputs = [one.name for one in _signature(ruled).outputs]
    assert {"rules", "flags", "alerts", "raw_probability_pneumonia"} <= set(outputs)
    assert "rules" not in [one.name for one in _signature(package).outputs]


# ---- the command


def check(*words: str) -> Result:
    return CliRunner().invoke(app, ["rules", "check", *words], env={"COLUMNS": "200"})


def test_the_example_of_the_docs_is_right_and_its_tests_pass(tmp_path: Path, export: Path) -> None:
    example = re.findall(r"```yaml\n(.*?)```", DOCS.read_text(encoding="utf-8"), re.DOTALL)[0]
    (tmp_path / "rules.yaml").write_text(example)
    alone = check(str(tmp_path / "rules.yaml"))
    assert alone.exit_code == 0, alone.output
    assert "rules: 4, tests: 6, failed: 0" in alone.output
    assert "could not be checked" in alone.output
    content = {**run_file(tmp_path, export), "rules": "rules.yaml"}
    (tmp_path / "run.yaml").write_text(yaml.safe_dump(content))
    whole = check(str(tmp_path / "run.yaml"), "--count")
    assert whole.exit_code == 0, whole.output
    assert "rules: 4, tests: 6, failed: 0" in whole.output
    assert "could not be checked" not in whole.output
    assert "severe (tests pass: 3): when labs.crp is at least 250 mg/L and not labs.wbc is below 12 10*9/L" in whole.output
    assert len(load_config(tmp_path / "run.yaml").rules) == 4


def test_studies_are_counted_from_the_tables(tmp_path: Path, export: Path) -> None:
    (tmp_path / "run.yaml").write_text(yaml.safe_dump(run_file(tmp_path, export)))
    answer = check(str(tmp_path / "run.yaml"), "--count")
    assert answer.exit_code == 0, answer.output
    studies = pd.read_csv(export / "studies.csv", dtype=str)
    rows = {line.split()[0]: line.split()[1:] for line in answer.output.splitlines() if line and line.split()[-1].isdigit()}
    assert rows["called"] == [str((studies["sex"] == "F").sum()), "0", str(len(studies))]
    assert rows["noted"][-1] == str(len(studies))
    assert "needs more than tables" in answer.output  # of notes, tables alone say nothing
    assert 0 < int(rows["lifted"][0]) < len(studies)
    assert 0 < int(rows["odd"][0]) < len(studies)
    assert int(rows["lifted"][1]) > 0  # studies without a value


def test_a_test_that_fails_is_shown_and_ends_with_1(tmp_path: Path) -> None:
    text = """\
- name: high
  when: labs.lactate > 4 mmol/L
  then: {floor: {probability: 0.8}}
  tests:
    - {given: {labs.lactate: 4 mmol/L}}
    - {given: {labs.lactate: 5 mmol/L}, probability: 0.1, becomes: 0.8}
"""
    (tmp_path / "rules.yaml").write_text(text)
    answer = check(str(tmp_path / "rules.yaml"))
    assert answer.exit_code == 1
    assert "high (tests fail: 1 of 2)" in answer.output
    assert "failed: high, test 1: it does not fire, expected that it fires" in answer.output


def test_a_wrong_rule_is_shown_with_a_caret_and_ends_with_1(tmp_path: Path) -> None:
    (tmp_path / "rules.yaml").write_text("- name: high\n  when: labs.lactate >> 4 mmol/L\n  then: {flag: x}\n")
    answer = check(str(tmp_path / "rules.yaml"))
    assert answer.exit_code == 1
    assert answer.stderr == (
        "medmm: rules.yaml, line 2, column 23: found '>', expected a number\n"
        "  when: labs.lactate >> 4 mmol/L\n"
        "                      ^\n"
    )


@pytest.mark.parametrize(
    ("text", "words", "message"),
    [
        ("name: x\n", (), "x.yaml"),
        ("- {name: a, when: missing(a), then: {flag: x}}\n", ("--count",), "--count needs the run file"),
    ],
)
def test_a_file_that_cannot_be_checked_says_so(tmp_path: Path, text: str, words: tuple[str, ...], message: str) -> None:
    (tmp_path / "x.yaml").write_text(text)
    answer = check(str(tmp_path / "x.yaml"), *words)
    assert answer.exit_code == 1
    assert message in answer.stderr


def test_a_run_file_without_rules_says_so(tmp_path: Path, export: Path) -> None:
    content = {name: value for name, value in run_file(tmp_path, export).items() if name != "rules"}
    (tmp_path / "run.yaml").write_text(yaml.safe_dump(content))
    answer = check(str(tmp_path / "run.yaml"))
    assert (answer.exit_code, "run.yaml has no rules" in answer.stderr) == (1, True)


def test_the_help_shows_a_rule() -> None:
    answer = check("--help")
    assert answer.exit_code == 0
    assert "when: all(labs.lactate >= 4 mmol/L" in answer.output
    assert "floor: {probability: 0.8}" in answer.output
