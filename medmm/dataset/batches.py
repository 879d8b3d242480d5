"""Prepared studies as batches: gathered from the shards into one array a field, shuffled and augmented by seed and epoch."""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import repeat
from typing import TypeAlias

import numpy as np
import torch

from medmm.dataset.cache import ABSENT, PreparedInput
from medmm.inputs import Inputs
from medmm.types import Array, Batch

Augment: TypeAlias = Callable[[str, Mapping[str, Array], int], Mapping[str, Array]]
"""Input, fields of a study, its index -> the fields varied."""


class Batches:
    """Batches of some studies, again in every epoch.

    Args:
        prepared: Every input of all studies.
        rows: Indices of the studies to give.
        target: (S, C) of all studies, NaN where there is no label; None at scoring.
        batch_size: Most studies of a batch.
        group: (S,) number of each study's group, -1 for none; None where nobody asks.
        bounds: (S, C, 3) what clinical rules allow; None without rules.
    """

    def __init__(
        self,
        prepared: Mapping[str, PreparedInput],
        rows: Sequence[int],
        target: Array | None,
        batch_size: int,
        *,
        group: Array | None = None,
        bounds: Array | None = None,
    ) -> None:
        self._prepared = prepared
        self._rows = np.asarray(rows, dtype=np.int64)
        self._target = target
        self._batch_size = batch_size
        self._group = group
        self._bounds = bounds

    @property
    def studies(self) -> int:
        """How many there are."""
        return len(self._rows)

    def __len__(self) -> int:
        return (len(self._rows) + self._batch_size - 1) // self._batch_size

    def __iter__(self) -> Iterator[Batch]:
        for start in range(0, len(self._rows), self._batch_size):
            yield self._batch(self._rows[start : start + self._batch_size], None)

    def _batch(self, rows: Array, augment: Augment | None, still: Collection[str] = ()) -> Batch:
        inputs, present = self._inputs_of(rows, augment, still)
        target = None if self._target is None else torch.from_numpy(self._target[rows].astype(np.float32))
        group = None if self._group is None else torch.from_numpy(self._group[rows])
        bounds = None if self._bounds is None else torch.from_numpy(self._bounds[rows].astype(np.float32))
        return Batch(inputs, present, target, torch.from_numpy(rows), group, bounds)

    def _inputs_of(
        self, rows: Array, augment: Augment | None, still: Collection[str] = ()
    ) -> tuple[dict[str, dict[str, torch.Tensor]], dict[str, torch.Tensor]]:
        inputs: dict[str, dict[str, torch.Tensor]] = {}
        present: dict[str, torch.Tensor] = {}
        for name, one in self._prepared.items():
            if augment is None or name in still:
                inputs[name], present[name] = gathered(one, rows)
                continue
            found = [one.fields(row) for row in rows]
            found = [fields and dict(augment(name, fields, row)) for fields, row in zip(found, rows, strict=True)]
            inputs[name] = stack(found)
            present[name] = torch.tensor([fields is not None for fields in found])
        return inputs, present


