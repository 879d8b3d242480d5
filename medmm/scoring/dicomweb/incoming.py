"""From a DICOMweb server to studies that can be scored: fetched ahead of the scoring, chunk by chunk, on a bounded disk."""

import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TypeAlias

from medmm.errors import Code, DataError, Rejected
from medmm.inputs.image import ImageInput
from medmm.package import Package
from medmm.scoring.dicomweb.connection import TransferError
from medmm.scoring.dicomweb.listing import RemoteStudy, Search
from medmm.scoring.dicomweb.server import Server
from medmm.scoring.dicomweb.spool import Spool, study_name
from medmm.scoring.studies import find_studies, open_incoming
from medmm.scoring.watching import Pace, Sight, settled
from medmm.types import Study

STOP_SECONDS = 0.2
"""Between two looks at whether to stop, while a study is waited for."""

TRIES = 3
"""How often a study whose transfer fails is fetched while one watches; each time after it has been at rest."""

SERVER = "server"
"""Name under which a study is rejected that could not be fetched; no input of the model."""

NOBODY = Study(0, "", "")
"""Any study, before it has its number."""

REPAIR = "look at the study on the server, then score again: only what failed is fetched once more"


@dataclass(frozen=True)
class Fetching:
    """How studies are fetched.

    Attributes:
        least: Studies that are waited for before a chunk is given.
        most: Studies of a chunk, where more are there already.
        ahead: Studies that are fetched, or wait, while a chunk is scored: what the disk has to hold beside it.
        connections: Studies that are fetched at once.
    """

    least: int = 16
    most: int = 64
    ahead: int = 64
    connections: int = 4


@dataclass
class _Tally:
    """What becomes of studies that are not given.

    Attributes:
        known: Scored before, and not changed since.
        other: Without a series that the model takes.
        unnamed: Without a usable UID.
        failures: Study Instance UID -> how often its transfer failed.
    """

    known: int = 0
    other: int = 0
    unnamed: int = 0
    failures: Counter[str] = field(default_factory=Counter)

    def told(self) -> Iterator[str]:
        """Say what is not zero."""
        if self.known:
            yield f"scored before and not changed since: {self.known} studies"
        if self.other:
            yield f"left out, without a series that the model takes: {self.other} studies"
        if self.unnamed:
            yield f"left out, without a usable Study Instance UID: {self.unnamed} studies"

    def add_unnamed(self, number: int) -> None:
        """Count studies without a usable UID."""
        self.unnamed += number


Fetched: TypeAlias = int | TransferError
"""How many instances of a study lie in the spool, or why not all do."""


def wanted_modalities(package: Package, asked: Iterable[str] = ()) -> tuple[str, ...]:
    """Give the modalities of the series that the image inputs of a package take; empty where one takes any.

    Args:
        package: The model.
        asked: Those that the user wants; where empty, all that the package takes.

    Raises:
        DataError: The package takes no images, or some by file names, or none of a modality that was asked for.
    """
    images = [one.settings for one in package.inputs.values() if isinstance(one, ImageInput)]
    if not images or any(one.match == "file" for one in images):
        raise DataError("the model does not find all its images by DICOM headers: give a folder with a studies table")
    every = any(not one.modality for one in images)
    taken = sorted({name for one in images for name in one.modality})
    wanted = sorted(set(asked)) or ([] if every else taken)
    if not every and not set(wanted) <= set(taken):
        raise DataError(f"--modality names one that the model does not take: it takes {', '.join(taken)}")
    return tuple(wanted)


def incoming(
    server: Server,
    package: Package,
    spool: Path,
    search: Search,
    *,
    fetching: Fetching | None = None,
    is_scored: Callable[[str], bool] = lambda _: False,
    rows: int = 0,
    watch: Pace | None = None,
    notice: Callable[[str], None] = lambda _: None,
    clock: Callable[[], float] = time.monotonic,
) -> Iterator[Sequence[Study]]:
    """Give the studies of a server in chunks that are on disk while they are scored.

    When the next chunk is asked for, the studies of the last one count as scored, and their files are removed. A study that
    cannot be fetched comes as one that is rejected with TRANSFER. Rows are numbered as they come. Ends early, after the chunk
    in hand, when `server.stop` is set.

    Args:
        server: The connection.
        package: The model that will score them; only series of the modalities that it takes are fetched.
        spool: Folder for the files, under the output folder; what an interrupted scoring left there is used.
        search: Which studies; without modalities, those that have one that the package takes.
        fetching: How many at a time.
        is_scored: Tells of a Study Instance UID whether the results have it under this model: then it is not fetched again,
            unless the server counts other instances of it than when it was scored.
        rows: Number of the last row that the results have already.
        watch: Ask the server again and again, at this pace, for what is new or has changed; None ends with what is there.
        notice: Told what the user should know.
        clock: Seconds, never going back.

    Raises:
        DataError: The server does not answer.
        ConfigError: It refuses us, or cannot be trusted.
    """
    modalities = wanted_modalities(package, search.modalities)
    search = replace(search, modalities=modalities)
    if absent := sorted(name for name, one in package.inputs.items() if not isinstance(one, ImageInput)):
        notice(f"absent of every study, for they come from tables: {', '.join(absent)}")
    tally = _Tally()
    with closing(Spool(spool)) as opened:
        fetcher = _Fetcher(server, package, opened, modalities, fetching or Fetching(), is_scored, rows, tally)
        if watch is None:
            yield from fetcher.chunks(server.studies(search, tally.add_unnamed))
        else:
            look = _Look(server, search, tally)
            for uids in settled(look, watch, server.stop, notice, clock):
                yield from fetcher.chunks([look.studies[uid] for uid in uids])
    for text in tally.told():
        notice(text)


