"""Convolutions over time that shorten it without folding quick waves back. B studies, C channels, T samples.

Sources: Zhang 2019, Making Convolutional Networks Shift-Invariant Again; Wu and He 2018, Group Normalization: a study is
encoded alike whatever stands beside it in the batch.
"""

from torch import nn

from medmm.errors import ConfigError

GROUPS = 8
"""Of a group norm; divides every number of channels."""


class Convolution(nn.Sequential):
    """A convolution (B, C, T) -> (B, C', T / stride) with norm and activation.

    Args:
        before: C.
        after: C'.
        kernel: Samples of the kernel, odd.
        stride: How many times shorter time becomes.
    """

    def __init__(self, before: int, after: int, kernel: int, stride: int) -> None:
        super().__init__(
            nn.Conv1d(before, after, kernel, padding=kernel // 2, bias=False),
            nn.GroupNorm(GROUPS, after),
            nn.ReLU(),
            shorter(stride),
        )


def shorter(stride: int) -> nn.Module:
    """Shorten time by means that overlap, so that what is too quick for the new rate fades; every sample has a part."""
    return nn.AvgPool1d(2 * stride - 1, stride, padding=stride - 1, count_include_pad=False)


def check_kernel(kernel: int) -> None:
    """Refuse a kernel without a middle.

    Raises:
        ConfigError: It is even.
    """
    if kernel % 2 == 0:
        raise ConfigError(f"encoder.kernel: {kernel} is even and has no middle: take {kernel + 1}")


def check_trace(size: tuple[int, ...], step: int, stages: int, stride: int) -> None:
    """Refuse what is no trace, or shorter than what becomes one token.

    Args:
        size: Of the signal.
        step: Samples that become one token.
        stages: How often time is shortened.
        stride: How many times, each time.

    Raises:
        ConfigError: It does not fit.
    """
    if len(size) != 1 or size[0] < step:
        raise ConfigError(
            f"size {size} is not a trace of at least {step} samples, which {stages} stages of stride {stride} make one token: "
            "lengthen the segment, or take fewer stages or a smaller stride"
        )
