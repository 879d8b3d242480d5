"""Rules from where they are written: the run file itself, a file that it names, or a file of rules alone."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from medmm.errors import ConfigError
from medmm.rules.book import doubles, unbindable
from medmm.rules.columns import Columns, inferred_columns
from medmm.rules.condition import parse_condition
from medmm.rules.faults import RulesError, Source, faults_of
from medmm.rules.settings import Rule, Rules
from medmm.strict_yaml import Document, read_document

KEY = "rules"
SUFFIXES = (".yaml", ".yml")


def holds_rules_alone(document: Document) -> bool:
    """Tell whether a file is a list of rules, with or without the key `rules` above it, and no run file."""
    return isinstance(document.content, list) or (isinstance(document.content, Mapping) and set(document.content) == {KEY})


def rules_of(content: Mapping[str, Any], document: Document, folder: Path) -> tuple[Any, Source]:
    """Give the rules of a run file as plain values, and where they stand.

    Args:
        content: Of the run file, overrides included.
        document: The run file.
        folder: In which it lies; a file of rules lies there or below.

    Raises:
        ConfigError: The file of rules cannot be read, or lies elsewhere.
    """
    named = content.get(KEY, [])
    if not isinstance(named, str):
        return named, Source(document, (KEY,))
    place = (folder / named).resolve() if "\0" not in named and named.isprintable() else None
    if place is None or not place.is_relative_to(folder.resolve()) or place.suffix not in SUFFIXES or Path(named).is_absolute():
        raise ConfigError(f"rules: {named!r} is no YAML file beside the run file: give a path relative to it, as sepsis.yaml")
    listed = read_document(place, "file of rules")
    if not holds_rules_alone(listed):
        raise ConfigError(f"{listed.name} holds no list of rules: write - name: ... for each of them")
    return plain(listed)


def plain(document: Document) -> tuple[Any, Source]:
    """Give what a file of rules alone holds, and where it stands."""
    if isinstance(document.content, Mapping):
        return document.content[KEY], Source(document, (KEY,))
    return document.content, Source(document)


def parse_rules(document: Document) -> tuple[tuple[Rule, ...], Source]:
    """Read a file of rules alone, whose columns nobody declares: each is what the first rule takes it for.

    Raises:
        RulesError: A rule is wrong.
    """
    content, source = plain(document)
    try:
        rules = Rules.model_validate({KEY: content}).rules
    except ValidationError as problem:
        raise RulesError(faults_of(problem, (KEY,)), source) from None
    columns = columns_of(rules)
    faults = [one for i, rule in enumerate(rules) for one in (*doubles(i, rules), *unbindable(i, rule, columns))]
    if faults:
        raise RulesError(faults, source)
    return rules, source


def columns_of(rules: tuple[Rule, ...]) -> Columns:
    """Give the columns of rules without a run file."""
    return inferred_columns(parse_condition(rule.when) for rule in rules)
