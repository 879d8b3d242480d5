"""The command `medmm`: reads arguments, calls one function a job, says where the result lies.

Exit status: 0 done, 1 an error that the user can repair or a check that fails, 2 wrong usage, 70 a fault of the program, 130
interrupted. Of `compare-runs` 1 where the answer is no, of `monitor` 1 on alarm, and 2 for every error.
"""

import os
import select
import sys
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from typer.core import TyperGroup

from medmm.errors import MedmmError
from medmm.inert import visible
from medmm.privacy.foreign_words import TRACEBACK, in_one_line, withheld
from medmm.privacy.gate import GATE

from .arguments import ModelArgument, TrackingOption
from .cli_deidentify import deidentify
from .cli_monitor import monitor
from .cli_score import score
from .screen import Screen, with_interval

REPAIRABLE, FAULT, INTERRUPTED = 1, 70, 130
NOT_ACCEPTED, WRONG_USAGE = 1, 2
"""Of a command whose answer a pipeline goes by: status 1 is the answer no, whatever kept it from answering is status 2."""

TYPERS_OWN: tuple[type[BaseException], ...] = (
    typer.Exit,
    typer.Abort,
    next(one for one in typer.BadParameter.__mro__ if one.__name__ == "ClickException" and issubclass(one, BaseException)),
)
"""Exceptions by which typer ends a command; the last it brings along itself, or takes from click."""


class _Commands(TyperGroup):
    """Turns what the user can repair into one line and a status; wrong usage is typer's own to report."""

    def invoke(self, ctx: Any) -> Any:
        """Run the command that was asked for."""
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            text, status = "interrupted", INTERRUPTED
        except MedmmError as reason:
            if os.environ.get(TRACEBACK):
                raise
            text, status = str(reason), REPAIRABLE
        except OSError as reason:
            if isinstance(reason, BrokenPipeError) and _is_nobody_reading():
                raise typer.Exit(REPAIRABLE) from None  # in silence, as typer ends elsewhere
            if os.environ.get(TRACEBACK):
                raise
            cause = reason.strerror or type(reason).__name__  # never the path: it may hold a name
            text, status = f"the system refused a file or a connection ({cause}): check space, rights and address", REPAIRABLE
        except TYPERS_OWN:
            raise
        except Exception as reason:  # whatever it is, its words may hold a path, a cell or a name
            if os.environ.get(TRACEBACK):
                raise
            text, status = in_one_line(reason), FAULT
        finally:
            for line in GATE.told():
                sys.stderr.write(f"medmm: {visible(line)}\n")
        sys.stderr.write(f"medmm: {visible(text)}\n")
        raise typer.Exit(status)


def _is_nobody_reading() -> bool:
    """Tell whether the reader of our output has gone, as in `medmm --help | head`; what is left of it then goes nowhere."""
    look = select.poll()
    look.register(sys.stdout.fileno(), 0)
    if not any(event & select.POLLERR for _, event in look.poll(0)):
        return False
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return True


