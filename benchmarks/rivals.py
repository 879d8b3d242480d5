"""Other readers of a DICOM series, each measured where it is installed: `pip install medmm[benchmark]`."""

import subprocess
import tempfile
import warnings
from collections.abc import Callable, Mapping
from importlib.util import find_spec
from pathlib import Path


def read_monai_itk(folder: Path) -> None:
    """Read one volume with MONAI over ITK."""
    from monai.transforms import LoadImage

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about optional packages that are not installed
        LoadImage(reader="ITKReader", image_only=True, ensure_channel_first=True)(folder)


def read_simpleitk(folder: Path) -> None:
    """Read one volume with SimpleITK, to a numpy array."""
    import SimpleITK

    names = SimpleITK.ImageSeriesReader.GetGDCMSeriesFileNames(str(folder))
    SimpleITK.GetArrayFromImage(SimpleITK.ReadImage(names))


def convert_dcm2niix(folder: Path) -> None:
    """Turn one series into uncompressed NIfTI; the time of its process is part of it."""
    import dcm2niix

    with tempfile.TemporaryDirectory() as out:
        command = [dcm2niix.bin, "-z", "n", "-b", "n", "-f", "volume", "-o", out, str(folder)]
        subprocess.run(command, check=True, capture_output=True)


RIVALS: Mapping[str, tuple[str, Callable[[Path], None]]] = {
    "MONAI LoadImage, ITKReader": ("itk", read_monai_itk),
    "SimpleITK": ("SimpleITK", read_simpleitk),
    "dcm2niix, to NIfTI on disk": ("dcm2niix", convert_dcm2niix),
}
"""Name -> package and way."""


def installed() -> dict[str, Callable[[Path], None]]:
    """Give the ways of what is installed."""
    return {name: way for name, (package, way) in RIVALS.items() if _is_there(package)}


def absent() -> str:
    """Say in a sentence which rivals are not installed; nothing where all are."""
    names = [name for name, (package, _) in RIVALS.items() if not _is_there(package)]
    return f" Not installed, so not measured: {'; '.join(names)}." if names else ""


def _is_there(package: str) -> bool:
    return find_spec(package) is not None
