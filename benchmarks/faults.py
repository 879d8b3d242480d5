"""An image input whose reader hangs, crashes or hoards memory at the files that say so, as a broken decoder would."""

import os
import signal
import time
from dataclasses import replace

from medmm.inputs.image import Image, ImageInput
from medmm.package import Package
from medmm.types import Evidence

HANG, CRASH, HOARD = "hang", "crash", "hoard"
"""How the name of a file begins at which the reader does so."""

HOARD_BYTES = 1 << 24


class FaultyImage(ImageInput):
    """Reads as its kind does, but for those files."""

    def read(self, evidence: Evidence) -> Image:
        """Read, or fail as the name says."""
        name = evidence.files[0].name
        if name.startswith(HANG):
            time.sleep(1e6)
        if name.startswith(CRASH):
            os.kill(os.getpid(), signal.SIGSEGV)
        hoard = []
        while name.startswith(HOARD):
            hoard.append(bytearray(HOARD_BYTES))
        return super().read(evidence)


def faulty(package: Package) -> Package:
    """Give the same model with such readers."""
    inputs = {
        name: FaultyImage(name, one.settings, one.state) if isinstance(one, ImageInput) else one
        for name, one in package.inputs.items()
    }
    return replace(package, inputs=inputs)
