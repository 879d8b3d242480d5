"""The ledger of a local disk: SQLite in WAL mode, where a row is committed or is not, whatever is killed.

A scorer proves that it lives by a lock on a file of its own, which the system lets go of when the process ends, however it
ends: what a dead scorer had claimed is free at once. SQLite's locks do not hold on network disks: `partitions` is for those.
"""

import fcntl
import json
import os
import sqlite3
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from medmm.errors import DataError
from medmm.files import private_file
from medmm.scoring.identity import Named
from medmm.scoring.ledger.base import DAMAGED, FOLDER, Claimed, Entry
from medmm.scoring.ledger.disks import sweep_killed
from medmm.scoring.sinks.base import Row

FILE = "ledger.sqlite"
OPENING = "opening.lock"
EXPORT = "export.lock"
OWNER = ".owner"
"""Ending of the name of a scorer's own file."""

VERSION = 1
"""Of the tables below (PRAGMA user_version)."""

BUSY_SECONDS = 60.0
"""How long a transaction waits for another scorer's; each takes milliseconds."""

PATIENCE_SECONDS = 5.0
"""After which it is said that another scorer writes the results."""

SCHEMA = (
    "CREATE TABLE model (one INTEGER PRIMARY KEY CHECK (one = 1), digest TEXT NOT NULL)",
    """CREATE TABLE claims (
        model TEXT NOT NULL, study TEXT NOT NULL, digest TEXT NOT NULL, owner TEXT NOT NULL, PRIMARY KEY (model, study)
    ) WITHOUT ROWID""",
    """CREATE TABLE rows (
        model TEXT NOT NULL, study TEXT NOT NULL, digest TEXT NOT NULL, rejected INTEGER NOT NULL, number INTEGER NOT NULL,
        cells TEXT NOT NULL, PRIMARY KEY (model, study)
    )""",
    "CREATE INDEX in_order ON rows (model, rejected, number, study)",  # so that no export sorts rows into temporary files
    f"PRAGMA user_version = {VERSION}",
)

FAULTS = {
    sqlite3.SQLITE_FULL: "the disk of the output folder is full: free some space and score again; what was scored is kept",
    sqlite3.SQLITE_IOERR: "the disk of the output folder fails: check its space and its health, and score again",
    sqlite3.SQLITE_READONLY: "the ledger of the output folder cannot be written: check the rights on its folder .ledger",
    sqlite3.SQLITE_CANTOPEN: "the ledger of the output folder cannot be opened: check the rights on its folder .ledger",
    sqlite3.SQLITE_BUSY: f"another scorer has held the ledger for {BUSY_SECONDS:.0f} s: if one is stopped, let it go on or "
    "end it, and score again; on a network disk take --ledger partitions",
}
"""What is said of a fault of SQLite; of any other that the ledger is damaged."""


