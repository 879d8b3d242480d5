"""The run file: composes the settings of the layers below, and says where a wrong value stands."""

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Self

import yaml
from pydantic import BeforeValidator, Field, SerializeAsAny, ValidationError, field_validator, model_validator
from torch.nn import ModuleDict

from medmm.baselines import RIVALLED
from medmm.cohort.leakage import LeakageSettings
from medmm.cohort.split import SplitSettings
from medmm.cohort.studies import CohortSettings
from medmm.cohort.target import TargetSettings
from medmm.errors import ConfigError
from medmm.evaluation.auditing import AuditSettings
from medmm.evaluation.settings import EvaluationSettings
from medmm.files import is_safe_name
from medmm.inputs import INPUTS
from medmm.inputs.base import InputSettings
from medmm.intended_limits import IntendedUseSettings
from medmm.losses import make_loss
from medmm.model import ModelSettings, suited_fusion
from medmm.rules.book import Rulebook, bind_rules
from medmm.rules.faults import RulesError, Source, faults_of
from medmm.rules.reading import rules_of
from medmm.rules.settings import MOST_RULES, Rule
from medmm.settings import Settings, named_choice
from medmm.strict_yaml import read_document
from medmm.training.comparison import CompareSettings
from medmm.training.pretraining.settings import PretrainingSettings
from medmm.training.settings import TrainingSettings
from medmm.training.tracking import TrackingSettings


class RunConfig(Settings):
    """One training, from the export to the registered model."""

    name: str
    """Of the run, of its experiment and of the registered model: letters, digits, dot, dash, underscore."""

    cohort: CohortSettings
    """Where the export lies."""

    target: TargetSettings
    """What is predicted."""

    inputs: dict[str, Annotated[SerializeAsAny[InputSettings], BeforeValidator(named_choice("kind", lambda: INPUTS))]] = Field(
        min_length=1
    )
    """What it is predicted from, by name."""

    split: SplitSettings = SplitSettings()
    """Which patients learn, choose and judge."""

    leakage: LeakageSettings = LeakageSettings()
    """What may tell of the label by itself."""

    model: ModelSettings = ModelSettings()
    """Width, fusion and heads."""

    training: TrainingSettings = TrainingSettings()
    """The loop."""

    rules: tuple[Rule, ...] = Field((), max_length=MOST_RULES)
    """Clinical rules before the model, in training and after it; or the path of a file of them, relative to the run file."""

    pretraining: PretrainingSettings = PretrainingSettings()
    """What `medmm pretrain` does."""

    intended_use: IntendedUseSettings = IntendedUseSettings()
    """For which studies the model is made; what is not stated is learned from the training studies."""

    evaluation: EvaluationSettings = EvaluationSettings()
    """How the run is judged."""

    audit: AuditSettings = AuditSettings()
    """What a person decided about the checks of `medmm audit`."""

    compare: CompareSettings = CompareSettings()
    """What `medmm compare` tries."""

    tracking: TrackingSettings = TrackingSettings()
    """Where the run is recorded."""

    output: Path = Path("runs")
    """Folder for caches, checkpoints and packages."""

    @field_validator("name")
    @classmethod
    def _name_is_safe(cls, name: str) -> str:
        if not is_safe_name(name):
            raise ValueError("a name has letters, digits, dot, dash and underscore only, at most 100")
        return name

    @field_validator("inputs")
    @classmethod
    def _input_names_are_safe(cls, inputs: dict[str, InputSettings]) -> dict[str, InputSettings]:
        for name in inputs:
            if not name.isidentifier():
                raise ValueError(f"input {name!r}: a name has letters, digits and underscore only")
            if hasattr(ModuleDict, name):  # torch keeps its encoder under this name
                raise ValueError(f"input {name!r}: the name means something else to the network: add to it, as {name}_")
        return inputs

    @model_validator(mode="after")
    def _words_are_of_classes(self) -> Self:
        if strangers := sorted(set(self.leakage.words) - set(self.target.mark_names)):
            raise ValueError(
                f"leakage.words: {strangers[0]!r} is no class of the target, which has {', '.join(self.target.mark_names)}"
            )
        return self

    @model_validator(mode="after")
    def _parts_fit_the_task(self) -> Self:
        task = self.target.task
        make_loss(self.model.loss, self.target, self.model.class_weight)
        own = [self.model.fusion, *(self.compare.methods if "methods" in self.compare.model_fields_set else ())]
        for fusion in own:
            if task not in fusion.tasks:
                raise ValueError(f"the fusion {fusion.name!r} is not for a {task} task, it is for {', '.join(fusion.tasks)}")
        for strategy in (self.training.strategy, *self.compare.strategies):
            if task not in strategy.tasks:
                fitting = ", ".join(strategy.tasks)
                raise ValueError(f"the strategy {strategy.name!r} is not for a {task} task, it is for {fitting}")
        if "baselines" in self.compare.model_fields_set and self.compare.baselines and task not in RIVALLED:
            raise ValueError(f"compare.baselines: a {task} task has no classical rival here: set it to false")
        return self

    @model_validator(mode="after")
    def _target_is_no_subgroup(self) -> Self:
        if named := set(self.target.columns) & set(self.cohort.subgroups):
            raise ValueError(
                f"cohort.subgroups names {min(named)!r}, which is the target: show results by what is not predicted"
            )
        return self

    @model_validator(mode="after")
    def _intended_use_is_of_the_inputs(self) -> Self:
        intended = self.intended_use
        for name in intended.images:
            if name not in self.inputs or self.inputs[name].kind != "image":
                raise ValueError(f"intended_use.images: {name!r} is no image input of the run")
        if strangers := sorted({name for some in intended.may_lack or () for name in some} - set(self.inputs)):
            raise ValueError(f"intended_use.may_lack: {strangers[0]!r} is no input of the run")
        if intended.age_column in self.target.columns:
            raise ValueError(f"intended_use.age_column names {intended.age_column!r}, which is the target: leave it out")
        return self

    @model_validator(mode="after")
    def _rules_fit(self) -> Self:
        self.rulebook()
        return self

    def rulebook(self) -> Rulebook:
        """Give the rules, bound to the inputs and the target."""
        return bind_rules(self.rules, self.inputs, self.cohort, self.target)

    def settled(self, patients: int, taken: Collection[str] = ()) -> Self:
        """Fill in the encoders and the fusion that the run file does not name, as suits the number of training patients.

        A strategy that says how far pretrained backbones learn has its way.

        Args:
            patients: Training patients.
            taken: Inputs whose encoders come from another run.
        """
        inputs = {
            name: one if "encoder" in one.model_fields_set else one.model_copy(update={"encoder": one.suited(patients)})
            for name, one in self.inputs.items()
        }
        if (tuning := self.training.strategy.tuning) is not None:
            inputs = {name: one.tuned(tuning, taken=name in taken) for name, one in inputs.items()}
        model = self.model
        if "fusion" not in model.model_fields_set:
            model = model.model_copy(update={"fusion": suited_fusion(patients)})
        return self.model_copy(update={"inputs": inputs, "model": model})

    @property
    def folder(self) -> Path:
        """Where this run keeps its files."""
        return self.output / self.name


