"""Who may import whom: the cores know neither the outside world nor one another."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[2] / "weave_ryu"
CORES = ("mesh", "gateway", "pipeline", "ovsdb")
FORBIDDEN = {
    "asyncio", "datetime", "eventlet", "logging", "multiprocessing", "os", "requests", "ryu",
    "select", "selectors", "signal", "socket", "ssl", "subprocess", "threading", "time",
}  # fmt: skip
OUTSIDE = ("weave_ryu.shell", "weave_ryu.cli", "weave_ryu.lab")
MAX_LINES = 700


def modules(core: str) -> list[Path]:
    return sorted((PACKAGE / core).rglob("*.py"))


def imported(path: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} has a relative import"
            module = node.module or ""
            names |= {module} | {f"{module}.{alias.name}" for alias in node.names}
    return names


@pytest.mark.parametrize("core", CORES)
def test_a_core_imports_nothing_of_the_outside_world(core):
    for path in modules(core):
        roots = {name.split(".")[0] for name in imported(path)}
        assert not roots & FORBIDDEN, f"{path} imports {sorted(roots & FORBIDDEN)}"


@pytest.mark.parametrize("core", CORES)
def test_a_core_imports_no_other_core_and_no_shell(core):
    others = tuple(f"weave_ryu.{other}" for other in CORES if other != core) + OUTSIDE
    for path in modules(core):
        wrong = [
            name
            for name in imported(path)
            if any(name == other or name.startswith(other + ".") for other in others)
        ]
        assert not wrong, f"{path} imports {wrong}"


@pytest.mark.parametrize("core", CORES)
def test_randomness_is_injected(core):
    """``random`` may be named for types and ``random.SystemRandom``, never drawn from."""
    for path in modules(core):
        for node in ast.walk(ast.parse(path.read_text())):
            if (
                isinstance(node, ast.Call)
                and isinstance(node.func, ast.Attribute)
                and isinstance(node.func.value, ast.Name)
            ):
                assert node.func.value.id not in ("random", "secrets"), f"{path}:{node.lineno}"


def test_a_core_does_not_bring_the_outside_world_in_by_a_third_module():
    names = [
        ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts)
        for core in CORES
        for path in modules(core)
        if path.name != "__init__.py"
    ]
    code = (
        "import importlib, sys\n"
        f"for name in {names!r}: importlib.import_module(name)\n"
        "print([m for m in ('eventlet', 'ryu', 'asyncio', 'ovs') if m in sys.modules])"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert result.stdout.strip() == "[]"


@pytest.mark.parametrize("core", CORES)
def test_no_module_is_over_the_hard_limit(core):
    for path in modules(core):
        assert len(path.read_text().splitlines()) <= MAX_LINES, path
