"""Hide parts of every input and predict them from what is left, of this input and of the study's others.

Letters: B studies, D width.

Sources: Xie et al. 2022, SimMIM, and He et al. 2022, Masked Autoencoders, for images; Yoon et al. 2020, VIME, for tables;
Devlin et al. 2019, BERT, for notes; Bachmann et al. 2022, MultiMAE, for predicting across inputs.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Literal

import torch
from pydantic import Field
from torch import nn

from medmm.encoders.tuning import Tuning
from medmm.errors import ConfigError
from medmm.fusion.base import pooled, present
from medmm.inputs import Inputs
from medmm.inputs.base import Input
from medmm.inputs.image import ImageInput
from medmm.inputs.signal import SignalInput
from medmm.inputs.tabular import TabularInput
from medmm.tables import Table
from medmm.training.pretraining.base import Encoders, MethodSettings, Part
from medmm.training.pretraining.hidden_cells import CellRestorer
from medmm.training.pretraining.hidden_patches import PatchRestorer
from medmm.training.pretraining.hidden_words import WordRestorer
from medmm.training.pretraining.restorer import Restored, Restorer, mean_where
from medmm.types import Batch, Tokens


class Masked(MethodSettings):
    """Predict hidden patches of images, cells of tables and words of notes."""

    name: Literal["masked"] = "masked"
    """Which one."""

    patches: float = Field(0.5, gt=0, lt=1)
    """Share of the patches of an image, or of the stretches of a signal, that are hidden."""

    cells: float = Field(0.3, gt=0, lt=1)
    """Share of a table's known cells that are hidden; one always stays."""

    words: float = Field(0.15, gt=0, lt=1)
    """Share of a note's tokens that are hidden; one always stays."""

    across: bool = True
    """Let the prediction see the study's other inputs too, which makes of several inputs one representation."""

    def parts(self, inputs: Inputs, width: int, patients: Sequence[int]) -> Mapping[str, Part]:
        """Build the loss.

        Raises:
            ConfigError: An encoder's backbone does not learn, or its tokenizer has no token that could hide a word.
        """
        return {"masked": Restoration(self, {name: self._restorer(inputs, name, width) for name in sorted(inputs)}, width)}

    def _restorer(self, inputs: Inputs, name: str, width: int) -> Restorer:
        one = inputs[name]
        settings = one.settings
        tuning = getattr(settings.encoder, "tuning", None)
        if isinstance(tuning, Tuning) and tuning.learn == "none":
            raise ConfigError(
                f"pretraining.method: the backbone of {name!r} stays as it is (tuning.learn: none), so predicting what is "
                "hidden would teach it nothing: let it learn (all, lora or gradual), leave the input out, or choose contrastive"
            )
        return RESTORERS.pick(settings.kind)(self, one, width)


def _of_image(method: Masked, one: Input[object], width: int) -> Restorer:
    assert isinstance(one, ImageInput)
    return PatchRestorer(one.settings.size, one.settings.channels, width, method.patches)


def _of_signal(method: Masked, one: Input[object], width: int) -> Restorer:
    assert isinstance(one, SignalInput)
    return PatchRestorer(one.settings.size, len(one.state["leads"]), width, method.patches, "signal")


def _of_cells(method: Masked, one: Input[object], width: int) -> Restorer:
    assert isinstance(one, TabularInput)
    codes = [len(one.state["categories"][column]) + 2 for column in one.settings.categorical]
    return CellRestorer(len(one.settings.numbers), codes, width, method.cells)


def _of_words(method: Masked, one: Input[object], width: int) -> Restorer:
    return WordRestorer(one.name, one.state, width, method.words)


RESTORERS: Table[Callable[[Masked, Input[object], int], Restorer]] = Table(
    "way to hide a part of an input of the kind",
    {"image": _of_image, "tabular": _of_cells, "text": _of_words, "signal": _of_signal},
)
"""Kind of input -> how a part of it is hidden; for another kind choose contrastive."""


class Restoration(Part):
    """A restorer for each input, and a map by which each input tells the restorers of the others what it knows.

    Args:
        settings: Whether they do.
        restorers: By input.
        width: D.
    """

    def __init__(self, settings: Masked, restorers: Mapping[str, Restorer], width: int) -> None:
        super().__init__()
        self.restorers = nn.ModuleDict(dict(restorers))
        across = settings.across and len(restorers) > 1
        self.tell = nn.ModuleDict({name: nn.Linear(width, width, bias=False) for name in restorers} if across else {})
        self.nothing = nn.Parameter(torch.zeros(()))  # the gradient of a batch in which nothing could be hidden

    def loss(self, encoders: Encoders, batch: Batch, chance: torch.Generator | None) -> torch.Tensor:
        """Give the mean over the inputs of which something was hidden, each the mean over its studies."""
        restored = [one for one in self.restore(encoders, batch, chance).values() if bool(one.has.any())]
        losses = [mean_where(one.error[None], one.has[None])[0] for one in restored]
        return torch.stack(losses).mean() if losses else 0.0 * self.nothing

    def restore(self, encoders: Encoders, batch: Batch, chance: torch.Generator | None) -> dict[str, Restored]:
        """Hide, encode what is left, predict, and tell the error of each study (B,) of each input that any study has."""
        fields = dict(batch.inputs)
        hidden = {}
        for name, restorer in self._named():
            if bool(batch.present[name].any()):
                fields[name], hidden[name] = restorer.hide(batch.inputs[name], chance)
        tokens = encoders.encode(fields, batch.present)
        return {
            name: restorer.judge(batch.inputs[name], hidden[name], tokens[name], self._context(name, tokens))
            for name, restorer in self._named()
            if name in hidden
        }

    def _context(self, name: str, tokens: Mapping[str, Tokens]) -> torch.Tensor:
        """Give (B, D) what the other inputs tell; zero where a study has none."""
        context = torch.zeros_like(pooled(tokens[name]))
        for other, tell in self.tell.items():
            if other != name:
                context = context + torch.where(present(tokens[other])[:, None], tell(pooled(tokens[other])), 0.0)
        return context

    def _named(self) -> list[tuple[str, Restorer]]:
        return [(name, one) for name, one in self.restorers.items() if isinstance(one, Restorer)]
