"""NIfTI images (.nii, .nii.gz): whole, placed and of plausible size, or refused.

Source: NIfTI-1.1 and NIfTI-2 headers, https://nifti.nimh.nih.gov; nibabel turns them into RAS millimetres.
"""

from __future__ import annotations

import io
import math
import zlib
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

SPACING_LIMITS_MM = (0.001, 100.0)
FLAT_LIMIT = 1e-3
"""Smallest volume of a voxel as part of the box with its edges; below it two axes lie almost on each other."""

SPATIAL_UNIT = 0b111
MILLIMETRES = (0, 2)
"""Codes of an unknown spatial unit and of millimetres, in the low bits of xyzt_units."""

PLACE_CODES = range(1, 6)
"""What sform_code and qform_code may say of the space that they lead to; 0 is none."""


def read_nifti(path: Path, where: str) -> Volume:
    """Read one NIfTI file.

    Values that are not finite become 0 and are marked as padding.

    Raises:
        Rejected: TRUNCATED, TOO_LARGE (more content than its header, or the limit, allows), MALFORMED, HEADER (no usable
            affine or spacing) or UNSUPPORTED (pairs of files, several volumes, complex or colour values).
    """
    import nibabel

    content = path.read_bytes()
    head = _inflate(content, HEADER_BYTES, where) if content.startswith(GZIP_MAGIC) else content[:HEADER_BYTES]
    kind = nibabel.Nifti2Image if head[4:7] in (b"n+2", b"ni2") else nibabel.Nifti1Image
    header = _header(kind, head, where)
    needed = _needed_bytes(header, where)
    if content.startswith(GZIP_MAGIC):
        content = _inflate_whole(content, needed, where)
    if len(content) < needed:
        raise Rejected(Code.TRUNCATED, where, f"{len(content)} bytes", f"{needed} as the header demands", "copy the file again")
    affine = _affine(header, where)
    values = _values(content, header, where)
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
    if any(size > 1 for size in shape[3:]):
        raise Rejected(Code.UNSUPPORTED, where, f"an image of {count} dimensions", "one volume", "give one volume a file")
    offset = float(header["vox_offset"])
    if not math.isfinite(offset) or offset < header.sizeof_hdr or header["bitpix"] < 8:
        raise Rejected(Code.MALFORMED, where, "impossible place of the data", "an offset behind the header", "write it again")
    needed = int(offset) + math.prod(shape) * header.get_data_dtype().itemsize
    if needed > CONTENT_LIMIT_BYTES:
        raise Rejected(Code.TOO_LARGE, where, f"{needed} bytes", f"at most {CONTENT_LIMIT_BYTES}", "check the header")
    return int(needed)


def _affine(header: Any, where: str) -> Array:
    """Give the affine of sform, else of qform; a file with neither does not say which side is left."""
    codes = [int(header["sform_code"]), int(header["qform_code"])]
    if not any(codes) or any(code and code not in PLACE_CODES for code in codes):
        raise Rejected(Code.HEADER, where, "neither sform nor qform", "an orientation", "write the file with its affine")
    if int(header["xyzt_units"]) & SPATIAL_UNIT not in MILLIMETRES:
        raise Rejected(Code.HEADER, where, "a spatial unit other than mm", "millimetres", "write the file in millimetres")
    try:
        affine = np.asarray(header.get_best_affine(), float)
    except ValueError:
        raise Rejected(Code.HEADER, where, "an impossible quaternion", "a rotation", "write the file again") from None
    with np.errstate(over="ignore"):  # an infinite length is refused below
        edges = np.linalg.norm(affine[:3, :3], axis=0)
    if not np.isfinite([*affine.ravel(), *edges]).all() or min(edges) <= 0:
        raise Rejected(Code.HEADER, where, "an affine with an axis of no length", "an affine", "write the file again")
    if abs(np.linalg.det(affine[:3, :3] / edges)) < FLAT_LIMIT:
        raise Rejected(Code.HEADER, where, "a singular affine", "three axes in space", "write the file again")
    low, high = SPACING_LIMITS_MM
    if min(edges) < low or max(edges) > high:
        raise Rejected(Code.HEADER, where, "an implausible spacing", f"{low:g} to {high:g} mm", "check the unit of the spacing")
    return affine


def _values(content: bytes, header: Any, where: str) -> Array:
    """Give the scaled values as (i, j, k); float32 where they are no whole numbers."""
    from nibabel.arrayproxy import ArrayProxy

    try:
        with np.errstate(over="ignore"):  # what exceeds the type becomes infinite, and padding
            values: Array = np.asanyarray(ArrayProxy(io.BytesIO(content), header))
    except (OSError, ValueError):
        raise Rejected(Code.MALFORMED, where, "data that cannot be read", "voxel values", "write the file again") from None
    if values.dtype.kind not in "iuf":
        raise Rejected(Code.UNSUPPORTED, where, "complex or colour values", "one number a voxel", "convert it")
    values = values.reshape((*values.shape, 1, 1)[:3], order="A")
    if values.dtype.kind == "f":
        with np.errstate(over="ignore"):
            return values.astype(np.float32)
    return values.astype(values.dtype.newbyteorder("="))
