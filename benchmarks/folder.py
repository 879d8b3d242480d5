"""A folder of 50,000 DICOM files: opened the first time and again, beside pydicom's headers and a stat of every file."""

import os
import tempfile
import time
from collections.abc import Callable, Mapping
from functools import partial
from io import BytesIO
from pathlib import Path

import numpy as np
from pydicom import dcmread
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian

from benchmarks.measure import OURS, Result, Timed, interleaved
from medmm.cohort.index import FRESH_NS
from medmm.cohort.scan import scan

FILES, SLICES, SIDE = 50_000, 100, 64
UID_DIGITS = 12
AGAIN = "ours, a second time"
RIVAL = "pydicom, headers one after the other"
LIMIT = "a stat of every file"
REPEATS = 1


def run() -> list[Result]:
    """Measure both openings."""
    with tempfile.TemporaryDirectory() as temporary:
        folder, memory = Path(temporary) / "export", Path(temporary) / "memory"
        make_export(folder, FILES)
        time.sleep(FRESH_NS / 1e9 + 1)  # what was written a moment ago is not believed to be known
        known = memory / "known"
        scan(folder, memory=known)
        ways: Mapping[str, Callable[[], object]] = {
            OURS: partial(scan, folder),
            AGAIN: partial(scan, folder, memory=known),
            RIVAL: partial(read_headers, folder),
            LIMIT: partial(stat_all, folder),
        }
        seconds = interleaved(ways, REPEATS)
    rows = {name: Timed(seconds[name]) for name in ways}
    verdict = (
        f"The first time {seconds[RIVAL] / seconds[OURS]:.1f} times as fast as pydicom; the second time "
        f"{seconds[AGAIN] / seconds[LIMIT]:.1f} times the time of a stat of every file, and no header is read."
    )
    return [Result(f"Opening a folder: {FILES:,} CT files of {FILES // SLICES} series", rows, FILES, "files", verdict)]


def make_export(folder: Path, files: int) -> None:
    """Write small CT slices, series by series, each a folder; all bytes but identifiers and position are the same."""
    template = _template()
    for number in range(files):
        series, slice_ = divmod(number, SLICES)
        content = template
        for mark, value in (("1111", series // 3), ("2222", series), ("3333", number)):
            content = content.replace(f"1.2.{mark}.{'0' * UID_DIGITS}".encode(), f"1.2.{mark}.{value:0{UID_DIGITS}d}".encode())
        content = content.replace(b"0000.0", f"{slice_ * 2.5:06.1f}".encode())
        place = folder / f"{series:05d}" / f"{slice_:04d}"
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(content)


def read_headers(folder: Path) -> None:
    """Read every header up to its pixels."""
    for path, _, names in os.walk(folder):
        for name in names:
            dcmread(os.path.join(path, name), stop_before_pixels=True)  # noqa: PTH118 - as most scripts have it


def stat_all(folder: Path) -> None:
    """Ask the system for size and time of every file."""
    for path, _, _ in os.walk(folder):
        with os.scandir(path) as entries:
            for entry in entries:
                entry.stat()


def _template() -> bytes:
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    zeros = "0" * UID_DIGITS
    dataset.SOPClassUID, dataset.SOPInstanceUID = CTImageStorage, f"1.2.3333.{zeros}"
    dataset.PatientID = dataset.PatientName = "benchmark"
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID = f"1.2.1111.{zeros}", f"1.2.2222.{zeros}"
    dataset.Modality, dataset.InstanceNumber, dataset.SeriesNumber = "CT", 1, 1
    dataset.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
    dataset.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
    dataset.ImagePositionPatient = [0, 0, "0000.0"]
    dataset.PixelSpacing, dataset.SliceThickness = [0.7, 0.7], 2.5
    dataset.RescaleSlope, dataset.RescaleIntercept = 1, -1024
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.Rows = dataset.Columns = SIDE
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation = 16, 16, 15, 1
    dataset.add_new("PixelData", "OW", np.zeros((SIDE, SIDE), np.int16).tobytes())
    stream = BytesIO()
    dataset.save_as(stream, enforce_file_format=True)
    return stream.getvalue()
