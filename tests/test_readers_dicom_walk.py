"""The walk over the bytes of a header, beside pydicom's own reading of them."""

import io
import struct
import warnings
from collections.abc import Collection
from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_dataset
from test_readers_dicom import bundled_images, save, save_enhanced

from medmm.errors import Code, Rejected
from medmm.readers import dicom_walk
from medmm.readers.dicom_attributes import Attributes, tag_of
from medmm.readers.dicom_file import read_header
from medmm.readers.dicom_keywords import HEADER_KEYWORDS
from medmm.readers.dicom_walk import BrokenError, DataSet, Element, Encoding, Window, walk

EXPLICIT, IMPLICIT, BIG = Encoding(True, True), Encoding(False, True), Encoding(True, False)
PIXELS = 0x7FE00010
PIXEL_HEAD = struct.pack("<HH2s2xI", 0x7FE0, 0x0010, b"OW", 4) + bytes(4)
ROWS = struct.pack("<HH2sHH", 0x0028, 0x0010, b"US", 2, 7)
ENDLESS = 0xFFFFFFFF
ITEM, ITEM_END, SEQUENCE_END = b"\xfe\xff\x00\xe0", b"\xfe\xff\x0d\xe0", b"\xfe\xff\xdd\xe0"
MODALITY_LUT, SHARED = "ModalityLUTSequence", "SharedFunctionalGroupsSequence"


def walked(
    content: bytes, wanted: Collection[str] = ("Rows", MODALITY_LUT), encoding: Encoding = EXPLICIT
) -> tuple[DataSet, Element | None]:
    return walk(Window(io.BytesIO(content)), 0, encoding, {tag_of(keyword) for keyword in wanted}, lambda tag: tag == PIXELS)


def written(dataset: Dataset, encoding: Encoding = EXPLICIT) -> bytes:
    stream = DicomBytesIO()
    stream.is_implicit_VR, stream.is_little_endian = not encoding.explicit, encoding.little
    write_dataset(stream, dataset)
    return bytes(stream.getvalue())


def rows_of(rows: int) -> Dataset:
    dataset = Dataset()
    dataset.Rows = rows
    return dataset


def sequence(items: bytes, *, endless: bool, keyword: str = MODALITY_LUT, vr: bytes = b"SQ") -> bytes:
    tag = tag_of(keyword)
    head = struct.pack("<HH2s2xI", tag >> 16, tag & 0xFFFF, vr, ENDLESS if endless else len(items))
    return head + items + (SEQUENCE_END + bytes(4) if endless else b"")


def item(content: bytes, *, endless: bool) -> bytes:
    head = ITEM + struct.pack("<I", ENDLESS if endless else len(content))
    return head + content + (ITEM_END + bytes(4) if endless else b"")


def same(found: DataSet, expected: Dataset, tags: Collection[int]) -> bool:
    """Compare bytes with those that pydicom keeps, in sequences all of them."""
    for tag in tags:
        if (tag in found.values) + (tag in found.items) != (tag in expected):
            return False
        if tag in found.items:
            items = expected[tag].value
            if len(items) != len(found.items[tag]):
                return False
            if not all(same(one, other, list(other.keys())) for one, other in zip(found.items[tag], items, strict=True)):
                return False
        elif tag in found.values:
            value = expected.get_item(tag).value or b""
            value = value if isinstance(value, bytes) else "\\".join(np.atleast_1d(value)).encode()  # a character set
            if value.rstrip(b" \0") != found.values[tag].rstrip(b" \0"):
                return False
    return True


def test_bundled_headers_hold_the_same_bytes_as_pydicom_sees() -> None:
    seen = 0
    for file in bundled_images():
        try:
            header = read_header(file, "a file")
        except Rejected:
            continue
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            expected = pydicom.dcmread(file, stop_before_pixels=True)
            assert same(header.attributes._dataset, expected, [tag_of(keyword) for keyword in HEADER_KEYWORDS]), file.name
        assert header.syntax == expected.file_meta.TransferSyntaxUID
        seen += 1
    assert seen >= 100


def reading(file: Path) -> Code | bool | None:
    """Tell whether a header reaches its pixels (None: it does not), or why it is refused."""
    try:
        return read_header(file, "a file").pixels is not None or None
    except Rejected as rejected:
        return rejected.code


def test_no_bundled_header_is_refused_but_one_without_transfer_syntax() -> None:
    files = [file for file in bundled_images() if file.read_bytes()[128:132] == b"DICM"]
    assert [file.name for file in files if isinstance(reading(file), Code)] == ["meta_missing_tsyntax.dcm"]


