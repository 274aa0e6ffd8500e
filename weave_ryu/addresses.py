"""Reading addresses and numbers as users write them. Light: every command imports this."""

from __future__ import annotations

import ipaddress

from weave_ryu.errors import ConfigError


def parse_http_address(key: str, text: str) -> tuple[str, int]:
    """``HOST:PORT`` to its parts.

    Raises:
        ConfigError: not of that form.
    """
    host, colon, port = text.rpartition(":")
    number = parse_decimal(port)
    if not colon or not host or number is None or not 0 < number < 65536:
        raise ConfigError(key, text, "write it as ADDRESS:PORT, such as 127.0.0.1:6784")
    try:
        ipaddress.ip_address(host.strip("[]"))
    except ValueError as error:
        raise ConfigError(key, text, f"{host!r} is not an IP address") from error
    return host.strip("[]"), number


def check_remote(key: str, text: str) -> str:
    """Refuse what is no remote of an Open vSwitch database.

    Raises:
        ConfigError: not of a form that Open vSwitch knows.
    """
    if not text.startswith(("unix:", "tcp:", "ssl:")):
        raise ConfigError(key, text, "write it as unix:PATH or tcp:ADDRESS:PORT")
    return text


def parse_decimal(text: str) -> int | None:
    """A number of a few digits; None for anything else (`int` itself refuses 5000 digits)."""
    return int(text) if text.isdecimal() and len(text) <= 9 else None
