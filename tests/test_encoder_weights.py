"""Pretrained weights: all of them or none, in the networks that they were learned with, and no code of a file is run."""

from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path

import pytest
import torch
from monai.networks.nets.densenet import DenseNet121
from monai.networks.nets.resnet import ResNet
from safetensors.torch import save_file
from torch import nn

from medmm.encoders import IMAGE_ENCODERS
from medmm.encoders.adapted import Adapted
from medmm.encoders.weights import Report, load_weights
from medmm.errors import ConfigError

WIDTH = 16
FLAT = (64, 64)
VOLUME = (16, 16, 16)


def network(name: str, size: tuple[int, ...] = FLAT, channels: int = 1, **settings: object) -> Adapted:
    torch.manual_seed(0)
    built = IMAGE_ENCODERS.pick(name).model_validate({"name": name, "weights": "x.pt", **settings}).build(WIDTH, channels, size)
    assert isinstance(built, Adapted)
    return built


def monai_resnet(block: str, layers: list[int], dimensions: int, channels: int = 1, **settings: object) -> ResNet:
    """Build a residual network of MONAI as one learns with it, head and all."""
    torch.manual_seed(1)
    made = ResNet(
        block,
        layers,
        [64, 128, 256, 512],
        spatial_dims=dimensions,
        n_input_channels=channels,
        num_classes=5,
        conv1_t_stride=2,
        **settings,
    )
    return shaken(made)


def shaken(made: nn.Module) -> nn.Module:
    """Give batch norms the statistics and weights of a network that has learned."""
    for part in made.modules():
        if isinstance(part, nn.BatchNorm2d | nn.BatchNorm3d):
            part.running_mean.normal_(0, 0.1)
            part.running_var.uniform_(0.5, 1.5)
            nn.init.uniform_(part.weight, 0.5, 1.5)
            nn.init.normal_(part.bias, 0, 0.1)
    return made.eval()


def feature_map(made: ResNet, image: torch.Tensor) -> torch.Tensor:
    """Run a residual network of MONAI up to its last map."""
    for part in ("conv1", "bn1", "act", "maxpool", "layer1", "layer2", "layer3", "layer4"):
        image = getattr(made, part)(image)
    return image.flatten(2).transpose(1, 2)


def image(*shape: int) -> torch.Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(2))


def test_weights_of_monai_give_the_features_of_the_network_that_was_saved(tmp_path: Path) -> None:
    torch.manual_seed(1)
    learned = shaken(DenseNet121(spatial_dims=2, in_channels=1, out_channels=3))
    torch.save({"epoch": 3, "state_dict": learned.state_dict()}, tmp_path / "w.pt")
    made = network("densenet121")
    report = load_weights(made.backbone, tmp_path / "w.pt")
    seen = image(2, 1, *FLAT)
    assert torch.equal(made.train().hidden({"image": seen}).values, learned.features(seen).flatten(2).transpose(1, 2))
    assert report.missing == ()
    assert report.unexpected == ("class_layers.out.weight", "class_layers.out.bias")


@pytest.mark.parametrize("shortcut_bias", [True, False])
def test_weights_of_a_flat_resnet50_load_with_and_without_biases_of_shortcuts(tmp_path: Path, shortcut_bias: bool) -> None:
    learned = monai_resnet("bottleneck", [3, 4, 6, 3], 2, bias_downsample=shortcut_bias)
    save_file(learned.state_dict(), tmp_path / "w.safetensors")
    made = network("resnet50")
    nn.init.ones_(made.backbone.layer1[0].downsample[0].bias)
    report = load_weights(made.backbone, tmp_path / "w.safetensors")
    seen = image(2, 1, *FLAT)
    torch.testing.assert_close(made.hidden({"image": seen}).values, feature_map(learned, seen))
    # By hand: one shortcut in each of the four stages.
    assert len(report.missing) == (0 if shortcut_bias else 4)
    assert set(report.unexpected) == {"fc.weight", "fc.bias"}


