"""What tells of the label by itself is found; what does not passes."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console

from medmm.cohort.association import of_features, of_number
from medmm.cohort.manifest import patient_numbers
from medmm.cohort.split import split_studies
from medmm.cohort.synthetic import SyntheticSettings, make_cohort
from medmm.cohort.telltales import LeakageSettings, Sample, Telltale, refuse_leaks, telltales
from medmm.config import RunConfig, parse_config
from medmm.errors import DataError
from medmm.workflows.cohort import find, leaks, prepare
from medmm.workflows.inspect import inspect_config
from medmm.workflows.screen import Screen

SCREEN = Screen(Console(quiet=True))


def sample(studies: int = 120, seed: int = 0) -> Sample:
    """Give studies of which nothing tells, one a patient."""
    rng = np.random.default_rng(seed)
    label = (np.arange(studies) % 2).astype(float)
    return Sample(
        patient=np.arange(studies),
        label=label[:, None],
        classes=("pneumonia",),
        columns={
            "labs.crp": [f"{value:.1f}" for value in rng.normal(50, 10, studies)],
            "labs.sex": [str(one) for one in rng.choice(["F", "M", ""], studies)],
            "labs.ward": [str(one) for one in rng.choice(["east wing", "west wing"], studies)],
        },
        notes={"history": [str(one) for one in rng.choice(["cough", "Pneumonia suspected", "fever"], studies)]},
        groups={"site": [str(one) for one in rng.choice(list("ABC"), studies)]},
        present={"chest": rng.random(studies) > 0.1, "labs": np.ones(studies, bool)},
    )


def leaking(one: Sample) -> set[str]:
    return {told.name for told in telltales(one) if told.leaks}


def planted(clean: Sample, what: str) -> Sample:
    positive = clean.label[:, 0] == 1
    said = ["yes" if one else "no" for one in positive]
    return {
        "labs.crp": replace(
            clean, columns={**clean.columns, "labs.crp": [f"{50 + 90 * one + i % 7}" for i, one in enumerate(positive)]}
        ),
        "labs.low": replace(
            clean, columns={**clean.columns, "labs.low": [f"{90 - 80 * one + i % 7}" for i, one in enumerate(positive)]}
        ),
        "labs.file": replace(clean, columns={**clean.columns, "labs.file": [f"{w}/scan-{i}.png" for i, w in enumerate(said)]}),
        "site": replace(clean, groups={"site": said}),
        "missing": replace(clean, present={**clean.present, "chest": positive}),
        "history": replace(clean, notes={"history": ["PNEU-MONIA?" if one else "cough" for one in positive]}),
    }[what]


@pytest.mark.parametrize("seed", range(20))
def test_a_clean_cohort_passes(seed: int) -> None:
    assert leaking(sample(seed=seed)) == set()


@pytest.mark.parametrize("what", ["labs.crp", "labs.low", "labs.file", "site", "missing", "history"])
def test_what_is_planted_is_named_and_nothing_else(what: str) -> None:
    assert leaking(planted(sample(), what)) == {what}


def test_a_leak_ends_the_run_unless_it_is_waived_by_name() -> None:
    found = telltales(planted(sample(), "labs.file"))
    with pytest.raises(DataError, match=r"labs\.file \(column, AUROC 1\.00 for pneumonia\).*leakage\.waive"):
        refuse_leaks(found, LeakageSettings())
    with pytest.raises(DataError, match=r"labs\.file"):
        refuse_leaks(found, LeakageSettings(waive={"labs.crp": "another"}))
    refuse_leaks(found, LeakageSettings(waive={"labs.file": "it is known before"}))


def test_too_few_patients_tell_nothing() -> None:
    label = np.repeat([0.0, 1.0], 30)
    few = np.repeat(np.arange(12), 5)  # six of either side
    assert of_number(label, label, few) is None
    assert of_features(label[:, None], label, few) is None


def test_a_value_that_repeats_within_patients_only_tells_nothing() -> None:
    rng = np.random.default_rng(0)
    patient = np.repeat(np.arange(60), 4)
    label = rng.integers(0, 2, 60)[patient].astype(float)
    found = of_features(np.eye(60)[patient], label, patient)  # who it is
    assert found is not None
    assert found.auroc < 0.6


def export(folder: Path, **settings: Any) -> RunConfig:
    make_cohort(folder, SyntheticSettings(patients=90, images=("radiograph",), radiograph_size=32, seed=5, **settings))
    content = {
        "name": "leak",
        "cohort": {"root": str(folder), "time": "time", "subgroups": ["site"]},
        "target": {"column": "diagnosis", "positive": "pneumonia"},
        "inputs": {
            "labs": {"kind": "tabular", "table": "labs.csv", "layout": "long", "numeric": {"crp": {}, "wbc": {}}},
            "person": {"kind": "tabular", "table": "studies.csv", "numeric": {"age": {}}, "categorical": ["sex"]},
            "history": {"kind": "text", "table": "notes.csv"},
        },
        "output": str(folder / "runs"),
    }
    if settings.get("leak") == "column":
        content["inputs"]["person"]["categorical"].append("antibiotic")  # type: ignore[index]
    return parse_config(content, "x")


@pytest.mark.parametrize(
    ("settings", "names"),
    [
        ({}, set()),
        ({"leak": "column"}, {"person.antibiotic"}),
        ({"leak": "word"}, {"history"}),
        ({"absent_by_label": {"note": 0.8}}, {"missing"}),
    ],
)
def test_the_faults_of_a_synthetic_cohort_are_found(tmp_path: Path, settings: dict[str, Any], names: set[str]) -> None:
    config = export(tmp_path / "cohort", **settings)
    studies, left_out = find(config)
    rows = [i for i in range(len(studies)) if i not in left_out]
    assert {one.name for one in leaks(config, studies, rows) if one.leaks} == names
    if names:
        with pytest.raises(DataError, match="the label is told by"):
            prepare(config, SCREEN)


@pytest.mark.parametrize("job", [prepare, inspect_config])
def test_the_labels_of_test_studies_are_never_looked_at(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, job: Callable[[RunConfig, Screen], object]
) -> None:
    looked: list[Sample] = []

    def watched(one: Sample) -> list[Telltale]:
        looked.append(one)
        return []

    config = export(tmp_path / "cohort")
    studies, left_out = find(config)
    used = [study for i, study in enumerate(studies) if i not in left_out]
    split = split_studies(used, config.split)
    monkeypatch.setattr("medmm.workflows.cohort.telltales", watched)
    job(config, SCREEN)
    (one,) = looked
    assert len(one.label) == len(split["train"]) + len(split["validation"]) < len(used)
    numbers = np.array(patient_numbers(studies))[[i for i in range(len(studies)) if i not in left_out]]
    assert not set(one.patient.tolist()) & set(numbers[list(split["test"])].tolist())
