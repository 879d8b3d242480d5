"""The convolutional networks written here against those of MONAI: same names, same weights by seed, same numbers."""

from collections.abc import Callable, Sequence
from typing import Literal

import pytest
import torch
from monai.networks.nets.densenet import DenseNet121
from monai.networks.nets.resnet import ResNet
from torch import nn

from medmm.encoders.dense import dense_network
from medmm.encoders.residual import residual_network

SIDES = {2: (48, 40), 3: (64, 64, 72)}


def same_numbers(ours: nn.Module, theirs: Callable[[torch.Tensor], torch.Tensor], channels: int, dimensions: int) -> None:
    image = torch.randn(2, channels, *SIDES[dimensions], generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        assert torch.equal(ours(image), theirs(image))


def with_lived_in_norms(network: nn.Module) -> nn.Module:
    """Give norms statistics that are not those of their beginning."""
    generator = torch.Generator().manual_seed(2)
    for part in network.modules():
        if isinstance(part, nn.BatchNorm2d | nn.BatchNorm3d):
            for values in (part.running_mean, part.running_var, part.weight.data, part.bias.data):
                values.copy_(torch.rand(values.shape, generator=generator) + 0.5)  # type: ignore[union-attr]
    return network.eval()


@pytest.mark.parametrize("dimensions", [2, 3])
@pytest.mark.parametrize("shortcut", ["A", "B"])
@pytest.mark.parametrize(("kind", "layers"), [("basic", (2, 2, 2, 2)), ("bottleneck", (3, 1, 2, 1))])
def test_residual_networks_are_those_of_monai(
    kind: str, layers: Sequence[int], shortcut: Literal["A", "B"], dimensions: int
) -> None:
    torch.manual_seed(0)
    theirs = ResNet(
        kind,
        list(layers),
        [16, 32, 64, 128],
        spatial_dims=dimensions,
        n_input_channels=2,
        conv1_t_stride=2,
        feed_forward=False,
        shortcut_type=shortcut,
    )
    torch.manual_seed(0)
    ours = residual_network(kind, layers, 16, 2, dimensions, shortcut)
    told, expected = ours.state_dict(), theirs.state_dict()
    assert list(told) == list(expected)
    assert all(torch.equal(values, expected[name]) for name, values in told.items())
    ours.load_state_dict(with_lived_in_norms(theirs).state_dict())

    def features(image: torch.Tensor) -> torch.Tensor:
        for part in (theirs.conv1, theirs.bn1, theirs.act, theirs.maxpool):
            image = part(image)
        for part in (theirs.layer1, theirs.layer2, theirs.layer3, theirs.layer4):
            image = part(image)
        return image

    same_numbers(ours.eval(), features, 2, dimensions)


def test_the_first_convolution_takes_sides_and_strides() -> None:
    theirs = ResNet(
        "bottleneck",
        [1, 1, 1, 1],
        [16, 32, 64, 128],
        n_input_channels=1,
        conv1_t_size=(3, 7, 7),  # type: ignore[arg-type]
        conv1_t_stride=(1, 2, 2),  # type: ignore[arg-type]
        feed_forward=False,
    )
    ours = residual_network("bottleneck", (1, 1, 1, 1), 16, 1, 3, kernel=(3, 7, 7), stride=(1, 2, 2))
    ours.load_state_dict(theirs.state_dict())
    assert (ours.conv1.stride, ours.conv1.padding) == (theirs.conv1.stride, theirs.conv1.padding)


@pytest.mark.parametrize("dimensions", [2, 3])
def test_the_dense_network_is_that_of_monai(dimensions: int) -> None:
    theirs = with_lived_in_norms(DenseNet121(spatial_dims=dimensions, in_channels=2, out_channels=1).features)
    ours = dense_network(2, dimensions)
    assert list(ours.state_dict()) == list(theirs.state_dict())
    ours.load_state_dict(theirs.state_dict())
    same_numbers(ours.eval(), theirs, 2, dimensions)
    fresh, expected = dense_network(2, dimensions), DenseNet121(spatial_dims=dimensions, in_channels=2, out_channels=1).features
    for name, values in fresh.state_dict().items():
        if values.ndim > 1:
            torch.testing.assert_close(values.std(), expected.state_dict()[name].std(), rtol=0.2, atol=0)
