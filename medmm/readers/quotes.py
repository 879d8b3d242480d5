"""Whether the quotes of a text table stand where RFC 4180 has them, so that a fast parser cannot read it in another way."""

from __future__ import annotations

from pathlib import Path

import numpy as np

BOM = b"\xef\xbb\xbf"
QUOTE = ord('"')
WINDOW_BYTES = 1 << 24


def quotes_stand_right(path: Path, separator: str) -> bool:
    """Tell whether every quote opens a cell at its start, closes one at its end, or is doubled within one.

    Quotes open and close by turns. One that closes and is followed by another, which opens again, is a doubled one.

    Args:
        path: Of a file that is not empty.
        separator: Of its cells, one ASCII character.

    Source:
        RFC 4180, section 2, rules 5 to 7.
    """
    data = np.memmap(path, np.uint8, "r")
    first = len(BOM) if data[: len(BOM)].tobytes() == BOM else 0
    beside = np.zeros(256, bool)
    beside[[QUOTE, ord(separator), ord("\n"), ord("\r")]] = True
    seen = 0
    for start in range(first, data.size, WINDOW_BYTES):
        places = np.flatnonzero(data[start : start + WINDOW_BYTES] == QUOTE) + start
        opens, closes = places[seen % 2 :: 2], places[1 - seen % 2 :: 2]
        opens, closes = opens[opens > first], closes[closes < data.size - 1]
        if not (beside[data[opens - 1]].all() and beside[data[closes + 1]].all()):
            return False
        seen += places.size
    return seen % 2 == 0
