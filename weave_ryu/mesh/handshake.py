"""What both sides write before messages: header, encryption flag, key (mesh/protocol.go).

Only version 2 is spoken. Neither side waits for the other with its header.
"""

from __future__ import annotations

from weave_ryu.errors import RemoteProtocolError
from weave_ryu.mesh.crypto import KEY_BYTES

VERSION = 2
PROTOCOL = b"weave"
HEADER = PROTOCOL + bytes([VERSION, VERSION])
HEADER_BYTES = len(HEADER)

HEADER_DEADLINE_S = 10.0
HANDSHAKE_DEADLINE_S = 60.0
MAX_FEATURES_BYTES = 64 * 1024
"""The features come before we know who it is; a real message has about 200 bytes."""

_PLAIN = 0
_ENCRYPTED = 1


def check_header_start(start: bytes) -> None:
    """Refuse another protocol at its first wrong byte.

    Raises:
        RemoteProtocolError: it does not begin like a Weave header.
    """
    if not PROTOCOL.startswith(start[: len(PROTOCOL)]):
        raise RemoteProtocolError("bad-header", f"it begins with {start[:8]!r}, not {PROTOCOL!r}")


def check_versions(header: bytes) -> None:
    """The version in use is the lower of both highest; it must not be below a lowest.

    Raises:
        RemoteProtocolError: the other side does not speak version 2.
    """
    lowest, highest = header[5], header[6]
    if lowest > highest or not lowest <= VERSION <= highest:
        raise RemoteProtocolError(
            "no-common-version",
            f"the other side speaks versions {lowest} to {highest}, we speak {VERSION}",
        )


def encode_flag(public_key: bytes | None) -> bytes:
    """The encryption flag, with the key right behind it if there is one."""
    return bytes([_PLAIN]) if public_key is None else bytes([_ENCRYPTED]) + public_key


def flag_bytes(flag: int, have_password: bool) -> int:
    """How many bytes the flag and what belongs to it have.

    Raises:
        RemoteProtocolError: one side has a password and the other has none, or no such flag.
    """
    if flag not in (_PLAIN, _ENCRYPTED):
        raise RemoteProtocolError("bad-flag", f"encryption flag {flag}")
    if have_password and flag == _PLAIN:
        raise RemoteProtocolError(
            "password-missing", "we have a password and the other side has none"
        )
    if not have_password and flag == _ENCRYPTED:
        raise RemoteProtocolError(
            "password-unexpected", "the other side has a password and we have none"
        )
    return 1 + KEY_BYTES if flag == _ENCRYPTED else 1
