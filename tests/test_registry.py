"""Packages in the store: found again by address, promoted only when better on the same studies."""

import ast
import json
import sys
from importlib.metadata import packages_distributions, version
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from conftest import Hospital

import medmm
from medmm.errors import ConfigError
from medmm.inputs.signal import SignalSettings
from medmm.package import Package, load_package, verify_package
from medmm.predict import predict
from medmm.registry import CHAMPION, NEEDS, fetched, log_model, register, requirements
from medmm.training.tracking import Record, TrackingSettings, connect, open_record


def champion(record: Record) -> int:
    return int(record.client.get_model_version_by_alias("chest", CHAMPION).version)


def test_the_champion_gives_way_only_to_a_better_model_on_the_same_studies(tracking: TrackingSettings) -> None:
    with open_record(connect(tracking), tracking, "chest") as record:

        def add(score: float, judged_on: str) -> tuple[int, bool]:
            address = f"{record.client.get_run(record.run_id).info.artifact_uri}/model"
            return register(record.client, "chest", record, address, score, judged_on)

        assert add(0.80, "january") == (1, True)  # the first
        assert add(0.79, "january") == (2, False)
        assert add(0.80, "january") == (3, False)  # as good is not better
        assert add(0.99, "february") == (4, False)  # judged on other studies
        assert champion(record) == 1
        assert add(0.81, "january") == (5, True)
        assert champion(record) == 5
        assert add(0.805, "january") == (6, False)  # better than the first, not than the present one
        assert champion(record) == 5


def test_a_champion_of_unknown_score_stays(tracking: TrackingSettings) -> None:
    with open_record(connect(tracking), tracking, "chest") as record:
        address = f"{record.client.get_run(record.run_id).info.artifact_uri}/model"
        record.client.create_registered_model("chest")
        record.client.create_model_version("chest", address, run_id=record.run_id)
        record.client.set_registered_model_alias("chest", CHAMPION, "1")
        assert register(record.client, "chest", record, address, 0.9, "january") == (2, False)
        assert champion(record) == 1


def test_a_model_that_could_not_be_judged_is_no_champion(tracking: TrackingSettings) -> None:
    with open_record(connect(tracking), tracking, "chest") as record:
        address = f"{record.client.get_run(record.run_id).info.artifact_uri}/model"
        assert register(record.client, "chest", record, address, float("nan"), "january") == (1, False)
        assert register(record.client, "chest", record, address, 0.6, "january") == (2, True)


def test_other_models_have_champions_of_their_own(tracking: TrackingSettings) -> None:
    with open_record(connect(tracking), tracking, "chest") as record:
        address = f"{record.client.get_run(record.run_id).info.artifact_uri}/model"
        assert register(record.client, "chest", record, address, 0.9, "january") == (1, True)
        assert register(record.client, "heart", record, address, 0.6, "january") == (1, True)


def test_a_logged_package_is_found_by_every_address_and_holds_no_path(
    package: Package, saved: Path, tracking: TrackingSettings, tmp_path: Path
) -> None:
    whole = load_package(saved)
    with open_record(connect(tracking), tracking, "chest") as record:
        address = log_model(record, whole, saved)
        register(record.client, "chest", record, address, 0.8, "january")
    for place in ("models:/chest@champion", "models:/chest/1", f"runs:/{record.run_id}/model"):
        with fetched(place, tracking) as folder:
            assert load_package(folder).digest == verify_package(saved)
    assert record.client.get_run(record.run_id).info.status == "FINISHED"
    for path in (tmp_path / "store").rglob("*"):
        if path.is_file() and path.suffix != ".db":
            assert not path.name.endswith((".pkl", ".pickle", ".pt"))
            for place in (saved.parent, package.cohort.root, Path.cwd(), tmp_path):
                assert str(place).encode() not in path.read_bytes(), path.name


