"""The explanation of a signal finds the lead and the time at which a sign was planted, and a name of a lead does nothing."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from html.parser import HTMLParser
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
import torch
from signals import csv_table
from test_explanation import fresh, learn
from torch import nn

from medmm.dataset.batches import stack
from medmm.encoders.several import THERE, Several
from medmm.errors import ConfigError
from medmm.explanation.covering import MapMethod
from medmm.explanation.page import study_page
from medmm.explanation.record import plain
from medmm.explanation.signals import QUESTIONS, SignalShare, explain_signal, strongest
from medmm.explanation.study import Answer, AnswerLine, Explanation, InputShare, explain
from medmm.explanation.traces import draw_segments
from medmm.explanation.voice import Voice
from medmm.inputs import INPUTS
from medmm.package import Package
from medmm.types import Array, Evidence, Study, Tokens, Waveform
from medmm.workflows.explain import write_explanation

RATE = 100.0
LEADS = ("I", "II", '</text><script>alert("x")</script>\u202e')
LEAD, START_S, END_S = 1, 1.5, 2.1
"""Where the sign stands."""

SECONDS, RECORDED_S = 4.0, 12.0
CENTRE, SPREAD = (0.5, -0.25, 0.0), (2.0, 0.5, 1.0)


class Averages(nn.Module):
    """Sees means over short stretches of each lead."""

    def __init__(self, leads: int, size: tuple[int, ...], width: int) -> None:
        super().__init__()
        self.linear = nn.Linear(leads * int(np.prod(size)) // 10, width)

    def forward(self, fields: Mapping[str, torch.Tensor]) -> Tokens:
        signal = fields["signal"].float()
        means = signal.reshape(len(signal), -1, 10).mean(2)
        values = self.linear(means)[:, None]
        return Tokens(values, values.new_ones(values.shape[:2], dtype=torch.bool))


@dataclass
class StandIn:
    """An input that has what an explanation asks of one."""

    size: tuple[int, ...]
    segments: int = 1
    name: str = "heart"

    @property
    def settings(self) -> Any:
        spectrogram = None if len(self.size) == 1 else SimpleNamespace()
        samples = round(RATE * SECONDS)
        return SimpleNamespace(kind="signal", rate_hz=RATE, samples=samples, segments=self.segments, spectrogram=spectrogram)

    @property
    def state(self) -> Any:
        return {"leads": list(LEADS), "units": ["mV"] * 3, "centre": list(CENTRE), "spread": list(SPREAD)}

    def encoder(self, width: int) -> nn.Module:
        network = Averages(len(LEADS), self.size, width)
        return network if self.segments == 1 else Several(network, width)


@dataclass(frozen=True)
class Planted:
    """A model that has learned a sign, and prepared fields of a study with it and of one without it."""

    package: Package
    one: StandIn
    with_sign: dict[str, Array]
    without: dict[str, Array]


def plant(one: StandIn, piece: int = 0) -> Planted:
    """Plant a higher mean in one lead at one time, in spectrograms in the lower half of the bands, and learn it."""
    rng = np.random.default_rng(0)
    shape = (60, one.segments, len(LEADS), *one.size)
    signal = rng.normal(size=shape)
    signs = rng.random(len(signal)) < 0.5
    signs[:2] = True, False
    start, end = (round(at / SECONDS * one.size[-1]) for at in (START_S, END_S))
    bands = (slice(0, one.size[0] // 2),) if len(one.size) == 2 else ()
    signal[(signs, piece, LEAD, *bands, slice(start, end))] += 3
    signal = signal.astype(np.float16)
    fields = {"signal": signal if one.segments > 1 else signal[:, 0]}
    if one.segments > 1:
        fields[THERE] = np.ones((len(signal), one.segments), np.uint8)
    inputs = {one.name: cast(Any, one)}
    package = fresh(Path(), inputs)
    tensors = {name: torch.from_numpy(values).float() for name, values in fields.items()}
    learn(package.model, one.name, tensors, torch.from_numpy(signs[:, None].astype(np.float32)))
    return Planted(package, one, *({name: values[i] for name, values in fields.items()} for i in (0, 1)))


@pytest.fixture(scope="module")
def trace() -> Planted:
    return plant(StandIn((400,)))


@pytest.fixture(scope="module")
def segments() -> Planted:
    return plant(StandIn((400,), segments=3), piece=2)


@pytest.fixture(scope="module")
def tones() -> Planted:
    return plant(StandIn((16, 50)))


def share_of(planted: Planted, method: MapMethod = "occlusion", *, sign: bool = True) -> SignalShare:
    voice = Voice(planted.package, {"heart": planted.with_sign if sign else planted.without}, 0)
    raw = Waveform(np.zeros((3, round(RECORDED_S * RATE)), np.float32), RATE, LEADS, ("mV",) * 3)
    rng = np.random.default_rng(0)
    return explain_signal(voice, cast(Any, planted.one), raw, method, 1.0 if sign else -1.0, rng)


def of_share(share: SignalShare) -> Explanation:
    line = AnswerLine("pneumonia", 0.9, 0.9, 0.5, True)
    answer = Answer((line,), 0, "probability", "", True, 1.0)
    inputs = (InputShare("heart", "signal", 1.5),)
    return Explanation(1, "m", "0" * 64, "binary", answer, -0.5, inputs, (), (share,), (), (), (), ())


@pytest.mark.parametrize("method", ["occlusion", "integrated_gradients"])
@pytest.mark.parametrize("kind", ["trace", "segments", "tones"])
def test_the_map_lies_where_the_sign_was_planted(kind: str, method: MapMethod, request: pytest.FixtureRequest) -> None:
    share = share_of(request.getfixturevalue(kind), method)
    assert share.map.shape == share.values.shape
    segment, lead, *_, sample = np.unravel_index(share.map.argmax(), share.map.shape)
    assert segment == (2 if kind == "segments" else 0)
    assert lead == LEAD
    assert START_S - 0.2 <= sample / share.rate_hz < END_S + 0.2  # a window is that long
    assert share.deletion.passed
    if kind == "tones":
        assert share.map[0, LEAD, :8].sum() > 3 * abs(share.map[0, LEAD, 8:].sum())


def test_the_lack_of_the_sign_speaks_against_in_the_same_place(trace: Planted) -> None:
    without, sign = share_of(trace, sign=False), share_of(trace)
    here = (0, LEAD, slice(int(START_S * RATE), int(END_S * RATE)))
    assert without.map[here].mean() < sign.map[here].mean() / 5


def test_the_strongest_places_are_told_as_lead_and_seconds(trace: Planted) -> None:
    first, *_ = found = strongest(share_of(trace), 3)
    assert len(found) == 3
    assert {one.lead for one in found} == {LEADS[LEAD]}
    assert all(one.end_s - one.start_s == pytest.approx(SECONDS / 40) for one in found)
    middle_s = (RECORDED_S - SECONDS) / 2  # of the recording the model saw the middle
    assert middle_s + START_S - 0.1 <= first.start_s < first.end_s <= middle_s + END_S + 0.1
    assert first.adds > 0
    assert json.dumps(plain(of_share(share_of(trace)))["signals"])  # type: ignore[index,call-overload]


def test_a_trace_is_shown_in_the_unit_of_the_recording(trace: Planted) -> None:
    share = share_of(trace)
    scaled = trace.with_sign["signal"].astype(np.float32)
    for lead, (centre, spread) in enumerate(zip(CENTRE, SPREAD, strict=True)):
        np.testing.assert_allclose(share.values[0, lead], scaled[lead] * spread + centre, rtol=1e-3, atol=1e-3)
    assert (share.seconds, share.rate_hz, share.recorded_s, share.units) == (4.0, RATE, 12.0, ("mV",) * 3)
    assert share.starts_s == (4.0,)


def test_only_segments_that_are_there_are_explained(segments: Planted) -> None:
    gone = {**segments.with_sign, THERE: np.array([0, 1, 1], np.uint8)}
    share = share_of(replace(segments, with_sign=gone))
    assert share.map.shape == (2, 3, 400)
    assert np.unravel_index(share.map.argmax(), share.map.shape)[0] == 1
    assert share.starts_s == (4.0, 8.0)
    assert list(draw_segments(share, "log odds")) == [0, 1]


@pytest.mark.parametrize(("questions", "least"), [(QUESTIONS, 90), (60, 30)])
def test_no_more_questions_are_asked_than_may_be(
    trace: Planted, questions: int, least: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []
    heard = Voice.of

    def counted(voice: Voice, name: str, fields: Mapping[str, torch.Tensor]) -> torch.Tensor:
        asked.append(len(fields["signal"]))
        return heard(voice, name, fields)

    monkeypatch.setattr(Voice, "of", counted)
    monkeypatch.setattr("medmm.explanation.signals.tested", lambda *_: None)
    monkeypatch.setattr("medmm.explanation.signals.QUESTIONS", questions)
    share_of(trace)
    assert least < sum(asked) <= questions


def test_grad_cam_needs_a_feature_map(trace: Planted) -> None:
    with pytest.raises(ConfigError, match="take --image-method occlusion or integrated_gradients"):
        share_of(trace, "grad_cam")


class Elements(HTMLParser):
    """Collects the elements of a page or a picture, and their attributes."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attrs}


