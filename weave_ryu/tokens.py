"""The secret that the HTTP API asks for: read from a file, by the daemon and by its clients."""

from __future__ import annotations

import re
from pathlib import Path

from weave_ryu.errors import ConfigError

_TOKEN = re.compile(r"[A-Za-z0-9._~+/=-]{16,256}")
"""What may stand in an Authorization header (RFC 6750, 2.1), and cannot be guessed."""

_HOW = "make one with: (umask 077; head -c 24 /dev/urandom | base64 > FILE)"


def read_token(key: str, path: str) -> str:
    """Read a token.

    Args:
        key: the flag, as the user spells it.
        path: of the file.

    Raises:
        ConfigError: it cannot be read, everybody can read it, or it holds no token.
    """
    try:
        file = Path(path)
        if file.stat().st_mode & 0o007:
            raise ConfigError(key, path, "everybody on this host can read it: chmod o= it")
        with file.open("rb") as opened:
            text = opened.read(1024).decode("ascii", errors="replace").strip()
    except OSError as error:
        raise ConfigError(key, path, f"cannot be read: {error.strerror}") from error
    except ValueError as error:  # a NUL byte in the path
        raise ConfigError(key, path, "is no path") from error
    if not _TOKEN.fullmatch(text):
        raise ConfigError(
            key, path, f"holds no token of 16 to 256 letters, digits and ._~+/=-; {_HOW}"
        )
    return text