app = typer.Typer(
    cls=_Commands,
    name="medmm",
    help="Medical multimodal diagnosis: train on a folder of studies, score new ones, review the runs in MLflow.\n\n"
    "Start with: medmm demo. Research software, not a medical device.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)

ConfigArgument = Annotated[Path, typer.Argument(help="Run file (YAML); see configs/.", metavar="CONFIG")]
OverridesArgument = Annotated[
    list[str] | None, typer.Argument(help="Settings to put over the run file's: training.epochs=5", metavar="[KEY=VALUE]...")
]


@app.command()
def demo(
    out: Annotated[Path, typer.Option(help="Folder for cohort, runs and scores.")] = Path("demo"),
    patients: Annotated[int, typer.Option(min=80, help="Patients to make, train and test on.")] = 560,
) -> None:
    """Make a cohort, train, evaluate, package, register and score new studies: all jobs once, in some minutes."""
    from .demo import run_demo

    run_demo(out, patients, _screen())


@app.command()
def inspect(
    what: Annotated[Path, typer.Argument(help="Run file, or a folder with images.", metavar="CONFIG|DIR")],
    overrides: OverridesArgument = None,
    pixels: Annotated[
        bool,
        typer.Option(
            "--pixels",
            help="Decode the images of a run file too, to find copies and burned-in markers; a training reuses them.",
        ),
    ] = False,
    json_out: Annotated[Path | None, typer.Option("--json", help="Also write the answer to this file.")] = None,
    thumbnails: Annotated[
        Path | None,
        typer.Option(help="Also write a contact sheet of the images and signals to this HTML file.", metavar="FILE"),
    ] = None,
    html: Annotated[
        Path | None,
        typer.Option(help="Also write Table 1, the flow of patients and the leakage checks to this page.", metavar="FILE"),
    ] = None,
    tiles: Annotated[int, typer.Option(min=1, help="Images and signals of the contact sheet at most.")] = 200,
) -> None:
    """Show what is there: patients, studies, series taken and left, inputs present and absent, what is rejected, and why.

    The answer in JSON has a row for every series of every study; no identifier stands in it.
    """
    from medmm.config import load_config
    from medmm.errors import ConfigError
    from medmm.privacy.gate import write_answer, write_page

    from .inspect import inspect_config, inspect_folder, show
    from .thumbnails import write_thumbnails

    screen = _screen()
    if what.is_dir():
        answer = inspect_folder(what, screen)
    else:
        answer = inspect_config(load_config(what, overrides or []), screen, pixels)
    show(answer.sections, screen)
    if json_out is not None:
        write_answer(json_out, {name: section.plain() for name, section in answer.sections.items()})
        screen.say(f"written to {json_out}")
    if html is not None:
        if not answer.page:
            raise ConfigError("a folder has no Table 1: give --html with a run file")
        write_page(html, answer.page)
        screen.say(f"cohort: {html}")
    if thumbnails is not None:
        write_thumbnails(
            "Images of a folder" if what.is_dir() else "Images of a run", answer.subjects, tiles, thumbnails, screen
        )
        screen.say(f"contact sheet: {thumbnails}")


@app.command()
def train(
    config: ConfigArgument,
    overrides: OverridesArgument = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the interrupted run, from its last epoch.")] = False,
) -> None:
    """Validate, split, train, evaluate, package and register. Ctrl-C leaves a run that --resume goes on with."""
    from medmm.config import load_config

    from .train import show_trained
    from .train import train as run

    screen = _screen()
    settings = load_config(config, overrides or [])
    try:
        trained = run(settings, screen, resume=resume)
    except KeyboardInterrupt:
        screen.say(f"interrupted; go on with: medmm train {config} {' '.join([*(overrides or []), '--resume'])}")
        raise
    show_trained(trained, settings, screen)


@app.command()
def pretrain(
    config: ConfigArgument,
    overrides: OverridesArgument = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with the interrupted pretraining, from its last epoch.")
    ] = False,
) -> None:
    r"""Let the encoders learn from all studies without a label, before `medmm train`. No study of a test patient is read.

    Give the same run file as to `medmm train`: its split decides who the test patients are. Studies whose label is empty learn
    too. What is done is said under `pretraining:` in the run file, or here:

    pretraining.method=contrastive   which image, table and note belong to one study

    pretraining.method=masked        what was hidden of each image, table and note

    pretraining.method=both          the sum of the two, which is what is done where nothing is said

    pretraining.epochs=50 pretraining.batch_size=128

    It ends with the address of the encoders, for: medmm train CONFIG training.init=runs:/RUN_ID
    """
    from medmm.config import load_config

    from .pretrain import pretrain as run
    from .pretrain import show_pretrained

    screen = _screen()
    settings = load_config(config, overrides or [])
    command = " ".join([str(config), *(overrides or [])])
    try:
        pretrained = run(settings, screen, resume=resume)
    except KeyboardInterrupt:
        screen.say(f"interrupted; go on with: medmm pretrain {command} --resume")
        raise
    show_pretrained(pretrained, settings, command, screen)


@app.command()
def compare(
    config: ConfigArgument,
    overrides: OverridesArgument = None,
    fresh: Annotated[bool, typer.Option("--fresh", help="Train again what an earlier comparison trained.")] = False,
    html: Annotated[Path | None, typer.Option(help="Also write the page to this file.", metavar="FILE")] = None,
) -> None:
    r"""Is fusion worth it? Single inputs, classical models and fusions on the same folds of patients, and a verdict in words.

    Which fusions, folds and seeds is said under `compare:` in the run file, or here: 'compare.methods=\[late,concat]'
    compare.folds=3. After Ctrl-C the same command goes on where it stopped.
    """
    from medmm.config import load_config
    from medmm.privacy.gate import write_page

    from .compare import compare as run
    from .comparison import PAGE, comparison_page, figures_of, show_compared

    screen = _screen()
    settings = load_config(config, overrides or [])
    try:
        compared = run(settings, screen, fresh=fresh)
    except KeyboardInterrupt:
        screen.say(f"interrupted; the same command goes on: medmm compare {' '.join([str(config), *(overrides or [])])}")
        raise
    show_compared(compared.comparison, screen)
    if html is not None:
        write_page(html, comparison_page(settings, compared.comparison, figures_of(compared.comparison)))
        screen.say(f"page: {html}")
    screen.say(f"run: {compared.run_page} in `medmm ui`; its page is {PAGE} among the artifacts")


