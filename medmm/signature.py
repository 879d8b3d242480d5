"""Signatures of a folder by a local key, in the format of OpenSSF's model-signing: who made it, not only that it is whole.

The file `model.sig` in the folder is a Sigstore bundle over an in-toto statement with the SHA-256 of every other file. Nothing
of it needs a network, and the command `model_signing verify key` checks it too.

Source: https://github.com/sigstore/model-transparency.
"""

import base64
import json
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from medmm.errors import ConfigError, DataError
from medmm.files import digest, write_bytes

SIGNATURE = "model.sig"
EXTRA = "install the extra: pip install 'medmm[sign]'"


def sign_folder(folder: Path, key: Path) -> None:
    """Sign every file of a folder, and write the signature beside them.

    Args:
        folder: As it is to be handed on.
        key: Private key, an elliptic curve one (P-256, P-384 or P-521) in PEM, without a password.

    Raises:
        ConfigError: The key cannot be used, or model-signing is not installed.
    """
    signing = _module("signing")
    with tempfile.TemporaryDirectory() as temporary:
        written = Path(temporary, SIGNATURE)
        try:
            config = signing.Config().set_hashing_config(_hashing()).use_elliptic_key_signer(private_key=key)
            config.sign(folder, written)
        except Exception as reason:
            raise ConfigError(
                f"the key cannot sign ({type(reason).__name__}): give a private key in PEM, without a password, such as "
                "`openssl ecparam -name prime256v1 -genkey -noout -out key.pem` makes"
            ) from reason
        write_bytes(folder / SIGNATURE, written.read_bytes())


def verify_signature(folder: Path, key: Path) -> None:
    """Check that a folder is signed by the owner of a key, with every file as it is now.

    Whoever then loads the folder should give `load_package` the key, which checks the very bytes that are loaded.

    Args:
        folder: With its `model.sig`.
        key: Public key in PEM.

    Raises:
        DataError: There is no signature, it is another's, or a file is not what was signed.
    """
    try:
        contents = {path.name: path.read_bytes() for path in folder.iterdir()}
    except OSError as reason:
        raise DataError("the signed folder holds something that is no file: keep the folder as it was written") from reason
    check_signature(contents, key)


def check_signature(contents: Mapping[str, bytes], key: Path) -> None:
    """Check that files are signed by the owner of a key.

    Args:
        contents: File -> its bytes, the signature's too.
        key: Public key in PEM.

    Raises:
        DataError: There is no signature, it is another's, or a file is not what was signed.
        ConfigError: The key is none, or model-signing is not installed.
    """
    verifying = _module("verifying")
    if SIGNATURE not in contents:
        raise DataError(f"there is no {SIGNATURE}, though a key was given: ask for the signed package, or give no key")
    try:
        config = verifying.Config().use_elliptic_key_verifier(public_key=key).set_hashing_config(_hashing())
    except Exception as reason:
        raise ConfigError(f"the key cannot verify ({type(reason).__name__}): give a public key in PEM") from reason
    signed = {name: content for name, content in contents.items() if name != SIGNATURE}
    with tempfile.TemporaryDirectory() as temporary:
        folder, signature = Path(temporary, "signed"), Path(temporary, SIGNATURE)
        write_bytes(signature, contents[SIGNATURE])
        for name, content in signed.items():
            write_bytes(folder / name, content)
        try:
            config.verify(folder, signature)
            named = _named(contents[SIGNATURE])
        except Exception as reason:
            raise DataError(
                f"the signature does not fit the files or the key ({type(reason).__name__}): get the package from its maker "
                "again, and the key by another way"
            ) from reason
    if named != {name: digest(content) for name, content in signed.items()}:
        raise DataError("the signature leaves out files of the package: ask its maker to sign all of it")


def _named(signature: bytes) -> dict[str, str]:
    """Give the files that a verified signature names, and their digests: it could also say that some are to be ignored."""
    payload = json.loads(base64.b64decode(json.loads(signature)["dsseEnvelope"]["payload"]))
    return {one["name"]: one["digest"] for one in payload["predicate"]["resources"] if one["algorithm"] == "sha256"}


def _hashing() -> Any:
    """Hash whole files, and pass over none but the signature."""
    hashing = _module("hashing")
    config = hashing.Config().use_file_serialization(hashing_algorithm="sha256", allow_symlinks=False)
    return config.set_ignored_paths(paths=[SIGNATURE], ignore_git_paths=False)


def _module(name: str) -> Any:
    from importlib import import_module

    try:
        return import_module(f"model_signing.{name}")
    except ImportError as reason:
        raise ConfigError(f"signatures need the package model-signing: {EXTRA}") from reason
