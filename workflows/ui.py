"""`medmm ui`: MLflow's own UI on the store of the runs, on this machine only."""

import os
import subprocess
import sys
from pathlib import Path

from medmm.errors import ConfigError
from medmm.training.tracking import ENVIRONMENT, SQLITE, UI_VIEW

from .screen import Screen

HOST = "127.0.0.1"
QUICK = {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "PYTHONWARNINGS": "ignore"}  # seconds, memory and noise saved


def serve(store: str, port: int, screen: Screen) -> int:
    """Start the UI and wait until it ends; give its exit status.

    Args:
        store: Folder that holds `mlflow.db`, a run file's tracking address, or the path of an SQLite file.
        port: Of the address.
        screen: Told the address.

    Raises:
        ConfigError: There is no store.
    """
    address = store_address(store)
    screen.say(f"MLflow UI of {address}: http://{HOST}:{port}/#/experiments?{UI_VIEW} (Ctrl-C ends it)")
    environment = {**os.environ, **ENVIRONMENT, **QUICK}
    command = [sys.executable, "-m", "mlflow", "ui", "--backend-store-uri", address]
    command += ["--host", HOST, "--port", str(port), "--workers", "1"]
    with subprocess.Popen(command, env=environment) as server:  # noqa: S603 - our own interpreter and checked words
        try:
            return server.wait()
        except KeyboardInterrupt:
            server.terminate()
            server.wait()
            raise


def store_address(store: str) -> str:
    """Give the address of a store from a folder, a file or an address.

    Raises:
        ConfigError: There is no store.
    """
    if "://" in store and not store.startswith(SQLITE):
        return store
    path = Path(store.removeprefix(SQLITE))
    path = path / "mlflow.db" if path.is_dir() else path
    if not path.is_file():
        raise ConfigError("there is no mlflow.db: give the folder in which runs were recorded, such as demo")
    return f"{SQLITE}{path}"
