"""What an input kind owes: find evidence, read it, fit on the training split, prepare it, encode it, and make some up."""

from abc import ABC, abstractmethod
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Generic, Self, TypeAlias, TypeVar

import numpy as np

from medmm.cohort.studies import CohortSettings, Sources
from medmm.encoders.base import EncoderSettings
from medmm.encoders.tuning import Tuning
from medmm.errors import Rejected
from medmm.settings import Plain, Settings
from medmm.types import Array, Evidence, Study

if TYPE_CHECKING:
    from torch import nn

Found: TypeAlias = Evidence | Rejected | None
"""Where an input of a study lies, why it must not be used, or None: the study lacks it."""

Fields: TypeAlias = dict[str, Array]
"""Prepared arrays of one study by name; every study's have the same shapes and types."""

FEW_PATIENTS = 1000
"""Training patients below which a run that does not say otherwise gets networks of few weights, and inputs that learn apart."""

Raw = TypeVar("Raw")


class InputSettings(Settings):
    """One named kind of evidence."""

    kind: str
    """Which kind."""

    encoder: EncoderSettings
    """The network; where left out, one that suits the kind and the number of training patients."""

    @abstractmethod
    def suited(self, patients: int) -> EncoderSettings:
        """Give the encoder for a run that does not name one."""

    def tuned(self, tuning: Tuning, *, taken: bool = False) -> Self:
        """Give the settings with another tuning of an encoder that is pretrained, by a file or (`taken`) by another run."""
        return self.model_copy(update={"encoder": self.encoder.tuned(tuning, taken=taken)})

    @abstractmethod
    def stands_in(self, sources: Sources) -> bool:
        """Tell whether an export has the table or the folder of this input."""

    @abstractmethod
    def meaning(self) -> Mapping[str, Plain]:
        """Tell what the prepared arrays mean, wherever the data lies: an encoder that was trained on others is of no use."""

    @abstractmethod
    def open(self, name: str, state: Plain = None) -> "Input[object]":
        """Make the input of these settings, with the state that an earlier `fit` gave."""


class Input(ABC, Generic[Raw]):
    """One input of a run. Its state is plain JSON and travels in the package; None before `fit`.

    Args:
        name: As the run file calls it.
        state: What `fit` learned.
    """

    def __init__(self, name: str, state: Plain = None) -> None:
        self.name = name
        self.state = state

    meanings: ClassVar[Mapping[str, str]]
    """Field -> what stands in it, in words for whoever prepares data for an exported graph."""

    decodes: ClassVar[bool] = False
    """Whether reading is so much work that it is shared out among processes."""

    packages: ClassVar[tuple[str, ...]] = ()
    """Packages of an extra that reading may need."""

    @property
    @abstractmethod
    def settings(self) -> InputSettings:
        """The settings, as the run file gave them."""

    def study_columns(self, cohort: CohortSettings) -> Sequence[str]:
        """Name the columns of the studies table that this input reads."""
        return ()

    @abstractmethod
    def gather(self, sources: Sources, studies: Sequence[Study]) -> list[Found]:
        """Find this input of every study, without decoding anything.

        Raises:
            DataError: A table, column or folder of the run file is missing.
        """

    @abstractmethod
    def read(self, evidence: Evidence) -> Raw:
        """Read the evidence, as far as `prepare` does not do that as it goes.

        Raises:
            Rejected: The data must not be used.
        """

    @abstractmethod
    def fit(self, raws: Iterable[tuple[str, Raw]]) -> Self:
        """Give this input with its state learned from the training studies that have it.

        Args:
            raws: Patient and decoded data of each study; decoded as they are drawn, so an input that learns nothing draws none.

        Raises:
            DataError: No training study has it.
        """

    @abstractmethod
    def prepare(self, raw: Raw) -> Fields:
        """Turn what `read` gave into arrays, always the same for the same data.

        Raises:
            Rejected: The data must not be used.
        """

    def augment(self, fields: Mapping[str, Array], rng: np.random.Generator) -> Mapping[str, Array]:
        """Vary prepared arrays by chance, for training; an input that has no augmentation gives them back."""
        return fields

    def is_still(self, fields: Collection[str]) -> bool:
        """Tell whether `augment` gives these fields back as they are, so that studies need not be taken one by one."""
        return type(self).augment is Input.augment

    def perturb(self, fields: Mapping[str, Array], rng: np.random.Generator) -> Mapping[str, Array]:
        """Vary prepared arrays strongly, as far as their meaning bears it, for methods that compare a study with itself."""
        return self.augment(fields, rng)

    @abstractmethod
    def example(self, rng: np.random.Generator, folder: Path) -> Evidence:
        """Make evidence of no person, as `gather` would find it, that `read` and `prepare` take: for golden samples.

        Args:
            rng: Fixes what is made, but for the order of bytes that a codec chooses.
            folder: An empty one, for the files of evidence that has some.
        """

    @abstractmethod
    def made_up(self, rng: np.random.Generator) -> Fields:
        """Make prepared fields of nobody, in the shapes and types that `prepare` gives and with values that it may give."""

    @abstractmethod
    def encoder(self, width: int) -> "nn.Module":
        """Build the network: prepared fields of the studies that have the input -> Tokens of `width`."""

    def initialise(self, network: "nn.Module") -> str:
        """Load pretrained weights into what `encoder` built, and give a line about them; "" where there are none."""
        return ""

    def key(self) -> Plain:
        """What `read` and `prepare` depend on besides the evidence: the key of the cache."""
        return [self.settings.model_dump(mode="json", exclude={"encoder", "augmentation"}), self.state]

    def portable(self) -> Plain:
        """What a package keeps: settings that name nothing of the training machine, and the state."""
        settings = self.settings.model_copy(update={"encoder": self.settings.encoder.portable()})
        return {"settings": settings.model_dump(mode="json"), "state": self.state}