def test_mlflow_itself_loads_the_model_and_scores_a_studies_table(
    hospital: Hospital, package: Package, saved: Path, tracking: TrackingSettings
) -> None:
    with open_record(connect(tracking), tracking, "chest") as record:
        address = log_model(record, load_package(saved), saved)
    import mlflow

    studies = hospital.studies[:5]
    table = pd.DataFrame([dict(study.cells) for study in studies])
    scores = mlflow.pyfunc.load_model(address).predict(table, params={"root": str(hospital.cohort.root), "workers": 0})
    everything = frozenset(package.inputs)
    logits = predict(package.model, [hospital.batch(studies)], [everything]).logits
    np.testing.assert_allclose(scores[["probability_pneumonia"]], package.answer(logits[everything]), atol=1e-6)
    assert scores["study_id"].tolist() == [study.study_id for study in studies]


def test_a_folder_is_its_own_address(saved: Path, tracking: TrackingSettings) -> None:
    with fetched(str(saved), tracking) as folder:
        assert folder == saved


@pytest.mark.parametrize(
    "address",
    [
        "no such folder",
        "models:/chest@champion",
        "models:/chest/7",
        "runs:/0123456789abcdef0123456789abcdef/model",
        "models:/",
        "runs:/",
    ],
)
def test_a_wrong_address_is_named_as_such(address: str, tracking: TrackingSettings) -> None:
    with pytest.raises(ConfigError, match=r"no such model|has no model"), fetched(address, tracking):
        pass


def test_an_artifact_that_is_no_package_is_refused(tracking: TrackingSettings) -> None:
    with open_record(connect(tracking), tracking, "chest") as record:
        record.text(json.dumps({}), "model/other.json")
    with pytest.raises(ConfigError, match="no medmm package"), fetched(f"runs:/{record.run_id}/model", tracking):
        pass


def imported_by(start: str) -> set[str]:
    """Give the packages of others that a module, and all of ours that it may import, names in an import anywhere."""
    root = Path(medmm.__file__).parents[1]
    found: set[str] = set()
    seen: set[str] = set()
    waiting = [start]
    while waiting:
        name = waiting.pop()
        place = root.joinpath(*name.split("."))
        file = next((one for one in (place.with_suffix(".py"), place / "__init__.py") if one.is_file()), None)
        if name in seen or file is None:
            continue
        seen.add(name)
        tree = ast.parse(file.read_text(encoding="utf-8"))
        unread = {id(part) for node in ast.walk(tree) if is_for_types(node) for part in ast.walk(node)}
        for node in ast.walk(tree):
            if id(node) in unread:
                continue
            names = [one.name for one in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom) and node.module:
                names = [node.module, *(f"{node.module}.{one.name}" for one in node.names)]
            found |= {one.split(".")[0] for one in names}
            waiting += [".".join(one.split(".")[:length]) for one in names for length in range(1, one.count(".") + 2)]
    return found - set(sys.stdlib_module_names)


def is_for_types(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"


OPTIONAL = {"av", "fhir", "highdicom", "captum", "matplotlib", "soundfile", "wfdb", "edfio"}
"""Of extras and of reports for a clinic, asked for where they are needed."""

UNNAMED = {"einops", "pylibjpeg", "pylibjpeg-libjpeg", "pylibjpeg-openjpeg", "pylibjpeg-rle"}
"""What monai and pydicom import for us."""


def test_a_logged_model_with_signals_names_what_reads_them() -> None:
    signals = SignalSettings(path="ecg", rate_hz=250, seconds=2).open("ecg")
    more = {need.partition("==")[0] for need in requirements({"ecg": signals})} - set(NEEDS)
    assert more == {"edfio", "soundfile", "wfdb"}


def test_a_logged_model_names_what_scoring_imports_and_nothing_more() -> None:
    of = packages_distributions()
    imported = {of[name][0].lower() for name in imported_by("medmm.scoring.pyfunc") - OPTIONAL - {"medmm"}}
    assert imported | UNNAMED | {"medmm"} == set(NEEDS)
    for need in requirements({}):
        name, _, pinned = need.partition("==")
        assert version(name).startswith(pinned)
        assert "+" not in pinned