def load_config(path: Path, overrides: Sequence[str] = ()) -> RunConfig:
    """Read a run file and put overrides such as `training.epochs=5` over it.

    Raises:
        ConfigError: The file cannot be read, or a value is wrong: says where, what and the repair.
    """
    document = read_document(path, "run file")
    content = document.content
    if not isinstance(content, dict):
        raise ConfigError(f"{path.name} holds no settings: start from one of configs/")
    for override in overrides:
        _override(content, override)
    rules, source = rules_of(content, document, path.parent)
    return parse_config({**content, "rules": rules}, path.name, source)


def parse_config(content: Mapping[str, Any], source: str, rules: Source | None = None) -> RunConfig:
    """Check plain settings.

    Args:
        content: The settings.
        source: Name of the run file.
        rules: Where the rules among them are written.

    Raises:
        ConfigError: A value is wrong; the message has one line a fault. A `RulesError` where rules alone are wrong.
    """
    try:
        return RunConfig.model_validate(content)
    except ValidationError as problem:
        of_rules = faults_of(problem, ("rules",))
        others = [_fault(fault) for fault in problem.errors() if not _is_of_rules(fault)]
        if not others:
            raise RulesError(of_rules, rules) from None
        raise ConfigError(f"{source}: " + "; ".join([*others, *(str(RulesError([one], rules)) for one in of_rules)])) from None


def _override(content: dict[str, Any], override: str) -> None:
    name, equals, text = override.partition("=")
    if not equals or not name:
        raise ConfigError(f"override {override!r} is not of the form training.epochs=5")
    *parents, last = name.split(".")
    place = content
    for parent in parents:
        inner = place.setdefault(parent, {})
        if isinstance(inner, str):  # a name alone stands for {name: ...} in the run file
            inner = place[parent] = {"name": inner}
        if not isinstance(inner, dict):
            raise ConfigError(f"override {override!r}: {parent!r} holds a single value, nothing stands below it")
        place = inner
    try:
        place[last] = yaml.safe_load(text)
    except (yaml.YAMLError, ValueError):
        raise ConfigError(f"override {override!r}: the value is not YAML: quote it") from None


def _is_of_rules(fault: Any) -> bool:
    return fault["loc"][:1] == ("rules",) or isinstance(fault.get("ctx", {}).get("error"), RulesError)


def _fault(fault: Any) -> str:
    place = ".".join(str(part) for part in fault["loc"] if not str(part).startswith("function-"))
    message = fault["msg"].removeprefix("Value error, ")
    return f"{place}: {message[0].lower()}{message[1:]}" if place else message
