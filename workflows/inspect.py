"""`medmm inspect`: what is in an export, before anything is trained."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from medmm.cohort.headers import HEADERS, WaveformFound
from medmm.cohort.scan import Scan, SeriesFound, scan
from medmm.cohort.shown import shown_modality, shown_syntax, shown_vendor
from medmm.cohort.studies import Sources
from medmm.config import RunConfig
from medmm.inputs.image import ImageInput, ImageSettings
from medmm.inputs.schema import Findings, check_tables
from medmm.inputs.series_choice import Considered
from medmm.inputs.signal import SignalSettings
from medmm.types import Evidence, Study

from .cohort import take_in
from .inspect_cohort import describe_cohort
from .inspect_signals import describe_signals
from .screen import Screen
from .sections import Section
from .thumbnails import Subject

SERIES_COLUMNS = ("modality", "manufacturer", "transfer_syntax", "plane", "slices", "files", "thickness_mm", "code")
"""What the answer says of one series; no identifier, no number and no text that a scanner's user typed."""

REJECTIONS = 5
"""Rows that a terminal shows; who is left out is counted by code beside them."""

Weighed = Mapping[str, Sequence[tuple[Considered, ...]]]
"""Input -> study -> the series that were weighed for it."""


@dataclass(frozen=True)
class Answer:
    """What is in an export.

    Attributes:
        sections: By name.
        subjects: Its images and signals, for a contact sheet.
        page: The HTML page of a run's cohort; "" of a folder.
    """

    sections: Mapping[str, Section]
    subjects: Sequence[Subject]
    page: str = ""


def inspect_config(config: RunConfig, screen: Screen, pixels: bool = False) -> Answer:
    """Describe the cohort of a run file: counts, classes, inputs, series, leaks, rejections.

    Args:
        config: The run.
        screen: Shows progress.
        pixels: Decode images too, into the cache of the run; else only their headers are read and nothing is written.

    Raises:
        DataError: A table, column or folder is missing.
    """
    sources = Sources.open(config.cohort, memory=config.folder / HEADERS if pixels else None)
    opened = [settings.open(name) for name, settings in config.inputs.items()]
    images = [one for one in opened if isinstance(one, ImageInput) and one.settings.match != "file"]
    for path in sorted({one.settings.path for one in images}):
        with screen.step("reading image headers") as step:
            sources.scan(path, step)
    checked = check_tables(sources, config.inputs)
    intake = take_in(config, sources, [one for one in opened if pixels and one.settings.kind == "image"], screen)
    studies, left_out = intake.studies, intake.left_out
    weighed = {one.name: one.weigh(sources, studies) for one in images}
    described = describe_cohort(config, sources, intake)
    patients = len({study.patient_id for study in studies})
    used = [study for i, study in enumerate(studies) if i not in left_out]
    found = [evidence for study in studies for evidence in study.evidence.values() if evidence.files]
    files = sum(len(evidence.files) for evidence in found)
    series_columns = ("study", "input", "series", "taken", "why_not", *SERIES_COLUMNS)
    sections = {
        "cohort": Section(
            "Cohort",
            ("patients", "studies", "usable", "series in use", "files"),
            [(patients, len(studies), len(used), len(found), files)],
        ),
        "classes": Section("Classes of the usable studies", ("class", "studies", "share", "patients"), _classes(config, used)),
        "inputs": Section("Inputs", ("input", "kind", "present", "absent", "rejected"), _inputs(config, studies)),
        "choice": Section("Series of the studies", ("input", "fate", "series", "studies"), _choice(studies, weighed)),
        "absent": Section("Absent images", ("input", "why", "studies"), _absent(weighed)),
        "series": Section("Series of each study", series_columns, _series(studies, weighed), detail=True),
        **describe_signals(config, studies, screen),
        **_tables(checked, sources),
        "rejected": Section("Rejections", ("study", "input", "reason"), _rejections(studies), most=REJECTIONS),
        **described.sections,
    }
    return Answer(sections, _subjects_of_studies(config, studies, weighed), described.page)


