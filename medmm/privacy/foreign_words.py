"""What other programs say, kept from screen and log: their errors, warnings and log lines may quote a path, a cell or a name.

Who it was and where stays; the words are shown on purpose only, under `MEDMM_TRACEBACK=1`, to who may see what they quote.
"""

import logging
import os
import sys
import threading
import traceback
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, TextIO

TRACEBACK = "MEDMM_TRACEBACK"
OURS = ("medmm", "workflows")
"""First part of the names of our modules; a checkout calls its workflows by their own name."""

SHOWS = f"{TRACEBACK}=1 shows its words, which may hold a name"


def in_one_line(error: BaseException) -> str:
    """Say what kind of error it is and where in our code it came up, and none of its words."""
    return f"a fault of the program ({type(error).__name__} at {_place(error.__traceback__)}): please report this line; {SHOWS}"


@contextmanager
def withheld() -> Iterator[None]:
    """Let no words of other programs out while the block runs; for a command, since these are settings of the process."""
    if os.environ.get(TRACEBACK):
        yield
        return
    before = sys.excepthook, threading.excepthook, sys.unraisablehook, warnings.showwarning
    make = logging.getLogRecordFactory()

    def record(*args: Any, **kwargs: Any) -> logging.LogRecord:
        made = make(*args, **kwargs)
        if made.name.partition(".")[0] not in OURS:
            made.msg = f"words of {made.name} withheld ({made.module}, line {made.lineno}): {SHOWS}"
            made.args, made.exc_info, made.exc_text, made.stack_info = (), None, None, None
        return made

    sys.excepthook = lambda kind, error, trace: _say(in_one_line(error))
    threading.excepthook = lambda what: _say(f"a thread: {what.exc_type.__name__} at {_place(what.exc_traceback)}; {SHOWS}")
    sys.unraisablehook = lambda what: _say(
        f"an object's end: {what.exc_type.__name__} at {_place(what.exc_traceback)}; {SHOWS}"
    )
    warnings.showwarning = _warning
    logging.setLogRecordFactory(record)
    try:
        yield
    finally:
        logging.setLogRecordFactory(make)
        sys.excepthook, threading.excepthook, sys.unraisablehook, warnings.showwarning = before


def _warning(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,
    line: str | None = None,
) -> None:
    _say(f"a warning of {_module(filename)} ({category.__name__}, line {lineno}); {SHOWS}")


def _module(filename: str) -> str:
    """Give the module of an installed file by its path below the packages; a script elsewhere may be called anything."""
    parts = Path(filename).with_suffix("").parts
    for start in ("site-packages", "dist-packages", f"python{sys.version_info.major}.{sys.version_info.minor}"):
        if start in parts:
            return ".".join(parts[parts.index(start) + 1 :])
    return "medmm" if "medmm" in parts else "another program"


def _place(trace: TracebackType | None) -> str:
    """Give the innermost place in our code."""
    frames = [(frame.f_globals.get("__name__", ""), line, frame.f_code.co_name) for frame, line in traceback.walk_tb(trace)]
    ours = [one for one in frames if str(one[0]).partition(".")[0] in OURS]
    return f"{ours[-1][0]}, line {ours[-1][1]}, in {ours[-1][2]}" if ours else "no place of ours"


def _say(text: str) -> None:
    if sys.stderr is not None:
        sys.stderr.write(f"medmm: {text}\n")
