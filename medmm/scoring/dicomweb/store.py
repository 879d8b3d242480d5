"""Objects of a scoring, stored in a DICOMweb server by STOW-RS: a request a study, so that one that fails costs no other.

What was stored is remembered and not sent again. It would do no harm, for an object has the same UID whenever it says the same.

Source: DICOM PS3.18, section 10.5 (Store Transaction).
"""

import json
import os
import secrets
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from threading import Event
from typing import Self

from medmm.errors import ConfigError, Rejected
from medmm.files import digest, write_private
from medmm.readers.dicom_file import read_header
from medmm.scoring.dicomweb.address import OF_STUDIES, Address, Credentials
from medmm.scoring.dicomweb.connection import TransferError, connect, failures_told
from medmm.scoring.dicomweb.server import PAUSES, TIMEOUT_SECONDS
from medmm.scoring.dicomweb.store_answer import Unstored, unstored

MEMORY = ".stored.json"
"""What was stored where, in the folder of the results; the server's address stands in it as a digest."""

KEYWORDS = ("StudyInstanceUID", "SOPInstanceUID")
IN_VAIN = 3
"""Studies in a row that fail though each is tried again and again: then the server is down, and the others are not tried."""

ANSWERED = frozenset({200, 202, 409})
"""Statuses whose body says what became of each instance: all stored, some, none."""


@dataclass(frozen=True)
class Stored:
    """What became of the objects of a scoring.

    Attributes:
        studies: Study Instance UID -> objects of it that are new to the server.
        known: Objects that were stored before.
        failed: Objects that are not stored.
        studies_failed: Studies to which these belong.
    """

    studies: Mapping[str, int]
    known: int
    failed: tuple[Unstored, ...]
    studies_failed: int


class Store:
    """A DICOMweb server to store in, until it is closed.

    Args:
        address: Its root.
        names: Under which names its credentials stand in the environment.
        stop: Set to give up what is under way.
        environment: Where the credentials stand.
        pauses: Seconds before a failed request is tried again.
    """

    def __init__(
        self,
        address: Address,
        names: Credentials = OF_STUDIES,
        stop: Event | None = None,
        environment: Mapping[str, str] = os.environ,
        pauses: Sequence[float] = PAUSES,
    ) -> None:
        try:
            import requests  # noqa: F401
        except ImportError:
            raise ConfigError("a DICOMweb server needs a package that is not here: pip install medmm[dicomweb]") from None
        self._stop = stop or Event()
        self._session = connect(address, self._stop, 1, environment, names, "store studies")
        self._address = address
        self._pauses = pauses
        self._in_vain = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._session.close()

    def send(self, objects: Mapping[str, bytes]) -> list[Unstored]:
        """Store objects of one study.

        Args:
            objects: SOP Instance UID -> its file.

        Returns:
            Those that were not stored.

        Raises:
            ConfigError: The server refuses us, cannot be trusted, or stands elsewhere.
        """
        if self._in_vain >= IN_VAIN:
            return [Unstored(uid, "not tried, for the server has failed again and again") for uid in objects]
        try:
            status, answer = self._patiently(objects)
            self._in_vain = 0
        except TransferError as failure:
            self._in_vain = self._in_vain + 1 if failure.again else 0
            return [Unstored(uid, f"the server gave {failure.found}") for uid in objects]
        return unstored(objects, status, answer)

    def _patiently(self, objects: Mapping[str, bytes]) -> tuple[int, object]:
        for pause in self._pauses:
            try:
                return self._sent(objects)
            except TransferError as failure:
                if not failure.again or self._stop.wait(pause):
                    raise
        return self._sent(objects)

    def _sent(self, objects: Mapping[str, bytes]) -> tuple[int, object]:
        """Send one request, and give its status and the JSON of its answer, None where there is none."""
        boundary = secrets.token_hex(16)  # too long to stand in an object by chance
        parts = [
            b"--%b\r\nContent-Type: application/dicom\r\n\r\n%b\r\n" % (boundary.encode(), one) for one in objects.values()
        ]
        headers = {
            "Content-Type": f'multipart/related; type="application/dicom"; boundary={boundary}',
            "Accept": "application/dicom+json",
        }
        body = b"".join([*parts, b"--%b--\r\n" % boundary.encode()])
        with (
            failures_told(),
            self._session.post(
                f"{self._address.url}/studies",
                data=body,
                headers=headers,
                timeout=TIMEOUT_SECONDS,
                stream=True,
                allow_redirects=False,
            ) as answer,
        ):
            if answer.status_code not in ANSWERED:
                answer.raise_for_status()
                raise TransferError(f"the status {answer.status_code}", again=False)
            content = b"".join(answer.iter_content(1 << 16))
        try:
            return answer.status_code, json.loads(content)
        except (ValueError, RecursionError):
            return answer.status_code, None


def store_folders(
    store: Store, address: Address, folders: Iterable[Path], out: Path, told: Callable[[int, int], None] = lambda *_: None
) -> Stored:
    """Store the objects of some folders that the server has not been given yet, study by study.

    Args:
        store: The server.
        address: Its address, under which is remembered what it has.
        folders: With files of DICOM.
        out: Folder of the results.
        told: How many studies are done, of how many.

    Raises:
        ConfigError: The server refuses us, cannot be trusted, or stands elsewhere; what was stored is remembered.
    """
    memory = _read_memory(out)
    key = digest(address.url.encode())
    stored = set(memory.get(key, ()))
    waiting: dict[str, dict[str, Path]] = {}
    failed: list[Unstored] = []
    known = 0
    for file in sorted(file for folder in folders if folder.is_dir() for file in folder.glob("*.dcm")):
        if file.stem in stored:  # a file has its object's UID for a name
            known += 1
            continue
        study = _study_of(file)
        if study is None:
            failed.append(Unstored(file.stem, "its file in the folder of the results cannot be read"))
        else:
            waiting.setdefault(study, {})[file.stem] = file
    fresh: Counter[str] = Counter()
    studies_failed = len(failed)  # a report that cannot be read is of a study that nobody can tell
    try:
        for done, (study, files) in enumerate(waiting.items(), 1):
            left = store.send({uid: file.read_bytes() for uid, file in files.items()})
            studies_failed += bool(left)
            failed += left
            new = files.keys() - {one.uid for one in left}
            stored |= new
            if new:
                fresh[study] += len(new)
            told(done, len(waiting))
    finally:
        if fresh:
            write_private(out / MEMORY, json.dumps({**memory, key: sorted(stored)}).encode())
    return Stored(dict(fresh), known, tuple(failed), studies_failed)


def _study_of(file: Path) -> str | None:
    try:
        return read_header(file, "a report", KEYWORDS, whole=True).attributes.text("StudyInstanceUID") or None
    except (Rejected, OSError):
        return None


def _read_memory(out: Path) -> dict[str, list[str]]:
    try:
        plain = json.loads((out / MEMORY).read_bytes())
    except (OSError, ValueError):
        return {}
    if not isinstance(plain, dict):
        return {}
    return {key: [uid for uid in uids if isinstance(uid, str)] for key, uids in plain.items() if isinstance(uids, list)}
