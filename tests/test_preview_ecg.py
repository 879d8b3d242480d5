"""A drawn ECG has the millimetres of its paper, other signals their own scale, and a name of a lead does nothing."""

import re
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from browser import needs_chromium, visit

from medmm.preview.ecg import LEAD_IN_MM, MM_PER_MV, MM_PER_S, STANDARD, draw_ecg, is_ecg, round_up
from medmm.preview.page import page, picture
from medmm.preview.signals import draw_signal, draw_spectrogram
from medmm.preview.trace import AGAINST, FOR, UNIT_MM, Saliency, trace
from medmm.types import Array, Waveform

LUDB = Path(__file__).parents[2] / "shared" / "data" / "ludb_ecg" / "wfdb"
SVG = "{http://www.w3.org/2000/svg}"
RATE = 500.0
HOSTILE = '\u202e\x00\ud800</text><script>alert("x")</script><image href="http://example.org/x"/>'


def points(commands: str) -> list[Array]:
    """Give the corners (N, 2) of each line of a path in millimetres, read as SVG 2, section 9.3, has them."""
    lines = []
    for start, moves in re.findall(r"M([^lM]*)l([^M]*)", commands):
        numbers = [np.array(re.findall(r"-?\d+", part), int).reshape(-1, 2) for part in (start, moves)]
        lines.append(np.cumsum(np.concatenate(numbers), axis=0) * UNIT_MM)
    return lines


@dataclass(frozen=True)
class Drawn:
    """A picture that was read again."""

    root: ElementTree.Element

    @classmethod
    def of(cls, svg: str) -> "Drawn":
        return cls(ElementTree.fromstring(svg))

    @property
    def pens(self) -> list[list[Array]]:
        """Lines of each path of `trace`."""
        paths = [one for one in self.root.iter(f"{SVG}path") if one.get("transform")]
        assert {one.get("transform") for one in paths} == {f"scale({UNIT_MM})"}
        return [points(one.attrib["d"]) for one in paths]

    @property
    def traces(self) -> list[Array]:
        """Lines of leads, without pulses of calibration."""
        inside = [path for group in self.root.iter(f"{SVG}g") for path in group.iter(f"{SVG}path")]
        return [line for path in inside for line in points(path.attrib["d"])]

    @property
    def texts(self) -> list[str]:
        return ["".join(one.itertext()) for one in self.root.iter(f"{SVG}text")]

    @property
    def size_mm(self) -> tuple[float, float]:
        size = (self.root.attrib["width"], self.root.attrib["height"])
        assert all(one.endswith("mm") for one in size)
        across, down = (float(one.removesuffix("mm")) for one in size)
        assert self.root.attrib["viewBox"] == f"0 0 {across:g} {down:g}"  # a unit is a millimetre
        return across, down

    def bands(self, colour: str) -> list[tuple[float, float, float, float]]:
        """Give left, top, width and height of the marked places of a colour."""
        found = []
        for one in self.root.iter(f"{SVG}path"):
            if one.get("fill") == colour:
                boxes = re.findall(r"M(\S+) (\S+)h([\d.]+)v([\d.]+)", one.attrib["d"])
                found += [(float(left), float(top), float(wide), float(high)) for left, top, wide, high in boxes]
        return sorted(found)


def ecg(seconds: float = 10.0, leads: tuple[str, ...] = STANDARD, unit: str = "mV", step_at_s: float = 1.0) -> Waveform:
    """Make leads that step from 0 to 1 mV for a fifth of a second each second, the n-th n milliseconds later."""
    times = np.arange(round(seconds * RATE)) / RATE
    values = [((times - step_at_s - 0.002 * n) % 1 < 0.2 - 1e-9).astype(np.float32) for n in range(len(leads))]
    return Waveform(np.stack(values), RATE, leads, (unit,) * len(leads))


def steps(line: Array) -> Array:
    """Give the times in mm at which a line rises by more than half a millivolt."""
    return line[1:][np.diff(line[:, 1]) < -MM_PER_MV / 2, 0]


def test_a_millivolt_is_ten_millimetres_and_a_second_twenty_five() -> None:
    drawn = Drawn.of(draw_ecg(ecg(leads=("I", "V1"))))
    first, second = drawn.traces
    for line in (first, second):
        assert np.ptp(line[:, 1]) == pytest.approx(10)
        np.testing.assert_allclose(np.diff(steps(line)), 25, atol=2 * UNIT_MM)
        assert np.ptp(line[:, 0]) == pytest.approx(250 - 25 / RATE, abs=UNIT_MM)
    assert steps(second)[1] - steps(first)[0] == pytest.approx(0.05)  # 2 ms
    assert first[0, 0] == LEAD_IN_MM
    assert steps(first)[0] == pytest.approx(LEAD_IN_MM + 25)  # the first sample stands at zero seconds
    assert np.diff(first[:, 0]).min() >= 0


