"""Rules bound to the columns and classes of a run, and what they do to a study: before the model, and after it."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from medmm.cohort.studies import CohortSettings
from medmm.cohort.target import TargetSettings
from medmm.errors import Code, Rejected
from medmm.inputs.base import InputSettings
from medmm.rules.columns import STUDY, Columns, bind, check_units, declared_columns
from medmm.rules.condition import Condition, ConditionError, leaves, parse_condition
from medmm.rules.faults import Fault, RulesError
from medmm.rules.logic import truth, values_of
from medmm.rules.settings import AFTER, BEFORE, MOVING, TRAINING, Bound, Penalty, Rule
from medmm.tables import nearest
from medmm.types import Array, Firing, Study, Task

OF_PROBABILITIES: tuple[Task, ...] = ("binary", "multiclass", "multilabel")
"""Tasks in which a rule may move one probability: those of grades are bound to each other, values and risks are none."""


@dataclass(frozen=True)
class BoundRule:
    """A rule that fits its run.

    Attributes:
        rule: As it is written.
        condition: With every limit in the unit of its column.
        place: Column of the class that it speaks of; 0 where it speaks of none.
    """

    rule: Rule
    condition: Condition
    place: int

    def fires(self, study: Study) -> bool:
        """Tell whether the condition is true of a study; what cannot be told fires nothing."""
        return truth(self.condition, values_of(study)) is True


@dataclass(frozen=True)
class Rulebook:
    """The rules of a run, in the order of their file.

    Attributes:
        rules: Bound.
        columns: What they may name.
        classes: Of the target, as the C columns of a probability.
        task: What these mean.
    """

    rules: tuple[BoundRule, ...]
    columns: Columns
    classes: tuple[str, ...]
    task: Task

    def some(self, effects: Sequence[str]) -> tuple[BoundRule, ...]:
        """Give the rules with one of some effects."""
        return tuple(one for one in self.rules if one.rule.then.effect in effects)

    def later(self) -> tuple[BoundRule, ...]:
        """Give the rules that look at a study after those before the model have acted."""
        return self.some((*TRAINING, *AFTER))

    @property
    def moves(self) -> bool:
        """Whether a rule can change a probability."""
        return bool(self.some(MOVING))

    def study_columns(self) -> list[str]:
        """Name the columns of the studies table that rules read."""
        refs = (leaf.ref for one in self.rules for leaf in leaves(one.condition))
        return sorted({ref.column for ref in refs if ref.source == STUDY})

    def before(self, study: Study) -> Study:
        """Give the study as the model may see it, with the rules that fired.

        Every rule looks at the study as it came. A rejected input is absent afterwards; the last one takes the study with it.
        A study that is rejected already stays as it is.
        """
        if study.rejected:
            return study
        fired = [one.rule for one in self.some(BEFORE) if one.fires(study)]
        for rule in fired:
            study = self._apply(rule, study)
        return study

    def after(self, study: Study, probability: Array) -> tuple[Array, tuple[Firing, ...]]:
        """Give the probabilities (C,) of a study after the rules, with all that fired, those before the model too.

        Rules act one after another, each on what the one before left, so of two that contradict each other the later wins.
        """
        row = np.asarray(probability, np.float64)
        model = row
        fired = list(study.fired)
        for one in self.later():
            if one.fires(study):
                row, said = self._answer(one, row, model)
                fired.append(Firing(one.rule.name, one.rule.then.effect, said))
        return row, tuple(fired)

    def answers(self, studies: Sequence[Study], probability: Array) -> tuple[Array, list[tuple[Firing, ...]]]:
        """Give the probabilities (S, C) of studies after the rules, and what fired for each study."""
        pairs = [self.after(study, row) for study, row in zip(studies, probability, strict=True)]
        if not self.moves:
            return probability, [fired for _, fired in pairs]
        return np.array([row for row, _ in pairs]).reshape(probability.shape), [fired for _, fired in pairs]

    def _apply(self, rule: Rule, study: Study) -> Study:
        then = rule.then
        if then.reject is None:
            return replace(study, fired=(*study.fired, Firing(rule.name, then.effect, str(then.flag))))
        there = then.reject in study.evidence
        said = f"rejected {then.reject}" if there else f"{then.reject} is absent or rejected already"
        study = replace(study, fired=(*study.fired, Firing(rule.name, then.effect, said)))
        if there and len(study.evidence) == 1:
            where, found = f"{study.key}, input {then.reject}", f"values for which the rule {rule.name} fires"
            repair = "correct the values, or the rule"
            return study.with_input(then.reject, Rejected(Code.RULE, where, found, "plausible values", repair))
        return study.without_input(then.reject)

    def _answer(self, one: BoundRule, row: Array, model: Array) -> tuple[Array, str]:
        """Give the probabilities after one rule that fires, and what it did."""
        then = one.rule.then
        if then.alert is not None:
            return row, then.alert
        name, old = self.classes[one.place], float(row[one.place])
        if then.penalty is not None:
            low, high = limits(then.penalty)
            own = float(model[one.place])
            kept = "kept" if low <= own <= high else "violated"
            side = f"at least {low:g}" if then.penalty.at_least is not None else f"at most {high:g}"
            return row, f"{kept}, {name} {own:.3f}, wanted {side}"
        new = moved(one.rule, old)
        return with_probability(row, one.place, new, self.task), f"{then.effect} {name} {old:.3f} -> {new:.3f}"


def limits(penalty: Penalty) -> tuple[float, float]:
    """Give the lowest and the highest probability that a penalty leaves alone."""
    low = 0.0 if penalty.at_least is None else penalty.at_least
    return low, 1.0 if penalty.at_most is None else penalty.at_most


def moved(rule: Rule, old: float) -> float:
    """Give the probability of the class of a rule after it."""
    then = rule.then
    if then.floor is not None:
        return max(old, then.floor.probability)
    if then.ceiling is not None:
        return min(old, then.ceiling.probability)
    assert then.override is not None
    return then.override.probability


def with_probability(row: Array, place: int, new: float, task: Task) -> Array:
    """Give probabilities (C,) with one of them changed; the others of a multiclass task keep their ratios and the sum of 1."""
    changed = row.copy()
    if task == "multiclass":
        rest = 1 - row[place]
        others = np.arange(len(row)) != place
        changed[others] = row[others] * (1 - new) / rest if rest > 0 else (1 - new) / (len(row) - 1)
    changed[place] = new
    return changed


def bind_rules(
    rules: Sequence[Rule], inputs: Mapping[str, InputSettings], cohort: CohortSettings, target: TargetSettings
) -> Rulebook:
    """Bind rules to a run.

    Raises:
        RulesError: A rule does not fit; every fault with its place among the rules.
    """
    columns = declared_columns(inputs, cohort, target)
    faults = [fault for i in range(len(rules)) for fault in _faults(i, rules, columns, inputs, target)]
    if rules and STUDY in inputs:
        faults.append(Fault((), f"an input is called {STUDY}, which stands for the studies table in rules: rename the input"))
    if faults:
        raise RulesError(faults)
    bound = [BoundRule(rule, bind(parse_condition(rule.when), columns), _place(rule, target)) for rule in rules]
    return Rulebook(tuple(bound), columns, target.names, target.task)


def doubles(i: int, rules: Sequence[Rule]) -> Iterator[Fault]:
    """Find out whether a rule has the name of one before it."""
    if rules[i].name in (rule.name for rule in rules[:i]):
        yield Fault((i, "name"), f"{rules[i].name!r} stands twice: give each rule a name of its own")


def unbindable(i: int, rule: Rule, columns: Columns) -> Iterator[Fault]:
    """Find out whether the condition of a rule asks what its columns cannot answer."""
    condition = parse_condition(rule.when)
    try:
        if not columns.declared:
            check_units(condition)
        bind(condition, columns)
    except ConditionError as reason:
        yield Fault((i, "when"), str(reason), reason.offset)


def _faults(
    i: int, rules: Sequence[Rule], columns: Columns, inputs: Mapping[str, InputSettings], target: TargetSettings
) -> Iterator[Fault]:
    yield from doubles(i, rules)
    yield from unbindable(i, rules[i], columns)
    then = rules[i].then
    if then.reject is not None and then.reject not in inputs:
        yield Fault((i, "then", "reject"), f"no input is called {then.reject!r}: {nearest(then.reject, inputs)}")
    if then.bound is not None and target.task not in OF_PROBABILITIES:
        repair = "take a rule that rejects, flags or alerts"
        yield Fault(
            (i, "then", then.effect), f"moves the probability of a class, of which a {target.task} task has none: {repair}"
        )
    elif (bound := then.bound) is not None:
        if bound.class_ is None and len(target.names) > 1:
            yield Fault((i, "then", then.effect), f"names no class: give one of {', '.join(target.names)}")
        elif bound.class_ is not None and bound.class_ not in target.names:
            what = f"the target has no class {bound.class_!r}"
            yield Fault((i, "then", then.effect, "class"), f"{what}: {nearest(bound.class_, target.names)}")


def _place(rule: Rule, target: TargetSettings) -> int:
    bound: Bound | Penalty | None = rule.then.bound
    return 0 if bound is None or bound.class_ is None else target.names.index(bound.class_)
