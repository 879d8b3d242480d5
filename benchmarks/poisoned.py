"""Ten thousand studies in seconds, eleven of them poisoned, and a model to score them with: for `torture`."""

from collections.abc import Mapping
from io import BytesIO
from pathlib import Path

import numpy as np
import pandas as pd
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ComputedRadiographyImageStorage, CTImageStorage, ExplicitVRLittleEndian

from benchmarks.faults import CRASH, HANG, HOARD
from medmm.cohort.studies import CohortSettings, Sources, read_studies
from medmm.cohort.target import TargetSettings
from medmm.errors import Code
from medmm.inputs import INPUTS, gather
from medmm.losses.cross_entropy import CrossEntropy
from medmm.model import DiagnosisModel, ModelSettings
from medmm.package import Package, save_package

SIDE, CT_SIDE, CT_SLICES = 160, 32, 5
CT_EVERY = 100
"""One study of so many has a CT too."""

TILE = 16
POISONS: Mapping[str, Code] = {
    "gap": Code.GAP,
    "duplicate": Code.DUPLICATE,
    "truncated": Code.TRUNCATED,
    "other patient": Code.MIXED_PATIENTS,
    "no input": Code.NO_INPUT,
    "twice": Code.AMBIGUOUS,
    "twice again": Code.AMBIGUOUS,
    "many": Code.MIXED_SERIES,
    HANG: Code.TIMEOUT,
    CRASH: Code.CRASH,
    HOARD: Code.MEMORY,
}
"""What is wrong with a study -> the code with which it must be rejected."""

IMAGE = {"kind": "image", "path": "dicom", "column": "study_uid"}
SETTINGS: Mapping[str, Mapping[str, object]] = {
    "chest": {**IMAGE, "modality": ["CR"], "size": [SIDE, SIDE], "encoder": {"name": "resnet18", "channels": 64}},
    "ct": {**IMAGE, "modality": ["CT"], "size": [16, 16, 8], "encoder": {"name": "resnet18", "channels": 8}},
    "labs": {"kind": "tabular", "table": "labs.csv", "layout": "long", "numeric": {"crp": {}, "wbc": {}}},
    "history": {"kind": "text", "table": "notes.csv", "max_tokens": 32},
}
ROOT_UID = "1.2.826.0.1.3680043.10.999"
NUMBER = "7777777"
"""Stands for the number of a study in the bytes of a template."""