class SqliteLedger:
    """Rows of one model in the output folder of any number of scorers on one machine.

    Args:
        out: The output folder.
        model: Digest of the model; from now on it is the folder's.

    Raises:
        DataError: The ledger there is damaged or of another version.
    """

    def __init__(self, out: Path, model: str) -> None:
        self._out = out
        self._folder = out / FOLDER
        self._model = model
        self._owner = uuid.uuid4().hex
        self._turn = threading.RLock()
        private_file(self._folder / OPENING)
        with _alone(self._folder / OPENING):  # a switch to WAL mode waits for nobody, and fails where two make it at once
            self._lock = _locked(self._file_of(self._owner))
            try:
                self._base = self._open()
            except BaseException:
                self._lock.close()
                self._file_of(self._owner).unlink(missing_ok=True)
                raise

    def ours(self) -> bool:
        """Tell whether the model is still the folder's."""
        with self._turn, _told():
            return bool(self._base.execute("SELECT digest = ? FROM model", (self._model,)).fetchone()[0])

    def claim(self, studies: Sequence[Named]) -> Claimed:
        """Ask for studies."""
        mine: list[Named] = []
        others: list[Named] = []
        done = 0
        with self._transaction():
            for one in studies:
                key = (self._model, one.key)
                row = self._base.execute("SELECT digest, number FROM rows WHERE model = ? AND study = ?", key).fetchone()
                if row is not None and row[0] == one.digest:
                    if row[1] != one.study.row:
                        self._base.execute("UPDATE rows SET number = ? WHERE model = ? AND study = ?", (one.study.row, *key))
                    done += 1
                    continue
                claim = self._base.execute("SELECT digest, owner FROM claims WHERE model = ? AND study = ?", key).fetchone()
                if claim is not None and claim[0] == one.digest and claim[1] != self._owner and self._lives(claim[1]):
                    others.append(one)
                    continue
                self._base.execute("INSERT OR REPLACE INTO claims VALUES (?, ?, ?, ?)", (*key, one.digest, self._owner))
                mine.append(one)
        return Claimed(mine, others, done)

    def commit(self, entries: Sequence[Entry]) -> int:
        """Keep the rows of studies that this scorer still has."""
        kept = 0
        with self._transaction():
            for one in entries:
                key = (self._model, one.named.key)
                held = self._base.execute(
                    "DELETE FROM claims WHERE model = ? AND study = ? AND digest = ? AND owner = ?",
                    (*key, one.named.digest, self._owner),
                ).rowcount
                if held:
                    values = (*key, one.named.digest, int(one.rejected), one.named.study.row, json.dumps(dict(one.row)))
                    self._base.execute("INSERT OR REPLACE INTO rows VALUES (?, ?, ?, ?, ?, ?)", values)
                    kept += 1
        return kept

    def known(self, keys: Sequence[str]) -> Mapping[str, str]:
        """Give the digest for which each study has a row."""
        found = {}
        with self._turn, _told():
            for key in keys:
                row = self._base.execute("SELECT digest FROM rows WHERE model = ? AND study = ?", (self._model, key)).fetchone()
                if row is not None:
                    found[key] = row[0]
        return found

    def rows(self, *, rejected: bool) -> Iterator[tuple[int, Row]]:
        """Give each row with the number of its study."""
        with _told():
            found = self._base.execute(
                "SELECT number, cells FROM rows WHERE model = ? AND rejected = ? ORDER BY number, study",
                (self._model, int(rejected)),
            )
            for number, cells in found:
                yield number, json.loads(cells)

    def forget_rejected(self, of: Callable[[str], bool]) -> int:
        """Forget which studies were rejected, and give their number."""
        with self._transaction():
            found = self._base.execute("SELECT study FROM rows WHERE model = ? AND rejected = 1", (self._model,)).fetchall()
            keys = [(self._model, key) for (key,) in found if of(key)]
            self._base.executemany("DELETE FROM rows WHERE model = ? AND study = ?", keys)
        return len(keys)

    @contextmanager
    def exporting(self, notice: Callable[[str], None]) -> Iterator[bool]:
        """Let one scorer at a time write the results; what killed ones were writing is swept away."""
        with _alone(self._folder / EXPORT, notice):
            sweep_killed(self._out)
            yield self.ours()

    def close(self) -> None:
        """Give back what was claimed and not committed. Where that fails, the claims are free when the lock is."""
        try:
            with suppress(DataError), self._transaction():
                self._base.execute("DELETE FROM claims WHERE owner = ?", (self._owner,))
            self._base.close()
        finally:
            self._file_of(self._owner).unlink(missing_ok=True)
            self._lock.close()

    def _open(self) -> sqlite3.Connection:
        """Open the database, make its tables where there are none, and clear away what dead scorers left."""
        private_file(self._folder / FILE)
        with _told():
            base = sqlite3.connect(self._folder / FILE, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False)
            try:
                version = base.execute("PRAGMA user_version").fetchone()[0]
                if version not in {0, VERSION}:
                    raise DataError(
                        f"the ledger of the output folder has version {version}, this medmm reads {VERSION}: "
                        "score into another --out, or with the version of medmm that made it"
                    )
                base.execute("PRAGMA journal_mode = WAL")
                base.execute("PRAGMA synchronous = NORMAL")
                base.execute("BEGIN IMMEDIATE")
                for statement in SCHEMA if version == 0 else ():
                    base.execute(statement)
                base.execute("INSERT OR REPLACE INTO model VALUES (1, ?)", (self._model,))
                for file in self._folder.glob(f"*{OWNER}"):
                    if file.stem != self._owner and not _is_held(file):
                        base.execute("DELETE FROM claims WHERE owner = ?", (file.stem,))
                        file.unlink(missing_ok=True)
                base.execute("COMMIT")
            except BaseException:
                base.close()
                raise
        return base

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        with self._turn, _told():
            self._base.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._base.execute("COMMIT")
            except BaseException:
                if self._base.in_transaction:  # a full disk has ended it already
                    self._base.execute("ROLLBACK")
                raise

    def _file_of(self, owner: str) -> Path:
        return self._folder / f"{owner}{OWNER}"

    def _lives(self, owner: str) -> bool:
        """Tell whether a scorer lives. The claims and the file of a dead one are cleared away."""
        file = self._file_of(owner)
        if _is_held(file):
            return True
        file.unlink(missing_ok=True)
        self._base.execute("DELETE FROM claims WHERE owner = ?", (owner,))
        return False


@contextmanager
def _told() -> Iterator[None]:
    """Say in words what went wrong with the database."""
    try:
        yield
    except sqlite3.Error as fault:
        code = getattr(fault, "sqlite_errorcode", sqlite3.SQLITE_CORRUPT) & 0xFF  # without the extension
        raise DataError(FAULTS.get(code, DAMAGED)) from fault


def _locked(path: Path) -> IO[str]:
    """Open a file that nobody else has, and hold its lock until it is closed or this process ends."""
    handle = os.fdopen(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "w", encoding="ascii")
    fcntl.flock(handle, fcntl.LOCK_EX)
    return handle


def _is_held(path: Path) -> bool:
    """Tell whether a living process holds the lock of a file."""
    try:
        with path.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except BlockingIOError:
        return True
    return False


@contextmanager
def _alone(path: Path, notice: Callable[[str], None] | None = None) -> Iterator[None]:
    """Hold the lock of a file, that of one scorer at a time; say so where it is long in coming."""
    private_file(path)
    with path.open("rb") as lock:
        start = time.monotonic()
        while notice is not None and time.monotonic() - start < PATIENCE_SECONDS:
            with suppress(BlockingIOError):
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            time.sleep(0.05)
        else:
            if notice is not None:
                notice("another scorer of this output folder writes the results: if it is stuck, end it, and this one goes on")
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield
