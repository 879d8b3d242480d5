"""Real, public data as a hospital would export them: chest radiographs as DICOM, tables with times, ECGs.

From the repository's root: python -m tests.real_data ../shared data
"""

import hashlib
import shutil
import sys
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import DigitalXRayImageStorageForPresentation, ExplicitVRLittleEndian, generate_uid

from medmm.files import write_text, writing_folder
from medmm.readers.table import read_table

COVID = "covid_chest_xray"
HANNOVER = "hannover_chest_xray"
BOTH = "chest_xray"
LUDB = "ludb_ecg"
LUDB_LABELS = ("hypertrophy", "ischemia", "conduction", "abnormal_rhythm")
FIRST_DAY = datetime(2020, 1, 1)
FIELD_MM = 350.0  # width of a chest radiograph; the sources do not tell it, and DX must state a spacing (C.8.11.4)
VIEWS = {"L": "LL", "AP Supine": "AP"}  # Defined Terms of View Position (0018,5101)
UNITS = {
    "crp": "mg/L",
    "d-dimer": "mg/L",
    "factor_xii": "%",
    "ldh": "U/L",
    "lymphocytes": "10*9/L",
    "neutrophils": "10*9/L",
    "pco2": "mm[Hg]",
    "po2": "mm[Hg]",
}
"""The source names no unit; these are the ones in which its values are plausible."""

Row = Mapping[str, object]


def import_covid(shared: Path, out: Path) -> None:
    """Write covid_chest_xray, an image a study: dicom/, studies.csv, labs.csv (wide) and notes.csv; no CT slice."""
    source = shared / "data" / COVID
    images = read_table(source / "images.csv")
    images = images[images["modality"] == "X-ray"]
    covid = dict(read_table(source / "labels.csv")[["patient_id", "covid19"]].itertuples(index=False, name=None))
    studies, labs, notes = [], [], []
    with writing_folder(out / "dicom") as dicom:
        for row in images.to_dict("records"):
            study = _study(row, row["image_id"], int(row["offset"] or 0))  # a missing offset counts as the first day
            keys = {name: study[name] for name in ("patient_id", "study_id", "time")}
            studies.append({**study, "diagnosis": "covid19" if covid[row["patient_id"]] == "1" else "other"})
            labs.append({**keys, **{name: row[name] for name in ("age", "sex", "temperature", "pO2_saturation")}})
            notes.append({**keys, "text": (source / "notes" / f"{row['image_id']}.txt").read_text(encoding="utf-8")})
            _write_radiograph(source / row["file"], dicom, study, row["view"])
    _write_tables(out, {"labs.csv": labs, "notes.csv": notes, "studies.csv": studies})


def import_hannover(shared: Path, out: Path) -> None:
    """Write hannover_chest_xray, an image a study: dicom/, studies.csv and labs.csv (long).

    The source counts days from the image, both to the admission and to each value: a patient's values agree between his
    images when they are read so. Values beyond the measuring range (inf and -inf) are no numbers and are left out.
    """
    source = shared / "data" / HANNOVER
    icu = dict(read_table(source / "labels.csv")[["patient_id", "icu"]].itertuples(index=False, name=None))
    studies, labs = [], []
    with writing_folder(out / "dicom") as dicom:
        for row in read_table(source / "images.csv").to_dict("records"):
            day = -int(row["admission_offset"])
            study = _study(row, row["image_id"], day)
            studies.append({**study, "ward": "icu" if icu[row["patient_id"]] == "1" else "normal"})
            for code, unit in UNITS.items():
                value = row[f"{code}_val"]
                if value and np.isfinite(float(value)):
                    time = _time(day + float(row[f"{code}_offset"]))
                    keys = {"patient_id": study["patient_id"], "study_id": study["study_id"], "time": time}
                    labs.append({**keys, "code": code, "value": value, "unit": unit})
            _write_radiograph(source / row["file"], dicom, study, row["projection"].upper())
    _write_tables(out, {"labs.csv": labs, "studies.csv": studies})


def join_exports(covid: Path, hannover: Path, out: Path) -> None:
    """Write chest_xray, radiographs of both sets, to pretrain on: those of COVID without a label, those of Hannover with one.

    Files and identifiers stay as they are, so a split of Hannover's patients is the same here and there.
    """
    with writing_folder(out / "dicom") as dicom:
        for source in (covid, hannover):
            for file in sorted((source / "dicom").iterdir()):
                shutil.copyfile(file, dicom / file.name)
    tables = [read_table(source / "studies.csv") for source in (covid, hannover)]
    studies = pd.concat([tables[0].drop(columns="diagnosis").assign(ward=""), tables[1]])
    rows = {
        name: read_table(source / name).to_dict("records") for name, source in (("notes.csv", covid), ("labs.csv", hannover))
    }
    _write_tables(out, {**rows, "studies.csv": studies.to_dict("records")})


def import_ludb(shared: Path, out: Path) -> None:
    """Write ludb_ecg, an ECG a patient: wfdb/ as it is, and studies.csv with age, sex and what cardiologists found.

    The notes of the source are the diagnosis itself, so they stay where they are.
    """
    source = shared / "data" / LUDB
    found = {row["patient_id"]: row for row in read_table(source / "labels.csv").to_dict("records")}
    studies = []
    with writing_folder(out / "wfdb") as folder:
        for row in read_table(source / "records.csv").to_dict("records"):
            name = str(int(row["patient_id"].removeprefix("L")))
            for file in sorted((source / "wfdb").glob(f"{name}.*")):
                shutil.copyfile(file, folder / file.name)
            labels = {label: ("none", label)[int(found[row["patient_id"]][label])] for label in LUDB_LABELS}
            keys = {"patient_id": row["patient_id"], "study_id": row["patient_id"], "ecg": name}
            studies.append({**keys, "age": row["age"], "sex": row["sex"], **labels})
    _write_tables(out, {"studies.csv": studies})


def grey(path: Path) -> np.ndarray:
    """Give the pixels of a PNG or JPEG, (rows, columns) of 8 bits: colour as its luminance, transparency left out."""
    with Image.open(path) as image:
        return np.asarray(image if image.mode == "L" else image.convert("RGB").convert("L"))


def radiograph(pixels: np.ndarray, study: Row, view: str, *, lossy: bool) -> Dataset:
    """Wrap pixels (rows, columns) into a DX image for presentation; attributes of types 1 and 2 by PS3.3, section A.26."""
    time = datetime.fromisoformat(str(study["time"]))
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.SpecificCharacterSet = "ISO_IR 192"
    dataset.SOPClassUID = DigitalXRayImageStorageForPresentation
    dataset.SOPInstanceUID = _uid(str(study["study_uid"]), "instance")
    dataset.PatientName = dataset.PatientBirthDate = dataset.ReferringPhysicianName = dataset.Manufacturer = ""
    dataset.PatientID = study["patient_id"]
    dataset.PatientSex = study["sex"]
    dataset.StudyInstanceUID = study["study_uid"]
    dataset.StudyID = ""
    dataset.AccessionNumber = study["study_id"]
    dataset.StudyDate = dataset.ContentDate = f"{time:%Y%m%d}"
    dataset.StudyTime = dataset.ContentTime = f"{time:%H%M%S}"
    dataset.Modality = "DX"
    dataset.SeriesInstanceUID = _uid(str(study["study_uid"]), "series")
    dataset.SeriesNumber = dataset.InstanceNumber = 1
    dataset.PresentationIntentType = "FOR PRESENTATION"
    dataset.ImageType = ["DERIVED", "PRIMARY", ""]
    dataset.BodyPartExamined = "CHEST"
    dataset.ViewPosition = VIEWS.get(view, view)
    dataset.PatientOrientation = ["A", "F"] if view == "L" else ["L", "F"]
    dataset.ImageLaterality = "U"
    dataset.AnatomicRegionSequence = [_chest()]
    dataset.AcquisitionContextSequence = []
    dataset.DetectorType = ""
    dataset.ImagerPixelSpacing = [round(FIELD_MM / pixels.shape[1], 6)] * 2
    dataset.PixelIntensityRelationship, dataset.PixelIntensityRelationshipSign = "LOG", -1
    dataset.RescaleIntercept, dataset.RescaleSlope, dataset.RescaleType = 0, 1, "US"
    dataset.PresentationLUTShape = "IDENTITY"
    dataset.WindowCenter, dataset.WindowWidth = 128, 256
    dataset.BurnedInAnnotation = "YES"  # figures of publications carry letters and arrows; nobody has looked at each
    dataset.LossyImageCompression = "01" if lossy else "00"
    if lossy:
        dataset.LossyImageCompressionMethod, dataset.LossyImageCompressionRatio = "ISO_10918_1", 10  # typical, not recorded
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.Rows, dataset.Columns = pixels.shape
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation = 8, 8, 7, 0
    content = pixels.tobytes()
    dataset.add_new("PixelData", "OB", content + b"\0" * (len(content) % 2))
    return dataset


def _study(row: Mapping[str, str], study_id: str, day: int) -> dict[str, str]:
    return {
        "patient_id": row["patient_id"],
        "study_id": study_id,
        "study_uid": _uid(study_id, "study"),
        "time": _time(day),
        "sex": row["sex"].upper(),
        "age": row["age"],
    }


def _write_radiograph(image: Path, dicom: Path, study: Row, view: str) -> None:
    name = hashlib.sha256(str(study["study_id"]).encode()).hexdigest()[:16]  # a file name says nothing
    dataset = radiograph(grey(image), study, view, lossy=image.suffix != ".png")
    dataset.save_as(dicom / f"{name}.dcm", enforce_file_format=True)


def _write_tables(out: Path, tables: Mapping[str, Iterable[Row]]) -> None:
    for name, rows in tables.items():
        write_text(out / name, pd.DataFrame(list(rows)).to_csv(index=False, lineterminator="\n"))


def _time(day: float) -> str:
    return (FIRST_DAY + timedelta(days=day)).isoformat()


def _uid(*what: str) -> str:
    return str(generate_uid(entropy_srcs=list(what)))


def _chest() -> Dataset:
    code = Dataset()
    code.CodeValue, code.CodingSchemeDesignator, code.CodeMeaning = "51185008", "SCT", "Chest"
    return code


if __name__ == "__main__":
    for name, importer in ((COVID, import_covid), (HANNOVER, import_hannover), (LUDB, import_ludb)):
        importer(Path(sys.argv[1]), Path(sys.argv[2]) / name)
    join_exports(*(Path(sys.argv[2]) / name for name in (COVID, HANNOVER, BOTH)))
