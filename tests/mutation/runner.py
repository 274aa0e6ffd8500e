"""Applies a mutant to a copy of the tree, and runs the simulator on it."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

ROOT = Path(__file__).resolve().parents[2]
COPIED = ("weave_ryu", "tests/model", "tests/sim", "tests/statespace", "tests/unit")
FOUND = re.compile(r"^seed (\d+): (\w+) at ", re.MULTILINE)
TIMEOUT_S = 900


class StaleMutantError(AssertionError):
    """The source has changed, and the mutant or its record with it."""


@contextmanager
def mutated(mutant):
    """A directory with the product, the simulator and the model, and the bug in it."""
    with TemporaryDirectory(prefix="mutant-") as directory:
        root = Path(directory)
        for part in COPIED:
            ignored = shutil.ignore_patterns("__pycache__")
            shutil.copytree(ROOT / part, root / part, ignore=ignored)
        (root / "tests" / "__init__.py").touch()
        source = root / mutant.path
        text = source.read_text()
        if text.count(mutant.old) != 1:
            raise StaleMutantError(
                f"mutant {mutant.name!r}: its text occurs {text.count(mutant.old)} times in "
                f"{mutant.path}, not once: write it anew in tests/mutation/mutants.py"
            )
        source.write_text(text.replace(mutant.old, mutant.new))
        yield root


def simulate(mutant, first_seed, seeds):
    """Run until a schedule fails.

    Returns:
        (seed, invariant), or None if all of them pass.
    """
    options = ["--first-seed", str(first_seed), "--seeds", str(seeds), "--jobs", "1"]
    with mutated(mutant) as root:
        done = _run(root, ["tests.sim", *options, "--no-shrink"])
    found = FOUND.search(done.stdout)
    if found is not None:
        return int(found[1]), found[2]
    if done.returncode != 0:
        raise AssertionError(f"mutant {mutant.name!r} does not even run: {done.stderr[-2000:]}")
    return None


def explore(mutant):
    """Run the exhaustive model.

    Returns:
        The invariant that it finds broken, or None.
    """
    what = mutant.judge.removeprefix("model ")
    options = ["--frames"] if what == "frames" else ["--roles", what]
    with mutated(mutant) as root:
        done = _run(root, ["tests.statespace", *options])
    found = re.search(r"^broken: (\w+)", done.stdout, re.MULTILINE)
    if found is None and done.returncode != 0:
        raise AssertionError(f"mutant {mutant.name!r} does not even run: {done.stderr[-2000:]}")
    return found[1] if found else None


def told_by_story(mutant):
    """Run the stories that are told in the files that the judge names.

    Returns:
        The first that fails, or None.
    """
    with mutated(mutant) as root:
        files = mutant.judge.removeprefix("story ")
        options = ["-q", "-x", "-p", "no:cacheprovider", f"tests/unit/{files}"]
        done = _run(root, ["pytest", *options])
    found = re.search(r"^FAILED \S+::(\w+)", done.stdout, re.MULTILINE)
    if found is None and done.returncode != 0:
        raise AssertionError(f"mutant {mutant.name!r} does not even run: {done.stdout[-2000:]}")
    return found[1] if found else None


def _run(root, module):
    environment = {**os.environ, "PYTHONPATH": str(root), "PYTHONDONTWRITEBYTECODE": "1"}
    return subprocess.run(
        [sys.executable, "-m", *module],
        cwd=root,
        env=environment,
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )
