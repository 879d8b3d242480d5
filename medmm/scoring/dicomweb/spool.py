"""Where fetched studies lie until they are scored: private, under names that say nothing, each whole or not visible.

    slot/0/lock           held by the process whose slot it is; what a killed process left in its own is taken over
    slot/0/part/STUDY     instances of a study that is not whole yet
    slot/0/whole/STUDY    a whole one, which waits
    slot/0/chunk/STUDY    those that are being scored
    done/STUDY            how many instances a study had when it was scored, and how many we have stored in it since
    stored/STUDY          how many we have stored in it since it was listed

STUDY is a digest of the Study Instance UID, and a file's name one of the UIDs of series and instance.
"""

import fcntl
import shutil
from collections.abc import Iterable, Sequence
from itertools import count
from pathlib import Path
from typing import BinaryIO

from medmm.files import digest, private_file, private_folder, write_private, writing
from medmm.readers.dicom_file import PREFIX_END
from medmm.readers.dicom_walk import BrokenError, CutOffError, Encoding, Window, walk
from medmm.scoring.dicomweb.connection import TransferError
from medmm.scoring.dicomweb.listing import RemoteInstance, RemoteStudy
from medmm.scoring.dicomweb.server import Server

NAME_DIGITS = 32
DONE, STORED = "done", "stored"
"""Folders."""

INSTANCE_TAG = 0x00020003
"""Media Storage SOP Instance UID, in the file meta information (PS3.10, section 7.1)."""

PREFIX = b"DICM"


def study_name(uid: str) -> str:
    """Give the name of a study's folder."""
    return digest(uid.encode())[:NAME_DIGITS]


class Spool:
    """The spool of one process.

    Args:
        root: Under the output folder. Several processes may have the same.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self._done = root / DONE
        for folder in (root, root / "slot", self._done):
            private_folder(folder)
        self._lock, self._slot = _slot(root / "slot")
        self._part, self._whole, self.chunk = (self._slot / name for name in ("part", "whole", "chunk"))
        for folder in (self._part, self._whole, self.chunk):
            private_folder(folder)
        self._adopt(self.chunk, self._whole)
        for other in (root / "slot").iterdir():
            if other != self._slot and (lock := _locked(other)) is not None:
                self._adopt(other / "part", self._part)
                self._adopt(other / "whole", self._whole)
                self._adopt(other / "chunk", self._whole)
                lock.close()

    def close(self) -> None:
        """Give the slot free; what lies in it waits for the next process."""
        self._lock.close()

    def fetch(self, server: Server, study: RemoteStudy, modalities: Sequence[str]) -> int:
        """Make a study whole: list it, and fetch what is not there yet.

        Returns:
            How many instances it has; 0 where no series has one of the modalities.

        Raises:
            TransferError: It did not become whole; what came of it stays for the next time.
            ConfigError: The server refuses us, or cannot be trusted.
        """
        name = study_name(study.uid)
        (self._root / STORED / name).unlink(missing_ok=True)  # the server counts them now
        part, whole = self._part / name, self._whole / name
        listed = {_file_name(one): one for one in server.instances(study, modalities)}
        if not listed:
            return 0
        if whole.exists():
            if {file.name for file in whole.iterdir()} == listed.keys():
                return len(listed)
            self._move(whole, part)  # it has changed on the server
        private_folder(part)
        for file in part.iterdir():
            if file.name not in listed:  # also what a kill left of a file
                file.unlink()
        for file_name, instance in listed.items():
            if not (part / file_name).exists():
                _fetch_one(server, instance, part / file_name)
        self._move(part, whole)
        return len(listed)

    def put_in_chunk(self, uids: Iterable[str]) -> None:
        """Let whole studies be the chunk that is scored next."""
        for name in map(study_name, uids):
            self._move(self._whole / name, self.chunk / name)

    def drop(self, uid: str) -> None:
        """Remove what lies of a study in the chunk."""
        shutil.rmtree(self.chunk / study_name(uid), ignore_errors=True)

    def mark_done(self, study: RemoteStudy) -> None:
        """Remember that a study was scored as it is now, where the server can tell whether it has changed."""
        if study.instances is not None:
            now = study.instances + (_number(self._root / STORED / study_name(study.uid)) or 0)
            write_private(self._done / study_name(study.uid), str(now).encode())

    def is_done(self, study: RemoteStudy) -> bool:
        """Tell whether a study was scored with as many instances as it has now."""
        try:
            return (self._done / study_name(study.uid)).read_bytes() == str(study.instances).encode()
        except OSError:
            return False

    def _adopt(self, left: Path, target: Path) -> None:
        """Take over the studies that a process left when it was killed."""
        for study in left.iterdir() if left.is_dir() else ():
            self._move(study, target / study.name)

    @staticmethod
    def _move(folder: Path, target: Path) -> None:
        if target.exists():
            shutil.rmtree(target)
        folder.replace(target)


def note_stored(root: Path, uid: str, number: int) -> None:
    """Let a study that was scored stay so, though its server now counts instances more, which came from us.

    Args:
        root: Of the spool.
        uid: Study Instance UID.
        number: Of instances that were stored in it.
    """
    done, stored = (root / folder / study_name(uid) for folder in (DONE, STORED))
    if (known := _number(done)) is not None:
        write_private(done, str(known + number).encode())
    write_private(stored, str((_number(stored) or 0) + number).encode())  # for one that is marked as done after this


def _number(file: Path) -> int | None:
    try:
        return int(file.read_bytes())
    except (OSError, ValueError):
        return None


def _slot(root: Path) -> tuple[BinaryIO, Path]:
    """Take the first slot that no living process has."""
    for number in count():
        lock = _locked(root / str(number))
        if lock is not None:
            return lock, root / str(number)
    raise AssertionError("there is always another number")


def _locked(slot: Path) -> BinaryIO | None:
    """Take a slot; None where a living process has it."""
    private_file(slot / "lock")
    lock = (slot / "lock").open("rb")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        lock.close()
        return None
    return lock


def _file_name(instance: RemoteInstance) -> str:
    return digest([instance.series, instance.uid])[:NAME_DIGITS] + ".dcm"


def _fetch_one(server: Server, instance: RemoteInstance, file: Path) -> None:
    with writing(file, private=True) as temporary, temporary.open("r+b") as opened:
        server.fetch(instance, opened)
        opened.flush()
        if _instance_uid(opened) != instance.uid:
            raise TransferError("another instance than the one that was asked for")


def _instance_uid(file: BinaryIO) -> str:
    """Read which instance a file says it holds, without a look at its data set."""
    window = Window(file)
    if window.size < PREFIX_END or window.take(0, PREFIX_END)[-4:] != PREFIX:
        raise TransferError("an instance that is no DICOM file")
    try:
        meta, _ = walk(window, PREFIX_END, Encoding(explicit=True, little=True), {INSTANCE_TAG}, lambda tag: tag >> 16 != 2)
    except (BrokenError, CutOffError):
        raise TransferError("an instance that is no DICOM file") from None
    return meta.values.get(INSTANCE_TAG, b"").decode("ascii", "replace").strip(" \0")
