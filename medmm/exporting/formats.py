"""Formats that a graph is written in: how each is written, and run again to be checked. B studies, K outputs of a head."""

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, TypeAlias

import torch

from medmm.errors import ConfigError
from medmm.exporting.network import Graph, NamedTensors, any_number
from medmm.quiet import quietly
from medmm.tables import Table
from medmm.types import Array

OPSET = 18
"""Of ONNX: what torch translates to without a further conversion, and every onnxruntime since 1.14 reads."""

LOGITS = "logits"
"""What the one output is called."""

ONNX_LIMIT_BYTES = 2**31
"""A file of protocol buffers holds no more."""

NO_TELEMETRY = ("ORT_DISABLE_TELEMETRY", "1")
"""Read when onnxruntime loads: from 1.29 on it sends who runs what to its maker, and keeps an identifier of the machine."""

Run: TypeAlias = Callable[[NamedTensors], Array]
"""Named tensors -> logits (B, K)."""


@dataclass(frozen=True)
class Format:
    """A format of files.

    Attributes:
        suffix: What the name of a file ends in.
        said: What it is, in words.
        needs: Packages of the extra `export` without which it cannot be written or checked.
        write: Graph, facts that go into the file itself, path.
        open: Path of a file just written -> how to run it.
    """

    suffix: str
    said: str
    needs: tuple[str, ...]
    write: Callable[[Graph, Mapping[str, str], Path], None]
    open: Callable[[Path], Run]

    def check(self) -> None:
        """Refuse where a package is missing.

        Raises:
            ConfigError: One is.
        """
        if missing := [name for name in self.needs if find_spec(name) is None]:
            raise ConfigError(f"this format needs {', '.join(missing)}: pip install 'medmm[export]'")


def write_onnx(graph: Graph, facts: Mapping[str, str], path: Path) -> None:
    """Write a graph as ONNX, its weights within the one file.

    Raises:
        ConfigError: The weights do not fit into a file.
        Exception: Of whatever class torch.onnx has for what has no translation.
    """
    weights = sum(one.numel() * one.element_size() for one in graph.program.state_dict.values())
    if weights >= ONNX_LIMIT_BYTES:
        raise ConfigError(f"the weights take {weights / 2**30:.1f} GiB, an ONNX file holds 2: take the format torch_export")
    with quietly():
        translated = torch.onnx.export(
            graph.program,
            dynamo=True,
            verbose=False,
            opset_version=OPSET,
            input_names=list(graph.example),
            output_names=[LOGITS],
            dynamic_shapes=any_number(graph.example) if graph.studies is None else None,
            external_data=False,
        )
        assert translated is not None
        parts: list[Any] = [translated.model.graph, *translated.model.functions.values()]
        for part in parts:
            for node in part.all_nodes():
                node.metadata_props.clear()  # source files, which are paths of this machine
        translated.model.metadata_props.update(facts)
        translated.save(path)


def open_onnx(path: Path) -> Run:
    """Open an ONNX file with onnxruntime, on the CPU."""
    os.environ.setdefault(*NO_TELEMETRY)
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3  # errors
    options.intra_op_num_threads = torch.get_num_threads()
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])

    def run(tensors: NamedTensors) -> Array:
        made: Array = session.run([LOGITS], {name: one.numpy() for name, one in tensors.items()})[0]
        return made

    return run


def write_program(graph: Graph, facts: Mapping[str, str], path: Path) -> None:
    """Write a graph as torch.export does: a zip of JSON and bare weights."""
    with quietly():
        torch.export.save(graph.program, path, extra_files=dict(facts))


def open_program(path: Path) -> Run:
    """Open a file that `write_program` has just written. No other: torch.export.load is no reader for foreign files."""
    with quietly():
        network = torch.export.load(path).module()

    def run(tensors: NamedTensors) -> Array:
        with torch.inference_mode():
            made: Array = network(dict(sorted(tensors.items()))).numpy()
        return made

    return run


FORMATS: Table[Format] = Table(
    "format of exports",
    {
        "onnx": Format(".onnx", f"ONNX, opset {OPSET}", ("onnx", "onnxscript", "onnxruntime"), write_onnx, open_onnx),
        "torch_export": Format(".pt2", f"torch.export of torch {torch.__version__}", (), write_program, open_program),
    },
)
