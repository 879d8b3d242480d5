"""The explanation of one study, as one object over all of its inputs. C answers."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np

from medmm.dataset.decode import prepare_study
from medmm.errors import Code, ConfigError, DataError, Rejected
from medmm.evaluation.answers import PREFIXES, foremost
from medmm.evaluation.decision import decide
from medmm.evaluation.shapley import shapley
from medmm.explanation.cells import TableShare, explain_cells
from medmm.explanation.images import ImageMethod, ImageShare, explain_image
from medmm.explanation.neighbours import Neighbour
from medmm.explanation.signals import SignalShare, explain_signal
from medmm.explanation.voice import Voice
from medmm.explanation.words import NoteShare, explain_words, names_of
from medmm.inputs.base import Fields
from medmm.inputs.image import ImageInput
from medmm.inputs.signal import SignalInput
from medmm.inputs.tabular import TabularInput, with_checked_cells
from medmm.inputs.text import TextInput
from medmm.package import Package
from medmm.tables import nearest as nearest_name
from medmm.types import CLASS_TASKS, Array, Firing, Study

Noun: TypeAlias = Literal["probability", "predicted", "risk"]


@dataclass(frozen=True)
class AnswerLine:
    """One answer.

    Attributes:
        name: Of the class, the value, or the event with its horizon.
        value: After the rules.
        model: What the model alone says.
        threshold: At or above which the class is said; None where none decides.
        decided: Whether the class is said; None for values and risks.
    """

    name: str
    value: float
    model: float
    threshold: float | None
    decided: bool | None


@dataclass(frozen=True)
class Answer:
    """What is said of a study.

    Attributes:
        lines: C of them.
        column: Of the one that is explained.
        noun: What the numbers are.
        unit: Of a value.
        calibrated: Whether probabilities were calibrated on the validation studies.
        side: 1 where the model alone answers with the class that is explained (or above what it says without any input), -1
            where against it.
    """

    lines: tuple[AnswerLine, ...]
    column: int
    noun: Noun
    unit: str
    calibrated: bool
    side: float

    @property
    def explained(self) -> AnswerLine:
        """The line that is explained."""
        return self.lines[self.column]


@dataclass(frozen=True)
class InputShare:
    """What one input adds.

    Attributes:
        name: As the run file calls it.
        kind: Image, signal, tabular or text.
        adds: Shapley value over the inputs that are there, in log odds or in the unit of the value; None where it is absent.
    """

    name: str
    kind: str
    adds: float | None


@dataclass(frozen=True)
class Explanation:
    """Why a model says what it says of one study. It holds no identifier of a patient.

    Attributes:
        row: Number of the study in its table.
        model: Name of the run.
        digest: Of the package.
        task: What the answers mean.
        answer: What is said.
        start: What the model says with no input at all, in the scale of the shares; they lead from it to what it says.
        inputs: By how much each adds, then the absent ones.
        images, signals, tables, notes: What each input is made of.
        fired: Rules that fired.
        neighbours: The nearest training studies.
    """

    row: int
    model: str
    digest: str
    task: str
    answer: Answer
    start: float
    inputs: tuple[InputShare, ...]
    images: tuple[ImageShare, ...]
    signals: tuple[SignalShare, ...]
    tables: tuple[TableShare, ...]
    notes: tuple[NoteShare, ...]
    fired: tuple[Firing, ...]
    neighbours: tuple[Neighbour, ...]

    @property
    def scale(self) -> str:
        """What the shares are in."""
        return "log odds" if self.answer.noun != "predicted" else self.answer.unit or "units of the value"


def explain(
    package: Package,
    study: Study,
    *,
    image_method: ImageMethod = "occlusion",
    class_name: str | None = None,
    show_text: bool = False,
    near: Callable[[Array], tuple[Neighbour, ...]] = lambda _: (),
    images_alone: bool = False,
    seed: int = 0,
) -> Explanation:
    """Explain what a model says of a study, with the rules before and after it as at scoring.

    Args:
        package: The model.
        study: Gathered, from `find_studies`.
        image_method: How the maps of images and signals are made.
        class_name: Which answer to explain; None takes the class that is decided, or the last horizon.
        show_text: Give whole notes; the study's own identifiers are struck even so.
        near: Finds the nearest training studies of a representation (D,).
        images_alone: Look into no other inputs; the maps are the same.
        seed: Of the random orders.

    Raises:
        DataError: The study cannot be used; it says why.
        ConfigError: No such class, or the method does not suit an encoder.
    """
    book = package.rulebook()
    tabular = [one for one in package.inputs.values() if isinstance(one, TabularInput)]
    study = book.before(with_checked_cells(study, tabular)) if book.rules else study
    prepared = prepare_study(study, package.inputs)
    if isinstance(prepared, Rejected):
        raise DataError(str(prepared))
    if not prepared:
        raise DataError(str(Rejected(Code.NO_INPUT, study.key, "none of the inputs", "at least one", "export its data")))
    voice, answer, start, shares, fired = weigh_inputs(package, study, prepared, class_name)
    within = [name for name in prepared if not images_alone or isinstance(package.inputs[name], ImageInput)]
    parts = _parts(voice, study, prepared, within, answer, image_method, show_text, seed)
    return Explanation(
        study.row,
        package.name,
        package.digest,
        package.target.task,
        answer,
        start,
        shares,
        *parts,
        fired,
        near(voice.joint()),
    )


def weigh_inputs(
    package: Package, study: Study, prepared: Mapping[str, Fields], class_name: str | None = None
) -> tuple[Voice, Answer, float, tuple[InputShare, ...], tuple[Firing, ...]]:
    """Say what each input of a study adds, without looking into it.

    Args:
        package: The model.
        study: After the rules before the model.
        prepared: Fields of the inputs that it has, at least one.
        class_name: Which answer to explain; None takes the decided one.

    Returns:
        Who can be asked more, what is said, what would be said without any input, what each input adds, the strongest first,
        and the rules that fired.

    Raises:
        ConfigError: No such class.
    """
    voice = Voice(package, prepared, 0)
    model = voice.answers()
    (after, *_), (fired, *_) = package.rulebook().answers([study], model[None])
    voice.column = column = _column(package, after, class_name)
    values = voice.by_subset()
    start = float(values[frozenset()])
    answer = _answer(package, model, after, column, float(values[frozenset(prepared)]) - start)
    added = shapley(values)
    kinds = {name: one.settings.kind for name, one in package.inputs.items()}
    shares = [InputShare(name, kind, float(added[name]) if name in added else None) for name, kind in kinds.items()]
    shares.sort(key=lambda share: -np.inf if share.adds is None else abs(share.adds), reverse=True)
    return voice, answer, start, tuple(shares), fired


def _parts(
    voice: Voice,
    study: Study,
    prepared: Mapping[str, Fields],
    within: Collection[str],
    answer: Answer,
    method: ImageMethod,
    show_text: bool,
    seed: int,
) -> tuple[tuple[ImageShare, ...], tuple[SignalShare, ...], tuple[TableShare, ...], tuple[NoteShare, ...]]:
    names = names_of(study, voice.package.cohort)
    images, signals, tables, notes = [], [], [], []
    for place, name in enumerate(sorted(prepared)):
        if name not in within:
            continue
        one, evidence, rng = voice.package.inputs[name], study.evidence[name], np.random.default_rng([seed, study.row, place])
        if isinstance(one, ImageInput):
            images.append(explain_image(voice, one, one.read(evidence), method, answer.side, rng))
        elif isinstance(one, SignalInput):
            signals.append(explain_signal(voice, one, one.read(evidence), method, answer.side, rng))
        elif isinstance(one, TabularInput):
            tables.append(explain_cells(voice, one, evidence, answer.side, rng, names))
        elif isinstance(one, TextInput):
            notes.append(explain_words(voice, one, evidence, answer.side, rng, names, show_text=show_text))
    return tuple(images), tuple(signals), tuple(tables), tuple(notes)


def _answer(package: Package, model: Array, after: Array, column: int, rise: float) -> Answer:
    target = package.target
    classes = target.task in CLASS_TASKS
    decided = decide(after[None], package.thresholds, target.task)[0] if classes else None
    own = decide(model[None], package.thresholds, target.task)[0] if classes else None
    lines = [
        AnswerLine(
            name,
            float(after[i]),
            float(model[i]),
            float(package.thresholds[i]) if package.thresholds else None,
            None if decided is None else bool(decided[i]),
        )
        for i, name in enumerate(target.names)
    ]
    side = (1.0 if own[column] else -1.0) if own is not None else (1.0 if rise >= 0 else -1.0)
    noun: Noun = PREFIXES.get(target.task, "probability")  # type: ignore[assignment]
    return Answer(tuple(lines), column, noun, target.unit or "", package.model.criterion.tempered, side)


def _column(package: Package, answers: Array, class_name: str | None) -> int:
    """Choose what to explain: what is asked for, else the foremost answer."""
    names = package.target.names
    if class_name is None:
        return int(foremost(package.target, answers[None], package.thresholds)[0])
    if class_name not in names:
        raise ConfigError(f"the model has no answer {class_name!r}: {nearest_name(class_name, names)}")
    return names.index(class_name)
