"""NIfTI images (.nii, .nii.gz): whole, placed and of plausible size, or refused.

Nothing but numbers leaves a file: its text fields (description, names) and extensions may hold a name, and are never read.

Source: NIfTI-1.1 and NIfTI-2 headers, https://nifti.nimh.nih.gov; nibabel turns them into RAS millimetres.
"""

from __future__ import annotations

import io
import math
import zlib
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

from medmm.errors import Code, Rejected
from medmm.readers.formats import GZIP_MAGIC
from medmm.types import Array, Volume

CONTENT_LIMIT_BYTES = 4 << 30
"""Most that the header may promise: 1024 slices of 1024 x 1024 as float32."""

HEADER_BYTES = 540
"""The longer of the two headers, NIfTI-2's."""

HEAD_BYTES = 1 << 16
"""Enough of a compressed file to hold its NIfTI header, whatever its gzip header says before."""

PACKED_SPARE_BYTES = 1 << 20
"""What gzip may add to content that cannot be compressed, besides one part in a thousand: its own header, and blocks' heads."""

SPACING_LIMITS_MM = (0.001, 100.0)
FLAT_LIMIT = 1e-3
"""Smallest volume of a voxel as part of the box with its edges; below it two axes lie almost on each other."""

RIGHT_ANGLE_TOLERANCE = 1e-3
"""Largest cosine between two axes, as for DICOM: what a volume is resampled by takes its axes one by one."""

SPACING_TOLERANCE = 0.01
"""Largest relative difference of the affine's spacing from the voxel size in the header."""

PLACE_TOLERANCE = 0.5
"""Most by which sform and qform of one space may differ at a corner, in smallest voxel sides; the quaternion of a half turn is
that inexact in float32."""

SPATIAL_UNIT = 0b111
MILLIMETRES = (0, 2)
"""Codes of an unknown spatial unit and of millimetres, in the low bits of xyzt_units."""

PLACE_CODES = range(1, 6)
"""What sform_code and qform_code may say of the space that they lead to; 0 is none."""


def read_nifti(path: Path, where: str) -> list[Volume]:
    """Read the volumes of one NIfTI file: one, or those of a fourth axis apart, in their order.

    Values that are not finite become 0 and are marked as padding.

    Raises:
        Rejected: TRUNCATED, TOO_LARGE (more content than its header, or the limit, allows), MALFORMED, HEADER (no usable
            affine, spacing or scaling), TILT (axes that are not at right angles) or UNSUPPORTED (pairs of files, more than
            four axes, complex or colour values).
    """
    import nibabel

    with path.open("rb") as file:
        size = file.seek(0, io.SEEK_END)
        file.seek(0)
        head = file.read(HEAD_BYTES)
        packed = head.startswith(GZIP_MAGIC)
        head = _inflate(head, HEADER_BYTES, where) if packed else head[:HEADER_BYTES]
        kind = nibabel.Nifti2Image if head[4:7] in (b"n+2", b"ni2") else nibabel.Nifti1Image
        header = _header(kind, head, where)
        needed = _needed_bytes(header, where)
        if packed and size > needed + needed // 1000 + PACKED_SPARE_BYTES:
            raise Rejected(Code.TOO_LARGE, where, f"{size} bytes packed", f"{needed} unpacked", "write the file again")
        file.seek(0)
        content = _inflate_whole(file.read(), needed, where) if packed else file.read(min(needed, size))  # takes memory first
    if len(content) < needed:
        raise Rejected(Code.TRUNCATED, where, f"{len(content)} bytes", f"{needed} as the header demands", "copy the file again")
    with np.errstate(all="ignore"):  # numbers of any size may stand in a header; what is made of them is checked
        affine = _affine(header, where)
        values = _values(content, header, where)  # (i, j, k, volume)
    return [_volume(values[..., number], affine) for number in range(values.shape[3])]


def _volume(values: Array, affine: Array) -> Volume:
    finite = np.isfinite(values)
    padding = None if finite.all() else ~finite
    if padding is not None:
        values = np.where(finite, values, values.dtype.type(0))
    spacing = tuple(float(size) for size in np.linalg.norm(affine[:3, :3], axis=0))
    return Volume(values, affine, (spacing[0], spacing[1], spacing[2]), "", padding)


