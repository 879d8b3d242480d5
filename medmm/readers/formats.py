"""Which files a folder holds and which format each has, decided by content, never by name."""

import os
import zlib
from collections.abc import Iterator
from enum import StrEnum
from pathlib import Path

from medmm.errors import Code, Rejected

HEAD_BYTES = 1024
"""Enough of a file to know it, even of a compressed one."""

NIFTI_HEAD_BYTES = 348
"""As far as the last magic of NIfTI goes. No more is inflated, so that a small file's check sum is left to its reader."""

GZIP_MAGIC = b"\x1f\x8b"
BARE_DICOM_GROUPS = (b"\x02\x00", b"\x08\x00", b"\x00\x08")
"""First group of a DICOM data set without its file header: file meta, then identification in either byte order."""


DICOM_SUFFIXES = (".dcm", ".dicom", ".ima")
"""A file that is named like DICOM and is none was damaged, so it must not be passed over."""


class Format(StrEnum):
    """A format that the readers know."""

    DICOM = "dicom"
    NIFTI = "nifti"
    PNG = "png"
    JPEG = "jpeg"


def format_of(path: Path, where: str) -> Format | None:
    """Tell the format of a file, None where its content is none that the readers know.

    Raises:
        Rejected: EMPTY where the file is empty, holds zeros or cannot be opened.
    """
    try:
        with path.open("rb", buffering=0) as file:
            head = file.read(HEAD_BYTES)
    except OSError as error:
        raise Rejected(
            Code.EMPTY, where, f"a file that cannot be opened ({type(error).__name__})", "a readable file", "restore it"
        ) from None
    if not head.strip(b"\0"):  # a copy under way may have its full size before it has its content
        found = "a file of zeros" if head else "an empty file"
        raise Rejected(Code.EMPTY, where, found, "an image", "export it again")
    if head[128:132] == b"DICM" or _is_bare_dicom(head):
        return Format.DICOM
    if head.startswith(b"\x89PNG\r\n\x1a\n"):
        return Format.PNG
    if head.startswith(b"\xff\xd8\xff"):
        return Format.JPEG
    if head.startswith(GZIP_MAGIC):
        head = _inflate_start(head)
    return Format.NIFTI if _is_nifti(head) else None


def files_in(folder: Path) -> Iterator[Path]:
    """List the files below a folder in a fixed order, without hidden ones and without following links.

    Pipes, sockets and devices are no files here: to open one can wait for ever.
    """
    return (Path(entry.path) for entry in entries_in(folder))


def entries_in(folder: Path) -> Iterator[os.DirEntry[str]]:
    """List the files of `files_in` as the system's directory entries, which know size and times at a stat each."""
    waiting = [_entries(folder)]
    while waiting:
        for entry in waiting[-1]:
            if entry.name.startswith("."):
                continue
            if entry.is_dir(follow_symlinks=False):
                waiting.append(_entries(entry))
                break
            if entry.is_file(follow_symlinks=False):
                yield entry
        else:
            waiting.pop()


def _entries(folder: os.PathLike[str]) -> Iterator[os.DirEntry[str]]:
    with os.scandir(folder) as entries:
        return iter(sorted(entries, key=lambda entry: entry.name))


def _is_bare_dicom(head: bytes) -> bool:
    """Look for an element of a first group, with its value representation or, where that is implicit, a short length."""
    explicit = head[4:6].isalpha() and head[4:6].isupper()
    return head[:2] in BARE_DICOM_GROUPS and (explicit or head[6:8] == b"\x00\x00")


def _is_nifti(head: bytes) -> bool:
    """Look for the magic of NIfTI-1 (byte 344) and NIfTI-2 (byte 4), single file or pair."""
    return head[344:348] in (b"n+1\0", b"ni1\0") or head[4:8] in (b"n+2\0", b"ni2\0")


def _inflate_start(head: bytes) -> bytes:
    try:
        return zlib.decompressobj(wbits=31).decompress(head, NIFTI_HEAD_BYTES)
    except zlib.error:
        return b""
