"""A folder that studies arrive in: which of them are complete, by their files and by those that may still become theirs."""

import os
import stat
import time
from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from threading import Event
from typing import TypeAlias

from medmm.cohort.studies import Sources
from medmm.errors import Rejected
from medmm.files import digest
from medmm.inputs.image import ImageInput
from medmm.inputs.tabular import TabularSettings
from medmm.inputs.text import TextSettings
from medmm.package import Package
from medmm.readers.formats import DICOM_SUFFIXES, format_of
from medmm.scoring.studies import TABLES, find_studies, open_incoming
from medmm.scoring.watching import Pace, Sight, settled
from medmm.types import Study

UNFINISHED = (".part", ".partial", ".filepart", ".tmp", ".temp", ".crdownload", ".download")
"""Endings of names that a file has while it is being copied."""

Stamp: TypeAlias = tuple[int, int, int, int]
"""Size, times of the last change of content and of anything in ns, number of the file on its disk."""

Key: TypeAlias = tuple[str, int] | Path
"""A study by its identifier and how many before it have the same; or a file."""


def arrivals(
    package: Package,
    place: Path,
    pace: Pace,
    stop: Event,
    *,
    memory: Path | None = None,
    notice: Callable[[str], None] = lambda _: None,
    clock: Callable[[], float] = time.monotonic,
) -> Iterator[Sequence[Study]]:
    """Give the studies of a folder or manifest as they arrive, each when it is complete and at rest.

    A study is taken when for `settle_seconds` none of its files has come, gone or changed, no table has changed, none of its
    files has a name of a file being copied, and no file beside its own that cannot be told yet has changed. A study that
    changes later is given again. Ends when `stop` is set.

    Args:
        package: The model that will score them.
        place: The folder or the manifest; may be empty, and a table may be missing yet.
        pace: How patiently.
        stop: Set to end after the studies in hand.
        memory: Folder for what is remembered of image folders, which holds identifiers of patients; None remembers nothing.
        notice: Told once what the user should know.
        clock: Seconds, never going back.
    """
    folder = _Arriving(package, place, memory, notice)
    for keys in settled(folder.look, pace, stop, notice, clock):
        yield [folder.studies[key] for key in keys]


class _Arriving:
    """A folder that is looked at again and again; where no file has changed, a look costs a stat a file."""

    def __init__(self, package: Package, place: Path, memory: Path | None, notice: Callable[[str], None]) -> None:
        self._package = package
        self._place = place
        self._memory = memory
        self._notice = notice
        self._said: set[str] = set()
        self._stamps: Mapping[Path, Stamp] | None = None
        self._sights: Mapping[Key, Sight] = {}
        self.studies: Mapping[Key, Study] = {}

    @property
    def _root(self) -> Path:
        return self._place if self._place.is_dir() else self._place.parent

    def look(self) -> Mapping[Key, Sight]:
        """Show the studies, and the files that they may have to wait for."""
        stamps = dict(_stamps_below(self._root))
        if stamps == self._stamps:
            return self._sights
        sources = open_incoming(self._package, self._place, self._tell, self._memory)
        studies = find_studies(self._package, self._place, self._tell, sources=sources)
        self.studies = dict(zip(_keys(studies), studies, strict=True))
        self._sights = self._seen(sources, stamps)
        self._stamps = stamps
        return self._sights

    def _tell(self, text: str) -> None:
        """Say what is new; of how many studies and files a folder holds only the first time."""
        kind = "".join(letter for letter in text if not letter.isdecimal())
        if kind not in self._said:
            self._said.add(kind)
            self._notice(text)

    def _seen(self, sources: Sources, stamps: Mapping[Path, Stamp]) -> dict[Key, Sight]:
        files = _files_of(self._package, sources, self.studies)
        tables = frozenset(path for path in stamps if self._is_shared(path))
        owned = frozenset(path for own in files.values() for path in own)
        unknown: dict[Path, set[Path]] = {}
        for path in stamps:
            if path not in owned and path not in tables and _may_be_image(path):
                unknown.setdefault(path.parent, set()).add(path)
        tenants = Counter(folder for own in files.values() for folder in {path.parent for path in own})
        sights: dict[Key, Sight] = {
            path: Sight(stamps[path], wanted=False) for path in (*tables, *(path for some in unknown.values() for path in some))
        }
        waiting = 0
        for key, study in self.studies.items():
            folders = {path.parent for path in files[key]}
            beside = frozenset(path for folder in folders for path in unknown.get(folder, ()))
            own = (path for path in beside if tenants[path.parent] == 1)
            unfinished = any(_is_being_copied(path) for path in (*files[key], *own))
            waiting += unfinished
            after: frozenset[Hashable] = tables | beside
            sights[key] = Sight(_stamp_of(study, files[key], stamps), unfinished, after)
        if waiting:
            self._tell(f"studies that wait for a file with the name of a copy under way: {waiting}")
        return sights

    def _is_shared(self, path: Path) -> bool:
        """Tell whether a file is a table, a record or a note, which may say something of any study."""
        inside = path.relative_to(self._root)
        if path == self._place or (len(inside.parts) == 1 and path.suffix.lower() in TABLES):
            return not path.name.startswith(".")
        folders = []
        for one in self._package.inputs.values():
            if isinstance(one.settings, TextSettings | TabularSettings):
                folders += [(one.settings.table or "").rpartition("/")[0], getattr(one.settings, "folder", None) or ""]
        return any(inside.is_relative_to(folder) for folder in folders if folder)


