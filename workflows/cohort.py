"""From the run file to studies that are ready to learn from: found, split, fitted, prepared, described."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from medmm.cohort.manifest import Manifest, make_manifest, patient_numbers
from medmm.cohort.split import PARTS, Split, prove, split_studies
from medmm.cohort.studies import Sources, read_studies
from medmm.cohort.telltales import Sample, Telltale, refuse_leaks, telltales
from medmm.config import RunConfig
from medmm.dataset.cache import PreparedInput, evidence_digests, prepare_input
from medmm.errors import DataError, Rejected
from medmm.inputs import Inputs, gather
from medmm.inputs.base import Input
from medmm.inputs.tabular import TabularSettings
from medmm.types import Array, Study

from .screen import Screen

HEADERS = Path("cache", "headers")
"""Where, in the folder of a run or of scores, the headers of image folders are remembered."""


@dataclass(frozen=True)
class Cohort:
    """Studies that are ready.

    Attributes:
        studies: All rows of the studies table, gathered.
        left_out: Index of a study that is not used -> why, in a word.
        split: Of the studies that are used.
        inputs: Fitted on the training studies.
        prepared: Every input of all studies.
        target: (S, C) of all studies, NaN where there is no label.
        manifest: What went in.
    """

    studies: tuple[Study, ...]
    left_out: Mapping[int, str]
    split: Split
    inputs: Inputs
    prepared: Mapping[str, PreparedInput]
    target: Array
    manifest: Manifest

    def only(self, name: str) -> "Cohort":
        """Give the cohort as if it had one input, with the studies that have it."""
        has = self.prepared[name].place[:, 0] >= 0
        parts = {part: tuple(i for i in rows if has[i]) for part, rows in self.split.parts.items()}
        return replace(
            self, split=prove(self.studies, parts), inputs={name: self.inputs[name]}, prepared={name: self.prepared[name]}
        )


def find(config: RunConfig, sources: Sources | None = None) -> tuple[tuple[Study, ...], dict[int, str]]:
    """Find the studies of a run and their inputs, without decoding; and which cannot be used, and why, in a word.

    Args:
        config: The run.
        sources: Its export, where it is open already.

    Raises:
        DataError: A table, column or folder is missing.
    """
    sources = sources or Sources.open(config.cohort, memory=config.folder / HEADERS)
    inputs = {name: settings.open(name) for name, settings in config.inputs.items()}
    studies = gather(inputs, sources, read_studies(sources, config.target))
    left_out: dict[int, str] = {}
    for i, study in enumerate(studies):
        if study.rejected:
            left_out[i] = next(iter(study.rejected.values())).code.value
        elif study.label is None:
            left_out[i] = "no label"
        elif not study.evidence:
            left_out[i] = "no input"
    return studies, left_out


def prepare(config: RunConfig, screen: Screen) -> Cohort:
    """Find, split, fit and prepare the studies of a run.

    Raises:
        DataError: Too little is left to learn from, or something tells of the label by itself.
    """
    screen.say("reading tables and image headers ...")
    studies, left_out = find(config)
    used = [i for i in range(len(studies)) if i not in left_out]
    if not used:
        reasons = ", ".join(f"{reason}: {count}" for reason, count in Counter(left_out.values()).most_common())
        raise DataError(f"none of the {len(studies)} studies can be used ({reasons}): look at them with `medmm inspect`")
    split = split_studies([studies[i] for i in used], config.split)
    parts = {part: [used[i] for i in split[part]] for part in PARTS}
    refuse_leaks(leaks(config, studies, [*parts["train"], *parts["validation"]]), config.leakage)
    inputs = {name: _fit(settings.open(name), [studies[i] for i in parts["train"]]) for name, settings in config.inputs.items()}
    prepared: dict[str, PreparedInput] = {}
    kept = [study if i not in left_out else replace(study, evidence={}) for i, study in enumerate(studies)]
    for name, one in inputs.items():
        with screen.step(f"preparing {name}") as step:
            workers = None if one.settings.kind == "image" else 0
            prepared[name] = prepare_input(kept, one, config.folder / "cache", workers, step)
        left_out |= {i: reason.code.value for i, reason in prepared[name].rejected.items()}
    whole = {part: tuple(i for i in rows if i not in left_out) for part, rows in parts.items()}
    studies = tuple(_with_rejections(study, i, prepared) for i, study in enumerate(studies))
    sides = {i: part for part, rows in whole.items() for i in rows}
    digests = {name: evidence_digests(studies, name) for name in inputs}
    return Cohort(
        studies=studies,
        left_out=left_out,
        split=prove(studies, whole),
        inputs=inputs,
        prepared=prepared,
        target=_target(studies, len(config.target.names)),
        manifest=make_manifest(studies, sides, left_out, digests),
    )


def leaks(config: RunConfig, studies: Sequence[Study], rows: Sequence[int]) -> list[Telltale]:
    """Hold what some studies say of themselves against their labels, the most telling first; pixels are not looked at.

    Args:
        config: The run.
        studies: All of them, gathered.
        rows: Indices of those to look at: never of test studies.
    """
    some = [studies[i] for i in rows]
    columns: dict[str, list[str]] = {}
    notes: dict[str, list[str]] = {}
    for name, settings in config.inputs.items():
        of_input = [study.evidence.get(name) for study in some]
        if isinstance(settings, TabularSettings):
            cells = [dict(one.cells) if one is not None and one.cells is not None else {} for one in of_input]
            for column in dict.fromkeys(column for row in cells for column in row):
                columns[f"{name}.{column}"] = [row.get(column, "") for row in cells]
        elif any(one is not None and one.text for one in of_input):
            notes[name] = [(one.text or "") if one is not None else "" for one in of_input]
    sample = Sample(
        patient=np.array(patient_numbers(studies))[list(rows)],
        label=_target(tuple(some), len(config.target.names)),
        classes=config.target.names,
        columns=columns,
        notes=notes,
        groups={name: [study.groups[name] for study in some] for name in config.cohort.subgroups},
        present={name: np.array([name in study.evidence for study in some]) for name in config.inputs},
    )
    return telltales(sample)


def _fit(one: Input[object], studies: list[Study]) -> Input[object]:
    """Fit an input on the training studies that have it and whose data may be used."""

    def raws() -> Iterator[tuple[str, object]]:
        for study in studies:
            if one.name in study.evidence:
                try:
                    raw = one.read(study.evidence[one.name])
                except Rejected:
                    continue  # counted when it is prepared
                yield study.patient_id, raw

    return one.fit(raws())


def _with_rejections(study: Study, index: int, prepared: Mapping[str, PreparedInput]) -> Study:
    for name, one in prepared.items():
        if index in one.rejected:
            study = study.with_input(name, one.rejected[index])
    return study


def _target(studies: tuple[Study, ...], classes: int) -> Array:
    return np.array([[np.nan] * classes if study.label is None else study.label for study in studies], dtype=np.float64)