class TrainingBatches(Batches):
    """Batches in an order, and with augmentation, that seed and epoch fix: a resumed run sees what an unbroken one does.

    Args:
        inputs: The fitted inputs, which augment.
        seed: Of the run.
        epoch: Tells the number of the epoch that starts.
        views: Further, stronger augmentations of each study.
        group: As for `Batches`.
        bounds: As for `Batches`.
        unlabelled: Indices of studies without a label, which come beside those of `rows`.
        share: How many of them come with each labelled study.
        repeats: How often each batch comes in a row.
    """

    def __init__(
        self,
        prepared: Mapping[str, PreparedInput],
        rows: Sequence[int],
        target: Array,
        batch_size: int,
        *,
        inputs: Inputs,
        seed: int,
        epoch: Callable[[], int],
        views: int = 0,
        group: Array | None = None,
        bounds: Array | None = None,
        unlabelled: Sequence[int] = (),
        share: int = 0,
        repeats: int = 1,
    ) -> None:
        super().__init__(prepared, rows, target, batch_size, group=group, bounds=bounds)
        self._inputs = inputs
        self._seed = seed
        self._epoch = epoch
        self._views = views
        self._unlabelled = np.asarray(unlabelled, dtype=np.int64)
        self._share = share
        self._repeats = repeats
        fields = {name: one.shards[0] if one.shards else () for name, one in prepared.items()}
        self._still = frozenset(name for name, known in fields.items() if inputs[name].is_still(known))

    def __len__(self) -> int:
        lone = len(self._rows) > 1 and len(self._rows) % self._batch_size == 1
        return (super().__len__() - lone) * self._repeats

    def __iter__(self) -> Iterator[Batch]:
        epoch = self._epoch()
        rng = np.random.default_rng([self._seed, epoch])
        order = rng.permutation(self._rows)
        others = self._others(rng)
        size = self._batch_size
        for number in range(len(self) // self._repeats):  # a lone last study has no batch statistics; another epoch brings it
            rows = order[number * size : (number + 1) * size]
            batch = self._varied(np.append(rows, others[number * size * self._share :][: len(rows) * self._share]), epoch)
            yield from repeat(batch, self._repeats)

    def _others(self, rng: np.random.Generator) -> Array:
        """Draw the unlabelled studies of an epoch: each once before any comes twice."""
        wanted = len(self._rows) * self._share
        if not wanted or not len(self._unlabelled):
            return np.empty(0, np.int64)
        rounds = -(-wanted // len(self._unlabelled))
        return np.concatenate([rng.permutation(self._unlabelled) for _ in range(rounds)])[:wanted]

    def _varied(self, rows: Array, epoch: int) -> Batch:
        def weak(name: str, fields: Mapping[str, Array], row: int) -> Mapping[str, Array]:
            return self._inputs[name].augment(fields, np.random.default_rng([self._seed, epoch, row]))

        batch = self._batch(rows, weak, self._still)
        views = []
        for view in range(self._views):

            def strong(name: str, fields: Mapping[str, Array], row: int, view: int = view) -> Mapping[str, Array]:
                return self._inputs[name].perturb(fields, np.random.default_rng([self._seed, epoch, row, view + 1]))

            views.append(self._inputs_of(rows, strong)[0])
        return replace(batch, views=tuple(views))


def gathered(prepared: PreparedInput, rows: Array) -> tuple[dict[str, torch.Tensor], torch.Tensor]:
    """Gather some studies, a shard at a time: what `stack` gives of them, and which of them have the input (B,)."""
    shards, places = prepared.place[rows].T
    fields: dict[str, Array] = {}
    for shard in np.unique(shards[shards != ABSENT]):
        own = shards == shard
        for name, values in prepared.shards[shard].items():
            if name not in fields:
                kind = np.dtype(np.float32) if values.dtype == np.float16 else values.dtype
                fields[name] = np.zeros((len(rows), *values.shape[1:]), kind)
            fields[name][own] = values[places[own]]
    return {name: torch.from_numpy(values) for name, values in fields.items()}, torch.from_numpy(shards != ABSENT)


def stack(found: Sequence[Mapping[str, Array] | None], *, pinned: bool = False) -> dict[str, torch.Tensor]:
    """Gather the fields of some studies into one tensor a field: (B, ...), float16 as float32, zeros where absent.

    Gives no field where no study has the input.

    Args:
        found: The fields of each.
        pinned: In memory from which a GPU fetches by itself, and as narrow as they are: `Batch.to` widens them there.
    """
    first = next((fields for fields in found if fields is not None), None)
    if first is None:
        return {}
    stacked: dict[str, torch.Tensor] = {}
    for name, example in first.items():
        kind = np.dtype(np.float32) if example.dtype == np.float16 and not pinned else example.dtype
        whole = torch.empty((len(found), *example.shape), dtype=torch.from_numpy(np.empty(0, kind)).dtype, pin_memory=pinned)
        for row, fields in enumerate(found):
            if fields is None:
                whole[row].zero_()
            else:  # torch widens with the processor's own instruction, ten times as fast as NumPy
                whole[row].copy_(torch.from_numpy(np.require(fields[name], requirements="W")))
        stacked[name] = whole
    return stacked
