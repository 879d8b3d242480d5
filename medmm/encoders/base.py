"""What an encoder owes: settings that build a network, and tokens that come out of it."""

from abc import abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Self

from medmm.encoders.tuning import Tuning
from medmm.settings import Plain, Settings

if TYPE_CHECKING:
    from torch import nn


class EncoderSettings(Settings):
    """A network by name. It takes the prepared fields of the studies that have the input and gives `Tokens`."""

    name: str
    """Which one."""

    def initialise(self, network: "nn.Module") -> str:
        """Load pretrained weights, before a training; a network that learns from scratch has none.

        Returns:
            What a user must know of them, in one line; "" where there is nothing.
        """
        return ""

    def tuned(self, tuning: Tuning, *, taken: bool = False) -> Self:
        """Give the settings with another tuning, where there is a backbone with pretrained weights; else the same.

        Args:
            tuning: How far it learns.
            taken: Whether the weights come from another run.
        """
        return self

    def files(self) -> tuple[Path, ...]:
        """Name the local files that `initialise` reads: their content is part of what a run depends on."""
        return ()

    def portable(self) -> Self:
        """Give the settings without what only the training machine has, such as a local path: they travel in the package."""
        return self

    def is_portable(self) -> bool:
        """Tell whether these settings are such as `portable` gives: nothing is read but what lies in the package."""
        return True


class ImageEncoderSettings(EncoderSettings):
    """A network over images, 2D or 3D."""

    @abstractmethod
    def build(self, width: int, channels: int, size: Sequence[int]) -> "nn.Module":
        """Build the network: {"image": (B, K, *size)} -> Tokens of `width`."""


class TabularEncoderSettings(EncoderSettings):
    """A network over the cells of a table."""

    @abstractmethod
    def build(self, width: int, numeric: int, categories: Sequence[int]) -> "nn.Module":
        """Build the network.

        Args:
            width: D of the tokens.
            numeric: Number F of numeric columns.
            categories: For each of the G categorical columns, how many codes it has; code 0 is a missing cell.

        Returns:
            A module {"number": (B, F), "known": (B, F), "category": (B, G)} -> Tokens.
        """


class TextEncoderSettings(EncoderSettings):
    """A network over notes, with the tokenizer that belongs to it."""

    usual_tokens: ClassVar[int] = 128
    """Tokens of a note that this encoder reads where the run file does not say."""

    @abstractmethod
    def fit(self, notes: Sequence[str], patients: Sequence[str], max_tokens: int) -> Plain:
        """Give the state of the tokenizer, and what else the network needs to be built again.

        Args:
            notes: The notes of the training studies.
            patients: Whose note each is.
            max_tokens: Longest note, or chunk of a note, in tokens.

        Returns:
            A dictionary with "tokenizer" (JSON text of the package `tokenizers`), "padding" (its id) and "max_tokens"; and with
            "markers" (marker -> id) where the network takes sections and negation as tokens of their own.
        """

    @abstractmethod
    def build(self, width: int, state: Plain) -> "nn.Module":
        """Build the network: {"ids": (B, L), "mask": (B, L)} -> Tokens of `width`."""


class SignalEncoderSettings(EncoderSettings):
    """A network over recorded signals."""

    axes: ClassVar[frozenset[int]] = frozenset({1})
    """What it takes: 1 traces, 2 spectrograms."""

    @abstractmethod
    def build(self, width: int, leads: int, size: Sequence[int]) -> "nn.Module":
        """Build the network: {"signal": (B, L, *size)} -> Tokens of `width`.

        Args:
            width: D of the tokens.
            leads: L.
            size: (T,) samples of a trace, or (M, N) mel bands and frames of a spectrogram.
        """