@pytest.mark.parametrize(
    ("name", "block", "layers", "shortcut"),
    [("resnet18", "basic", [2, 2, 2, 2], "A"), ("resnet50", "bottleneck", [3, 4, 6, 3], "B")],
)
def test_weights_of_medicalnet_load(tmp_path: Path, name: str, block: str, layers: list[int], shortcut: str) -> None:
    learned = monai_resnet(block, layers, 3, shortcut_type=shortcut, bias_downsample=False, feed_forward=False)
    keys = {f"module.{key}": value for key, value in learned.state_dict().items() if "num_batches" not in key}
    torch.save({"state_dict": OrderedDict(keys), "epoch": 1}, tmp_path / "resnet.pth", _use_new_zipfile_serialization=False)
    made = network(name, VOLUME)
    load_weights(made.backbone, tmp_path / "resnet.pth")
    seen = image(2, 1, *VOLUME)
    torch.testing.assert_close(made.hidden({"image": seen}).values, feature_map(learned, seen))


def test_a_shortcut_without_weights_lets_gradients_through() -> None:
    made = network("resnet18", VOLUME)
    for block in made.backbone.layer4:
        nn.init.zeros_(block.bn2.weight)  # so that the shortcuts alone carry what is seen
    given = image(1, 1, *VOLUME).requires_grad_()
    made.hidden({"image": given}).values.sum().backward()
    assert given.grad is not None
    assert given.grad.abs().sum() > 0


@pytest.mark.parametrize("prefix", ["", "module.", "backbone.", "model.backbone.features."])
@pytest.mark.parametrize("holder", [None, "state_dict", "model"])
def test_what_a_checkpoint_calls_the_same_weights_is_of_no_matter(tmp_path: Path, prefix: str, holder: str | None) -> None:
    learned = network("resnet18", channels=1)
    keys = {prefix + name: torch.rand_like(value.float()) for name, value in learned.backbone.state_dict().items()}
    torch.save({holder: keys} if holder else keys, tmp_path / "w.ckpt")
    made = network("resnet18")
    load_weights(made.backbone, tmp_path / "w.ckpt")
    own = made.backbone.state_dict()
    assert all(torch.equal(own[name], keys[prefix + name]) for name in own if "num_batches" not in name)


def test_weights_of_torchvision_have_other_names_of_the_same_layers(tmp_path: Path) -> None:
    learned = network("densenet121").backbone.state_dict()
    torch.save({f"features.{name.replace('.layers.', '.')}": 2 * value for name, value in learned.items()}, tmp_path / "w.pth")
    made = network("densenet121")
    assert load_weights(made.backbone, tmp_path / "w.pth").unexpected == ()
    assert torch.equal(made.backbone.conv0.weight, 2 * learned["conv0.weight"])


def save_without(folder: Path, made: nn.Module, *gone: str, **more: torch.Tensor) -> Path:
    keys = {name: value for name, value in made.state_dict().items() if name not in gone}
    torch.save({**keys, **{name.replace("__", "."): value for name, value in more.items()}}, folder / "w.pt")
    return folder / "w.pt"


def test_a_missing_weight_is_refused_by_name_and_count_and_nothing_is_loaded(tmp_path: Path) -> None:
    made, other = network("resnet18", channels=1), network("resnet18")
    nn.init.ones_(other.backbone.conv1.weight)
    path = save_without(tmp_path, other.backbone, "layer3.0.conv1.weight", "layer4.1.bn2.bias")
    before = made.backbone.conv1.weight.clone()
    with pytest.raises(ConfigError, match=r"missing: layer3\.0\.conv1\.weight, layer4\.1\.bn2\.bias; unexpected: none") as said:
        load_weights(made.backbone, path)
    count = sum("num_batches" not in name for name in other.backbone.state_dict())
    assert f"fits {count - 2} of the {count} weights" in str(said.value)
    assert str(tmp_path) not in str(said.value)
    assert torch.equal(made.backbone.conv1.weight, before)