def _stamps_below(folder: Path) -> Iterator[tuple[Path, Stamp]]:
    """Give every file below a folder, hidden ones too, without following links."""
    for name, below, files in os.walk(folder):
        below.sort()
        for file in sorted(files):
            path = Path(name, file)
            told = path.lstat()
            if not stat.S_ISREG(told.st_mode):
                continue  # to open a pipe can wait for ever
            yield path, (told.st_size, told.st_mtime_ns, told.st_ctime_ns, told.st_ino)


def _keys(studies: Iterable[Study]) -> Iterator[Key]:
    times: Counter[str] = Counter()
    for study in studies:
        yield study.study_id, times[study.study_id]
        times[study.study_id] += 1


def _files_of(package: Package, sources: Sources, studies: Mapping[Key, Study]) -> dict[Key, frozenset[Path]]:
    """Give all files that are known to belong to each study, whether an input takes them, leaves them or rejects them."""
    files: dict[Key, set[Path]] = {key: set() for key in studies}
    for key, study in studies.items():
        for evidence in study.evidence.values():
            files[key] |= set(evidence.files)
    alone = not sources.has_table(sources.settings.studies)
    for one in package.inputs.values():
        if not isinstance(one, ImageInput) or one.settings.match == "file":
            continue
        path = one.settings.path
        if not sources.has(path):
            if not alone:
                continue
            path = "."
        groups: dict[str, set[Path]] = {}
        for series in sources.scan(path).series:
            groups.setdefault(getattr(series, one.settings.match), set()).update(series.files)
        (column,) = one.study_columns(sources.settings)
        for key, study in studies.items():
            if cell := study.cells.get(column):
                files[key] |= groups.get(cell, set())
    return {key: frozenset(own) for key, own in files.items()}


def _stamp_of(study: Study, files: Iterable[Path], stamps: Mapping[Path, Stamp]) -> str:
    """Give a digest of all that is known of a study; a file that came after the listing makes another one at the next look."""
    return digest(
        [
            study.patient_id,
            dict(study.cells),
            [[str(path), *stamps.get(path, ())] for path in sorted(files)],
            {
                name: [[str(path) for path in one.files], list(one.counts), one.cells and dict(one.cells), one.text]
                for name, one in study.evidence.items()
            },
            {name: reason.code.value for name, reason in study.rejected.items()},
        ]
    )


def _may_be_image(path: Path) -> bool:
    """Tell whether a file that belongs to no study may be an image that has not come as a whole."""
    try:
        return format_of(path, "") is not None or path.suffix.lower() in DICOM_SUFFIXES
    except Rejected:
        return True  # nothing in it yet


def _is_being_copied(path: Path) -> bool:
    return path.name.startswith(".") or path.suffix.lower() in UNFINISHED or path.name.endswith("~")