@pytest.mark.parametrize("encoding", [EXPLICIT, IMPLICIT, BIG])
@pytest.mark.parametrize("announced", [EXPLICIT, IMPLICIT])
def test_every_encoding_gives_the_same_items(encoding: Encoding, announced: Encoding) -> None:
    inner, outer, dataset = Dataset(), Dataset(), Dataset()
    inner.PixelSpacing = [0.5, 0.8]
    outer.PixelMeasuresSequence = [inner, inner]
    dataset.Rows = 7
    dataset.SharedFunctionalGroupsSequence = [outer]
    announced = announced._replace(little=encoding.little)
    found, stop = walked(written(dataset, encoding), ("Rows", SHARED), announced)
    attributes = Attributes(found, "a file")
    assert stop is None
    assert attributes.needed("Rows") == 7
    (group,) = attributes.items(SHARED)
    assert [measures.numbers("PixelSpacing") for measures in group.items("PixelMeasuresSequence")] == [(0.5, 0.8)] * 2


@pytest.mark.parametrize("endless", [True, False])
@pytest.mark.parametrize("vr", [b"SQ", b"UN"])
@pytest.mark.parametrize("keyword", [MODALITY_LUT, "IconImageSequence"])
def test_wanted_and_unwanted_sequences_are_passed_right(endless: bool, vr: bytes, keyword: str) -> None:
    nested = sequence(item(ROWS, endless=True) + item(PIXEL_HEAD, endless=True), endless=True, keyword="IconImageSequence")
    content = sequence(item(nested, endless=endless) + item(b"", endless=endless), endless=endless, keyword=keyword, vr=vr)
    found, stop = walked(content + ROWS + PIXEL_HEAD)
    assert Attributes(found, "a file").needed("Rows") == 7
    assert len(found.items.get(tag_of(MODALITY_LUT), ())) == (2 if keyword == MODALITY_LUT else 0)
    assert stop is not None
    assert (stop.length, stop.start) == (4, len(content + ROWS))


@pytest.mark.parametrize("keyword", [MODALITY_LUT, "IconImageSequence"])
def test_implicit_items_of_an_explicit_data_set_are_read(keyword: str) -> None:
    dataset = rows_of(7)
    dataset.TextValue = "x" * 0x4142  # a length that would be the letters BA
    nested = sequence(item(written(dataset, IMPLICIT), endless=True), endless=True, keyword=keyword)
    found, _ = walked(nested + ROWS)
    assert Attributes(found, "a file").needed("Rows") == 7
    for one in Attributes(found, "a file").items(MODALITY_LUT):
        assert one.needed("Rows") == 7


def test_what_is_of_unknown_representation_is_little_endian_in_a_big_endian_data_set() -> None:
    rows = written(rows_of(7), IMPLICIT)
    tag = tag_of(MODALITY_LUT)
    inner = item(rows, endless=True)
    head = struct.pack(">HH2s2xI", tag >> 16, tag & 0xFFFF, b"UN", len(inner))
    found, _ = walked(head + inner + written(rows_of(7), BIG), encoding=BIG)
    (one,) = Attributes(found, "a file").items(MODALITY_LUT)
    assert one.needed("Rows") == Attributes(found, "a file").needed("Rows") == 7


def test_fragments_of_bytes_are_stepped_over() -> None:
    fragments = sequence(
        ITEM + struct.pack("<I", 4) + b"\xfe\xff\xdd\xe0", endless=True, vr=b"OB", keyword="EncapsulatedDocument"
    )
    found, _ = walked(fragments + ROWS)
    assert Attributes(found, "a file").needed("Rows") == 7


def nest(depth: int, keyword: str, *, endless: bool) -> bytes:
    content = ROWS
    for _ in range(depth):
        content = sequence(item(content, endless=endless), endless=endless, keyword=keyword)
    return content


@pytest.mark.parametrize("keyword", [MODALITY_LUT, "IconImageSequence"])
def test_nesting_has_a_limit(keyword: str) -> None:
    walked(nest(dicom_walk.DEPTH_LIMIT, keyword, endless=True))
    for depth in (dicom_walk.DEPTH_LIMIT + 1, 5000):
        with pytest.raises(BrokenError):
            walked(nest(depth, keyword, endless=True))
    with pytest.raises(BrokenError):
        walked(nest(200, MODALITY_LUT, endless=False))


def test_what_is_kept_has_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dicom_walk, "KEPT_LIMIT", 10)
    walked(sequence(item(b"", endless=False) * 8, endless=False) + ROWS)
    with pytest.raises(BrokenError):
        walked(sequence(item(b"", endless=False) * 11, endless=False) + ROWS)


