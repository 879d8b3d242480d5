"""In a tile, what is said of a study hangs on nothing but the study: every encoder, every fusion, and a whole scoring."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from conftest import SETTINGS, Hospital
from torch import nn

from medmm.encoders import IMAGE_ENCODERS, TABULAR_ENCODERS, TEXT_ENCODERS
from medmm.exact import exact_tile, is_exact
from medmm.fusion import FUSIONS
from medmm.inputs import INPUTS
from medmm.losses.cross_entropy import CrossEntropy
from medmm.model import DiagnosisModel, ModelSettings
from medmm.package import Package
from medmm.predict import _device, predict, subsets
from medmm.scoring.engine import Options, score_stream
from medmm.scoring.results import digest_of
from medmm.scoring.run import score
from medmm.tiles import filled, in_tiles
from medmm.types import Batch, Study, Tokens

TILE = 16
BACKBONES = {"huggingface", "i3_resnet152", "minilm"}
"""Encoders that are nothing without weights of their own; each has its own tests."""


@pytest.fixture(scope="module")
def batch(hospital: Hospital) -> Batch:
    return hospital.batch([study for study in hospital.studies if study.evidence][:TILE])


def test_rows_are_asked_tile_by_tile_and_come_back_in_order() -> None:
    seen: list[torch.Tensor] = []

    def network(fields: dict[str, torch.Tensor]) -> Tokens:
        seen.append(fields["x"])
        return Tokens(fields["x"][:, None, None] * 2, fields["x"][:, None] > 0)

    said = in_tiles(network, {"x": torch.arange(5.0)}, 2)  # type: ignore[arg-type]
    assert [one.tolist() for one in seen] == [[0, 1], [2, 3], [4, 4]]
    assert said.values.flatten().tolist() == [0, 2, 4, 6, 8]
    assert said.mask.flatten().tolist() == [False, True, True, True, True]
    assert filled(torch.zeros(3, 2), 3).shape == (3, 2)


@pytest.mark.parametrize("name", list(FUSIONS))
def test_every_fusion_is_exact(hospital: Hospital, batch: Batch, name: str) -> None:
    settings = ModelSettings.model_validate({"width": 128, "fusion": {"name": name}})
    torch.manual_seed(0)
    model = DiagnosisModel(settings, hospital.inputs, CrossEntropy("binary", [1.0])).eval()
    assert is_exact(model, batch, TILE)
    assert_alone_as_in_company(model, batch)


def assert_alone_as_in_company(model: DiagnosisModel, batch: Batch) -> None:
    """Ask of a study that lacks an input, alone and among others that have it: with every subset of its inputs."""
    asked = [*subsets(list(model.encoders)), frozenset[str]()]
    for lacking in sorted(model.encoders):
        present = {name: has.clone() for name, has in batch.present.items()}
        present[lacking][0] = False
        among = replace(batch, present=present)
        rows = torch.zeros(TILE, dtype=torch.long)
        inputs = {name: {key: values[rows] for key, values in fields.items()} for name, fields in batch.inputs.items()}
        alone = replace(batch, inputs=inputs, present={name: has[rows] for name, has in present.items()})
        one, other = (predict(model, [some], asked, tile=TILE) for some in (alone, among))
        for some in asked:
            np.testing.assert_array_equal(one.logits[some][0], other.logits[some][0])
        np.testing.assert_array_equal(one.joint[0], other.joint[0])


def encoders() -> Iterator[tuple[str, str]]:
    for given, table in (
        ("chest", IMAGE_ENCODERS),
        ("ct", IMAGE_ENCODERS),
        ("labs", TABULAR_ENCODERS),
        ("history", TEXT_ENCODERS),
    ):
        yield from ((given, name) for name in table if name not in BACKBONES)


@pytest.mark.parametrize(("given", "name"), list(encoders()))
def test_every_encoder_is_exact(hospital: Hospital, given: str, name: str) -> None:
    settings = INPUTS.pick(str(SETTINGS[given]["kind"])).model_validate(
        {**SETTINGS[given], "encoder": {"name": name}, **({"size": [32, 32, 32]} if given == "ct" else {})}
    )
    opened = settings.open(given)
    studies = [study for study in hospital.studies if given in study.evidence or given == "ct"]
    if given == "ct":  # the hospital has none: random volumes
        one, fields = opened, {"image": torch.rand(TILE, 1, 32, 32, 32)}
    else:
        one = opened.fit((study.patient_id, opened.read(study.evidence[given])) for study in studies)
        some = replace(hospital, inputs={given: one}).batch(studies[:TILE])
        fields = dict(some.inputs[given])
    torch.manual_seed(0)
    model = DiagnosisModel(ModelSettings(width=16), {given: one}, CrossEntropy("binary", [1.0])).eval()
    assert is_exact(model, Batch({given: fields}, {given: torch.ones(TILE, dtype=torch.bool)}, None, torch.arange(TILE)), TILE)


class _Mean(nn.Module):
    """A network in which each study sees its neighbours."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, fields: dict[str, torch.Tensor]) -> Tokens:
        tokens = self.network(fields)
        return Tokens(tokens.values + tokens.values.mean(0), tokens.mask)


