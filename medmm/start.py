"""Encoders to start from: a folder of safetensors and JSON with the digest of every file, and how an input takes them over."""

from collections.abc import Mapping, Set
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import load, save
from torch import nn

from medmm import __version__
from medmm import package as packages
from medmm.encoders.tuning import ADAPTER
from medmm.encoders.weights import own_weights
from medmm.errors import ConfigError, DataError, MedmmError
from medmm.files import write_bytes, write_json, writing_folder
from medmm.inputs import Inputs, open_inputs
from medmm.inputs.base import Input, InputSettings
from medmm.package import load_package
from medmm.sealed import Sealed, opened, plain_json, seal
from medmm.settings import Plain

FORMAT = 1
WEIGHTS = "weights.safetensors"
SETTINGS = "encoders.json"
STATE = "state.json"
FACTS = "facts.json"
FILES = (WEIGHTS, SETTINGS, STATE, FACTS)
REPAIR = "pretrain again"
LATER = frozenset({"tuning", "dropout", "stochastic_depth", "weights", "model", "architecture"})
"""Settings of an encoder that a run may change: how it learns, and where its weights first came from."""


@dataclass(frozen=True)
class Start:
    """Trained encoders.

    Attributes:
        name: Of the run that trained them.
        width: D of their tokens.
        inputs: As they were fitted there.
        weights: Input -> the weights of its encoder.
        facts: What is known of the studies that they learned from, without a name.
        digest: Of the whole; empty before it is saved.
    """

    name: str
    width: int
    inputs: Inputs
    weights: Mapping[str, Mapping[str, torch.Tensor]]
    facts: Plain
    digest: str = ""

    def settle(self, name: str, settings: InputSettings) -> InputSettings:
        """Give an input of a run the encoder that was trained, where its run file names none."""
        if name not in self.inputs or "encoder" in settings.model_fields_set:
            return settings
        known = self.inputs[name].settings
        return settings.model_copy(update={"encoder": known.encoder}) if known.kind == settings.kind else settings

    def take_all(self, inputs: Mapping[str, InputSettings], width: int) -> dict[str, Input[object]]:
        """Give those inputs of a run that are known here, with the state that was fitted.

        Raises:
            ConfigError: An input is another one, or prepared otherwise, or its encoder is another.
        """
        return {name: self._take(name, one, width) for name, one in inputs.items() if name in self.inputs}

    def load(self, name: str, network: nn.Module) -> None:
        """Put the trained weights into the encoder of an input.

        Raises:
            ConfigError: They are those of another network.
        """
        known = self.weights[name]
        # Adapters that a run adds to what was trained without them start at nothing, and stay as they are.
        own = network.state_dict() if any(ADAPTER in one for one in known) else own_weights(network)
        wrong = sorted(set(known) ^ set(own)) or [one for one in own if own[one].shape != known[one].shape]
        if wrong:
            raise ConfigError(
                f"training.init does not fit the encoder of {name!r}: {len(wrong)} weights are others, first {wrong[0]}: give "
                "the encoder the settings that it was trained with, its adapters included, or leave training.init out"
            )
        with torch.no_grad():
            for one, tensor in own.items():
                tensor.copy_(known[one])

    @property
    def learned_from(self) -> Set[str]:
        """Content digests of the files of the studies that they learned from."""
        return frozenset(self.facts.get("learned_from", ()))

    def _take(self, name: str, settings: InputSettings, width: int) -> Input[object]:
        known = self.inputs[name]
        differing = _differing({**settings.meaning(), "width": width}, {**known.settings.meaning(), "width": self.width})
        if not differing:
            differing = _differing(_encoder(settings), _encoder(known.settings))
        if differing:
            raise ConfigError(
                f"training.init does not fit the input {name!r}: {differing}: say the same in both run files, rename the "
                "input, or leave training.init out"
            )
        return settings.open(name, known.state)


def save_start(start: Start, folder: Path) -> str:
    """Write encoders, and give their digest."""
    settings = {
        "format": FORMAT,
        "version": __version__,
        "name": start.name,
        "width": start.width,
        "inputs": {name: one.portable()["settings"] for name, one in start.inputs.items()},
    }
    weights = {f"{name}.{key}": tensor.contiguous() for name, own in start.weights.items() for key, tensor in own.items()}
    with writing_folder(folder) as temporary:
        write_bytes(temporary / WEIGHTS, save(weights))
        write_json(temporary / SETTINGS, settings)
        write_json(temporary / STATE, {name: one.state for name, one in start.inputs.items()})
        write_json(temporary / FACTS, start.facts)
        whole = seal(temporary, FILES)
    return whole


def load_start(folder: Path) -> Start:
    """Verify and load the encoders that `medmm pretrain` wrote, or those of a package.

    Raises:
        DataError: The folder was changed, or holds neither, or another version of the format.
    """
    if (folder / packages.SETTINGS).is_file():
        package = load_package(folder)
        weights = {name: dict(one.state_dict()) for name, one in package.model.encoders.items()}
        width = package.model_settings.width
        return Start(package.name, width, package.inputs, weights, package.facts, package.digest)
    sealed = opened(folder, FILES, "folder of encoders", REPAIR)
    try:
        return _start(sealed)
    except MedmmError:
        raise
    except Exception as reason:  # it may come from elsewhere, as a package may
        raise DataError(f"the encoders cannot be loaded ({type(reason).__name__} in what they say): {REPAIR}") from reason


def _start(sealed: Sealed) -> Start:
    settings, state, facts = (plain_json(sealed.contents[name]) for name in (SETTINGS, STATE, FACTS))
    if settings["format"] != FORMAT:
        raise DataError(f"the encoders have format {settings['format']}, this version reads {FORMAT}: {REPAIR}")
    inputs = open_inputs(settings["inputs"], state)
    apart: dict[str, dict[str, torch.Tensor]] = {name: {} for name in inputs}
    for key, tensor in load(sealed.contents[WEIGHTS]).items():
        name, _, inner = key.partition(".")
        apart[name][inner] = tensor
    return Start(settings["name"], settings["width"], inputs, apart, facts, sealed.digest)


def _encoder(settings: InputSettings) -> Mapping[str, Plain]:
    plain = settings.encoder.portable().model_dump(mode="json", exclude=set(LATER))
    return {("encoder" if name == "name" else f"encoder.{name}"): value for name, value in plain.items()}


def _differing(own: Mapping[str, Plain], known: Mapping[str, Plain]) -> str:
    """Say the first difference; "" where there is none. What the encoder is comes before its settings."""
    names = (name for name in {*own, *known} if own.get(name) != known.get(name))
    first = sorted(names, key=lambda name: (name != "kind", name.count("."), name))
    return f"{first[0]} is {own.get(first[0])}, it was {known.get(first[0])}" if first else ""
