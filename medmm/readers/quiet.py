"""What pydicom says while it reads is for nobody's ears: its warnings and its log quote values, a patient's name among them.

It logs each of its warnings too, so that filtering warnings alone would leave the words in the log of whoever set one up.
"""

import logging
import threading
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

LOGGER = "pydicom"

_lock = threading.Lock()
_reading = 0  # how many blocks are under way, in any thread
_undo = ExitStack()


@contextmanager
def quiet() -> Iterator[None]:
    """Let no user warning and no line of pydicom's log out while the block runs; may be nested, and run in threads.

    Both are settings of the whole process. The first block to start sets them and the last to end puts them back, in whatever
    order threads come and go.
    """
    global _reading  # noqa: PLW0603 - as the settings are the process's, so is the count
    with _lock:
        _reading += 1
        if _reading == 1:
            _hush()
    try:
        yield
    finally:
        with _lock:
            _reading -= 1
            if _reading == 0:
                _undo.close()


def _hush() -> None:
    logger = logging.getLogger(LOGGER)
    _undo.callback(setattr, logger, "propagate", logger.propagate)
    logger.propagate = False
    _undo.enter_context(warnings.catch_warnings())
    warnings.simplefilter("ignore", UserWarning)