def test_the_pulse_of_calibration_is_a_millivolt_of_a_fifth_of_a_second() -> None:
    drawn = Drawn.of(draw_ecg(ecg()))
    pulses = [lines[0] for lines in drawn.pens if lines[0][-1, 0] <= LEAD_IN_MM]
    assert len(pulses) == 4
    for pulse in pulses:
        assert np.ptp(pulse[:, 1]) == pytest.approx(10)
        high = pulse[pulse[:, 1] == pulse[:, 1].min()]
        assert np.ptp(high[:, 0]) == pytest.approx(0.2 * MM_PER_S)


def test_the_paper_has_lines_every_one_and_five_millimetres_in_both_directions() -> None:
    drawn = Drawn.of(draw_ecg(ecg()))
    across, down = drawn.size_mm
    for every in (1, 5):
        (path,) = [one for one in drawn.root.iter(f"{SVG}path") if one.get("class") == f"every{every}mm"]
        for direction in ("v", "h"):
            found = re.findall(rf"M(\S+) (\S+){direction}(\S+?)(?=M|$)", path.attrib["d"])
            places = [float(one[0 if direction == "v" else 1]) for one in found]
            assert places[0] == 0
            assert {round(b - a, 9) for a, b in pairwise(places)} == {every}
            assert places[-1] > (across if direction == "v" else down - 8) - every - 1
    # What is measured from its line lies on a line of the paper.
    assert all(line[0, 1] % 5 == pytest.approx(0) for line in drawn.traces[-1:])


def test_twelve_leads_stand_in_four_columns_above_lead_two() -> None:
    recording = ecg()
    drawn = Drawn.of(draw_ecg(recording, "filtered 0.5 to 40 Hz"))
    names = [text for text in drawn.texts if text in STANDARD]
    rows = [("I", "aVR", "V1", "V4"), ("II", "aVL", "V2", "V5"), ("III", "aVF", "V3", "V6"), ("II",)]
    assert names == [name for row in rows for name in row]
    assert len(drawn.traces) == 13
    for place, line in enumerate(drawn.traces[:12]):
        column, name = place % 4, names[place]
        assert line[0, 0] == pytest.approx(LEAD_IN_MM + 62.5 * column)
        assert np.ptp(line[:, 0]) == pytest.approx(62.5, abs=0.1)
        # The column goes on where the one before it ends: its steps are those of the whole time.
        at_s = (steps(line) - LEAD_IN_MM) / MM_PER_S
        assert len(at_s) >= 2
        np.testing.assert_allclose(at_s % 1, 0.002 * STANDARD.index(name), atol=0.0025)
    assert np.ptp(drawn.traces[12][:, 0]) == pytest.approx(250, abs=0.1)
    (caption,) = [text for text in drawn.texts if "mm/s" in text]
    assert caption.startswith("25 mm/s, 10 mm/mV")
    assert caption.endswith("filtered 0.5 to 40 Hz")


@pytest.mark.parametrize(
    ("recording", "rows", "said"),
    [
        (ecg(5), 12, ""),
        (ecg(9), 13, ""),
        (ecg(30), 13, "seconds 0 to 10 of 30"),
        (ecg(0.002), 12, ""),
        (ecg(10, ("I", "II")), 2, ""),
        (ecg(25, ("II",)), 3, ""),
        (ecg(300, ("II",)), 16, "seconds 0 to 160 of 300"),
        (ecg(10, tuple(f"V{i}" for i in range(20))), 16, "4 more leads are not shown"),
        (ecg(10, (*STANDARD, "V7")), 14, ""),
    ],
)
def test_recordings_of_any_length_are_drawn_and_what_is_not_is_said(recording: Waveform, rows: int, said: str) -> None:
    drawn = Drawn.of(draw_ecg(recording))
    assert len(drawn.traces) == rows
    assert said in drawn.texts[-1]
    assert ("seconds" in drawn.texts[-1]) == said.startswith("seconds")
    assert max(line[:, 0].max() for line in drawn.traces) <= drawn.size_mm[0]


@pytest.mark.parametrize(("unit", "factor"), [("mV", 1), ("uV", 1000), ("V", 0.001)])
def test_any_unit_of_voltage_is_drawn_in_millivolts(unit: str, factor: float) -> None:
    one = ecg(leads=("II",))
    drawn = Drawn.of(draw_ecg(Waveform(one.values * factor, RATE, one.leads, (unit,))))
    assert np.ptp(drawn.traces[0][:, 1]) == pytest.approx(10)


@pytest.mark.parametrize(("unit", "said"), [("mm[Hg]", "ABP (10 mm = 50 mm[Hg])"), ("", "ABP (10 mm = 50, no unit stated)")])
def test_a_lead_in_no_voltage_has_a_scale_of_its_own_that_is_said(unit: str, said: str) -> None:
    beats = ecg(leads=("II",))
    pressure = 80 + 60 * beats.values
    drawn = Drawn.of(draw_ecg(Waveform(np.vstack([beats.values, pressure]), RATE, ("II", "ABP"), ("mV", unit))))
    assert np.ptp(drawn.traces[1][:, 1]) == pytest.approx(60 / 50 * 10)
    assert said in drawn.texts


def test_a_scale_is_one_two_or_five_times_a_power_of_ten() -> None:
    assert [round_up(one) for one in (0.11, 0.2, 3, 5, 7, 42, 0)] == pytest.approx([0.2, 0.2, 5, 5, 10, 50, 1])


def test_a_file_stays_small_and_loses_no_peak() -> None:
    rng = np.random.default_rng(0)
    noise = Waveform(rng.normal(size=(12, 5000)).astype(np.float32) * 0.5, RATE, STANDARD, ("mV",) * 12)
    real = ecg().values + 0.02 * rng.normal(size=(12, 5000)).astype(np.float32)
    marked = Saliency(rng.normal(size=(12, 40)), 1.0)
    for values in (noise.values, real):
        recording = Waveform(values, RATE, STANDARD, noise.units)
        assert len(draw_ecg(recording).encode()) < 150_000
        assert len(draw_ecg(Waveform(real, RATE, STANDARD, noise.units), "", marked).encode()) < 150_000
    spike = np.zeros(50_000)
    spike[31_234], spike[31_241] = 1.0, -1.0
    (line,) = points(trace(np.arange(50_000) / 200, -10 * spike))
    assert len(line) < 14
    assert line[line[:, 1].argmin()] == pytest.approx((31_234 / 200, -10), abs=UNIT_MM)
    assert line[line[:, 1].argmax()] == pytest.approx((31_241 / 200, 10), abs=UNIT_MM)


def test_a_line_goes_through_its_samples_and_breaks_where_there_are_none() -> None:
    y = np.array([0.0, 1.0, 1.0, 1.0, np.nan, np.nan, 3.0, 2.0, np.nan, 7.0])
    lines = points(trace(np.arange(10.0), y))
    assert [line.tolist() for line in lines] == [[[0, 0], [1, 1], [3, 1]], [[6, 3], [7, 2]], [[9, 7], [9, 7]]]
    assert trace(np.arange(3.0), np.full(3, np.nan)) == ""


def test_marked_places_lie_over_their_lead_and_their_time() -> None:
    recording = ecg(leads=("I", "II", "V1"))
    adds = np.zeros((3, 100))
    adds[1, 20:30], adds[2, 50:60] = 0.8, -0.8
    drawn = Drawn.of(draw_ecg(recording, "", Saliency(adds, 0.8, "log odds")))
    (found,), (against,) = drawn.bands(FOR), drawn.bands(AGAINST)
    assert found[0] == pytest.approx(LEAD_IN_MM + 2 * MM_PER_S)  # 20 of 100 cells of 10 s
    assert found[2] == pytest.approx(MM_PER_S)
    assert against[0] == pytest.approx(LEAD_IN_MM + 5 * MM_PER_S)
    for box, line in ((found, drawn.traces[1]), (against, drawn.traces[2])):
        assert box[1] <= line[:, 1].min()
        assert line[:, 1].max() <= box[1] + box[3]
    assert any("speaks for, +0.8 log odds" in text for text in drawn.texts)


def test_of_a_long_recording_the_marked_time_is_shown() -> None:
    recording = ecg(60)
    adds = np.zeros((12, 60))
    adds[4, 42:44] = 1.0
    drawn = Drawn.of(draw_ecg(recording, "", Saliency(adds, 1.0)))
    assert len(drawn.traces) == 12  # a row a lead: no part of one may be missing
    assert drawn.bands(FOR)
    first, last = re.findall(r"seconds (\S+) to (\S+) of 60", " ".join(drawn.texts))[0]
    assert float(first) <= 42 < 44 <= float(last)


