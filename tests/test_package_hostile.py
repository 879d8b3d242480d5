"""Changed packages are refused before anything loads; hostile ones, whose digests fit, run nothing and end in one line."""

import json
import os
import pickle
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import Hospital
from safetensors.torch import load, save

from medmm import package as module
from medmm import start
from medmm.errors import ConfigError, DataError
from medmm.files import digest_file, json_text
from medmm.package import FACTS, FILES, GOLDEN, GOLDEN_FACTS, SETTINGS, STATE, WEIGHTS, load_package
from medmm.sealed import MANIFEST, seal
from medmm.signature import SIGNATURE

ALL_FILES = (*FILES, MANIFEST)
PLANTED = "medmm_planted"
"""A module that a package brings along, or that a hub name would lead to; to import it is to have lost."""

EDITS = 200


@pytest.fixture
def copy(saved: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(saved, tmp_path / "package"))


@pytest.fixture
def no_loading(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make every step after the check of the bytes a failure."""

    def fail(*_args: object, **_options: object) -> None:
        raise AssertionError("something was loaded before the package was checked")

    for name in ("load", "DiagnosisModel", "open_inputs", "unpack", "unpack_golden", "make_loss", "plain_json"):
        monkeypatch.setattr(module, name, fail)


def edited(folder: Path, rng: np.random.Generator) -> str:
    """Do one small damage to a package, and say of which kind it is."""
    kind = str(rng.choice(["byte", "rename", "addition", "deletion"], p=[0.4, 0.2, 0.3, 0.1]))
    name = str(rng.choice(ALL_FILES))
    path = folder / name
    if kind == "byte":
        content = bytearray(path.read_bytes())
        content[int(rng.integers(len(content)))] ^= int(rng.integers(1, 256))
        path.write_bytes(content)
    elif kind == "rename":
        other = folder / str(rng.choice([n for n in ALL_FILES if n != name]))
        new = [folder / name.upper(), folder / name.capitalize(), folder / f".{name}", folder / f"{name} ", folder / "x" / name]
        way = int(rng.integers(len(new) + 1))
        if way == len(new):  # two change places
            path.rename(folder / "third")
            other.rename(path)
            (folder / "third").rename(other)
        else:
            new[way].parent.mkdir(exist_ok=True)
            path.rename(new[way])
    elif kind == "addition":
        new = folder / str(rng.choice(["more.json", ".hidden", "MLmodel", "code/model.py", "__pycache__/x.pyc", f"{name}.bak"]))
        way = int(rng.integers(6))
        new.parent.mkdir(exist_ok=True)
        if way == 0:
            new.mkdir(exist_ok=True)  # empty
        elif way == 1:
            new.symlink_to(path)
        elif way == 2:
            new.symlink_to("/nowhere")
        elif way == 3:
            os.mkfifo(new)  # whoever opens it waits for ever
        elif way == 4:
            os.link(path, new)
        else:
            new.write_bytes(rng.bytes(int(rng.integers(3))))
    else:
        path.unlink()
        if rng.random() < 0.3:
            path.mkdir()
    return kind


def test_two_hundred_random_damages_are_all_refused_before_anything_loads(
    saved: Path, tmp_path: Path, no_loading: None
) -> None:
    kinds: Counter[str] = Counter()
    for seed in range(EDITS):
        folder = Path(shutil.copytree(saved, tmp_path / f"{seed}"))
        kinds[edited(folder, np.random.default_rng(seed))] += 1
        with pytest.raises(DataError, match="package") as caught:
            load_package(folder)
        assert str(tmp_path) not in str(caught.value)
        shutil.rmtree(folder)
    assert sum(kinds.values()) == EDITS
    assert min(kinds.values()) >= 10
    with pytest.raises(AssertionError, match="something was loaded"):  # the whole one would have gone on
        load_package(saved)


def test_a_hard_link_is_a_file_like_any_other(saved: Path, tmp_path: Path) -> None:
    (tmp_path / "linked").mkdir()
    for name in ALL_FILES:
        os.link(saved / name, tmp_path / "linked" / name)
    assert load_package(tmp_path / "linked").digest == load_package(saved).digest


@pytest.mark.parametrize(
    "other",
    [
        lambda text: text + " ",
        lambda text: text.rstrip("\n"),
        lambda text: text.replace("\n", "\r\n"),
        lambda text: json.dumps(json.loads(text)),
        lambda text: json.dumps(json.loads(text), indent=2, sort_keys=True, ensure_ascii=False).replace(
            '"files"', '"\\u0066iles"'
        ),
        lambda text: json_text(dict(reversed(json.loads(text).items())), indent=4) + "\n",
        lambda text: text.replace('{\n  "digest"', '{\n  "digest": "x",\n  "digest"', 1),
        lambda text: json_text({**json.loads(text), "more": 1}) + "\n",
        lambda text: "\ufeff" + text,
    ],
)
def test_a_manifest_that_says_the_same_in_other_bytes_is_refused(
    copy: Path, other: Callable[[str], str], no_loading: None
) -> None:
    text = (copy / MANIFEST).read_text(encoding="utf-8")
    (copy / MANIFEST).write_bytes(other(text).encode())
    assert (copy / MANIFEST).read_bytes() != text.encode()
    with pytest.raises(DataError, match="manifest of the package"):
        load_package(copy)


def test_the_bytes_that_were_checked_are_the_bytes_that_are_loaded(copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = load_package(copy).model.state_dict()
    original = module.open_package

    def and_then_somebody_writes(folder: Path, *, older: bool = False) -> object:
        sealed = original(folder, older=older)
        for name in ALL_FILES:
            (folder / name).write_bytes(b"changed between check and use")
        return sealed

    monkeypatch.setattr(module, "open_package", and_then_somebody_writes)
    after = load_package(copy).model.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_each_file_is_opened_once(copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: Counter[str] = Counter()
    hook = os.open

    def counting(path: Any, *rest: Any, **options: Any) -> int:
        opened[Path(path).name] += 1
        return hook(path, *rest, **options)

    monkeypatch.setattr(os, "open", counting)
    load_package(copy)
    assert {name: opened[name] for name in ALL_FILES} == dict.fromkeys(ALL_FILES, 1)


@pytest.mark.parametrize("way", ["folder", "link", "pipe"])
def test_a_signature_that_is_no_file_is_refused(copy: Path, way: str, no_loading: None) -> None:
    place = copy / SIGNATURE
    if way == "folder":
        place.mkdir()
    elif way == "link":
        place.symlink_to(copy / WEIGHTS)
    else:
        os.mkfifo(place)
    with pytest.raises(DataError, match="extra files"):
        load_package(copy)


def test_weights_that_are_no_numbers_are_refused_as_they_are_loaded(copy: Path) -> None:
    nan_weight(copy)
    seal(copy, FILES)
    with pytest.raises(DataError, match=r"the weights head\.weight of the package hold NaN"):
        load_package(copy)


def test_encoders_to_start_from_are_held_to_the_same(hospital: Hospital, tmp_path: Path) -> None:
    inputs = {"chest": hospital.inputs["chest"]}
    weights = {"chest": dict(inputs["chest"].encoder(16).state_dict())}
    harms: dict[str, Callable[[Path], object]] = {
        "a file": setting("inputs", "chest", "encoder", "weights", value="/etc/passwd", name=start.SETTINGS),
        "a class": setting("inputs", "chest", "kind", value="os.system", name=start.SETTINGS),
        "a pickle": pickled(start.WEIGHTS),
        "depth": content(start.FACTS, DEEP),
        "nothing": setting("inputs", value=None, name=start.SETTINGS),
    }
    for number, harm in enumerate(harms.values()):
        folder = tmp_path / str(number)
        start.save_start(start.Start("x", 16, inputs, weights, {}), folder)
        assert start.load_start(folder).width == 16
        harm(folder)
        seal(folder, start.FILES)
        with pytest.raises((DataError, ConfigError)) as caught:
            start.load_start(folder)
        assert len(str(caught.value).splitlines()) == 1
    assert not (tmp_path / "ran").exists()


# What follows is sealed anew by whoever made it: every digest fits.


class Bomb:
    """Whoever unpickles it makes a file."""

    def __init__(self, place: Path) -> None:
        self.place = place

    def __reduce__(self) -> tuple[Callable[..., object], tuple[object, ...]]:
        return os.system, (f"touch {self.place}",)


def change(folder: Path, name: str, turn: Callable[[Any], Any]) -> None:
    plain = json.loads((folder / name).read_text(encoding="utf-8"))
    (folder / name).write_text(json.dumps(turn(plain)), encoding="utf-8")


def put(*keys: str | int, value: object) -> Callable[[Any], Any]:
    """Give a function that sets a value deep in plain data."""

    def turn(plain: Any) -> Any:
        inner = plain
        for key in keys[:-1]:
            inner = inner[key]
        inner[keys[-1]] = value
        return plain

    return turn


def setting(*keys: str | int, value: object, name: str = SETTINGS) -> Callable[[Path], None]:
    return lambda folder: change(folder, name, put(*keys, value=value))


def state(*keys: str | int, value: object) -> Callable[[Path], None]:
    return lambda folder: change(folder, STATE, put(*keys, value=value))


def golden(*keys: str | int, value: object) -> Callable[[Path], None]:
    return lambda folder: change(folder, GOLDEN_FACTS, put(*keys, value=value))


def content(name: str, given: bytes) -> Callable[[Path], None]:
    return lambda folder: (folder / name).write_bytes(given) and None


def pickled(name: str) -> Callable[[Path], None]:
    return lambda folder: (folder / name).write_bytes(pickle.dumps(Bomb(folder.parent / "ran"))) and None


def torch_saved(folder: Path) -> None:
    torch.save({"weight": Bomb(folder.parent / "ran")}, folder / WEIGHTS)


def tensors(header: Mapping[str, object], data: bytes = b"") -> bytes:
    text = json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + data


def nan_weight(folder: Path) -> None:
    weights = load((folder / WEIGHTS).read_bytes())
    weights["head.weight"][0, 0] = float("nan")
    (folder / WEIGHTS).write_bytes(save(weights))


def linked(folder: Path) -> None:
    outside = folder.parent / "outside.safetensors"
    (folder / WEIGHTS).rename(outside)
    (folder / WEIGHTS).symlink_to(outside)


def with_code(folder: Path) -> None:
    """Make it a model of MLflow that names a loader, and a module beside it."""
    (folder / "MLmodel").write_text(f"flavors:\n  python_function:\n    loader_module: {PLANTED}\n    code: code\n")
    (folder / "code").mkdir()
    (folder / "code" / f"{PLANTED}.py").write_text("raise SystemExit('ran')\n")


def traversal(folder: Path) -> None:
    change(
        folder,
        GOLDEN_FACTS,
        put("samples", 0, "inputs", "../../../escaped", value={"files": 1, "counts": [], "cells": None, "text": None}),
    )
    (folder / GOLDEN).write_bytes(
        tensors({"0/../../../escaped/0": {"dtype": "U8", "shape": [1], "data_offsets": [0, 1]}}, b"x")
    )


SMALL = {
    "model_type": "vit",
    "hidden_size": 8,
    "num_hidden_layers": 1,
    "num_attention_heads": 1,
    "intermediate_size": 8,
    "image_size": 32,
}
"""An architecture that no limit of size keeps from being built."""

ARCHITECTURE = {
    "config": {**SMALL, "auto_map": {"AutoModel": f"{PLANTED}.Model", "AutoConfig": f"{PLANTED}.Config"}},
    "mean": [0.5] * 3,
    "std": [0.5] * 3,
}
HUGGING = {"name": "huggingface", "model": PLANTED}

DEEP = b"[" * 100_000 + b"]" * 100_000


def text_encoder(folder: Path) -> None:
    setting("inputs", "history", "encoder", value=HUGGING)(folder)
    state("history", "config", value={**ARCHITECTURE["config"], "model_type": PLANTED})(folder)  # type: ignore[dict-item]


HOSTILE: dict[str, Callable[[Path], None]] = {
    "weights are a pickle": pickled(WEIGHTS),
    "weights are a checkpoint of torch": torch_saved,
    "golden samples are a pickle": pickled(GOLDEN),
    "settings are a pickle": pickled(SETTINGS),
    "state is a pickle": pickled(STATE),
    "a loader module beside it": with_code,
    "weights are a link to the outside": linked,
    "settings are YAML with a tag": content(SETTINGS, b"!!python/object/apply:os.system ['touch ran']"),
    "a kind is a class path": setting("inputs", "chest", "kind", value="os.system"),
    "a kind is a tag": setting("inputs", "chest", "kind", value="!!python/object/apply:os.system"),
    "a kind is a list": setting("inputs", "chest", "kind", value=["image"]),
    "an encoder is a class path": setting("inputs", "chest", "encoder", value={"name": f"{PLANTED}.Net"}),
    "an encoder has a target": setting("inputs", "chest", "encoder", "_target_", value=f"{PLANTED}.Net"),
    "settings have a class": setting("inputs", "chest", "__class__", value="os.system"),
    "the model has a class": setting("model", "__class__", value={"__reduce__": "os.system"}),
    "a fusion is a class path": setting("model", "fusion", value="builtins.eval"),
    "a loss is code": setting("model", "loss", value={"name": "__import__('os').system('touch ran')"}),
    "the target is code": setting("target", "task", value="__import__('os').system('touch ran')"),
    "a rule is code": setting(
        "rules", value=[{"name": "x", "when": "__import__('os').system('touch ran')", "then": {"alert": "x"}}]
    ),
    "the cohort is no dictionary": setting("cohort", value="/etc"),
    "there are no inputs": setting("inputs", value={}),
    "inputs are a list": setting("inputs", value=[1, 2]),
    "an input has a path for a name": lambda folder: change(
        folder, SETTINGS, lambda s: {**s, "inputs": {f"../../{name}": one for name, one in s["inputs"].items()}}
    ),
    "settings lack the model": lambda folder: change(folder, SETTINGS, lambda s: {k: v for k, v in s.items() if k != "model"}),
    "the format is a list": setting("format", value=[6]),
    "the temperature is NaN": content(SETTINGS, b'{"format": 6, "temperature": NaN}'),
    "the temperature is a word": setting("temperature", value="1.5"),
    "the temperature is zero": setting("temperature", value=0),
    "the temperature is beyond numbers": lambda folder: (
        (folder / SETTINGS).write_text((folder / SETTINGS).read_text().replace('"temperature": 1.5', '"temperature": 1e999'))
        and None
    ),
    "a tile is beyond memory": setting("tile", value=10**9),
    "a tile is nothing": setting("tile", value=0),
    "thresholds are words": setting("thresholds", value=["x"]),
    "thresholds are many": setting("thresholds", value=[0.5] * 1000),
    "weights of this machine are named": setting("inputs", "chest", "encoder", "weights", value="/etc/passwd"),
    "weights lie up the tree": setting("inputs", "chest", "encoder", "weights", value="../outside.safetensors"),
    "a model of a hub is asked for": setting("inputs", "chest", "encoder", value=HUGGING),
    "a model of this machine is asked for": setting(
        "inputs", "chest", "encoder", value={**HUGGING, "model": "/etc", "architecture": ARCHITECTURE}
    ),
    "foreign code is trusted": setting("inputs", "chest", "encoder", value={**HUGGING, "trust_remote_code": True}),
    "an architecture names code": setting("inputs", "chest", "encoder", value={**HUGGING, "architecture": ARCHITECTURE}),
    "an architecture fetches weights": setting(
        "inputs",
        "chest",
        "encoder",
        value={**HUGGING, "architecture": {**ARCHITECTURE, "config": {**SMALL, "use_pretrained_backbone": True}}},
    ),
    "an architecture fetches kernels": setting(
        "inputs",
        "chest",
        "encoder",
        value={
            **HUGGING,
            "architecture": {**ARCHITECTURE, "config": {**SMALL, "attn_implementation": "planted/kernel"}},
        },
    ),
    "a text encoder names code": text_encoder,
    "a tokenizer is none": state("history", "tokenizer", value="!!python/object/apply:os.system ['touch ran']"),
    "a tokenizer is missing": state("history", value={}),
    "state is a word": state("labs", value="x"),
    "state lacks an input": lambda folder: change(folder, STATE, lambda s: {k: v for k, v in s.items() if k != "labs"}),
    "the network is wide beyond memory": setting("model", "width", value=8 * 10**9),
    "the network is wide beyond the weights": setting("model", "width", value=40_000),
    "an encoder is wide beyond memory": setting("inputs", "chest", "encoder", "channels", value=10**7),
    "an encoder is deep beyond patience": setting("inputs", "labs", "encoder", "layers", value=10**9),
    "a vocabulary is large beyond memory": state("history", "tokens", value=10**12),
    "a note is long beyond memory": state("history", "max_tokens", value=10**12),
    "weights have a header beyond memory": content(WEIGHTS, (2**62).to_bytes(8, "little") + b"{}"),
    "weights have a shape beyond memory": content(
        WEIGHTS, tensors({"head.weight": {"dtype": "F32", "shape": [2**40, 2**20], "data_offsets": [0, 4]}}, b"\0" * 4)
    ),
    "weights have a shape that overflows": content(
        WEIGHTS, tensors({"head.weight": {"dtype": "F32", "shape": [2**63, 2], "data_offsets": [0, 4]}}, b"\0" * 4)
    ),
    "weights overlap": content(
        WEIGHTS,
        tensors({n: {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]} for n in ("a", "b")}, b"\0" * 4),
    ),
    "weights are of another network": content(WEIGHTS, save({"x": torch.zeros(1)})),
    "weights are empty": content(WEIGHTS, b""),
    "a weight is NaN": nan_weight,
    "settings are nested deeply": content(SETTINGS, DEEP),
    "settings hold something nested deeply": lambda folder: (
        (folder / SETTINGS).write_bytes((folder / SETTINGS).read_bytes().replace(b'"name": "chest"', b'"name": ' + DEEP))
        and None
    ),
    "state is nested deeply": content(STATE, DEEP),
    "facts are nested deeply": content(FACTS, DEEP),
    "facts are a word": content(FACTS, b'"x"'),
    "facts are no text": content(FACTS, b"\xff\xfe"),
    "a number has too many digits": content(SETTINGS, b'{"format": ' + b"9" * 5000 + b"}"),
    "golden samples are named by paths": traversal,
    "golden samples are many": lambda folder: change(folder, GOLDEN_FACTS, lambda g: {**g, "samples": g["samples"] * 1000}),
    "golden samples are none": golden("samples", value=[]),
    "golden samples allow all": golden("tolerance", value=1e9),
    "golden samples have other files": golden("samples", 0, "inputs", "chest", "files", value=10**9),
    "golden samples have files below nothing": golden("samples", 0, "inputs", "chest", "files", value=-1),
    "golden samples expect too little": golden("samples", 0, "answers", value=[]),
    "golden samples expect words": golden("samples", 0, "answers", value=["0.5"]),
    "golden samples are of another input": golden("samples", 0, "inputs", value={"heart": {}}),
    "golden bytes have a shape beyond memory": content(
        GOLDEN, tensors({"0/chest/0": {"dtype": "U8", "shape": [2**50], "data_offsets": [0, 4]}}, b"\0" * 4)
    ),
}

WATCHER = """
import json, os, resource, signal, sys, tempfile, time
from pathlib import Path

from medmm.errors import ConfigError, DataError
from medmm.package import load_package

planted, good, *folders = sys.argv[1:]
load_package(Path(good)).check_golden()  # whatever is imported only when it is needed
import torch.distributed.elastic.multiprocessing.redirects  # which transformers loads, and which opens the C library
own = tempfile.mkdtemp()
tempfile.tempdir = own  # where golden samples become files
seen = []
FORBIDDEN = ("subprocess.Popen", "os.system", "os.exec", "os.posix_spawn", "os.fork", "os.forkpty", "os.spawn", "ctypes.dlopen",
    "socket.connect", "socket.bind", "socket.getaddrinfo", "socket.sendto", "pickle.find_class")
CHANGING = ("os.remove", "os.rename", "os.mkdir", "os.rmdir", "os.link", "os.symlink", "os.chmod", "shutil.rmtree")

def hook(event, args):
    if event in FORBIDDEN:
        seen.append(f"{event} {args[:1]}")
    elif event in CHANGING and not str(args[0]).startswith(own) and args[-1] == -1:  # not inside of a folder held open
        seen.append(f"{event} {args[:1]}")
    elif event == "import" and planted in str(args[0]):
        seen.append(f"import {args[0]}")
    elif event == "open" and any(word in str(args[0]) for word in ("/etc/", "outside", planted)):
        seen.append(f"open {args[0]}")
    elif event == "open" and isinstance(args[2], int) and args[2] & os.O_ACCMODE and not str(args[0]).startswith(own):
        seen.append(f"write {args[0]}")

def too_long(*_):
    raise TimeoutError("it never ends")

signal.signal(signal.SIGALRM, too_long)
sys.addaudithook(hook)
for folder in folders:
    seen.clear()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    start = time.monotonic()
    signal.alarm(20)
    try:
        load_package(Path(folder)).check_golden()
        kind, said = "loaded", ""
    except (DataError, ConfigError) as reason:
        kind, said = "refused", str(reason)
    except BaseException as reason:
        kind, said = type(reason).__name__, str(reason)[:200]
    signal.alarm(0)
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    print(json.dumps([folder, kind, said, seen, grown, time.monotonic() - start]), flush=True)
"""


@pytest.fixture(scope="module")
def verdicts(
    saved: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, tuple[str, str, list[str], float, float]]]:
    """What became of each hostile package, in a process that is watched: how it ended, its line, events, MiB and seconds."""
    root = tmp_path_factory.mktemp("hostile")
    place = root / "on the path"
    place.mkdir()
    (place / f"{PLANTED}.py").write_text(f"open({str(root / 'ran')!r}, 'w')\n")
    (place / PLANTED).mkdir()  # a model of that name in the working folder
    (place / PLANTED / "config.json").write_text(json.dumps({"model_type": "vit", **ARCHITECTURE["config"]}))
    folders = {}
    for number, (name, harm) in enumerate(HOSTILE.items()):
        folder = root / str(number) / "package"
        shutil.copytree(saved, folder)
        harm(folder)
        extra = [
            path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file() and path.name not in ALL_FILES
        ]
        seal(folder, [*FILES, *extra])
        assert digest_file(folder / WEIGHTS)
        folders[str(folder)] = name
    code = [sys.executable, "-c", WATCHER, PLANTED, str(saved), *folders]
    paths = os.pathsep.join([str(Path(module.__file__).parents[1]), str(place)])
    done = subprocess.run(
        code, check=False, capture_output=True, text=True, cwd=place, env={**os.environ, "PYTHONPATH": paths}, timeout=500
    )
    assert done.returncode == 0, done.stderr[-2000:]
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    yield {folders[folder]: tuple(rest) for folder, *rest in lines}
    assert not list(root.rglob("ran"))
    assert not list(root.rglob("escaped*"))


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_package_runs_nothing_and_ends_in_one_line(
    verdicts: Mapping[str, tuple[str, str, list[str], float, float]], name: str
) -> None:
    kind, said, seen, mebibytes, seconds = verdicts[name]
    assert kind == "refused", said
    assert seen == []
    assert len(said.splitlines()) == 1
    assert "/package" not in said
    assert len(said) < 500
    assert mebibytes < 300
    assert seconds < 20
