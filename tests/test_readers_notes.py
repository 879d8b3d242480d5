from pathlib import Path

import pytest

from medmm.errors import Code, Rejected
from medmm.readers.notes import NOTE_LIMIT_BYTES, read_note


def written(folder: Path, content: bytes) -> Path:
    path = folder / "note.txt"
    path.write_bytes(content)
    return path


@pytest.mark.parametrize(
    ("content", "text"),
    [
        ("Kein Fieber, Müller".encode(), "Kein Fieber, Müller"),
        (b"\xef\xbb\xbfwith a mark", "with a mark"),
        ("Atemnot, keine Rötung".encode("cp1252"), "Atemnot, keine Rötung"),
        (b"one\r\ntwo\rthree\n", "one\ntwo\nthree\n"),
        ("שלום".encode(), "שלום"),
    ],
)
def test_a_note_is_read_as_it_was_written(tmp_path: Path, content: bytes, text: str) -> None:
    assert read_note(written(tmp_path, content)) == text


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (b"a\0b", Code.MALFORMED),
        (b"\x81\x8d\x8f", Code.MALFORMED),  # neither UTF-8 nor cp1252
        (b"a" * (NOTE_LIMIT_BYTES + 1), Code.TOO_LARGE),
    ],
)
def test_what_is_no_note_is_refused(tmp_path: Path, content: bytes, code: Code) -> None:
    with pytest.raises(Rejected) as caught:
        read_note(written(tmp_path, content))
    assert caught.value.code is code