def inspect_folder(folder: Path, screen: Screen) -> Answer:
    """Describe an unknown folder by its image headers."""
    with screen.step("reading headers") as step:
        found = scan(folder, step)
    described = [_described(series) for series in found.series]
    kinds = Counter(row[:3] for row in described)
    problems = Counter(series.problem.code.value for series in found.series if series.problem is not None)
    formats = Counter(image.format.value for image in found.images)
    waveforms = Counter(shown_modality(one.modality) for one in found.waveforms)
    problems.update(one.problem.code.value for one in found.waveforms if one.problem is not None)
    objects: list[SeriesFound | WaveformFound] = [*found.series, *found.waveforms]
    counts = (
        len({one.patient_id for one in objects}),
        len({one.study_uid for one in objects}),
        len(found.series),
        sum(len(series.files) for series in found.series),
        len(found.images),
        len(found.waveforms),
    )
    reasons = [(number, str(series.problem)) for number, series in enumerate(found.series, 1) if series.problem is not None]
    sections = {
        "folder": Section(
            "Folder", ("patients", "studies", "series", "DICOM images", "other images", "DICOM waveforms"), [counts]
        ),
        "series": Section(
            "Series", ("modality", "manufacturer", "transfer syntax", "series"), [(*kind, n) for kind, n in kinds.most_common()]
        ),
        "each_series": Section(
            "Each series", ("series", *SERIES_COLUMNS), [(n, *row) for n, row in enumerate(described, 1)], detail=True
        ),
        "images": Section("Other images", ("format", "files"), formats.most_common()),
        "waveforms": Section("DICOM waveforms", ("modality", "files"), waveforms.most_common()),
        "problems": Section("Rejected by headers", ("code", "series or waveforms"), problems.most_common()),
        "reasons": Section("Why series would be rejected", ("series", "reason"), reasons, detail=True),
        "left": Section("Other files", ("code", "files"), [(code.value, n) for code, n in sorted(found.left.items())]),
    }
    return Answer(sections, _subjects_of_folder(found))


def _subjects_of_studies(config: RunConfig, studies: Sequence[Study], weighed: Weighed) -> list[Subject]:
    """Give the image and the signal of every study that has one, or why it is rejected."""
    subjects = []
    signals = [name for name, settings in config.inputs.items() if isinstance(settings, SignalSettings)]
    images = {name: settings for name, settings in config.inputs.items() if isinstance(settings, ImageSettings)}
    for i, study in enumerate(studies):
        for name, settings in images.items():
            considered = weighed[name][i] if name in weighed else ()
            taken = next((one.series for one in considered if one.reason is None), None)
            note = name if taken is None else f"{name}, {shown_modality(taken.modality)}"
            if name in study.rejected:
                subjects.append(Subject(study.key, note, (), study.rejected[name]))
            elif name in study.evidence:
                shown = _images(study.evidence[name], settings.images)
                for place, files in enumerate(shown, start=1):
                    which = note if len(shown) == 1 else f"{note}, {place} of {len(shown)}"
                    subjects.append(Subject(study.key, which, files, None, settings.reading))
        for name in signals:
            if name in study.rejected:
                subjects.append(Subject(study.key, name, (), study.rejected[name]))
            elif name in study.evidence:
                subjects.append(Subject(study.key, name, study.evidence[name].files, None, signal=True))
    return subjects


def _images(evidence: Evidence, most: int) -> list[tuple[Path, ...]]:
    """Give the files of each image of a study; where every file is one, the first of them."""
    apart = most > 1 and not evidence.counts
    return [(file,) for file in evidence.files[:most]] if apart else evidence.images()


def _subjects_of_folder(found: Scan) -> list[Subject]:
    """Give every series and every other image, called by their places in the order in which they were found."""
    patients = {series.patient_id: 0 for series in found.series}
    studies = {series.study_uid: 0 for series in found.series}
    for places in (patients, studies):
        places |= {key: number for number, key in enumerate(places, start=1)}
    subjects = [
        Subject(
            f"series {number}",
            f"{shown_modality(one.modality)}, patient {patients[one.patient_id]}, study {studies[one.study_uid]}",
            one.files,
            one.problem,
        )
        for number, one in enumerate(found.series, start=1)
    ]
    images = enumerate(found.images, start=1)
    return subjects + [Subject(f"image {number}", image.format.value, (image.path,), None) for number, image in images]


def show(sections: Mapping[str, Section], screen: Screen) -> None:
    """Write the sections that have rows as tables, but those that have a row a series."""
    for section in sections.values():
        if section.rows and not section.detail:
            screen.table(section.title, section.columns, section.rows[: section.most])
            more = len(section.rows) - section.most
            if more > 0:
                screen.say(f"... and {more:,} more, which --json lists")
            screen.say("")


def _described(series: SeriesFound) -> tuple[object, ...]:
    """Give the cells of `SERIES_COLUMNS`."""
    return (
        shown_modality(series.modality),
        shown_vendor(series.manufacturer),
        shown_syntax(series.transfer_syntax),
        series.plane,
        series.slices,
        len(series.files),
        series.thickness_mm,
        None if series.problem is None else series.problem.code.value,
    )


