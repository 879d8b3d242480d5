"""The command `medmm score`: its options, and what it says at the end."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from .arguments import ModelArgument, TrackingOption
from .screen import Screen

SERVER, WATCH, MACHINES, MANNER = "Studies of a DICOMweb server", "Waiting for studies", "Several machines", "How to score"
STORE, EHR = "Reports stored in a DICOMweb server", "Identifiers in the report fhir"


def score(
    model: ModelArgument,
    studies: Annotated[
        str,
        typer.Argument(
            help="Folder with a studies table, that table, a folder of records or DICOM alone, or a DICOMweb server's address.",
            metavar="STUDIES",
        ),
    ],
    out: Annotated[Path, typer.Option(help="Folder for scores, rejected and violations.")],
    tracking: TrackingOption = "mlflow.db",
    retry_rejected: Annotated[bool, typer.Option("--retry-rejected", help="Try rejected studies again.")] = False,
    accept_rejects: Annotated[
        bool, typer.Option("--accept-rejects", help="Go on where most of the first studies are rejected.")
    ] = False,
    key: Annotated[
        Path | None, typer.Option(help="Public key (PEM) of who must have signed the package.", metavar="FILE")
    ] = None,
    format_: Annotated[
        str,
        typer.Option("--format", help="parquet, or csv without a cell that a spreadsheet computes.", rich_help_panel=MANNER),
    ] = "parquet",
    also: Annotated[
        list[str] | None,
        typer.Option(
            help="A report beside the tables, and again for each further one: worklist (a page by risk, with pictures), fhir "
            "(for an EHR), dicom-sr (a structured report a study), saliency (a DICOM picture of what the model looked at).",
            rich_help_panel=MANNER,
        ),
    ] = None,
    patient_system: Annotated[
        str | None,
        typer.Option(
            metavar="URI",
            help="Number range of the patients' identifiers, as urn:oid:2.999.1; without it a FHIR server cannot match them.",
            rich_help_panel=EHR,
        ),
    ] = None,
    study_system: Annotated[
        str | None, typer.Option(metavar="URI", help="Number range of the studies' identifiers.", rich_help_panel=EHR)
    ] = None,
    contributions: Annotated[
        bool,
        typer.Option(
            "--contributions/--no-contributions", help="Say what each input adds; without it is faster.", rich_help_panel=MANNER
        ),
    ] = True,
    workers: Annotated[
        int | None,
        typer.Option(
            min=0, help="Processes that decode, with Ray of each model; one a core where left out.", rich_help_panel=MANNER
        ),
    ] = None,
    batch_size: Annotated[
        str | None,
        typer.Option(
            metavar="auto|N",
            help="Studies that the network sees at once, auto for as many as a GPU holds; where left out what the package "
            "says, with which scores are the same to the bit in any company.",
            rich_help_panel=MANNER,
        ),
    ] = None,
    precision: Annotated[
        str, typer.Option(help="fp32, bf16 or int8 (on CPUs); what it does to answers is said.", rich_help_panel=MANNER)
    ] = "fp32",
    compiled: Annotated[
        bool, typer.Option("--compile", help="Compile the network, which takes minutes at first.", rich_help_panel=MANNER)
    ] = False,
    watch: Annotated[
        bool, typer.Option("--watch", help="Wait for more studies until SIGTERM or Ctrl-C.", rich_help_panel=WATCH)
    ] = False,
    settle: Annotated[
        float,
        typer.Option(min=0, help="Seconds without a change after which a study is complete.", rich_help_panel=WATCH),
    ] = 30.0,
    poll: Annotated[
        float | None,
        typer.Option(min=0.1, help="Seconds between two looks; 5 at a folder, 60 at a server.", rich_help_panel=WATCH),
    ] = None,
    modality: Annotated[
        list[str] | None,
        typer.Option(help="Studies with such a series; those of the model where left out.", rich_help_panel=SERVER),
    ] = None,
    first: Annotated[
        str | None, typer.Option("--from", help="First study date, as 2024-05-31.", rich_help_panel=SERVER)
    ] = None,
    last: Annotated[str | None, typer.Option("--to", help="Last study date.", rich_help_panel=SERVER)] = None,
    max_studies: Annotated[int | None, typer.Option(min=1, help="So many studies at most.", rich_help_panel=SERVER)] = None,
    insecure_http: Annotated[
        bool,
        typer.Option(
            "--insecure-http", help="Let images and passwords cross the network in the clear.", rich_help_panel=SERVER
        ),
    ] = False,
    store: Annotated[
        bool,
        typer.Option(
            "--store", help="Store DICOM reports in the server that STUDIES names, beside the images.", rich_help_panel=STORE
        ),
    ] = False,
    store_to: Annotated[
        str | None,
        typer.Option(
            metavar="ADDRESS",
            help="Store them in this server; its credentials: MEDMM_STORE_TOKEN, or MEDMM_STORE_USER and MEDMM_STORE_PASSWORD.",
            rich_help_panel=STORE,
        ),
    ] = None,
    shard: Annotated[
        str | None,
        typer.Option(
            metavar="I/N", help="Score part I of N; the last part to end writes the results.", rich_help_panel=MACHINES
        ),
    ] = None,
    ledger: Annotated[
        str,
        typer.Option(
            help="Where rows are kept: sqlite, partitions (for shared disks), or auto, which looks at the disk.",
            rich_help_panel=MACHINES,
        ),
    ] = "auto",
    engine: Annotated[
        str, typer.Option(help="local, or ray for many machines; both give the same rows.", rich_help_panel=MACHINES)
    ] = "local",
    ray_address: Annotated[
        str | None,
        typer.Option(
            help="HOST:PORT of a Ray cluster's head node, which must ask for a token; one is started here where left out.",
            envvar="RAY_ADDRESS",
            rich_help_panel=MACHINES,
        ),
    ] = None,
    ray_actors: Annotated[
        int | None,
        typer.Option(min=1, help="Most models at a time on a Ray cluster that grows with its load.", rich_help_panel=MACHINES),
    ] = None,
) -> None:
    """Score studies: a row a study in scores, or in rejected with the reason; each .parquet, or .csv.

    A study is scored once, however often the command is killed and started again, and by however many at once.
    The result violations lists the cells of the tables that are not as the model expects, by row.

    With --store or --store-to the report dicom-sr is written, too. See docs/clinic.md.

    Credentials of a DICOMweb server are taken from MEDMM_DICOMWEB_TOKEN, or MEDMM_DICOMWEB_USER and MEDMM_DICOMWEB_PASSWORD.
    """
    from medmm.workers import get_ready

    if engine == "local":
        get_ready(["medmm.workflows.cli", "medmm.dataset.decode"])  # while this process loads the model
    from medmm.scoring.dicomweb.address import is_address
    from medmm.scoring.dicomweb.listing import Search
    from medmm.scoring.engine import Options
    from medmm.scoring.ray_cluster import Cluster
    from medmm.scoring.watching import Pace
    from medmm.training.tracking import TrackingSettings

    from .incoming import Coming, days_of
    from .score import Manner, ranges_asked, score_studies, tile_asked
    from .store import destination_of, store_reports
    from .ui import store_address

    screen = Screen(Console())
    uri = store_address(tracking) if model.startswith(("models:/", "runs:/")) else tracking
    destination = destination_of(studies, store, store_to, insecure=insecure_http)
    insecure = insecure_http and (is_address(studies) or destination is None)  # else it is for --store-to alone
    pace = Pace(settle, poll or (60.0 if is_address(studies) else 5.0)) if watch else None
    manner = Manner(
        options=Options(
            tile=tile_asked(batch_size), workers=workers, contributions=contributions, precision=precision, compiled=compiled
        ),
        sink=format_,
        also=tuple(dict.fromkeys(also or ())),
        key=key,
        engine=engine,
        cluster=Cluster(ray_address, ray_actors),
        shard=shard,
        ledger=ledger,
        retry_rejected=retry_rejected,
        accept_rejects=accept_rejects,
        coming=Coming(pace, Search(tuple(modality or ()), *days_of(first, last), max_studies), insecure),
        destination=destination,
        ranges=ranges_asked(patient_system, study_system, also or ()),
    )
    scored = score_studies(model, studies, out, TrackingSettings(uri=uri), screen, manner)
    if scored.waits:
        screen.say(
            f"this shard has ended, but not {', '.join(map(str, scored.waits))}: the last one to end writes the results; "
            f"{scored.scored} studies scored and {sum(scored.rejected.values())} rejected so far"
        )
        return
    screen.say(f"{scored.scored} studies scored: {out / f'scores.{format_}'}")
    if scored.fired:
        screen.say("rules fired: " + ", ".join(f"{name}: {count}" for name, count in scored.fired.items()))
    reasons = ", ".join(f"{code.value}: {count}" for code, count in sorted(scored.rejected.items()))
    screen.say(
        f"{sum(scored.rejected.values())} rejected: {out / f'rejected.{format_}'}" + (f" ({reasons})" if reasons else "")
    )
    screen.say(f"digest of all rows but for the time: {scored.digest}")
    if destination is not None:
        store_reports(destination, out, screen)
