"""`medmm deidentify`, as the command line says it."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from .screen import Screen


def deidentify(
    source: Annotated[Path, typer.Argument(help="Folder of the cohort: DICOM, NIfTI, tables, notes.", metavar="IN")],
    out: Annotated[Path, typer.Argument(help="Folder of the export, absent or empty.", metavar="OUT")],
    key: Annotated[
        Path,
        typer.Option(
            "--key",
            help="File of the secret that makes pseudonyms, UIDs and dates; made where it is absent. It leads back to every "
            "patient: keep it, apart from the export. The same key gives the same pseudonyms again.",
            metavar="FILE",
        ),
    ],
    quarantine: Annotated[
        Path | None,
        typer.Option(help="Also copy what stays behind to this folder, identifiers and all, to be looked at.", metavar="DIR"),
    ] = None,
    pixels_checked: Annotated[
        bool,
        typer.Option(
            "--pixels-checked",
            help="Let images pass that are at risk of text in their pixels (Q_RISK), for somebody has looked at them. Those "
            "whose header says that text is there never pass.",
        ),
    ] = False,
    keep: Annotated[
        list[str] | None,
        typer.Option(help="Column of tables that stays as it is, for you vouch for it; may be given again.", metavar="COLUMN"),
    ] = None,
    workers: Annotated[int | None, typer.Option(min=1, help="Processes; one a core where left out.")] = None,
) -> None:
    r"""Write a copy of a cohort without names, identifiers and dates. What cannot be cleaned stays behind and is listed.

    Of DICOM headers only what is on a list stays; UIDs and identifiers are replaced, everywhere by the same; the dates of a
    patient all move by the same number of days. Pixels stay as they are: what is written in them stays too, so images at risk
    of that stay behind. At the end every byte written is searched for what the headers say of the patients.

    medmm deidentify cohort cohort-clean --key ~/cohort.key --quarantine ~/to-look-at

    OUT/quarantine.csv says what stayed behind, and why, without a name. docs/deidentify.md says what is not promised.

    Exit status 1 where a table could not be read or does not say whose its rows are, for it stays behind, and where an
    identifier was found in what was written, for the files in which it was are taken out.
    """
    from .deidentify import deidentify as run

    screen = Screen(Console())
    done = run(source, out, key, screen, quarantine=quarantine, pixels_checked=pixels_checked, keep=keep or (), workers=workers)
    screen.say(f"{done.images} images of {done.patients} patients written: {out}")
    if done.tables is not None:
        screen.say(
            f"{done.tables.files} tables written: {done.tables.cells} cells, in {done.tables.struck} something struck, "
            f"{done.tables.shifted} dates moved, {done.tables.quarantined} notes and {done.tables.dropped_columns} columns "
            "left out"
        )
    reasons = ", ".join(f"{code}: {count}" for code, count in sorted(done.behind.items()))
    screen.say(
        f"{sum(done.behind.values())} files stay behind: {out / 'quarantine.csv'}" + (f" ({reasons})" if reasons else "")
    )
    screen.say("the key leads back to every patient: keep it apart from the export")
    if done.left:
        screen.say(f"in {done.left} files an identifier was still found; they were taken out again")
    unread = done.tables.unread if done.tables is not None else 0
    if unread:
        screen.say(f"{unread} tables stay behind, for which reasons stands above: mend them and export again")
    if done.left or unread:
        raise typer.Exit(1)
