"""`medmm explain`: why a packaged model says what it says of some studies, a page each."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from medmm.cohort.target import TargetSettings
from medmm.errors import DataError
from medmm.explanation.images import ImageMethod
from medmm.explanation.neighbours import Neighbour, nearest
from medmm.explanation.page import said, study_page
from medmm.explanation.pictures import NO_BETTER, draw, png
from medmm.explanation.record import plain
from medmm.explanation.study import Explanation, explain
from medmm.explanation.traces import draw_segments
from medmm.files import is_safe_name, write_bytes
from medmm.package import Package, load_package
from medmm.privacy.gate import GATE, write_answer, write_page
from medmm.registry import fetched
from medmm.scoring.studies import find_studies
from medmm.training.tracking import TrackingSettings
from medmm.types import Array, Study

from .screen import Screen


@dataclass(frozen=True)
class Asked:
    """How studies are to be explained.

    Attributes:
        rows: Numbers of the studies in their table.
        class_name: The answer to explain; None takes the decided one.
        image_method: How maps of images and signals are made.
        show_text: Whether notes are shown as a whole.
    """

    rows: Sequence[int]
    class_name: str | None = None
    image_method: ImageMethod = "occlusion"
    show_text: bool = False


def explain_studies(
    model: str, place: Path, asked: Asked, out: Path, tracking: TrackingSettings, screen: Screen
) -> list[Explanation]:
    """Explain some studies, each as `study_ROW.html` with its pictures and `study_ROW.json`.

    Raises:
        MedmmError: Something that the user can repair; such as a row that the table has not.
    """
    screen.say("loading the model ...")
    with fetched(model, tracking) as folder:
        package = load_package(folder)
    screen.say("reading tables and image headers ...")
    found = {study.row: study for study in find_studies(package, place, screen.say)}  # without a memory: it would hold names
    if not asked.show_text:  # which is asked for to see the notes as they stand
        GATE.remember(found[row] for row in asked.rows if row in found)
    if missing := [row for row in asked.rows if row not in found]:
        raise DataError(f"the studies table has {len(found)} rows, but no row {missing[0]}: give a number from 1 on")
    made = []
    with screen.step("explaining") as step:
        for done, row in enumerate(dict.fromkeys(asked.rows)):
            made.append(explain_study(package, found[row], asked))
            write_explanation(made[-1], out)
            step(done + 1, len(asked.rows))
    return made


def explain_study(package: Package, study: Study, asked: Asked) -> Explanation:
    """Explain one study, with the training studies that lie nearest where the package knows them."""
    return explain(
        package,
        study,
        image_method=asked.image_method,
        class_name=asked.class_name,
        show_text=asked.show_text,
        near=lambda joint: _near(package, joint),
    )


def write_explanation(one: Explanation, out: Path) -> None:
    """Write page, pictures and record of a study; their names hold its row and the names of inputs alone."""
    pictures = {share.name: png(draw(share, NO_BETTER if share.deletion.passed is False else "")) for share in one.images}
    for number, (name, content) in enumerate(pictures.items()):
        write_bytes(out / f"study_{one.row}_{name if is_safe_name(name) else f'image_{number + 1}'}.png", content)
    for number, signal in enumerate(one.signals):
        name = signal.name if is_safe_name(signal.name) else f"signal_{number + 1}"
        for segment, svg in draw_segments(signal, one.scale).items():
            which = f"_{segment + 1}" if len(signal.map) > 1 else ""
            write_page(out / f"study_{one.row}_{name}{which}.svg", svg)
    write_page(out / f"study_{one.row}.html", study_page(one, pictures))
    write_answer(out / f"study_{one.row}.json", plain(one))


def in_short(one: Explanation) -> str:
    """Say in a line what was found: the answer, the input that adds most, and tests that were not passed."""
    line, most = one.answer.explained, one.inputs[0]
    parts = [f"study in row {one.row}: {line.name} {said(line, one.answer)}"]
    if most.adds is not None:
        parts.append(f"most by {most.name} ({most.adds:+.2f} {one.scale})")
    tests = {share.name: share.deletion for share in one.images}
    tests |= {share.name: share.deletion for share in one.signals}
    tests |= {share.name: share.deletion for share in one.tables}
    tests |= {share.name: share.deletion for share in one.notes}
    failed = [name for name, test in tests.items() if test.passed is False]
    if failed:
        parts.append(f"did not pass the deletion test: {', '.join(failed)}")
    return ", ".join(parts)


def _near(package: Package, joint: Array) -> tuple[Neighbour, ...]:
    """Look the nearest training studies up in what the package keeps of them, if it keeps any."""
    if package.references is None:
        return ()
    known = package.references.neighbours
    return nearest(joint, known.joint, known.rows, labels=[label_in_words(package.target, label) for label in known.labels])


def label_in_words(target: TargetSettings, label: Array) -> str:
    """Say a recorded target (T,) in words; "" where it is not known."""
    values = [float(one) for one in label]
    if any(value != value for value in values):  # noqa: PLR0124 - NaN
        return ""
    if target.task == "regression":
        return f"{values[0]:.4g} {target.unit or ''}".strip()
    if target.task == "survival":
        return f"{'event' if values[1] else 'no event'} by {values[0]:.4g} {target.unit or ''}".strip()
    told = [name for name, value in zip(target.names, values, strict=True) if value]
    return (
        ", ".join(told) if told else f"none of {', '.join(target.names)}" if len(target.names) > 1 else f"no {target.names[0]}"
    )
