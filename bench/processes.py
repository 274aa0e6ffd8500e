"""What a process uses, from ``/proc``."""

from __future__ import annotations

import os
import re
from pathlib import Path


def resident_mib(pid: int) -> float:
    """Resident memory."""
    text = Path(f"/proc/{pid}/status").read_text(encoding="ascii", errors="replace")
    found = re.search(r"VmRSS:\s*(\d+) kB", text)
    return int(found.group(1)) / 1024 if found else 0.0


def cpu_s(pid: int) -> float:
    """Processor time so far, of all its threads."""
    text = Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace")
    fields = text.rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
