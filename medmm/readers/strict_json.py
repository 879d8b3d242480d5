"""JSON from strangers: streamed, within limits, and refused where two readers could understand it differently.

A number keeps the text that was written. Refused are duplicate keys, NaN and Infinity, bytes that are no UTF-8, NUL and lone
surrogates, nesting and sizes beyond the limits, and a compressed file that grows beyond reason.

Source: RFC 8259 for JSON, RFC 7493 (I-JSON) for what is refused of it; ndjson-spec 1.0 for lines.
"""

import gzip
import json
import re
import zlib
from collections.abc import Iterator
from json import JSONDecodeError, JSONDecoder
from pathlib import Path
from typing import Any, BinaryIO, NoReturn, TypeAlias, cast

import numpy as np

from medmm.errors import Code, Rejected
from medmm.readers.facts import malformed

Json: TypeAlias = dict[str, Any]
"""A JSON object: its values are str, `Number`, bool, None, lists and objects."""

DEPTH_LIMIT = 64
"""Deepest nesting; FHIR resources stay below 20."""

LINE_LIMIT_BYTES = 32 << 20
"""Longest line: a document of 20 MiB in base64, more than a note may hold."""

FILE_LIMIT_BYTES = 256 << 20
"""Largest file that is one JSON value, which is held in memory as a whole."""

CHUNK_BYTES = 1 << 20
STREAM_LIMIT_BYTES = 16 << 30
"""Most that one file of lines may hold, inflated."""

INFLATION_LIMIT = 200
"""Most bytes that a compressed byte may become; exports of records stay below 100, a bomb reaches 1,000."""

FREE_INFLATION_BYTES = 64 << 20
"""Small files may inflate to this whatever their ratio."""

GZIP_MAGIC = b"\x1f\x8b"
BOM = b"\xef\xbb\xbf"
STRING = re.compile(r'"(?:[^"\\]++|\\.)*+"?', re.DOTALL)
SUSPICIOUS = re.compile(rb"\\u(?:[dD][89a-fA-F]|0000)")
MARKS = np.zeros(128, np.int64)
MARKS[[ord(letter) for letter in "[{"]] = 1
MARKS[[ord(letter) for letter in "]}"]] = -1


class Number(str):
    """A JSON number as it was written, told apart from a string of digits by its type."""

    __slots__ = ()


def parse_object(content: bytes, where: str) -> Json:
    """Parse one JSON object.

    Args:
        content: Its bytes.
        where: Its place, for the refusal; no content is ever named.

    Raises:
        Rejected: MALFORMED; TRUNCATED where it stops before its end; TOO_LARGE where it is nested too deep.
    """
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError:
        raise malformed(where, "bytes that are not UTF-8", "UTF-8 text") from None
    if content.count(b"{") + content.count(b"[") > DEPTH_LIMIT and _nesting(text)[0] > DEPTH_LIMIT:
        raise Rejected(
            Code.TOO_LARGE, where, "deeper nesting than records have", f"at most {DEPTH_LIMIT} levels", "correct the export"
        )
    try:
        value = DECODER.decode(text)
    except JSONDecodeError:
        if _nesting(text)[1] > 0:
            raise Rejected(Code.TRUNCATED, where, "JSON without its end", "whole objects", "export it again") from None
        raise malformed(where, "no JSON", "one JSON object") from None
    except _TwiceError:
        raise malformed(where, "a key twice in one object", "a value for each key") from None
    except _NoNumberError:
        raise malformed(where, "NaN or Infinity", "numbers of JSON") from None
    if not isinstance(value, dict):
        raise malformed(where, "JSON that is no object", "one JSON object")
    if SUSPICIOUS.search(content):
        _check_letters(value, where)
    return cast(Json, value)


