import pytest
from pydantic import ValidationError

from medmm.errors import ConfigError
from medmm.settings import Settings, named_choice
from medmm.tables import Table


class Loop(Settings):
    epochs: int = 3
    """Passes."""


def test_an_unknown_key_is_refused_with_the_nearest_known_one() -> None:
    with pytest.raises(ValidationError, match="unknown key 'epoch': did you mean 'epochs'"):
        Loop.model_validate({"epoch": 5})


def test_settings_cannot_change() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        Loop().epochs = 4  # type: ignore[misc]


def test_the_text_below_a_field_is_its_help() -> None:
    assert Loop.model_fields["epochs"].description == "Passes."


def test_a_number_that_is_none_is_refused() -> None:
    class Rate(Settings):
        rate: float

    with pytest.raises(ValidationError, match="finite"):
        Rate.model_validate({"rate": float("nan")})


def test_a_table_names_the_nearest_choice_or_all() -> None:
    table = Table("fusion", {"concat": 1, "weighted": 2})
    assert table.pick("concat") == 1
    with pytest.raises(ConfigError, match="no fusion is called 'conct': did you mean 'concat'"):
        table.pick("conct")
    with pytest.raises(ConfigError, match="known are concat, weighted"):
        table.pick("zzz")


def test_a_choice_is_made_by_its_name_alone_or_with_settings() -> None:
    class Named(Settings):
        name: str = "named"
        rate: float = 1.0

    choose = named_choice("name", lambda: Table("thing", {"named": Named}))
    assert choose("named") == Named()
    assert choose({"name": "named", "rate": 2.0}) == Named(rate=2.0)
    with pytest.raises(ValueError, match="needs the key 'name', one of named"):
        choose({"rate": 2.0})
