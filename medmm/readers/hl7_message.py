"""The form of HL7 version 2: a file into messages, a message into segments, fields and components, and its times.

Source: HL7 version 2.5.1, chapter 2 (encoding, escape sequences, batches) and 2.A (TS); MLLP frames.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from medmm.errors import Code, Rejected
from medmm.readers.facts import last_moment, malformed

FILE_LIMIT_BYTES = 256 << 20
CHARSETS = {
    "": "utf-8",  # ASCII by the standard, which UTF-8 contains
    "ASCII": "utf-8",
    "UNICODE UTF-8": "utf-8",
    "UNICODE": "utf-8",
    **{f"8859/{part}": f"iso8859-{part}" for part in range(1, 10)},
    "8859/15": "iso8859-15",
}
ENVELOPE = ("FHS", "BHS", "BTS", "FTS")
FRAME = b"\x0b\x1c"
TIME = re.compile(r"(\d{4})(?:(\d\d)(?:(\d\d)(?:(\d\d)(?:(\d\d)(?:(\d\d)(?:(\.\d{1,4}))?)?)?)?)?)?([+-]\d{4})?")
NULL = '""'
BREAK = re.compile(r"\.(?:br|sp|sk)\s*\+?\d*")
LAYOUT = re.compile(r"\.(?:fi|nf|in|ti|ce)\s*[+-]?\d*")


@dataclass(frozen=True)
class Message:
    """One message, split as it says.

    Attributes:
        segments: Each a list of fields; the name of the segment is the field 0.
        component: Separates components.
        repetition: Separates repetitions.
        escape: Begins and ends an escape sequence.
        subcomponent: Separates subcomponents.
        separator: Separates fields.
        charset: Of hexadecimal escapes.
    """

    segments: Sequence[Sequence[str]]
    separator: str
    component: str
    repetition: str
    escape: str
    subcomponent: str
    charset: str

    def field(self, segment: Sequence[str], number: int) -> str:
        """Give a field as it stands, "" where it is absent or null. MSH-1 is the separator, so MSH counts from there."""
        place = number - 1 if segment[0] == "MSH" else number
        found = segment[place] if place < len(segment) else ""
        return "" if found == NULL else found

    def part(self, segment: Sequence[str], number: int, component: int = 1) -> str:
        """Give a component of the first repetition of a field, its escapes replaced."""
        return self.component_of(self.field(segment, number).split(self.repetition)[0], component)

    def component_of(self, repetition: str, number: int) -> str:
        """Give a component, its escapes replaced."""
        parts = repetition.split(self.component)
        return self.unescape(parts[number - 1]) if number <= len(parts) and parts[number - 1] != NULL else ""

    def unescape(self, text: str) -> str:
        """Replace the escape sequences (chapter 2.7); one of no meaning here stays as it is.

        Raises:
            Rejected: MALFORMED where hexadecimal data is no text, UNSUPPORTED where it changes the character set.
        """
        if self.escape not in text:
            return text
        pieces = text.split(self.escape)
        if len(pieces) % 2 == 0:
            return text  # a lone escape character escapes nothing
        return "".join(self._meaning(piece) if place % 2 else piece for place, piece in enumerate(pieces))

    def _meaning(self, name: str) -> str:
        letters = {"F": self.separator, "S": self.component, "R": self.repetition, "E": self.escape, "T": self.subcomponent}
        if name in letters:
            return letters[name]
        if name in ("H", "N") or LAYOUT.fullmatch(name):
            return ""
        if BREAK.fullmatch(name):
            return "\n"
        if name[:1] == "X":
            try:
                return bytes.fromhex(name[1:]).decode(self.charset).replace("\r", "\n").replace("\0", " ")
            except ValueError:
                raise malformed("an escape sequence", "hexadecimal data that is no text", "text of MSH-18") from None
        if name[:1] in ("C", "M"):
            raise Rejected(
                Code.UNSUPPORTED, "an escape sequence", "another character set", "that of MSH-18", "send the message in UTF-8"
            )
        return f"{self.escape}{name}{self.escape}"


def parse_message(content: bytes) -> Message:
    """Split a message by the characters that its MSH names.

    Raises:
        Rejected: MALFORMED, or UNSUPPORTED for its character set.
    """
    lines = [line for line in re.split(rb"[\r\n]+", content) if line]
    head = lines[0]
    marks = head[3:4] + head[4:].split(head[3:4])[0] if len(head) > 8 else b""
    if len(marks) not in (5, 6) or len(set(marks)) != len(marks) or any(mark < 33 or mark > 126 for mark in marks):
        raise malformed("MSH", "no encoding characters", "a separator and four characters, each another")
    if re.search(rb"[A-Za-z0-9]", marks):
        raise malformed("MSH", "letters as encoding characters", "signs")
    fields = head.split(marks[:1])
    stated = fields[17].decode("ascii", "replace") if len(fields) > 17 else ""
    charset = CHARSETS.get(stated.split(chr(marks[2]))[0])
    if charset is None:
        raise Rejected(Code.UNSUPPORTED, "MSH-18", "another character set", "UTF-8 or ISO 8859", "send the message in UTF-8")
    try:
        text = b"\r".join(lines).decode(charset)
    except UnicodeDecodeError:
        raise malformed("the message", "bytes of another character set", "the one of MSH-18") from None
    if "\0" in text:
        raise malformed("the message", "a NUL", "text")
    separator, component, repetition, escape, subcomponent = (chr(mark) for mark in marks[:5])
    segments = [line.split(separator) for line in text.split("\r")]
    if any(not re.fullmatch("[A-Z][A-Z0-9]{2}", segment[0]) for segment in segments):
        raise malformed("the message", "a line that is no segment", "segments of three letters")
    return Message(segments, separator, component, repetition, escape, subcomponent, charset)


def parse_time(written: str) -> str:
    """Turn a time of HL7 into ISO 8601, "" for none; one that is not whole becomes the last moment that it can mean.

    Raises:
        Rejected: TYPE where it is no time.
    """
    if not written:
        return ""
    found = TIME.fullmatch(written)
    try:
        if found is None:
            raise ValueError
        year, month, day, hour, minute, second, fraction, zone = found.groups()
        date = "-".join(part for part in (year, month, day) if part)
        clock = ":".join(part for part in (hour, minute, second) if part)
        whole = f"{date}T{clock}" if second else last_moment(f"{date}T{clock}" if clock else date)
        whole += (fraction or "") + (f"{zone[:3]}:{zone[3:]}" if zone else "")
        datetime.fromisoformat(whole)
        return whole
    except ValueError:
        raise Rejected(Code.TYPE, "a time", "a time that cannot be read", "YYYYMMDDHHMMSS", "correct the message") from None


def messages(path: Path, where: str) -> Iterator[bytes]:
    """Give the messages of a file, without frames and the envelope of a batch."""
    try:
        if path.stat().st_size > FILE_LIMIT_BYTES:
            raise Rejected(Code.TOO_LARGE, where, "a larger file", f"at most {FILE_LIMIT_BYTES} bytes", "split the file")
        content = path.read_bytes()
    except OSError as error:
        raise Rejected(
            Code.EMPTY, where, f"no readable file ({type(error).__name__})", "a readable file", "restore it"
        ) from None
    content = content.removeprefix(b"\xef\xbb\xbf").translate(None, FRAME)
    message: list[bytes] = []
    for line in re.split(rb"[\r\n]+", content):
        if line[:3].decode("ascii", "replace") in ENVELOPE or not line:
            continue
        if line.startswith(b"MSH"):
            if message:
                yield b"\r".join(message)
            message = []
        elif not message:
            raise malformed(where, "a line before the first MSH", "messages that begin with MSH")
        message.append(line)
    if not message:
        raise Rejected(Code.EMPTY, where, "no message", "at least one", "export it again")
    yield b"\r".join(message)
