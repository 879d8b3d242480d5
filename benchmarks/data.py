"""From files to volumes and to model inputs: ours, MONAI's PydicomReader and pipeline, and the bare file read."""

import os
import tempfile
import warnings
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import imagecodecs
import numpy as np
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, JPEG2000Lossless, JPEGLSLossless, generate_uid
from scipy.ndimage import gaussian_filter

from benchmarks import rivals
from benchmarks.measure import OURS, Result, Timed, interleaved, peak_mib

if TYPE_CHECKING:
    from monai.transforms import LoadImage

SERIES = ((128, 512), (64, 256))
SIZE = (96, 96, 96)
WINDOW = (-1000.0, 200.0)
PIXEL_MM, SLICE_MM = 0.7, 2.5
SPACING_MM = (1.0, 1.0, 2.0)
REPEATS = 7
LIMIT = "bare file read"
MONAI = "MONAI LoadImage, PydicomReader"
DECODER = "the decoder alone, all cores"
COMPRESSED_SLICES, COMPRESSED_SIDE, COMPRESSED_REPEATS = 64, 512, 5
CODECS: Mapping[str, tuple[str, Callable[..., bytes], Callable[[bytes], object]]] = {
    "JPEG-LS": (JPEGLSLossless, imagecodecs.jpegls_encode, imagecodecs.jpegls_decode),
    "JPEG 2000": (
        JPEG2000Lossless,
        partial(imagecodecs.jpeg2k_encode, level=0, codecformat="j2k", reversible=True),
        partial(imagecodecs.jpeg2k_decode, numthreads=1),
    ),
}


def run() -> list[Result]:
    """Measure reading and preparing on each series."""
    results = []
    for slices, side in SERIES:
        with tempfile.TemporaryDirectory() as temporary:
            folder = Path(temporary)
            make_ct(folder, slices, side)
            what = f"CT of {slices} x {side} x {side}, int16, uncompressed"
            results.append(_measure(f"Series to volume: {what}", READ, folder, "series"))
            results.append(_measure(f"Study folder to model input of 96 x 96 x 96: {what}", PREPARE, folder, "studies"))
    return results + [_compressed(name) for name in CODECS]


def _compressed(name: str) -> Result:
    """Measure reading a compressed series beside its decoder alone, on all cores and with all else left out."""
    syntax, encode, decode = CODECS[name]
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        streams = make_ct(folder, COMPRESSED_SLICES, COMPRESSED_SIDE, syntax, encode)

        def decoder() -> None:
            with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
                list(pool.map(decode, streams))

        ways = {OURS: partial(read_ours, folder), MONAI: partial(read_monai, folder), DECODER: decoder}
        seconds = interleaved(ways, COMPRESSED_REPEATS)
    what = f"Compressed series to volume: CT of {COMPRESSED_SLICES} x {COMPRESSED_SIDE} x {COMPRESSED_SIDE}, {name}"
    faster, slower = seconds[MONAI] / seconds[OURS], seconds[OURS] / seconds[DECODER]
    verdict = f"{faster:.1f} times as fast as MONAI, {slower:.2f} times the time of the decoder alone."
    return Result(what, {way: Timed(seconds[way]) for way in ways}, 1, "series", verdict)