def test_a_sound_is_drawn_over_its_time_with_its_spectrogram() -> None:
    times = np.arange(8000) / 4000
    sound = Waveform(0.5 * np.sin(np.pi * times)[None].astype(np.float32), 4000.0, ("1",), ("1",))
    energy = np.zeros((1, 16, 40))
    energy[0, 0, :] = 1
    drawn = Drawn.of(draw_signal(sound, "", Saliency(np.ones((1, 4)), 1.0), energy))
    (line,) = drawn.pens[0]
    top = line[line[:, 1] == line[:, 1].min(), 0].mean() - 5
    assert top == pytest.approx(240 * 0.25, abs=0.1)  # half a wave a second, of 2 s
    assert "channel 1: −0.5 to 0.5 of full scale" in drawn.texts
    assert next(one for one in drawn.texts if one.endswith(" s")) == "0 s"
    assert len(drawn.bands(FOR)) == 1
    (image,) = drawn.root.iter(f"{SVG}image")
    assert _pixels(image)[-1].min() == 255  # the lowest band stands at the bottom
    assert _pixels(image)[:-1].max() == 0
    marked = Drawn.of(draw_spectrogram(energy, ("1",), 2.0, "", Saliency(np.where(energy > 0, 1.0, 0.0), 1.0)))
    _, colours = marked.root.iter(f"{SVG}image")
    assert _pixels(colours)[-1, :, 3].min() > 100
    assert _pixels(colours)[:-1, :, 3].max() == 0


def _pixels(image: ElementTree.Element) -> Array:
    import base64
    from io import BytesIO

    from PIL import Image

    content = base64.b64decode(image.attrib["href"].removeprefix("data:image/png;base64,"))
    return np.asarray(Image.open(BytesIO(content)))


def test_what_is_an_ecg_is_told_by_leads_and_units() -> None:
    flat = np.zeros((1, 10), np.float32)
    assert is_ecg(Waveform(flat, 1, ("avr",), ("uV",)))
    assert is_ecg(Waveform(flat, 1, ("MLII",), ("mV",)))
    assert not is_ecg(Waveform(flat, 1, ("1",), ("1",)))
    assert not is_ecg(Waveform(flat, 1, ("Fp1",), ("uV",)))
    assert not is_ecg(Waveform(flat, 1, ("I",), ("1",)))


@pytest.mark.parametrize("unit", ["mV", "1"])
def test_a_flat_lead_and_one_sample_are_drawn(unit: str) -> None:
    for values in (np.full((1, 500), 3.0), np.zeros((1, 1)), np.full((1, 5), np.nan)):
        assert Drawn.of(draw_signal(Waveform(values.astype(np.float32), RATE, ("I",), (unit,)))).texts


def hostile(unit: str) -> str:
    recording = ecg(leads=(HOSTILE, "II"), unit=unit)
    return draw_signal(recording, HOSTILE, Saliency(np.ones((2, 4)), 1.0, HOSTILE))


@pytest.mark.parametrize("unit", ["mV", HOSTILE])
def test_hostile_names_and_units_stay_text(unit: str) -> None:
    drawn = Drawn.of(hostile(unit))  # well-formed, though a name holds what XML may not
    known = {"svg", "title", "rect", "path", "text", "g", "clipPath"}
    assert {one.tag.removeprefix(SVG) for one in drawn.root.iter()} == known - (set() if unit == "mV" else {"g", "clipPath"})
    assert not [name for one in drawn.root.iter() for name in one.attrib if name.startswith("on") or "href" in name]
    assert any("<script>" in text for text in drawn.texts)
    assert "\u202e" not in hostile(unit)


@needs_chromium
def test_a_page_with_hostile_pictures_runs_and_asks_for_nothing() -> None:
    content = picture(hostile("mV"), HOSTILE) + picture(hostile("1"), HOSTILE)
    seen = visit(page("Signals", HOSTILE, [content]))
    assert seen.title == "Signals"
    assert not seen.asked


@pytest.mark.skipif(not LUDB.is_dir(), reason="the LUDB records are not here: ../shared/data/ludb_ecg")
def test_a_real_ecg_is_as_large_as_its_millivolts() -> None:
    wfdb = pytest.importorskip("wfdb")
    record = wfdb.rdrecord(str(LUDB / "1"))
    names = {name.casefold(): name for name in STANDARD}
    leads = tuple(names[name.casefold()] for name in record.sig_name)
    recording = Waveform(record.p_signal.T.astype(np.float32), float(record.fs), leads, tuple(record.units))
    svg = draw_ecg(recording)
    assert len(svg.encode()) < 60_000
    rhythm = Drawn.of(svg).traces[-1]
    lead = recording.values[leads.index("II")]
    assert np.ptp(rhythm[:, 1]) == pytest.approx(np.ptp(lead) * 10, abs=2 * UNIT_MM)
    assert (rhythm[rhythm[:, 1].argmin(), 0] - LEAD_IN_MM) / MM_PER_S == pytest.approx(lead.argmax() / record.fs, abs=0.003)
