"""What a person at the terminal sees: bars where there is a terminal, lines where there is none."""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from medmm.inert import visible
from medmm.privacy.gate import GATE

if TYPE_CHECKING:
    from medmm.evaluation.intervals import Estimate

QUIET_SECONDS = 5.0  # longest silence of a bar that is written as lines


class Step(Protocol):
    """Told how far a piece of work is."""

    def __call__(self, done: int, whole: int, note: str = "") -> None:
        """Show what is done, of the whole, and a word beside it."""


class Screen:
    """Writes to the terminal, where no text moves the cursor, names a window, makes a link, forges a line or turns around.

    Args:
        console: Where to.
    """

    def __init__(self, console: Console) -> None:
        self.console = console

    def say(self, text: str, *, marked: bool = False) -> None:
        """Write one line.

        Args:
            text: As it is to be read.
            marked: Whether `[bold]` and the like in it are styles; what else stands in it has to be escaped.
        """
        shown = visible(GATE.text(text, "the screen"))
        self.console.print(Text.from_markup(shown, emoji=False) if marked else Text(shown), soft_wrap=True)

    def table(self, title: str, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
        """Write a table; columns of numbers are aligned at the right."""
        table = Table(
            title=Text(visible(title)), title_justify="left", title_style="bold", header_style="bold", box=None, pad_edge=False
        )
        for i, column in enumerate(columns):
            number = all(isinstance(row[i], int | float) for row in rows)
            table.add_column(Text(visible(column)), justify="right" if number else "left")
        for row in rows:
            table.add_row(*(Text(visible(GATE.text(str(cell), "the screen"))) for cell in row))
        self.console.print(table)

    @contextmanager
    def step(self, title: str) -> Iterator[Step]:
        """Show the progress of a piece of work."""
        if self.console.is_terminal:
            name, beside = TextColumn("{task.description:<32}", markup=False), TextColumn("{task.fields[note]}", markup=False)
            columns = (name, BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), beside)
            with Progress(*columns, console=self.console) as progress:
                task = progress.add_task(visible(title), total=None, note="")

                def draw(done: int, whole: int, note: str = "") -> None:
                    progress.update(task, completed=done, total=whole, note=visible(note))

                yield draw
            return
        start = last = time.monotonic()
        self.say(f"{title} ...")
        state = (0, 0, "")

        def write(done: int, whole: int, note: str = "") -> None:
            nonlocal last, state
            state = (done, whole, note)
            if time.monotonic() - last > QUIET_SECONDS:
                last = time.monotonic()
                self.say(f"  {done}/{whole} {note}".rstrip())

        yield write
        self.say(f"  {state[0]}/{state[1]} {state[2]}".rstrip() + f" ({time.monotonic() - start:.0f} s)")


def with_interval(estimate: "Estimate") -> str:
    """Give a number with its 95 % interval."""
    return f"{estimate.value:.3f} [{estimate.low:.3f}, {estimate.high:.3f}]"
