"""What scoring loads: a folder of safetensors and JSON with the digest of every file.

No pickle, no code: the folder is checked before anything in it is read, and settings become networks by name only.
"""

import json
from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load, save

from medmm import __version__
from medmm.cohort.studies import CohortSettings
from medmm.cohort.target import TargetSettings
from medmm.doubts import doubt_cells, doubt_columns
from medmm.errors import DataError
from medmm.evaluation.answers import Kind
from medmm.evaluation.novelty import Embedded
from medmm.evaluation.recalibration import Recalibration
from medmm.files import write_bytes, write_json, write_text, writing_folder
from medmm.inputs import INPUTS, Inputs
from medmm.intended_use import IntendedUse, read_intended_use
from medmm.losses import make_loss
from medmm.model import DiagnosisModel, ModelSettings
from medmm.references import Cell, References, pack, unpack
from medmm.rules.book import Rulebook, bind_rules
from medmm.rules.settings import Rule
from medmm.rules.words import in_words
from medmm.sealed import seal, verify
from medmm.settings import Plain
from medmm.types import Array, Study

FORMAT = 6
WEIGHTS = "weights.safetensors"
SETTINGS = "package.json"
STATE = "state.json"
CARD = "card.md"
FACTS = "card.json"
REFERENCES = "references.safetensors"
REFERENCE_FACTS = "references.json"
FILES = (WEIGHTS, SETTINGS, STATE, CARD, FACTS, REFERENCES, REFERENCE_FACTS)


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
    intended: IntendedUse | None = None
    tile: int = 1

    @torch.no_grad()
    def answer(self, logits: Array) -> Array:
        """Give the answers (S, C) of logits (S, K): calibrated probabilities, values or risks."""
        evidence = torch.from_numpy(np.asarray(logits, np.float64) / self.temperature)
        said = deepcopy(self.model.criterion).cpu().answer(evidence).numpy()  # in float64, which not every device has
        return self.calibration.apply(np.asarray(said), self.target.task)

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
    """Write a package, and give its digest."""
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
    arrays, facts = pack(package.references)
    with writing_folder(folder) as temporary:
        weights = {name: tensor.contiguous() for name, tensor in package.model.state_dict().items()}
        write_bytes(temporary / WEIGHTS, save(weights))
        write_json(temporary / SETTINGS, settings)
        write_json(temporary / STATE, {name: one.state for name, one in package.inputs.items()})
        write_json(temporary / FACTS, package.facts)
        write_text(temporary / CARD, card_text(package))
        write_bytes(temporary / REFERENCES, arrays)
        write_json(temporary / REFERENCE_FACTS, facts)
        whole = seal(temporary, FILES)
    return whole


def verify_package(folder: Path) -> str:
    """Check that a package holds exactly the files of its manifest, byte for byte, and give its digest.

    Raises:
        DataError: A file is changed, missing or extra, or the folder is no package.
    """
    return verify(folder, FILES, "package", "package the run again")


def load_package(folder: Path) -> Package:
    """Verify and load a package.

    Raises:
        DataError: It was changed, or another version of the format.
    """
    whole = verify_package(folder)
    settings = json.loads((folder / SETTINGS).read_text(encoding="utf-8"))
    if settings["format"] != FORMAT:
        raise DataError(f"the package has format {settings['format']}, this version reads {FORMAT}: package the run again")
    state = json.loads((folder / STATE).read_text(encoding="utf-8"))
    inputs: Inputs = {
        name: INPUTS.pick(one["kind"]).model_validate(one).open(name, state[name]) for name, one in settings["inputs"].items()
    }
    target = TargetSettings.model_validate(settings["target"])
    model_settings = ModelSettings.model_validate(settings["model"])
    model = DiagnosisModel(model_settings, inputs, make_loss(model_settings.loss, target, model_settings.class_weight))
    model.load_state_dict(load((folder / WEIGHTS).read_bytes()))
    known = json.loads((folder / REFERENCE_FACTS).read_text(encoding="utf-8"))
    references = unpack((folder / REFERENCES).read_bytes(), known, list(inputs), target, model.head.in_features)
    return Package(
        name=settings["name"],
        cohort=CohortSettings.model_validate({"root": "", **settings["cohort"]}),
        target=target,
        inputs=inputs,
        model_settings=model_settings,
        model=model.eval(),
        temperature=settings["temperature"],
        calibration=Recalibration.model_validate(settings["calibration"]),
        thresholds=tuple(settings["thresholds"]),
        rules=tuple(Rule.model_validate(rule) for rule in settings.get("rules", ())),
        facts=json.loads((folder / FACTS).read_text(encoding="utf-8")),
        digest=whole,
        references=references,
        intended=read_intended_use(settings.get("intended"), list(inputs)),
        tile=int(settings["tile"]),
    )


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
