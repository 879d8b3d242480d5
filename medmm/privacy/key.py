"""The secret by which identifiers become others, the same for a whole cohort, and which alone can lead back.

Source:
    DICOM PS3.15, Annex E (replacement UIDs, longitudinal consistency); RFC 2104 (HMAC); ITU-T X.667 (UIDs from numbers).
"""

import hashlib
import hmac
import secrets
from dataclasses import dataclass, field
from pathlib import Path

from medmm.errors import ConfigError
from medmm.files import write_private

SECRET_BYTES = 32
SHORTEST_DAYS, LONGEST_DAYS = 30, 3650
"""By how much dates move to the past: a patient's all by the same, so that intervals stay."""

LETTERS = "ABCDEFGHJKLMNPQRSTUVWXYZ23456789"
"""Of pseudonyms: none that is taken for another."""

LENGTH = 12
"""Letters of a pseudonym, five bits each: among a million patients two are the same with one key of two million."""


@dataclass(frozen=True)
class Key:
    """A secret, and what it makes of identifiers.

    Attributes:
        secret: 32 random bytes. Who has them can tell which pseudonym is whose.
    """

    secret: bytes = field(repr=False)

    @classmethod
    def make(cls, path: Path) -> "Key":
        """Make a key and write it to a file that only its owner may read.

        Raises:
            ConfigError: The file is there already.
        """
        if path.exists():
            raise ConfigError("the key file is there already: name another, or use it as it is")
        key = cls(secrets.token_bytes(SECRET_BYTES))
        write_private(path, key.secret.hex().encode() + b"\n")
        return key

    @classmethod
    def load(cls, path: Path) -> "Key":
        """Read a key.

        Raises:
            ConfigError: The file is absent or holds no key.
        """
        try:
            secret = bytes.fromhex(path.read_text(encoding="ascii").strip())
        except (OSError, ValueError):
            secret = b""
        if len(secret) != SECRET_BYTES:
            raise ConfigError(
                "the key file holds no key of 64 hexadecimal digits: name the one that was made with the first export"
            )
        return cls(secret)

    def pseudonym(self, kind: str, value: str) -> str:
        """Give another name for a value, such as a patient's identifier: 12 letters and digits, the same everywhere.

        Args:
            kind: What it is, "patient" or "study": one value as two kinds has two pseudonyms.
            value: The identifier, as it stands, without the space around it.
        """
        number = self._number(kind, value.strip())
        return "".join(LETTERS[number >> 5 * i & 31] for i in range(LENGTH))

    def uid(self, uid: str) -> str:
        """Give another UID for a DICOM UID, valid and the same wherever it stands (PS3.5, B.2)."""
        number = self._number("uid", uid.strip(" \0"))
        return f"2.25.{number >> 128}"

    def days(self, patient: str) -> int:
        """Give by how many days all dates of a patient move: -3650 to -30.

        Args:
            patient: The identifier, before it is replaced.
        """
        return -(SHORTEST_DAYS + self._number("days", patient.strip()) % (LONGEST_DAYS - SHORTEST_DAYS + 1))

    def _number(self, kind: str, value: str) -> int:
        """Give 256 bits that nobody can tell without the secret."""
        content = f"{kind}\0{value}".encode(errors="surrogateescape")  # a name of a file may be no UTF-8
        return int.from_bytes(hmac.digest(self.secret, content, hashlib.sha256))
