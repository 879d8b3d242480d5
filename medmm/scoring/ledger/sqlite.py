"""The ledger of a local disk: SQLite in WAL mode, where a row is committed or is not, whatever is killed.

A scorer proves that it lives by a lock on a file of its own, which the system lets go of when the process ends, however it
ends: what a dead scorer had claimed is free at once. SQLite's locks do not hold on network disks: `partitions` is for those.
"""

import fcntl
import json
import os
import sqlite3
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from medmm.files import private_file
from medmm.scoring.identity import Named
from medmm.scoring.ledger.base import Claimed, Entry
from medmm.scoring.sinks.base import Row

FOLDER = ".ledger"
FILE = "ledger.sqlite"
EXPORT = "export.lock"

BUSY_SECONDS = 60.0
"""How long a transaction waits for another scorer's; each takes milliseconds."""

SCHEMA = """
CREATE TABLE IF NOT EXISTS model (one INTEGER PRIMARY KEY CHECK (one = 1), digest TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS claims (
    model TEXT NOT NULL, study TEXT NOT NULL, digest TEXT NOT NULL, owner TEXT NOT NULL, PRIMARY KEY (model, study)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS rows (
    model TEXT NOT NULL, study TEXT NOT NULL, digest TEXT NOT NULL, rejected INTEGER NOT NULL, number INTEGER NOT NULL,
    cells TEXT NOT NULL, PRIMARY KEY (model, study)
);
"""


class SqliteLedger:
    """Rows of one model in the output folder of any number of scorers on one machine.

    Args:
        out: The output folder.
        model: Digest of the model; from now on it is the folder's.
    """

    def __init__(self, out: Path, model: str) -> None:
        self._folder = out / FOLDER
        self._model = model
        self._owner = uuid.uuid4().hex
        private_file(self._folder / FILE)
        self._lock = _locked(self._lock_of(self._owner))
        self._base = sqlite3.connect(self._folder / FILE, timeout=BUSY_SECONDS, isolation_level=None)
        self._base.execute("PRAGMA journal_mode = WAL")
        self._base.execute("PRAGMA synchronous = NORMAL")
        with self._transaction():
            for statement in SCHEMA.split(";"):
                self._base.execute(statement)
            self._base.execute("INSERT OR REPLACE INTO model VALUES (1, ?)", (model,))

    def claim(self, studies: Sequence[Named]) -> Claimed:
        """Ask for studies."""
        mine: list[Named] = []
        others: list[Named] = []
        done = 0
        with self._transaction():
            for one in studies:
                key = (self._model, one.key)
                row = self._base.execute("SELECT digest FROM rows WHERE model = ? AND study = ?", key).fetchone()
                if row is not None and row[0] == one.digest:
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

    def commit(self, entries: Sequence[Entry]) -> None:
        """Keep the rows of studies that this scorer still has."""
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

    def rows(self, *, rejected: bool) -> Iterator[tuple[int, Row]]:
        """Give each row with the number of its study."""
        found = self._base.execute(
            "SELECT number, cells FROM rows WHERE model = ? AND rejected = ? ORDER BY number, study",
            (self._model, int(rejected)),
        )
        for number, cells in found:
            yield number, json.loads(cells)

    def forget_rejected(self) -> int:
        """Forget which studies were rejected, and give their number."""
        with self._transaction():
            return self._base.execute("DELETE FROM rows WHERE model = ? AND rejected = 1", (self._model,)).rowcount

    @contextmanager
    def exporting(self) -> Iterator[bool]:
        """Let one scorer at a time write the results."""
        with (self._folder / EXPORT).open("w", encoding="ascii") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield self._base.execute("SELECT digest FROM model").fetchone()[0] == self._model

    def close(self) -> None:
        """Give back what was claimed and not committed."""
        with self._transaction():
            self._base.execute("DELETE FROM claims WHERE owner = ?", (self._owner,))
        self._base.close()
        self._lock_of(self._owner).unlink(missing_ok=True)
        self._lock.close()

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        self._base.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self._base.execute("ROLLBACK")
            raise
        self._base.execute("COMMIT")

    def _lock_of(self, owner: str) -> Path:
        return self._folder / f"{owner}.lock"

    def _lives(self, owner: str) -> bool:
        """Tell whether a scorer lives: whether its lock is held. Of a dead one the claims and the lock are cleared away."""
        path = self._lock_of(owner)
        if path.exists():
            with path.open("a", encoding="ascii") as lock:
                try:
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    return True
                path.unlink(missing_ok=True)
        self._base.execute("DELETE FROM claims WHERE owner = ?", (owner,))
        return False


def _locked(path: Path) -> IO[str]:
    """Open a file that nobody else has, and hold its lock until it is closed or this process ends."""
    handle = os.fdopen(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "w", encoding="ascii")
    fcntl.flock(handle, fcntl.LOCK_EX)
    return handle
