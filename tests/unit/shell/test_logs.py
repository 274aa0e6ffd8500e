"""Logging goes on, and the daemon too, when nothing can be written any more."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = """
import sys
import structlog
from weave_ryu.shell import logs
logs.outlive_full_disks()
logs.configure("info", as_json=False)
log = structlog.get_logger()
for number in range(3):
    log.info("to_a_full_disk", number=number)
import os
os.dup2(int(sys.argv[1]), 2)
log.info("to_one_with_room")
print("lived")
"""


def test_a_full_disk_costs_lines_and_not_the_process(tmp_path):
    full = Path("/dev/full")
    if not full.exists():
        pytest.skip("there is no /dev/full here")
    with (tmp_path / "log").open("wb") as log, full.open("wb") as nowhere:
        done = subprocess.run(
            [sys.executable, "-c", SCRIPT, str(log.fileno())],
            stdout=subprocess.PIPE,
            stderr=nowhere,
            pass_fds=[log.fileno()],
            env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])},
            check=False,
        )
    assert done.stdout.split() == [b"lived"]
    text = (tmp_path / "log").read_text()
    assert "3 log lines could not be written" in text
    assert "to_one_with_room" in text
