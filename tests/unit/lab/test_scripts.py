import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
SCRIPTS = sorted((ROOT / "ovs_scripts").iterdir())


def run(*command):
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_script_explains_itself_with_an_example(script):
    result = run(script, "--help")
    assert result.returncode == 0
    for words in ("usage:", "--dry-run", "example", "exit status"):
        assert words in result.stdout


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_script_refuses_unknown_arguments_in_one_line(script):
    result = run(script, "--frobnicate")
    assert result.returncode == 2
    assert result.stderr.count("\n") == 1


def test_packages_are_not_installed_by_a_dry_run():
    result = run(ROOT / "ovs_scripts" / "install-deps", "--dry-run")
    assert result.returncode == 0
    assert "all there" in result.stdout or "apt-get install" in result.stdout


def test_makefile_says_which_python_it_needs(tmp_path):
    venv = f"VENV={tmp_path}/venv"
    result = run("make", "-C", ROOT, venv, "PYTHON=/bin/false", f"{tmp_path}/venv/.installed")
    assert result.returncode != 0
    assert "is not Python 3.11 to 3.13" in result.stderr


def test_parts_say_how_long_they_took_and_which_one_failed():
    result = run(ROOT / "tests" / "parts", "help", "no-such-target", "lint")
    assert result.returncode == 2
    rows = [line.split() for line in result.stdout.splitlines()[-3:]]
    assert [(row[0], *row[2:]) for row in rows] == [
        ("help", "s", "passed"), ("no-such-target", "s", "FAILED"), ("all", "s")
    ]  # fmt: skip


def test_makefile_lists_its_targets():
    result = run("make", "-C", ROOT, "help")
    for target in ("demo", "test", "test-all", "lint", "netns", "lab-up", "lab-down", "clean"):
        assert f"  {target} " in result.stdout
