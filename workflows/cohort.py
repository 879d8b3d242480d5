"""From the run file to studies that are ready to learn from: found, split, checked for leaks, fitted, prepared, described."""

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from medmm.cohort.flow import NO_INPUT, NO_LABEL
from medmm.cohort.headers import HEADERS
from medmm.cohort.leakage import Finding, idle_waivers, refuse_leaks
from medmm.cohort.manifest import Manifest, make_manifest
from medmm.cohort.persons import Persons
from medmm.cohort.proof import Proof
from medmm.cohort.split import PARTS, Split, prove, split_studies, without_label
from medmm.cohort.studies import Sources, read_studies
from medmm.cohort.table_one import without_rare
from medmm.config import RunConfig
from medmm.dataset.cache import PreparedInput, prepare_input
from medmm.errors import ConfigError, DataError, Rejected
from medmm.files import json_text
from medmm.fusion.late import LateSettings
from medmm.inputs import Inputs, gather
from medmm.inputs.base import Input
from medmm.inputs.image import ImageSettings
from medmm.inputs.tabular import TabularInput, with_checked_cells
from medmm.privacy.gate import GATE
from medmm.start import Start
from medmm.types import Array, Study

from .cut_notes import tell_cut_notes
from .leaks import Series, across, notes_of, persons_of, series_of, telling
from .screen import Screen
from .start import open_start, people_of, refuse_seen, tell_taken
from .violations import tell_violations

UNLABELLED = "unlabelled"
"""Part of the studies that learn without a label, in the table of a run's studies."""


@dataclass(frozen=True)
class Cohort:
    """Studies that are ready.

    Attributes:
        config: The run file, with what it leaves to the size of the cohort filled in.
        studies: All rows of the studies table, gathered.
        left_out: Index of a study that is not used -> why, in a word.
        split: Of the studies that are used.
        taught: Indices of the training studies, whatever inputs they have: by their labels a loss knows classes and scale.
        inputs: Fitted on the training studies.
        prepared: Every input of all studies.
        target: (S, C) of all studies, NaN where there is no label.
        manifest: What went in.
        proof: What the run can show for its split.
        unlabelled: Indices of studies without a label that learn beside those of the split; empty where nobody asked for them.
        people: Who is in the export and who in the test part, as `people_of` has it.
        start: Encoders that the run starts from; None where it starts from scratch.
    """

    config: RunConfig
    studies: tuple[Study, ...]
    left_out: Mapping[int, str]
    split: Split
    taught: tuple[int, ...]
    inputs: Inputs
    prepared: Mapping[str, PreparedInput]
    target: Array
    manifest: Manifest
    proof: Proof
    unlabelled: tuple[int, ...] = ()
    people: Mapping[str, str] = field(default_factory=dict)
    start: Start | None = None

    def sides(self) -> dict[int, str]:
        """Give the part of each study that is in use."""
        return {i: part for part, rows in self.split.parts.items() for i in rows}

    def only(self, name: str) -> "Cohort":
        """Give the cohort as if it had one input, with the studies that have it; its encoder and one head need no fusion."""
        has = self.prepared[name].place[:, 0] >= 0
        parts = {part: tuple(i for i in rows if has[i]) for part, rows in self.split.parts.items()}
        model = self.config.model.model_copy(update={"fusion": LateSettings()})
        return replace(
            self,
            config=self.config.model_copy(update={"model": model}),
            split=prove(self.studies, parts),
            inputs={name: self.inputs[name]},
            prepared={name: self.prepared[name]},
            unlabelled=tuple(i for i in self.unlabelled if has[i]),
        )


def find(config: RunConfig, sources: Sources) -> tuple[tuple[Study, ...], dict[int, str]]:
    """Find the studies of a run and their inputs, without decoding images; and which cannot be used, and why, in a word.

    Args:
        config: The run.
        sources: Its export.

    Raises:
        ConfigError: An input reads the target.
        DataError: A table, column or folder is missing.
    """
    inputs = {name: settings.open(name) for name, settings in config.inputs.items()}
    for name, one in inputs.items():
        if named := set(config.target.columns) & set(one.study_columns(config.cohort)):
            raise ConfigError(f"inputs.{name} reads {min(named)!r} of the studies table, which is the target: leave it out")
    gathered = gather(inputs, sources, read_studies(sources, config.target))
    GATE.remember(gathered)
    tabular = [one for one in inputs.values() if isinstance(one, TabularInput)]
    book = config.rulebook()
    for column in book.study_columns():
        sources.table(config.cohort.studies, [column])  # refuses a rule that could never fire
    if config.intended_use.age_column is not None:
        sources.table(config.cohort.studies, [config.intended_use.age_column])
    studies = tuple(book.before(with_checked_cells(study, tabular)) for study in gathered)
    left_out: dict[int, str] = {}
    for i, study in enumerate(studies):
        if study.rejected:
            left_out[i] = next(iter(study.rejected.values())).code.value
        elif study.label is None:
            left_out[i] = NO_LABEL
        elif not study.evidence:
            left_out[i] = NO_INPUT
    return studies, left_out


@dataclass(frozen=True)
class Intake:
    """Studies of which all is known that needs no fitting.

    Attributes:
        studies: All rows of the studies table, gathered, the identifiers of one person joined.
        left_out: Index of a study that cannot be used -> why, in a word.
        series: Of image inputs.
        images: Image inputs, prepared; empty where pixels were not looked at.
        persons: Who stands under several identifiers.
        unlabelled: Whether studies without a label are to learn too; their images are prepared then.
    """

    studies: tuple[Study, ...]
    left_out: Mapping[int, str]
    series: Series
    images: Mapping[str, PreparedInput]
    persons: Persons
    unlabelled: bool = False

    @property
    def unusable(self) -> dict[int, str]:
        """Index of a study that not even learns without a label -> why, in a word."""
        return unusable(self.studies, self.left_out, unlabelled=self.unlabelled)


def take_in(
    config: RunConfig, sources: Sources, images: Iterable[Input[object]], screen: Screen, *, unlabelled: bool = False
) -> Intake:
    """Find the studies of a run, decode their images, and find out who is who.

    Args:
        config: The run.
        sources: Its export.
        images: Image inputs, which learn nothing, so that they may be looked at before the split.
        screen: Shows progress.
        unlabelled: Prepare the images of studies without a label too.
    """
    studies, left_out = find(config, sources)
    prepared: dict[str, PreparedInput] = {}
    for one in images:
        prepared[one.name] = prepare_one(config, one, studies, unusable(studies, left_out, unlabelled=unlabelled), screen)
        left_out |= {i: reason.code.value for i, reason in prepared[one.name].rejected.items()}
    series = series_of(config, sources, studies)
    persons = persons_of(config, studies, series, prepared)
    return Intake(_joined(studies, persons, config), left_out, series, prepared, persons, unlabelled)


def unusable(studies: Sequence[Study], left_out: Mapping[int, str], *, unlabelled: bool) -> dict[int, str]:
    """Give the studies that are left out, without those that can learn without a label where `unlabelled`."""
    return {i: why for i, why in left_out.items() if not (unlabelled and why == NO_LABEL and studies[i].evidence)}


def prepare_one(
    config: RunConfig, one: Input[object], studies: Sequence[Study], left_out: Mapping[int, str], screen: Screen
) -> PreparedInput:
    """Prepare one input of the studies that are not left out."""
    kept = [study if i not in left_out else replace(study, evidence={}) for i, study in enumerate(studies)]
    with screen.step(f"preparing {one.name}") as step:
        return prepare_input(kept, one, config.folder / "cache", None if one.decodes else 0, step)


def prepare(config: RunConfig, screen: Screen, *, unlabelled: bool = False) -> Cohort:
    """Find, split, check, fit and prepare the studies of a run; with `unlabelled` those without a label too.

    Raises:
        DataError: Too little is left to learn from, or the data leak.
    """
    sources, intake = open_export(config, screen, unlabelled=unlabelled)
    return divide(config, sources, intake, screen)


def open_export(config: RunConfig, screen: Screen, *, unlabelled: bool = False) -> tuple[Sources, Intake]:
    """Find the studies of a run and decode their images: all that no split can change.

    Args:
        config: The run.
        screen: Shows progress.
        unlabelled: Take in studies without a label too, even where the strategy has no use for them.

    Raises:
        DataError: A table, column or folder is missing.
    """
    screen.say("reading tables and image headers ...")
    sources = Sources.open(config.cohort, memory=config.folder / HEADERS)
    tell_violations(config, sources, screen)
    images = [settings.open(name) for name, settings in config.inputs.items() if isinstance(settings, ImageSettings)]
    wanted = unlabelled or config.training.strategy.unlabelled > 0
    return sources, take_in(config, sources, images, screen, unlabelled=wanted)


