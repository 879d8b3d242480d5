"""Sound and tables of waveforms: exact values, every refusal, damage, bombs; which leads hold a signal at all."""

import hashlib
import struct
import sys
import tracemalloc
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import fuzz
import fuzz_signals
import numpy as np
import pyarrow as pa
import pytest
import signals
from PIL import Image
from signals import RATE_HZ, csv_table, parquet_table, sound, tone, wav

from medmm.errors import Code, ConfigError, Rejected
from medmm.readers import audio_structure, waveform_checks, waveform_table
from medmm.readers.audio_structure import promise_of
from medmm.readers.waveform import SignalFormat, read_waveform, signal_format_of
from medmm.readers.waveform_checks import check_rate, check_size, check_waveform
from medmm.readers.waveform_leads import said_lead, standard_lead, standard_leads
from medmm.types import Array, Waveform

LUDB = Path(__file__).parents[1].parent / "shared" / "data" / "ludb_ecg" / "wfdb"


@pytest.fixture
def read(tmp_path: Path) -> Callable[[bytes], Waveform]:
    """Read content from a file whose name says nothing."""

    def one(content: bytes) -> Waveform:
        (tmp_path / "x").write_bytes(content)
        return read_waveform([tmp_path / "x"])

    return one


@pytest.fixture
def refusal(read: Callable[[bytes], Waveform]) -> Callable[[bytes], Rejected]:
    """Give why content is refused."""

    def one(content: bytes) -> Rejected:
        with pytest.raises(Rejected) as caught:
            read(content)
        return caught.value

    return one


Read = Callable[[bytes], Waveform]
Refusal = Callable[[bytes], Rejected]