def test_a_deeper_network_is_refused_though_all_that_is_needed_is_there(tmp_path: Path) -> None:
    learned = monai_resnet("basic", [3, 4, 6, 3], 2)
    torch.save(learned.state_dict(), tmp_path / "w.pt")
    with pytest.raises(ConfigError, match=r"unexpected: layer1\.2\.conv1\.weight, .* more"):
        load_weights(network("resnet18").backbone, tmp_path / "w.pt")


def test_a_weight_of_another_shape_is_refused(tmp_path: Path) -> None:
    path = save_without(tmp_path, network("resnet18", channels=1).backbone, layer1__0__conv1__weight=torch.rand(64, 64, 5, 5))
    with pytest.raises(ConfigError, match=r"layer1\.0\.conv1\.weight \(64, 64, 5, 5\) instead of \(64, 64, 3, 3\)"):
        load_weights(network("resnet18").backbone, path)
    flat = save_without(tmp_path, network("resnet18").backbone)
    with pytest.raises(ConfigError, match="number of dimensions"):
        load_weights(network("resnet18", VOLUME, shortcut="B").backbone, flat)


def test_the_head_of_a_classifier_is_left_out_and_reported(tmp_path: Path) -> None:
    path = save_without(tmp_path, network("resnet18").backbone, fc__weight=torch.rand(2, 512), fc__bias=torch.rand(2))
    assert load_weights(network("resnet18").backbone, path).unexpected == ("fc.weight", "fc.bias")


def test_weights_of_three_channels_see_a_grey_image_as_they_saw_it_repeated(tmp_path: Path) -> None:
    learned = network("resnet18", channels=3)
    shaken(learned.backbone)
    torch.save(learned.backbone.state_dict(), tmp_path / "w.pt")
    made = network("resnet18", channels=1)
    assert load_weights(made.backbone, tmp_path / "w.pt").averaged
    assert not load_weights(network("resnet18", channels=3).backbone, tmp_path / "w.pt").averaged
    grey = image(2, 1, *FLAT)
    torch.testing.assert_close(
        made.hidden({"image": grey}).values,
        learned.hidden({"image": grey.expand(-1, 3, -1, -1)}).values,
        atol=1e-4,
        rtol=1e-4,
    )


class _Malicious:
    """Would write a file when it is unpickled."""

    def __init__(self, proof: Path) -> None:
        self.proof = proof

    def __reduce__(self) -> tuple[object, ...]:
        return (Path.touch, (self.proof,))


def test_a_file_that_would_run_code_is_refused_and_runs_none(tmp_path: Path) -> None:
    torch.save({"state_dict": {"conv1.weight": torch.ones(1)}, "extra": _Malicious(tmp_path / "code ran")}, tmp_path / "w.pt")
    with pytest.raises(ConfigError, match="nothing but named tensors"):
        load_weights(network("resnet18").backbone, tmp_path / "w.pt")
    assert not (tmp_path / "code ran").exists()


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("absent.pt", None),
        ("absent.safetensors", None),
        ("learned.pt", b""),
        ("learned.pt", b"PK\x03\x04 broken"),
        ("learned.ckpt", b"not a checkpoint"),
        ("learned.safetensors", b"\x00" * 20),
        ("learned.safetensors", b""),
        ("learned.onnx", b"x"),
        ("learned", b"x"),
    ],
)
def test_a_file_that_cannot_be_read_is_refused_with_the_repair_and_without_its_path(
    tmp_path: Path, name: str, content: bytes | None
) -> None:
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ConfigError, match=r"give a \.safetensors file") as said:
        load_weights(network("resnet18").backbone, path)
    assert str(tmp_path) not in str(said.value)
    assert name not in str(said.value)


@pytest.mark.parametrize("content", [{}, {"state_dict": {}}, {"epoch": 3}, [torch.ones(2)], torch.ones(2)])
def test_a_file_without_named_tensors_is_refused(tmp_path: Path, content: object) -> None:
    torch.save(content, tmp_path / "w.pt")
    with pytest.raises(ConfigError, match="holds no named tensors"):
        load_weights(network("resnet18").backbone, tmp_path / "w.pt")


