"""Several pieces of one input: what is not there has no part, and attention weighs what is."""

import torch
from torch import nn

from medmm.encoders.several import THERE, Several
from medmm.types import Tokens

WIDTH = 8


class Mean(nn.Module):
    """Gives two tokens an image: its mean, and twice it."""

    def forward(self, fields: dict[str, torch.Tensor]) -> Tokens:
        mean = fields["image"].flatten(1).mean(1)[:, None, None].expand(-1, 1, WIDTH)
        values = torch.cat([mean, 2 * mean], dim=1)
        return Tokens(values, torch.ones(values.shape[:2], dtype=torch.bool))


def network() -> Several:
    torch.manual_seed(0)
    return Several(Mean(), WIDTH).eval()


def fields(filler: float = 0.0) -> dict[str, torch.Tensor]:
    there = torch.tensor([[1, 1, 1], [1, 0, 0], [1, 1, 0]], dtype=torch.uint8)
    image = torch.rand(3, 3, 1, 4, 4, generator=torch.Generator().manual_seed(1))
    return {"image": torch.where(there[..., None, None, None] > 0, image, filler), THERE: there}


def test_an_image_that_is_not_there_changes_no_bit() -> None:
    one, other = network()(fields()), network()(fields(float("nan")))
    assert torch.equal(one.values, other.values)
    assert one.mask.tolist() == [[True, True, True], [True, False, False], [True, True, False]]
    assert not one.values[~one.mask].any()


def test_the_mean_of_the_tokens_is_the_weighted_mean_of_the_images() -> None:
    several = network()
    made = several(fields())
    assert several.weigh is not None
    for row, count in enumerate((3, 1, 2)):
        images = fields()["image"][row, :count]
        inner = Mean()({"image": images}).values  # (P, 2, D)
        pooled = (several.score(inner).softmax(1) * inner).sum(1)
        expected = (several.weigh(pooled).softmax(0) * pooled).sum(0)
        torch.testing.assert_close(made.values[row, :count].mean(0), expected)


def test_the_order_of_images_is_of_no_matter_and_that_of_chunks_is() -> None:
    given = fields()
    turned = {name: values[:1].flip(1) for name, values in given.items()}
    first = {name: values[:1] for name, values in given.items()}
    torch.testing.assert_close(network()(first).values.mean(1), network()(turned).values.mean(1))
    torch.manual_seed(0)
    chunks = Several(Mean(), WIDTH, places=3).eval()
    assert not torch.allclose(chunks(first).values.flip(1), chunks(turned).values)


def test_images_that_are_not_there_give_finite_gradients() -> None:
    several = network().train()
    several(fields(float("nan"))).values.square().sum().backward()
    for parameter in several.parameters():
        assert parameter.grad is not None
        assert parameter.grad.isfinite().all()
        assert parameter.grad.any()
