"""Write the cohort as a hospital would export it."""

import itertools
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path

import pandas as pd
from pydicom.dataset import Dataset

from medmm.cohort.synthetic.dicom import ct_datasets, radiograph_dataset
from medmm.cohort.synthetic.ecg_dicom import ecg_dataset
from medmm.cohort.synthetic.heart_sound import render_heart_sound, write_sound
from medmm.cohort.synthetic.records import laboratory_rows, note_rows
from medmm.cohort.synthetic.settings import SyntheticSettings
from medmm.cohort.synthetic.truth import StudyTruth, draw_truth
from medmm.errors import DataError
from medmm.files import write_text, writing_folder

DIAGNOSES = {True: "pneumonia", False: "healthy"}
LEAKING_COLUMN = "antibiotic"
ECG_FOLDER, SOUND_FOLDER = "ecg", "sounds"
FILES_PER_FOLDER = 1000
KEPT_OF_TRUNCATED = 0.75
"""Share of a truncated file that is left: the header is whole, the pixels or samples are not."""

LABORATORY_COLUMNS = ("patient_id", "time", "code", "value", "unit")
NOTE_COLUMNS = ("patient_id", "study_id", "time", "text")


def make_cohort(folder: Path, settings: SyntheticSettings, progress: Callable[[int, int], None] | None = None) -> None:
    """Write a hospital export with known truth: dicom/, studies.csv, labs.csv, notes.csv and, never an input, truth.csv.

    With signals also ecg/, found by the Study Instance UID in its files as the images are, and sounds/, whose files the column
    heart_sound of studies.csv names, relative to the folder; the cell is empty where a study has none.

    labs.csv also holds, up to 48 hours after each study, a value that gives its diagnosis away. Studies of a person lie at
    least 30 days apart, so a reader that looks back less than 28 days never meets the value of an earlier study.

    Args:
        folder: Made where it does not exist; must hold no export.
        settings: What the cohort holds.
        progress: Called after each study with how many are done, and of how many.

    Raises:
        DataError: The folder holds an export already.
    """
    if any((folder / name).exists() for name in ("dicom", ECG_FOLDER, SOUND_FOLDER, "studies.csv")):
        raise DataError("the folder for the synthetic cohort holds dicom or studies.csv already: remove them or name another")
    studies = draw_truth(settings)
    sounds: dict[str, str] = {}
    with ExitStack() as folders:
        paths = _meaningless_paths(folders.enter_context(writing_folder(folder / "dicom")), "IM")
        if "ecg" in settings.signals:
            ecg_paths = _meaningless_paths(folders.enter_context(writing_folder(folder / ECG_FOLDER)), "EC")
        if "heart_sound" in settings.signals:
            sound_folder = folders.enter_context(writing_folder(folder / SOUND_FOLDER))
            sound_paths = _meaningless_paths(sound_folder, "HS", ".wav")
        for done, study in enumerate(studies, start=1):
            _write_images(study, _datasets(study, settings), paths)
            if "ecg" in settings.signals and "ecg" not in study.absent:
                ecg_dataset(study, settings).save_as(next(ecg_paths), enforce_file_format=True)
            if "heart_sound" in settings.signals and "heart_sound" not in study.absent:
                path = next(sound_paths)
                _write_heart_sound(path, study, settings)
                sounds[study.study_id] = f"{SOUND_FOLDER}/{path.relative_to(sound_folder).as_posix()}"
            if progress is not None:
                progress(done, len(studies))
    laboratory = (row for study in studies for row in laboratory_rows(study, settings))
    notes = (row for study in studies for row in note_rows(study, settings))
    _write_table(folder / "labs.csv", laboratory, LABORATORY_COLUMNS)
    _write_table(folder / "notes.csv", notes, NOTE_COLUMNS)
    _write_table(folder / "truth.csv", (truth_row(study, settings) for study in studies))
    _write_table(folder / "studies.csv", (_study_row(study, settings, sounds) for study in studies))


def truth_row(study: StudyTruth, settings: SyntheticSettings) -> dict[str, object]:
    """Give what truth.csv says of a study; `person` is the same for both identifiers of a person registered twice."""
    row: dict[str, object] = {
        "patient_id": study.patient_id,
        "study_id": study.study_id,
        "person": study.person.number,
        "image": study.image,
        "laboratory": study.laboratory,
        "note": study.note,
        "finding": study.finding,
        "probability": study.probability,
        "diagnosis": DIAGNOSES[study.diagnosis],
        "absent": " ".join(sorted(study.absent)),
        "broken": study.broken,
    }
    return row | {"signal": study.signal, "broken_signal": study.broken_signal} if settings.signals else row


def _study_row(study: StudyTruth, settings: SyntheticSettings, sounds: Mapping[str, str]) -> dict[str, object]:
    row: dict[str, object] = {
        "patient_id": study.patient_id,
        "study_id": study.study_id,
        "study_uid": study.study_uid,
        "time": study.time.isoformat(timespec="seconds"),
        "diagnosis": DIAGNOSES[study.label],
        "site": study.person.site,
        "sex": study.person.sex,
        "age": study.age_years,
    }
    if settings.unlabelled:
        del row["diagnosis"]
    if "heart_sound" in settings.signals:
        row["heart_sound"] = sounds.get(study.study_id, "")
    if settings.leak == "column":
        row[LEAKING_COLUMN] = int(study.label)
    return row


def _datasets(study: StudyTruth, settings: SyntheticSettings) -> Iterator[Dataset]:
    if "radiograph" not in study.absent:
        yield radiograph_dataset(study, settings)
    if "ct" not in study.absent:
        yield from ct_datasets(study, settings)


def _meaningless_paths(folder: Path, start: str, suffix: str = "") -> Iterator[Path]:
    for number in itertools.count():
        path = folder / f"{number // FILES_PER_FOLDER:02d}" / f"{start}{number:06d}{suffix}"
        path.parent.mkdir(exist_ok=True)
        yield path


def _write_images(study: StudyTruth, datasets: Iterable[Dataset], paths: Iterator[Path]) -> None:
    written = []
    for dataset in datasets:
        written.append(next(paths))
        dataset.save_as(written[-1], enforce_file_format=True)
    if study.broken == "truncated":
        _truncate(written[len(written) // 2])


def _write_heart_sound(path: Path, study: StudyTruth, settings: SyntheticSettings) -> None:
    write_sound(path, render_heart_sound(study, settings)[None], settings.sound_rate_hz)
    if study.broken_signal == "truncated":
        _truncate(path)


def _truncate(path: Path) -> None:
    os.truncate(path, int(path.stat().st_size * KEPT_OF_TRUNCATED))


def _write_table(path: Path, rows: Iterable[Mapping[str, object]], columns: tuple[str, ...] | None = None) -> None:
    write_text(
        path, pd.DataFrame(list(rows), columns=list(columns) if columns else None).to_csv(index=False, lineterminator="\n")
    )
