"""Studies that come in rounds, from a DICOMweb server or as they arrive in a folder; rows are kept after each round."""

import time
from collections.abc import Callable, Generator, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import date
from itertools import chain
from pathlib import Path
from threading import Event

from medmm.cohort.headers import HEADERS
from medmm.errors import ConfigError
from medmm.package import Package
from medmm.scoring.arrivals import arrivals
from medmm.scoring.dicomweb.address import address_of, is_address
from medmm.scoring.dicomweb.incoming import incoming
from medmm.scoring.dicomweb.listing import Search
from medmm.scoring.dicomweb.server import Server
from medmm.scoring.ledger.base import Ledger
from medmm.scoring.run import Scored, Scorer
from medmm.scoring.watching import Pace, stopping
from medmm.types import Study

from .screen import Screen

SPOOL = ".spool"
"""Folder for what is fetched, in the folder of the results."""

EXPORT_SHARE = 20
"""While studies keep coming, the results are written again when the last writing is this many times its own length ago."""


ALL = Search()
"""Every study of a server that has a series that the model takes."""


@dataclass(frozen=True)
class Coming:
    """How studies come.

    Attributes:
        watch: How patiently to wait for more; None ends with what is there.
        search: Which studies of a server.
        insecure: Whether a server may be asked in the clear.
    """

    watch: Pace | None = None
    search: Search = ALL
    insecure: bool = False

    def in_rounds(self, studies: str) -> bool:
        """Tell whether studies of a place come in rounds.

        Raises:
            ConfigError: The place is no server, and something is asked for that only a server can do.
        """
        if not is_address(studies) and (self.search != ALL or self.insecure):
            raise ConfigError(
                "--modality, --from, --to, --max-studies and --insecure-http are for a DICOMweb server: "
                "give its address as STUDIES, or leave them out"
            )
        return self.watch is not None or is_address(studies)


def days_of(first: str | None, last: str | None) -> tuple[date | None, date | None]:
    """Read the first and the last study date that are wanted.

    Raises:
        ConfigError: One is no date, or the last is before the first.
    """
    try:
        days = tuple(None if text is None else date.fromisoformat(text) for text in (first, last))
    except ValueError:
        raise ConfigError("--from or --to is no date: write it as 2024-05-31") from None
    if days[0] is not None and days[1] is not None and days[1] < days[0]:
        raise ConfigError("--to is before --from: exchange them")
    return days[0], days[1]


def score_rounds(
    scorer: Scorer,
    package: Package,
    studies: str,
    out: Path,
    coming: Coming,
    ledger: Ledger,
    screen: Screen,
    exported: Callable[[], None] = lambda: None,
) -> Scored:
    """Score what comes, round by round, and write the results at the end, and of a watch whenever nothing more is there.

    SIGTERM and Ctrl-C end it after the studies in hand, with the results written.

    Args:
        scorer: Open.
        package: The model.
        studies: Address of the server, or the folder.
        out: Folder of the results.
        coming: How studies come.
        ledger: Of the scorer.
        screen: What the user sees.
        exported: Called when the results were written and more studies are waited for.

    Raises:
        MedmmError: Something that the user can repair.
        KeyboardInterrupt: It was ended before all studies of a server had come.
    """
    with stopping() as stop:
        rounds = _rounds(package, studies, out, coming, ledger, stop, screen)
        with closing(rounds):
            done, ended, length = 0, time.monotonic(), 0.0
            for some in rounds:
                scorer.round(some)
                done += len(some)
                screen.say(f"  {done} studies")
                full = coming.watch is not None and len(some) == coming.watch.most
                if coming.watch is not None and not (full and time.monotonic() - ended < EXPORT_SHARE * length):
                    begun = time.monotonic()
                    scorer.export()
                    exported()
                    ended, length = time.monotonic(), time.monotonic() - begun
        scored = scorer.export()
        if stop.is_set() and coming.watch is None:
            screen.say("ended before all studies had come; the same command goes on")
            raise KeyboardInterrupt
    return scored


def _rounds(
    package: Package, studies: str, out: Path, coming: Coming, ledger: Ledger, stop: Event, screen: Screen
) -> Generator[Sequence[Study], None, None]:
    if not is_address(studies):
        assert coming.watch is not None
        screen.say("watching the folder; SIGTERM or Ctrl-C ends it after the studies in hand ...")
        yield from arrivals(package, Path(studies), coming.watch, stop, memory=out / HEADERS, notice=screen.say)
        return
    screen.say("asking the DICOMweb server ..." if coming.watch is None else "watching the DICOMweb server ...")
    known: set[str] = set()
    last = 0
    for number, row in chain(ledger.rows(rejected=False), ledger.rows(rejected=True)):
        known.add(str(row["study_id"]))
        last = max(last, number)
    with Server(address_of(studies, insecure=coming.insecure), stop) as server:
        yield from incoming(
            server,
            package,
            out / SPOOL,
            coming.search,
            is_scored=known.__contains__,
            rows=last,
            watch=coming.watch,
            notice=screen.say,
        )