def statistics(made: nn.Module) -> Mapping[str, torch.Tensor]:
    return {name: value.clone() for name, value in made.state_dict().items() if "running_" in name}


@pytest.mark.parametrize("name", ["densenet121", "resnet18", "resnet50", "efficientnet"])
def test_statistics_of_pretrained_batch_norms_never_change_and_a_study_is_encoded_alike_in_any_batch(name: str) -> None:
    made = network(name)
    shaken(made.backbone)
    before = statistics(made.backbone)
    assert before
    made.train()
    for part in made.backbone.modules():  # what chance does in training is another matter
        if hasattr(part, "drop_connect_rate"):
            part.drop_connect_rate = 0.0
    seen = image(3, 1, *FLAT)
    together = made({"image": seen})
    together.values.sum().backward()
    assert all(torch.equal(value, before[key]) for key, value in statistics(made.backbone).items())
    alone = made({"image": seen[:1]})
    torch.testing.assert_close(alone.values[0], together.values[0], atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("name", ["densenet121", "resnet18", "resnet50", "efficientnet"])
def test_without_weights_there_is_no_batch_norm(name: str) -> None:
    assert not statistics(network(name, weights=None))


def test_a_package_names_no_path_and_builds_the_same_network_again(tmp_path: Path) -> None:
    settings = IMAGE_ENCODERS.pick("resnet18").model_validate({"name": "resnet18", "weights": str(tmp_path / "mine.pt")})
    kept = settings.portable().model_dump_json()
    assert str(tmp_path) not in kept
    assert "mine.pt" in kept
    again = type(settings).model_validate_json(kept)
    assert again.portable() == again
    names = [set(one.build(WIDTH, 1, VOLUME).state_dict()) for one in (settings, again)]
    assert names[0] == names[1]
    assert any("running_mean" in name for name in names[0])


def test_weights_are_loaded_before_a_training_and_not_when_a_network_is_built(tmp_path: Path) -> None:
    learned = network("resnet18")
    shaken(learned.backbone)
    torch.save(learned.backbone.state_dict(), tmp_path / "w.pt")
    settings = IMAGE_ENCODERS.pick("resnet18").model_validate({"name": "resnet18", "weights": str(tmp_path / "w.pt")})
    made = settings.build(WIDTH, 1, FLAT)
    assert not torch.equal(made.backbone.bn1.bias, learned.backbone.bn1.bias)
    said = settings.initialise(made)
    assert torch.equal(made.backbone.bn1.bias, learned.backbone.bn1.bias)
    assert said == "all weights of the backbone loaded; all of the backbone learns"


@pytest.mark.parametrize("learn", ["none", "lora", "gradual"])
def test_random_weights_that_stay_as_they_are_are_refused(learn: str) -> None:
    settings = IMAGE_ENCODERS.pick("vit").model_validate({"name": "vit", "tuning": {"learn": learn}})
    with pytest.raises(ConfigError, match=f"learn: {learn} builds on pretrained weights"):
        settings.initialise(settings.build(WIDTH, 1, FLAT))
    IMAGE_ENCODERS.pick("vit").model_validate({"name": "vit"}).initialise(settings.build(WIDTH, 1, FLAT))


@pytest.mark.parametrize("size", [(48, 64), (32, 32, 24)])
def test_an_image_that_does_not_fit_the_patches_of_swin_is_refused(size: tuple[int, ...]) -> None:
    with pytest.raises(ConfigError, match="multiple of 32 and at least 14"):
        network("swin", size)
    with pytest.raises(ConfigError, match="at least 80"):
        network("swin", FLAT, window=40)


def test_what_a_file_and_a_backbone_do_not_share_is_said_in_one_line() -> None:
    report = Report(("layer1.0.downsample.0.bias",), ("fc.weight", "fc.bias"), averaged=True)
    assert str(report) == (
        "all weights of the backbone loaded, biases that the file lacks, now zero: layer1.0.downsample.0.bias, "
        "left aside: fc.weight, fc.bias, the first convolution averaged over its three channels"
    )
