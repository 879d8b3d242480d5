"""`medmm score`: a packaged model on a folder of studies or a manifest."""

from dataclasses import dataclass
from pathlib import Path

from medmm.package import Package, load_package
from medmm.registry import fetched
from medmm.scoring.engine import Options
from medmm.scoring.ledger import AUTO, open_ledger
from medmm.scoring.ledger.disks import sweep_killed
from medmm.scoring.run import Scored, Scorer, model_key
from medmm.scoring.shards import Shard
from medmm.scoring.studies import find_studies, open_incoming
from medmm.scoring.violations import write_violations
from medmm.training.tracking import TrackingSettings
from medmm.types import Study

from .cohort import HEADERS
from .screen import Screen


@dataclass(frozen=True)
class Manner:
    """How to score, as the command line says it.

    Attributes:
        shard: `i/n`; None for all studies.
        ledger: Kind of the ledger.
        retry_rejected: Whether to try those again that were rejected.
        accept_rejects: Whether to go on where many of the first studies are rejected.
    """

    shard: str | None = None
    ledger: str = AUTO
    retry_rejected: bool = False
    accept_rejects: bool = False


def score_studies(
    model: str,
    studies: Path,
    out: Path,
    tracking: TrackingSettings,
    screen: Screen,
    workers: int | None = None,
    manner: Manner | None = None,
) -> Scored:
    """Load the model, find the studies, and write `scores.parquet`, `rejected.parquet` and `violations.parquet`.

    Raises:
        MedmmError: Something that the user can repair.
    """
    manner = manner or Manner()
    shard = Shard.parse(manner.shard) if manner.shard else None
    screen.say("loading the model ...")
    with fetched(model, tracking) as folder:
        package = load_package(folder)
    found = _find(package, studies, out, screen)
    options, stops = Options(workers=workers), not manner.accept_rejects
    ledger = open_ledger(out, model_key(package, options), manner.ledger, sharded=shard is not None)
    with Scorer(package, out, options, ledger=ledger, stops=stops, shard=shard, notice=screen.say) as scorer:
        if manner.retry_rejected:
            screen.say(f"{scorer.retry_rejected()} studies that were rejected are tried again")
        with screen.step("scoring") as step:
            scorer.round(found, step)
        return scorer.export()


def _find(package: Package, place: Path, out: Path, screen: Screen) -> tuple[Study, ...]:
    """Find the studies and check their tables, which are let go of before the scoring starts."""
    screen.say("reading tables and image headers ...")
    sweep_killed(out / HEADERS)
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
