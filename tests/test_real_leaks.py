"""The leakage checks on real patients: what is known to give the label away is named, and sets without a leak pass."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from rich.console import Console
from scipy.ndimage import gaussian_filter

from medmm.cohort.leakage import Finding
from medmm.cohort.near_images import near_images
from medmm.cohort.studies import Sources
from medmm.config import RunConfig, load_config, parse_config
from medmm.errors import DataError
from medmm.workflows.cohort import Intake, leaks, prepare, share_out, take_in
from medmm.workflows.screen import Screen
from tests.real_data import import_covid, import_hannover

ROOT = Path(__file__).parents[1]
SHARED = ROOT.parent / "shared"
SCREEN = Screen(Console(quiet=True))
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not (SHARED / "data").is_dir(), reason="the real data lie beside a development checkout only"),
]

LUDB_TARGETS = ("abnormal_rhythm", "af_or_flutter", "hypertrophy", "conduction", "ischemia")


def taken_in(config: RunConfig) -> tuple[Sources, Intake]:
    sources = Sources.open(config.cohort)
    images = [one.open(name) for name, one in config.inputs.items() if one.kind == "image"]
    return sources, take_in(config, sources, images, SCREEN)


def judged(config: RunConfig, sources: Sources, intake: Intake) -> list[Finding]:
    sides, _ = share_out(config, intake.studies, intake.left_out)
    return leaks(config, sources, intake, sides)


def found(config: RunConfig) -> list[Finding]:
    return judged(config, *taken_in(config))


def leaking(config: RunConfig) -> set[tuple[str, str]]:
    return {(one.check, one.name) for one in found(config) if one.leaks}


@pytest.fixture(scope="module")
def covid(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("covid")
    import_covid(SHARED, folder)
    return folder


def run_file(name: str, folder: Path, *overrides: str) -> RunConfig:
    return load_config(ROOT / "configs" / f"{name}.yaml", [f"cohort.root={folder}", f"output={folder / 'runs'}", *overrides])


def test_notes_that_name_the_disease_are_flagged(covid: Path) -> None:
    as_written = "inputs.history.strike=[]"
    for waiver, verdict in (("leakage.waive={}", "LEAK"), ("leakage.waive={history.own_words: planted}", "waived")):
        config = run_file("covid_chest_xray", covid, as_written, waiver)
        flagged = [one for one in found(config) if one.leaks]
        assert [(one.check, one.name, one.verdict(config.leakage)) for one in flagged] == [
            ("own words", "history.own_words", verdict)
        ]


def test_notes_from_which_the_disease_is_struck_pass(covid: Path) -> None:
    assert leaking(run_file("covid_chest_xray", covid)) == set()


def test_what_gives_the_label_away_is_refused_by_name(covid: Path) -> None:
    leaky = ["filename", "finding", "url", "doi", "location"]
    pd.read_csv(SHARED / "data" / "covid_chest_xray" / "leaky" / "images.csv", dtype=str, keep_default_na=False).rename(
        columns={"image_id": "study_id"}
    ).to_csv(covid / "leaky.csv", index=False)
    offered = f"inputs.leaky={{kind: tabular, table: leaky.csv, categorical: [{', '.join(leaky)}]}}"
    config = run_file("covid_chest_xray", covid, offered)
    columns = {name for check, name in leaking(config) if check == "column"}
    assert {"leaky.filename", "leaky.finding"} <= columns <= {f"leaky.{one}" for one in leaky}
    with pytest.raises(DataError, match=r"leaky\.finding \(column: AUROC"):
        prepare(config, SCREEN)


def test_hannover_passes(tmp_path: Path) -> None:
    import_hannover(SHARED, tmp_path)
    config = run_file("hannover_chest_xray", tmp_path)
    sources, intake = taken_in(config)
    assert not [one for one in judged(config, sources, intake) if one.leaks]
    # Another split shows the checks other patients: of one-sided 95 % intervals, one in twenty may lie too high.
    others = [config.model_copy(update={"split": config.split.model_copy(update={"seed": seed})}) for seed in range(2, 22)]
    alarms = [any(one.leaks for one in judged(other, sources, intake)) for other in others]
    assert sum(alarms) <= 1


CHANGES: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "gamma": lambda image: (image - image.min()) ** 0.6,
    "noise": lambda image: image + np.random.default_rng(0).normal(0, 0.02 * np.ptp(image), image.shape),
    "blur": lambda image: gaussian_filter(image, (0, 1.5, 1.5)),
    "clipped": lambda image: np.clip(image, *np.quantile(image, [0.1, 0.9])),
    "halved": lambda image: (image[:, ::2, ::2] + image[:, 1::2, 1::2]) / 2,
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_changed_radiograph_is_known_again_and_no_other_patient_is_taken_for_it(tmp_path: Path, change: str) -> None:
    import_hannover(SHARED, tmp_path)
    _, intake = taken_in(run_file("hannover_chest_xray", tmp_path))
    fields = [intake.images["chest"].fields(i) for i in range(len(intake.studies))]
    images = [one["image"].astype(float) for one in fields if one is not None]
    copies = [CHANGES[change](image) for image in images]
    studies = len(images)
    pairs = set(near_images([*images, *copies], np.repeat([0, 1], studies)))
    found = sum((i, i + studies) in pairs for i in range(studies))
    assert found >= 0.95 * studies
    patients = [study.patient_id for study in intake.studies]
    assert all(patients[one] == patients[other - studies] for one, other in pairs)


@pytest.mark.parametrize("target", LUDB_TARGETS)
def test_ludb_passes(tmp_path: Path, target: str) -> None:
    source = SHARED / "data" / "ludb_ecg"
    text = {"dtype": str, "keep_default_na": False}
    studies = pd.read_csv(source / "labels.csv", **text).merge(pd.read_csv(source / "records.csv", **text), validate="1:1")
    studies.assign(study_id=studies["patient_id"]).to_csv(tmp_path / "studies.csv", index=False)
    content: dict[str, Any] = {
        "name": "ludb",
        "cohort": {"root": str(tmp_path), "subgroups": ["sex"]},
        "target": {"column": target, "positive": "1"},
        "inputs": {"person": {"kind": "tabular", "table": "studies.csv", "numeric": {"age": {}}, "categorical": ["sex"]}},
        "output": str(tmp_path / "runs"),
    }
    assert leaking(parse_config(content, "ludb")) == set()
