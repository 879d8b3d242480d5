"""`medmm deidentify`: a copy of a cohort without what tells who its patients are."""

from __future__ import annotations

import csv
import io
import shutil
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path, PurePosixPath

from medmm.errors import Code, ConfigError
from medmm.files import private_folder, write_text, writing, writing_folder
from medmm.privacy.key import Key
from medmm.privacy.known import KnownValues, TablesDone
from medmm.privacy.one_file import Done, exporter
from medmm.privacy.people import joined
from medmm.privacy.places import new_paths
from medmm.privacy.quarantine import Reason
from medmm.privacy.tables import deidentify_tables
from medmm.privacy.verify import Written, sought_of, verifier
from medmm.readers.formats import files_in
from medmm.workers import answers, cores

from .screen import Screen

QUARANTINE = "quarantine.csv"


@dataclass(frozen=True)
class Deidentified:
    """What was done.

    Attributes:
        images: Written.
        patients: Of whom there are images.
        tables: What was done to tables and notes; None where there are none.
        behind: How many files stay behind, by why.
        left: In how many of what was written an identifier was still found, and which were taken out again.
    """

    images: int
    patients: int
    tables: TablesDone | None
    behind: Mapping[str, int]
    left: int


@dataclass
class _Export:
    """An export while it is made."""

    key: Key
    source: Path
    out: Path
    known: dict[str, KnownValues] = field(default_factory=dict)
    written: dict[PurePosixPath, tuple[PurePosixPath, str, tuple[str, ...]]] = field(default_factory=dict)
    behind: list[tuple[PurePosixPath, str, str]] = field(default_factory=list)
    """File, patient and code of what stays behind."""

    tables: int = 0

    def add(self, file: PurePosixPath, done: Done | Code) -> None:
        """Take in what became of a file."""
        if isinstance(done, Code):
            done = Done(done)
        if done.patient:
            before = self.known.get(done.patient, KnownValues())
            self.known[done.patient] = joined((before, done.known))
        self.tables += done.table
        if done.place is not None:
            self.written[done.place] = (file, done.patient, done.uids)
        elif not done.table:
            self.behind.append((file, done.patient, (done.code or Code.CRASH).value))

    def paths(self) -> dict[str, str]:
        """Give, for tables that name images by their paths, the paths that these have in the export."""
        return new_paths((file, place) for place, (file, _, _) in self.written.items())


def deidentify(
    source: Path,
    out: Path,
    key_file: Path,
    screen: Screen,
    *,
    quarantine: Path | None = None,
    pixels_checked: bool = False,
    keep: Sequence[str] = (),
    workers: int | None = None,
) -> Deidentified:
    """Write a cohort without identifiers; it appears whole, or not at all.

    Args:
        source: Folder of the cohort.
        out: Folder of the export, absent or empty.
        key_file: What makes pseudonyms, UIDs and dates; made where it is absent.
        screen: What the user sees.
        quarantine: Folder for copies of what stays behind, as it is; None copies nothing.
        pixels_checked: Whether somebody has looked for text in the pixels of images that are only at risk of it.
        keep: Columns of tables that the user vouches for, which stay as they are.
        workers: Processes, one a core where left out.

    Raises:
        ConfigError: A folder or a key that cannot be used, or a cohort that holds no file.
    """
    _check_places(source, out, key_file, quarantine)
    files = [PurePosixPath(path.relative_to(source)) for path in files_in(source)]
    if not files:
        raise ConfigError("the folder to de-identify holds no file: name the folder of a cohort")
    key = Key.load(key_file) if key_file.exists() else Key.make(key_file)
    count = min(workers or cores(), len(files))
    with writing_folder(out) as folder:
        export = _Export(key, source, folder)
        setup = partial(exporter, key, source, folder, pixels_checked=pixels_checked)
        with screen.step("cleaning images") as step:
            for number, (file, done) in enumerate(answers(files, setup, count, ordered=False), start=1):
                export.add(file, done)
                step(number, len(files), f"{len(export.behind)} stay behind")
        tables: TablesDone | None = None
        if export.tables:
            tables = deidentify_tables(source, folder, key, export.known, screen.say, export.paths(), keep)
            export.behind += [(file, "", code) for file, code in tables.behind]
        left = _verify(export, count, screen)
        write_text(folder / QUARANTINE, _listed(export, named=False))
        if quarantine is not None:
            _copy_behind(export, quarantine)
    return Deidentified(
        images=len(export.written),
        patients=len({patient for _, patient, _ in export.written.values() if patient}),
        tables=tables,
        behind=Counter(code for _, _, code in export.behind),
        left=left,
    )


