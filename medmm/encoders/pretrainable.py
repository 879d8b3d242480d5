"""What the image encoders of MONAI share: weights from a local file, and how far they are tuned."""

from abc import abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Self

from torch import nn

from medmm.encoders.adapted import Adapted
from medmm.encoders.base import ImageEncoderSettings
from medmm.encoders.tuning import Tuning
from medmm.encoders.weights import load_weights
from medmm.errors import ConfigError


class PretrainableImage(ImageEncoderSettings):
    """An image encoder that may start from pretrained weights."""

    weights: Path | None = None
    """Local file with pretrained weights of the backbone: .safetensors, or .pt, .pth or .ckpt with nothing but tensors and
    plain values. Random weights where left out."""

    tuning: Tuning = Tuning()
    """How far the backbone learns."""

    @abstractmethod
    def build(self, width: int, channels: int, size: Sequence[int]) -> Adapted:
        """Build the network: {"image": (B, K, *size)} -> Tokens of `width`."""

    def initialise(self, network: nn.Module) -> str:
        """Load the pretrained weights, where there are any.

        Raises:
            ConfigError: They cannot be read or are of another network, or there are none though the backbone shall keep them.
        """
        assert isinstance(network, Adapted)
        if self.weights is not None:
            return f"{load_weights(network.backbone, self.weights)}; {self.tuning.learn} of the backbone learns"
        if self.tuning.learn != "all":
            raise ConfigError(
                f"encoder.tuning.learn: {self.tuning.learn} builds on pretrained weights: name a file under encoder.weights, "
                "or let all learn"
            )
        return ""

    def tuned(self, tuning: Tuning, *, taken: bool = False) -> Self:
        """Give the settings with another tuning, where there are weights."""
        return self.model_copy(update={"tuning": tuning}) if taken or self.weights is not None else self

    def files(self) -> tuple[Path, ...]:
        """Name the local files that `initialise` reads."""
        return () if self.weights is None else (self.weights,)

    def portable(self) -> Self:
        """Keep the last part of the file's name: that there were weights shapes the network, where they lay does not."""
        return self if self.weights is None else self.model_copy(update={"weights": Path(self.weights.name)})

    def is_portable(self) -> bool:
        """Tell whether no place is left of the file."""
        return self.weights is None or self.weights == Path(self.weights.name)
