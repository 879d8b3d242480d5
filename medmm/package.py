"""What scoring loads: a folder of safetensors and JSON with the digest of every file.

No pickle, no code: the folder is checked before anything in it is read, and settings become networks by name only. Whoever can
write a folder can also write its digests, so that what is read is checked as foreign data is, too.
"""

import math
from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load, save

from medmm import __version__
from medmm.bounded import Bounded
from medmm.cohort.studies import CohortSettings
from medmm.cohort.target import TargetSettings
from medmm.dataset.batches import stack
from medmm.dataset.decode import prepare_study
from medmm.doubts import doubt_cells, doubt_columns
from medmm.errors import DataError, MedmmError, Rejected
from medmm.evaluation.answers import Kind
from medmm.evaluation.novelty import Embedded
from medmm.evaluation.recalibration import Recalibration
from medmm.exact import SIZES
from medmm.files import digest, write_bytes, write_json, write_text, writing_folder
from medmm.golden import SAMPLES, Golden, check_golden, make_golden
from medmm.golden import pack as pack_golden
from medmm.golden import unpack as unpack_golden
from medmm.inputs import Inputs, open_inputs
from medmm.inputs.base import Fields
from medmm.intended_use import IntendedUse, read_intended_use
from medmm.losses import make_loss
from medmm.model import DiagnosisModel, ModelSettings
from medmm.predict import predict
from medmm.privacy.gate import GATE
from medmm.references import Cell, References, pack, unpack
from medmm.rules.book import Rulebook, bind_rules
from medmm.rules.settings import Rule
from medmm.rules.words import in_words
from medmm.sealed import Sealed, opened, plain_json, seal
from medmm.settings import Plain
from medmm.signature import SIGNATURE, check_signature
from medmm.tiles import filled_batch
from medmm.types import Array, Batch, Study

FORMAT = 6
WEIGHTS = "weights.safetensors"
SETTINGS = "package.json"
STATE = "state.json"
CARD = "card.md"
FACTS = "card.json"
REFERENCES = "references.safetensors"
REFERENCE_FACTS = "references.json"
GOLDEN = "golden.safetensors"
GOLDEN_FACTS = "golden.json"
FILES = (WEIGHTS, SETTINGS, STATE, CARD, FACTS, REFERENCES, REFERENCE_FACTS, GOLDEN, GOLDEN_FACTS)
OLDER = {5: FILES[:-2]}
"""Formats that `medmm package` brings up to date, and their files: 5 had no golden samples."""

REPAIR = "package the run again"
UPGRADE = "run `medmm package` on it, or train again"


