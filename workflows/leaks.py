"""The leakage checks of a run: what tells of the label by itself, and what stands on two sides of the split."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime

import numpy as np

from medmm.cohort.corners import corner_features
from medmm.cohort.crossings import crossings
from medmm.cohort.dates import later_dates, later_rows
from medmm.cohort.leakage import Check, Finding
from medmm.cohort.manifest import patient_numbers
from medmm.cohort.near_images import near_images
from medmm.cohort.near_notes import near_notes
from medmm.cohort.persons import Persons, find_persons
from medmm.cohort.scan import SeriesFound
from medmm.cohort.split import PARTS
from medmm.cohort.studies import Sources
from medmm.cohort.telltales import Sample, telltales
from medmm.config import RunConfig
from medmm.dataset.cache import PreparedInput
from medmm.encoders.several import THERE
from medmm.errors import Rejected
from medmm.files import digest
from medmm.inputs.image import ImageSettings
from medmm.inputs.tabular import TabularSettings
from medmm.inputs.text import TextInput, TextSettings
from medmm.types import Array, Evidence, Study

Series = Mapping[str, Sequence[SeriesFound | None]]
"""Image input -> the series that each study takes, None where it has none or where headers do not tell."""

Notes = Mapping[str, Sequence[str]]
"""Text input -> the note of each study, "" where it has none."""

Prepared = Mapping[str, PreparedInput]
"""Image input -> its prepared images; empty where pixels are not looked at."""


def series_of(config: RunConfig, sources: Sources, studies: Sequence[Study]) -> Series:
    """Find the series of every study again by its files; the first of several."""
    found: dict[str, list[SeriesFound | None]] = {}
    for name, settings in config.inputs.items():
        if isinstance(settings, ImageSettings) and settings.match != "file":
            by_file = {file: series for series in sources.scan(settings.path).series for file in series.files}
            files = (study.evidence[name].files[0] if name in study.evidence else None for study in studies)
            found[name] = [None if file is None else by_file.get(file) for file in files]
    return found


def persons_of(config: RunConfig, studies: Sequence[Study], series: Series, images: Prepared) -> Persons:
    """Find patients who are one person, by what the studies table, image headers and images say."""
    marks: dict[str, Iterator[tuple[int, str]]] = {}
    columns = config.cohort.person
    if columns:
        cells = ([study.cells[column].casefold() for column in columns] for study in studies)
        marks[f"the same {' and '.join(columns)}"] = ((i, digest(own)) for i, own in enumerate(cells) if all(own))
    if series:
        marks["the same name and date of birth in image headers"] = (
            (i, one.person) for own in series.values() for i, one in enumerate(own) if one is not None and one.person
        )
    if images:
        marks["an identical image"] = (mark for name in images for mark in _image_marks(images[name]))
    return find_persons([study.patient_id for study in studies], marks)


def notes_of(config: RunConfig, studies: Sequence[Study]) -> Notes:
    """Read the notes of all studies, be they cells or files; what cannot be read is left to the preparation to reject."""
    found: dict[str, list[str]] = {}
    for name, settings in config.inputs.items():
        if isinstance(settings, TextSettings):
            one = TextInput(name, settings)
            found[name] = [_read(one, study.evidence.get(name)) for study in studies]
    return found


def across(
    studies: Sequence[Study],
    series: Series,
    images: Prepared,
    notes: Notes,
    persons: Persons,
    sides: Mapping[int, str],
) -> list[Finding]:
    """Find what stands on two sides of the split.

    Args:
        studies: All of them.
        series: Of image inputs.
        images: Prepared; empty where pixels are not looked at.
        notes: Of text inputs.
        persons: Who is who.
        sides: Index of a study -> its part.
    """
    marks: dict[str, list[tuple[int, str]]] = {
        "persons": [(i, persons.same.get(study.patient_id, study.patient_id)) for i, study in enumerate(studies)]
    }
    for name, own in series.items():
        known = [(i, one) for i, one in enumerate(own) if one is not None]
        marks[f"{name}.study"] = [(i, one.study_uid) for i, one in known if one.study_uid]
        marks[f"{name}.series"] = [(i, one.series_uid) for i, one in known if one.series_uid]
    for name, prepared in images.items():
        marks[f"{name}.files"] = [(i, one) for i, one in enumerate(prepared.digests) if one is not None]
    number = np.array([PARTS.index(sides[i]) if i in sides else -1 for i in range(len(studies))])
    pairs: dict[str, Iterator[tuple[int, int]]] = {}
    for name, prepared in images.items():
        pairs[f"{name}.images"] = _near(prepared, number)
    for name, texts in notes.items():
        pairs[f"{name}.notes"] = near_notes(texts, [study.patient_id for study in studies], number)
    return crossings(marks, pairs, sides, [study.row for study in studies])


def telling(
    config: RunConfig,
    sources: Sources,
    studies: Sequence[Study],
    series: Series,
    images: Prepared,
    notes: Notes,
    rows: Sequence[int],
) -> list[Finding]:
    """Hold what some studies say of themselves against their labels, the most telling first.

    Args:
        config: The run.
        sources: Its export.
        studies: All of them, gathered.
        series: Of image inputs.
        images: Prepared; empty where pixels are not looked at.
        notes: Of text inputs.
        rows: Indices of those to look at: never of test studies.
    """
    some = [studies[i] for i in rows]
    columns = {
        f"{name}.{column}": cells for name, of_input in cells_of(config, some).items() for column, cells in of_input.items()
    }
    taken = {name: [own[i] for i in rows] for name, own in series.items()}
    sample = Sample(
        patient=np.array(patient_numbers(studies))[list(rows)],
        label=config.target.marks(np.array([study.label for study in some], dtype=np.float64)),
        classes=config.target.mark_names,
        columns=columns,
        notes={name: [texts[i] for i in rows] for name, texts in notes.items()},
        groups={name: [study.groups[name] for study in some] for name in config.cohort.subgroups},
        present={name: np.array([name in study.evidence for study in some]) for name in config.inputs},
        scanners={name: ["" if one is None else one.scanner for one in own] for name, own in taken.items()},
        sizes={name: np.array([_size(one) for one in own]) for name, own in taken.items()},
        corners={name: corner_features(_image(one, i) for i in rows) for name, one in images.items()},
        synonyms={name: (*words, *config.leakage.words.get(name, ())) for name, words in config.target.words.items()},
    )
    later = later_dates({**columns, **sample.groups}, [study.time for study in some])
    return [*_untimed(config, sources, studies), *later, *telltales(sample), *_headless(config, series)]


def cells_of(config: RunConfig, studies: Sequence[Study]) -> dict[str, dict[str, list[str]]]:
    """Give the cells of tabular inputs: input -> column -> (S,), "" where missing."""
    found: dict[str, dict[str, list[str]]] = {}
    for name, settings in config.inputs.items():
        if isinstance(settings, TabularSettings):
            of_input = [study.evidence.get(name) for study in studies]
            rows = [dict(one.cells) if one is not None and one.cells is not None else {} for one in of_input]
            found[name] = {
                column: [row.get(column, "") for row in rows] for column in dict.fromkeys(c for row in rows for c in row)
            }
    return found


def _untimed(config: RunConfig, sources: Sources, studies: Sequence[Study]) -> list[Finding]:
    """Find what is read whenever it was recorded: in a run that does not say when its studies were, or of a table that has
    its times under another name than the input looks for.
    """
    found: list[Finding] = []
    for name, settings in config.inputs.items():
        if isinstance(settings, TextSettings) and settings.table is None:
            said = "not looked at: text files say no time of recording, and one that was written after the study is read too"
            found.append(Finding("no index time", name, said, False, judged=False))
        if not isinstance(settings, TabularSettings | TextSettings) or settings.table is None:
            continue
        table = sources.table(settings.table, [])
        if settings.table != config.cohort.studies and settings.time in table.columns:
            if config.cohort.time is None:
                said = "what was recorded after the study is read too: name the time of the studies under cohort.time"
                found.append(Finding("no index time", f"{name}.{settings.time}", said, True))
        elif config.cohort.time is not None and settings.table != config.cohort.studies:
            by = settings.joined_by() if isinstance(settings, TabularSettings) else settings.by
            times: dict[str, datetime] = {}
            for study in studies:
                if study.time is not None:
                    who = study.study_id if by == "study" else study.patient_id
                    times[who] = min(study.time, times.get(who, study.time))
            found += later_rows(name, table, config.cohort.study if by == "study" else config.cohort.patient, times)
    return found


def _headless(config: RunConfig, series: Series) -> list[Finding]:
    """Say what is not looked at of images that are joined by their files, of which no header was read."""
    said = "not looked at: the images are joined by their files"
    checks: list[tuple[Check, str]] = [("image size", "size"), ("scanner", "scanner")]
    return [
        Finding(check, f"{name}.{what}", said, False, judged=False)
        for name, settings in config.inputs.items()
        if isinstance(settings, ImageSettings) and name not in series
        for check, what in checks
    ]


def _image_marks(one: PreparedInput) -> Iterator[tuple[int, str]]:
    """Give a digest of each image in which anything is to be seen."""
    for i in range(len(one.place)):
        for image in _images(one, i):
            if image.min() < image.max():
                yield i, digest([image.shape, digest(np.ascontiguousarray(image).tobytes())])


def _near(one: PreparedInput, sides: Array) -> Iterator[tuple[int, int]]:
    """Find pairs of studies on two sides of which an image of one is nearly the same as one of the other."""
    owners = np.array([i for i in range(len(one.place)) for _ in _images(one, i)], np.int64)
    images = (image for i in range(len(one.place)) for image in _images(one, i))
    pairs = near_images(images, sides[owners])
    return iter(dict.fromkeys((int(owners[a]), int(owners[b])) for a, b in pairs))


def _images(one: PreparedInput, index: int) -> list[Array]:
    """Give the prepared images of a study; none where it has none."""
    fields = one.fields(index)
    if fields is None:
        return []
    return list(fields["image"][fields[THERE] > 0]) if THERE in fields else [fields["image"]]


def _image(one: PreparedInput, index: int) -> Array | None:
    """Give the first image of a study."""
    return next(iter(_images(one, index)), None)


def _read(one: TextInput, evidence: Evidence | None) -> str:
    try:
        return "" if evidence is None else one.read(evidence)
    except Rejected:
        return ""


def _size(one: SeriesFound | None) -> tuple[float, float, float]:
    """Give rows, columns and slices."""
    if one is None or not one.rows:
        return (np.nan, np.nan, np.nan)
    return (one.rows, one.columns, one.slices)
