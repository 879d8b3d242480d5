"""The command `medmm monitor`: its options, and what it says at the end."""

import os
import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from medmm.errors import MedmmError

from .arguments import TrackingOption
from .screen import Screen

ALARM, UNANSWERED = 1, 2
"""A pipeline goes by the answer: 1 is an alarm, whatever kept the command from answering is 2."""

LEAST_ALPHA = 0.002
"""Of it drift gets two fifths at least, and the smallest p of its draws is 0.0005."""

ADDRESSES = ("models:/", "runs:/")


def monitor(
    scores: Annotated[Path, typer.Argument(help="Output folder of `medmm score`.", metavar="SCORES")],
    package: Annotated[
        str, typer.Option(help="The model that scored them: an address or a package folder, as for `medmm score`.", metavar="P")
    ],
    since: Annotated[
        str | None,
        typer.Option(help="Studies scored from then on: 2026-11-27, 2026-11-27T06:00 (UTC), 7d or 24h ago.", metavar="TIME"),
    ] = None,
    until: Annotated[str | None, typer.Option(help="Studies scored before that.", metavar="TIME")] = None,
    labels: Annotated[
        Path | None,
        typer.Option(help="Table with study_id and the columns of the target: the truth, where known.", metavar="TABLE"),
    ] = None,
    alpha: Annotated[float, typer.Option(min=LEAST_ALPHA, max=0.5, help="Chance of any false alarm of one look.")] = 0.05,
    out: Annotated[
        Path | None, typer.Option(help="Folder for monitor.html and monitor.json; SCORES where left out.", metavar="DIR")
    ] = None,
    tracking: TrackingOption = "mlflow.db",
    record: Annotated[bool, typer.Option("--record/--no-record", help="Keep numbers and page as a run in MLflow.")] = True,
) -> None:
    r"""Is the model in use still shown what it was validated on? Drift, rejected studies and, with labels, calibration.

    Answers, presence of inputs and what they look like to the model are compared with validation studies that the package
    holds. Exit status 0 without an alarm, 1 with one, 2 where nothing could be answered. With fewer than 30 studies there is no
    verdict on drift, and no alarm.

    Every night, of the last day:

    medmm monitor scores/ --package models:/chest@champion --since 24h --alpha 0.01 || mail -s drift pacs-team

    Once the truth is known:

    medmm monitor scores/ --package models:/chest@champion --since 90d --labels diagnoses.csv
    """
    from datetime import UTC, datetime

    from medmm.monitoring.window import Span, moment
    from medmm.training.tracking import TrackingSettings

    from .monitor import NUMBERS, PAGE, show_monitored
    from .monitor import monitor as run
    from .monitored import Asked
    from .ui import store_address

    screen, place = Screen(Console()), out or scores
    try:
        now = datetime.now(UTC)
        limits = (("--since", since), ("--until", until))
        span = Span(*(moment(text, now, option) if text else None for option, text in limits))
        uri = store_address(tracking) if record or package.startswith(ADDRESSES) else tracking
        answer, page = run(scores, package, place, TrackingSettings(uri=uri), screen, Asked(span, labels, alpha, record))
    except (MedmmError, OSError) as reason:
        if os.environ.get("MEDMM_TRACEBACK"):
            raise
        said = (
            str(reason) if isinstance(reason, MedmmError) else f"the system refused a file or a connection ({reason.strerror})"
        )
        sys.stderr.write(f"medmm: {said}\n")
        raise typer.Exit(UNANSWERED) from None
    show_monitored(answer, screen)
    screen.say(f"page: {place / PAGE}, numbers: {place / NUMBERS}")
    if page:
        screen.say(f"run: {page} in `medmm ui`")
    if answer.alarms:
        raise typer.Exit(ALARM)
