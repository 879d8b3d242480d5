"""Reports of a scoring, stored in a DICOMweb server when it has ended; the scores stay, whatever becomes of that."""

import os
from dataclasses import dataclass
from pathlib import Path
from threading import Event

from medmm.errors import ConfigError, DataError, MedmmError
from medmm.scoring.dicomweb.address import OF_STORE, OF_STUDIES, Address, Credentials, address_of, authorization, is_address
from medmm.scoring.dicomweb.spool import note_stored
from medmm.scoring.dicomweb.store import Store, Stored, store_folders
from medmm.scoring.sinks.dicom_object import FOLDERS

from .incoming import SPOOL
from .screen import Screen

MOST_TOLD = 20
"""Failures that are told one by one."""


@dataclass(frozen=True)
class Destination:
    """Where reports are stored.

    Attributes:
        address: Of the server.
        names: Of its credentials in the environment.
    """

    address: Address
    names: Credentials


def destination_of(studies: str, back: bool, to: str | None, *, insecure: bool = False) -> Destination | None:
    """Give the server in which reports are to be stored; None where they are not.

    Args:
        studies: What is scored.
        back: Whether to store in the server that `studies` names.
        to: Address of another server.
        insecure: Whether it may be reached in the clear.

    Raises:
        ConfigError: Both or neither of the servers is there, or an address or the credentials cannot be used.
    """
    if not back and to is None:
        return None
    if back and to is not None:
        raise ConfigError("--store and --store-to name two servers: give one of them")
    if to is None and not is_address(studies):
        raise ConfigError(
            "--store sends reports to the server that STUDIES names, but that is a folder: give --store-to ADDRESS"
        )
    found = Destination(address_of(to or studies, insecure=insecure), OF_STUDIES if to is None else OF_STORE)
    authorization(os.environ, found.names)
    return found


def store_reports(destination: Destination, out: Path, screen: Screen, stop: Event | None = None) -> Stored:
    """Store what a scoring has written of DICOM and the server has not been given yet.

    Raises:
        ConfigError: The server refuses us, cannot be trusted, or stands elsewhere.
        DataError: Some studies could not be stored; which ones and why was told before.
    """
    with Store(destination.address, destination.names, stop) as store, screen.step("storing reports") as step:
        done = store_folders(store, destination.address, [out / name for name in FOLDERS.values()], out, step)
    if destination.names == OF_STUDIES:
        for uid, number in done.studies.items():
            note_stored(out / SPOOL, uid, number)
    screen.say(
        f"{sum(done.studies.values())} reports stored in the DICOMweb server, of {len(done.studies)} studies"
        + (f"; {done.known} stored before" if done.known else "")
    )
    for one in done.failed[:MOST_TOLD]:
        screen.say(f"not stored: the report {one.uid}: {one.why}")
    if done.failed:
        raise DataError(
            f"the reports of {done.studies_failed} studies were not stored ({len(done.failed)} objects): "
            "look why above, then give the command again; the scores are written, and what was stored is not sent again"
        )
    return done


def store_meanwhile(destination: Destination | None, out: Path, screen: Screen) -> None:
    """Store what there is while more studies are waited for; what fails is told, and tried again the next time."""
    if destination is None:
        return
    try:
        store_reports(destination, out, screen)
    except MedmmError as reason:
        screen.say(str(reason))
