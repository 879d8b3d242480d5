"""Which studies are to be scored: those of a studies table, of a folder of records, or, of images alone, of their headers."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from pathlib import Path

import pandas as pd

from medmm.cohort.scan import Scan
from medmm.cohort.studies import Sources, read_studies
from medmm.errors import Code, DataError
from medmm.inputs import gather
from medmm.inputs.image import ImageInput
from medmm.inputs.tabular import TabularSettings
from medmm.inputs.text import TextSettings
from medmm.package import Package
from medmm.readers.table import read_table
from medmm.types import Study

TABLES = (".csv", ".tsv", ".parquet", ".xlsx")
STUDIES_OF_RECORDS = "studies"


def open_incoming(
    package: Package, place: Path, notice: Callable[[str], None] = lambda _: None, memory: Path | None = None
) -> Sources:
    """Open a folder of studies, or a manifest: a studies table beside the data.

    Where a folder has no table but records that the model reads, such as FHIR, its studies are the records' imaging studies.

    Args:
        package: The model that will score them.
        place: The folder or the manifest.
        notice: Told where the studies come from, if not from the table that the package names.
        memory: Folder for what is remembered of image folders, which holds identifiers of patients; None remembers nothing.

    Raises:
        DataError: Nothing is there, or records are broken.
    """
    if not place.exists():
        raise DataError("there is no such folder or manifest: give a folder with studies, or their table")
    settings = package.cohort.model_copy(update={"root": place if place.is_dir() else place.parent})
    sources = Sources.open(settings, None if place.is_dir() else read_table(place), memory=memory)
    if _has_files_of_tables(place) or sources.has_table(settings.studies):
        return sources
    tables = [one.settings.table for one in package.inputs.values() if isinstance(one.settings, TabularSettings | TextSettings)]
    folders = {table.rpartition("/")[0] for table in tables if table and "/" in table}
    for name in (f"{folder}/{STUDIES_OF_RECORDS}" for folder in sorted(folders)):
        if sources.has_table(name) and len(sources.table(name, [])):
            notice(f"no {settings.studies}: the studies are those of {name}")
            return replace(sources, settings=settings.model_copy(update={"studies": name}))
    return sources


def find_studies(
    package: Package,
    place: Path,
    notice: Callable[[str], None] = lambda _: None,
    memory: Path | None = None,
    sources: Sources | None = None,
) -> tuple[Study, ...]:
    """Find the studies of a folder, or of a manifest: a studies table beside the data.

    Args:
        package: The model that will score them.
        place: The folder or the manifest.
        notice: Told what the user should know of a folder that holds images alone.
        memory: Folder for what is remembered of image folders, which holds identifiers of patients; None remembers nothing.
        sources: What `open_incoming` gave, where that was asked already.

    Raises:
        DataError: Nothing is there, or a table or column that the package needs is missing.
    """
    sources = sources or open_incoming(package, place, notice, memory)
    if not _has_files_of_tables(place) and not sources.has_table(sources.settings.studies):
        return _studies_of_images(package, sources, notice)
    inputs = package.inputs
    if place.is_dir() and not sources.has(sources.settings.studies):  # but one of records, which may be all that there is
        inputs = {name: one for name, one in inputs.items() if one.settings.stands_in(sources)}
        _tell_absent(package.inputs.keys() - inputs.keys(), "the folder does not have their files", notice)
    return gather(inputs, sources, read_studies(sources, None))


def _tell_absent(names: Iterable[str], why: str, notice: Callable[[str], None]) -> None:
    if some := sorted(names):
        notice(f"absent of every study, for {why}: {', '.join(some)}")


def _has_files_of_tables(place: Path) -> bool:
    return place.is_file() or any(file.suffix.lower() in TABLES for file in place.iterdir())


def _studies_of_images(package: Package, sources: Sources, notice: Callable[[str], None]) -> tuple[Study, ...]:
    """Take the studies from DICOM headers; an input that comes from a table is absent of all of them."""
    images = {name: one for name, one in package.inputs.items() if isinstance(one, ImageInput)}
    paths = {one.settings.path for one in images.values()}
    scans = {path: sources.scan(path if sources.has(path) else ".") for path in sorted(paths)}
    table = _table(images.values(), sources, scans)
    if table.empty:
        raise DataError(f"the folder has no table {sources.settings.studies!r} and no DICOM series: give a folder with studies")
    notice(f"no {sources.settings.studies}: {len(table)} studies found by their DICOM headers")
    _tell_absent(package.inputs.keys() - images.keys(), "they come from tables", notice)
    left: Counter[Code] = Counter()
    for scan in {id(scan): scan for scan in scans.values()}.values():
        left.update(scan.left)
    if left:
        notice("files that belong to no study: " + ", ".join(f"{code.value}: {count}" for code, count in sorted(left.items())))
    timeless = sources.settings.model_copy(update={"time": None})  # images need none, and headers may state a wrong one
    opened = Sources.open(timeless, table, scans)
    return gather({name: package.inputs[name] for name in images}, opened, read_studies(opened, None))


def _table(images: Iterable[ImageInput], sources: Sources, scans: Mapping[str, Scan]) -> pd.DataFrame:
    """Make the studies table of the series: a row a study, in the order of their UIDs."""
    cohort = sources.settings
    series = {found.study_uid: found for scan in scans.values() for found in scan.series if found.study_uid}
    rows = []
    for uid, found in sorted(series.items()):
        row = {cohort.patient: found.patient_id, cohort.study: uid}
        for one in images:
            row |= one.cells_of(found, cohort)
        rows.append(row)
    return pd.DataFrame(rows)
