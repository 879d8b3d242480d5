"""How large the file of a recording may be, whatever it holds."""

from pathlib import Path

from medmm.errors import Code, Rejected

FILE_LIMIT_BYTES = 256 << 20
"""Most of one file: a day of three leads at 250 Hz takes 130 MB, an ECG of ten seconds less than a thousandth."""


def check_file_size(path: Path, where: str) -> int:
    """Give the size of a file in bytes.

    Raises:
        Rejected: EMPTY where there is nothing to read, TOO_LARGE beyond `FILE_LIMIT_BYTES`.
    """
    try:
        size = path.stat().st_size
    except OSError as error:
        found = f"a file that cannot be opened ({type(error).__name__})"
        raise Rejected(Code.EMPTY, where, found, "a readable file", "restore it") from None
    if size == 0:
        raise Rejected(Code.EMPTY, where, "an empty file", "a recording", "export it again")
    if size > FILE_LIMIT_BYTES:
        limit = f"at most {FILE_LIMIT_BYTES >> 20} MiB"
        raise Rejected(Code.TOO_LARGE, where, f"a file of {size >> 20} MiB", limit, "cut the part that is needed")
    return size
