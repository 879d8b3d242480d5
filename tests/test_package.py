"""A package gives the same predictions as what was saved, refuses any change, and holds no code, path or patient."""

import json
import os
import re
import shutil
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import SETTINGS as SETTINGS_OF_INPUTS
from conftest import Hospital

from medmm import package as module
from medmm.errors import DataError
from medmm.evaluation.recalibration import Recalibration
from medmm.files import digest, digest_file, json_text, write_json
from medmm.inputs.tabular import TabularSettings
from medmm.losses.cross_entropy import CrossEntropy
from medmm.model import DiagnosisModel, ModelSettings
from medmm.package import (
    CARD,
    FACTS,
    FILES,
    GOLDEN,
    REFERENCES,
    SETTINGS,
    STATE,
    WEIGHTS,
    Package,
    load_package,
    save_package,
    verify_package,
)
from medmm.predict import predict, subsets
from medmm.sealed import MANIFEST

ALL_FILES = (*FILES, MANIFEST)


@pytest.fixture
def copy(saved: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(saved, tmp_path / "package"))


def test_a_loaded_package_predicts_the_same_bit_for_bit(hospital: Hospital, package: Package, saved: Path) -> None:
    loaded = load_package(saved)
    asked = subsets(["chest", "history", "labs"])
    batch = hospital.batch(hospital.studies[:12])
    before = predict(package.model, [batch], asked).logits
    # The inputs of the package prepare the studies too.
    after = predict(loaded.model, [replace(hospital, inputs=loaded.inputs).batch(hospital.studies[:12])], asked).logits
    for some in asked:
        assert np.array_equal(before[some], after[some])
        assert np.array_equal(package.answer(before[some]), loaded.answer(after[some]))
    assert not loaded.model.training
    assert loaded.thresholds == package.thresholds
    assert loaded.temperature == package.temperature
    assert loaded.target == package.target
    assert loaded.cohort == package.cohort.model_copy(update={"root": Path()})
    assert loaded.model_settings == package.model_settings
    assert loaded.facts == package.facts
    assert loaded.digest == verify_package(saved)


@pytest.mark.parametrize(
    "bent",
    [
        Recalibration(kind="platt", platt=((0.25, 1.5),), said="because"),
        Recalibration(kind="isotonic", isotonic=(((0.1, 0.2), (0.9, 0.7)),), said="because"),
    ],
)
def test_a_calibration_travels_in_the_package_and_shapes_its_answers(
    bent: Recalibration, package: Package, tmp_path: Path
) -> None:
    save_package(replace(package, calibration=bent), tmp_path / "bent")
    loaded = load_package(tmp_path / "bent")
    assert loaded.calibration == bent
    logits = np.array([[-1.0], [0.0], [2.0]])
    alone = 1 / (1 + np.exp(-logits / 1.5))
    np.testing.assert_allclose(package.answer(logits), alone)
    # By hand: the logit is a half more and a quarter up, or half the way from 0.1-0.2 to 0.9-0.7 at 0.5.
    expected = 1 / (1 + np.exp(-(0.25 + 1.5 * logits / 1.5))) if bent.kind == "platt" else 0.2 + 0.5 * (alone - 0.1) / 0.8
    np.testing.assert_allclose(loaded.answer(logits), expected)
    assert f"- calibration {bent.kind}: because" in (tmp_path / "bent" / CARD).read_text()


def test_columns_keep_their_places_whatever_their_order_in_the_run_file(hospital: Hospital, tmp_path: Path) -> None:
    numeric = {"wbc": {"unit": "10*9/L"}, "crp": {"unit": "mg/L"}}  # JSON, whose keys are sorted, has them the other way
    found = TabularSettings.model_validate({**SETTINGS_OF_INPUTS["labs"], "numeric": numeric}).open("labs")
    studies = [study for study in hospital.studies if "labs" in study.evidence]
    one = found.fit((study.patient_id, found.read(study.evidence["labs"])) for study in studies)
    settings = ModelSettings.model_validate({"width": 16, "fusion": "concat"})
    torch.manual_seed(0)
    model = DiagnosisModel(settings, {"labs": one}, CrossEntropy("binary", [1.0])).eval()
    save_package(Package("x", hospital.cohort, hospital.target, {"labs": one}, settings, model, 1.0, (0.5,)), tmp_path / "x")
    loaded = load_package(tmp_path / "x")
    before = model(replace(hospital, inputs={"labs": one}).batch(studies[:8])).logits
    after = loaded.model(replace(hospital, inputs=loaded.inputs).batch(studies[:8])).logits
    assert torch.equal(before, after)


