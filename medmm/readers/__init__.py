"""From files to volumes, tables and notes. The format of an image is decided by its content, never by its name."""

import re
from collections.abc import Sequence
from pathlib import Path

from medmm.errors import Code, Rejected
from medmm.readers import dicom
from medmm.readers.formats import DICOM_SUFFIXES, Format, files_in, format_of
from medmm.readers.nifti import read_nifti
from medmm.readers.raster import read_raster
from medmm.readers.reading import AS_STORED, Reading
from medmm.readers.slices import HeldSlices, Slices
from medmm.types import Volume

NUMBERED = re.compile(r"([^0-9]*)([0-9]*)")
"""A name as words and numbers, so that 2 stands before 10."""


def read_series(path: Path, reading: Reading = AS_STORED) -> list[Volume]:
    """Read every volume in a file or folder, parts apart where no single right volume exists.

    Files of other kinds (reports, directories, text) are passed over where there are images. All of a folder is read or
    nothing: a volume less than there is would go unnoticed.

    Args:
        path: A file, or a folder with all that is below it.
        reading: What of DICOM is given as it is stored, and what is turned into something else.

    Raises:
        Rejected: Nothing to read, or one file or volume cannot be read right.
    """
    files = list(files_in(path)) if path.is_dir() else [path]
    by_format: dict[Format, list[Path]] = {}
    for number, file in enumerate(files, start=1):
        where = f"file {number} of {len(files)}"
        kind = format_of(file, where)
        if kind is not None:
            by_format.setdefault(kind, []).append(file)
        elif file.suffix.lower() in DICOM_SUFFIXES:
            raise Rejected(Code.MALFORMED, where, "no DICOM content", "DICOM, as its suffix says", "copy or export it again")
    if not by_format:
        code = Code.NOT_AN_IMAGE if files else Code.EMPTY
        raise Rejected(code, "the series", f"{len(files)} files, none an image", "DICOM, NIfTI, PNG or JPEG", "check the path")
    series = by_format.pop(Format.DICOM, [])
    volumes = dicom.read_volumes(series, reading) if series else []
    others = ((file, kind) for kind, some in by_format.items() for file in some)
    return volumes + [volume for file, kind in others for volume in _read_file(file, kind, "an image file")]


def read_image(files: Sequence[Path], reading: Reading = AS_STORED) -> Volume:
    """Read the one volume that the files of a series, or one NIfTI, PNG or JPEG file, hold.

    Args:
        files: In any order.
        reading: As in `read_series`.

    Raises:
        Rejected: MIXED_SERIES where they hold several; EMPTY, NOT_AN_IMAGE; or why the volume cannot be read right.
    """
    return open_image(files, reading).volume()


def open_image(files: Sequence[Path], reading: Reading = AS_STORED) -> Slices:
    """Check the headers of what `read_image` reads; the pixels of DICOM are decoded when slices are asked for.

    Args:
        files: In any order.
        reading: As in `read_series`.

    Raises:
        Rejected: As `read_image`; what is wrong with the pixels is raised when they are asked for.
    """
    if not files:
        raise Rejected(Code.EMPTY, "the series", "no file", "at least one image file", "check the path")
    kinds = {format_of(file, f"file {number} of {len(files)}") for number, file in enumerate(files, start=1)}
    if None in kinds:
        raise Rejected(Code.NOT_AN_IMAGE, "the series", "a file that is no image", "DICOM, NIfTI, PNG or JPEG", "leave it out")
    if kinds == {Format.DICOM}:
        return dicom.open_volume(files, reading)
    if len(files) > 1:
        found = f"{len(files)} files that are not one DICOM series"
        raise Rejected(Code.MIXED_SERIES, "the series", found, "one image", "give each file on its own")
    (kind,) = kinds
    assert kind is not None
    volumes = _read_file(files[0], kind, "file 1 of 1")
    if len(volumes) > 1:
        raise Rejected(Code.MIXED_SERIES, "the series", f"{len(volumes)} volumes", "one image", "give each volume a file")
    return HeldSlices(volumes[0])


def open_several(files: Sequence[Path], reading: Reading, most: int) -> list[Slices]:
    """Check the headers of files that are each an image of their own, and open some of them, evenly spaced.

    Files of other kinds are passed over where there are images.

    Args:
        files: Of one patient.
        reading: As in `read_series`.
        most: How many are opened; DICOM in the order of places in the body, others in that of their names.

    Raises:
        Rejected: EMPTY, NOT_AN_IMAGE, MIXED_SERIES where DICOM and other images are mixed; otherwise as `read_image`.
    """
    kinds = {file: format_of(file, f"file {number} of {len(files)}") for number, file in enumerate(files, start=1)}
    images = [file for file, kind in kinds.items() if kind is not None]
    if not images:
        code = Code.NOT_AN_IMAGE if files else Code.EMPTY
        raise Rejected(code, "the images", f"{len(files)} files, none an image", "DICOM, NIfTI, PNG or JPEG", "check the path")
    for number, (file, kind) in enumerate(kinds.items(), start=1):
        if kind is None and file.suffix.lower() in DICOM_SUFFIXES:
            where = f"file {number} of {len(files)}"
            raise Rejected(Code.MALFORMED, where, "no DICOM content", "DICOM, as its suffix says", "copy or export it again")
    if all(kinds[file] is Format.DICOM for file in images):
        return dicom.open_each(images, reading, most)
    if any(kinds[file] is Format.DICOM for file in images):
        raise Rejected(Code.MIXED_SERIES, "the images", "DICOM and other images", "one kind", "give each kind a folder")
    ordered = sorted(images, key=lambda file: [(int(n or -1), text) for text, n in NUMBERED.findall(str(file))])
    return [open_image([ordered[i]], reading) for i in dicom.evenly(len(ordered), most)]


def _read_file(file: Path, kind: Format, where: str) -> list[Volume]:
    return read_nifti(file, where) if kind is Format.NIFTI else [read_raster(file, where)]