def make_ct(
    folder: Path, slices: int, side: int, syntax: str = ExplicitVRLittleEndian, encode: Callable[..., bytes] | None = None
) -> list[bytes]:
    """Write a CT as a scanner does: a file a slice, axial, 16 bits; and give the compressed frames, if it is compressed."""
    streams = []
    rng = np.random.default_rng(0)
    study, series, frame = generate_uid(), generate_uid(), generate_uid()
    for number in range(slices):
        dataset = Dataset()
        dataset.file_meta = FileMetaDataset()
        dataset.file_meta.TransferSyntaxUID = syntax
        dataset.SOPClassUID, dataset.SOPInstanceUID = CTImageStorage, generate_uid()
        dataset.PatientID = dataset.PatientName = "benchmark"
        dataset.StudyInstanceUID, dataset.SeriesInstanceUID, dataset.FrameOfReferenceUID = study, series, frame
        dataset.Modality, dataset.InstanceNumber, dataset.SeriesNumber = "CT", number + 1, 1
        dataset.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
        dataset.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
        dataset.ImagePositionPatient = [0, 0, SLICE_MM * number]
        dataset.PixelSpacing, dataset.SliceThickness = [PIXEL_MM, PIXEL_MM], SLICE_MM
        dataset.RescaleSlope, dataset.RescaleIntercept, dataset.RescaleType = 1, -1024, "HU"
        dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
        dataset.Rows = dataset.Columns = side
        dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation = 16, 16, 15, 1
        image = rng.integers(0, 2000, (side, side), np.int16)
        if encode is None:
            dataset.add_new("PixelData", "OW", image.tobytes())
        else:
            smooth = gaussian_filter(image.astype(np.float32), 2) * 8  # noise alone cannot be compressed
            streams.append(bytes(encode(smooth.astype(np.uint16))))
            dataset.PixelRepresentation = 0
            dataset.add_new("PixelData", "OB", encapsulate([streams[-1]]))
            dataset["PixelData"].is_undefined_length = True
        dataset.save_as(folder / f"{number:04d}", enforce_file_format=True)
    return streams


def bare(folder: Path) -> None:
    """Read the bytes and do nothing with them."""
    for file in folder.iterdir():
        file.read_bytes()


def read_ours(folder: Path) -> None:
    """Read one volume."""
    from medmm.readers import read_image

    read_image(list(folder.iterdir()))


def read_monai(folder: Path) -> None:
    """Read one volume with MONAI."""
    _monai_loader()(folder)


def prepare_ours(folder: Path) -> None:
    """Read, orient, resample by area, window."""
    from medmm.readers import open_image
    from medmm.readers.resample import prepare_image

    prepare_image(open_image(list(folder.iterdir())), SIZE, WINDOW, None)


def prepare_monai(folder: Path, *, spacing: bool = False) -> None:
    """Do the same with MONAI's transforms, eagerly, with spacing to millimetres before where asked for."""
    from monai.transforms import Compose, Orientation, Resize, ScaleIntensityRange, Spacing

    steps = [_monai_loader(), Orientation(axcodes="RAS", labels=None)]
    steps += [Spacing(pixdim=SPACING_MM)] * spacing
    Compose([*steps, ScaleIntensityRange(*WINDOW, 0, 1, clip=True), Resize(SIZE, mode="area")])(folder)


READ: Mapping[str, Callable[[Path], None]] = {OURS: read_ours, MONAI: read_monai, **rivals.installed(), LIMIT: bare}
PREPARE: Mapping[str, Callable[[Path], None]] = {
    OURS: prepare_ours,
    "MONAI: load, orient, window, resize": prepare_monai,
    "MONAI: the same with Spacing": partial(prepare_monai, spacing=True),
    LIMIT: bare,
}


def _measure(title: str, ways: Mapping[str, Callable[[Path], None]], folder: Path, unit: str) -> Result:
    seconds = interleaved({name: partial(way, folder) for name, way in ways.items()}, REPEATS)
    table = "READ" if ways is READ else "PREPARE"
    code = f"import sys, pathlib\nfrom benchmarks.data import {table}\n{table}[sys.argv[1]](pathlib.Path(sys.argv[2]))"
    rows = {name: Timed(seconds[name], peak_mib(code, [name, str(folder)])) for name in ways}
    rival = min(seconds[name] for name in ways if name.startswith("MONAI")) / seconds[OURS]
    verdict = f"{rival:.1f} times as fast as MONAI, {seconds[OURS] / seconds[LIMIT]:.1f} times the time of the bare file read."
    verdict += rivals.absent() if ways is READ else ""
    return Result(title, rows, 1, unit, verdict)


def _monai_loader() -> "LoadImage":
    from monai.transforms import LoadImage

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about optional packages that are not installed
        return LoadImage(reader="PydicomReader", image_only=True, ensure_channel_first=True)
