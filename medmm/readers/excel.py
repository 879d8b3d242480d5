"""Excel workbooks (.xlsx): the one sheet as text; what a workbook hides or has not computed is refused.

Source: ECMA-376 part 1, SpreadsheetML.
"""

from __future__ import annotations

import math
import re
import warnings
import zipfile
from collections.abc import Iterator
from datetime import date, datetime, time
from itertools import repeat
from pathlib import Path
from typing import Any

from medmm.errors import Code, Rejected

ZIP_MAGIC = b"PK\x03\x04"
OLE_MAGIC = b"\xd0\xcf\x11\xe0"  # .xls, and every workbook with a password
UNPACKED_LIMIT_BYTES = 1 << 29
PARTS_LIMIT = 10_000
CELLS_LIMIT = 20_000_000
DIGITS = 15  # Excel keeps no more of a number
PIECE_BYTES = 1 << 20
TAIL_BYTES = 16  # longer than any mark, so that none hides between two pieces
PADDED = re.compile(r"0{2,20}")
FORMULA, MERGED = re.compile(rb"<(\w+:)?f[\s>/]"), re.compile(rb"<(\w+:)?mergeCell[\s>/]")
DECLARED = re.compile(rb"<!(DOCTYPE|ENTITY)")


def excel_rows(path: Path) -> list[tuple[int, list[str]]]:
    """Read the rows of the only sheet, each with its number; rows without any value are passed over.

    Text is as written, a number reads back equal, one that is shown with leading zeros keeps them, times are in ISO 8601.

    Raises:
        Rejected: MALFORMED (broken, encrypted, an older format, merged cells, a formula without its value, an error value, a
            whole number that Excel has rounded), AMBIGUOUS (several sheets), TOO_LARGE, EMPTY.
    """
    try:
        with warnings.catch_warnings(), path.open("rb") as file:
            warnings.simplefilter("ignore")  # they quote cells
            formulas = _check_parts(file)
            rows = list(_rows(file, formulas))
    except Rejected:
        raise
    except Exception:  # noqa: BLE001 - openpyxl raises whatever its parsers meet
        raise _malformed("the workbook", "no workbook that can be read", "a whole .xlsx file") from None
    if not rows:
        raise Rejected(Code.EMPTY, "the sheet", "no row", "a row of column names", "export the table again")
    return rows


def refuse_older(magic: bytes) -> None:
    """Refuse the container of .xls and of encrypted workbooks.

    Raises:
        Rejected: MALFORMED.
    """
    if magic == OLE_MAGIC:
        raise Rejected(
            Code.MALFORMED,
            "the table",
            "an older Excel file, or one with a password",
            "CSV, parquet or .xlsx",
            "save it as .xlsx without a password",
        )


def _check_parts(file: Any) -> bool:
    """Look for what must not be unpacked or parsed; tell whether a cell has a formula."""
    with zipfile.ZipFile(file) as archive:
        parts = archive.infolist()
        if len(parts) > PARTS_LIMIT or sum(part.file_size for part in parts) > UNPACKED_LIMIT_BYTES:
            raise Rejected(
                Code.TOO_LARGE, "the workbook", "more content", f"at most {UNPACKED_LIMIT_BYTES} bytes", "export it as parquet"
            )
        formulas = False
        for part in parts:
            for piece in _pieces(archive, part):
                if DECLARED.search(piece) or piece.startswith((b"\xff\xfe", b"\xfe\xff", b"\0")):
                    raise _malformed("the workbook", "a part with declarations or in UTF-16", "plain parts, as Excel writes")
                if part.filename.startswith("xl/worksheets/"):
                    formulas = formulas or FORMULA.search(piece) is not None
                    if MERGED.search(piece):
                        raise _malformed("the sheet", "merged cells", "a value in each cell")
    return formulas


def _pieces(archive: zipfile.ZipFile, part: zipfile.ZipInfo) -> Iterator[bytes]:
    if not part.filename.lower().endswith((".xml", ".rels")):
        return
    tail = b""
    with archive.open(part) as stream:
        while piece := stream.read(PIECE_BYTES):
            yield tail + piece
            tail = piece[-TAIL_BYTES:]


def _rows(file: Any, formulas: bool) -> Iterator[tuple[int, list[str]]]:
    names: list[str] = []
    cells = 0
    beside = _sheet(file, data_only=False) if formulas else repeat(())
    for number, (row, written) in enumerate(zip(_sheet(file, data_only=True), beside, strict=False), start=1):
        cells += len(row)
        if cells > CELLS_LIMIT:
            raise Rejected(
                Code.TOO_LARGE, "the sheet", "more cells", f"at most {CELLS_LIMIT}", "delete empty columns, or export it as CSV"
            )
        for column, cell in enumerate(written, start=1):
            # A text that a formula left empty has the type "str"; what was never computed has none.
            if cell.data_type == "f" and row[column - 1].value is None and row[column - 1].data_type != "str":
                place = f"row {number}, column {column}"
                raise Rejected(
                    Code.MALFORMED, place, "a formula without its value", "a value", "open the workbook in Excel and save it"
                )
        texts = [_text(cell, f"row {number}, column {column}") for column, cell in enumerate(row, start=1)]
        while texts and not texts[-1]:
            texts.pop()
        if not texts:
            continue
        names = names or texts
        yield number, texts + [""] * (len(names) - len(texts))


def _sheet(file: Any, data_only: bool) -> Iterator[Any]:
    from openpyxl import load_workbook

    book = load_workbook(file, read_only=True, data_only=data_only, keep_links=False)
    if len(book.sheetnames) != 1:
        raise Rejected(
            Code.AMBIGUOUS,
            "the workbook",
            f"{len(book.sheetnames)} sheets",
            "one sheet",
            "keep the sheet of the table, and delete or move the others, hidden ones too",
        )
    sheet = book.worksheets[0]
    sheet.reset_dimensions()  # a stated extent may be too small and would hide rows
    return iter(sheet.iter_rows())


def _text(cell: Any, where: str) -> str:
    value = cell.value
    if value is None:
        return ""
    if cell.data_type == "e":
        raise _malformed(where, "an error value", "a value or an empty cell")
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "TRUE" if value else "FALSE"
    if isinstance(value, int | float):
        return _number(value, cell.number_format, where)
    if isinstance(value, datetime):
        day_only = value.time() == time() and not re.search("[hHsS]", re.sub(r'"[^"]*"|\[[^]]*\]', "", cell.number_format))
        return value.date().isoformat() if day_only else value.isoformat()
    if isinstance(value, date | time):
        return value.isoformat()
    raise _malformed(where, "a duration", "text, numbers and times")


def _number(value: float, shown: str, where: str) -> str:
    if not math.isfinite(value):
        raise _malformed(where, "a number without end", "a number")
    if value != int(value):
        return repr(value)
    digits = str(int(value))
    if len(digits.lstrip("-")) > DIGITS:
        raise Rejected(
            Code.MALFORMED,
            where,
            f"a whole number of more than {DIGITS} digits, which Excel has rounded",
            "text",
            "format the column as text before it is filled, and export it again",
        )
    return digits.zfill(len(shown)) if PADDED.fullmatch(shown) else digits


def _malformed(where: str, found: str, expected: str) -> Rejected:
    return Rejected(Code.MALFORMED, where, found, expected, "correct the table at its source")
