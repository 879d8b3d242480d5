"""Nothing that pydicom says of a file reaches a log or a warning."""

import logging
import threading
import warnings
from collections.abc import Callable
from pathlib import Path

import pytest
from pydicom.uid import RLELossless
from test_readers_dicom import edited, encapsulated, save

from medmm.errors import Code, Rejected
from medmm.readers import read_image
from medmm.readers.quiet import quiet

NAME = b"DOE^J\xc4NE"
"""As it would stand in a file; not ASCII, so that it goes through pydicom's decoding."""


def heard(caplog: pytest.LogCaptureFixture, read: Callable[[], object]) -> list[str]:
    """Give all that is warned and logged while something is read, refused or not."""
    with caplog.at_level(logging.DEBUG), warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        try:
            read()
        except Rejected as reason:
            return [str(one.message) for one in warned] + caplog.messages + [str(reason)]
    return [str(one.message) for one in warned] + caplog.messages


@pytest.mark.parametrize(
    ("keyword", "value"),
    [
        ("SeriesInstanceUID", b"1.2.3.DOE^J\xc4NE^X"),
        ("SpecificCharacterSet", b"DOE^J\xc4NE "),
        ("PatientID", b"DOE^J\xc4NE "),
        ("FrameOfReferenceUID", b"DOE^J\xc4NE "),
        ("EchoNumbers", b"DOE^J\xc4NE "),
    ],
)
def test_a_name_in_any_place_is_neither_warned_of_nor_logged(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, keyword: str, value: bytes
) -> None:
    stand_in = ("9." * 20)[: len(value)] if "UID" in keyword else "1234567890"[: len(value)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        file = save(tmp_path / "a", **{keyword: stand_in})
    caplog.clear()
    edited(file, stand_in.encode(), value)
    for line in heard(caplog, lambda: read_image([file])):
        assert "DOE" not in line
        assert "NE" not in line.replace("NEAR", "")


def test_a_meta_element_of_unknown_kind_is_refused(tmp_path: Path) -> None:
    file = save(tmp_path / "a")
    edited(file, b"\x02\x00\x10\x00UI\x14\x001", b"\x02\x00\x10\x00SI\x14\x00\xb1")
    with pytest.raises(Rejected) as caught:
        read_image([file])
    assert caught.value.code in (Code.HEADER, Code.MALFORMED)


@pytest.mark.parametrize("syntax", [b"1.2.840.10008.9876.5", b"1.2.840.10008.9876.\0", b"01.2.840.1000.9876.5"])
def test_an_unknown_transfer_syntax_is_not_repeated(tmp_path: Path, caplog: pytest.LogCaptureFixture, syntax: bytes) -> None:
    file = save(tmp_path / "a", encapsulated([bytes(24)]), RLELossless)
    edited(file, b"1.2.840.10008.1.2.5\0", syntax)
    (line,) = heard(caplog, lambda: read_image([file]))
    assert line.startswith("E_NO_DECODER")
    assert "9876" not in line


def test_what_was_set_comes_back_whatever_the_order_of_threads() -> None:
    logger = logging.getLogger("pydicom")
    filters = list(warnings.filters)
    inside, leave = threading.Event(), threading.Event()

    def stay() -> None:
        with quiet():
            inside.set()
            leave.wait(10)

    thread = threading.Thread(target=stay)
    with quiet():
        thread.start()
        inside.wait(10)
    assert not logger.propagate  # the other still reads
    leave.set()
    thread.join()
    assert logger.propagate
    assert warnings.filters == filters


def test_a_fault_inside_leaves_nothing_behind() -> None:
    with pytest.raises(ZeroDivisionError), quiet(), quiet():
        _ = 1 / 0
    assert logging.getLogger("pydicom").propagate