def divide(config: RunConfig, sources: Sources, intake: Intake, screen: Screen, *, labels: bool = True) -> Cohort:
    """Split the studies, check the split for leaks, fit on the training studies, and prepare.

    Args:
        config: The run; what it leaves to the size of the cohort is filled in by the number of training patients.
        sources: Its export.
        intake: Of these.
        screen: Shows progress.
        labels: Whether what tells of the label is looked for too, which one split of a cohort answers for all.

    Raises:
        DataError: Too little is left to learn from, or the data leak.
    """
    studies = intake.studies
    start = open_start(config, screen)
    if start is not None:
        config = config.model_copy(update={"inputs": {name: start.settle(name, one) for name, one in config.inputs.items()}})
    unlabelled_only = intake.unlabelled and all(study.label is None for study in studies)
    sides, of_no_part = ({}, {}) if unlabelled_only else share_out(config, studies, intake.left_out)
    people = people_of(config.cohort, studies, sides)
    left_out = {**intake.left_out, **of_no_part}
    config = settle(
        config,
        len({studies[i].patient_id for i, side in sides.items() if side == "train"}),
        screen,
        () if start is None else start.inputs,
    )
    taken = {} if start is None else start.take_all(config.inputs, config.model.width)
    unlabelled = _unlabelled(config, intake, sides)
    learning = {*unlabelled, *(i for i, side in sides.items() if side == "train")}
    screen.say("looking for leaks ...")
    labels = labels and not unlabelled_only
    findings = leaks(config, sources, intake, {**sides, **dict.fromkeys(unlabelled, "train")}, labels=labels)
    refuse_leaks(findings, config.leakage)
    if labels and (idle := idle_waivers(findings, config.leakage)):
        screen.say(f"leakage.waive lets nothing pass under {', '.join(idle)}: correct the name, or take it out")
    unused = {i: why for i, why in left_out.items() if i not in learning}
    inputs, prepared, rejected = _fit_and_prepare(config, intake, taken, learning, unused, screen)
    left_out |= rejected
    sides = {i: side for i, side in sides.items() if i not in left_out}
    unlabelled = tuple(i for i in unlabelled if i not in rejected)
    _tell_unlabelled(intake, unlabelled, screen)
    studies = tuple(_with_rejections(study, i, prepared) for i, study in enumerate(studies))
    split = prove(studies, {part: tuple(i for i, side in sides.items() if side == part) for part in PARTS})
    target = _target(studies)
    parts = {**sides, **dict.fromkeys(unlabelled, UNLABELLED)}
    manifest = make_manifest(studies, parts, left_out, {name: one.digests for name, one in prepared.items()})
    classes, persons, leakage = config.target.mark_names, intake.persons, config.leakage
    proof = Proof(split, config.split, classes, config.target.marks(target), persons, findings, leakage, manifest.digest)
    if start is not None:
        refuse_seen(start, people, studies, manifest, split, screen)
        tell_taken(start, inputs, config, screen)
    return Cohort(
        config,
        studies,
        left_out,
        split,
        split["train"],
        inputs,
        prepared,
        target,
        manifest,
        proof,
        unlabelled,
        people,
        start,
    )


def _fit_and_prepare(
    config: RunConfig,
    intake: Intake,
    taken: Inputs,
    learning: Collection[int],
    unused: Mapping[int, str],
    screen: Screen,
) -> tuple[dict[str, Input[object]], dict[str, PreparedInput], dict[int, str]]:
    """Fit each input on the studies that learn, where another run has not done so, and prepare those that are in use.

    Returns:
        The inputs, what they prepared, and index of a study that had to be rejected -> why, in a word.
    """
    training = [study for i, study in enumerate(intake.studies) if i in learning]
    inputs: dict[str, Input[object]] = {}
    prepared: dict[str, PreparedInput] = {}
    rejected: dict[int, str] = {}
    for name, settings in config.inputs.items():
        one = inputs[name] = taken.get(name) or _fit(settings.open(name), training)
        GATE.refuse(json_text(one.state, indent=None), f"what inputs.{name} learned of the training studies")
        prepared[name] = intake.images.get(name) or prepare_one(config, one, intake.studies, {**unused, **rejected}, screen)
        tell_cut_notes(name, prepared[name], screen)
        rejected |= {i: reason.code.value for i, reason in prepared[name].rejected.items()}
    return inputs, prepared, rejected


def _tell_unlabelled(intake: Intake, unlabelled: Sequence[int], screen: Screen) -> None:
    """Say how many studies learn without a label, where somebody asked for them."""
    if unlabelled:
        screen.say(f"{len(unlabelled):,} studies without a label learn too; none is of a patient of validation or test")
    elif intake.unlabelled:
        screen.say(
            "no study without a label learns: the table has none, or only such of whom validation or test tells something"
        )


