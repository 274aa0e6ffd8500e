"""Placeholder until written."""

from __future__ import annotations

from weave_ryu.errors import LabError
from weave_ryu.lab.lab import Options, Progress


def run(options: Options, progress: Progress, *, as_json: bool, keep: bool) -> int:
    """Run it."""
    raise LabError("the demo is not written yet")