@dataclass(frozen=True)
class Package:
    """A trained model with all that it needs to score a study.

    Attributes:
        name: Of the run.
        cohort: Columns and table names that studies to be scored must have; its root is empty.
        target: What is predicted.
        inputs: The fitted inputs.
        model_settings: Width, fusion and heads.
        model: The network, in evaluation mode.
        temperature: By which logits are divided; 1 where they have none.
        thresholds: (C,); empty for a task without them.
        facts: What the card says, as plain data.
        digest: Of the whole package; empty before it is saved.
        rules: Clinical rules; what they do before and after the model is part of its answer.
        calibration: What is done to probabilities after the temperature.
        references: What is known of training and validation studies; None for a model that makes no decisions.
        golden: Samples with the answers of the machine that saved it; None before it is saved.
        golden_of: Digest of the model that gave these answers.
        computed_in: In what numbers its model computes, where it was made ready to score; no part of what is saved.
        intended: On which studies it may be relied on; None for a model that makes no decisions.
        tile: Studies that the network sees at once at scoring, in which it is exact (`medmm.exact`).
    """

    name: str
    cohort: CohortSettings
    target: TargetSettings
    inputs: Inputs
    model_settings: ModelSettings
    model: DiagnosisModel
    temperature: float
    thresholds: tuple[float, ...]
    facts: Plain = field(default_factory=dict)
    digest: str = ""
    rules: tuple[Rule, ...] = ()
    calibration: Recalibration = field(default_factory=Recalibration)
    references: References | None = None
    golden: Golden | None = None
    golden_of: str = ""
    computed_in: str = "fp32"
    intended: IntendedUse | None = None
    tile: int = 1

    @torch.no_grad()
    def answer(self, logits: Array) -> Array:
        """Give the answers (S, C) of logits (S, K): calibrated probabilities, values or risks."""
        evidence = torch.from_numpy(np.asarray(logits, np.float64) / self.temperature)
        said = deepcopy(self.model.criterion).cpu().answer(evidence).numpy()  # in float64, which not every device has
        return self.calibration.apply(np.asarray(said), self.target.task)

    def say(self, studies: Sequence[Study]) -> tuple[Array, Array]:
        """Give logits (S, K) and answers (S, C) of studies whose inputs can all be read, before any rule.

        Raises:
            Rejected: An input of a study must not be used.
        """
        prepared = [prepare_study(study, self.inputs) for study in studies]
        for one in prepared:
            if isinstance(one, Rejected):
                raise one
        kept = [one for one in prepared if not isinstance(one, Rejected)]
        everything = frozenset(self.inputs)
        tiles = [filled_batch(self._batch(kept[at : at + self.tile]), self.tile) for at in range(0, len(kept), self.tile)]
        logits = predict(self.model, tiles, [everything], tile=self.tile).logits[everything]
        logits = logits[: len(kept)]  # only the last tile was filled up
        return logits, self.answer(logits)

    def _batch(self, prepared: Sequence[Mapping[str, Fields]]) -> Batch:
        found = {name: [one.get(name) for one in prepared] for name in sorted(self.inputs)}
        present = {name: torch.tensor([fields is not None for fields in own]) for name, own in found.items()}
        return Batch({name: stack(own) for name, own in found.items()}, present, None, torch.arange(len(prepared)))

    def check_golden(self, tolerance: float | None = None) -> float:
        """Let this machine answer the golden samples as `say` does, and give the largest difference.

        Args:
            tolerance: In place of the package's, for a model that computes more coarsely.

        Raises:
            DataError: It computes something else than the machine that trained.
        """
        assert self.golden is not None
        return check_golden(self.golden, lambda studies: self.say(studies)[1], tolerance)

    def rulebook(self) -> Rulebook:
        """Give the rules, bound to the inputs and the target."""
        return bind_rules(self.rules, {name: one.settings for name, one in self.inputs.items()}, self.cohort, self.target)

    def doubt_columns(self) -> dict[str, Kind]:
        """Give the columns of what is said of a study beside its answer, and their types."""
        return doubt_columns(self.references, self.intended, self.target)

    def doubts(self, studies: Sequence[Study], answers: Array, said: Embedded) -> dict[str, list[Cell]]:
        """Give the cells (S,) of each of these columns for S studies: their answers (S, C) as given, what the model says."""
        return doubt_cells(self.references, self.intended, self.target, studies, answers, said)


def save_package(package: Package, folder: Path) -> str:
    """Write a package, and give its digest. Golden samples are made, where it has none or those of another model."""
    settings = {
        "format": FORMAT,
        "version": __version__,
        "name": package.name,
        "cohort": package.cohort.model_dump(mode="json", exclude={"root"}),
        "target": package.target.model_dump(mode="json"),
        "inputs": {name: one.portable()["settings"] for name, one in package.inputs.items()},
        "model": package.model_settings.model_dump(mode="json"),
        "temperature": package.temperature,
        "calibration": package.calibration.model_dump(mode="json"),
        "thresholds": list(package.thresholds),
        "intended": None if package.intended is None else package.intended.model_dump(mode="json"),
        "tile": package.tile,
        "rules": [rule.model_dump(mode="json") for rule in package.rules],
    }
    state = {name: one.state for name, one in package.inputs.items()}
    weights = save({name: tensor.contiguous() for name, tensor in package.model.state_dict().items()})
    arrays, facts = pack(package.references)
    own = digest([digest(weights), settings, state])
    golden = package.golden
    if golden is None or package.golden_of != own:
        golden = _made_golden(package)
    samples, said = pack_golden(golden)
    with writing_folder(folder) as temporary:
        write_bytes(temporary / WEIGHTS, weights)
        write_json(temporary / SETTINGS, settings)
        write_json(temporary / STATE, state)
        write_json(temporary / FACTS, GATE.plain(package.facts, "the facts of a package"))
        write_text(temporary / CARD, GATE.text(card_text(package), "the card of a package"))
        write_bytes(temporary / REFERENCES, arrays)
        write_json(temporary / REFERENCE_FACTS, facts)
        write_bytes(temporary / GOLDEN, samples)
        write_json(temporary / GOLDEN_FACTS, {"of": own, **said})
        whole = seal(temporary, FILES)
    return whole


