"""The one instance of a WADO-RS answer, from its bytes as they come in, without ever holding it as a whole.

Source: DICOM PS3.18, section 10.4 (Retrieve Transaction) and 8.7 (multipart/related); RFC 2046, section 5.1.1.
"""

import re
from collections.abc import Iterable, Iterator

HEADER_LIMIT_BYTES = 1 << 14
"""Most that may stand before the instance: a preamble, the boundary and some lines of a part's header."""

BOUNDARY = re.compile(r";\s*boundary=(?:\"([^\"]{1,200})\"|([^\s;\"]{1,200}))", re.IGNORECASE)


class PartError(Exception):
    """An answer that is not one whole part; says what was found in words that hold nothing of the answer."""


def only_part(content_type: str, chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Give the content of the only part of an answer, piece by piece.

    An answer that is no multipart but the bare instance, as some servers send it, is given as it is.

    Args:
        content_type: Of the answer.
        chunks: Its bytes, in pieces of any size.

    Raises:
        PartError: Another kind of answer, no part, several parts, or an answer that ends before its part does.
    """
    kind = content_type.partition(";")[0].strip().lower()
    if kind == "application/dicom":
        yield from chunks
        return
    named = BOUNDARY.search(content_type)
    if kind != "multipart/related" or named is None:
        raise PartError("an answer that is no DICOM")
    end = b"\r\n--" + (named[1] or named[2]).encode()
    source = iter(chunks)
    head, rest = _after_header(source, end)
    if head is None:
        raise PartError("an answer without an instance")
    held = rest
    while (place := held.find(end)) < 0:
        safe = max(0, len(held) - len(end) + 1)  # what follows may be the beginning of the boundary
        if safe:
            yield held[:safe]
        more = next(source, None)
        if more is None:
            raise PartError("an answer that ends within an instance")
        held = held[safe:] + more
    yield held[:place]
    tail = held[place + len(end) :]
    while len(tail) < 2:
        more = next(source, None)
        if more is None:
            raise PartError("an answer that ends within its last boundary")
        tail += more
    if not tail.startswith(b"--"):
        raise PartError("an answer with several instances")


def _after_header(source: Iterator[bytes], end: bytes) -> tuple[bytes | None, bytes]:
    """Give the header of the first part, None where there is no part, and what has come after it."""
    held = b"\r\n"  # so that a boundary at the very beginning is like any other
    while True:
        begin = held.find(end)
        if begin >= 0:
            start = begin + len(end)
            if held[start : start + 2] == b"--":
                return None, b""
            stop = held.find(b"\r\n\r\n", start)
            if stop >= 0:
                return held[start:stop], held[stop + 4 :]
        if len(held) > HEADER_LIMIT_BYTES:
            raise PartError("an answer that does not begin as a multipart message")
        more = next(source, None)
        if more is None:
            raise PartError("an answer that ends before an instance")
        held += more