@pytest.mark.parametrize(("bits", "least"), [(8, 0), (16, -(2**15)), (24, -(2**23)), (32, -(2**31))])
def test_integers_become_shares_of_full_scale(read: Read, bits: int, least: int) -> None:
    most = 2 ** (bits - 1) - 1
    numbers = [0, 1, -1, most, -most - 1, 77]
    stored = [number + 128 if bits == 8 else number for number in numbers]  # WAV stores 8 bits without a sign
    content = b"".join((number % 2**bits).to_bytes(bits // 8, "little") for number in stored)
    waveform = read(wav(content, channels=2, bits=bits))
    expected = np.float32(np.array(numbers, np.float64) / 2 ** (bits - 1))  # by hand
    np.testing.assert_array_equal(waveform.values, expected.reshape(-1, 2).T)
    assert waveform.values.dtype == np.float32
    assert (waveform.rate_hz, waveform.leads, waveform.units) == (RATE_HZ, ("1", "2"), ("1", "1"))


@pytest.mark.parametrize(("kind", "bits"), [("<f4", 32), ("<f8", 64)])
def test_floats_stay_as_they_are(read: Read, kind: str, bits: int) -> None:
    numbers = np.array([0, 0.1, -1.5, 1e-20, 3.25])
    np.testing.assert_array_equal(
        read(wav(numbers.astype(kind).tobytes(), bits=bits, tag=3)).values[0], numbers.astype(np.float32)
    )


@pytest.mark.parametrize("bits", [8, 16, 24])
def test_flac_reads_back_exactly(read: Read, bits: int) -> None:
    rng = np.random.default_rng(bits)
    numbers = rng.integers(-(2 ** (bits - 1)), 2 ** (bits - 1), (70_000, 2))  # more than a block
    content = sound("FLAC", "PCM_S8" if bits == 8 else f"PCM_{bits}", (numbers << 32 - bits).astype(np.int32))
    np.testing.assert_array_equal(read(content).values, (numbers.T / 2.0 ** (bits - 1)).astype(np.float32))


@pytest.mark.parametrize(("subtype", "rate"), [("VORBIS", 4000), ("OPUS", 8000), ("OPUS", 48000)])
@pytest.mark.parametrize("samples", [300, 20_001])
def test_ogg_reads_back_in_its_whole_length(read: Read, subtype: str, rate: int, samples: int) -> None:
    smooth = 0.5 * np.sin(np.arange(samples) / 20)
    waveform = read(sound("OGG", subtype, smooth, rate))
    assert (waveform.values.shape, waveform.rate_hz) == ((1, samples), rate)
    assert np.abs(waveform.values[0] - smooth)[100:-100].max() < 0.1  # both codecs lose


def test_wav_of_64_bit_lengths_and_with_other_chunks_reads_as_plain(read: Read) -> None:
    plain = read(sound("WAV", "PCM_16")).values
    np.testing.assert_array_equal(read(sound("RF64", "PCM_16")).values, plain)
    np.testing.assert_array_equal(read(sound("WAVEX", "PCM_16")).values, plain)
    bare = sound("WAV", "PCM_16")
    extra = bare[:12] + b"LIST\x03\0\0\0abc\0" + bare[12:] + b"id3 \x02\0\0\0xy"
    np.testing.assert_array_equal(read(extra).values, plain)


@pytest.mark.parametrize("name", ["wav", "wav24", "wav-float", "rf64", "flac", "flac24", "vorbis", "opus"])
def test_sound_that_breaks_off_is_refused_at_every_place(tmp_path: Path, name: str) -> None:
    content = signals.originals()[name]
    places = np.linspace(60, len(content) - 1, 60).astype(int)
    for place in {*places.tolist(), len(content) - 1, len(content) - 2}:
        (tmp_path / "x").write_bytes(content[:place])
        with pytest.raises(Rejected) as caught:
            read_waveform([tmp_path / "x"])
        assert caught.value.code in (Code.TRUNCATED, Code.MALFORMED), place


@pytest.mark.parametrize("name", ["flac", "flac24", "vorbis", "opus"])
def test_a_flipped_bit_in_checked_sound_is_refused(read: Read, tmp_path: Path, name: str) -> None:
    content = signals.originals()[name]
    whole = read(content).values
    for place in np.random.default_rng(0).integers(42, len(content), 80):
        damaged = bytearray(content)
        damaged[place] ^= 1 << int(place) % 8
        (tmp_path / "y").write_bytes(damaged)
        try:
            np.testing.assert_array_equal(read_waveform([tmp_path / "y"]).values, whole)  # of FLAC, a comment may change
        except Rejected:
            continue
        assert name.startswith("flac")


def test_a_digest_of_flac_that_is_wrong_is_refused_and_one_that_is_absent_is_not(read: Read, refusal: Refusal) -> None:
    content = sound("FLAC", "PCM_16")
    samples = np.round(tone() * 2**15)
    assert content[26:42] == hashlib.md5(np.round(read(content).values[0] * 2**15).astype("<i2").tobytes()).digest()
    assert np.abs(samples - read(content).values[0] * 2**15).max() <= 1
    assert refusal(content[:26] + bytes([content[26] ^ 1]) + content[27:]).code is Code.MALFORMED
    read(content[:26] + bytes(16) + content[42:])


def streaminfo(content: bytes, *, rate: int | None = None, bits: int | None = None, frames: int | None = None) -> bytes:
    """Change what the first block of FLAC states, and leave no digest."""
    packed = int.from_bytes(content[18:26], "big")
    for value, shift, width in ((rate, 44, 20), (bits, 36, 5), (frames, 0, 36)):
        if value is not None:
            packed = packed & ~((2**width - 1) << shift) | value << shift
    return content[:18] + packed.to_bytes(8, "big") + bytes(16) + content[42:]


@pytest.mark.parametrize(
    ("content", "code", "found"),
    [
        (lambda: wav(b"\0\0" * 9, stated=20), Code.TRUNCATED, "18 bytes of sound"),
        (lambda: wav(b"\0\0" * 9, stated=0xFFFFFFFF), Code.TRUNCATED, "never written"),
        (lambda: wav(b"")[:-8], Code.TRUNCATED, "no sound after the header"),
        (lambda: wav(b"\0\0" * 9) + b"data\x02\0\0\0ab", Code.MALFORMED, "2 chunks of sound, a format"),
        (lambda: wav(b"\0" * 9), Code.MALFORMED, "9 bytes of sound"),
        (lambda: wav(b"\0" * 40, bits=12), Code.MALFORMED, "12 bits in 1 bytes"),
        (lambda: wav(b"\0" * 24).replace(b"fmt ", b"fmx "), Code.MALFORMED, "1 chunks of sound, no format"),
        (lambda: wav(b"\0\0" * 9, bits=0), Code.MALFORMED, ""),
        (lambda: wav(b""), Code.EMPTY, "1 leads of 0 samples"),
        (lambda: wav(b"\0\0", rate_hz=0), Code.RATE, "0 Hz"),
        (lambda: wav(b"\0\0", rate_hz=5), Code.RATE, "5 Hz"),
        (lambda: wav(b"\0\0", rate_hz=2_000_000), Code.RATE, "2e+06 Hz"),
        (lambda: wav(b"\0" * 130, channels=65), Code.LEADS, "65 channels"),
        (lambda: wav(b"\0\0" * 9, tag=0x1234), Code.MALFORMED, ""),
        (lambda: wav(np.float32([0, np.nan]).tobytes(), bits=32, tag=3), Code.NOT_FINITE, "1 of 2 samples"),
        (lambda: wav(np.float32([0, -np.inf]).tobytes(), bits=32, tag=3), Code.NOT_FINITE, "1 of 2 samples"),
        (lambda: wav(np.float64([0, 1e300]).tobytes(), bits=64, tag=3), Code.NOT_FINITE, "1 of 2 samples"),
        (lambda: wav(np.float32([0, -20000]).tobytes(), bits=32, tag=3), Code.RANGE, "samples of up to 20000"),
        (lambda: sound("WAV", "IMA_ADPCM"), Code.UNSUPPORTED, "another encoding"),
        (lambda: streaminfo(sound("FLAC", "PCM_16"), bits=19), Code.UNSUPPORTED, "20 bits"),
        (lambda: streaminfo(sound("FLAC", "PCM_16"), frames=0), Code.TRUNCATED, "never written"),
        (lambda: streaminfo(sound("FLAC", "PCM_16"), frames=3001), Code.MALFORMED, "breaks off"),
        (lambda: b"fLaC\x03" + sound("FLAC", "PCM_16")[5:], Code.MALFORMED, "without its description"),
        (lambda: sound("OGG", "VORBIS") * 2, Code.UNSUPPORTED, "several streams"),
        (lambda: b"OggS\x01" + sound("OGG", "VORBIS")[5:], Code.MALFORMED, "bytes between pages"),
        (lambda: sound("OGG", "VORBIS") + b"x", Code.TRUNCATED, "a page that breaks off"),
        (lambda: flipped(2500), Code.MALFORMED, "a page whose check sum is wrong"),
        (lambda: without_page(1), Code.MALFORMED, "page 2 at place 1"),
        (lambda: without_page(-1), Code.TRUNCATED, "no last page"),
        (lambda: of_codec(b"\x01speex!"), Code.UNSUPPORTED, "another codec"),
    ],
)
def test_sound_that_cannot_be_read_right_is_refused(
    refusal: Refusal, content: Callable[[], bytes], code: Code, found: str
) -> None:
    reason = refusal(content())
    assert (reason.code, found in reason.found) == (code, True), reason
    assert "\n" not in str(reason)


def pages(content: bytes) -> list[bytes]:
    """Split Ogg into its pages."""
    found = []
    while content:
        size = 27 + content[26] + sum(content[27 : 27 + content[26]])
        found.append(content[:size])
        content = content[size:]
    return found


def flipped(place: int) -> bytes:
    content = bytearray(sound("OGG", "VORBIS", tone(100_000)))
    content[place] ^= 1
    return bytes(content)


def without_page(number: int) -> bytes:
    left = pages(sound("OGG", "VORBIS", tone(100_000)))
    del left[number]
    return b"".join(left)


def slow_check_sum(page: bytes) -> int:
    """Give the CRC of an Ogg page bit by bit, as RFC 3533 describes it."""
    register = 0
    for byte in page[:22] + bytes(4) + page[26:]:
        register ^= byte << 24
        for _ in range(8):
            register = (register << 1 ^ (0x04C11DB7 if register & 1 << 31 else 0)) & 0xFFFFFFFF
    return register


def resealed(page: bytes) -> bytes:
    return page[:22] + struct.pack("<I", slow_check_sum(page)) + page[26:]


def of_codec(name: bytes) -> bytes:
    first, *rest = pages(sound("OGG", "VORBIS"))
    return resealed(first.replace(b"\x01vorbis", name)) + b"".join(rest)


@pytest.mark.parametrize(("granule", "code"), [(5000, Code.TRUNCATED), (2**40, Code.TOO_LARGE), (1 << 63, Code.TOO_LARGE)])
def test_ogg_that_lies_about_its_length_is_refused(refusal: Refusal, granule: int, code: Code) -> None:
    *rest, last = pages(sound("OGG", "VORBIS"))
    lying = resealed(last[:6] + struct.pack("<Q", granule) + last[14:])
    assert refusal(b"".join(rest) + lying).code is code


def test_a_small_file_that_promises_much_takes_no_memory(refusal: Refusal, tmp_path: Path) -> None:
    silence = sound("FLAC", "PCM_16", np.zeros(1 << 22))
    assert len(silence) < 1 << 16
    bombs = [
        streaminfo(sound("FLAC", "PCM_16"), frames=2**36 - 1),
        streaminfo(sound("FLAC", "PCM_16"), frames=1 << 26),
        silence,
        wav(b"", channels=2, stated=0).replace(b"RIFF", b"RF64", 1) + bytes(100),
        parquet_table({"I": np.zeros(1 << 20)}, {"rate_hz": "500"}),
    ]
    tracemalloc.start()
    codes = [refusal(bomb).code for bomb in bombs[:4]]
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert codes == [Code.TOO_LARGE, Code.TOO_LARGE, Code.TOO_LARGE, Code.EMPTY]
    assert peak < 10 << 20


def test_a_table_beyond_the_limit_is_refused_before_it_is_read(refusal: Refusal, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waveform_checks, "VALUES_LIMIT", 1000)
    assert refusal(parquet_table({"I": np.zeros(1 << 22)}, {"rate_hz": "500"})).code is Code.TOO_LARGE
    assert refusal(csv_table(np.zeros((2, 501)))).code is Code.TOO_LARGE


def test_rows_are_held_against_what_the_file_promises(monkeypatch: pytest.MonkeyPatch) -> None:
    batch = pa.RecordBatch.from_pydict({"I": np.zeros(400)})
    columns = [waveform_table.Column("I", "mV")]

    def refused(batches: Iterator[pa.RecordBatch], rows: int | None) -> Code:
        with pytest.raises(Rejected) as caught:
            waveform_table._waveform(batches, columns, rows, b"500", "x")
        return caught.value.code

    def some(most: int) -> Iterator[pa.RecordBatch]:
        for _ in range(most):
            yield batch
        pytest.fail("read beyond the limit")

    assert refused(iter([batch]), 401) is refused(iter([batch]), 399) is Code.TRUNCATED
    monkeypatch.setattr(waveform_checks, "VALUES_LIMIT", 1000)
    assert refused(some(0), 1001) is Code.TOO_LARGE  # before anything is read
    assert refused(some(3), None) is Code.TOO_LARGE  # as soon as it is too much


def test_files_beyond_the_limit_of_bytes_are_refused(refusal: Refusal, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("CSV_LIMIT_BYTES", "PARQUET_LIMIT_BYTES"):
        monkeypatch.setattr(waveform_table, name, 100)
    monkeypatch.setattr(audio_structure, "FILE_LIMIT_BYTES", 100)
    contents = (csv_table(np.zeros((2, 50))), parquet_table({"I": np.zeros(9)}, {"rate_hz": "5"}), wav(bytes(100)))
    assert {refusal(content).code for content in contents} == {Code.TOO_LARGE}


def test_a_missing_package_is_named(read: Read, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "soundfile", None)
    with pytest.raises(ConfigError, match=r"pip install medmm\[signal\]"):
        read(wav(b"\0\0"))


def test_csv_gives_leads_units_and_rate(read: Read) -> None:
    waveform = read(b"lead i [mV],time [s],MDC_ECG_LEAD_AVR,pressure [mm[Hg]]\n0.1,1.5,-2,3\n0.2,1.75,-3e-1,4\n0.3,2,7,5\n")
    np.testing.assert_array_equal(waveform.values, np.float32([[0.1, 0.2, 0.3], [-2, -0.3, 7], [3, 4, 5]]))
    assert (waveform.rate_hz, waveform.leads) == (4, ("I", "aVR", "pressure"))
    assert waveform.units == ("mV", "", "mm[Hg]")


@pytest.mark.parametrize("separator", [",", "\t", ";"])
@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_csv_of_each_form_reads_back_exactly(read: Read, separator: str, newline: str) -> None:
    values = np.random.default_rng(0).normal(size=(2, 500)).astype(np.float32)
    text = csv_table(values, 250).decode().replace(",", separator).replace("\n", newline)
    for content in (text.encode(), text.rstrip().encode(), b"\xef\xbb\xbf" + text.encode()):
        waveform = read(content)
        np.testing.assert_array_equal(waveform.values, values)
        assert (waveform.rate_hz, waveform.units) == (250, ("mV", "mV"))


def test_parquet_reads_back_exactly_in_many_batches(read: Read) -> None:
    values = np.random.default_rng(0).normal(size=(2, 200_000)).astype(np.float32)
    numbers = np.arange(200_000, dtype=np.int16)
    columns = {"I [uV]": values[0], "Lead II": values[1].astype(np.float64), "n": numbers}
    waveform = read(parquet_table(columns, {"rate_hz": "360.5"}, {"Lead II": "mV"}))
    np.testing.assert_array_equal(waveform.values, [*values, numbers])
    assert (waveform.rate_hz, waveform.leads, waveform.units) == (360.5, ("I", "II", "n"), ("uV", "mV", ""))
    times = {"time": np.arange(200_000) / 360.5}
    assert read(parquet_table({**times, **columns}, {"rate_hz": "360.5"})).rate_hz == 360.5


@pytest.mark.parametrize("rate", [1, 100, 128, 250, 360, 500, 977, 1000, 4000, 44100])
@pytest.mark.parametrize("start", [0, 1.003, 86400])
def test_times_give_the_rate_as_a_whole_number(read: Read, rate: int, start: float) -> None:
    lines = [f"{start + i / rate:.9f},{i % 7}" for i in range(1000)]
    assert read("\n".join(["time,x", *lines]).encode()).rate_hz == rate
    if rate <= 360:
        lines = [f"{start + i / rate:.3f},{i % 7}" for i in range(1000)]
        assert read("\n".join(["time,x", *lines]).encode()).rate_hz == pytest.approx(rate, rel=1e-3)


def test_a_rate_that_is_no_whole_number_stays(read: Read) -> None:
    lines = [f"{i / 128.01!r},{i % 7}" for i in range(1000)]
    assert read("\n".join(["time,x", *lines]).encode()).rate_hz == pytest.approx(128.01, rel=1e-9)


@pytest.mark.parametrize("count", [5, 20, 3000])
def test_one_missing_or_repeated_sample_is_found_wherever_it_is(refusal: Refusal, count: int) -> None:
    for place in {1, count // 2, count - 2}:
        for times in (np.delete(np.arange(count), place), np.insert(np.arange(count), place, place)):
            lines = [f"{time / 500!r},{i % 7}" for i, time in enumerate(times.tolist())]
            assert refusal("\n".join(["time,x", *lines]).encode()).code is Code.RATE, (place, len(times))


@pytest.mark.parametrize(
    ("text", "code", "where"),
    [
        ("time,I\n0,1\n0.1,\n0.2,3\n", Code.NOT_FINITE, "file 1 of 1, lead I"),
        ("time,I\n0,1\n0.1,nan\n0.2,3\n", Code.NOT_FINITE, "file 1 of 1, lead I"),
        ("time,Jane Doe\n0,1\n0.1,inf\n0.2,3\n", Code.NOT_FINITE, "file 1 of 1, lead 1 of 1"),
        ("time,I\n0,1\n0.1,1e60\n0.2,3\n", Code.NOT_FINITE, "file 1 of 1, lead I"),
        ("time,I\n0,1\n,2\n0.2,3\n", Code.NOT_FINITE, "file 1 of 1, column time"),
        ("time,I\n0,1\n0.1,Doe\n0.2,3\n", Code.TYPE, "file 1 of 1, line 3, column 2"),
        ("time;I\n0;1,5\n0.1;2\n", Code.TYPE, "file 1 of 1, line 2, column 2"),
        ("time,I,II\n0,1,2\n0.1,2\n", Code.MALFORMED, "file 1 of 1, line 3"),
        ("time,I,Lead I\n0,1,2\n0.1,2,3\n", Code.LEADS, "file 1 of 1"),
        ("time,II [mV],II\n0,1,2\n0.1,2,3\n", Code.LEADS, "file 1 of 1"),
        ("time,I,\n0,1,2\n0.1,2,3\n", Code.LEADS, "file 1 of 1"),
        ("time,time [s],I\n0,1,2\n0.1,2,3\n", Code.LEADS, "file 1 of 1"),
        ("time,time\n0,1\n0.1,2\n", Code.LEADS, "file 1 of 1"),
        ("time [ms],I\n0,1\n2,2\n", Code.UNIT, "file 1 of 1, column time"),
        ("time,I\n0,1\n", Code.RATE, "file 1 of 1, column time"),
        ("time,I\n1,1\n0,2\n", Code.RATE, "file 1 of 1, column time"),
        ("time,I\n1,1\n1,2\n", Code.RATE, "file 1 of 1, column time"),
        ("time,I\n0,1\n1e-9,2\n", Code.RATE, "file 1 of 1, column time"),
        ("time,I\n", Code.EMPTY, "file 1 of 1"),
        ("time," + ",".join(f"c{i}" for i in range(1024)) + "\n", Code.LEADS, "file 1 of 1"),
        ('time,I\n0,"1\n', Code.MALFORMED, "file 1 of 1, line 2"),
        ("time,I\n0,\udcff\n", Code.MALFORMED, "file 1 of 1"),
        ("seconds,I\n0,1\n", Code.NOT_A_SIGNAL, "the recording"),
    ],
)
def test_a_csv_that_breaks_the_convention_is_refused(refusal: Refusal, text: str, code: Code, where: str) -> None:
    reason = refusal(text.encode(errors="surrogateescape"))
    assert (reason.code, reason.where) == (code, where), reason
    assert "Doe" not in str(reason)


@pytest.mark.parametrize(
    ("columns", "metadata", "code"),
    [
        ({"I": [1.0, None, 3.0]}, {"rate_hz": "500"}, Code.NOT_FINITE),
        ({"I": [1, None, 3]}, {"rate_hz": "500"}, Code.NOT_FINITE),
        ({"I": ["1", "2"]}, {"rate_hz": "500"}, Code.TYPE),
        ({"I": [True, False]}, {"rate_hz": "500"}, Code.TYPE),
        ({"I": [[1.0], [2.0]]}, {"rate_hz": "500"}, Code.TYPE),
        ({"I": [1.0, 2.0]}, None, Code.RATE),
        ({"I": [1.0, 2.0]}, {"rate_hz": "fast"}, Code.RATE),
        ({"I": [1.0, 2.0]}, {"rate_hz": "-1"}, Code.RATE),
        ({"I": [1.0, 2.0, 3.0], "time": [0.0, 0.1, 0.2]}, {"rate_hz": "500"}, Code.RATE),
        ({"I": [1.0], "Lead I": [2.0]}, {"rate_hz": "500"}, Code.LEADS),
        ({"time": [1.0]}, {"rate_hz": "500"}, Code.LEADS),
        ({"I": np.zeros(0)}, {"rate_hz": "500"}, Code.EMPTY),
    ],
)
def test_a_parquet_that_breaks_the_convention_is_refused(
    refusal: Refusal, columns: dict[str, object], metadata: dict[str, str] | None, code: Code
) -> None:
    assert refusal(parquet_table(columns, metadata)).code is code


def test_a_parquet_that_breaks_off_is_refused(refusal: Refusal) -> None:
    content = signals.originals()["parquet"]
    assert {refusal(content[:place]).code for place in range(4, len(content), 37)} == {Code.MALFORMED}


def test_the_format_is_told_by_content(tmp_path: Path) -> None:
    Image.new("L", (4, 4)).save(tmp_path / "a.png")
    contents: dict[bytes, SignalFormat | None] = {
        wav(b""): SignalFormat.SOUND,
        b"RIFF....AVI LIST": None,
        b"fLaC": SignalFormat.SOUND,
        b"OggS": SignalFormat.SOUND,
        b"0       MCH-0234567": SignalFormat.EDF,
        b"\xffBIOSEMI": SignalFormat.EDF,
        b"0, 1, 2\n": None,
        bytes(128) + b"DICM": SignalFormat.DICOM,
        b"PAR1": SignalFormat.TABLE,
        b"x,time\n": SignalFormat.TABLE,
        b"1 12 500 5000\n1.dat 16 1000/mV\n": SignalFormat.WFDB,
        b"# made by hand\r\nrec_1-a/3 2 360/1.5(0) 100 10:00:00 01/02/2000\r\n": SignalFormat.WFDB,
        b"a 2\n": SignalFormat.WFDB,
        b"visit 2, of three\n": None,
        b"a 2\n\0\0": None,
        b"Time was 10 mV, and more\n": None,
        b"12 lead ECG of 1999\n": None,
        b"\x01\x02\x03": None,
        (tmp_path / "a.png").read_bytes(): None,
    }
    for content, kind in contents.items():
        (tmp_path / "x.wav").write_bytes(content)
        assert signal_format_of(tmp_path / "x.wav", "x") is kind, content


def test_each_format_is_handed_to_its_reader(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = Waveform(np.zeros((2, 1), np.float32), 1.0, ("MDC_ECG_LEAD_II", "avf"), ("mV", "mV"))
    seen = []

    def reader(files: object, where: str) -> Waveform:
        seen.append((files, where))
        return made

    for name, function in (("wfdb", "read_wfdb"), ("edf", "read_edf"), ("dicom", "read_dicom_waveform")):
        monkeypatch.setitem(sys.modules, f"medmm.readers.waveform_{name}", SimpleNamespace(**{function: reader}))
    for name, content in (("h", b"1 12 500\n"), ("d", b"\x01\x02"), ("e", b"0       x"), ("m", bytes(128) + b"DICM")):
        (tmp_path / name).write_bytes(content)
    record = [tmp_path / "d", tmp_path / "h"]
    for files in (record, [tmp_path / "e"], [tmp_path / "m"]):
        assert read_waveform(files).leads == ("II", "aVF")
    assert seen == [(record, "the recording"), (tmp_path / "e", "file 1 of 1"), (tmp_path / "m", "file 1 of 1")]


def test_files_that_are_not_one_recording_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(wav(b"\0\0"))
    (tmp_path / "b").write_text("notes")
    (tmp_path / "c").touch()

    def refused(*names: str) -> Code:
        with pytest.raises(Rejected) as caught:
            read_waveform([tmp_path / name for name in names])
        assert str(tmp_path) not in str(caught.value)
        return caught.value.code

    assert refused("a", "a") is Code.AMBIGUOUS
    assert refused("a", "b") is Code.AMBIGUOUS
    assert refused("b") is refused("b", "b") is Code.NOT_A_SIGNAL
    assert refused() is refused("c") is refused("absent") is Code.EMPTY


def test_damaged_recordings_end_in_a_sound_waveform_or_a_refusal() -> None:
    ends: Counter[str] = Counter()
    for outcome in fuzz_signals.run(range(300), workers=2):
        assert outcome.end != fuzz.OFFENDER, f"tests/fuzz_signals.py {outcome.seed} 1: {outcome.text}"
        ends[outcome.end] += 1
    assert ends.total() == 300
    assert ends[fuzz_signals.WAVEFORM] > 30
    assert len(ends) > 5


def test_an_offender_is_told_from_a_refusal(tmp_path: Path) -> None:
    def fail(_: object) -> Waveform:
        raise KeyError("x")

    def unsound(_: object) -> Waveform:
        return Waveform(np.full((1, 2), np.nan, np.float32), 1.0, ("1",), ("1",))

    def tell(files: list[Path]) -> Waveform:
        raise Rejected(Code.GAP, str(files[0]), "x", "y", "z")

    assert {fuzz_signals.read(1, tmp_path, one).end for one in (fail, unsound, tell)} == {fuzz.OFFENDER}
    checked = next(seed for seed in range(99) if fuzz_signals.mutant(seed)[0] in fuzz_signals.CHECKED)
    other = Waveform(np.zeros((1, 2), np.float32), 1.0, ("1",), ("1",))
    assert fuzz_signals.read(checked, tmp_path, lambda _: other).end == fuzz.OFFENDER


@pytest.mark.parametrize(
    ("name", "standard"),
    [
        ("i", "I"),
        ("Lead I", "I"),
        ("LEAD I (Einthoven)", "I"),
        ("MDC_ECG_LEAD_I", "I"),
        ("ECG II", "II"),
        ("EKG-aVL", "aVL"),
        ("DIII", "III"),
        ("avr", "aVR"),
        ("AVR", "aVR"),
        ("Lead aVF (Goldberger)", "aVF"),
        (" v 1 ", "V1"),
        ("MDC_ECG_LEAD_V6", "V6"),
        ("V4r", "V4R"),
        ("vx", "X"),
        ("1", "1"),
        ("MLII", "MLII"),
        ("Lead V1 (modified)", "Lead V1 (modified)"),
        ("-aVR", "-aVR"),
        ("V10", "V10"),
        ("ABP", "ABP"),
        ("", ""),
    ],
)
def test_a_lead_has_one_name(name: str, standard: str) -> None:
    assert standard_lead(name) == standard
    assert standard_lead(standard) == standard


def test_a_message_says_a_known_name_or_a_number() -> None:
    assert [said_lead(("aVR", "2", "Jane Doe"), index) for index in range(3)] == ["lead aVR", "lead 2", "lead 3 of 3"]
    with pytest.raises(Rejected, match="one name for leads 1 and 3"):
        standard_leads(["i", "V1", "Lead I"], "x")


def recording(values: Array, rate_hz: float = 500, unit: str = "mV") -> Waveform:
    return Waveform(np.float32(values)[None], rate_hz, ("II",), (unit,))


def judged(values: Array, rate_hz: float = 500, unit: str = "mV") -> Code | None:
    """Give the code that one lead is refused with."""
    try:
        check_waveform(recording(values, rate_hz, unit))
    except Rejected as reason:
        return reason.code if reason.where == "lead II" else None
    return None


def drawn(seed: int, *, spike_s: float = 0) -> tuple[Array, float, float]:
    """Draw an ECG of random rate and quantum, with the spikes of a pacemaker where they last; gives values, rate, quantum."""
    rng = np.random.default_rng(seed)
    rate = float(rng.choice([250, 360, 500, 1000, 4000]))
    values = signals.ecg(int(10 * rate), rate, rng, beats_minute=rng.uniform(40, 110))
    if spike_s:
        width = max(round(spike_s * rate), 1)
        for start in (np.arange(0.2, 9.8, 60 / 90) * rate).astype(int):
            values[start : start + width] = 5  # one height, far above all else
    return values, rate, float(10 ** rng.uniform(-3, -0.7))


def test_an_ecg_is_not_clipped_however_coarsely_it_is_quantised() -> None:
    for seed in range(150):
        values, rate, quantum = drawn(seed)
        assert judged(values, rate) is None, seed
        assert judged(np.round(values / quantum) * quantum, rate) in (None, Code.FLAT), seed
        if quantum < 0.05:
            assert judged(np.round(values / quantum) * quantum, rate) is None, seed


def test_the_spikes_of_a_pacemaker_are_not_clipped() -> None:
    for seed in range(60):
        for spike_s in (0.0005, 0.002):
            values, rate, quantum = drawn(seed, spike_s=spike_s)
            assert judged(values, rate) is None, seed
            assert judged(np.round(values / min(quantum, 0.05)) * min(quantum, 0.05), rate) is None, seed


def test_smooth_waves_of_few_levels_are_not_clipped() -> None:
    for levels in range(1, 60):
        for shape in (np.sin, lambda x: np.sin(x) + 0.3 * np.sin(2 * x), lambda x: np.exp(3 * np.sin(x)) / 20):
            values = np.round(shape(np.arange(5000) / 97) * levels)
            assert judged(values) in (None, Code.FLAT), levels
    flattened = np.clip(2.5 * np.sin(np.arange(5000) / 97), -1, 1)
    assert judged(np.round(flattened * 4)) is None  # nine levels: it may be a breath, or noise about them
    assert judged(np.round(flattened * 20)) is Code.CLIPPED
    rectified = np.maximum(np.sin(np.arange(5000) / 97), 0)
    assert judged(rectified) is None  # it rests at its lowest


def test_an_overdriven_lead_is_clipped() -> None:
    for seed in range(60):
        values, rate, _ = drawn(seed)
        wave = np.sin(np.arange(len(values)) / rate * 2 * np.pi * (1 + seed % 5)) + 0.05 * values
        for quantum in (1e-9, 0.01):
            for low, high in ((-0.8, 9), (-9, 0.8), (-0.7, 0.7)):
                assert judged(np.clip(np.round(wave / quantum) * quantum, low, high), rate) is Code.CLIPPED, seed
    rail, rate, _ = drawn(1)
    rail[int(2 * rate) : int(2.5 * rate)] = 5.0
    with pytest.raises(Rejected, match=r"lead II: found its highest value held for 0\.50 of 10\.0 s"):
        check_waveform(recording(rail, rate))


def test_a_clipped_heart_sound_is_told_from_a_loud_one() -> None:
    rng = np.random.default_rng(0)
    for seed in range(20):
        sound_ = np.random.default_rng(seed).normal(size=8000) * np.exp(-((np.arange(8000) % 3200 - 800) ** 2) / 2e5)
        smooth = np.convolve(sound_, np.hanning(40) / 20, "same")
        smooth += rng.normal(0, 1e-3, 8000)
        loud = np.round(smooth / np.abs(smooth).max() * 32767) / 32768
        assert judged(loud, 4000, "1") is None
        assert judged(np.clip(loud, -0.25, 0.25), 4000, "1") is Code.CLIPPED


def test_a_lead_that_was_not_connected_is_flat() -> None:
    assert judged(np.full(5000, 0.3)) is Code.FLAT
    assert judged(np.zeros(1)) is Code.FLAT
    part, rate, _ = drawn(3)
    part[: int(5.1 * rate)] = 0.02
    with pytest.raises(Rejected, match=r"E_FLAT: lead II: found one value for 5\.1 of 10\.0 s"):
        check_waveform(recording(part, rate))
    part, rate, _ = drawn(3)
    part[int(3 * rate) : int(7 * rate)] = 0.02  # a pause of four seconds, without any noise
    assert judged(part, rate) is None


def test_numbers_and_units_are_asked_for() -> None:
    values = drawn(0)[0]
    assert judged(values, unit=" ") is Code.UNIT
    values[7] = np.nan
    assert judged(values) is Code.NOT_FINITE
    values[7] = np.inf
    assert judged(values) is Code.NOT_FINITE
    with pytest.raises(Rejected, match="lead 2 of 2: found no unit"):
        check_waveform(Waveform(np.float32([drawn(0)[0]] * 2), 500.0, ("I", "Jane Doe"), ("mV", "")))


def test_sizes_and_rates_that_cannot_be_are_refused() -> None:
    for leads, samples, code in ((0, 5, Code.EMPTY), (5, 0, Code.EMPTY), (1 << 14, 1 << 14, Code.TOO_LARGE)):
        with pytest.raises(Rejected) as caught:
            check_size(leads, samples, "x")
        assert caught.value.code is code
    check_size(12, 5000, "x")
    for rate in (0.0, -1.0, np.nan, np.inf, 1e7):
        with pytest.raises(Rejected, match="E_RATE"):
            check_rate(rate, "x")
    check_rate(0.1, "x")


def test_a_promise_is_read_without_decoding(tmp_path: Path) -> None:
    for name, content in signals.originals().items():
        if name in ("csv", "parquet"):
            continue
        (tmp_path / "x").write_bytes(content)
        promise = promise_of(tmp_path / "x", "x")
        waveform = read_waveform([tmp_path / "x"])
        assert (promise.channels, promise.frames) == waveform.values.shape
        assert promise.rate_hz == waveform.rate_hz


@pytest.mark.skipif(not LUDB.is_dir(), reason="LUDB is not beside this checkout")
def test_every_real_ecg_passes() -> None:
    headers = sorted(LUDB.glob("*.hea"))
    assert len(headers) == 200
    for header in headers:
        (_, leads, rate, samples), *lines = (line.split() for line in header.read_text().splitlines() if line[0] != "#")
        stored = np.fromfile(header.with_suffix(".dat"), "<i2").reshape(int(samples), int(leads)).T
        gains = np.array([float(line[2].split("(")[0]) for line in lines[: int(leads)]])
        names = tuple(standard_lead(line[-1]) for line in lines[: int(leads)])
        assert names == ("I", "II", "III", "aVR", "aVL", "aVF", "V1", "V2", "V3", "V4", "V5", "V6")
        check_waveform(Waveform(np.float32(stored / gains[:, None]), float(rate), names, ("mV",) * int(leads)))
