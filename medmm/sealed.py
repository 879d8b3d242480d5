"""Folders that hold exactly the files that were written, byte for byte: every file has its digest, and so has the whole.

Each file is read once. What is checked are the bytes that are then used, whatever becomes of the folder meanwhile.
"""

import json
import os
import stat
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from safetensors import SafetensorError
from safetensors.numpy import load

from medmm.errors import DataError
from medmm.files import digest, digest_file, json_text, write_bytes
from medmm.settings import Plain
from medmm.types import Array

MANIFEST = "manifest.json"


class Sealed(NamedTuple):
    """What a folder holds.

    Attributes:
        digest: Of the whole.
        contents: File -> its bytes, the manifest's too, and those of an optional file where it is there.
    """

    digest: str
    contents: Mapping[str, bytes]


def seal(folder: Path, names: Sequence[str]) -> str:
    """Write the digests of the files of a folder beside them, and give the digest of the whole."""
    files = {name: digest_file(folder / name) for name in names}
    write_bytes(folder / MANIFEST, _text(files, digest(files)))
    return digest(files)


def verify(folder: Path, names: Sequence[str], what: str, repair: str, optional: Sequence[str] = ()) -> str:
    """Check a folder as `opened` does, and give its digest."""
    return opened(folder, names, what, repair, optional).digest


def opened(folder: Path, names: Sequence[str], what: str, repair: str, optional: Sequence[str] = ()) -> Sealed:
    """Check that a folder holds exactly the files of its manifest, byte for byte, and give their bytes.

    Args:
        folder: As it was found.
        names: Of the files that belong there.
        what: The folder is, for the refusal: "package".
        repair: What the user can do.
        optional: Files that may lie there too, which the manifest does not name.

    Raises:
        DataError: A file is changed, missing or extra, or the folder is no such.
    """
    try:
        with os.scandir(folder) as entries:
            plain = {entry.name: entry.is_file(follow_symlinks=False) for entry in entries}
    except OSError:
        plain = {}
    if not plain.get(MANIFEST):
        raise DataError(f"the folder is no {what}, it has no manifest.json: give the folder that the command wrote")
    if set(plain) - set(optional) != {*names, MANIFEST} or not all(plain.values()):
        raise DataError(f"the {what} has missing or extra files: {repair}, and keep the folder as it is")
    held = {MANIFEST: _bytes(folder / MANIFEST, what, repair)}
    try:
        manifest = plain_json(held[MANIFEST])
        files, whole = dict(manifest["files"]), str(manifest["digest"])
        # The manifest has no digest of its own: it has to be the one text that says what it says.
        is_whole = digest(files) == whole and _text(files, whole) == held[MANIFEST]
    except (ValueError, KeyError, TypeError) as reason:
        raise DataError(f"the manifest of the {what} is damaged: {repair}") from reason
    if set(files) != set(names) or not is_whole:
        raise DataError(f"the manifest of the {what} was changed: {repair}")
    for name, known in sorted(files.items()):
        held[name] = _bytes(folder / name, what, repair)
        if digest(held[name]) != known:
            raise DataError(f"{name} of the {what} was changed since it was written: {repair}")
    held |= {name: _bytes(folder / name, what, repair) for name in optional if name in plain}
    return Sealed(whole, held)


def plain_json(content: bytes) -> Plain:
    """Read JSON that may come from elsewhere.

    Raises:
        ValueError: It is none, says NaN or infinity, or is nested too deeply to be read.
    """
    try:
        return json.loads(content.decode("utf-8"), parse_constant=_no_number)
    except RecursionError:
        raise ValueError("nested too deeply") from None


def _text(files: Plain, whole: str) -> bytes:
    return (json_text({"files": files, "digest": whole}) + "\n").encode()


def _no_number(word: str) -> Plain:
    raise ValueError(f"{word} is no JSON")


def _bytes(path: Path, what: str, repair: str) -> bytes:
    """Read a file that is one: no link, and nothing that a reader would wait for."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        with os.fdopen(handle, "rb") as file:
            if not stat.S_ISREG(os.fstat(handle).st_mode):
                raise OSError
            return file.read()
    except OSError as reason:
        raise DataError(f"a file of the {what} cannot be read ({type(reason).__name__}): {repair}") from reason


def read_arrays(content: bytes, what: str, repair: str) -> dict[str, Array]:
    """Read arrays that came as safetensors, with whatever names, shapes and kinds: the caller checks these.

    Raises:
        DataError: They are no safetensors.
    """
    try:
        return load(content)
    except (SafetensorError, ValueError, KeyError, TypeError) as reason:
        raise DataError(f"{what} are no safetensors: {repair}") from reason
