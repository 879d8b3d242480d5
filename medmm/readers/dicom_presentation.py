"""Values as a screen shows them: through the VOI window or lookup table of the header.

Source: DICOM PS3.3, sections C.11.2.1.1 (LUT), C.11.2.1.2 (window), C.11.2.1.3 (functions); C.7.6.3.1.2 (MONOCHROME1).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from medmm.readers.dicom_attributes import Attributes
from medmm.readers.dicom_lookup import Lookup, voi_lookup
from medmm.types import Array

LINEAR, LINEAR_EXACT, SIGMOID = "LINEAR", "LINEAR_EXACT", "SIGMOID"


@dataclass(frozen=True, slots=True)
class Presentation:
    """One way to show values.

    Attributes:
        centre, width: Of the window; unused where there is a table.
        function: LINEAR, LINEAR_EXACT or SIGMOID.
        lookup: The table that stands for the window; None where there is none.
        inverted: Whether small values are bright (MONOCHROME1).
    """

    centre: float
    width: float
    function: str
    lookup: Lookup | None
    inverted: bool

    def __call__(self, values: Array) -> Array:
        """Give real values as 0 (black) to 1 (white), float32, of the same shape."""
        if self.lookup is not None:
            shown = self.lookup(np.rint(values)) / ((1 << self.lookup.bits) - 1)
        elif self.function == SIGMOID:
            shown = 1 / (1 + np.exp(-4 * (values - self.centre) / self.width))
        elif self.function == LINEAR_EXACT:
            shown = (values - self.centre) / self.width + 0.5
        elif self.width == 1:  # a step; the formula below would divide by zero
            shown = (values > self.centre - 0.5).astype(np.float64)
        else:
            shown = (values - (self.centre - 0.5)) / (self.width - 1) + 0.5
        shown = np.clip(shown, 0, 1)
        return np.asarray(1 - shown if self.inverted else shown, np.float32)


def presentation_of(attributes: Attributes, photometric: str, signed: bool) -> Presentation:
    """Give how the header shows its values: its first table, else its first window.

    Raises:
        Rejected: HEADER where it has neither, or an impossible one.
    """
    inverted = photometric == "MONOCHROME1"
    lookup = voi_lookup(attributes, signed)
    if lookup is not None:
        return Presentation(0, 1, LINEAR, lookup, inverted)
    centres, widths = attributes.numbers("WindowCenter"), attributes.numbers("WindowWidth")
    if not centres or not widths:
        raise attributes.missing("WindowCenter and WindowWidth, or VOILUTSequence")
    function = attributes.text("VOILUTFunction") or LINEAR
    if function not in (LINEAR, LINEAR_EXACT, SIGMOID):
        raise attributes.impossible("VOILUTFunction", "an unknown function", "LINEAR, LINEAR_EXACT or SIGMOID")
    if widths[0] <= 0 or (function == LINEAR and widths[0] < 1):
        raise attributes.impossible("WindowWidth", f"{widths[0]:g}", "at least 1, or above 0 for the other functions")
    return Presentation(centres[0], widths[0], function, None, inverted)
