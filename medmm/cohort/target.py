"""What is to be predicted: from the text of a table's cell to one number a class."""

from typing import Self

from pydantic import Field, model_validator

from medmm.errors import Code, Rejected
from medmm.settings import Settings
from medmm.types import Task


class TargetSettings(Settings):
    """The column that holds the truth, and how to read it."""

    column: str
    """Column of the studies table. An empty cell is a study without a label."""

    task: Task = "binary"
    """One of two, one of several, or any number of several."""

    positive: str | None = None
    """For a binary task: the value that counts as positive; every other value is negative."""

    classes: tuple[str, ...] = ()
    """For the other tasks: the values, in the order of the scores."""

    separator: str = Field(";", min_length=1)
    """For a multilabel task: what stands between two classes in a cell; a single separator means none of them."""

    @model_validator(mode="after")
    def _classes_fit_the_task(self) -> Self:
        if self.task == "binary" and (not self.positive or self.classes):
            raise ValueError("a binary target needs 'positive' and no 'classes'")
        if self.task != "binary" and (len(self.classes) < 2 or self.positive is not None):
            raise ValueError(f"a {self.task} target needs two or more 'classes' and no 'positive'")
        if len(set(self.classes)) < len(self.classes) or not all(name.strip() for name in self.classes):
            raise ValueError("every class has a name, and no two have the same")
        if self.task == "multilabel" and any(self.separator in name for name in self.classes):
            raise ValueError(f"a class holds the separator {self.separator!r}: set another separator")
        return self

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the C columns of a score: the positive class alone for a binary task."""
        return (self.positive,) if self.positive is not None else self.classes

    def encode(self, cell: str) -> tuple[float, ...] | None:
        """Give (C,) of 0 and 1 for a cell, None for an empty one.

        Raises:
            Rejected: `CATEGORY`, the cell names a class that is not declared.
        """
        if not cell:
            return None
        if self.task == "binary":
            return (float(cell == self.positive),)
        parts = [cell] if self.task == "multiclass" else [part.strip() for part in cell.split(self.separator) if part.strip()]
        if not set(parts) <= set(self.classes):
            raise Rejected(
                Code.CATEGORY, "target", "a class that is not declared", " or ".join(self.classes), "add it to target.classes"
            )
        return tuple(float(name in parts) for name in self.classes)
