"""`medmm package` and `medmm verify`: what they say, what they write, and when they end with 1."""

import io
import json
import shutil
from pathlib import Path

import pytest
from rich.console import Console
from safetensors.torch import load, save
from test_cli import medmm
from test_signature import keys

from medmm.errors import ConfigError, DataError
from medmm.files import write_json
from medmm.package import (
    CARD,
    FILES,
    FORMAT,
    GOLDEN,
    GOLDEN_FACTS,
    OLDER,
    SETTINGS,
    WEIGHTS,
    Package,
    load_package,
    save_package,
    verify_package,
)
from medmm.registry import log_model, register
from medmm.sealed import MANIFEST, seal
from medmm.signature import SIGNATURE
from medmm.training.tracking import TrackingSettings, connect, open_record
from medmm.workflows.package import package_run, show_packaged, verify_model
from medmm.workflows.screen import Screen


@pytest.fixture
def screen() -> Screen:
    return Screen(Console(file=io.StringIO(), width=160))


def said(screen: Screen) -> str:
    assert isinstance(screen.console.file, io.StringIO)
    return screen.console.file.getvalue()


def bytes_of(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def sealed_anew(folder: Path, names: tuple[str, ...] = FILES) -> Path:
    seal(folder, names)
    return folder


def test_the_package_of_a_run_is_written_byte_for_byte(saved: Path, tmp_path: Path, screen: Screen) -> None:
    run = tmp_path / "runs" / "chest"
    shutil.copytree(saved, run / "package")
    for given, out in ((run, tmp_path / "a"), (saved, tmp_path / "b" / "c")):
        made = package_run(str(given), out, None, None, screen)
        assert bytes_of(out) == bytes_of(saved)
        assert made.package.digest == verify_package(saved) == verify_package(out)
    show_packaged(made, screen)
    text = said(screen)
    for words in (
        "pneumonia (binary)",
        "labs: tabular, ft_transformer",
        "temperature 1.500",
        verify_package(saved),
        f"medmm score {tmp_path / 'b' / 'c'} STUDIES --out DIR",
        "answered on",
        "not known to this store",
    ):
        assert words in text


def test_a_model_in_the_store_is_packaged_by_every_address_and_known_by_its_digest(
    package: Package, saved: Path, tracking: TrackingSettings, tmp_path: Path, screen: Screen
) -> None:
    with open_record(connect(tracking), tracking, "chest") as record:
        whole = load_package(saved)
        address = log_model(record, whole, saved)
        register(record.client, "chest", record, address, 0.8, "january")
        record.tags({"model": "models:/chest/1", "model_digest": whole.digest})
    for number, place in enumerate(("models:/chest@champion", f"runs:/{record.run_id}/model")):
        made = package_run(place, tmp_path / str(number), tracking, None, screen)
        assert bytes_of(made.folder) == bytes_of(saved)
        assert made.address == place
    assert package_run(str(saved), tmp_path / "by digest", tracking, None, screen).address == "models:/chest/1"


def test_a_folder_that_holds_something_is_never_written_over(saved: Path, tmp_path: Path, screen: Screen) -> None:
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "thesis.txt").write_text("years of work")
    (tmp_path / "file").write_text("x")
    for out in (tmp_path / "home", tmp_path / "file"):
        with pytest.raises(ConfigError, match="holds something already"):
            package_run(str(saved), out, None, None, screen)
    assert (tmp_path / "home" / "thesis.txt").read_text() == "years of work"
    (tmp_path / "empty").mkdir()
    package_run(str(saved), tmp_path / "empty", None, None, screen)


def older(saved: Path, folder: Path) -> Path:
    """Make a package of the format before golden samples."""
    shutil.copytree(saved, folder)
    settings = json.loads((folder / SETTINGS).read_text())
    write_json(folder / SETTINGS, {**{name: one for name, one in settings.items() if name != "tile"}, "format": 5})
    for name in (GOLDEN, GOLDEN_FACTS):
        (folder / name).unlink()
    return sealed_anew(folder, OLDER[5])


