"""The direction of imports: only from lower layers or from one's own package, and heavy packages only where they may be."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

RANKS = {
    "medmm": 0,
    "medmm.errors": 0,
    "medmm.tables": 1,
    "medmm.exchange": 1,
    "medmm.workers": 2,
    "medmm.bounded": 1,
    "medmm.quiet": 1,
    "medmm.inert": 1,
    "medmm.strict_yaml": 1,
    "medmm.settings": 2,
    "medmm.files": 3,
    "medmm.types": 3,
    "medmm.sealed": 4,
    "medmm.tiles": 4,
    "medmm.signature": 4,
    "medmm.readers": 4,
    "medmm.cohort": 5,
    "medmm.intended_use": 6,
    "medmm.preview": 6,
    "medmm.encoders": 6,
    "medmm.losses": 6,
    "medmm.inputs": 7,
    "medmm.intended_limits": 7,
    "medmm.fusion": 8,
    "medmm.rules": 8,
    "medmm.model": 9,
    "medmm.dataset": 10,
    "medmm.baselines": 11,
    "medmm.predict": 11,
    "medmm.evaluation": 11,
    "medmm.training": 12,
    "medmm.references": 12,
    "medmm.golden": 12,
    "medmm.config": 13,
    "medmm.doubts": 13,
    "medmm.exact": 12,
    "medmm.package": 14,
    "medmm.registry": 15,
    "medmm.start": 15,
    "medmm.privacy": 8,
    "medmm.scoring": 16,
    "medmm.monitoring": 17,
    "medmm.explanation": 15,
    "medmm.exporting": 15,
    "medmm.workflows": 18,
}
"""Layer -> rank; a module imports from smaller ranks, or from its own layer."""


def modules() -> Iterator[tuple[str, Path]]:
    """Give the installed name and the file of every module."""
    for folder, name in ((ROOT / "medmm", "medmm"), (ROOT / "workflows", "medmm.workflows")):
        for path in sorted(folder.rglob("*.py")):
            parts = path.relative_to(folder).with_suffix("").parts
            yield ".".join([name, *(part for part in parts if part != "__init__")]), path


def layer(module: str) -> str:
    """Give the layer of a module: the longest name in RANKS that it stands under."""
    parts = module.split(".")
    names = (".".join(parts[:length]) for length in range(len(parts), 0, -1))
    return next(name for name in names if name in RANKS)


def imports(name: str, path: Path) -> set[str]:
    """Give the modules of this project that a module imports, anywhere in it."""
    package = name if path.name == "__init__.py" else name.rpartition(".")[0]
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                base = ".".join([*package.split(".")[: len(package.split(".")) - node.level + 1], *filter(None, [node.module])])
            found |= {base, *(f"{base}.{alias.name}" for alias in node.names)}
    known = dict(modules())
    return {one for one in found if one in known} - {"medmm", name}


ALL = dict(modules())


@pytest.mark.parametrize("name", ALL)
def test_a_module_imports_from_lower_layers_only(name: str) -> None:
    own = layer(name)
    wrong = [other for other in imports(name, ALL[name]) if layer(other) != own and RANKS[layer(other)] >= RANKS[own]]
    assert not wrong, f"{name} (rank {RANKS[own]}) imports {wrong}"


def test_no_modules_import_each_other_in_a_circle() -> None:
    edges = {name: imports(name, path) for name, path in ALL.items()}
    done: set[str] = set()

    def visit(name: str, trail: tuple[str, ...]) -> None:
        assert name not in trail, " -> ".join([*trail[trail.index(name) :], name])
        if name not in done:
            for other in sorted(edges[name]):
                visit(other, (*trail, name))
            done.add(name)

    for name in edges:
        visit(name, ())


def loaded(statement: str, *packages: str) -> list[str]:
    """Give which of some packages a new interpreter has loaded after a statement."""
    code = f"import sys\n{statement}\nprint(*[name for name in {packages!r} if name in sys.modules])"
    return subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout.split()


def test_help_loads_no_heavy_package() -> None:
    assert loaded("import medmm.workflows.cli", "torch", "monai", "mlflow", "numpy", "pandas") == []


def test_readers_load_neither_torch_nor_monai() -> None:
    assert loaded("import medmm.readers, medmm.cohort.scan", "torch", "monai", "mlflow", "lightning") == []


def test_decoding_workers_load_neither_monai_nor_lightning_nor_mlflow() -> None:
    assert loaded("import medmm.dataset.decode", "monai", "mlflow", "lightning") == []


def test_every_package_is_installed() -> None:
    import tomllib

    listed = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["setuptools"]["packages"]
    assert sorted(listed) == sorted(name for name, path in ALL.items() if path.name == "__init__.py")
