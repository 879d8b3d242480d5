"""`medmm score`: a packaged model on a folder of studies or a manifest."""

from pathlib import Path

from medmm.package import Package, load_package
from medmm.registry import fetched
from medmm.scoring.engine import Options
from medmm.scoring.run import Scored, score
from medmm.scoring.studies import find_studies, open_incoming
from medmm.scoring.violations import write_violations
from medmm.training.tracking import TrackingSettings
from medmm.types import Study

from .cohort import HEADERS
from .screen import Screen


def score_studies(
    model: str, studies: Path, out: Path, tracking: TrackingSettings, screen: Screen, workers: int | None = None
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
        return score(package, found, out, Options(workers=workers), progress=step)


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
