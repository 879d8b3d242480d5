"""Free-text notes, and structured reports as such."""

import codecs
from pathlib import Path

from medmm.errors import Code, Rejected
from medmm.readers.dicom_file import PREFIX_END
from medmm.readers.dicom_sr import read_report

NOTE_LIMIT_BYTES = 10 << 20
"""Three thousand pages; what is longer is no note."""

FALLBACK_ENCODING = "cp1252"
"""What Western European hospital systems write when it is not UTF-8."""


def read_note(path: Path) -> str:
    """Read one note, its lines ended by a line feed each: a text file or, told by its content, a DICOM structured report.

    Raises:
        Rejected: EMPTY where the file cannot be opened, TOO_LARGE, MALFORMED (NUL bytes, as in binary files and UTF-16, or
            bytes that are neither UTF-8 nor cp1252), or what `read_report` says of a DICOM file.
    """
    try:
        with path.open("rb") as file:
            content = file.read(NOTE_LIMIT_BYTES + 1)
    except OSError as error:
        raise Rejected(
            Code.EMPTY, "the note", f"no readable file ({type(error).__name__})", "a text file", "check the path"
        ) from None
    if len(content) > NOTE_LIMIT_BYTES:
        found = f"more than {NOTE_LIMIT_BYTES >> 20} MiB"
        raise Rejected(Code.TOO_LARGE, "the note", found, "a note", "give the text of one study only")
    if content[PREFIX_END - 4 : PREFIX_END] == b"DICM":
        return read_report(path, "the note", NOTE_LIMIT_BYTES)
    if b"\0" in content:
        raise Rejected(Code.MALFORMED, "the note", "NUL bytes", "UTF-8 text", "save the note as UTF-8")
    return _decode(content).replace("\r\n", "\n").replace("\r", "\n")


def _decode(content: bytes) -> str:
    for bytes_, encoding in ((content.removeprefix(codecs.BOM_UTF8), "utf-8"), (content, FALLBACK_ENCODING)):
        try:
            return bytes_.decode(encoding)
        except UnicodeDecodeError:
            continue
    raise Rejected(Code.MALFORMED, "the note", "bytes that are no text", "UTF-8 text", "save the note as UTF-8")
