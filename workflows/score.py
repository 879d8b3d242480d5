"""`medmm score`: a packaged model on a folder of studies, a manifest, or a DICOMweb server."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from medmm.cohort.headers import HEADERS
from medmm.errors import ConfigError
from medmm.package import Package, load_package
from medmm.registry import fetched
from medmm.scoring.engine import Options, Tile
from medmm.scoring.engines import ENGINES
from medmm.scoring.ledger import AUTO, open_ledger
from medmm.scoring.ledger.disks import sweep_killed
from medmm.scoring.precision import make_ready
from medmm.scoring.ray_cluster import Cluster
from medmm.scoring.run import Scored, Scorer, model_key
from medmm.scoring.shards import Shard
from medmm.scoring.sinks import REPORTS, SINKS
from medmm.scoring.sinks.base import UNKNOWN_RANGES, NumberRanges
from medmm.scoring.studies import find_studies, open_incoming
from medmm.scoring.violations import write_violations
from medmm.training.tracking import TrackingSettings
from medmm.types import Study

from .incoming import Coming, score_rounds
from .screen import Screen
from .store import Destination, store_meanwhile

SR, FHIR = "dicom-sr", "fhir"

RANGE = re.compile(
    r"urn:oid:[0-2](?:\.(?:0|[1-9][0-9]*))+"
    r"|urn:uuid:[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"
    r"|https?://[A-Za-z0-9._~:/?#@!$&'()*+,;=%\[\]-]+"
)
"""A system as FHIR R4 has it (section 2.24: uri, oid, uuid)."""

HERE, AT_ONCE, AS_USUAL = Cluster(), Coming(), Options()


@dataclass(frozen=True)
class Manner:
    """How to score, as the command line says it.

    Attributes:
        options: What an engine is told.
        sink: Format of the results.
        also: Reports beside them, names in `REPORTS`.
        key: Public key (PEM) of who must have signed the package; None asks for no signature.
        engine: A name in `ENGINES`.
        cluster: Where Ray scores.
        shard: `i/n`; None for all studies.
        ledger: Kind of the ledger.
        retry_rejected: Whether to try those again that were rejected.
        accept_rejects: Whether to go on where many of the first studies are rejected.
        coming: Which studies of a server, and whether to wait for more.
        destination: Where DICOM reports are stored while more studies are waited for; it asks for reports, too.
        ranges: Of which number ranges the identifiers are, for the report `fhir`.
    """

    options: Options = AS_USUAL
    sink: str = "parquet"
    also: Sequence[str] = ()
    key: Path | None = None
    engine: str = "local"
    cluster: Cluster = HERE
    shard: str | None = None
    ledger: str = AUTO
    retry_rejected: bool = False
    accept_rejects: bool = False
    coming: Coming = AT_ONCE
    destination: Destination | None = None
    ranges: NumberRanges = UNKNOWN_RANGES

    @property
    def reports(self) -> tuple[str, ...]:
        """Names of the reports: those that are asked for, and of what is to be stored the structured one."""
        return tuple(dict.fromkeys([*self.also, *([SR] if self.destination is not None else [])]))


def score_studies(
    model: str, studies: Path | str, out: Path, tracking: TrackingSettings, screen: Screen, manner: Manner | None = None
) -> Scored:
    """Load the model, find the studies, and write the results `scores`, `rejected` and `violations`.

    Args:
        model: Where it is.
        studies: A folder, a manifest or the address of a DICOMweb server.
        out: Folder of the results.
        tracking: The store that knows the model.
        screen: What the user sees.
        manner: How to score; `Manner()` where left out.

    Raises:
        MedmmError: Something that the user can repair.
    """
    manner = manner or Manner()
    options = replace(manner.options, say=screen.say)
    in_rounds = manner.coming.in_rounds(str(studies))
    shard = Shard.parse(manner.shard) if manner.shard else None
    opened = ENGINES.pick(manner.engine)
    SINKS.pick(manner.sink)
    for name in manner.reports:
        REPORTS.pick(name)
    screen.say("loading the model ...")
    with fetched(model, tracking) as folder:
        package, apart = make_ready(load_package(folder, manner.key), options)
        screen.say(f"the golden samples are answered as expected, apart by at most {apart:.2g}")
        found = None if in_rounds else _find(package, Path(studies), out, screen, manner.sink)
        with opened(folder, manner.cluster) as engine:
            ledger = open_ledger(out, model_key(package, options), manner.ledger, sharded=shard is not None)
            with Scorer(
                package,
                out,
                options,
                sink=manner.sink,
                also=manner.reports,
                ledger=ledger,
                stops=not manner.accept_rejects,
                shard=shard,
                engine=engine,
                notice=screen.say,
                ranges=manner.ranges,
            ) as scorer:
                if manner.retry_rejected:
                    screen.say(f"{scorer.retry_rejected()} studies that were rejected are tried again")
                if found is None:
                    meanwhile = partial(store_meanwhile, manner.destination, out, screen)
                    return score_rounds(scorer, package, str(studies), out, manner.coming, ledger, screen, meanwhile)
                with screen.step("scoring") as step:
                    scorer.round(found, step)
                return scorer.export()


def ranges_asked(patients: str | None, studies: str | None, also: Sequence[str]) -> NumberRanges:
    """Give the number ranges, as `--patient-system` and `--study-system` have them.

    Raises:
        ConfigError: One is no URI of a number range, or no report says it.
    """
    for option, text in (("--patient-system", patients), ("--study-system", studies)):
        if text is not None and FHIR not in also:
            raise ConfigError(f"{option} is for the report {FHIR} alone: add --also {FHIR}, or leave it out")
        if text is not None and RANGE.fullmatch(text) is None:
            raise ConfigError(
                f"{option} is no URI of a number range: give one as urn:oid:2.999.1, urn:uuid:... or https://hospital.example/ids"
            )
    return NumberRanges(patients or "", studies or "")


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


def _find(package: Package, place: Path, out: Path, screen: Screen, sink: str) -> tuple[Study, ...]:
    """Find the studies and check their tables, which are let go of before the scoring starts."""
    screen.say("reading tables and image headers ...")
    sweep_killed(out / HEADERS)
    sources = open_incoming(package, place, screen.say, out / HEADERS)
    found = find_studies(package, place, screen.say, sources=sources)
    if silent := [name for name in package.rulebook().study_columns() if not any(name in study.cells for study in found)]:
        screen.say(f"rules that read these columns of the studies table cannot tell, for it lacks them: {', '.join(silent)}")
    counts = write_violations(package.inputs, sources, out, sink)
    if counts:
        reasons = ", ".join(f"{code.value}: {count}" for code, count in sorted(counts.items()))
        cells = f"{sum(counts.values())} cells of the tables are not as the model expects"
        screen.say(f"{cells} ({reasons}): {out / f'violations.{sink}'}")
    return found
