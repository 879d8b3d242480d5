"""The ledger of shared disks (NFS, Lustre): each commit is a file of its own that appears whole, without locks and clocks.

A partition is never changed. Of several records of one study that with the greatest (edition, digest, origin) stands: whoever
commits takes the edition after the greatest that it has read. So what was superseded stays so, and of what two scorers of one
study wrote beside each other every reader takes the same. Partitions are merged into one that appears whole before they are
removed: whatever is killed between, each record stands in one of them at least, and a record that stands in two counts once.
"""

import json
import os
import sys
import threading
import time
import uuid
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, NamedTuple

from medmm.errors import DataError
from medmm.files import digest, write_private, writing
from medmm.scoring.identity import Named
from medmm.scoring.ledger.base import DAMAGED, FOLDER, Claimed, Entry
from medmm.scoring.ledger.disks import sweep_killed
from medmm.scoring.sinks.base import Row

PARTITIONS = "partitions"
MODEL = "model"
ENDING = ".rows"
FORGOTTEN = ""
"""Digest of a study whose row was forgotten."""

READ_SECONDS = 10.0
"""Between two looks at what other scorers have committed, while studies are being scored."""

STALE_SECONDS = 90.0
"""How long a machine may be shown a listing of the folder that is out of date; NFS keeps one for 60 seconds at most."""

MANY = 256
"""Partitions that a scorer leaves before it merges them: a shared disk is slow at many small files."""

FEW = 8
"""Partitions that the folder may have when the results have been written."""

OPEN = 32
"""Partitions that are held open while rows are read."""


class _Record(NamedTuple):
    """What is remembered of a study; its row stays on the disk."""

    edition: int
    digest: str
    origin: str
    number: int
    rejected: bool
    file: str
    offset: int

    @property
    def order(self) -> tuple[int, str, str]:
        return self[:3]


