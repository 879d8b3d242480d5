"""Who of an export is in a run: a flow of boxes, at each step what is left out and why."""

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from medmm.cohort.flow import Count, Flow
from medmm.evaluation.canvas import COLOURS, GREY, TEXT_POINTS, canvas

MOST_REASONS = 6
"""Reasons that stand in one box; the rarer ones are added up."""

LINE, PADDING, GAP = 0.2, 0.16, 0.28
"""Inches."""

WIDTH, MAIN, SIDE = 7.4, (0.0, 3.3), (3.9, 7.4)
"""Inches: of the figure, and from left to right of the boxes."""


def flowchart(flow: Flow) -> Figure:
    """Draw the flow of patients and studies from the export into the parts of the split."""
    boxes = [(_said(step.there), _reasons(step.left)) for step in flow.steps]
    heights = [_height(there) for there, _ in boxes]
    beside = [_height(left) for _, left in boxes]
    between = [max(GAP, side + 0.2) if side else GAP for side in beside]
    parts = [_said(one) for one in flow.parts]
    last = max(map(_height, parts), default=0)
    whole = sum(heights) + sum(between[:-1]) + (2 * GAP + last if parts else 0) + 0.1
    figure = canvas(WIDTH, whole)
    axes = figure.add_subplot()
    axes.set_axis_off()
    axes.set_xlim(-0.03, WIDTH + 0.03)
    axes.set_ylim(-0.05, whole - 0.05)
    top, middle = whole - 0.1, sum(MAIN) / 2
    for number, ((there, left), height, gap) in enumerate(zip(boxes, heights, between, strict=True)):
        _box(axes, MAIN, top, there, COLOURS[0])
        top -= height
        if number < len(boxes) - 1:
            _arrow(axes, (middle, top), (middle, top - gap))
            if left:
                _arrow(axes, (middle, top - gap / 2), (SIDE[0], top - gap / 2))
                _box(axes, SIDE, top - gap / 2 + _height(left) / 2, left, GREY)
            top -= gap
    width = (WIDTH - 2 * GAP) / 3
    for number, part in enumerate(parts):
        begin = number * (width + GAP)
        centre = begin + width / 2
        axes.plot([middle, centre], [top - GAP] * 2, color=GREY, linewidth=0.8)
        _arrow(axes, (centre, top - GAP), (centre, top - 2 * GAP))
        _box(axes, (begin, begin + width), top - 2 * GAP, part, COLOURS[2])
    if parts:
        axes.plot([middle] * 2, [top, top - GAP], color=GREY, linewidth=0.8)
    return figure


def _said(one: Count) -> list[str]:
    return [one.name, _numbers(one)]


def _numbers(one: Count) -> str:
    patients = f"{one.patients:,} {'patient' if one.patients == 1 else 'patients'}"
    return f"{patients}, {one.studies:,} {'study' if one.studies == 1 else 'studies'}"


def _reasons(left: tuple[Count, ...]) -> list[str]:
    if not left:
        return []
    rest = left[MOST_REASONS:]
    lines = [f"{one.name}: {_numbers(one)}" for one in left[:MOST_REASONS]]
    return ["left out", *lines, *([f"{len(rest)} rarer reasons: {sum(one.studies for one in rest):,} studies"] if rest else [])]


def _height(lines: list[str]) -> float:
    return len(lines) * LINE + PADDING if lines else 0.0


def _box(axes: Axes, sides: tuple[float, float], top: float, lines: list[str], colour: str) -> None:
    from matplotlib.patches import Rectangle

    left, right = sides
    height = _height(lines)
    axes.add_patch(Rectangle((left, top - height), right - left, height, fill=False, edgecolor=colour, linewidth=1.2))
    for number, line in enumerate(lines):
        weight = "bold" if number == 0 else "normal"
        y = top - PADDING / 2 - LINE * (number + 0.5)
        axes.text(left + 0.12, y, line, fontsize=TEXT_POINTS, va="center", ha="left", fontweight=weight)


def _arrow(axes: Axes, start: tuple[float, float], end: tuple[float, float]) -> None:
    arrow = {"arrowstyle": "-|>", "color": GREY, "linewidth": 0.8, "shrinkA": 0, "shrinkB": 0}
    axes.annotate("", xy=end, xytext=start, arrowprops=arrow)