class _Look:
    """What a server lists, as one watches it."""

    def __init__(self, server: Server, search: Search, tally: _Tally) -> None:
        self._server = server
        self._search = search
        self._tally = tally
        self.studies: Mapping[str, RemoteStudy] = {}

    def __call__(self) -> Mapping[str, Sight]:
        """List the studies. One that failed looks different each time, so that it is tried again, but not for ever."""
        self.studies = {study.uid: study for study in self._server.studies(self._search)}
        failures = self._tally.failures
        return {uid: Sight((study.instances, min(failures[uid], TRIES - 1))) for uid, study in self.studies.items()}


class _Fetcher:
    """Fetches studies in threads and gives them in chunks."""

    def __init__(
        self,
        server: Server,
        package: Package,
        spool: Spool,
        modalities: Sequence[str],
        fetching: Fetching,
        is_scored: Callable[[str], bool],
        rows: int,
        tally: _Tally,
    ) -> None:
        self._server = server
        self._package = package
        self._spool = spool
        self._modalities = modalities
        self._fetching = fetching
        self._is_scored = is_scored
        self._tally = tally
        self._rows = rows

    def chunks(self, studies: Iterable[RemoteStudy]) -> Iterator[Sequence[Study]]:
        """Give chunks until the studies end or somebody stops; what was fetched then stays for the next time."""
        source = iter(self._unknown(studies))
        waiting: deque[tuple[RemoteStudy, Future[Fetched]]] = deque()
        pool = ThreadPoolExecutor(self._fetching.connections)
        try:
            while True:
                whole: list[RemoteStudy] = []
                failed: dict[RemoteStudy, Rejected] = {}
                while (size := len(whole) + len(failed)) < self._fetching.most:
                    self._fill(waiting, source, pool)
                    if not waiting or (size >= self._fetching.least and not waiting[0][1].done()):
                        break
                    if not self._has_ended(waiting[0][1]):
                        return
                    study, future = waiting.popleft()
                    fetched = future.result()
                    if isinstance(fetched, TransferError):
                        self._tally.failures[study.uid] += 1
                        failed[study] = not_fetched(NOBODY.key, fetched.found)
                    elif fetched:
                        whole.append(study)
                    else:
                        self._tally.other += 1
                if self._server.stop.is_set() or not (whole or failed):
                    return  # what failed because somebody stopped has not failed
                self._fill(waiting, source, pool)
                yield self._chunk(whole, failed)
                for study in whole:
                    self._spool.drop(study.uid)
                    if study not in failed:
                        self._spool.mark_done(study)
        finally:
            if waiting:  # ended in the middle
                self._server.stop.set()
            pool.shutdown(cancel_futures=True)

    def _unknown(self, studies: Iterable[RemoteStudy]) -> Iterator[RemoteStudy]:
        for study in studies:
            if self._spool.is_done(study) and self._is_scored(study.uid):
                self._tally.known += 1
            else:
                yield study

    def _fill(
        self,
        waiting: deque[tuple[RemoteStudy, Future[Fetched]]],
        source: Iterator[RemoteStudy],
        pool: ThreadPoolExecutor,
    ) -> None:
        while len(waiting) < self._fetching.ahead and (study := next(source, None)) is not None:
            waiting.append((study, pool.submit(self._fetch, study)))

    def _fetch(self, study: RemoteStudy) -> Fetched:
        try:
            return self._spool.fetch(self._server, study, self._modalities)
        except TransferError as failure:
            return failure

    def _has_ended(self, future: Future[Fetched]) -> bool:
        """Wait for a study; false where somebody stops first."""
        while not future.done():
            if self._server.stop.is_set():
                return False
            wait([future], STOP_SECONDS)
        return True

    def _chunk(self, whole: Sequence[RemoteStudy], failed: dict[RemoteStudy, Rejected]) -> Sequence[Study]:
        """Find the studies of a chunk by their headers, and add to `failed` those of which none comes out."""
        self._spool.put_in_chunk(study.uid for study in whole)
        names = {study_name(study.uid): study for study in whole}
        while True:
            folder = self._spool.chunk
            sources = open_incoming(self._package, folder)
            series = sources.scan(".").series
            strange = {
                _owner(file, folder)
                for one in series
                for file in one.files
                if _owner(file, folder) != study_name(one.study_uid)
            }
            if not strange:
                break
            for name in strange:
                self._spool.drop(names[name].uid)
                failed[names[name]] = not_fetched(NOBODY.key, "an instance that says it is of another study")
        studies = find_studies(self._package, folder, sources=sources) if series else ()
        there = {study.study_id for study in studies}
        for study in whole:
            if study.uid not in there and study not in failed:
                failed[study] = Rejected(
                    Code.EMPTY, NOBODY.key, "no readable image", "images, as the server lists them", REPAIR
                )
        left = [replace(NOBODY, patient_id=one.patient_id, study_id=one.uid).with_input(SERVER, failed[one]) for one in failed]
        given = [_numbered(study, row) for row, study in enumerate((*studies, *left), self._rows + 1)]
        self._rows += len(given)
        return given


def not_fetched(study: str, found: str) -> Rejected:
    """Give the reason for which a study is rejected that could not be fetched."""
    return Rejected(Code.TRANSFER, study, found, "the whole study", REPAIR)


def _numbered(study: Study, row: int) -> Study:
    """Give a study another number, also in the reasons for which it is rejected."""
    new = replace(study, row=row)
    reasons = {
        name: Rejected(one.code, one.where.replace(study.key, new.key), one.found, one.expected, one.repair)
        for name, one in study.rejected.items()
    }
    return replace(new, rejected=reasons)


def _owner(file: Path, folder: Path) -> str:
    return file.relative_to(folder).parts[0]
