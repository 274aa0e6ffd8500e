"""Logging set-up: structlog over the standard library, on stderr."""

from __future__ import annotations

import io
import logging
import sys
from typing import TextIO

import structlog


class PatientStream(io.TextIOBase):
    """A stream that loses what cannot be written: a full disk must not end the daemon.

    When there is room again, it says how many pieces it has lost.
    """

    def __init__(self, stream: TextIO) -> None:
        super().__init__()
        self._stream = stream
        self._lost = 0

    def write(self, text: str) -> int:
        """Write, or lose it."""
        try:
            if self._lost:
                self._stream.write(f"{self._lost} log lines could not be written\n")
                self._stream.flush()
                self._lost = 0
            self._stream.write(text)
            self._stream.flush()
        except OSError:
            # A line may come in two pieces, the end of the line being one.
            self._lost += bool(text.strip())
        return len(text)

    def flush(self) -> None:
        """Nothing waits."""

    def isatty(self) -> bool:
        """Whether somebody looks."""
        return self._stream.isatty()

    def fileno(self) -> int:
        """Of the stream behind."""
        return self._stream.fileno()


def outlive_full_disks() -> None:
    """From now on nothing that is said on stderr ends the process, be it a traceback."""
    sys.stderr = PatientStream(sys.stderr)


def configure(level: str, as_json: bool) -> None:
    """Send log lines to stderr.

    Args:
        level: ``debug``, ``info``, ``warning`` or ``error``.
        as_json: one JSON object per line instead of text.
    """
    logging.basicConfig(
        level=level.upper(), format="%(levelname)s %(name)s: %(message)s", stream=sys.stderr
    )
    renderer: structlog.typing.Processor = (
        structlog.processors.JSONRenderer()
        if as_json
        else structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())
    )
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.StackInfoRenderer(),
            structlog.processors.format_exc_info,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(
            logging.getLevelNamesMapping()[level.upper()]
        ),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
