"""`medmm inspect`: what is in an export, before anything is trained."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from medmm.cohort.scan import scan
from medmm.config import RunConfig
from medmm.settings import Plain
from medmm.types import Study

from .cohort import find
from .screen import Screen


@dataclass(frozen=True)
class Section:
    """One table of the answer, for the terminal and for JSON alike.

    Attributes:
        title: What it shows.
        columns: Names.
        rows: Cells; counts and codes, no identifier.
    """

    title: str
    columns: tuple[str, ...]
    rows: Sequence[tuple[object, ...]]

    def plain(self) -> Plain:
        """Give the rows as dictionaries."""
        return [dict(zip(self.columns, row, strict=True)) for row in self.rows]


def inspect_config(config: RunConfig) -> dict[str, Section]:
    """Describe the cohort of a run file: counts, classes, inputs, rejections. Headers are read, pixels are not.

    Raises:
        DataError: A table, column or folder is missing.
    """
    studies, left_out = find(config)
    patients = len({study.patient_id for study in studies})
    used = [study for i, study in enumerate(studies) if i not in left_out]
    images = [evidence for study in studies for evidence in study.evidence.values() if evidence.files]
    files = sum(len(evidence.files) for evidence in images)
    return {
        "cohort": Section(
            "Cohort",
            ("patients", "studies", "usable", "series in use", "files"),
            [(patients, len(studies), len(used), len(images), files)],
        ),
        "classes": Section("Classes of the usable studies", ("class", "studies", "share", "patients"), _classes(config, used)),
        "inputs": Section("Inputs", ("input", "kind", "present", "absent", "rejected"), _inputs(config, studies)),
        "left_out": Section("Left out, and why", ("reason", "studies"), Counter(left_out.values()).most_common()),
        "rejected": Section("Rejections", ("study", "input", "reason"), _rejections(studies)),
    }


def inspect_folder(folder: Path, screen: Screen) -> dict[str, Section]:
    """Describe an unknown folder by its image headers."""
    with screen.step("reading headers") as step:
        found = scan(folder, step)
    kinds: Counter[tuple[str, str, str]] = Counter((s.modality, s.manufacturer, s.transfer_syntax) for s in found.series)
    problems = Counter(s.problem.code.value for s in found.series if s.problem is not None)
    counts = (
        len({series.patient_id for series in found.series}),
        len({series.study_uid for series in found.series}),
        len(found.series),
        sum(len(series.files) for series in found.series),
        len(found.images),
    )
    return {
        "folder": Section("Folder", ("patients", "studies", "series", "DICOM images", "other images"), [counts]),
        "series": Section(
            "Series", ("modality", "manufacturer", "transfer syntax", "series"), [(*kind, n) for kind, n in kinds.most_common()]
        ),
        "problems": Section("Series that would be rejected", ("code", "series"), problems.most_common()),
        "left": Section(
            "Files that are no image", ("code", "files"), [(code.value, n) for code, n in sorted(found.left.items())]
        ),
    }


def show(sections: Mapping[str, Section], screen: Screen) -> None:
    """Write the sections that have rows as tables."""
    for section in sections.values():
        if section.rows:
            screen.table(section.title, section.columns, section.rows)
            screen.say("")


def _classes(config: RunConfig, studies: Sequence[Study]) -> list[tuple[object, ...]]:
    names = config.target.names
    rows: list[tuple[object, ...]] = []
    for column, name in enumerate(names):
        having = [study for study in studies if study.label is not None and study.label[column]]
        rows.append((name, len(having), f"{len(having) / max(1, len(studies)):.1%}", len({s.patient_id for s in having})))
    if len(names) == 1:
        others = [study for study in studies if study.label is not None and not study.label[0]]
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