def _made_golden(package: Package) -> Golden:
    """Make golden samples on the CPU, whatever the model was trained on: every machine has one, and it rounds as others do."""
    device = next(package.model.parameters()).device
    package.model.cpu()
    try:
        return make_golden(package.inputs, package.say)
    finally:
        package.model.to(device)


def verify_package(folder: Path) -> str:
    """Check that a package holds exactly the files of its manifest, byte for byte, and give its digest.

    Raises:
        DataError: A file is changed, missing or extra, or the folder is no package.
    """
    return open_package(folder).digest


def open_package(folder: Path, *, older: bool = False) -> Sealed:
    """Check a package as `verify_package` does, and give the bytes of its files.

    Args:
        folder: Of the package.
        older: Take one of an older format too.

    Raises:
        DataError: A file is changed, missing or extra, or the folder is no package.
    """
    lacking = not (folder / GOLDEN).exists() and not (folder / GOLDEN_FACTS).exists()
    names = OLDER[5] if lacking else FILES
    sealed = opened(folder, names, "package", REPAIR, optional=(SIGNATURE,))
    found = _read(sealed, SETTINGS).get("format")
    known = {FORMAT: FILES, **(OLDER if older else {})}
    if type(found) is not int or known.get(found) != names:
        repair = UPGRADE if found == max(OLDER) else REPAIR
        raise DataError(f"the package has format {str(found)[:20]}, this version reads {FORMAT}: {repair}")
    return sealed


def load_package(folder: Path, key: Path | None = None, *, older: bool = False) -> Package:
    """Verify and load a package.

    Args:
        folder: Of the package.
        key: Public key (PEM) by which it has to be signed; None asks for no signature.
        older: Take one of an older format too; it lacks what a newer one has.

    Raises:
        DataError: It was changed, is not signed by this key, is of another version of the format, or is no package that this
            project has written.
    """
    sealed = open_package(folder, older=older)
    if key is not None:
        check_signature(sealed.contents, key)
    return unpack_package(sealed)


def unpack_package(sealed: Sealed) -> Package:
    """Make the package of bytes that were checked.

    Raises:
        DataError: They are none that this project has written.
    """
    try:
        return _package(sealed)
    except MedmmError:
        raise
    except Exception as reason:
        # Settings, state and weights may come from elsewhere, and each part of a model has its own way to refuse them.
        raise DataError(
            f"the package cannot be loaded ({type(reason).__name__} in what it says of its model): {REPAIR}"
        ) from reason


def _package(sealed: Sealed) -> Package:
    settings = _read(sealed, SETTINGS)
    inputs = open_inputs(settings["inputs"], _read(sealed, STATE))
    target = TargetSettings.model_validate(settings["target"])
    model_settings = ModelSettings.model_validate(settings["model"])
    weights = load(sealed.contents[WEIGHTS])
    with Bounded(weights):
        model = DiagnosisModel(model_settings, inputs, make_loss(model_settings.loss, target, model_settings.class_weight))
    model.load_state_dict(weights)
    for name, tensor in weights.items():
        if not tensor.isfinite().all():
            raise DataError(f"the weights {name} of the package hold NaN or infinity: {REPAIR}")
    references = unpack(
        sealed.contents[REFERENCES], _read(sealed, REFERENCE_FACTS), list(inputs), target, model.head.in_features
    )
    package = Package(
        name=str(settings["name"]),
        cohort=CohortSettings.model_validate({**settings["cohort"], "root": ""}),
        target=target,
        inputs=inputs,
        model_settings=model_settings,
        model=model.eval(),
        temperature=_within(settings["temperature"], 0, math.inf),
        calibration=Recalibration.model_validate(settings["calibration"]),
        thresholds=tuple(_within(one, -math.inf, math.inf) for one in settings["thresholds"]),
        rules=tuple(Rule.model_validate(rule) for rule in settings.get("rules", ())),
        facts=_read(sealed, FACTS),
        digest=sealed.digest,
        references=references,
        intended=read_intended_use(settings.get("intended"), list(inputs)),
        tile=_tile(settings),
    )
    outputs = model.head.out_features
    answers = package.answer(np.zeros((1, outputs))).shape[1]
    if len(package.thresholds) not in {0, answers}:
        raise DataError(f"the package has {len(package.thresholds)} thresholds for {answers} answers: {REPAIR}")
    if GOLDEN not in sealed.contents:
        return package
    plain = dict(_read(sealed, GOLDEN_FACTS))
    own = str(plain.pop("of"))
    golden = unpack_golden(sealed.contents[GOLDEN], plain, list(inputs), answers, outputs)
    return replace(package, golden=golden, golden_of=own)


