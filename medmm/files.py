"""The one place that writes files: whole or not at all, on disk before it is named; digests; names that are safe on disk."""

import hashlib
import json
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from medmm.settings import Plain

BLOCK_BYTES = 1 << 20
SAFE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


@contextmanager
def writing(path: Path, *, private: bool = False) -> Iterator[Path]:
    """Give a temporary path beside `path`; when the block ends well it is flushed to disk and takes the name `path`.

    The reader of `path` sees the old content or the new, never a part, even after a kill or a power cut.

    Args:
        path: The file.
        private: Whether nobody but its owner may read it, nor list its folder where that is new.
    """
    path.parent.mkdir(0o700 if private else 0o777, parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=".writing-", suffix=path.suffix)
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        _flush(temporary)
        temporary.chmod(0o600 if private else 0o666 & ~_umask())
        temporary.replace(path)
        _flush(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def writing_folder(path: Path) -> Iterator[Path]:
    """Give a temporary folder beside `path`; when the block ends well it takes the place of `path`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(dir=path.parent, prefix=".writing-"))
    try:
        yield temporary
        for file in temporary.rglob("*"):
            _flush(file)
        temporary.chmod(0o777 & ~_umask())
        old = temporary.with_suffix(".old")
        if path.exists():
            path.replace(old)
        temporary.replace(path)
        _flush(path.parent)
        shutil.rmtree(old, ignore_errors=True)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def write_bytes(path: Path, content: bytes) -> None:
    """Write bytes atomically."""
    with writing(path) as temporary:
        temporary.write_bytes(content)


def write_private(path: Path, content: bytes) -> None:
    """Write bytes atomically, for nobody but their owner to read."""
    with writing(path, private=True) as temporary:
        temporary.write_bytes(content)


def private_file(path: Path) -> None:
    """Make an empty file that nobody but its owner may read, in a folder that nobody else may list, where there is none yet.

    For what a library fills by itself, such as a database.
    """
    path.parent.mkdir(0o700, parents=True, exist_ok=True)
    os.close(os.open(path, os.O_CREAT | os.O_WRONLY, 0o600))


def write_text(path: Path, content: str) -> None:
    """Write text atomically, as UTF-8."""
    write_bytes(path, content.encode())


def write_json(path: Path, content: Plain) -> None:
    """Write JSON atomically: sorted keys, no bare NaN."""
    write_text(path, json_text(content) + "\n")


def json_text(content: Plain, indent: int | None = 2) -> str:
    """Give the one JSON text of plain data.

    Raises:
        ValueError: A number is NaN or infinite, which JSON cannot say.
    """
    return json.dumps(content, sort_keys=True, indent=indent, ensure_ascii=False, allow_nan=False)


def digest(content: Plain | bytes) -> str:
    """Give the SHA-256 of bytes, or of the JSON text of plain data, in 64 hexadecimal digits."""
    data = content if isinstance(content, bytes) else json_text(content, indent=None).encode()
    return hashlib.sha256(data).hexdigest()


def digest_file(path: Path) -> str:
    """Give the SHA-256 of a file's content."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def is_safe_name(name: str) -> bool:
    """Tell whether a name can be a file's or folder's name anywhere: letters, digits, dot, dash, underscore; at most 100."""
    return SAFE_NAME.fullmatch(name) is not None


def _flush(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