def lines(path: Path, where: str) -> Iterator[tuple[int, bytes]]:
    """Give each line of a file, plain or gzip, with its number from 1; lines of white space are passed over.

    Raises:
        Rejected: TRUNCATED where a compressed file ends too early, TOO_LARGE, MALFORMED, or EMPTY where it cannot be opened.
    """
    with _opened(path, where) as file:
        most = _most(path, file, STREAM_LIMIT_BYTES)
        number = total = 0
        rest = b""
        while chunk := _read(file, where, CHUNK_BYTES):
            total += len(chunk)
            if total > most:
                raise _too_large(where, most)
            *complete, rest = (rest + chunk).split(b"\n")
            for line in complete:
                number += 1
                if len(line) > LINE_LIMIT_BYTES:
                    raise _too_large(f"{where}, line {number}", LINE_LIMIT_BYTES)
                if number == 1:
                    line = line.removeprefix(BOM)  # noqa: PLW2901 - the mark is no part of it
                if line and not line.isspace():
                    yield number, line
            if len(rest) > LINE_LIMIT_BYTES:
                raise _too_large(f"{where}, line {number + 1}", LINE_LIMIT_BYTES)
        if rest and not rest.isspace():
            yield number + 1, rest.removeprefix(BOM) if not number else rest


def whole(path: Path, where: str) -> bytes:
    """Give the content of a file that is one JSON value, plain or gzip.

    Raises:
        Rejected: As `lines`.
    """
    with _opened(path, where) as file:
        most = _most(path, file, FILE_LIMIT_BYTES)
        content = _read(file, where, most + 1)
    if len(content) > most:
        raise _too_large(where, most)
    return content.removeprefix(BOM)


def _opened(path: Path, where: str) -> BinaryIO:
    try:
        file = path.open("rb")
    except OSError as error:
        raise Rejected(
            Code.EMPTY, where, f"no readable file ({type(error).__name__})", "a readable file", "restore it"
        ) from None
    magic = file.read(len(GZIP_MAGIC))
    file.seek(0)
    if magic != GZIP_MAGIC:
        return file
    file.close()
    return cast(BinaryIO, gzip.open(path))


def _most(path: Path, file: BinaryIO, limit: int) -> int:
    if not isinstance(file, gzip.GzipFile):
        return limit
    return min(limit, max(FREE_INFLATION_BYTES, INFLATION_LIMIT * path.stat().st_size))


def _read(file: BinaryIO, where: str, count: int) -> bytes:
    try:
        return file.read(count)
    except EOFError:
        raise Rejected(Code.TRUNCATED, where, "a compressed file without its end", "a whole file", "copy it again") from None
    except (zlib.error, gzip.BadGzipFile):
        raise malformed(where, "a damaged compressed file", "a whole gzip file") from None


def _too_large(where: str, limit: int) -> Rejected:
    return Rejected(
        Code.TOO_LARGE, where, f"more than {limit} bytes", f"at most {limit}", "split the export, or check its source"
    )


def _nesting(text: str) -> tuple[int, int]:
    """Count the deepest nesting, and the levels that are never closed, without a parser whose stack could be at risk."""
    bare = np.frombuffer(STRING.sub("", text).encode("ascii", "replace"), np.uint8)
    steps = MARKS[bare]
    levels = np.cumsum(steps[steps != 0])
    return int(levels.max(initial=0)), int(levels[-1]) if len(levels) else 0


def _check_letters(value: Json, where: str) -> None:
    text = json.dumps(value, ensure_ascii=False)
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        raise malformed(where, "half of a surrogate pair", "whole letters") from None
    if "\\u0000" in text.replace("\\\\", ""):
        raise malformed(where, "a NUL", "text")


class _TwiceError(ValueError):
    pass


class _NoNumberError(ValueError):
    pass


def _pairs(pairs: list[tuple[str, Any]]) -> Json:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise _TwiceError
    return found


def _constant(_: str) -> NoReturn:
    raise _NoNumberError


DECODER = JSONDecoder(object_pairs_hook=_pairs, parse_float=Number, parse_int=Number, parse_constant=_constant)