def _check_places(source: Path, out: Path, key_file: Path, quarantine: Path | None) -> None:
    """Refuse places at which identifiers, or the key, would lie within the export.

    Raises:
        ConfigError: One of them.
    """
    if not source.is_dir():
        raise ConfigError("there is no folder to de-identify at this place: name the folder of a cohort")
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise ConfigError("the folder of the export is there and not empty: name another, or remove what it holds")
    if _within(out, source) or _within(source, out):
        raise ConfigError("one of the folders of cohort and export lies in the other: name an export beside the cohort")
    if _within(key_file, out):
        raise ConfigError("the key would lie within the export, and whoever has both knows every patient: keep it elsewhere")
    if quarantine is not None:
        if _within(quarantine, out) or _within(quarantine, source) or _within(out, quarantine):
            raise ConfigError("what stays behind would lie within cohort or export: name a folder beside them")
        if quarantine.exists() and (not quarantine.is_dir() or any(quarantine.iterdir())):
            raise ConfigError("the folder of what stays behind is there and not empty: name another")


def _within(path: Path, folder: Path) -> bool:
    return path.resolve().is_relative_to(folder.resolve())


def _verify(export: _Export, workers: int, screen: Screen) -> int:
    """Look through all that was written, take out what still holds an identifier, and give how many files that are."""
    every = [PurePosixPath(path.relative_to(export.out)) for path in files_in(export.out)]
    items = []
    for place in every:
        _, patient, uids = export.written.get(place, (place, "", ()))
        items.append(Written(place, export.known.get(patient, KnownValues()), uids))
    setup = partial(verifier, export.out, sought_of(export.known.values()))
    left = 0
    with screen.step("looking for identifiers") as step:
        for number, (item, clean) in enumerate(answers(items, setup, workers, ordered=False), start=1):
            if clean is not True:
                left += 1
                file, patient, _ = export.written.pop(item.place, (item.place, "", ()))
                export.behind.append((file, patient, Reason.IDENTIFIER_LEFT.value))
                (export.out / item.place).unlink()
            step(number, len(items), f"{left} found" if left else "")
    return left


def _listed(export: _Export, *, named: bool) -> str:
    """Give the table of what stays behind: a pseudonym of each file, its patient's, and why.

    Args:
        export: What was made.
        named: Whether to add the names of the files, for the eyes of those who have the cohort.
    """
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(["file", "patient", "code", *(["name"] if named else [])])
    for row in sorted(
        [
            export.key.pseudonym("file", str(file)),
            export.key.pseudonym("patient", patient) if patient else "",
            code,
            *([str(file)] if named else []),
        ]
        for file, patient, code in export.behind
    ):
        table.writerow(row)
    return text.getvalue()


def _copy_behind(export: _Export, folder: Path) -> None:
    """Copy what stays behind, with its identifiers, for nobody but the owner to read."""
    private_folder(folder)
    for file, _, _ in export.behind:
        path = export.source / file
        if path.is_file():
            with writing(folder / f"{export.key.pseudonym('file', str(file))}{path.suffix}", private=True) as temporary:
                shutil.copyfile(path, temporary)
    with writing(folder / QUARANTINE, private=True) as temporary:
        temporary.write_text(_listed(export, named=True), encoding="utf-8", errors="surrogateescape")
