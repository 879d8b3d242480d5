"""Linear layers in whole numbers of 8 bits, on the CPU: weights beforehand, what enters as it comes (dynamic quantisation).

What enters has a scale for each vector, not one for the batch as in torch's own dynamic quantisation (torch.ao, deprecated): a
study's result then depends on no other, and an outlier costs its own vector alone. The sums of products are whole numbers, so
they are exact in whatever order they run.

Letters: R vectors, I numbers in, O numbers out.

Source:
    Jacob et al. 2018, Quantization and Training of Neural Networks for Efficient Integer-Arithmetic-Only Inference; Dettmers et
    al. 2022, LLM.int8() (a scale for each vector).
"""

import torch
from torch import nn

from medmm.encoders.tuning import ADAPTER

LARGEST = 127
"""Of a signed number of 8 bits; -128 is not used, so that zero stays in the middle."""

FEWEST = 16
"""Numbers in and out below which a layer stays as it is: it would gain nothing."""

TINY = 1e-30
"""In place of the scale 0 of a vector of zeros."""

CHUNK = 256
"""Vectors that are computed at once: as many as stay in the cache between the steps."""


class Int8Linear(nn.Module):
    """A linear layer whose products are of whole numbers.

    Args:
        layer: As it was trained.
    """

    weight_int8: torch.Tensor
    scale: torch.Tensor
    bias: torch.Tensor | None

    def __init__(self, layer: nn.Linear) -> None:
        super().__init__()
        self.in_features, self.out_features = layer.in_features, layer.out_features
        weight = layer.weight.detach().float()  # (O, I)
        scale = weight.abs().amax(1).clamp(min=TINY) / LARGEST  # (O,)
        self.register_buffer("weight_int8", (weight / scale[:, None]).round().to(torch.int8))
        self.register_buffer("scale", scale)
        self.register_buffer("bias", None if layer.bias is None else layer.bias.detach().float().clone())

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        """Give (..., O) of (..., I), in 32 bits."""
        vectors = values.reshape(-1, self.in_features).float()  # (R, I)
        made = torch.cat([self._some(some) for some in torch.split(vectors, CHUNK)])
        return made.view(*values.shape[:-1], self.out_features)

    def _some(self, vectors: torch.Tensor) -> torch.Tensor:
        largest = torch.maximum(vectors.amax(1, keepdim=True), -vectors.amin(1, keepdim=True))
        scale = largest.clamp(min=TINY) / LARGEST  # (R, 1)
        whole = (vectors / scale).round_().to(torch.int8)
        made = torch._int_mm(whole, self.weight_int8.t()).float().mul_(scale).mul_(self.scale)  # (R, O)
        return made if self.bias is None else made.add_(self.bias)


def quantise(network: nn.Module) -> int:
    """Put whole numbers into the linear layers of a network, in place; give how many there were.

    What stays: small layers; the projections inside torch's attention, which it does not call as layers; adapters.
    """
    count = 0
    for name, part in list(network.named_modules()):
        if isinstance(part, nn.TransformerEncoderLayer):
            part.activation_relu_or_gelu = 0  # torch's fused block would read the weights past the layers
        for own, layer in part.named_children():
            large = type(layer) is nn.Linear and min(layer.in_features, layer.out_features) >= FEWEST
            if large and ADAPTER not in f".{name}.{own}":
                setattr(part, own, Int8Linear(layer))
                count += 1
    return count


def products_are_exact() -> bool:
    """Tell whether this machine multiplies whole numbers of 8 bits exactly: without VNNI some sum pairs of them in 16 bits."""
    generator = torch.Generator().manual_seed(0)
    one, other = (torch.randint(0, 2, (64, 64), generator=generator) * (2 * LARGEST) - LARGEST for _ in range(2))
    made = torch._int_mm(one.to(torch.int8), other.to(torch.int8))
    return torch.equal(made.long(), one @ other)
