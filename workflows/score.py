"""`medmm score`: a packaged model on a folder of studies or a manifest."""

from pathlib import Path

from medmm.package import load_package
from medmm.registry import fetched
from medmm.scoring.engine import Scored, score
from medmm.scoring.studies import find_studies
from medmm.training.tracking import TrackingSettings

from .cohort import HEADERS
from .screen import Screen


def score_studies(
    model: str, studies: Path, out: Path, tracking: TrackingSettings, screen: Screen, workers: int | None = None
) -> Scored:
    """Load the model, find the studies, and write `scores.parquet` and `rejected.parquet`.

    Raises:
        MedmmError: Something that the user can repair.
    """
    screen.say("loading the model ...")
    with fetched(model, tracking) as folder:
        package = load_package(folder)
    screen.say("reading tables and image headers ...")
    found = find_studies(package, studies, screen.say, out / HEADERS)
    with screen.step("scoring") as step:
        return score(package, found, out, workers=workers, progress=step)
