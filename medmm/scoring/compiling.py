"""`torch.compile` for scoring: whether this machine can, and one compiled form for every shape that comes."""

import torch

from medmm.errors import ConfigError
from medmm.model import DiagnosisModel
from medmm.quiet import quietly

SHAPES = 4096
"""Compiled forms of one function: the fusion meets a shape for every subset of the inputs.

Beyond torch's own 8 it would quietly compute uncompiled, and which subsets that meets would hang on the order of studies."""


def compile_parts(model: DiagnosisModel) -> None:
    """Have encoders and fusion compile themselves, each for every size of batch and of tokens that it meets."""
    for part in (*model.encoders.values(), model.fusion):
        part.compile(dynamic=False)  # else the size of one image makes that of another's encoder open, which Inductor fails at
    allow_shapes()


def allow_shapes() -> None:
    """Let this thread compile as many forms as it meets; torch keeps the limit by thread."""
    torch._dynamo.config.recompile_limit = SHAPES
    torch._dynamo.config.accumulated_recompile_limit = SHAPES


def check_compiler(device: torch.device) -> None:
    """Compile next to nothing, to find out whether this machine can.

    Raises:
        ConfigError: It cannot.
    """
    try:
        with quietly():
            torch.compile(lambda values: values * 2 + 1)(torch.ones(8, device=device))
    except Exception as reason:  # torch's backends raise of many classes
        needs = (
            "a C++ compiler and the headers of Python: apt-get install g++ python3-dev" if device.type == "cpu" else "Triton"
        )
        raise ConfigError(
            f"torch.compile does not work on this machine ({type(reason).__name__}); it needs {needs}, or leave --compile out"
        ) from reason
