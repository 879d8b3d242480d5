"""An explanation as plain data: what its page says, and no more."""

from dataclasses import asdict

import numpy as np

from medmm.explanation.deletion import Deletion
from medmm.explanation.images import ImageShare
from medmm.explanation.signals import SignalShare, strongest
from medmm.explanation.study import Explanation
from medmm.settings import Plain

STRONGEST = 5


def plain(one: Explanation) -> Plain:
    """Give an explanation as plain data; of a map its strongest places, for the picture shows the whole."""
    return {
        "row": one.row,
        "model": one.model,
        "model_digest": one.digest,
        "task": one.task,
        "scale": one.scale,
        "answer": {
            "explained": one.answer.explained.name,
            "noun": one.answer.noun,
            "unit": one.answer.unit,
            "calibrated": one.answer.calibrated,
            "lines": [asdict(line) for line in one.answer.lines],
        },
        "start": one.start,
        "inputs": [asdict(share) for share in one.inputs],
        "images": [_image(share) for share in one.images],
        "signals": [_signal(share) for share in one.signals],
        "tables": [
            {"name": share.name, "cells": [asdict(cell) for cell in share.cells], "deletion": _deletion(share.deletion)}
            for share in one.tables
        ],
        "notes": [
            {
                "name": share.name,
                "words": share.words,
                "words_taken_together": share.each,
                "withheld": share.withheld,
                "telling": [asdict(word) for word in share.telling],
                "deletion": _deletion(share.deletion),
            }
            for share in one.notes
        ],
        "rules": [str(fired) for fired in one.fired],
        "nearest": [asdict(near) for near in one.neighbours],
    }


def _image(share: ImageShare) -> Plain:
    order = np.argsort(-np.abs(share.map).ravel(), kind="stable")[:STRONGEST]
    places = np.stack(np.unravel_index(order, share.map.shape), axis=1)
    return {
        "name": share.name,
        "method": share.method,
        "strongest": [
            {"image": int(place[0]), "place": place[1:].tolist(), "adds": float(share.map[tuple(place)])} for place in places
        ],
        "deletion": _deletion(share.deletion),
    }


def _signal(share: SignalShare) -> Plain:
    return {
        "name": share.name,
        "method": share.method,
        "strongest": [asdict(place) for place in strongest(share, STRONGEST)],
        "deletion": _deletion(share.deletion),
    }


def _deletion(one: Deletion) -> Plain:
    return {
        **{name: list(value) if isinstance(value, tuple) else value for name, value in asdict(one).items()},
        "passed": one.passed,
    }