@app.command()
def evaluate(
    model: ModelArgument,
    config: ConfigArgument,
    overrides: OverridesArgument = None,
    html: Annotated[Path | None, typer.Option(help="Also write the report to this file.", metavar="FILE")] = None,
) -> None:
    """Evaluate a packaged model on the labelled studies of a cohort, with its own thresholds, and write the report."""
    from medmm.config import load_config
    from medmm.privacy.gate import write_page

    from .evaluate import evaluate_model
    from .evidence_page import PAGE

    screen = _screen()
    settings = load_config(config, overrides or [])
    evaluated = evaluate_model(model, settings, screen)
    rows = [
        (result.metric, result.class_name, with_interval(result.estimate), result.estimate.studies, result.estimate.patients)
        for result in evaluated.evaluation.results
    ]
    screen.table("Results, with 95 % intervals by patient", ("metric", "class", "value", "studies", "patients"), rows)
    if evaluated.own_cohort:
        screen.say("the model was trained on this cohort, so only its test studies were judged")
    else:
        screen.say(f"{evaluated.learned_from} studies left out of patients from whose images the model learned")
    screen.say(f"{evaluated.left_out} studies left out; `medmm inspect {config}` says why")
    if html is not None:
        write_page(html, evaluated.report)
        screen.say(f"report: {html}")
    screen.say(f"run: {evaluated.run_page} in `medmm ui`; {PAGE}, the model card and the checklists are among its artifacts")


@app.command("compare-runs")
def compare_runs(
    champion: Annotated[str, typer.Argument(help="The present model, as for `medmm evaluate`.", metavar="CHAMPION")],
    challenger: Annotated[str, typer.Argument(help="The new model.", metavar="CHALLENGER")],
    config: ConfigArgument,
    protocol: Annotated[Path, typer.Option(help="Acceptance criteria (YAML), fixed before anybody looks.", metavar="FILE")],
    overrides: OverridesArgument = None,
    html: Annotated[Path | None, typer.Option(help="Also write the page to this file.", metavar="FILE")] = None,
) -> None:
    r"""May a new model replace the present one? Both are judged on the studies that neither learned from, by a protocol.

    Exit status 0 where every criterion is met, 1 where one is not or cannot be judged, 2 where nothing could be judged at all.

    criteria:

    - {name: tells, metric: auroc, kind: at_least, value: 0.75}

    - {name: no_step_back, metric: auroc, kind: no_worse_by, value: 0.05}

    - {name: women, metric: sensitivity, kind: at_least, value: 0.7, subgroup: {column: sex, value: F}}
    """
    from medmm.config import load_config
    from medmm.privacy.gate import write_page

    from .compare_runs import PAGE, show_compared_runs
    from .compare_runs import compare_runs as run

    screen = _screen()
    try:
        compared = run(champion, challenger, load_config(config, overrides or []), protocol, screen)
    except MedmmError as reason:
        if os.environ.get(TRACEBACK):
            raise
        sys.stderr.write(f"medmm: {visible(reason)}\n")
        raise typer.Exit(WRONG_USAGE) from None
    show_compared_runs(compared, screen)
    if html is not None:
        write_page(html, compared.page)
        screen.say(f"page: {html}")
    screen.say(f"run: {compared.run_page} in `medmm ui`; its page is {PAGE} among the artifacts")
    if not compared.accepted:
        raise typer.Exit(NOT_ACCEPTED)


