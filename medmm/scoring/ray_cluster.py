"""A Ray cluster that none but its users can command: one that is there, or one started here for as long as a scoring lasts.

Whoever reaches a Ray cluster can run any program on it, with the rights of its users. Ray 2.52 and newer can ask for a token;
a cluster that does not is refused. Tokens are no encryption: a cluster belongs in a network of its own.
"""

import logging
import os
import secrets
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from medmm.errors import ConfigError, MedmmError
from medmm.workers import cores

TOKEN = {"RAY_AUTH_MODE": "token", "RAY_USAGE_STATS_ENABLED": "0"}

LOOPBACK = "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"
"""Ray's name for whether other machines may join; where it is 0, Ray listens on 127.0.0.1 only."""

STORE_BYTES = 256 << 20
"""Of the object store of a cluster that is started here: only descriptions of studies and rows go through it."""

SHORT = "/tmp"  # noqa: S108 - where Ray's sockets lie, whose whole path must be shorter than 108 characters (unix(7))

CONNECT_SECONDS = 5.0
ASK_SECONDS = 120.0
"""How long a stranger's question may take, most of which is the start of Python."""

STRANGER = """
import sys
from ray._raylet import GcsClient
from ray.exceptions import AuthenticationError
try:
    GcsClient(address=sys.argv[1]).get_all_node_info(timeout=30)
except AuthenticationError:
    sys.exit(0)
sys.exit(3)
"""
"""Asks a cluster for its nodes without a token; ends with 0 where the cluster sends it away for that, and only there."""

OPEN = 3


@dataclass(frozen=True)
class Cluster:
    """Where Ray scores.

    Attributes:
        address: HOST:PORT of the head node; None starts a cluster on this machine.
        actors: Most models at a time, on a cluster that grows with its load; None takes what the cluster has now.
    """

    address: str | None = None
    actors: int | None = None


@contextmanager
def connected(cluster: Cluster) -> Iterator[None]:
    """Be connected to a cluster for as long as the block lasts.

    Raises:
        MedmmError: Ray is not installed, there is no such cluster, or it is open to everybody.
    """
    if "ray" in sys.modules and os.environ.get("RAY_AUTH_MODE") != "token":
        raise ConfigError("Ray is loaded in this process without a token: set RAY_AUTH_MODE=token before Python starts")
    os.environ.update(TOKEN)  # read when ray is imported, and by what it starts
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")
    if cluster.address is None:
        os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex(32))
        os.environ[LOOPBACK] = "0"
    else:
        refuse_open(cluster.address)
    try:
        import ray
    except ImportError:
        raise ConfigError("--engine ray needs Ray: pip install 'medmm[ray]'") from None
    from ray.exceptions import AuthenticationError

    if ray.is_initialized():
        raise ConfigError("this process is connected to a Ray cluster already: end that with ray.shutdown() before")
    quiet = {"log_to_driver": False, "logging_level": logging.CRITICAL}
    with TemporaryDirectory(prefix="medmm-", dir=SHORT) as folder:  # none but this user reads it: what Ray spills holds names
        here = {"num_cpus": cores(), "include_dashboard": False, "object_store_memory": STORE_BYTES, "_temp_dir": folder}
        try:
            with _core_silent():
                if cluster.address is None:
                    ray.init(address="local", **here, **quiet)
                else:
                    ray.init(address=cluster.address, **quiet)
        except AuthenticationError:
            raise ConfigError(
                "the Ray cluster does not know this token: give the cluster's in RAY_AUTH_TOKEN, in the file that "
                "RAY_AUTH_TOKEN_PATH names, or in ~/.ray/auth_token"
            ) from None
        except (ConnectionError, RuntimeError, ValueError) as reason:
            raise MedmmError(
                f"Ray did not let itself be reached ({type(reason).__name__}): run the command on a node of the cluster, "
                "or hand it over with `ray job submit`"
            ) from reason
        try:
            if cluster.address is None:
                refuse_open(ray.get_runtime_context().gcs_address)
            yield
        finally:
            ray.shutdown()


@contextmanager
def _core_silent() -> Iterator[None]:
    """Keep off the screen what Ray's core says at its start, past Python; what goes wrong, it raises."""
    kept = os.dup(2)
    with Path(os.devnull).open("w", encoding="utf-8") as nowhere:
        os.dup2(nowhere.fileno(), 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)


def refuse_open(address: str) -> None:
    """Refuse a cluster that answers somebody who has no token. A cluster of which that cannot be told is refused too.

    Args:
        address: HOST:PORT of the head node.

    Raises:
        ConfigError: The cluster is open, or is none.
    """
    host, _, port = address.rpartition(":")
    if not host or "/" in host or not port.isdigit():
        raise ConfigError("a Ray cluster is given as HOST:PORT of its head node, as `ray start` said it, such as 10.0.0.1:6379")
    try:
        socket.create_connection((host.strip("[]"), int(port)), CONNECT_SECONDS).close()
    except OSError:
        raise ConfigError("nothing answers at the address of the Ray cluster: give HOST:PORT of its head node") from None
    own = {name: value for name, value in os.environ.items() if not name.startswith("RAY_AUTH_")}
    try:
        asked = subprocess.run(  # noqa: S603 - the address is checked above
            [sys.executable, "-c", STRANGER, address],
            env={**own, "RAY_AUTH_MODE": "disabled"},
            capture_output=True,
            timeout=ASK_SECONDS,
            check=False,
        ).returncode
    except subprocess.TimeoutExpired:
        asked = -1
    if asked == OPEN:
        raise ConfigError(
            "the Ray cluster is open: whoever reaches it can run any program on it. Start it with RAY_AUTH_MODE=token and a "
            "token (docs/scoring.md), and score then"
        )
    if asked:
        raise ConfigError("it cannot be told whether the Ray cluster asks for a token: is it one of Ray 2.52 or newer?")