def _inflate(content: bytes, limit: int, where: str) -> bytes:
    try:
        return zlib.decompressobj(wbits=31).decompress(content, limit)
    except zlib.error:
        raise Rejected(Code.MALFORMED, where, "gzip data that cannot be inflated", "a gzip file", "copy it again") from None


def _inflate_whole(content: bytes, needed: int, where: str) -> bytes:
    """Inflate no more than the header demands, and check that the gzip member ends there, with the right check sum."""
    inflater = zlib.decompressobj(wbits=31)
    try:
        inflated = inflater.decompress(content, needed)
        rest = inflater.decompress(inflater.unconsumed_tail, 1)
    except zlib.error:
        raise Rejected(Code.MALFORMED, where, "gzip data that cannot be inflated", "a gzip file", "copy it again") from None
    if rest or inflater.unused_data.strip(b"\0"):
        raise Rejected(Code.TOO_LARGE, where, "more content than the header states", f"{needed} bytes", "write the file again")
    if not inflater.eof:
        raise Rejected(Code.TRUNCATED, where, "gzip data without its end", "the whole file", "copy it again")
    return inflated


def _header(kind: Any, head: bytes, where: str) -> Any:
    from nibabel.spatialimages import HeaderDataError
    from nibabel.wrapstruct import WrapStructError

    try:
        header = kind.header_class.from_fileobj(io.BytesIO(head), check=False)
        header.get_data_dtype()
    except (HeaderDataError, WrapStructError, ValueError, KeyError):
        raise Rejected(
            Code.MALFORMED, where, "a header that cannot be read", "a NIfTI header", "write the file again"
        ) from None
    if header["magic"].tobytes()[:2] == b"ni":
        raise Rejected(
            Code.UNSUPPORTED, where, "a pair of header and image file", "one .nii or .nii.gz", "convert it to .nii.gz"
        )
    return header


def _needed_bytes(header: Any, where: str) -> int:
    dimensions = [int(size) for size in header["dim"]]
    count = dimensions[0]
    shape = dimensions[1 : count + 1]
    if not 1 <= count <= 7 or min(shape) < 1:
        raise Rejected(Code.MALFORMED, where, "impossible dimensions", "1 to 7 sizes above zero", "write the file again")
    if any(size > 1 for size in shape[4:]):
        raise Rejected(Code.UNSUPPORTED, where, f"an image of {count} axes", "volumes along a fourth axis", "take it apart")
    offset = float(header["vox_offset"])
    if not math.isfinite(offset) or offset < header.sizeof_hdr or header["bitpix"] < 8:
        raise Rejected(Code.MALFORMED, where, "impossible place of the data", "an offset behind the header", "write it again")
    needed = int(offset) + math.prod(shape) * header.get_data_dtype().itemsize
    if needed > CONTENT_LIMIT_BYTES:
        raise Rejected(Code.TOO_LARGE, where, f"{needed} bytes", f"at most {CONTENT_LIMIT_BYTES}", "check the header")
    return int(needed)


def _affine(header: Any, where: str) -> Array:
    """Give the affine of sform, else of qform; a file with neither does not say which side is left.

    The standard means the qform for the scanner's space and the sform for any. Where both name one space they must lead to
    the same places. Where they name two, the sform is taken, as the standard's own software does, unless they disagree on
    which way an axis runs: then one of them may have left and right the wrong way round.

    Source: nifti1.h, "3D image (volume) orientation and location in space".
    """
    forms = {}
    for name, code in (("sform", int(header["sform_code"])), ("qform", int(header["qform_code"]))):
        if code:
            forms[name] = _form(header, name, where)
        if code and code not in PLACE_CODES:
            raise _unplaced(where, f"an unknown code of its {name}", "a code of the standard")
    if not forms:
        raise _unplaced(where, "neither sform nor qform", "an orientation")
    if int(header["xyzt_units"]) & SPATIAL_UNIT not in MILLIMETRES:
        raise _unplaced(where, "a spatial unit other than mm", "millimetres")
    affine = next(iter(forms.values()))
    for form in forms.values():
        _check_form(form, header, where)
    if len(forms) == 2:
        _check_agreement(forms["sform"], forms["qform"], header, where)
    return affine


