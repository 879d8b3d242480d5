"""Which DICOMweb server is asked, and as whom: never in the clear unless allowed, never as the command line says."""

import base64
import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from medmm.errors import ConfigError

TOKEN, USER, PASSWORD = "MEDMM_DICOMWEB_TOKEN", "MEDMM_DICOMWEB_USER", "MEDMM_DICOMWEB_PASSWORD"


@dataclass(frozen=True)
class Credentials:
    """Names of the environment variables in which the credentials of a server stand."""

    token: str
    user: str
    password: str


OF_STUDIES = Credentials(TOKEN, USER, PASSWORD)
OF_STORE = Credentials("MEDMM_STORE_TOKEN", "MEDMM_STORE_USER", "MEDMM_STORE_PASSWORD")
"""Of a server that is only stored in: it is never told those of another."""


@dataclass(frozen=True)
class Address:
    """The root of a DICOMweb service.

    Attributes:
        url: Without a slash at its end.
        host: Host and port, as a request names them.
        secure: Whether it is reached by TLS.
    """

    url: str
    host: str
    secure: bool


def is_address(text: str) -> bool:
    """Tell whether the place of studies is a DICOMweb server's address."""
    return text.lower().startswith(("http://", "https://"))


def address_of(text: str, *, insecure: bool = False) -> Address:
    """Read the address of a DICOMweb service.

    Args:
        text: Such as https://pacs.example/dicom-web.
        insecure: Whether images and credentials may travel in the clear, beyond this machine.

    Raises:
        ConfigError: It cannot be used, or holds credentials, which any process of the machine could read.
    """
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        raise ConfigError("the address of the DICOMweb server cannot be read: write https://HOST:PORT/PATH") from None
    scheme, name = parts.scheme.lower(), parts.hostname
    if scheme not in {"http", "https"} or not name or any(letter.isspace() or not letter.isprintable() for letter in text):
        raise ConfigError("the address of the DICOMweb server cannot be read: write https://HOST:PORT/PATH")
    if "@" in parts.netloc:
        raise ConfigError(
            "the address of the DICOMweb server holds a user or a password, which other users of this machine can read there: "
            f"set {TOKEN}, or {USER} and {PASSWORD}, instead"
        )
    if parts.query or parts.fragment:
        raise ConfigError("the address of the DICOMweb server has a ? or # in it: give the root of the service alone")
    if scheme == "http" and not insecure and not _is_loopback(name):
        raise ConfigError(
            "the DICOMweb server is not reached by TLS, so that images, names and passwords cross the network in the clear: "
            "give its https:// address, or allow this with --insecure-http"
        )
    host = f"[{name}]" if ":" in name else name
    host = host if port is None else f"{host}:{port}"
    return Address(f"{scheme}://{host}{parts.path.rstrip('/')}", host, scheme == "https")


def authorization(environment: Mapping[str, str], names: Credentials = OF_STUDIES) -> str | None:
    """Give the Authorization header that the environment asks for; None where it names no credentials.

    Raises:
        ConfigError: It names both kinds, half of one, or what a header cannot hold.
    """
    token, user, password = (environment.get(name, "") for name in (names.token, names.user, names.password))
    if token and (user or password):
        raise ConfigError(f"{names.token} is set beside {names.user} or {names.password}: unset one of them")
    if token:
        if not all("!" <= letter <= "~" for letter in token):
            raise ConfigError(
                f"{names.token} holds a character that no token has, such as a space or a line break: set it again"
            )
        return f"Bearer {token}"
    if not user and not password:
        return None
    if not user or not password:
        raise ConfigError(f"only one of {names.user} and {names.password} is set: set both, or neither")
    if ":" in user:
        raise ConfigError(f"{names.user} holds a colon, which no user of HTTP can have: correct it")
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode("ascii")


def _is_loopback(name: str) -> bool:
    if name == "localhost":
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False