def test_an_older_package_is_refused_with_its_repair_which_works(saved: Path, tmp_path: Path, screen: Screen) -> None:
    old = older(saved, tmp_path / "old")
    with pytest.raises(DataError, match=f"format 5, this version reads {FORMAT}: run `medmm package` on it"):
        load_package(old)
    package_run(str(old), tmp_path / "new", None, None, screen)
    assert "bringing an older package" in said(screen)
    new, now = bytes_of(tmp_path / "new"), bytes_of(saved)
    assert {name for name in now if new[name] == now[name]} >= {*FILES} - {CARD, SETTINGS, GOLDEN_FACTS}
    assert json.loads(new[SETTINGS]) == {**json.loads(now[SETTINGS]), "tile": 1}  # in which every network is exact


def test_a_format_and_files_that_do_not_go_together_are_refused(saved: Path, tmp_path: Path) -> None:
    old = older(saved, tmp_path / "old")
    settings = json.loads((old / SETTINGS).read_text())
    write_json(old / SETTINGS, {**settings, "format": FORMAT})
    with pytest.raises(DataError, match="format"):
        load_package(sealed_anew(old, OLDER[5]), older=True)
    settings = json.loads((saved / SETTINGS).read_text())
    new = Path(shutil.copytree(saved, tmp_path / "new"))
    write_json(new / SETTINGS, {**settings, "format": 5})
    with pytest.raises(DataError, match="format"):
        load_package(sealed_anew(new), older=True)


def test_verification_says_each_step(saved: Path, tmp_path: Path, screen: Screen) -> None:
    assert verify_model(str(saved), TrackingSettings(), None, screen) == verify_package(saved)
    steps = [line.partition(":")[0] for line in said(screen).splitlines()]
    assert steps == ["files", "signature", "loads", "golden samples", "digest"]


def test_a_machine_that_computes_something_else_does_not_verify(saved: Path, tmp_path: Path, screen: Screen) -> None:
    folder = Path(shutil.copytree(saved, tmp_path / "package"))
    weights = load((folder / WEIGHTS).read_bytes())
    weights["head.weight"] *= 1.05
    (folder / WEIGHTS).write_bytes(save(weights))
    with pytest.raises(DataError, match="computes something else"):
        verify_model(str(sealed_anew(folder)), TrackingSettings(), None, screen)
    with pytest.raises(DataError, match="computes something else"):
        package_run(str(folder), tmp_path / "out", None, None, screen)
    assert not (tmp_path / "out").exists()


def test_a_package_is_signed_as_it_is_written_and_signed_anew_by_another_key(
    saved: Path, tmp_path: Path, screen: Screen
) -> None:
    pytest.importorskip("model_signing.signing", reason="needs the extra [sign]", exc_type=ImportError)
    (one, one_public), (two, two_public) = keys(tmp_path, "one"), keys(tmp_path, "two")
    first = package_run(str(saved), tmp_path / "first", None, one, screen)
    assert first.signed
    verify_model(str(first.folder), TrackingSettings(), one_public, screen)
    assert "by the owner of this key" in said(screen)
    kept = package_run(str(first.folder), tmp_path / "kept", None, None, screen)
    assert (kept.folder / SIGNATURE).read_bytes() == (first.folder / SIGNATURE).read_bytes()
    second = package_run(str(first.folder), tmp_path / "second", None, two, screen)
    verify_model(str(second.folder), TrackingSettings(), two_public, screen)
    for folder, key in ((first.folder, two_public), (second.folder, one_public), (saved, one_public)):
        with pytest.raises(DataError, match=r"signature|model\.sig"):
            verify_model(str(folder), TrackingSettings(), key, screen)
    with pytest.raises(ConfigError, match="key cannot sign"):
        package_run(str(saved), tmp_path / "third", None, one_public, screen)
    assert not (tmp_path / "third").exists()
    assert load_package(second.folder).check_golden() == 0


def test_the_commands_end_with_0_or_with_1_and_one_line(saved: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    made = medmm("package", str(saved), "--out", str(out))
    assert made.returncode == 0, made.stderr
    assert verify_package(saved) in made.stdout
    (out / MANIFEST).write_text((out / MANIFEST).read_text() + "\n")
    worse = medmm("verify", str(out))
    assert worse.returncode == 1
    assert len(worse.stderr.splitlines()) == 1
    assert "manifest of the package was changed" in worse.stderr


def test_saving_a_package_twice_writes_the_same_golden_samples(package: Package, saved: Path, tmp_path: Path) -> None:
    save_package(package, tmp_path / "again")
    assert bytes_of(tmp_path / "again") == bytes_of(saved)
