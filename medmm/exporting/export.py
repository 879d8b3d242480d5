"""The network of a package in a format that other programs run, checked against the model before it gets its name.

Letters: B studies, K outputs of a head.
"""

from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from medmm.errors import ConfigError, DataError
from medmm.exporting.description import describe, tensors_of
from medmm.exporting.formats import FORMATS, Format, Run
from medmm.exporting.network import Graph, NamedTensors, culprit, named_tensors, trace, trace_model
from medmm.exporting.samples import random_studies
from medmm.files import digest_file, write_json, writing
from medmm.package import Package
from medmm.predict import predict
from medmm.settings import Plain
from medmm.types import Array, Batch

TOLERANCE = 1e-4
"""Largest difference of a logit that is taken for the same network: sums run in another order."""

TRACED, CHECKED = 3, 8
"""Made-up studies by which a network is traced, and by which the file is checked."""


@dataclass(frozen=True)
class Exported:
    """A file that was written.

    Attributes:
        said: Its format, in words.
        description: Beside it: how to prepare inputs, what the logits mean.
        tensors: Name, shape, type and meaning of each that it takes.
        studies: How many it takes at once; None for any number.
        difference: Largest of a logit, from the model.
        checked: Studies that this was found on.
        size: In bytes.
    """

    said: str
    description: Path
    tensors: list[dict[str, Plain]]
    studies: int | None
    difference: float
    checked: int
    size: int


def export_network(package: Package, format_name: str, path: Path, samples: Batch | None = None) -> Exported:
    """Write the network of a package, check what was written against the model, and describe it in PATH.json.

    Args:
        package: Loaded and verified.
        format_name: One of `FORMATS`.
        path: The file; the old one stays where anything fails.
        samples: Studies to check it by; made-up ones where left out.

    Raises:
        ConfigError: A part of the network is no graph or has no translation, or a package is missing.
        DataError: What was written computes something else than the model.
    """
    kind = FORMATS.pick(format_name)
    kind.check()
    if path.suffix != kind.suffix:
        raise ConfigError(f"a file of the format {format_name} ends in {kind.suffix}: give --out such a name")
    model = deepcopy(package.model).cpu().eval()
    encoders = {name: one.settings.encoder.name for name, one in package.inputs.items()}
    example = named_tensors(random_studies(package.inputs, TRACED))
    graph = trace_model(model, example, encoders)
    samples = samples or random_studies(package.inputs, CHECKED, seed=1)
    everything = frozenset(package.inputs)
    expected = predict(model, [samples], [everything]).logits[everything]  # (B, K)
    facts = {"medmm.model": package.name, "medmm.digest": package.digest}
    with writing(path) as temporary:
        try:
            kind.write(graph, facts, temporary)
        except (ConfigError, OSError):
            raise
        except Exception as reason:  # of many classes, where something has no translation
            part = culprit(model, example, encoders, lambda network, own: kind.write(trace(network, own), facts, temporary))
            raise ConfigError(
                f"{part} has a step that {kind.said} does not know ({type(reason).__name__}): choose another format or encoder"
            ) from reason
        said = run_all(kind.open(temporary), named_tensors(samples, example), graph.studies)
        difference = largest_difference(said, expected)
    return _described(package, graph, kind, path, difference, len(expected))


def run_all(run: Run, tensors: NamedTensors, studies: int | None) -> Array:
    """Run all studies, so many at once as the graph takes: (B, K)."""
    if studies is None:
        return run(tensors)
    whole = len(next(iter(tensors.values())))
    parts = [{name: one[start : start + studies] for name, one in tensors.items()} for start in range(0, whole, studies)]
    return np.concatenate([run(part) for part in parts])


def largest_difference(said: Array, expected: Array) -> float:
    """Give the largest difference of logits (B, K) from those of the model.

    Raises:
        DataError: It is not that of rounding, or there is no number.
    """
    difference = float(np.abs(said.astype(np.float64) - expected).max())
    if said.shape != expected.shape or not difference <= TOLERANCE:
        raise DataError(
            f"what was written computes something else: a logit differs by {difference:.3g} from the model's, at most "
            f"{TOLERANCE:g} is rounding: take another format, or report the encoders and the fusion of the model"
        )
    return difference


def _described(package: Package, graph: Graph, kind: Format, path: Path, difference: float, checked: int) -> Exported:
    description = path.with_name(f"{path.name}.json")
    files: Mapping[str, Plain] = {
        "format": kind.said,
        "sha256": digest_file(path),
        "torch": torch.__version__,
    }
    check = {"largest_difference_of_a_logit": difference, "studies": checked, "limit": TOLERANCE}
    write_json(description, describe(package, graph, dict(files), check))
    return Exported(
        kind.said, description, tensors_of(graph, package.inputs), graph.studies, difference, checked, path.stat().st_size
    )