def _form(header: Any, name: str, where: str) -> Array:
    from nibabel.spatialimages import HeaderDataError

    if header["pixdim"][0] == 0:
        header["pixdim"][0] = 1  # as the standard says of this value
    try:
        return np.asarray(header.get_sform() if name == "sform" else header.get_qform(), float)
    except (ValueError, HeaderDataError):
        raise _unplaced(where, "an impossible quaternion or voxel size", "a rotation") from None


def _check_form(affine: Array, header: Any, where: str) -> None:
    edges = np.linalg.norm(affine[:3, :3], axis=0)
    if not np.isfinite([*affine.ravel(), *edges]).all() or min(edges) <= 0:
        raise _unplaced(where, "an affine with an axis of no length", "an affine")
    directions = affine[:3, :3] / edges
    if abs(np.linalg.det(directions)) < FLAT_LIMIT:
        raise _unplaced(where, "a singular affine", "three axes in space")
    cosines = np.abs(directions.T @ directions - np.eye(3))
    if cosines.max() > RIGHT_ANGLE_TOLERANCE:
        found = f"axes with a cosine of {cosines.max():.4f} between them"
        raise Rejected(Code.TILT, where, found, "axes at right angles", "resample the image to right angles")
    low, high = SPACING_LIMITS_MM
    if min(edges) < low or max(edges) > high:
        raise _unplaced(where, "an implausible spacing", f"{low:g} to {high:g} mm")
    stated = np.asarray(header["pixdim"][1:4], float)[: int(header["dim"][0])]
    if not all(size == 0 or abs(edge / size - 1) <= SPACING_TOLERANCE for edge, size in zip(edges, stated, strict=False)):
        raise _unplaced(where, "a spacing of the affine that is not the voxel size", "one spacing")


def _check_agreement(sform: Array, qform: Array, header: Any, where: str) -> None:
    axes = [form[:3, :3] / np.linalg.norm(form[:3, :3], axis=0) for form in (sform, qform)]
    if (axes[0] * axes[1]).sum(0).min() < np.cos(np.pi / 4):
        raise _unplaced(where, "an axis that runs another way in sform than in qform", "one orientation")
    if header["sform_code"] != header["qform_code"]:
        return
    ends = [range(0, max(int(size), 1), max(int(size) - 1, 1)) for size in header["dim"][1:4]]
    corners = np.array([(*corner, 1) for corner in product(*ends)])  # (8, 4)
    apart = np.linalg.norm((corners @ (sform - qform).T)[:, :3], axis=1).max()
    if apart > PLACE_TOLERANCE * np.linalg.norm(sform[:3, :3], axis=0).min():
        raise _unplaced(where, f"sform and qform of one space, {apart:.2f} mm apart", "one place")


def _unplaced(where: str, found: str, expected: str) -> Rejected:
    return Rejected(Code.HEADER, where, found, expected, "write the file again, with one affine in millimetres")


def _values(content: bytes, header: Any, where: str) -> Array:
    """Give the scaled values as (i, j, k, volume); float32 where they are no whole numbers, and what exceeds it is infinite."""
    from nibabel.arrayproxy import ArrayProxy
    from nibabel.spatialimages import HeaderDataError

    if math.isinf(header["scl_slope"]):
        raise Rejected(Code.HEADER, where, "an infinite scaling", "a slope and an intercept", "write the file again")
    try:
        values: Array = np.asanyarray(ArrayProxy(io.BytesIO(content), header))
    except HeaderDataError:
        raise Rejected(
            Code.HEADER, where, "an impossible scaling", "a slope and an intercept", "write the file again"
        ) from None
    except (OSError, ValueError):
        raise Rejected(Code.MALFORMED, where, "data that cannot be read", "voxel values", "write the file again") from None
    if values.dtype.kind not in "iuf":
        raise Rejected(Code.UNSUPPORTED, where, "complex or colour values", "one number a voxel", "convert it")
    values = values.reshape((*values.shape, 1, 1, 1)[:4], order="A")
    if values.dtype.kind == "f":
        return values.astype(np.float32)
    return values.astype(values.dtype.newbyteorder("="))
