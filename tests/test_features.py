"""The kept features of a frozen backbone say what the backbone says, are computed once, and belong to its weights."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
import torch

from medmm.dataset.batches import Batches, TrainingBatches
from medmm.dataset.cache import ABSENT, PreparedInput
from medmm.dataset.features import backbone_of, kept_features
from medmm.inputs.image import ImageInput, ImageSettings
from medmm.types import Array

STUDIES = 7
FROZEN = {"name": "resnet18", "channels": 8, "tuning": {"learn": "none"}}


def image_input(images: int) -> ImageInput:
    settings = {"path": "dicom", "size": [32, 32], "images": images, "encoder": FROZEN}
    one = ImageSettings.model_validate(settings).open("chest")
    assert isinstance(one, ImageInput)
    return one


def prepared(images: int) -> PreparedInput:
    """Give images in two shards; study 2 has none."""
    rng = np.random.default_rng(0)
    shape = (1, 32, 32) if images == 1 else (images, 1, 32, 32)
    fields: dict[str, Array] = {"image": rng.random((6, *shape)).astype(np.float16)}
    if images > 1:
        fields["there"] = (np.arange(images) < rng.integers(1, images + 1, (6, 1))).astype(np.uint8)
    place = np.array([[0, 0], [0, 1], [ABSENT, ABSENT], [0, 2], [1, 0], [1, 1], [1, 2]])
    shards = tuple({name: values[start : start + 3] for name, values in fields.items()} for start in (0, 3))
    return PreparedInput(place, shards, {}, [None if i == 2 else f"d{i}" for i in range(STUDIES)])


def network_of(one: ImageInput, seed: int = 0) -> torch.nn.Module:
    torch.manual_seed(seed)
    return one.encoder(16).eval()


def features(one: ImageInput, network: torch.nn.Module, folder: Path, told: list[int] | None = None) -> PreparedInput:
    backbone = backbone_of(network)
    assert backbone is not None

    def tell(done: int, _whole: int) -> None:
        if told is not None:
            told.append(done)

    return kept_features(prepared(one.settings.images), one, backbone, folder, 2, torch.device("cpu"), tell)


def tokens(network: torch.nn.Module, kept: PreparedInput) -> tuple[torch.Tensor, torch.Tensor]:
    (batch,) = Batches({"chest": kept}, range(STUDIES), None, STUDIES)
    has = batch.present["chest"]
    with torch.inference_mode():
        made = network({name: values[has] for name, values in batch.inputs["chest"].items()})
    return made.values, made.mask


@pytest.mark.parametrize("images", [1, 3])
def test_the_network_says_the_same_of_kept_features(tmp_path: Path, images: int) -> None:
    one = image_input(images)
    network = network_of(one)
    kept = features(one, network, tmp_path)
    assert (kept.place[:, 0] == ABSENT).tolist() == [False, False, True, False, False, False, False]
    for own, expected in zip(tokens(network, kept), tokens(network, prepared(images)), strict=True):
        torch.testing.assert_close(own, expected, atol=1e-5, rtol=1e-5)  # computed in other batches


def test_features_are_computed_once_and_anew_for_other_weights(tmp_path: Path) -> None:
    one = image_input(1)
    told: list[int] = []
    features(one, network_of(one), tmp_path, told)
    assert told == [2, 4, 6]
    again = features(one, network_of(one), tmp_path, told)
    assert told == [2, 4, 6, 6]  # there they are at once
    other = features(one, network_of(one, seed=1), tmp_path, told)
    assert told == [2, 4, 6, 6, 2, 4, 6]
    assert not np.array_equal(again.shards[0]["features"], other.shards[0]["features"])


def test_features_that_were_damaged_are_computed_again(tmp_path: Path) -> None:
    one = image_input(1)
    whole = np.array(features(one, network_of(one), tmp_path).shards[0]["features"])
    (file,) = tmp_path.rglob("features.npy")
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)
    told: list[int] = []
    np.testing.assert_array_equal(features(one, network_of(one), tmp_path, told).shards[0]["features"], whole)
    assert told == [2, 4, 6]


def test_features_of_another_architecture_with_the_same_weights_are_others(tmp_path: Path) -> None:
    def of(heads: int) -> tuple[ImageInput, PreparedInput, torch.nn.Module]:
        encoder = {"name": "vit", "hidden": 12, "layers": 1, "heads": heads, "patch": 16, "tuning": {"learn": "none"}}
        one = ImageSettings.model_validate({"path": "dicom", "size": [32, 32], "encoder": encoder}).open("chest")
        assert isinstance(one, ImageInput)
        network = network_of(one)
        return one, features(one, network, tmp_path), network

    (_, three, network), (_, six, other) = of(3), of(6)
    weights = [value for one in (network, other) for value in one.state_dict().values()]
    assert all(torch.equal(a, b) for a, b in zip(weights, weights[len(weights) // 2 :], strict=False))
    assert not np.allclose(three.shards[0]["features"], six.shards[0]["features"])


@pytest.mark.parametrize("images", [1, 3])
def test_training_batches_leave_features_as_they_are(tmp_path: Path, images: int) -> None:
    one = image_input(images)
    kept = features(one, network_of(one), tmp_path)
    target = np.zeros((STUDIES, 1))
    batches = TrainingBatches({"chest": kept}, range(STUDIES), target, STUDIES, inputs={"chest": one}, seed=0, epoch=lambda: 0)
    (batch,) = batches
    plain = Batches({"chest": kept}, batch.rows.tolist(), None, STUDIES)
    (same,) = plain
    fields: Mapping[str, torch.Tensor] = same.inputs["chest"]
    assert all(torch.equal(batch.inputs["chest"][name], values) for name, values in fields.items())