@pytest.mark.parametrize(
    "content",
    [
        ROWS + ROWS[:-2] + b"\x08\0",  # an attribute twice, with two values
        sequence(b"", endless=False) * 2,
        sequence(ROWS, endless=False),  # no item
        sequence(ROWS, endless=True),
        sequence(item(ROWS, endless=False)[:-1], endless=False),  # an item beyond its sequence
        sequence(ITEM + struct.pack("<I", 3) + ROWS, endless=True),  # an item that ends within its attribute
        sequence(ROWS, endless=True, keyword="IconImageSequence"),
        sequence(ROWS, endless=True, keyword="IconImageSequence", vr=b"OB"),
    ],
)
def test_contradictions_are_refused(content: bytes) -> None:
    with pytest.raises(BrokenError):
        walked(content + PIXEL_HEAD)


def test_an_attribute_repeated_with_one_value_has_that_value() -> None:
    assert Attributes(walked(ROWS + ROWS)[0], "a file").needed("Rows") == 7


def test_no_cut_reaches_the_pixels(tmp_path: Path) -> None:
    whole = save_enhanced(tmp_path / "a", [30, 32, 34]).read_bytes()
    header = read_header(tmp_path / "a", "a file")
    assert header.pixels is not None
    for length in range(132, header.pixels.offset, 3):
        (tmp_path / "cut").write_bytes(whole[:length])
        assert reading(tmp_path / "cut") in (None, Code.TRUNCATED, Code.MALFORMED)


def test_any_bytes_end_in_a_header_or_a_refusal(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    whole = save_enhanced(tmp_path / "a", [30, 32, 34]).read_bytes()
    for _ in range(2000):
        content = bytearray(whole)
        for place in rng.integers(132, len(whole), 3):
            content[place] = rng.choice((0, 0xFF, rng.integers(256)))
        (tmp_path / "changed").write_bytes(content)
        assert reading(tmp_path / "changed") in (True, None, Code.TRUNCATED, Code.MALFORMED)


@pytest.mark.parametrize(
    ("names", "raw", "expected"),
    [
        ("ISO_IR 192", "Schädel".encode(), "Schädel"),
        ("ISO_IR 100", "Schädel".encode("latin-1"), "Schädel"),
        ("GB18030", "头部".encode("gb18030"), "头部"),
        ("\\ISO 2022 IR 87", b"CT \x1b$B" + "頭部".encode("iso2022_jp")[3:-3] + b"\x1b(B", "CT 頭部"),
        ("iso-ir_192", "Schädel".encode(), "Schädel"),
        ("ISO_IR 192", b"CT\xff", "CT\ufffd"),
        ("DOE^JANE\\ISO_IR 6", b"CT\xe4", "CTä"),
    ],
)
def test_text_is_decoded_by_the_character_set_around_it(
    names: str, raw: bytes, expected: str, caplog: pytest.LogCaptureFixture
) -> None:
    outer, inner = DataSet(), DataSet(values={tag_of("SeriesDescription"): raw})
    outer.values[tag_of("SpecificCharacterSet")] = names.encode()
    outer.items[tag_of(MODALITY_LUT)] = [inner]
    (attributes,) = Attributes(outer, "a file").items(MODALITY_LUT)
    assert attributes.text("SeriesDescription") == expected
    assert "DOE" not in caplog.text


@pytest.mark.parametrize("raw", [b"1_0", b"1\\x", b"nan", b"1e999", b"\\"])
def test_text_that_is_no_number_is_refused(raw: bytes) -> None:
    with pytest.raises(Rejected, match="E_HEADER"):
        Attributes(DataSet(values={tag_of("PixelSpacing"): raw}), "a file").numbers("PixelSpacing")


def test_a_sequence_in_place_of_a_value_is_refused() -> None:
    with pytest.raises(Rejected, match="E_HEADER: a file: found a sequence"):
        Attributes(DataSet(items={tag_of("Rows"): []}), "a file").needed("Rows")


def test_a_length_of_letters_is_no_representation(tmp_path: Path) -> None:
    """In an implicit data set, the length of the pixels may look like a value representation."""
    values = 0x4142 // 2  # "BA" as bytes
    change = {"Rows": values, "Columns": 1}
    file = save(tmp_path / "a", np.arange(values, dtype="<i2"), "1.2.840.10008.1.2", **change)
    header = read_header(file, "a file")
    assert header.pixels is not None
    assert header.pixels.length == header.pixels.available == 0x4142


@pytest.mark.parametrize("whole", [False, True])
def test_a_data_set_may_end_with_a_short_value(whole: bool) -> None:
    content = written(rows_of(7))
    found, stop = walk(Window(io.BytesIO(content)), 0, EXPLICIT, {tag_of("Rows")}, lambda tag: tag == PIXELS, whole=whole)
    assert (found.values, stop) == ({tag_of("Rows"): content[-2:]}, None)
