"""What an evaluation is about: a packaged model, the studies of a cohort, and what the model says of each part of them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch

from medmm.cohort.headers import HEADERS
from medmm.cohort.manifest import Manifest, make_manifest, patient_numbers
from medmm.cohort.split import PARTS
from medmm.cohort.studies import Sources
from medmm.config import RunConfig
from medmm.dataset.batches import Batches
from medmm.dataset.cache import PreparedInput
from medmm.errors import DataError
from medmm.package import Package, load_package
from medmm.predict import Subset, predict, subsets
from medmm.registry import fetched
from medmm.types import Array, Scores, Study

from .cohort import Intake, prepare_one, share_out, subgroups_of, take_in
from .screen import Screen


@dataclass(frozen=True)
class Said:
    """What a model says of the S studies of one part; D width, I inputs in alphabetical order, K outputs.

    Attributes:
        rows: (S,) index of each study in all studies.
        scores: The answers beside the truth: calibrated, and after the rules.
        only: Subset of inputs -> what the model alone says, calibrated, as if each study had only these; of training and
            validation studies for all inputs only.
        logits: (S, K) for all inputs, before the temperature.
        joint: (S, D) representation of each study.
        pooled: Input -> (S, D) mean of its tokens; zeros where it is absent.
        present: (S, I) which inputs each study has.
    """

    rows: Array
    scores: Scores
    only: Mapping[Subset, Scores]
    logits: Array
    joint: Array
    pooled: Mapping[str, Array]
    present: Array

    @property
    def raw(self) -> Scores:
        """What the model alone says by all inputs, calibrated, before the rules."""
        return self.only[max(self.only, key=len)]


@dataclass(frozen=True)
class Subject:
    """A model and the studies on which it is judged.

    Attributes:
        config: The run file, with the rules of the package.
        package: The model; nothing of it is fitted here.
        studies: All rows of the studies table, gathered.
        left_out: Index of a study that is not used -> why, in a word.
        prepared: Every input of all studies, as the package prepares them.
        manifest: What went in.
        own: Whether the model was trained on this very cohort; then it has its parts, else all of it is for testing.
        learned_from: Studies left out because the model learned from an image of their patient.
        parts: `test`, and on the own cohort `train` and `validation` -> what the model says of them.
    """

    config: RunConfig
    package: Package
    studies: tuple[Study, ...]
    left_out: Mapping[int, str]
    prepared: Mapping[str, PreparedInput]
    manifest: Manifest
    own: bool
    learned_from: int
    parts: Mapping[str, Said]

    @property
    def test(self) -> Said:
        """What the model says of the studies on which it is judged."""
        return self.parts["test"]

    @property
    def inputs(self) -> list[str]:
        """The inputs in alphabetical order."""
        return sorted(self.package.inputs)

    def ask(
        self, rows: Sequence[int] | Array, prepared: Mapping[str, PreparedInput] | None = None, keep: Subset | None = None
    ) -> Array:
        """Give what the model alone says (S, C) of some studies, calibrated, before the rules.

        Args:
            rows: Indices of the studies.
            prepared: Input -> what stands in place of what was prepared of it; the other inputs are as they are.
            keep: The inputs that count; all where left out.
        """
        keep = frozenset(self.package.inputs) if keep is None else keep
        batches = Batches({**self.prepared, **(prepared or {})}, list(rows), None, self.config.training.batch_size)
        return self.package.answer(predict(self.package.model, batches, [keep]).logits[keep])

    def told(self, rows: Sequence[int] | Array, predicted: Array) -> Scores:
        """Put truth, patients and groups beside answers (S, C) to some studies."""
        return _told(self.config, self.studies, list(rows), predicted)


def open_subject(model: str, config: RunConfig, screen: Screen) -> Subject:
    """Load a packaged model, find and prepare the labelled studies of a cohort, and ask the model about them.

    Nothing is fitted or chosen. On the very cohort that the model was trained on, the parts are those of the training; on
    another one all studies are for testing, but those of a patient from whose images the model learned.

    Raises:
        MedmmError: Something that the user can repair; such as inputs or a target that are not the model's.
    """
    screen.say("loading the model ...")
    with fetched(model, config.tracking) as folder:
        package = load_package(folder)
    if set(package.inputs) != set(config.inputs) or package.target != config.target:
        raise DataError(
            "inputs or target of the run file are not those of the model: evaluate with the run file it was trained by"
        )
    config = config.model_copy(update={"rules": package.rules})  # they are part of the model
    screen.say("reading tables and image headers ...")
    sources = Sources.open(config.cohort, memory=config.folder / HEADERS)
    images = [one for one in package.inputs.values() if one.settings.kind == "image"]
    intake = take_in(config, sources, images, screen)
    studies, left_out, parts = intake.studies, dict(intake.left_out), _parts(config, intake)
    prepared: dict[str, PreparedInput] = {}
    for name, one in package.inputs.items():
        prepared[name] = intake.images.get(name) or prepare_one(config, one, studies, left_out, screen)
        left_out |= {i: reason.code.value for i, reason in prepared[name].rejected.items()}
    rows = [i for i in range(len(studies)) if i not in left_out]
    if not rows:
        raise DataError(f"none of the {len(studies)} studies can be used: look at them with `medmm inspect`")
    digests = {name: one.digests for name, one in prepared.items()}
    manifest = make_manifest(studies, {i: parts[i] for i in rows if i in parts}, left_out, digests)
    own = manifest.digest == package.facts.get("cohort_digest")
    known = set(package.facts.get("learned_from", ()))
    learners = {studies[i].patient_id for i, files in enumerate(manifest.files) if not known.isdisjoint(files)}
    sides = (
        {part: [i for i in rows if parts.get(i) == part] for part in PARTS}
        if own
        else {"test": [i for i in rows if studies[i].patient_id not in learners]}
    )
    if not sides["test"]:
        raise DataError("the model learned from every patient of this cohort: evaluate it on patients that it has not seen")
    package.model.to(torch.device("cuda" if torch.cuda.is_available() and config.training.accelerator != "cpu" else "cpu"))
    said: dict[str, Said] = {}
    with screen.step("asking the model") as step:
        for done, (part, some) in enumerate(sides.items()):
            said[part] = _say(config, package, prepared, studies, some, every_subset=part == "test")
            step(done + 1, len(sides), part)
    learned_from = 0 if own else len(rows) - len(sides["test"])
    return Subject(config, package, studies, left_out, prepared, manifest, own, learned_from, said)


def _say(
    config: RunConfig,
    package: Package,
    prepared: Mapping[str, PreparedInput],
    studies: Sequence[Study],
    rows: list[int],
    *,
    every_subset: bool,
) -> Said:
    everything = frozenset(package.inputs)
    keep = subsets(sorted(everything)) if every_subset else [everything]
    said = predict(package.model, Batches(prepared, rows, None, config.training.batch_size), keep)
    only = {some: _told(config, studies, rows, package.answer(logits)) for some, logits in said.logits.items()}
    after, _ = package.rulebook().answers([studies[i] for i in rows], only[everything].predicted)
    scores = replace(only[everything], predicted=after)
    return Said(np.array(rows, np.int64), scores, only, said.logits[everything], said.joint, said.pooled, said.present)


def _told(config: RunConfig, studies: Sequence[Study], rows: list[int], predicted: Array) -> Scores:
    truth = np.array([studies[i].label for i in rows], np.float64).reshape(len(rows), -1)
    groups = subgroups_of(config, studies, rows)
    return Scores(
        config.target.names, predicted, truth, np.array(patient_numbers(studies))[rows], groups, config.target.horizons
    )


def _parts(config: RunConfig, intake: Intake) -> dict[int, str]:
    """Split as a training by this run file would; nothing where it could not."""
    try:
        parts, _ = share_out(config, intake.studies, intake.left_out)
    except DataError:  # a cohort to judge on may well be too small to train on
        return {}
    return parts