@pytest.mark.parametrize("kind", ["trace", "segments", "tones"])
def test_a_hostile_name_of_a_lead_does_nothing(kind: str, request: pytest.FixtureRequest) -> None:
    share = share_of(request.getfixturevalue(kind))
    pictures = draw_segments(share, "log odds")
    assert len(pictures) == (2 if kind == "segments" else 1)
    for text in (*pictures.values(), study_page(of_share(share), {})):
        found = Elements(text)
        assert "script" not in found.tags
        assert not {one for one in found.attributes if one.startswith("on")}
        assert "\u202e" not in text
    assert "heart: signal" in study_page(of_share(share), {})


def test_a_map_no_better_than_chance_says_so_in_the_picture(trace: Planted) -> None:
    share = share_of(trace)
    failed = replace(share, deletion=replace(share.deletion, p=0.5))
    (picture,) = draw_segments(failed, "log odds").values()
    assert "NO BETTER THAN CHANCE" in picture
    assert "NO BETTER THAN CHANCE" not in next(iter(draw_segments(share, "log odds").values()))


# a whole run, from files to pages


def real(folder: Path, **settings: object) -> tuple[Package, Study]:
    """Plant a slow wave in one lead of recordings on disk, and learn it with an encoder of the table."""
    rng = np.random.default_rng(0)
    signs = rng.random(48) < 0.5
    signs[0] = True
    studies = []
    for row, sign in enumerate(signs.tolist()):
        values = rng.normal(0, 0.1, (2, 300))
        values[1, 150:210] += 0.6 * sign  # 1.5 to 2.1 s of lead II
        file = folder / f"{row}.csv"
        file.write_bytes(csv_table(values, RATE))
        studies.append(Study(row + 1, f"P{row}", f"STUDY-{row}", evidence={"heart": Evidence(files=(file,))}))
    given = {"kind": "signal", "path": "x", "rate_hz": RATE, "seconds": 3, "unit": "mV", **settings}
    opened = INPUTS.pick("signal").model_validate(given).open("heart")
    one = opened.fit((study.patient_id, opened.read(study.evidence["heart"])) for study in studies)
    fields = stack([one.prepare(one.read(study.evidence["heart"])) for study in studies])
    package = fresh(folder, {"heart": one})
    learn(
        package.model,
        "heart",
        {name: values.float() for name, values in fields.items()},
        torch.from_numpy(signs)[:, None] * 1.0,
    )
    return package, studies[0]


