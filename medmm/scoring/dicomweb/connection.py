"""A connection to a DICOMweb server: signed, bounded in size and time, led nowhere else; failures in words without names."""

import logging
import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from threading import Event
from typing import Any

from medmm.errors import ConfigError
from medmm.scoring.dicomweb.address import OF_STUDIES, Address, Credentials, authorization
from medmm.scoring.dicomweb.multipart import PartError

SEARCH_LIMIT_BYTES = 64 << 20
INSTANCE_LIMIT_BYTES = 4 << 30
"""Largest instance: a long film or an enhanced volume has one or two gigabytes."""

GRACE_SECONDS = 120.0
SLOWEST_BYTES_PER_SECOND = 32 << 10
"""An answer may take the grace and its size at this speed; one that drips for ever is given up."""


class TransferError(Exception):
    """What a server did not give as it should.

    Args:
        found: In words that hold nothing of the answer.
        again: Whether it may be different at another time.
    """

    def __init__(self, found: str, *, again: bool = True) -> None:
        super().__init__(found)
        self.found = found
        self.again = again


def connect(
    address: Address,
    stop: Event,
    connections: int,
    environment: Mapping[str, str] = os.environ,
    names: Credentials = OF_STUDIES,
    may: str = "search and retrieve studies",
) -> Any:
    """Make a session of requests, which must be installed.

    Args:
        address: Of the server.
        stop: Set to give up what is under way.
        connections: Most at a time.
        environment: Where the credentials stand.
        names: Under which names.
        may: What their owner has to be allowed.

    Raises:
        ConfigError: The credentials in the environment cannot be used.
    """
    import requests
    from requests.adapters import HTTPAdapter

    for name in ("dicomweb_client", "retrying", "urllib3"):
        logging.getLogger(name).setLevel(logging.CRITICAL)  # they log addresses, which hold identifiers
    session = requests.Session()
    session.trust_env = address.secure  # no proxy is told what goes in the clear; the hospital's own authority is for TLS
    session.auth = _Signed(authorization(environment, names))  # also where there is none, so that no .netrc is looked for
    session.headers["Accept-Encoding"] = "identity"  # what inflates cannot be bounded

    def checked(answer: Any, **_: Any) -> None:
        try:
            _check(answer, stop, names, may)
        except BaseException:
            answer.close()
            raise

    session.hooks["response"] = [checked]
    for scheme in ("http://", "https://"):
        session.mount(scheme, HTTPAdapter(pool_maxsize=connections))
    return session


@contextmanager
def failures_told() -> Iterator[None]:
    """Put what goes wrong with a request in words that hold neither an address nor an identifier.

    Raises:
        TransferError: It went wrong.
        ConfigError: It will go wrong until somebody corrects it.
    """
    import requests

    try:
        yield
    except (ConfigError, TransferError):
        raise
    except PartError as fault:
        raise TransferError(str(fault)) from None
    except requests.exceptions.SSLError:
        raise ConfigError(
            "the certificate of the DICOMweb server is not trusted: name the file with your hospital's own authority in "
            "REQUESTS_CA_BUNDLE, or correct the address"
        ) from None
    except requests.Timeout:
        raise TransferError("no answer within the time limit") from None
    except requests.HTTPError as fault:
        status = fault.response.status_code
        raise TransferError(f"the status {status}", again=status >= 500 or status in {408, 429}) from None
    except requests.JSONDecodeError:
        raise TransferError("an answer that is no JSON") from None
    except requests.RequestException:
        raise TransferError("a broken connection") from None
    except (ValueError, RecursionError):
        raise TransferError("an answer that cannot be read") from None


def within_limits(
    chunks: Iterator[bytes], limit_bytes: int, stop: Event, clock: Callable[[], float] = time.monotonic
) -> Iterator[bytes]:
    """Pass the pieces of an answer on.

    Raises:
        TransferError: They are too many, or come too slowly, or nobody waits for them any more.
    """
    begun, size = clock(), 0
    for chunk in chunks:
        size += len(chunk)
        if size > limit_bytes:
            raise TransferError("an answer without end", again=False)
        if clock() - begun > GRACE_SECONDS + size / SLOWEST_BYTES_PER_SECOND:
            raise TransferError("an answer that comes too slowly")
        if stop.is_set():
            raise TransferError("an answer that nobody waits for any more", again=False)
        yield chunk


def _check(answer: Any, stop: Event, names: Credentials, may: str) -> None:
    """Look at the head of an answer before its body is read; a redirect is never followed, for credentials might go along."""
    status = answer.status_code
    if 300 <= status < 400:
        raise ConfigError("the DICOMweb server says that it stands elsewhere: give the address to which it redirects")
    retrieving = "/instances/" in answer.request.path_url
    if status == 401 or (status == 403 and not retrieving):  # one study may be kept from us alone
        raise ConfigError(
            f"the DICOMweb server refuses the credentials (status {status}): "
            f"set {names.token}, or {names.user} and {names.password}, of one who may {may}"
        )
    if answer.headers.get("Content-Encoding", "identity").lower() not in {"", "identity"}:
        raise TransferError("a compressed answer, which was not asked for", again=False)
    limit = INSTANCE_LIMIT_BYTES if retrieving else SEARCH_LIMIT_BYTES
    read = answer.iter_content
    answer.iter_content = lambda *sizes, **options: within_limits(read(*sizes, **options), limit, stop)


class _Signed:
    """Puts the credentials on a request."""

    def __init__(self, header: str | None) -> None:
        self._header = header

    def __call__(self, request: Any) -> Any:
        if self._header is not None:
            request.headers["Authorization"] = self._header
        return request
