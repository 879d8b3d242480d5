"""`medmm score`: a packaged model on a folder of studies or a manifest."""

from pathlib import Path

from medmm.cohort.headers import HEADERS
from medmm.errors import ConfigError
from medmm.package import Package, load_package
from medmm.registry import fetched
from medmm.scoring.engine import Options, Tile
from medmm.scoring.run import Scored, score
from medmm.scoring.studies import find_studies, open_incoming
from medmm.scoring.violations import write_violations
from medmm.training.tracking import TrackingSettings
from medmm.types import Study

from .screen import Screen


def score_studies(
    model: str,
    studies: Path,
    out: Path,
    tracking: TrackingSettings,
    screen: Screen,
    workers: int | None = None,
    *,
    tile: Tile = None,
) -> Scored:
    """Load the model, find the studies, and write `scores.parquet`, `rejected.parquet` and `violations.parquet`.

    Raises:
        MedmmError: Something that the user can repair.
    """
    screen.say("loading the model ...")
    with fetched(model, tracking) as folder:
        package = load_package(folder)
    found = _find(package, studies, out, screen)
    with screen.step("scoring") as step:
        return score(package, found, out, Options(tile, workers, say=screen.say), progress=step)


def tile_asked(text: str | None) -> Tile:
    """Give the studies of a tile, as `--batch-size` has them.

    Raises:
        ConfigError: Neither "auto" nor a number above 0.
    """
    if text is None:
        return None
    if text == "auto":
        return "auto"
    if not text.isdecimal() or int(text) == 0:
        raise ConfigError("--batch-size is neither auto nor a whole number above 0: give one of these, or leave it out")
    return int(text)


def _find(package: Package, place: Path, out: Path, screen: Screen) -> tuple[Study, ...]:
    """Find the studies and check their tables, which are let go of before the scoring starts."""
    screen.say("reading tables and image headers ...")
    sources = open_incoming(package, place, screen.say, out / HEADERS)
    found = find_studies(package, place, screen.say, sources=sources)
    if silent := [name for name in package.rulebook().study_columns() if not any(name in study.cells for study in found)]:
        screen.say(f"rules that read these columns of the studies table cannot tell, for it lacks them: {', '.join(silent)}")
    counts = write_violations(package.inputs, sources, out)
    if counts:
        reasons = ", ".join(f"{code.value}: {count}" for code, count in sorted(counts.items()))
        cells = f"{sum(counts.values())} cells of the tables are not as the model expects"
        screen.say(f"{cells} ({reasons}): {out / 'violations.parquet'}")
    return found