class PartitionLedger:
    """Rows of one model in the output folder of any number of scorers on any number of machines.

    Nobody's claims are known to others: give each scorer its own shard. Two that score one study nevertheless say the same of
    it, and one row of it stands.

    Args:
        out: The output folder.
        model: Digest of the model; from now on it is the folder's.

    Raises:
        DataError: The ledger there is damaged.
    """

    def __init__(self, out: Path, model: str) -> None:
        self._out = out
        self._model = model
        self._mark = out / FOLDER / PARTITIONS / MODEL
        self._folder = out / FOLDER / PARTITIONS / digest(model.encode())
        for folder in (out / FOLDER, self._mark.parent, self._folder):
            folder.mkdir(0o700, parents=True, exist_ok=True)
        write_private(self._mark, model.encode())
        self._turn = threading.RLock()
        self._records: dict[str, _Record] = {}
        self._read: set[str] = set()
        self._mine: list[str] = []
        self._moved: dict[str, int] = {}
        self._looked = 0.0
        self._look()

    def ours(self) -> bool:
        """Tell whether the model is still the folder's."""
        end = time.monotonic() + STALE_SECONDS
        while True:
            try:
                return self._mark.read_text(encoding="ascii") == self._model
            except OSError:  # it is being replaced
                if time.monotonic() > end:
                    raise
                time.sleep(0.1)

    def claim(self, studies: Sequence[Named]) -> Claimed:
        """Ask for studies: those that have no row for what they are now."""
        with self._turn:
            if time.monotonic() - self._looked > READ_SECONDS:
                self._look()
            mine = []
            for one in studies:
                known = self._records.get(one.key)
                if known is None or known.digest != one.digest:
                    mine.append(one)
                else:
                    self._moved[one.key] = one.study.row
        return Claimed(mine, (), len(studies) - len(mine))

    def commit(self, entries: Sequence[Entry]) -> int:
        """Keep the rows of studies, as a partition."""
        with self._turn:
            origin = uuid.uuid4().hex
            lines = []
            for one in entries:
                known = self._records.get(one.named.key)
                if known is not None and known.digest == one.named.digest:
                    continue
                self._moved.pop(one.named.key, None)
                edition = known.edition + 1 if known else 1
                head = (one.named.key, edition, one.named.digest, origin, one.named.study.row, one.rejected)
                lines.append(_line(head, json.dumps(dict(one.row))))
            self._write(lines)
            return len(lines)

    def known(self, keys: Sequence[str]) -> Mapping[str, str]:
        """Give the digest for which each study has a row."""
        with self._turn:
            self._look()
            found = {key: self._records[key].digest for key in keys if key in self._records}
        return {key: held for key, held in found.items() if held != FORGOTTEN}

    def rows(self, *, rejected: bool) -> Iterator[tuple[int, Row]]:
        """Give each row with the number of its study; of the studies alone is kept in memory where the row lies."""
        with self._turn:
            asked = [(one.number, key) for key, one in self._records.items() if one.rejected is rejected and one.digest]
        handles: dict[str, IO[bytes]] = {}
        try:
            for number, key in sorted(asked):
                yield number, json.loads(self._row(key, handles))
        finally:
            for handle in handles.values():
                handle.close()

    def forget_rejected(self, of: Callable[[str], bool]) -> int:
        """Forget which studies were rejected, and give their number."""
        with self._turn:
            self._look()
            origin = uuid.uuid4().hex
            heads = [
                (key, one.edition + 1, FORGOTTEN, origin, one.number, True)
                for key, one in self._records.items()
                if one.rejected and one.digest and of(key)
            ]
            self._write([_line(head, "") for head in heads])
        return len(heads)

    @contextmanager
    def exporting(self, _notice: Callable[[str], None]) -> Iterator[bool]:
        """Merge what is there; scorers that write the results at once write the same."""
        with self._turn:
            self._look()
            self._move()
            if len(self._read) > FEW:
                self._merge(self._read)
            sweep_killed(self._out)
            sweep_killed(self._folder)
        yield self.ours()

    def close(self) -> None:
        """Merge what this scorer committed."""
        with self._turn:
            self._move()
            if len(self._mine) > 1:
                self._merge(self._mine)

    def _look(self) -> None:
        """Read the partitions that have come since."""
        end = time.monotonic() + STALE_SECONDS
        while True:
            there = {file.name for file in os.scandir(self._folder) if _is_partition(file.name)}
            new = sorted(there - self._read)
            try:
                for name in new:
                    for offset, head, _ in _lines(self._folder / name):
                        self._learn(head, name, offset)
                    self._read.add(name)
            except FileNotFoundError:  # merged meanwhile, into one that the next listing shows
                if time.monotonic() > end:
                    raise DataError(DAMAGED) from None
                time.sleep(0.1)
                continue
            self._read &= there
            self._looked = time.monotonic()
            return

    def _learn(self, head: Sequence[object], name: str, offset: int) -> None:
        """Take a record as the one that stands, if it does; of one that stands twice the place that was read last."""
        key, edition, held, origin, number, rejected = head
        one = _Record(int(str(edition)), str(held), sys.intern(str(origin)), int(str(number)), bool(rejected), name, offset)
        known = self._records.get(str(key))
        if known is None or one.order >= known.order:
            self._records[str(key)] = one

    def _write(self, lines: Iterable[bytes]) -> str | None:
        """Write a partition, if it has a line, and know its records."""
        found = list(lines)
        if not found:
            return None
        name = f"{uuid.uuid4().hex}{ENDING}"
        write_private(self._folder / name, b"".join(found))
        self._known_by(name)
        if len(self._mine) >= MANY:
            self._merge(self._mine)
        return name

    def _known_by(self, name: str) -> None:
        """Know the records of a partition that this scorer wrote."""
        for offset, head, _ in _lines(self._folder / name):
            self._learn(head, name, offset)
        self._read.add(name)
        self._mine.append(name)

    def _move(self) -> None:
        """Give the rows of studies that stand elsewhere in the table now their new numbers."""
        moved, self._moved = self._moved, {}
        origin = uuid.uuid4().hex
        lines = []
        handles: dict[str, IO[bytes]] = {}
        for key, number in moved.items():
            one = self._records[key]
            if one.digest != FORGOTTEN and one.number != number:
                head = (key, one.edition + 1, one.digest, origin, number, one.rejected)
                lines.append(_line(head, self._row(key, handles)))
        for handle in handles.values():
            handle.close()
        self._write(lines)

    def _merge(self, names: Collection[str]) -> None:
        """Put partitions together: what stands of them is written as one, and then they are removed."""
        old = sorted(names)
        name = f"{uuid.uuid4().hex}{ENDING}"
        written = set()
        whole = []
        with writing(self._folder / name, private=True) as temporary, temporary.open("wb") as file:
            for one in old:
                with suppress(OSError):  # another scorer has merged it meanwhile
                    for _, head, line in _lines(self._folder / one):
                        key, order = str(head[0]), tuple(head[1:4])
                        if self._records[key].order == order and key not in written:
                            file.write(line)
                            written.add(key)
                    whole.append(one)
        self._mine = [one for one in self._mine if one not in set(old)]
        self._known_by(name)
        for one in whole:
            (self._folder / one).unlink(missing_ok=True)
            self._read.discard(one)

    def _row(self, key: str, handles: dict[str, IO[bytes]]) -> str:
        """Read the row of a study, wherever its partition has been merged into; partitions stay open for the next one."""
        end = time.monotonic() + STALE_SECONDS
        while True:
            one = self._records[key]
            try:
                if one.file not in handles:
                    if len(handles) >= OPEN:
                        handles.pop(next(iter(handles))).close()
                    handles[one.file] = (self._folder / one.file).open("rb")
                handles[one.file].seek(one.offset)
                return handles[one.file].readline().rstrip(b"\n").partition(b"\t")[2].decode()
            except OSError:  # it has been merged, and on a network disk what is open goes with it
                if one.file in handles:
                    handles.pop(one.file).close()
                if time.monotonic() > end:
                    raise DataError(DAMAGED) from None
                time.sleep(0.1)
                with self._turn:
                    self._look()


def _is_partition(name: str) -> bool:
    return name.endswith(ENDING) and not name.startswith(".")


def _line(head: Sequence[object], row: str) -> bytes:
    """Give a record: the head, a tab, the row; neither holds a tab, for JSON writes it in two letters."""
    return f"{json.dumps(head)}\t{row}\n".encode()


def _lines(path: Path) -> Iterator[tuple[int, list[object], bytes]]:
    """Give where each record of a partition begins, its head, and its line.

    Raises:
        DataError: It is damaged, for it appeared whole.
    """
    offset = 0
    with path.open("rb") as file:
        for line in file:
            try:
                head = json.loads(line.partition(b"\t")[0])
                whole = line.endswith(b"\n") and b"\t" in line and len(head) == len(("key", *_Record._fields[:5]))
            except (ValueError, TypeError):
                whole = False
            if not whole:
                raise DataError(DAMAGED)
            yield offset, head, line
            offset += len(line)
