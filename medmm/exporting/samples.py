"""Made-up studies as inputs prepare them, by which a graph is traced and checked: nobody's data. B studies."""

import numpy as np
import torch

from medmm.dataset.batches import stack
from medmm.encoders.several import THERE
from medmm.errors import ConfigError
from medmm.inputs import Inputs
from medmm.inputs.base import Fields, Input
from medmm.inputs.image import ImageInput
from medmm.inputs.tabular import TabularInput
from medmm.inputs.text import TextInput
from medmm.settings import Plain
from medmm.types import Batch

PRESENT = 0.6
"""Chance that a study has an input."""


def random_studies(inputs: Inputs, count: int, seed: int = 0) -> Batch:
    """Make studies at random: the first has every input, the second none, the others some of them.

    Args:
        inputs: Fitted.
        count: B, at least 2.
        seed: Of chance.

    Raises:
        ConfigError: Of an input of another kind nothing is known.
    """
    rng = np.random.default_rng(seed)
    names = sorted(inputs)
    fields = {name: stack([random_fields(inputs[name], rng) for _ in range(count)]) for name in names}
    present = {name: torch.from_numpy(rng.random(count) < PRESENT) for name in names}
    for has in present.values():
        has[0], has[1] = True, False
    return Batch(fields, present, None, torch.arange(count))


def random_fields(one: Input[object], rng: np.random.Generator) -> Fields:
    """Make the prepared fields of one study, in the shapes and types that `prepare` gives and with values that it may give.

    Raises:
        ConfigError: The input is of another kind.
    """
    if isinstance(one, ImageInput):
        s = one.settings
        image = rng.random((s.images, s.channels, *s.size)).astype(np.float16)
        if s.images == 1:
            return {"image": image[0]}
        return {"image": image, THERE: (np.arange(s.images) < rng.integers(1, s.images + 1)).astype(np.uint8)}
    if isinstance(one, TabularInput):
        return _cells(one, rng)
    if isinstance(one, TextInput):
        return _note(one.state, one.settings.chunks, rng)
    raise ConfigError(f"nothing is known of how studies with the input {one.name!r} are made up: give samples")


def _cells(one: TabularInput, rng: np.random.Generator) -> Fields:
    numbers, categories = len(one.settings.numbers), one.settings.categorical
    known = rng.random(numbers) < PRESENT
    codes = [int(rng.integers(0, len(one.state["categories"][name]) + 2)) for name in categories]
    if not known.any() and not any(codes):  # a study without any cell lacks the input
        if numbers:
            known[0] = True
        else:
            codes[0] = 1
    number = np.where(known, rng.standard_normal(numbers), 0.0).astype(np.float32)
    return {"number": number, "known": known.astype(np.uint8), "category": np.array(codes, np.int32)}


def _note(state: Plain, chunks: int, rng: np.random.Generator) -> Fields:
    """Make a note of the tokenizer that a state holds: its first chunks, each filled up with padding."""
    length = state["max_tokens"]
    tokens = state["tokens"] if "tokens" in state else state["config"]["vocab_size"]
    there = np.arange(chunks) < rng.integers(1, chunks + 1)
    mask = there[:, None] & (np.arange(length) < rng.integers(1, length + 1, (chunks, 1)))
    ids = np.where(mask, rng.integers(0, tokens, (chunks, length)), state["padding"]).astype(np.int32)
    shape = (length,) if chunks == 1 else (chunks, length)
    return {"ids": ids.reshape(shape), "mask": mask.astype(np.uint8).reshape(shape), "cut": np.zeros(1, np.int32)}
