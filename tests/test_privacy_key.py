"""Pseudonyms, UIDs and shifts by a key: the same for the same value, valid, and another key's are others."""

import stat
from pathlib import Path

import pytest
from pydicom.uid import UID, generate_uid

from medmm.errors import ConfigError
from medmm.privacy.key import LENGTH, LETTERS, LONGEST_DAYS, SHORTEST_DAYS, Key


def test_a_key_is_private_and_comes_back(tmp_path: Path) -> None:
    path = tmp_path / "key"
    made = Key.make(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert Key.load(path) == made
    assert made.secret.hex() not in repr(made)
    with pytest.raises(ConfigError, match="there already"):
        Key.make(path)


@pytest.mark.parametrize("content", [b"", b"abc", b"zz" * 32, b"\xff" * 40, b"ab" * 31])
def test_what_is_no_key_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "key"
    path.write_bytes(content)
    with pytest.raises(ConfigError, match="holds no key"):
        Key.load(path)
    with pytest.raises(ConfigError, match="holds no key"):
        Key.load(tmp_path / "absent")


def test_one_value_has_one_other_and_each_kind_and_key_its_own() -> None:
    one, other = Key(b"1" * 32), Key(b"2" * 32)
    assert one.pseudonym("patient", "MRN 7") == one.pseudonym("patient", " MRN 7 ")
    said = {key.pseudonym(kind, value) for key in (one, other) for kind in ("patient", "study") for value in ("MRN 7", "MRN 8")}
    assert len(said) == 8
    assert all(len(word) == LENGTH and set(word) <= set(LETTERS) for word in said)


def test_uids_are_valid_and_shifts_are_within_their_bounds() -> None:
    key = Key(b"1" * 32)
    uids = [generate_uid() for _ in range(500)]
    made = [key.uid(uid) for uid in uids]
    assert len(set(made)) == 500
    assert all(UID(uid).is_valid and uid.startswith("2.25.") for uid in made)
    assert key.uid(uids[0] + "\0") == made[0]
    days = [key.days(f"p{i}") for i in range(2000)]
    assert -LONGEST_DAYS <= min(days) < max(days) <= -SHORTEST_DAYS
    assert len(set(days)) > 1000
