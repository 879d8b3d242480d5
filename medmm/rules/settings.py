"""A rule as it is written: when it fires, what it then does, why, and by which examples it is tested."""

import re
from typing import Annotated, Self

from pydantic import AfterValidator, ConfigDict, Field, StrictFloat, StrictInt, StrictStr, field_validator, model_validator

from medmm.rules.condition import ConditionError, parse_column, parse_condition
from medmm.settings import Settings, WrongKey

MOST_RULES = 200
BEFORE = ("reject", "flag")
TRAINING = ("penalty",)
MOVING = ("floor", "ceiling", "override")
AFTER = (*MOVING, "alert")
EFFECTS = (*BEFORE, *TRAINING, *AFTER)
NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,59}")


def _line(text: str) -> str:
    """Make one printable line of a text, which is shown on terminals and pages."""
    line = " ".join(text.split())
    if not line.isprintable():
        raise ValueError("holds control characters: write printable text")
    if not line:
        raise ValueError("says nothing: write a sentence")
    return line


Line = Annotated[str, AfterValidator(_line)]
Probability = Annotated[float, Field(ge=0, le=1)]


class OfClass(Settings):
    """Something about the probability of a class."""

    model_config = ConfigDict(serialize_by_alias=True)

    class_: str | None = Field(None, alias="class")
    """Of the target; the positive one of a binary target where left out."""


class Bound(OfClass):
    """A probability that a class is given, or at least or at most has."""

    probability: Probability
    """In [0, 1]."""


class Penalty(OfClass):
    """What the model is held to while it learns."""

    at_least: Probability | None = None
    """The probability should not be lower."""

    at_most: Probability | None = None
    """The probability should not be higher."""

    weight: float = Field(1.0, gt=0, le=1000)
    """How much a violation counts in the loss."""

    @model_validator(mode="after")
    def _bounds_one_side(self) -> Self:
        if (self.at_least is None) == (self.at_most is None):
            raise ValueError("give one of at_least and at_most")
        return self


class Then(Settings):
    """What a rule does; one of these."""

    reject: str | None = None
    """Before the model: this input of the study is not used."""

    flag: Line | None = Field(None, max_length=300)
    """Before the model: a message about the study, which is scored all the same."""

    penalty: Penalty | None = None
    """In training: a penalty on the probability of a class."""

    floor: Bound | None = None
    """After the model: the probability becomes at least this."""

    ceiling: Bound | None = None
    """After the model: the probability becomes at most this."""

    override: Bound | None = None
    """After the model: the probability becomes this."""

    alert: Line | None = Field(None, max_length=300)
    """After the model: a message about the study; the probability stays."""

    @model_validator(mode="after")
    def _does_one_thing(self) -> Self:
        done = [name for name in EFFECTS if getattr(self, name) is not None]
        if len(done) != 1:
            raise ValueError(f"does {' and '.join(done) or 'nothing'}: give one of {', '.join(EFFECTS)}")
        return self

    @property
    def effect(self) -> str:
        """Name what it does."""
        return next(name for name in EFFECTS if getattr(self, name) is not None)

    @property
    def bound(self) -> Bound | Penalty | None:
        """Give what it says of a class."""
        return self.penalty or self.floor or self.ceiling or self.override

    @property
    def message(self) -> str | None:
        """Give what it tells."""
        return self.flag or self.alert


class RuleTest(Settings):
    """An example."""

    given: dict[str, StrictStr | StrictInt | StrictFloat | None] = Field({}, max_length=50)
    """Column -> value with its unit, as `labs.crp: 250 mg/L`; what is not given is not known."""

    fires: bool = True
    """Whether the rule fires."""

    probability: Probability | None = None
    """What the model says of the class of the rule."""

    becomes: Probability | None = None
    """What it is after the rule."""

    @field_validator("given")
    @classmethod
    def _names_columns(
        cls, given: dict[str, StrictStr | StrictInt | StrictFloat | None]
    ) -> dict[str, StrictStr | StrictInt | StrictFloat | None]:
        for name in given:
            try:
                parse_column(name)
            except ConditionError as reason:
                raise WrongKey(name, f"{name!r} is no column: {reason}") from None
        return given

    @model_validator(mode="after")
    def _is_whole(self) -> Self:
        if (self.probability is None) != (self.becomes is None):
            raise ValueError("give both probability and becomes, or neither")
        return self


class Rule(Settings):
    """One clinical rule."""

    name: str
    """Letters, digits, underscore and dash; the first is a letter."""

    when: str
    """The condition, such as labs.lactate >= 4 mmol/L."""

    then: Then
    """What it does."""

    why: Line | None = Field(None, max_length=1000)
    """The clinical reason and its source."""

    tests: tuple[RuleTest, ...] = Field((), max_length=50)
    """Examples; `medmm rules check` runs them."""

    @field_validator("name")
    @classmethod
    def _name_is_plain(cls, name: str) -> str:
        if not NAME.fullmatch(name):
            raise ValueError("a name has letters, digits, underscore and dash only, at most 60, and begins with a letter")
        return name

    @field_validator("when")
    @classmethod
    def _when_is_a_condition(cls, when: str) -> str:
        parse_condition(when)
        return when

    @model_validator(mode="after")
    def _tests_fit(self) -> Self:
        if self.then.effect not in MOVING and any(test.becomes is not None for test in self.tests):
            raise ValueError(f"tests: {self.then.effect} changes no probability: leave probability and becomes out")
        return self


class Rules(Settings):
    """A file of rules."""

    rules: tuple[Rule, ...] = Field(max_length=MOST_RULES)
    """In the order in which they act."""

    @field_validator("rules")
    @classmethod
    def _holds_some(cls, rules: tuple[Rule, ...]) -> tuple[Rule, ...]:
        if not rules:
            raise ValueError("no rule stands here: write at least one")
        return rules