@app.command()
def audit(
    model: Annotated[
        str,
        typer.Argument(
            help="As for `medmm evaluate`, or the output folder of a run, which holds package/.", metavar="MODEL|RUN"
        ),
    ],
    config: Annotated[
        Path | None,
        typer.Argument(help="Run file (YAML); may be left out for a run's folder, which keeps it.", metavar="[CONFIG]"),
    ] = None,
    overrides: OverridesArgument = None,
    waive: Annotated[
        list[str] | None,
        typer.Option(help="Let a check fail, for a reason that the audit records; may be given again.", metavar="CHECK=REASON"),
    ] = None,
) -> None:
    r"""Do what `medmm evaluate` does, and make 25 checks of model and evidence. Exit status 0 only when none fails.

    Each check ends in one of: pass; fail, on evidence only; not applicable, and why; not enough data, with the patients it had
    and about how many it needs; waived, with the reason. Each gives a number with its 95 % interval by patient, where it
    measures one. All checks together raise a false alarm in at most 5 % of audits of a faultless model.

    The data: overlap, near_duplicates, time_order, label_in_text, label_in_table, label_in_missingness

    Shortcuts: shortcut, site_and_scanner, metadata_only, label_shuffle

    The numbers: intervals_by_patient, beats_each_input, thresholds_from_validation, operating_points, calibration,
    decision_curve, subgroups

    The inputs: missing_inputs, every_input_is_used, out_of_distribution, conformal_coverage, robustness

    The package: drift_reference, memorisation, record_complete

    A failure that is no fault is waived with its reason, here or in the run file:

    medmm audit runs/chest --waive "site_and_scanner=the sites differ in case mix, see the protocol"

    audit: {waive: {site_and_scanner: the sites differ in case mix}}
    """
    from medmm.config import load_config

    from .audit.run import audit_model, run_file, show_audit, waivers

    screen = _screen()
    if config is not None and "=" in str(config) and not config.is_file():  # CONFIG was left out
        config, overrides = None, [str(config), *(overrides or [])]
    settings = load_config(config or run_file(model), overrides or [])
    report = audit_model(model, settings, waivers(waive or []), screen)
    show_audit(report, screen)
    if report.failed:
        raise typer.Exit(REPAIRABLE)


@app.command()
def package(
    run: Annotated[
        str,
        typer.Argument(
            help="Output folder of a run, runs:/RUN_ID/model, models:/NAME@champion, or a package folder.", metavar="RUN"
        ),
    ],
    out: Annotated[Path, typer.Option(help="Folder of the package; must not exist.")],
    sign_key: Annotated[
        Path | None, typer.Option(help="Sign it with this private key (elliptic curve, PEM, no password).", metavar="FILE")
    ] = None,
    tracking: TrackingOption = "mlflow.db",
) -> None:
    """Fetch the package of a run, check it, and write it as a folder to hand on; with a key, signed.

    Every byte stays as the training wrote it, and so does the digest, unless the package has an older format.
    """
    from medmm.errors import ConfigError
    from medmm.training.tracking import TrackingSettings

    from .package import ADDRESSES, package_run, show_packaged
    from .ui import store_address

    screen = _screen()
    try:
        store = TrackingSettings(uri=store_address(tracking))
    except ConfigError:
        if run.startswith(ADDRESSES):
            raise
        store = None
    show_packaged(package_run(run, out, store, sign_key, screen), screen)


@app.command()
def verify(
    package: Annotated[str, typer.Argument(help="Package folder, or as for medmm score.", metavar="PACKAGE")],
    key: Annotated[Path | None, typer.Option(help="Public key (PEM) of who must have signed it.", metavar="FILE")] = None,
    tracking: TrackingOption = "mlflow.db",
) -> None:
    """Is a package what it says it is? Its bytes, its signature, whether it loads, and its golden samples on this machine.

    Exit status 0 where all of that holds, 1 with the reason where it does not. Nothing that a package brings along is run.
    """
    from medmm.training.tracking import TrackingSettings

    from .package import ADDRESSES, verify_model
    from .ui import store_address

    uri = store_address(tracking) if package.startswith(ADDRESSES) else tracking
    verify_model(package, TrackingSettings(uri=uri), key, _screen())


app.command()(score)
app.command()(monitor)

app.command()(deidentify)


@app.command()
def export(
    model: ModelArgument,
    out: Annotated[Path, typer.Option(help="File to write; FILE.json beside it says how to use it.", metavar="FILE")],
    format_name: Annotated[
        str, typer.Option("--format", help="onnx (FILE.onnx, for onnxruntime) or torch_export (FILE.pt2).", metavar="FORMAT")
    ] = "onnx",
    tracking: TrackingOption = "mlflow.db",
) -> None:
    """Write the network of a model for other programs: prepared tensors of any of its inputs in, logits out.

    What was written is run and compared with the model before it gets its name. Reading the data, calibration, thresholds and
    rules stay with the package; FILE.json says how to do the first three.
    """
    from medmm.training.tracking import TrackingSettings

    from .export import export_model
    from .ui import store_address

    uri = store_address(tracking) if model.startswith(("models:/", "runs:/")) else tracking
    export_model(model, format_name, out, TrackingSettings(uri=uri), _screen())