def subgroups_of(config: RunConfig, studies: Sequence[Study], rows: Sequence[int]) -> dict[str, Array]:
    """Give the subgroup columns of some studies, levels of few patients among all studies put together.

    Returns:
        Column -> (S,) levels, which reports and records name.
    """
    patients = [study.patient_id for study in studies]
    return {
        name: np.array(without_rare([study.groups[name] for study in studies], patients))[list(rows)]
        for name in config.cohort.subgroups
    }


def settle(config: RunConfig, patients: int, screen: Screen, taken: Collection[str] = ()) -> RunConfig:
    """Fill in what the run file leaves to the number of training patients, and say so; `taken` encoders come from a run."""
    settled = config.settled(patients, taken)
    chosen = [
        f"{name}: {one.encoder.name}"
        for name, one in settled.inputs.items()
        if "encoder" not in config.inputs[name].model_fields_set
    ]
    if settled.model != config.model:
        chosen.append(f"fusion: {settled.model.fusion.name}")
    if chosen:
        screen.say(f"for {patients:,} training patients: {', '.join(chosen)}; name others in the run file to change that")
    return settled


def share_out(
    config: RunConfig, studies: Sequence[Study], left_out: Mapping[int, str]
) -> tuple[dict[int, str], dict[int, str]]:
    """Split the studies that can be used.

    Returns:
        Index of a study -> its part, and -> why it is in none.

    Raises:
        DataError: None can be used, or too few.
    """
    used = [i for i in range(len(studies)) if i not in left_out]
    if not used:
        reasons = ", ".join(f"{reason}: {count}" for reason, count in Counter(left_out.values()).most_common())
        raise DataError(f"none of the {len(studies)} studies can be used ({reasons}): look at them with `medmm inspect`")
    labels = np.array([studies[i].label for i in used], dtype=np.float64)
    split = split_studies([studies[i] for i in used], config.split, config.target.strata(labels))
    return {used[i]: part for part in PARTS for i in split[part]}, {used[i]: why for i, why in split.left_out.items()}


def leaks(
    config: RunConfig, sources: Sources, intake: Intake, sides: Mapping[int, str], *, labels: bool = True
) -> list[Finding]:
    """Make all checks of a split, or without `labels` those of what stands on two sides; test labels are never seen."""
    learning = [i for i, side in sides.items() if side != "test" and intake.studies[i].label is not None]
    notes = notes_of(config, intake.studies)
    found = across(intake.studies, intake.series, intake.images, notes, intake.persons, sides)
    if not labels:
        return found
    return [*found, *telling(config, sources, intake.studies, intake.series, intake.images, notes, learning)]


def _unlabelled(config: RunConfig, intake: Intake, sides: Mapping[int, str]) -> tuple[int, ...]:
    """Give the studies that may learn without a label."""
    if not intake.unlabelled:
        return ()
    never = intake.unusable
    usable = [i for i in intake.left_out if i not in never]
    split = prove(intake.studies, {part: tuple(i for i, side in sides.items() if side == part) for part in PARTS})
    return without_label(intake.studies, split, usable, config.split)


def _joined(studies: Sequence[Study], persons: Persons, config: RunConfig) -> tuple[Study, ...]:
    """Treat the identifiers of one person as one patient, where the run file does not say otherwise."""
    if config.cohort.same_person == "report":
        return tuple(studies)
    return tuple(replace(study, patient_id=persons.same.get(study.patient_id, study.patient_id)) for study in studies)


def _fit(one: Input[object], studies: list[Study]) -> Input[object]:
    """Fit an input on the training studies that have it and whose data may be used."""

    def raws() -> Iterator[tuple[str, object]]:
        for study in studies:
            if one.name in study.evidence:
                try:
                    raw = one.read(study.evidence[one.name])
                except Rejected:
                    continue  # counted when it is prepared
                yield study.patient_id, raw

    return one.fit(raws())


def _with_rejections(study: Study, index: int, prepared: Mapping[str, PreparedInput]) -> Study:
    for name, one in prepared.items():
        if index in one.rejected:
            study = study.with_input(name, one.rejected[index])
    return study


def _target(studies: tuple[Study, ...]) -> Array:
    numbers = next((len(study.label) for study in studies if study.label is not None), 1)  # a pretraining may see no label
    return np.array([[np.nan] * numbers if study.label is None else study.label for study in studies], dtype=np.float64)
