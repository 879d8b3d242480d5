"""Hostile rule files run nothing: each ends quickly in one clear error, or is text that does nothing."""

import builtins
import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from medmm.errors import ConfigError
from medmm.rules.faults import RulesError
from medmm.rules.reading import parse_rules
from medmm.strict_yaml import read_document
from medmm.workflows.cli import app

SECONDS = 5.0
"""Longest that a file may take; on an idle machine each takes far less."""


def when(condition: str) -> str:
    """Give a file with one rule of this condition, as a block, in which YAML changes nothing."""
    return f"- name: a\n  when: |-\n    {condition}\n  then: {{flag: look}}\n"


def then(effect: str) -> str:
    return f"- name: a\n  when: missing(labs.crp)\n  then: {effect}\n"


LAUGHS = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{new}: &{new} [{', '.join([f'*{old}'] * 9)}]\n" for old, new in zip("abcdefgh", "bcdefghi", strict=True)
)
TOUCH = "touch SENTINEL"

REFUSED: dict[str, str] = {
    "tag that calls": f"- !!python/object/apply:os.system ['{TOUCH}']\n",
    "tag that makes an object": "- !!python/object/new:os.system ['touch SENTINEL']\n",
    "tag that names a function": "- {name: !!python/name:os.system '', when: missing(a), then: {flag: x}}\n",
    "tag that loads a module": "- !!python/module:antigravity ''\n",
    "tag of another language": "- !ruby/object:Gem::Installer {i: x}\n",
    "import": when(f"__import__('os').system('{TOUCH}')"),
    "call": when("open('SENTINEL', 'w')"),
    "lambda": when("(lambda: 1)()"),
    "attribute walk": when("labs.__class__.__mro__[1].__subclasses__() > 1"),
    "walrus and comprehension": when("[x for x in (1).__class__.__base__.__subclasses__()]"),
    "semicolon": when("labs.crp > 2 mg/L; import os"),
    "operators of Python": when("labs.crp > 2 and exec('x')"),
    "power": when("labs.crp > 9**9**9**9"),
    "shell": when("$(touch SENTINEL)"),
    "backticks": when("`touch SENTINEL` > 3"),
    "template": when("{{ config.__class__ }}"),
    "format string": when("labs.{0.__class__} > 3"),
    "SQL": when("labs.crp > 3'; DROP TABLE studies; --"),
    "regular expression": when('labs.crp matches "(a+)+$"'),
    "pandas query": when("@pd.io.common.os.system('touch SENTINEL')"),
    "deep condition": when("not(" * 400 + "labs.crp > 1" + ")" * 400),
    "open brackets": when("all(" * 450),
    "long condition": when("all(" + ", ".join(["labs.crp > 1 mg/L"] * 5000) + ")"),
    "long word": when("a" * 1900 + "!" + " > 3"),
    "many spaces": when("labs.crp > 3" + " " * 1900 + "!"),
    "huge number": when("labs.crp > 1" + "0" * 400),
    "huge exponent": when("labs.crp > 1e999999999"),
    "not a number": when("labs.crp > nan"),
    "infinite": when("labs.crp < inf"),
    "huge whole number": "- {name: a, when: missing(a), then: {floor: {probability: 1" + "0" * 5000 + "}}}\n",
    "probability that is no number": then("{floor: {probability: .nan}}"),
    "infinite weight": then("{penalty: {at_least: 0.5, weight: .inf}}"),
    "deep lists": "- " + "[" * 5000 + "]" * 5000 + "\n",
    "deep mappings": "- " + "{a: " * 3000 + "1" + "}" * 3000 + "\n",
    "billion laughs": LAUGHS + "rules: *i\n",
    "a list that holds itself": "- &a [*a]\n",
    "a mapping that holds itself": "&a\nrules: *a\n",
    "merge bomb": LAUGHS + "<<: {rules: *i}\n",
    "key twice": "- {name: a, name: b, when: missing(a), then: {flag: x}}\n",
    "unhashable key": "- {[a]: b}\n",
    "escape sequence in a message": then('{flag: "\\e[31mred\\e[0m"}'),
    "bell and title": then('{alert: "\\a\\e]0;owned\\a"}'),
    "NUL in a message": then('{flag: "a\\0b"}'),
    "text that runs backwards": then('{flag: "\\u202egnp.exe"}'),
    "raw NUL": "- name: a\0\n",
    "raw escape": "- name: \x1b[31m\n",
    "name as a path": "- {name: ../../etc/passwd, when: missing(a), then: {flag: x}}\n",
    "name as markup": "- {name: '[red]a[/red]', when: missing(a), then: {flag: x}}\n",
    "name with a line break": '- {name: "a\\nb", when: missing(a), then: {flag: x}}\n',
    "name of look-alikes": "- {name: \u0430dmin, when: missing(a), then: {flag: x}}\n",
    "greater than of another script": when("labs.crp \uff1e 3 mg/L"),
    "digits of another script": when("labs.crp > \u0663 mg/L x"),
    "zero width": when("labs.c\u200brp > 3 mg/L"),
    "long message": then("{flag: " + "x" * 100_000 + "}"),
    "many rules": "".join(f"- {{name: a{i}, when: missing(a), then: {{flag: x}}}}\n" for i in range(1000)),
    "long file": "- name: " + "x" * 1_000_001,
    "several documents": when("labs.crp > 3 mg/L") + "---\n- !!python/name:os.system ''\n",
    "effect as code": then("{exec: 'import os'}"),
    "unit as code": when("labs.crp > 3 __import__"),
    "unit of pint": when("labs.crp > 3 kg**9**9"),
}
"""What is refused."""