@app.command()
def explain(
    model: ModelArgument,
    studies: Annotated[
        Path,
        typer.Argument(help="As for medmm score: a folder with a studies table, that table, or records.", metavar="STUDIES"),
    ],
    study: Annotated[list[int], typer.Option(min=1, help="Row of a study in the table, from 1; may be given again.")],
    out: Annotated[Path, typer.Option(help="Folder for study_ROW.html, its pictures and study_ROW.json.")],
    class_name: Annotated[
        str | None, typer.Option("--class", help="Answer to explain; the decided one where left out.", metavar="NAME")
    ] = None,
    image_method: Annotated[
        str, typer.Option(help="occlusion, integrated_gradients, or grad_cam for convolutional encoders.")
    ] = "occlusion",
    show_text: Annotated[
        bool,
        typer.Option("--show-text", help="Show whole notes. They may name a person; only the study's own names are struck."),
    ] = False,
    tracking: TrackingOption = "mlflow.db",
) -> None:
    """Why does the model say that? One page a study: what each input, region, stretch, cell and word adds, and a test.

    No identifier of a patient stands in it. Of a note only the words that add most are shown, and only those that are words of
    several patients; --show-text shows all of it.
    """
    from medmm.explanation.images import IMAGE_METHODS
    from medmm.training.tracking import TrackingSettings

    from .explain import Asked, explain_studies, in_short
    from .ui import store_address

    methods = {name: name for name in IMAGE_METHODS}
    if image_method not in methods:
        raise typer.BadParameter(f"one of {', '.join(methods)}", param_hint="--image-method")
    screen = _screen()
    uri = store_address(tracking) if model.startswith(("models:/", "runs:/")) else tracking
    asked = Asked(study, class_name, methods[image_method], show_text)
    for one in explain_studies(model, studies, asked, out, TrackingSettings(uri=uri), screen):
        screen.say(f"{in_short(one)}: {out / f'study_{one.row}.html'}")


rules_app = typer.Typer(help="Clinical rules of a run: before the model, in training, after it.", no_args_is_help=True)
app.add_typer(rules_app, name="rules")


@rules_app.command("check")
def check_rules(
    file: Annotated[Path, typer.Argument(help="Run file with rules, or a file of rules alone.", metavar="FILE")],
    count: Annotated[
        bool, typer.Option("--count", help="Also count the studies for which each rule fires; reads the tables of a run file.")
    ] = False,
) -> None:
    r"""Check rules, run their tests, and say each rule in words. A wrong rule is shown by line and column.

    A rule of the run file, or of a file of rules, with a test:

    - name: septic_shock
      when: all(labs.lactate >= 4 mmol/L, not(labs.ward is "dialysis"))
      then: {floor: {probability: 0.8}}
      tests:
        - {given: {labs.lactate: 5 mmol/L, labs.ward: icu}, probability: 0.2, becomes: 0.8}
    """
    from medmm.rules.faults import RulesError

    from .rules import check, show_checked

    screen = _screen()
    try:
        failed = show_checked(check(file, count=count), screen)
    except RulesError as problem:
        sys.stderr.write("".join(f"medmm: {line}\n{excerpt}\n" for line, excerpt in problem.explained()))
        raise typer.Exit(REPAIRABLE) from None
    if failed:
        raise typer.Exit(REPAIRABLE)


@app.command()
def ui(
    store: Annotated[str, typer.Argument(help="Folder with mlflow.db, that file, or the address of a store.")] = ".",
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port on 127.0.0.1.")] = 5000,
) -> None:
    """Start MLflow's UI on the store of the runs, on this machine only."""
    from .ui import serve

    raise typer.Exit(serve(store, port, _screen()))


def main() -> None:
    """Run the command."""
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # read when torch loads; idle threads must not take busy cores
    with withheld():
        try:
            app()
        except (SystemExit, KeyboardInterrupt):
            raise
        except BaseException as reason:  # a decoder may panic with what is no Exception
            if os.environ.get(TRACEBACK):
                raise
            sys.stderr.write(f"medmm: {in_one_line(reason)}\n")
            sys.exit(FAULT)


def _screen() -> Screen:
    return Screen(Console())
