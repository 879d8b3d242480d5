"""The maps of an explanation drawn on the images, as the model saw them.

Orange speaks for the answer, blue against it, and what is clear does neither. The figures are black in every light, as
images are read. No text of a run file or a header stands in them.
"""

from __future__ import annotations

import io
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import LinearSegmentedColormap, Normalize
from matplotlib.figure import Figure

from medmm.evaluation.canvas import COLOURS
from medmm.explanation.images import ImageShare
from medmm.types import Array

FOR, AGAINST = COLOURS[1], COLOURS[0]
MAP = LinearSegmentedColormap.from_list("for and against", [AGAINST, "#1c1c1c", FOR])

NO_BETTER = "Did not pass the deletion test: what is marked is no better than chance"
"""Stands in the picture of a map of which that is so."""

MOST_OPAQUE = 0.62
LEAST_SHOWN = 0.12
"""Of the strongest place; what is weaker is not coloured."""

PEAKS = 2
"""Slices of a volume that are shown with their neighbours; of several images, one fewer than are shown."""

MOST_SHOWN = 6
PANEL_INCH = 2.0
BLACK, WHITE, AMBER = "#000000", "#e8eaed", "#ffd24d"
PIXELS_PER_INCH = 130


@dataclass(frozen=True)
class Panel:
    """One slice or image.

    Attributes:
        pixels: (rows, columns) or (rows, columns, 3) in [0, 1].
        map: (rows, columns).
        caption: Which it is.
        sides: Letters at the left, right, top and bottom.
    """

    pixels: Array
    map: Array
    caption: str
    sides: tuple[str, str, str, str]


def panels(share: ImageShare) -> list[Panel]:
    """Choose what is shown: of a volume the slices that matter most with their neighbours, of several images those that do."""
    volumes = share.map.ndim == 4
    strength = np.abs(share.map)
    if not volumes:
        order = np.argsort(-strength.reshape(len(strength), -1).sum(1), kind="stable")[: PEAKS + 1]
        named = len(strength) > 1
        return [
            Panel(_grey(share.pixels[i]), share.map[i], f"image {i + 1} of {len(strength)}" if named else "", share.sides[i])
            for i in sorted(order.tolist())
        ]
    by_slice = strength.sum((1, 2))  # (P, slices)
    chosen: list[tuple[int, int]] = []
    depth = by_slice.shape[1]
    for flat in np.argsort(-by_slice.ravel(), kind="stable").tolist():
        image, place = divmod(flat, depth)
        if any(image == other and abs(place - known) < 3 for other, known in chosen):
            continue  # its neighbours are shown already
        chosen.append((image, place))
        if len(chosen) == PEAKS:
            break
    shown = {(i, near) for i, place in chosen for near in range(max(0, place - 1), min(depth, place + 2))}
    return [_slice(share, image, place, chosen) for image, place in sorted(shown)[:MOST_SHOWN]]


def draw(share: ImageShare, warning: str = "") -> Figure:
    """Draw images above, and the same with their maps below, beside a colour bar.

    Args:
        share: What is drawn.
        warning: Stands in the picture itself.
    """
    shown = panels(share)
    single = len(shown) == 1
    columns, rows = (2, 1) if single else (len(shown), 2)
    side = PANEL_INCH * (1.6 if single else 1.0)
    figure = Figure(
        figsize=(columns * side + 1.0, rows * side + 0.35 * bool(warning) + 0.3),
        dpi=PIXELS_PER_INCH,
        layout="constrained",
        facecolor=BLACK,
    )
    grid = figure.subplots(rows, columns, squeeze=False)
    most = float(np.quantile(np.abs(share.map), 0.999)) or float(np.abs(share.map).max()) or 1.0
    for place, panel in enumerate(shown):
        _draw(grid[0][0 if single else place], panel, None)
        _draw(grid[0][1] if single else grid[1][place], panel, most)
    scaled = share.method == "occlusion"  # the others are in no unit that a reader could use
    for_, against = (f"\n+{most:.2g}", f"\n\N{MINUS SIGN}{most:.2g}") if scaled else ("", "")
    bar = figure.colorbar(ScalarMappable(Normalize(-most, most), MAP), ax=grid, shrink=0.8, aspect=22, pad=0.02)
    bar.set_ticks([-most, 0, most], labels=[f"speaks\nagainst{against}", "neither", f"speaks\nfor{for_}"])
    bar.ax.tick_params(colors=WHITE, labelsize=8, length=0)
    bar.outline.set_visible(False)
    if warning:
        figure.suptitle(warning, color=AMBER, fontsize=9, fontweight="bold", x=0.01, ha="left", parse_math=False)
    return figure


def png(figure: Figure) -> bytes:
    """Give a figure as PNG, with nothing in it but the picture."""
    content = io.BytesIO()
    figure.savefig(content, format="png", facecolor=figure.get_facecolor(), metadata={"Software": None})
    return content.getvalue()


def _draw(axes: Axes, panel: Panel, most: float | None) -> None:
    axes.imshow(panel.pixels, cmap="gray", vmin=0, vmax=1, interpolation="bilinear")
    if most is not None:
        share = np.clip(panel.map / most, -1, 1)
        colour = MAP(Normalize(-1, 1)(np.sign(share)))
        colour[..., 3] = np.where(np.abs(share) < LEAST_SHOWN, 0, np.abs(share) * MOST_OPAQUE)
        axes.imshow(colour, interpolation="bilinear")
    axes.set_axis_off()
    if panel.caption:
        axes.set_title(panel.caption, color=WHITE, fontsize=8, parse_math=False, pad=3)
    places = ((0.02, 0.5, "left", "center"), (0.98, 0.5, "right", "center"), (0.5, 0.98, "center", "top"))
    for letter, (x, y, across, down) in zip(panel.sides, (*places, (0.5, 0.02, "center", "bottom")), strict=True):
        if letter:
            axes.text(x, y, letter, color=AMBER, fontsize=8, ha=across, va=down, transform=axes.transAxes)


def _slice(share: ImageShare, image: int, place: int, peaks: list[tuple[int, int]]) -> Panel:
    pixels, own = share.pixels[image][..., place], share.map[image][..., place]
    depth = share.map.shape[-1]
    what = "slice" if share.oriented[image] else "frame"
    which = f"image {image + 1}, " if len(share.map) > 1 else ""
    caption = f"{which}{what} {place + 1} of {depth}" + (" (strongest)" if (image, place) == peaks[0] else "")
    if not share.oriented[image]:
        return Panel(_grey(pixels), own, caption, share.sides[image])
    # (R, A): the patient's right at the left, the front at the top, as in medmm.preview.pictures
    return Panel(_grey(pixels[:, ::-1, ::-1].swapaxes(1, 2)), own[::-1, ::-1].T, caption, share.sides[image])


def _grey(pixels: Array) -> Array:
    """Give (K, rows, columns) as an image for the eye."""
    shown = np.clip(pixels, 0, 1)
    return shown[0] if len(shown) == 1 else np.moveaxis(shown, 0, -1)
