"""What torch and ONNX say of themselves while they export or compile, kept from the screen; an error is never kept."""

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def quietly() -> Iterator[None]:
    """Let warnings and log lines below an error go unsaid: they speak of torch's own parts, and nobody can act on them."""
    before = logging.root.manager.disable
    logging.disable(max(before, logging.WARNING))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)
