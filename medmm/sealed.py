"""Folders that hold exactly the files that were written, byte for byte: every file has its digest, and so has the whole."""

import json
from collections.abc import Sequence
from pathlib import Path

from medmm.errors import DataError
from medmm.files import digest, digest_file, write_json

MANIFEST = "manifest.json"


def seal(folder: Path, names: Sequence[str]) -> str:
    """Write the digests of the files of a folder beside them, and give the digest of the whole."""
    files = {name: digest_file(folder / name) for name in names}
    write_json(folder / MANIFEST, {"files": files, "digest": digest(files)})
    return digest(files)


def verify(folder: Path, names: Sequence[str], what: str, repair: str) -> str:
    """Check that a folder holds exactly the files of its manifest, byte for byte, and give its digest.

    Args:
        folder: As it was found.
        names: Of the files that belong there.
        what: The folder is, for the refusal: "package".
        repair: What the user can do.

    Raises:
        DataError: A file is changed, missing or extra, or the folder is no such.
    """
    if not (folder / MANIFEST).is_file() or (folder / MANIFEST).is_symlink():
        raise DataError(f"the folder is no {what}, it has no manifest.json: give the folder that the command wrote")
    try:
        manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        files, whole = dict(manifest["files"]), str(manifest["digest"])
    except (ValueError, KeyError, TypeError) as reason:
        raise DataError(f"the manifest of the {what} is damaged: {repair}") from reason
    there = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_symlink() or not path.is_dir()}
    if there != {*names, MANIFEST} or set(files) != set(names):
        raise DataError(f"the {what} has missing or extra files: {repair}, and keep the folder as it is")
    for name, known in sorted(files.items()):
        if (folder / name).is_symlink() or digest_file(folder / name) != known:
            raise DataError(f"{name} of the {what} was changed since it was written: {repair}")
    if digest(files) != whole:
        raise DataError(f"the manifest of the {what} was changed: {repair}")
    return whole
