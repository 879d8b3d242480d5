"""One item of a reporting guideline."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Item:
    """What a guideline asks for.

    Attributes:
        number: As the guideline counts.
        topic: What it is about, in our own words.
        answer: Name of the answer that an evaluation may have; "" where no program can know it.
        remains: What a human must add even then; "" for nothing.
    """

    number: str
    topic: str
    answer: str = ""
    remains: str = ""


@dataclass(frozen=True)
class Checklist:
    """A guideline.

    Attributes:
        name: Safe as a file name.
        title: For the eye.
        source: Where to read it.
        items: In its order.
        note: What a reader must know of this table; "" for nothing.
    """

    name: str
    title: str
    source: str
    items: tuple[Item, ...]
    note: str = ""