def make_studies(folder: Path, count: int) -> Mapping[int, str]:
    """Write an export of studies with a radiograph, some with a CT, laboratory values and a note.

    Returns:
        Place of a study in the table -> what is wrong with it.
    """
    rng = np.random.default_rng(0)
    places = sorted(int(place) for place in rng.choice(np.arange(count // 10, count), len(POISONS), replace=False))
    poisoned = dict(zip(places, rng.permutation(list(POISONS)), strict=True))
    twice = {poison: place for place, poison in poisoned.items() if str(poison).startswith("twice")}
    radiograph, ct = _template("CR", SIDE, 0), [_template("CT", CT_SIDE, k) for k in range(CT_SLICES)]
    pixels = rng.integers(0, 4096, (64, SIDE * SIDE), np.uint16)
    studies, labs, notes = [], [], []
    for number in range(count):
        poison = str(poisoned.get(number, ""))
        key = min(twice.values()) if poison.startswith("twice") else number
        digits = f"{1_000_000 + key}"
        patient = {"patient_id": f"P{digits}", "time": "2024-01-01T10:00:00"}
        studies.append({**patient, "study_id": f"S{digits}", "study_uid": f"{ROOT_UID}.1.{digits}", "diagnosis": key % 2})
        if poison == "no input" or number != key:
            continue
        values = {"crp": 5 + key % 90, "wbc": 4 + key % 9}
        labs += [{**patient, "code": code, "value": value, "unit": ""} for code, value in values.items()]
        notes.append({**patient, "study_id": f"S{digits}", "text": f"cough for {key % 14} days, fever {'denied' * (key % 3)}"})
        place = folder / "dicom" / f"{key // 500:03d}"
        place.mkdir(parents=True, exist_ok=True)
        noise = np.roll(pixels[key % len(pixels)], key).tobytes()
        (place / f"{poison if poison in (HANG, CRASH, HOARD) else 'image'}{key}").write_bytes(
            _of(radiograph, f"{2_000_000 + key}" if poison == "other patient" else digits, digits, noise)[
                : -SIDE * SIDE if poison == "truncated" else None
            ]
        )
        if key % CT_EVERY == 0 or poison in ("gap", "duplicate", "many"):
            for k in range(CT_SLICES):
                if (poison, k) != ("gap", 2):
                    content = _of(ct[k], digits, digits, pixels[key % len(pixels)][: CT_SIDE * CT_SIDE].tobytes())
                    (place / f"slice{key}.{k}").write_bytes(content)
            if poison == "duplicate":
                other = ct[2].replace(f".3.3{NUMBER}".encode(), f".3.9{NUMBER}".encode())
                (place / f"slice{key}.9").write_bytes(_of(other, digits, digits, pixels[0][: CT_SIDE * CT_SIDE].tobytes()))
            if poison == "many":
                (place / f"slice{key}.9").write_bytes(_of(_template("CT", 16, CT_SLICES), digits, digits, bytes(2 * 16 * 16)))
    for name, rows in {"studies": studies, "labs": labs, "notes": notes}.items():
        pd.DataFrame(rows).to_csv(folder / f"{name}.csv", index=False)
    return {place: str(poison) for place, poison in poisoned.items()}


def make_package(root: Path, folder: Path) -> None:
    """Fit the inputs on an export and put fresh weights behind them, as a package."""
    cohort, target = CohortSettings(root=root, time="time"), TargetSettings(column="diagnosis", positive="1")
    sources = Sources.open(cohort)
    opened = {name: INPUTS.pick(str(one["kind"])).model_validate(one).open(name) for name, one in SETTINGS.items()}
    studies = gather(opened, sources, read_studies(sources, target))
    inputs = {
        name: one.fit((study.patient_id, one.read(study.evidence[name])) for study in studies if name in study.evidence)
        for name, one in opened.items()
    }
    settings = ModelSettings.model_validate({"fusion": {"name": "transformer"}})
    model = DiagnosisModel(settings, inputs, CrossEntropy("binary", [1.0])).eval()
    save_package(Package("torture", cohort, target, inputs, settings, model, 1.0, (0.5,), tile=TILE), folder)


def _template(modality: str, side: int, position: int) -> bytes:
    """Give a DICOM image whose study, patient and pixels are to be filled in; the pixels stand at its end."""
    image = Dataset()
    image.file_meta = FileMetaDataset()
    image.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    image.SOPClassUID = CTImageStorage if modality == "CT" else ComputedRadiographyImageStorage
    image.SOPInstanceUID = f"{ROOT_UID}.3.{position + 1}{NUMBER}" if modality == "CT" else f"{ROOT_UID}.4.1{NUMBER}"
    image.StudyInstanceUID = f"{ROOT_UID}.1.{NUMBER}"
    image.SeriesInstanceUID = f"{ROOT_UID}.{5 if modality == 'CT' else 6}.1{NUMBER}"
    image.PatientID, image.PatientName = f"P{NUMBER}", "Synthetic"
    image.Modality, image.InstanceNumber = modality, position + 1
    image.Rows = image.Columns = side
    image.BitsAllocated, image.BitsStored, image.HighBit, image.PixelRepresentation = 16, 12, 11, 0
    image.SamplesPerPixel, image.PhotometricInterpretation = 1, "MONOCHROME2"
    if modality == "CT":
        image.ImageOrientationPatient, image.ImagePositionPatient = [1, 0, 0, 0, 1, 0], [0, 0, 2 * position]
        image.PixelSpacing, image.SliceThickness, image.RescaleSlope, image.RescaleIntercept = [1, 1], 2, 1, -1024
    image.PixelData = bytes(2 * side * side)
    image["PixelData"].VR = "OW"
    buffer = BytesIO()
    image.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()[: -2 * side * side]


def _of(template: bytes, patient: str, study: str, pixels: bytes) -> bytes:
    """Fill in a template; every number has seven digits, so that no length changes."""
    return template.replace(f"P{NUMBER}".encode(), f"P{patient}".encode()).replace(NUMBER.encode(), study.encode()) + pixels