def _series(studies: Sequence[Study], weighed: Weighed) -> list[tuple[object, ...]]:
    """Give a row for each series of each study: the study's row, and the series by its place in their order."""
    return [
        (study.row, name, number, one.reason is None, one.reason and str(one.reason), *_described(one.series))
        for name, of_studies in weighed.items()
        for study, considered in zip(studies, of_studies, strict=True)
        for number, one in enumerate(considered, start=1)
    ]


def _tables(checked: Mapping[str, Findings], sources: Sources) -> dict[str, Section]:
    """Give what in the tables is not as the run file says, counted and by row; and what of record exports was left out."""
    counts: list[tuple[object, ...]] = []
    rows: list[tuple[object, ...]] = []
    for name, found in checked.items():
        counts += [(name, column, code.value, count) for (column, code), count in sorted(found.counts.items())]
        rows += [(name, one.row, one.column, one.code.value, one.expected, one.repair) for one in found.violations]
    skipped = [(folder, what, n) for folder, counted in sources.left_out().items() for what, n in sorted(counted.items())]
    columns = ("input", "row", "column", "code", "expected", "repair")
    return {
        "violations": Section("Cells that are not as the run file says", ("input", "column", "code", "cells"), counts),
        "each_violation": Section("Each of them, by row", columns, rows, detail=True),
        "skipped": Section("Records left out on purpose", ("export", "what", "records"), skipped),
    }


def _choice(studies: Sequence[Study], weighed: Weighed) -> list[tuple[object, ...]]:
    """Count what became of the series, and of how many studies they are; those taken come first."""
    rows: list[tuple[object, ...]] = []
    for name, of_studies in weighed.items():
        pairs = zip(studies, of_studies, strict=True)
        fates = [(_fate(one, study, name), study.row) for study, considered in pairs for one in considered]
        counts = Counter(fate for fate, _ in fates)
        order = sorted(counts, key=lambda fate: (not fate.startswith("taken"), -counts[fate], fate))
        rows += [(name, fate, counts[fate], len({row for other, row in fates if other == fate})) for fate in order]
    return rows


def _absent(weighed: Weighed) -> list[tuple[object, ...]]:
    """Count the studies that have no series to take, by why."""
    rows: list[tuple[object, ...]] = []
    for name, of_studies in weighed.items():
        without = sum(not considered for considered in of_studies)
        none_passes = sum(not any(one.passed for one in considered) for considered in of_studies) - without
        rows += [(name, why, n) for why, n in (("no series", without), ("no series passes the rules", none_passes)) if n]
    return rows


def _fate(one: Considered, study: Study, name: str) -> str:
    if one.reason is not None:
        return f"left: {one.reason.rule}"
    return f"taken, but rejected: {study.rejected[name].code.value}" if name in study.rejected else "taken"


def _classes(config: RunConfig, studies: Sequence[Study]) -> list[tuple[object, ...]]:
    names = config.target.mark_names
    labelled = [study for study in studies if study.label is not None]
    if not labelled:
        return [(name, 0, "0.0%", 0) for name in (*names, *(f"not {name}" for name in names[:1] if len(names) == 1))]
    marks = config.target.marks(np.array([study.label for study in labelled], np.float64))
    rows: list[tuple[object, ...]] = []
    for column, name in enumerate(names):
        having = [study for study, own in zip(labelled, marks, strict=True) if own[column]]
        rows.append((name, len(having), f"{len(having) / max(1, len(studies)):.1%}", len({s.patient_id for s in having})))
    if len(names) == 1:
        others = [study for study, own in zip(labelled, marks, strict=True) if not own[0]]
        rows.append(
            (f"not {names[0]}", len(others), f"{len(others) / max(1, len(studies)):.1%}", len({s.patient_id for s in others}))
        )
    return rows


def _inputs(config: RunConfig, studies: Sequence[Study]) -> list[tuple[object, ...]]:
    rows: list[tuple[object, ...]] = []
    for name, settings in config.inputs.items():
        present = sum(name in study.evidence for study in studies)
        rejected = sum(name in study.rejected for study in studies)
        rows.append((name, settings.kind, present, len(studies) - present - rejected, rejected))
    return rows


def _rejections(studies: Sequence[Study]) -> list[tuple[object, ...]]:
    return [(study.key, name, str(reason)) for study in studies for name, reason in study.rejected.items()]
