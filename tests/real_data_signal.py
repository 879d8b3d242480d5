"""Real, public electrocardiograms: LUDB, 200 recordings of 12 leads and 10 s at 500 Hz."""

import re
from pathlib import Path

import numpy as np

from medmm.types import Array

LUDB = Path(__file__).parents[1].parent / "shared" / "data" / "ludb_ecg"
LUDB_HZ = 500.0


def ludb(record: int) -> Array:
    """Give a recording, (12, 5000) float32 millivolt: format 16 of WFDB, whose header states gain and baseline of each lead."""
    head = (LUDB / "wfdb" / f"{record}.hea").read_text(encoding="ascii").splitlines()[1:13]
    gains = [[float(number) for number in re.findall(r"([\d.]+)\((-?\d+)\)/mV", line)[0]] for line in head]
    gain, baseline = np.array(gains).T[:, :, np.newaxis]
    raw = np.fromfile(LUDB / "wfdb" / f"{record}.dat", "<i2").reshape(-1, 12).T
    return np.asarray((raw - baseline) / gain, np.float32)
