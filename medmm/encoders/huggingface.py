"""What the encoders from Hugging Face share: weights are read as safetensors only, and no foreign code is run."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePath
from typing import Annotated, Any, ClassVar, Self

import torch
from pydantic import BeforeValidator
from safetensors import SafetensorError
from torch import nn

from medmm.encoders.adapted import Adapted
from medmm.encoders.base import EncoderSettings
from medmm.encoders.tuning import Tuning, frozen_at_first
from medmm.encoders.weights import own_weights
from medmm.errors import ConfigError
from medmm.settings import Plain

UNREADABLE = (OSError, ValueError, RuntimeError, KeyError, SafetensorError)
"""How transformers says that a model is missing, damaged, or wants to run code of its own."""

CODE = frozenset({"auto_map", "custom_pipelines", "trust_remote_code"}) | {
    f"{start}{part}_implementation{end}" for start in ("", "_") for part in ("attn", "experts") for end in ("", "_internal")
}
"""Entries of an architecture by which transformers takes code from a repository: classes, and kernels for attention."""

FETCHING = frozenset({"quantization_config", "use_pretrained_backbone", "use_timm_backbone"})

UNUSED = "pooler"
"""Part of some models; what it gives is not used."""


class HuggingFace(EncoderSettings):
    """A pretrained encoder from a local folder or the hub; it stays as it is unless its tuning says otherwise."""

    repair: ClassVar[str]
    """What a user can do where the model cannot be read."""

    model: str
    """A local folder, or a name on the hub."""

    tuning: Annotated[Tuning, BeforeValidator(frozen_at_first)] = Tuning(learn="none")
    """How far the pretrained weights learn; where left out they stay as they are, and only what follows learns."""

    def initialise(self, network: nn.Module) -> str:
        """Load the pretrained weights.

        Raises:
            ConfigError: The folder or hub name holds no safetensors weights for this architecture.
        """
        assert isinstance(network, Adapted)
        load_pretrained(network.backbone, self.model, self.repair)
        return f"weights of {PurePath(self.model).name}, {self.tuning.learn} of the backbone learns"

    def tuned(self, tuning: Tuning, *, taken: bool = False) -> Self:
        """Give the settings with another tuning."""
        return self.model_copy(update={"tuning": tuning})

    def files(self) -> tuple[Path, ...]:
        """Name the local files that `initialise` reads."""
        return local_files(self.model)

    def is_portable(self) -> bool:
        """Tell whether no place is left of the model."""
        return PurePath(self.model).name == self.model


def read_config(model: str, repair: str) -> Any:
    """Read the architecture of a local folder or hub name, of its part for images where it has several.

    Raises:
        ConfigError: It cannot be read.
    """
    from transformers import AutoConfig

    try:
        config = AutoConfig.from_pretrained(model, trust_remote_code=False)
    except UNREADABLE as reason:
        raise ConfigError(f"encoder.model cannot be read ({type(reason).__name__}): {repair}") from reason
    return getattr(config, "vision_config", config)


def plain_config(config: Any) -> Plain:
    """Give an architecture as plain data, complete, so that other defaults in a later version change nothing.

    The path that it was read from is left out.
    """
    plain = json.loads(config.to_json_string(use_diff=False))
    return {name: value for name, value in plain.items() if name != "_name_or_path"}


def build_backbone(architecture: Plain) -> nn.Module:
    """Build a backbone from its architecture, with random weights.

    Raises:
        ConfigError: It asks for more than what is written in it.
    """
    from transformers import AutoConfig, AutoModel

    config = _closed(architecture)
    whole = AutoConfig.for_model(config.pop("model_type"), **config)
    network: nn.Module = AutoModel.from_config(whole, trust_remote_code=False, dtype=torch.float32)
    return network


def _closed(architecture: Plain) -> Plain:
    """Give an architecture without what names code, and refuse one that names weights.

    Raises:
        ConfigError: It would have transformers fetch weights of its own, or quantize them.
    """
    closed: dict[str, Plain] = {}
    for name, value in architecture.items():
        if name in FETCHING and value:
            raise ConfigError(f"encoder.model asks for {name}, which reads what is not in its folder: choose another model")
        if name not in CODE:
            closed[name] = _closed(value) if isinstance(value, Mapping) else value
    return closed


def local_files(model: str) -> tuple[Path, ...]:
    """Name the files of a local folder with a model; none for a name on the hub."""
    return tuple(sorted(path for pattern in ("*.json", "*.safetensors") for path in Path(model).glob(pattern)))


def load_pretrained(backbone: nn.Module, model: str, repair: str) -> None:
    """Load pretrained weights, all of them or none.

    Args:
        backbone: As `build_backbone` made it; it may have adapters, which stay as they are.
        model: A local folder or hub name.
        repair: What the user can do.

    Raises:
        ConfigError: There are no safetensors weights, or not those of this architecture.
    """
    from transformers import AutoModel
    from transformers.utils.logging import disable_progress_bar

    disable_progress_bar()  # of a second's work, amid the lines of a run
    try:
        pretrained, about = AutoModel.from_pretrained(
            model,
            config=backbone.config,
            trust_remote_code=False,
            use_safetensors=True,
            output_loading_info=True,
            dtype=torch.float32,
        )
    except UNREADABLE as reason:
        raise ConfigError(f"encoder.model has no weights that can be read ({type(reason).__name__}): {repair}") from reason
    missing = sorted(name for name in about["missing_keys"] if not name.startswith(f"{UNUSED}."))
    if missing:
        raise ConfigError(f"encoder.model lacks {len(missing)} weights of its architecture, first {missing[0]}: {repair}")
    loaded = pretrained.state_dict()
    for name, tensor in own_weights(backbone).items():
        tensor.copy_(loaded[name])


def layer_names(backbone: nn.Module) -> Sequence[str]:
    """Name the layers: what stands before them belongs to the first stage, what follows to the last."""
    lists = ((name, part) for name, part in backbone.named_modules() if isinstance(part, nn.ModuleList) and len(part) > 0)
    name, layers = next(lists, ("", nn.ModuleList()))
    return [f"{name}.{i}" for i in range(len(layers))]