def test_a_network_that_looks_at_neighbours_is_found_and_gets_a_tile_of_one(hospital: Hospital, batch: Batch) -> None:
    torch.manual_seed(0)
    model = DiagnosisModel(ModelSettings(width=16), hospital.inputs, CrossEntropy("binary", [1.0])).eval()
    assert exact_tile(model, batch) == TILE
    model.encoders["labs"] = _Mean(model.encoders["labs"])
    assert not is_exact(model, batch, TILE)
    assert exact_tile(model, batch) == 1


def test_large_images_get_a_smaller_tile(hospital: Hospital, batch: Batch, monkeypatch: pytest.MonkeyPatch) -> None:
    model = DiagnosisModel(ModelSettings(width=16), hospital.inputs, CrossEntropy("binary", [1.0])).eval()
    values = sum(one[0].numel() for fields in batch.inputs.values() for one in fields.values())
    monkeypatch.setattr("medmm.exact.MOST_VALUES", values * 4)
    tile = exact_tile(model, batch)
    assert tile in {1, 2, 4}  # the largest of these that is exact on this machine
    assert is_exact(model, batch, tile)


def test_company_order_and_threads_change_no_bit_of_a_score(package: Package, hospital: Hospital, tmp_path: Path) -> None:
    studies = [study for study in hospital.studies if study.evidence][:37]
    threads = torch.get_num_threads()

    def rows(some: list[Study]) -> dict[str, str]:
        outcomes = [one for ones in score_stream(package, some, Options(workers=0)) for one in ones]
        return {one.study.study_id: digest_of([one.row]) for one in outcomes}

    whole = rows(studies)
    assert rows(studies[::-1]) == whole
    assert rows(studies[5:6]) | rows(studies[20:23]) == {s.study_id: whole[s.study_id] for s in [studies[5], *studies[20:23]]}
    try:
        torch.set_num_threads(2 if threads == 1 else 1)
        assert rows(studies) == whole
    finally:
        torch.set_num_threads(threads)
    done = score(package, studies, tmp_path, Options(workers=0))
    read = [pq.read_table(tmp_path / f"{name}.parquet").to_pylist() for name in ("scores", "rejected")]
    assert done.digest == digest_of([{"digests": [digest_of(rows) for rows in read]}])


def test_a_gpu_is_made_to_compute_what_a_cpu_does() -> None:
    """Without one here: of a model that says it lies on one, both of torch's shortcuts are off."""
    weight = SimpleNamespace(device=torch.device("cuda"))
    model = cast(Any, SimpleNamespace(parameters=lambda: iter([weight])))
    before = torch.backends.cudnn.allow_tf32, torch.backends.mha.get_fastpath_enabled()
    assert before == (True, True)
    try:
        assert _device(model).type == "cuda"
        assert not torch.backends.cudnn.allow_tf32
        assert not torch.backends.mha.get_fastpath_enabled()
    finally:
        torch.backends.cudnn.allow_tf32 = before[0]
        torch.backends.mha.set_fastpath_enabled(before[1])
