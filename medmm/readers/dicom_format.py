"""How the pixels of a DICOM file are stored, checked against what the file holds.

Source: DICOM PS3.3, sections C.7.6.3 (image pixel) and C.7.5.1 (padding); PS3.5, section 8 (pixel encoding).
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil

from medmm.errors import Code, Rejected
from medmm.readers.dicom_attributes import Attributes
from medmm.readers.dicom_file import NATIVE, Header, PixelElement, pixel_stream

JPEG2000 = frozenset(f"1.2.840.10008.1.2.4.{suffix}" for suffix in (90, 91, 201, 202, 203))
"""With HTJ2K."""

JPEG_XL_RECOMPRESSED = "1.2.840.10008.1.2.4.111"
JPEG_XL = frozenset({"1.2.840.10008.1.2.4.110", JPEG_XL_RECOMPRESSED, "1.2.840.10008.1.2.4.112"})

VIDEO = {
    f"1.2.840.10008.1.2.4.{suffix}": name
    for name, suffixes in (
        ("mpegvideo", ("100", "100.1", "101", "101.1")),
        ("h264", ("102", "102.1", "103", "103.1", "104", "104.1", "105", "105.1", "106", "106.1")),
        ("hevc", ("107", "108")),
    )
    for suffix in suffixes
}
"""Transfer syntaxes of video -> what FFmpeg calls their bare streams."""

JPEG2000_COLOURS = ("YBR_RCT", "YBR_ICT")
"""The colour transforms of JPEG 2000, which its decoder undoes."""

FLOAT_BITS = {"FloatPixelData": 32, "DoubleFloatPixelData": 64}

GREY = ("MONOCHROME1", "MONOCHROME2")
PALETTE = "PALETTE COLOR"
YBR = ("YBR_FULL", "YBR_FULL_422")
XYB, YBR_VIDEO = "XYB", "YBR_PARTIAL_420"
COLOURS = ("RGB", *YBR, *JPEG2000_COLOURS, XYB, YBR_VIDEO)
PHYSICAL_MODALITIES = ("CT", "PT")
"""Their values carry a unit (Hounsfield, activity), so MONOCHROME1 is a matter of display only."""

UNITLESS_RESCALE_TYPES = ("", "US", "OD")
"""Unstated, unspecified, and the optical density of film, which is darkness itself."""


@dataclass(frozen=True, slots=True)
class PixelFormat:
    """How the pixels of a file are stored.

    Attributes:
        syntax: Transfer Syntax UID.
        frames: How many frames the file holds.
        samples: 1 for grey and palette, 3 for colour.
        planar: 1 where all of one colour comes first.
        signed: Whether stored values are two's complement.
        padding: Lowest and highest stored value that stand for no measurement; they may need all of `bits_allocated`.
        inverted: Whether larger stored values are darker and mean nothing else.
        floating: Whether pixels are floating-point numbers of `bits_allocated` bits.
    """

    syntax: str
    rows: int
    columns: int
    frames: int
    samples: int
    photometric: str
    planar: int
    bits_allocated: int
    bits_stored: int
    signed: bool
    padding: tuple[float, float] | None
    inverted: bool
    floating: bool = False

    @property
    def coloured(self) -> bool:
        """Whether pixels have three values once they are decoded."""
        return self.samples == 3 or self.photometric == PALETTE

    @property
    def frame_bytes(self) -> int:
        """Bytes of one uncompressed frame; YBR_FULL_422 stores two colour samples for every two pixels (C.7.6.3.1.2)."""
        size = self.rows * self.columns * self.samples * (self.bits_allocated // 8)
        return size // 3 * 2 if self.photometric == "YBR_FULL_422" and self.syntax in NATIVE else size


def pixel_format(header: Header, pixels: PixelElement) -> PixelFormat:
    """Read how pixels are stored.

    Raises:
        Rejected: HEADER, UNSUPPORTED; TRUNCATED or MALFORMED where the length of the pixels is another one.
    """
    attributes = header.attributes
    if pixels.keyword in FLOAT_BITS:
        return _floating_format(header, pixels)
    photometric, samples = _photometric(attributes, header.syntax)
    allocated, stored = _bits(attributes, samples)
    rows, columns, frames = _size(attributes)
    signed = _flag(attributes, "PixelRepresentation", attributes.needed("PixelRepresentation"))
    found = PixelFormat(
        syntax=header.syntax,
        rows=rows,
        columns=columns,
        frames=frames,
        samples=samples,
        photometric=photometric,
        planar=int(_flag(attributes, "PlanarConfiguration", attributes.whole("PlanarConfiguration") or 0)),
        bits_allocated=allocated,
        bits_stored=stored,
        signed=signed,
        padding=_padding(attributes, allocated, signed),
        inverted=photometric == "MONOCHROME1" and not _has_unit(attributes),
    )
    check_length(found, pixels, header)
    return found


def _floating_format(header: Header, pixels: PixelElement) -> PixelFormat:
    """Read how floating-point pixels are stored (C.7.6.24, C.7.6.25)."""
    attributes, bits = header.attributes, FLOAT_BITS[pixels.keyword]
    photometric, samples = _photometric(attributes, header.syntax)
    if photometric != "MONOCHROME2" or header.syntax not in NATIVE:
        raise _unsupported(attributes.where, "floating-point pixels that are inverted or compressed", "plain MONOCHROME2")
    if attributes.needed("BitsAllocated") != bits:
        raise attributes.impossible("BitsAllocated", "another number of bits", f"{bits} for {pixels.keyword}")
    rows, columns, frames = _size(attributes)
    name = pixels.keyword.removesuffix("Data")
    first, last = attributes.number(f"{name}PaddingValue"), attributes.number(f"{name}PaddingRangeLimit")
    padding = None if first is None else (first, first if last is None else last)
    found = PixelFormat(
        syntax=header.syntax,
        rows=rows,
        columns=columns,
        frames=frames,
        samples=samples,
        photometric=photometric,
        planar=0,
        bits_allocated=bits,
        bits_stored=bits,
        signed=True,
        padding=padding and (min(padding), max(padding)),
        inverted=False,
        floating=True,
    )
    check_length(found, pixels, header)
    return found


def _photometric(attributes: Attributes, syntax: str) -> tuple[str, int]:
    photometric = attributes.text("PhotometricInterpretation")
    if not photometric:
        raise attributes.missing("PhotometricInterpretation")
    if photometric not in _photometrics(syntax):
        raise _unsupported(attributes.where, "a rare PhotometricInterpretation", "grey, palette, RGB or YBR")
    samples = attributes.needed("SamplesPerPixel")
    if samples != (3 if photometric in COLOURS else 1):
        raise attributes.impossible("SamplesPerPixel", f"{samples} samples for {photometric}", "3 for colour, 1 for grey")
    return photometric, samples


def _photometrics(syntax: str) -> tuple[str, ...]:
    """Give the interpretations of pixels that a transfer syntax may have here, each of which its decoder turns into RGB."""
    if syntax in JPEG2000:
        return (*GREY, PALETTE, "RGB", *JPEG2000_COLOURS)
    if syntax in JPEG_XL:  # it knows of YCbCr only in JPEG, and of RGB only elsewhere
        return (*GREY, *(YBR if syntax == JPEG_XL_RECOMPRESSED else ("RGB", XYB)))
    if syntax in VIDEO:
        return (YBR_VIDEO,)
    return (*GREY, PALETTE, "RGB", *YBR)


def _bits(attributes: Attributes, samples: int) -> tuple[int, int]:
    allocated, stored = attributes.needed("BitsAllocated"), attributes.needed("BitsStored")
    if allocated not in (8, 16, 32):
        raise _unsupported(attributes.where, f"{allocated} bits allocated", "8, 16 or 32")
    if not 1 <= stored <= allocated:
        raise attributes.impossible("BitsStored", f"{stored} of {allocated} bits", f"1 to {allocated}")
    if attributes.whole("HighBit") not in (None, stored - 1):
        raise _unsupported(attributes.where, "a HighBit away from BitsStored - 1", "HighBit = BitsStored - 1")
    if samples == 3 and (allocated, stored) not in ((8, 8), (16, 16), (32, 32)):
        raise _unsupported(
            attributes.where, f"colour with {stored} of {allocated} bits", "8, 16 or 32 bits, all of them stored"
        )
    return allocated, stored


def _size(attributes: Attributes) -> tuple[int, int, int]:
    rows, columns, frames = attributes.needed("Rows"), attributes.needed("Columns"), attributes.whole("NumberOfFrames")
    frames = 1 if frames is None else frames
    if min(rows, columns, frames) < 1:
        raise attributes.impossible("Rows, Columns or NumberOfFrames", "less than 1", "at least 1")
    return rows, columns, frames


def _flag(attributes: Attributes, keyword: str, value: int) -> bool:
    if value not in (0, 1):
        raise attributes.impossible(keyword, str(value), "0 or 1")
    return value == 1


def _padding(attributes: Attributes, allocated: int, signed: bool) -> tuple[int, int] | None:
    """Give the padding range, its words read with the sign of the pixels whatever sign the header wrote them with."""
    first = attributes.whole("PixelPaddingValue")
    if first is None:
        return None
    last = attributes.whole("PixelPaddingRangeLimit")
    offset = 1 << (allocated - 1) if signed else 0
    words = sorted((value + offset) % (1 << allocated) - offset for value in (first, first if last is None else last))
    return words[0], words[1]


def _has_unit(attributes: Attributes) -> bool:
    return attributes.text("Modality") in PHYSICAL_MODALITIES or attributes.text("RescaleType") not in UNITLESS_RESCALE_TYPES


def check_length(stored: PixelFormat, pixels: PixelElement, header: Header) -> None:
    """Compare the length of pixels with what the header demands, and with what the file holds.

    Raises:
        Rejected: TRUNCATED or MALFORMED.
    """
    where = header.where
    if stored.syntax not in NATIVE:
        if pixels.length is not None:
            raise Rejected(
                Code.MALFORMED, where, "compressed pixels that are not encapsulated", "encapsulated pixels", "export it again"
            )
        return
    demanded = stored.frame_bytes * stored.frames
    padded = ceil(demanded / 2) * 2
    if pixels.length is None:
        raise Rejected(Code.MALFORMED, where, "uncompressed pixels of undefined length", "a length", "export it again")
    if min(pixels.length, pixels.available) < demanded:
        found = f"{min(pixels.length, pixels.available)} bytes of pixels"
        raise Rejected(Code.TRUNCATED, where, found, f"{demanded}", "copy the file again")
    if pixels.length > padded and not _is_filled_up(stored, pixels, header, padded):
        raise Rejected(
            Code.MALFORMED, where, f"{pixels.length} bytes of pixels", f"{demanded}", "check Rows, Columns and frames"
        )


def _is_filled_up(stored: PixelFormat, pixels: PixelElement, header: Header, demanded: int) -> bool:
    """Tell whether no more than one row of zeros follows the pixels, which shifts none of them."""
    assert pixels.length is not None
    if pixels.length - demanded > stored.frame_bytes // stored.rows:
        return False
    with pixel_stream(header.file, header.syntax, header.where) as stream:
        stream.seek(pixels.offset + demanded)
        return not any(stream.read(pixels.length - demanded))


def _unsupported(where: str, found: str, expected: str) -> Rejected:
    return Rejected(Code.UNSUPPORTED, where, found, expected, "leave the image out, or convert it")