INERT: dict[str, str] = {
    "markup in a message": then("{flag: '[red]stop[/red] [link=file:///etc/passwd]x[/link]'}"),
    "markup that does not close": then("{alert: '[/nothing] [bold'}"),
    "template in a message": then("{flag: '{{ 7*7 }} ${x} %(y)s {0.__class__}'}"),
    "SQL in a text": when('labs.ward is "\'; DROP TABLE x; --"'),
    "HTML in a message": then("{flag: '<script>alert(1)</script>'}"),
    "formula in a message": then("{flag: '=cmd|calc!A1'}"),
    "path in a text": when('labs.ward is "../../etc/passwd"'),
    "expression in a text": when("labs.ward is \"__import__('os').system('touch SENTINEL')\""),
    "column of Python": when("labs.__class__ > 3"),
    "a message with line breaks": then('{flag: "a\\nb\\tc"}'),
}
"""What is text and nothing else."""


def forbidden(*_args: Any, **_options: Any) -> Any:
    raise AssertionError("something was run")


@pytest.fixture
def guarded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder with a file that is to be read, in which nothing else may appear, while nothing can be run."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "rules.yaml").write_text(when("labs.crp > 3 mg/L"))
    assert CliRunner().invoke(app, ["rules", "check", "rules.yaml"]).exit_code == 0  # all is imported before the guard stands
    with pytest.raises(ConfigError):
        (tmp_path / "rules.yaml").write_text("- {name: a}")
        parse_rules(read_document(tmp_path / "rules.yaml", "file of rules"))
    for module, name in (
        (builtins, "eval"), (builtins, "exec"), (os, "system"), (os, "popen"), (subprocess, "Popen"),
    ):  # fmt: skip
        monkeypatch.setattr(module, name, forbidden)
    yield tmp_path
    assert sorted(path.name for path in tmp_path.iterdir()) == ["rules.yaml"]


def test_there_are_thirty_and_more() -> None:
    assert len(REFUSED) + len(INERT) >= 30


@pytest.mark.parametrize("name", REFUSED)
def test_a_hostile_file_is_refused_and_runs_nothing(guarded: Path, name: str) -> None:
    (guarded / "rules.yaml").write_text(REFUSED[name], encoding="utf-8")
    start = time.monotonic()
    with pytest.raises(ConfigError) as caught:
        parse_rules(read_document(guarded / "rules.yaml", "file of rules"))
    assert time.monotonic() - start < SECONDS
    message = str(caught.value)
    assert "rules.yaml" in message
    assert len(message) < 2000
    assert message.isprintable()


@pytest.mark.parametrize("name", INERT)
def test_text_is_text(guarded: Path, name: str) -> None:
    (guarded / "rules.yaml").write_text(INERT[name], encoding="utf-8")
    (one,), _ = parse_rules(read_document(guarded / "rules.yaml", "file of rules"))
    assert (one.then.message or "").isprintable()


@pytest.mark.parametrize("name", [*REFUSED, *INERT])
def test_the_command_says_one_thing_and_shows_text_as_it_is(guarded: Path, name: str) -> None:
    content = (REFUSED | INERT)[name]
    (guarded / "rules.yaml").write_text(content, encoding="utf-8")
    answer = CliRunner().invoke(app, ["rules", "check", "rules.yaml"], env={"COLUMNS": "500"})
    assert answer.exit_code == (1 if name in REFUSED else 0), answer.output
    assert answer.exception is None or isinstance(answer.exception, SystemExit)
    assert "\x1b" not in answer.output
    assert all(line.isprintable() for line in answer.output.splitlines())
    if name in INERT and "flag: '" in content:
        assert content.partition("flag: '")[2].partition("'}")[0] in answer.output


def test_a_wrong_rule_is_a_wrong_rule_and_not_something_that_was_not_foreseen() -> None:
    assert issubclass(RulesError, ConfigError)
