"""Golden samples: of nobody, the same every time, and what tells a machine that computes something else."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
import torch
from conftest import Hospital
from safetensors.numpy import load, save

from medmm.errors import Code, DataError, Rejected
from medmm.golden import SAMPLES, TOLERANCE, Golden, check_golden, make_golden, pack, unpack
from medmm.inputs import INPUTS, image
from medmm.inputs.base import Input
from medmm.inputs.examples import cells_example
from medmm.package import GOLDEN, GOLDEN_FACTS, Package, load_package, save_package
from medmm.types import Array, Study


@pytest.fixture(scope="module")
def golden(package: Package) -> Golden:
    return make_golden(package.inputs, package.say)


def answers_of(package: Package) -> Callable[[Sequence[Study]], Array]:
    return lambda studies: package.say(studies)[1]


def test_five_samples_differ_in_their_inputs_and_each_input_stands_in_some(package: Package, golden: Golden) -> None:
    names = [frozenset(sample.inputs) for sample in golden.samples]
    assert len(names) == SAMPLES == 5
    assert names[0] == frozenset(package.inputs)
    assert len(set(names)) == 4  # all, and three that lack one each
    assert len({sample.answers for sample in golden.samples}) == 5


def test_they_are_the_same_every_time_and_others_with_another_seed(package: Package, golden: Golden) -> None:
    assert make_golden(package.inputs, package.say) == golden
    assert make_golden(package.inputs, package.say, seed=1) != golden


def test_their_answers_are_those_of_the_model_from_the_bytes_of_files(package: Package, saved: Path) -> None:
    loaded = load_package(saved)
    assert loaded.golden is not None
    for sample in loaded.golden.samples:
        logit = np.array([sample.logits])
        np.testing.assert_allclose(package.answer(logit)[0], sample.answers, atol=1e-12)
        assert sample.answers[0] == pytest.approx(1 / (1 + np.exp(-logit[0, 0] / 1.5)))  # by hand: the temperature is 1.5
    assert loaded.check_golden() == 0


def test_they_name_nobody(hospital: Hospital, golden: Golden, tmp_path: Path) -> None:
    known = {study.patient_id for study in hospital.studies} | {study.cells["study_uid"] for study in hospital.studies}
    for sample in golden.samples:
        for name in {"chest", "ct"} & set(sample.inputs):
            for content in sample.inputs[name].files:
                (tmp_path / "one.dcm").write_bytes(content)
                dataset = pydicom.dcmread(tmp_path / "one.dcm")
                assert dataset.PatientName == dataset.PatientID == dataset.AccessionNumber == "GOLDEN"
                assert dataset.PatientBirthDate == ""
                assert dataset.StudyInstanceUID not in known


def test_they_survive_a_round_trip_through_their_two_files(package: Package, golden: Golden) -> None:
    content, plain = pack(golden)
    again = unpack(content, json.loads(json.dumps(plain, allow_nan=False)), list(package.inputs), 1, 1)
    assert again == golden


class TestAnotherMachine:
    """Faults that a machine may have, each planted once."""

    def check(self, package: Package, golden: Golden) -> None:
        with pytest.raises(
            DataError, match=r"this machine computes something else.*expected.*at most 0\.0001.*install"
        ) as caught:
            check_golden(golden, answers_of(package))
        assert len(str(caught.value).splitlines()) == 1

    def test_a_weight_that_differs(self, package: Package, golden: Golden) -> None:
        weight = package.model.head.weight.data
        before = weight.clone()
        try:
            weight *= 1.005
            self.check(package, golden)
        finally:
            weight.copy_(before)
        assert check_golden(golden, answers_of(package)) == 0

    def test_an_image_that_lies_one_pixel_beside(
        self, package: Package, golden: Golden, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        original = image.prepare_image
        monkeypatch.setattr(image, "prepare_image", lambda *given: np.roll(original(*given), 1, axis=-1))
        self.check(package, golden)

    def test_an_image_that_is_mirrored(self, package: Package, golden: Golden, monkeypatch: pytest.MonkeyPatch) -> None:
        original = image.prepare_image
        monkeypatch.setattr(image, "prepare_image", lambda *given: original(*given)[:, ::-1].copy())
        self.check(package, golden)

    def test_a_window_that_differs(self, package: Package, golden: Golden) -> None:
        settings = package.inputs["ct"].settings
        other = settings.model_copy(update={"window": (-1000, 230)}).open("ct")
        self.check(replace(package, inputs={**package.inputs, "ct": other}), golden)

    def test_a_scale_that_differs(self, package: Package, golden: Golden) -> None:
        labs = package.inputs["labs"]
        state = {**labs.state, "scale": {name: [centre, 1.05 * scale] for name, (centre, scale) in labs.state["scale"].items()}}
        self.check(replace(package, inputs={**package.inputs, "labs": labs.settings.open("labs", state)}), golden)

    def test_a_calibration_that_differs(self, package: Package, golden: Golden) -> None:
        self.check(replace(package, temperature=1.51), golden)

    def test_answers_in_another_order(self, package: Package, golden: Golden) -> None:
        with pytest.raises(DataError, match="computes something else"):
            check_golden(golden, lambda studies: package.say(studies)[1][::-1])

    @pytest.mark.parametrize("value", [np.nan, np.inf])
    def test_answers_that_are_no_numbers(self, golden: Golden, value: float) -> None:
        with pytest.raises(DataError, match="computes something else"):
            check_golden(golden, lambda studies: np.full((len(studies), 1), value))

    def test_answers_of_another_shape(self, golden: Golden) -> None:
        with pytest.raises(DataError, match="expected"):
            check_golden(golden, lambda studies: np.full((len(studies), 2), 0.5))

    def test_a_sample_that_cannot_be_read(self, golden: Golden) -> None:
        def refuse(studies: Sequence[Study]) -> Array:
            raise Rejected(Code.NO_DECODER, "study in row 1", "no decoder", "one", "install it")

        with pytest.raises(DataError, match=r"cannot read a golden sample \(E_NO_DECODER\)"):
            check_golden(golden, refuse)


def test_a_coarser_precision_may_be_allowed_more(package: Package, golden: Golden) -> None:
    def coarse(studies: Sequence[Study]) -> Array:
        return np.asarray(package.say(studies)[1] + 0.01)

    with pytest.raises(DataError, match=r"apart by 0\.01, at most 0\.0001"):
        check_golden(golden, coarse)
    assert check_golden(golden, coarse, tolerance=0.02) == pytest.approx(0.01)


def test_a_value_beyond_1_is_held_relative_to_its_size(golden: Golden) -> None:
    large = replace(golden, samples=tuple(replace(sample, answers=(2000.0,)) for sample in golden.samples))
    assert check_golden(large, lambda studies: np.full((5, 1), 2000.1)) == pytest.approx(5e-5)
    with pytest.raises(DataError, match="computes something else"):
        check_golden(large, lambda studies: np.full((5, 1), 2000.3))


def test_more_threads_and_two_by_two_are_the_same_machine(package: Package, golden: Golden) -> None:
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(3)
        apart = check_golden(golden, lambda studies: np.concatenate([package.say([one])[1] for one in studies]))
    finally:
        torch.set_num_threads(threads)
    assert apart < TOLERANCE / 10


def test_a_package_of_another_model_gets_samples_of_its_own(package: Package, saved: Path, tmp_path: Path) -> None:
    loaded = load_package(saved)
    save_package(replace(loaded, temperature=3.0), tmp_path / "warmer")
    again = load_package(tmp_path / "warmer")
    assert again.golden is not None
    assert loaded.golden is not None
    assert [one.logits for one in again.golden.samples] == [one.logits for one in loaded.golden.samples]
    assert [one.answers for one in again.golden.samples] != [one.answers for one in loaded.golden.samples]
    assert again.check_golden() == 0


def test_a_package_that_is_saved_again_keeps_the_answers_of_the_first_machine(saved: Path, tmp_path: Path) -> None:
    loaded = load_package(saved)
    assert loaded.golden is not None
    elsewhere = replace(loaded.golden, made_on="another machine")
    save_package(replace(loaded, golden=elsewhere), tmp_path / "again")
    again = load_package(tmp_path / "again").golden
    assert again is not None
    assert again.made_on == "another machine"
    assert (tmp_path / "again" / GOLDEN).read_bytes() == (saved / GOLDEN).read_bytes()
    assert '"of"' in (saved / GOLDEN_FACTS).read_text()


def put(plain: Any, *keys: str | int, value: object) -> None:
    for key in keys[:-1]:
        plain = plain[key]
    plain[keys[-1]] = value


@pytest.mark.parametrize(
    ("keys", "value"),
    [
        (("samples",), []),
        (("samples",), "x"),
        (("samples", 0), []),
        (("samples", 0, "inputs"), {}),
        (("samples", 0, "inputs", "heart"), {"files": 0, "counts": [], "cells": {}, "text": None}),
        (("samples", 0, "inputs", "chest", "files"), 2),
        (("samples", 0, "inputs", "chest", "files"), True),
        (("samples", 0, "inputs", "chest", "files"), 0),
        (("samples", 0, "inputs", "chest", "counts"), [1, 1]),
        (("samples", 0, "inputs", "chest", "path"), "/etc/passwd"),
        (("samples", 0, "inputs", "labs", "cells"), {"crp": 3}),
        (("samples", 0, "inputs", "labs", "text"), "both"),
        (("samples", 0, "inputs", "history", "text"), ["x"]),
        (("samples", 0, "answers"), [0.5, 0.5]),
        (("samples", 0, "answers"), [None]),
        (("samples", 0, "logits"), [[0.5]]),
        (("samples", 0, "more"), 1),
        (("tolerance",), 0),
        (("tolerance",), 1.0),
        (("tolerance",), "1e-4"),
        (("made_on",), 3),
        (("more",), 3),
    ],
)
def test_samples_that_are_none_are_refused(package: Package, golden: Golden, keys: Sequence[str | int], value: object) -> None:
    content, plain = pack(golden)
    plain = json.loads(json.dumps(plain))
    put(plain, *keys, value=value)
    with pytest.raises(DataError, match="golden samples of the package"):
        unpack(content, plain, list(package.inputs), 1, 1)


@pytest.mark.parametrize(
    "turn",
    [
        lambda arrays: {},
        lambda arrays: {**arrays, "0/chest/1": np.zeros(3, np.uint8)},
        lambda arrays: {**arrays, "0/../../x/0": np.zeros(3, np.uint8)},
        lambda arrays: {name: one.astype(np.float32) for name, one in arrays.items()},
        lambda arrays: {name: one[None] for name, one in arrays.items()},
    ],
)
def test_bytes_that_are_not_those_of_the_samples_are_refused(
    package: Package, golden: Golden, turn: Callable[[Mapping[str, Array]], dict[str, Array]]
) -> None:
    content, plain = pack(golden)
    with pytest.raises(DataError, match="golden samples of the package"):
        unpack(save(turn(load(content))), plain, list(package.inputs), 1, 1)


@pytest.mark.parametrize(
    "settings",
    [
        {"size": [24, 24], "modality": ["CT"]},
        {"size": [24, 24], "modality": ["MR"], "images": 4},
        {"size": [24, 24], "modality": ["CR", "CT"], "channels": 3},
        {"size": [24, 24], "spacing_mm": [4, 4], "reading": {"values": "presentation"}},
        {"size": [16, 16, 8], "modality": ["PT"], "reading": {"pet": "suv"}},
        {"size": [16, 16, 8], "images": 3, "window": [-1000, 400]},
        {"size": [16, 16, 8], "spacing_mm": [20, 20, 30], "reading": {"tilt": "resample"}},
        {"size": [16, 16], "match": "file", "images": 5},
    ],
)
def test_every_way_to_take_images_has_examples_that_are_no_constant(settings: dict[str, object], tmp_path: Path) -> None:
    one: Input[Any] = INPUTS.pick("image").model_validate({"path": "dicom", **settings}).open("x")
    for seed in range(12):
        (tmp_path / str(seed)).mkdir()
        fields = one.prepare(one.read(one.example(np.random.default_rng(seed), tmp_path / str(seed))))
        assert np.isfinite(fields["image"]).all()
        assert fields["image"].astype(float).std() > 0.02
        if "there" in fields:
            assert fields["there"].sum() == 2


@pytest.mark.parametrize("seed", range(30))
def test_cells_are_in_range_known_and_never_all_missing(seed: int) -> None:
    scale = {"crp": (1000.0, 900.0), "age": (50.0, 0.0)}
    cells = cells_example(np.random.default_rng(seed), scale, {"crp": (0.1, 0.7), "age": None}, {"sex": ["f", "m"], "site": []})
    assert list(cells) == ["crp", "age", "sex", "site"]
    assert any(cells.values())
    assert cells["crp"] == "" or 0.1 <= float(cells["crp"]) <= 0.7
    assert cells["sex"] in {"", "f", "m"}
    assert cells["site"] == ""


def test_some_cells_are_missing() -> None:
    drawn = [cells_example(np.random.default_rng(i), {"a": (0.0, 1.0)}, {}, {"b": ["x"]}) for i in range(50)]
    assert {"", "x"} == {cells["b"] for cells in drawn}


@pytest.mark.parametrize(
    "settings",
    [
        {"table": "notes.csv"},
        {"folder": "notes"},
        {"table": "notes.csv", "sections": ["findings"]},
        {"folder": "notes", "sections": ["impression"]},
        {"table": "notes.csv", "leave_out": ["history", "other", "examination", "medication"]},
        {"table": "notes.csv", "strike": ["saturation"]},
    ],
)
def test_every_way_to_take_notes_has_examples(settings: dict[str, object], tmp_path: Path) -> None:
    encoder = {"name": "transformer", "min_patients": 2}
    found = INPUTS.pick("text").model_validate({**settings, "encoder": encoder}).open("x")
    one = found.fit((str(i), "fever and cough for days") for i in range(5))
    for seed in range(5):
        folder = tmp_path / str(seed)
        folder.mkdir()
        note = one.read(one.example(np.random.default_rng(seed), folder))
        assert isinstance(note, str)
        assert len(note) > 20
        assert "saturation" not in note or "strike" not in settings
