"""`medmm rules check`: rules beside their columns, their tests, and the studies for which they fire."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.markup import escape

from medmm.cohort.studies import Sources, read_studies
from medmm.config import RunConfig, load_config
from medmm.errors import ConfigError
from medmm.inputs import gather
from medmm.inputs.tabular import TabularInput, with_checked_cells
from medmm.rules.book import Rulebook
from medmm.rules.columns import STUDY
from medmm.rules.condition import leaves
from medmm.rules.reading import columns_of, holds_rules_alone, parse_rules, rules_of
from medmm.rules.settings import Rule
from medmm.rules.tally import tally, untold
from medmm.rules.trial import Trial, try_rules
from medmm.rules.words import in_words
from medmm.strict_yaml import read_document

from .screen import Screen

UNCHECKED = (
    "the columns, their units, ranges and categories, inputs and classes could not be checked: give the run file that names "
    "this file under rules"
)


@dataclass(frozen=True)
class Count:
    """For how many studies a rule fires, and of how many that cannot be told; None where tables alone do not say."""

    fires: int | None
    untold: int | None
    studies: int


@dataclass(frozen=True)
class Checked:
    """Rules that are right in themselves, and what their tests said.

    Attributes:
        rules: In the order of the file.
        class_name: Of which a rule speaks where it names none.
        trials: Of every test.
        counts: Of each rule; empty where nothing was counted.
        columns: Whether there was a run file to check columns against.
    """

    rules: tuple[Rule, ...]
    class_name: str | None
    trials: Sequence[Trial]
    counts: Sequence[Count]
    columns: bool


def check(file: Path, *, count: bool = False) -> Checked:
    """Check the rules of a run file, or a file of rules alone, and run their tests.

    Args:
        file: Either of them.
        count: Whether to read the tables and count.

    Raises:
        RulesError: A rule is wrong, and where.
        ConfigError: There is no rule, or the run file is wrong.
        DataError: A table or column is missing.
    """
    document = read_document(file, "file of rules")
    if holds_rules_alone(document):
        if count:
            raise ConfigError("--count needs the run file, which says where the studies are: give that")
        rules, source = parse_rules(document)
        return Checked(rules, None, try_rules(rules, columns_of(rules), source), (), False)
    config = load_config(file)
    if not config.rules:
        raise ConfigError(f"{document.name} has no rules: list them under rules, or name a file of them there")
    book = config.rulebook()
    _, source = rules_of(document.content, document, file.parent)
    trials = try_rules(config.rules, book.columns, source)
    counts = _counted(config, book) if count else ()
    return Checked(config.rules, config.target.names[0], trials, counts, True)


def _counted(config: RunConfig, book: Rulebook) -> list[Count]:
    """Count over all studies of the table whose cells can be used; images and notes are not looked at."""
    sources = Sources.open(config.cohort)
    for column in book.study_columns():
        sources.table(config.cohort.studies, [column])
    tabular = {name: one.open(name) for name, one in config.inputs.items()}
    inputs = {name: one for name, one in tabular.items() if isinstance(one, TabularInput)}
    gathered = gather(inputs, sources, read_studies(sources, config.target))  # type: ignore[arg-type]
    checked = [with_checked_cells(study, inputs.values()) for study in gathered]
    usable = [study for study in checked if not study.rejected]
    open_ = untold(book, usable)
    table = tally(book, [book.before(study) for study in usable], {"all": range(len(usable))})
    seen = {*inputs, STUDY}
    return [
        Count(int(n), open_[one.rule.name], len(usable))
        if {leaf.ref.source for leaf in leaves(one.condition)} <= seen
        else Count(None, None, len(usable))
        for one, n in zip(book.rules, table["all"], strict=True)
    ]


def show_checked(checked: Checked, screen: Screen) -> int:
    """Show every rule in words with its tests and counts, and give the number of tests that failed."""
    failed = [trial for trial in checked.trials if trial.failure]
    for rule in checked.rules:
        mine = [trial for trial in checked.trials if trial.rule == rule.name]
        bad = sum(bool(trial.failure) for trial in mine)
        state = (
            f"[red]tests fail: {bad} of {len(mine)}[/]" if bad else f"[green]tests pass: {len(mine)}[/]" if mine else "no test"
        )
        screen.say(f"[bold]{escape(rule.name)}[/] ({state}): {escape(in_words(rule, checked.class_name))}", marked=True)
        if rule.why:
            screen.say(f"  why: {rule.why}")
    for trial in failed:
        screen.say(f"[red]failed[/]: {escape(trial.rule)}, test {trial.test}: {escape(trial.failure)}", marked=True)
    if checked.counts:
        rows = [
            (rule.name, *("needs more than tables" if m is None else m for m in (n.fires, n.untold)), n.studies)
            for rule, n in zip(checked.rules, checked.counts, strict=True)
        ]
        screen.say("")
        screen.table("Studies for which each rule fires", ("rule", "fires", "cannot be told", "studies"), rows)
    if not checked.columns:
        screen.say(UNCHECKED)
    screen.say(f"rules: {len(checked.rules)}, tests: {len(checked.trials)}, failed: {len(failed)}")
    return len(failed)
