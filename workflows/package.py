"""`medmm package` and `medmm verify`: a model as a folder to hand on, and whether such a folder is what it says it is."""

from dataclasses import dataclass
from pathlib import Path

from medmm.errors import ConfigError
from medmm.files import write_bytes, writing_folder
from medmm.golden import TOLERANCE
from medmm.package import FORMAT, Package, open_package, save_package, unpack_package
from medmm.registry import address_of, fetched
from medmm.signature import SIGNATURE, check_signature, sign_folder
from medmm.training.tracking import TrackingSettings

from .screen import Screen

ADDRESSES = ("models:/", "runs:/")
OF_A_RUN = "package"
"""Where the output folder of a run keeps its package."""


@dataclass(frozen=True)
class Packaged:
    """A package that was made.

    Attributes:
        folder: Where it lies.
        package: What is in it.
        sizes: File -> bytes.
        address: In MLflow; "" where its store does not know it.
        signed: Whether it has a signature.
    """

    folder: Path
    package: Package
    sizes: dict[str, int]
    address: str
    signed: bool


def package_run(run: str, out: Path, tracking: TrackingSettings | None, key: Path | None, screen: Screen) -> Packaged:
    """Fetch the package of a run, check it, and write it as a folder of the present format.

    Of a package that has that format, each byte stays as it is, and so does its digest.

    Args:
        run: Output folder of a run, folder of a package, `runs:/RUN_ID/model` or `models:/NAME@ALIAS`.
        out: Where it is written; must not exist.
        tracking: The store that knows the run; None where there is none.
        key: Private key (PEM) to sign it with.
        screen: Told what is done.

    Raises:
        MedmmError: Something that the user can repair.
    """
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise ConfigError("the folder of --out holds something already: name one that does not exist")
    screen.say("fetching and checking ...")
    own = Path(run) / OF_A_RUN
    with fetched(str(own) if own.is_dir() else run, tracking or TrackingSettings()) as folder:
        sealed = open_package(folder, older=True)
        package = unpack_package(sealed)
    if package.golden is None:
        screen.say(f"bringing an older package to format {FORMAT}: golden samples are made on this machine")
        save_package(package, out)
        sealed = open_package(out)
        package = unpack_package(sealed)
    largest = package.check_golden()
    screen.say(f"the golden samples are answered as expected, apart by at most {largest:.2g}")
    kept = {name: content for name, content in sealed.contents.items() if key is None or name != SIGNATURE}
    with writing_folder(out) as temporary:
        for name, content in kept.items():
            write_bytes(temporary / name, content)
        if key is not None:
            sign_folder(temporary, key)
    sizes = {path.name: path.stat().st_size for path in sorted(out.iterdir())}
    address = run if run.startswith(ADDRESSES) else address_of(package.digest, tracking) if tracking is not None else ""
    return Packaged(out, package, sizes, address, SIGNATURE in sizes)


def show_packaged(packaged: Packaged, screen: Screen) -> None:
    """Say what is in a package, and how to score with it."""
    package = packaged.package
    golden = package.golden
    assert golden is not None
    rows = [
        ("predicts", f"{' or '.join(package.target.names)} ({package.target.task})"),
        *(("input", f"{name}: {one.settings.kind}, {one.settings.encoder.name}") for name, one in package.inputs.items()),
        ("fusion", package.model_settings.fusion.name),
        ("calibration", f"{package.calibration.kind}, temperature {package.temperature:.3f}"),
        ("thresholds", ", ".join(f"{one:.3f}" for one in package.thresholds) or "none"),
        ("rules", ", ".join(rule.name for rule in package.rules) or "none"),
        *(("made for", line) for line in (package.intended.told() if package.intended is not None else ())),
        (
            "references",
            "conformal, novelty, drift, neighbours" + (", standing" if package.references.standing else "")
            if package.references is not None
            else "none",
        ),
        ("golden samples", f"{len(golden.samples)}, answered on {golden.made_on}"),
        ("files", f"{len(packaged.sizes)}, {sum(packaged.sizes.values()) / 1e6:.1f} MB"),
        ("signature", SIGNATURE if packaged.signed else "none"),
        ("digest", package.digest),
        ("in MLflow", packaged.address or "not known to this store"),
    ]
    screen.table(package.name, ("what", "is"), rows)
    screen.say("")
    screen.say(f"package: {packaged.folder}")
    screen.say(f"check it: medmm verify {packaged.folder}" + (" --key PUBLIC.pem" if packaged.signed else ""))
    screen.say(f"score with it: medmm score {packaged.folder} STUDIES --out DIR")


def verify_model(model: str, tracking: TrackingSettings, key: Path | None, screen: Screen) -> str:
    """Check a package step by step, and give its digest.

    Args:
        model: Folder of a package, or its address in MLflow.
        tracking: The store that knows the address.
        key: Public key (PEM) by which it has to be signed.
        screen: Told each step.

    Raises:
        MedmmError: The package is not what it says it is, or this machine computes something else.
    """
    with fetched(model, tracking) as folder:
        sealed = open_package(folder)
    screen.say(f"files: {len(set(sealed.contents) - {SIGNATURE})}, every byte as the manifest says")
    if key is not None:
        check_signature(sealed.contents, key)
        screen.say("signature: by the owner of this key, over every file")
    elif SIGNATURE in sealed.contents:
        screen.say("signature: there is one, not checked: give the maker's public key with --key")
    else:
        screen.say("signature: none; the digest tells whether it is the package that its maker names")
    package = unpack_package(sealed)
    screen.say(f"loads: {package.name}, from {', '.join(sorted(package.inputs))}")
    largest = package.check_golden()
    screen.say(f"golden samples: answered as expected, apart by at most {largest:.2g}, {TOLERANCE:g} allowed")
    screen.say(f"digest: {package.digest}")
    return package.digest