SMALL = {"encoder": {"name": "resnet1d", "channels": 8, "stages": 2}}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> tuple[Package, Study]:
    return real(tmp_path_factory.mktemp("run"), **SMALL)


def test_a_recording_on_disk_is_explained_and_written(run: tuple[Package, Study], tmp_path: Path) -> None:
    found = explain(*run)
    (share,) = found.signals
    assert (share.leads, share.units) == (("I", "II"), ("mV", "mV"))
    first, *_ = strongest(share, 1)
    assert first.lead == "II"
    assert 1.4 <= first.start_s < first.end_s <= 2.2
    assert share.deletion.p is not None  # so small a network may well fail, and the page says so
    assert found.inputs[0].kind == "signal"
    write_explanation(found, tmp_path)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["study_1.html", "study_1.json", "study_1_heart.svg"]
    told = json.loads((tmp_path / "study_1.json").read_text())["signals"]
    assert told[0]["strongest"][0]["lead"] == "II"
    assert "25 mm/s, 10 mm/mV" in (tmp_path / "study_1_heart.svg").read_text()
    assert "heart: signal" in (tmp_path / "study_1.html").read_text()
    assert "STUDY-0" not in (tmp_path / "study_1.html").read_text()


def test_grad_cam_of_a_convolutional_encoder_is_the_same_for_all_leads(run: tuple[Package, Study]) -> None:
    (share,) = explain(*run, image_method="grad_cam").signals
    np.testing.assert_array_equal(share.map[0, 0], share.map[0, 1])
    assert np.ptp(share.map) > 0
    assert 1.2 * RATE <= share.map[0, 0].argmax() <= 2.4 * RATE


def test_pictures_of_images_alone_ask_nothing_of_signals(run: tuple[Package, Study]) -> None:
    assert not explain(*run, images_alone=True).signals
