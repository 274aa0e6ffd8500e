"""The web page's own files: read once, served as they are."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

DIRECTORY = Path(__file__).parents[1] / "web"

_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}

CONTENT_SECURITY_POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self'",
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    )
)
"""Nothing but the page's own files; what other hosts call themselves can never become a script."""


@dataclass(frozen=True, slots=True)
class File:
    """One file and its content type."""

    content: bytes
    content_type: str


def load() -> dict[str, File]:
    """All files by name."""
    return {
        path.name: File(path.read_bytes(), _TYPES[path.suffix])
        for path in sorted(DIRECTORY.iterdir())
        if path.suffix in _TYPES
    }
