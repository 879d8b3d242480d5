"""The base of all settings: frozen, closed, and documented by the text below each field."""

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias, TypeVar

from pydantic import BaseModel, ConfigDict, model_validator

from medmm.tables import Table, nearest

Plain: TypeAlias = Any
"""What JSON can say: None, bool, int, float, str, and lists and dictionaries of these. Fitted state is made of it."""


class WrongKey(ValueError):  # noqa: N818 - what it is
    """A key that cannot be used, such as one that settings do not have."""

    def __init__(self, key: str, message: str) -> None:
        super().__init__(message)
        self.key = key


class Settings(BaseModel):
    """Settings that cannot change, know every key they accept, and carry their own help."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True, allow_inf_nan=False)

    @model_validator(mode="before")
    @classmethod
    def _keys_are_known(cls, data: object) -> object:
        if isinstance(data, Mapping):
            known = [field.alias or name for name, field in cls.model_fields.items()]
            for key in data:
                if key not in known:
                    raise WrongKey(str(key), f"unknown key {key!r}: {nearest(str(key), known)}")
        return data


SettingsT = TypeVar("SettingsT", bound=Settings)


def named_choice(key: str, table: Callable[[], Table[type[SettingsT]]]) -> Callable[[object], object]:
    """Make a validator that turns `{key: NAME, ...}`, or NAME alone, into the settings class that a table has under NAME."""

    def choose(value: object) -> object:
        if isinstance(value, str):
            value = {key: value}
        if not isinstance(value, Mapping):
            return value
        if key not in value:
            raise ValueError(f"needs the key {key!r}, one of {', '.join(table())}")
        return table().pick(str(value[key])).model_validate(dict(value))

    return choose