def _read(sealed: Sealed, name: str) -> Plain:
    """Read a JSON file of a package: all but the facts of the references are dictionaries."""
    try:
        plain = plain_json(sealed.contents[name])
    except ValueError as reason:
        raise DataError(f"{name} of the package is no JSON: {REPAIR}") from reason
    if not isinstance(plain, Mapping) and not (plain is None and name == REFERENCE_FACTS):
        raise DataError(f"{name} of the package is damaged: {REPAIR}")
    return plain


def _tile(settings: Plain) -> int:
    tile = settings["tile"] if settings["format"] == FORMAT else 1  # in which every network is exact
    if type(tile) is not int or tile not in SIZES:
        raise DataError(f"the package has tiles of {str(tile)[:20]} studies, one of {SIZES} is expected: {REPAIR}")
    return tile


def _within(value: Plain, low: float, high: float) -> float:
    if type(value) not in {int, float} or not low < value < high:
        raise DataError(f"a number of the package is none, or impossible: {REPAIR}")
    return float(value)


def card_text(package: Package) -> str:
    """Give the model card in Markdown: what the model is, on whom it was judged, and what it is not."""
    facts = package.facts
    inputs = ", ".join(f"{name} ({one.settings.kind})" for name, one in package.inputs.items())
    lines = [
        f"# {package.name}",
        "",
        "Research software, not a medical device: not for use in the care of a patient.",
        "",
        f"- predicts: {' or '.join(package.target.names)} ({package.target.task}{_unit(package.target)})",
        f"- from: {inputs}, any of which may be absent",
        *(f"- {one}" for one in _fitted(package)),
        f"- {SAMPLES} golden samples of nobody with the expected answers: a machine that answers otherwise scores no study",
        f"- made by medmm {__version__}",
    ]
    if package.references is not None and package.references.conformal is not None:
        sets = package.references.conformal
        lines.append(
            f"- prediction sets at the level {sets.level:g}, from {sets.studies} validation studies of {sets.patients} patients"
        )
    lines += [f"- {one}" for one in (package.intended.told() if package.intended is not None else ())]
    for part, counts in facts.get("cohort", {}).items():
        lines.append(f"- {part}: {counts['studies']} studies of {counts['patients']} patients")
    for name, why in facts.get("proof", {}).get("waived", {}).items():
        lines.append(f"- a leak was let pass: {name}, for: {why}")
    lines += [f"- rule {one.name}: {in_words(one, package.target.names[0])}" for one in package.rules]
    results = facts.get("results", [])
    if results:
        lines += [
            "",
            "| metric | class | value | 95 % interval | studies | patients |",
            "| --- | --- | --- | --- | --- | --- |",
        ]
        lines += [
            f"| {r['metric']} | {r['class']} | {_three(r['value'])} | {_three(r['low'])} to {_three(r['high'])} "
            f"| {r['studies']} | {r['patients']} |"
            for r in results
        ]
    return "\n".join(lines) + "\n"


def _unit(target: TargetSettings) -> str:
    return f", in {target.unit}" if target.task == "regression" and target.unit else ""


def _fitted(package: Package) -> list[str]:
    if package.model.criterion.tempered:
        thresholds = ", ".join(f"{threshold:.3f}" for threshold in package.thresholds) or "none"
        return [
            f"temperature {package.temperature:.3f}, thresholds {thresholds}, both from the validation studies",
            f"calibration {package.calibration.kind}: {package.calibration.said}",
        ]
    rests = "baseline hazard" if package.model.criterion.settles else "scale"
    return [f"no temperature and no threshold; the {rests} is that of the training studies"]


def _three(value: float | None) -> str:
    return "not defined" if value is None else f"{value:.3f}"
