"""Signatures by a local key: only the owner of the key, only these bytes, only all of them."""

import json
import shutil
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from medmm.errors import ConfigError, DataError
from medmm.package import CARD, FACTS, FILES, WEIGHTS, load_package, verify_package
from medmm.sealed import MANIFEST, seal
from medmm.signature import SIGNATURE, sign_folder, verify_signature

signing = pytest.importorskip("model_signing.signing", reason="needs the extra [sign]", exc_type=ImportError)


def keys(folder: Path, name: str, curve: ec.EllipticCurve | None = None) -> tuple[Path, Path]:
    """Make a private and a public key."""
    key = ec.generate_private_key(curve or ec.SECP256R1())
    private, public = folder / f"{name}.pem", folder / f"{name}.pub"
    private.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    public.write_bytes(
        key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    )
    return private, public


@pytest.fixture(scope="module")
def owner(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return keys(tmp_path_factory.mktemp("keys"), "owner")


@pytest.fixture
def signed(saved: Path, tmp_path: Path, owner: tuple[Path, Path]) -> Path:
    folder = Path(shutil.copytree(saved, tmp_path / "signed"))
    sign_folder(folder, owner[0])
    return folder


def check_refused(folder: Path, key: Path, match: str = "signature") -> None:
    for check in (verify_signature, load_package):
        with pytest.raises(DataError, match=match) as caught:
            check(folder, key)
        assert len(str(caught.value).splitlines()) == 1
        assert str(folder) not in str(caught.value)


def test_what_is_signed_is_taken_by_its_owners_key_and_keeps_its_digest(
    saved: Path, signed: Path, owner: tuple[Path, Path]
) -> None:
    verify_signature(signed, owner[1])
    assert load_package(signed, owner[1]).digest == load_package(signed).digest == verify_package(saved)
    assert {path.name for path in signed.iterdir()} == {*FILES, MANIFEST, SIGNATURE}


@pytest.mark.parametrize("curve", [ec.SECP384R1(), ec.SECP521R1()])
def test_longer_keys_sign_too(saved: Path, tmp_path: Path, curve: ec.EllipticCurve) -> None:
    folder = Path(shutil.copytree(saved, tmp_path / "copy"))
    private, public = keys(tmp_path, "long", curve)
    sign_folder(folder, private)
    verify_signature(folder, public)


def test_the_signature_is_the_standards_and_covers_every_file(signed: Path, owner: tuple[Path, Path]) -> None:
    from model_signing import verifying

    verifying.Config().use_elliptic_key_verifier(public_key=owner[1]).verify(signed, signed / SIGNATURE)
    content = (signed / SIGNATURE).read_text()
    assert json.loads(content)["mediaType"] == "application/vnd.dev.sigstore.bundle.v0.3+json"
    assert str(signed.parent) not in content


def test_another_key_is_refused(signed: Path, tmp_path: Path) -> None:
    check_refused(signed, keys(tmp_path, "other")[1])


def test_a_missing_signature_is_refused_where_a_key_was_given(saved: Path, owner: tuple[Path, Path]) -> None:
    check_refused(saved, owner[1], r"there is no model\.sig")


def test_a_changed_signature_is_refused(signed: Path, owner: tuple[Path, Path]) -> None:
    whole = (signed / SIGNATURE).read_bytes()
    inside = json.loads(whole)
    payload, mark = inside["dsseEnvelope"]["payload"], inside["dsseEnvelope"]["signatures"][0]["sig"]
    for part in (payload, mark):
        other = ("B" if part[20] == "A" else "A").join((part[:20], part[21:]))
        (signed / SIGNATURE).write_bytes(whole.replace(part.encode(), other.encode()))
        check_refused(signed, owner[1])
    for content in (b"", b"{}", b"[]", whole[: len(whole) // 2], b"\xff", b"[" * 100_000):
        (signed / SIGNATURE).write_bytes(content)
        check_refused(signed, owner[1])


@pytest.mark.parametrize("name", [CARD, FACTS, WEIGHTS])
def test_a_file_that_was_changed_and_sealed_anew_is_refused(signed: Path, owner: tuple[Path, Path], name: str) -> None:
    content = bytearray((signed / name).read_bytes())
    content[len(content) // 2] ^= 1
    (signed / name).write_bytes(content)
    seal(signed, FILES)
    check_refused(signed, owner[1])


def test_the_signature_of_another_package_is_refused(signed: Path, owner: tuple[Path, Path], tmp_path: Path) -> None:
    other = Path(shutil.copytree(signed, tmp_path / "other"))
    (other / CARD).write_text("another card")
    (other / SIGNATURE).unlink()
    seal(other, FILES)
    sign_folder(other, owner[0])
    verify_signature(other, owner[1])
    shutil.copy(other / SIGNATURE, signed / SIGNATURE)
    check_refused(signed, owner[1])


def test_a_signature_that_passes_over_files_is_refused(signed: Path, owner: tuple[Path, Path]) -> None:
    """The format lets a signer leave out paths; then whoever has the folder may change them."""
    from model_signing import hashing

    config = hashing.Config().set_ignored_paths(paths=[SIGNATURE, WEIGHTS], ignore_git_paths=False)
    signing.Config().set_hashing_config(config).use_elliptic_key_signer(private_key=owner[0]).sign(signed, signed / SIGNATURE)
    check_refused(signed, owner[1])


def test_a_file_that_nobody_signed_is_refused(signed: Path, owner: tuple[Path, Path]) -> None:
    (signed / ".gitignore").write_text("x")
    with pytest.raises(DataError, match="signature"):
        verify_signature(signed, owner[1])
    with pytest.raises(DataError, match="extra files"):
        load_package(signed, owner[1])


def test_a_folder_inside_is_refused(signed: Path, owner: tuple[Path, Path]) -> None:
    (signed / "more").mkdir()
    with pytest.raises(DataError, match="no file"):
        verify_signature(signed, owner[1])


def test_the_signature_is_of_the_bytes_that_are_loaded(
    signed: Path, owner: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    from medmm import package as module

    original = module.open_package

    def and_then_somebody_writes(folder: Path, *, older: bool = False) -> object:
        sealed = original(folder, older=older)
        for name in (*FILES, MANIFEST, SIGNATURE):
            (folder / name).write_bytes(b"changed between check and use")
        return sealed

    monkeypatch.setattr(module, "open_package", and_then_somebody_writes)
    assert load_package(signed, owner[1]).name == "chest"


def test_a_key_that_is_none_is_named_as_such(signed: Path, owner: tuple[Path, Path], tmp_path: Path) -> None:
    rest = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    (tmp_path / "rsa.pub").write_bytes(
        rest.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    )
    (tmp_path / "words.pem").write_text("no key")
    for key in (owner[0], tmp_path / "rsa.pub", tmp_path / "words.pem", tmp_path / "missing.pem"):
        with pytest.raises(ConfigError, match="key cannot verify"):
            verify_signature(signed, key)
    for key in (owner[1], tmp_path / "words.pem", tmp_path / "missing.pem"):
        with pytest.raises(ConfigError, match="key cannot sign"):
            sign_folder(signed, key)
