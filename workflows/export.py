"""`medmm export`: the network of a packaged model, for programs that run ONNX or torch.export."""

from pathlib import Path

from medmm.exporting.export import TOLERANCE, export_network
from medmm.package import load_package
from medmm.registry import fetched
from medmm.training.tracking import TrackingSettings

from .screen import Screen

MIB = 2**20


def export_model(model: str, format_name: str, out: Path, tracking: TrackingSettings, screen: Screen) -> None:
    """Load the model, write its network to `out` with a description beside it, and show what was found.

    Raises:
        MedmmError: Something that the user can repair.
    """
    screen.say("loading the model ...")
    with fetched(model, tracking) as folder:
        package = load_package(folder)
    screen.say("tracing, writing and checking the network ...")
    made = export_network(package, format_name, out)
    rows = [(one["name"], one["type"], " x ".join(map(str, one["shape"]))) for one in made.tensors]
    screen.table("takes", ("tensor", "type", "shape"), rows)
    number = "any number of studies" if made.studies is None else f"exactly {made.studies} study"
    screen.say(f"at once: {number}; gives the logits before temperature and calibration")
    screen.say(
        f"largest difference of a logit from the model's: {made.difference:.1e} over {made.checked} made-up studies "
        f"(limit {TOLERANCE:g})"
    )
    screen.say(f"how to prepare its inputs and read its logits: {made.description}")
    screen.say(f"network: {out} ({made.size / MIB:.1f} MiB, {made.said})")