def test_saving_a_loaded_package_gives_the_same_bytes(saved: Path, tmp_path: Path) -> None:
    save_package(load_package(saved), tmp_path / "again")
    for name in set(FILES) - {CARD}:  # the card keeps the order of the run file
        assert (tmp_path / "again" / name).read_bytes() == (saved / name).read_bytes()


def test_the_class_weight_travels_with_the_weights(saved: Path) -> None:
    assert load_package(saved).model.state_dict()["criterion.class_weight"].tolist() == [3.0]


def no_loading(*_args: object, **_options: object) -> DiagnosisModel:
    raise AssertionError("something was loaded before the package was checked")


def check_refused(folder: Path, monkeypatch: pytest.MonkeyPatch, match: str = "package") -> None:
    monkeypatch.setattr(module, "load", no_loading)
    monkeypatch.setattr(module, "DiagnosisModel", no_loading)
    with pytest.raises(DataError, match=match) as caught:
        load_package(folder)
    assert str(folder) not in str(caught.value)


@pytest.mark.parametrize("name", ALL_FILES)
def test_a_changed_byte_is_refused_before_anything_loads(copy: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    whole = (copy / name).read_bytes()
    for position in {0, len(whole) - 1, *rng.integers(len(whole), size=20).tolist()}:
        content = bytearray(whole)
        content[position] ^= int(rng.integers(1, 256))
        (copy / name).write_bytes(content)
        check_refused(copy, monkeypatch)
    (copy / name).write_bytes(whole)
    assert verify_package(copy)


@pytest.mark.parametrize("name", ALL_FILES)
def test_a_file_that_ends_early_or_goes_on_is_refused(copy: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = (copy / name).read_bytes()
    for content in (b"", whole[:-2], whole[: len(whole) // 2], whole + b"x"):
        (copy / name).write_bytes(content)
        check_refused(copy, monkeypatch)


@pytest.mark.parametrize("name", ALL_FILES)
def test_a_missing_file_is_refused(copy: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    (copy / name).unlink()
    check_refused(copy, monkeypatch)


@pytest.mark.parametrize("name", ["extra.txt", "code/model.py", ".hidden", "weights.safetensors.bak"])
def test_an_extra_file_is_refused(copy: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    (copy / name).parent.mkdir(exist_ok=True)
    (copy / name).write_text("x")
    check_refused(copy, monkeypatch, "extra files")


@pytest.mark.parametrize("name", ALL_FILES)
def test_a_link_in_place_of_a_file_is_refused(copy: Path, tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    (copy / name).rename(tmp_path / name)
    (copy / name).symlink_to(tmp_path / name)
    check_refused(copy, monkeypatch)


def test_an_extra_link_is_refused(copy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (copy / "more").symlink_to(tmp_path)
    check_refused(copy, monkeypatch, "extra files")


def test_a_file_swapped_for_another_with_its_digest_changed_too_is_refused(copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (copy / CARD).write_text("a better card")
    manifest = json.loads((copy / MANIFEST).read_text())
    manifest["files"][CARD] = digest_file(copy / CARD)
    (copy / MANIFEST).write_text(json.dumps(manifest))
    check_refused(copy, monkeypatch, "manifest of the package was changed")


@pytest.mark.parametrize(
    "content", ["", "[]", "null", "{}", '{"files": 3, "digest": "x"}', '{"files": {}, "digest": "x"}', "\ufeff{}"]
)
def test_a_manifest_that_is_none_is_refused(copy: Path, content: str, monkeypatch: pytest.MonkeyPatch) -> None:
    (copy / MANIFEST).write_text(content)
    check_refused(copy, monkeypatch)


def test_a_folder_that_is_no_package_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no package"):
        load_package(tmp_path)


def test_another_format_is_refused_by_its_number(copy: Path) -> None:
    settings = json.loads((copy / SETTINGS).read_text())
    (copy / SETTINGS).write_text(json.dumps({**settings, "format": 99}))
    files = {name: digest_file(copy / name) for name in FILES}
    write_json(copy / MANIFEST, {"files": files, "digest": digest(files)})
    with pytest.raises(DataError, match="format 99"):
        load_package(copy)


def test_the_files_are_json_text_and_plain_tensors_and_nothing_else(saved: Path) -> None:
    assert {path.name for path in saved.rglob("*")} == set(ALL_FILES)
    for name in set(ALL_FILES) - {WEIGHTS, REFERENCES, GOLDEN}:
        text = (saved / name).read_bytes().decode("utf-8")
        assert "\0" not in text
        if name.endswith(".json"):
            json.loads(text, parse_constant=lambda word: pytest.fail(f"{word} is no JSON"))
    # Safetensors by its own description: 8 bytes of length, a JSON header, then the bytes that the header describes.
    content = (saved / WEIGHTS).read_bytes()
    start = 8 + int.from_bytes(content[:8], "little")
    header = json.loads(content[8:start])
    parts = sorted(tuple(one["data_offsets"]) for name, one in header.items() if name != "__metadata__")
    assert parts[0][0] == 0
    assert all(one[1] == following[0] for one, following in pairwise(parts))
    assert start + parts[-1][1] == len(content)
    assert {one["dtype"] for name, one in header.items() if name != "__metadata__"} == {"F32"}


def test_no_file_is_a_pickle(saved: Path) -> None:
    for name in ALL_FILES:
        content = (saved / name).read_bytes()
        assert not content.startswith((b"PK\x03\x04", b"\x80"))  # the zip of torch.save, and protocol 2 and later
        assert b"c__builtin__\n" not in content
        assert b"\x8c\x08builtins" not in content


def test_the_package_names_no_path_of_the_training_machine(hospital: Hospital, package: Package, saved: Path) -> None:
    assert package.cohort.root.is_absolute()  # as it stands in a run
    places = {hospital.cohort.root, hospital.cohort.root.parent, Path.home(), Path.cwd(), Path(module.__file__).parent}
    for name in ALL_FILES:
        content = (saved / name).read_bytes()
        for place in places:
            assert os.fsencode(place) not in content


def test_the_package_names_no_patient(hospital: Hospital, saved: Path) -> None:
    secrets = {s.patient_id for s in hospital.studies} | {s.study_id for s in hospital.studies}
    secrets |= {s.cells["study_uid"] for s in hospital.studies}
    assert len(secrets) > 100
    for name in ALL_FILES:
        content = (saved / name).read_bytes()
        for secret in (one.encode() for one in secrets):
            # Digits of an identifier may stand inside a longer number, which names nobody.
            assert secret not in content or re.search(rb"(?<![0-9.])%b(?![0-9])" % re.escape(secret), content) is None


def test_the_card_tells_n_and_interval_of_every_result(package: Package, saved: Path) -> None:
    card = (saved / CARD).read_text()
    assert "not a medical device" in card
    assert "test: 21 studies of 17 patients" in card
    assert "| auroc | pneumonia | 0.800 | 0.700 to 0.900 | 21 | 17 |" in card
    assert "| auprc | rare | not defined | not defined to not defined | 20 | 16 |" in card
    assert "temperature 1.500, thresholds 0.400" in card
    assert "chest (image), ct (image), labs (tabular), history (text)" in card
    assert json.loads((saved / FACTS).read_text()) == package.facts


def test_saving_over_a_package_leaves_the_new_one_whole(package: Package, copy: Path) -> None:
    (copy / "left by somebody").write_text("x")
    new = save_package(replace(package, temperature=2.0), copy)
    assert verify_package(copy) == new
    assert load_package(copy).temperature == 2.0


def test_a_failed_save_leaves_the_old_package(package: Package, copy: Path) -> None:
    before = verify_package(copy)
    with pytest.raises(ValueError, match="JSON"):
        save_package(replace(package, facts={"value": float("nan")}), copy)
    assert verify_package(copy) == before
    assert [path.name for path in copy.parent.iterdir()] == [copy.name]


def test_the_digest_knows_weights_state_and_settings(package: Package, saved: Path, tmp_path: Path) -> None:
    known = {verify_package(saved), save_package(replace(package, thresholds=(0.5,)), tmp_path / "a")}
    torch.manual_seed(1)
    other = DiagnosisModel(package.model_settings, package.inputs, CrossEntropy("binary", [3.0]))
    known.add(save_package(replace(package, model=other), tmp_path / "b"))
    assert len(known) == 3
    assert json.loads((saved / STATE).read_text())["labs"] == json.loads(json.dumps(package.inputs["labs"].state))


def test_a_table_whose_columns_stand_in_no_alphabetical_order_is_read_in_the_package_as_in_training() -> None:
    settings = TabularSettings.model_validate(
        {"table": "labs.csv", "layout": "long", "numeric": {"wbc": {}, "crp": {"statistics": ["mean", "last"]}}}
    )
    fitted = settings.open("labs").fit(
        [("1", {"wbc": "1", "crp.mean": "5", "crp.last": "7"}), ("2", {"wbc": "9", "crp.mean": "6", "crp.last": "0"})]
    )
    plain = json.loads(json_text({"settings": settings.model_dump(mode="json"), "state": fitted.state}))
    loaded = TabularSettings.model_validate(plain["settings"]).open("labs", plain["state"])
    cells = {"wbc": "1", "crp.mean": "5", "crp.last": "7"}
    for field, values in fitted.prepare(cells).items():
        np.testing.assert_array_equal(loaded.prepare(cells)[field], values)
