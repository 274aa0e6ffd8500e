"""Certificates and keys of the HTTP API: read from files, by the daemon and by its clients.

`ssl` is imported when it is needed only: most commands speak plain HTTP on the own host.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from weave_ryu.errors import ConfigError

if TYPE_CHECKING:
    import ssl

_MAX_BYTES = 1 << 20
_CERTIFICATE = b"-----BEGIN CERTIFICATE-----"
_KEY = b"PRIVATE KEY-----"


def server_context(certificate: tuple[str, str], private_key: tuple[str, str]) -> ssl.SSLContext:
    """What the daemon needs to speak HTTPS.

    Args:
        certificate: the flag or key as the user spells it, and the path of the PEM file with the
            certificate and what leads to its authority.
        private_key: the same for the key that belongs to it.

    Raises:
        ConfigError: a file cannot be read or used, or the two do not belong together.
    """
    import ssl  # noqa: PLC0415

    if _CERTIFICATE not in _read(*certificate):
        raise ConfigError(*certificate, "holds no certificate: it must be in PEM form")
    content = _read(*private_key)
    if _KEY not in content:
        raise ConfigError(*private_key, "holds no private key: it must be in PEM form")
    if Path(private_key[1]).stat().st_mode & 0o007:
        raise ConfigError(*private_key, "everybody on this host can read it: chmod o= it")
    if b"ENCRYPTED" in content:
        raise ConfigError(
            *private_key,
            "is encrypted, and the daemon knows no passphrase: write it out with "
            "`openssl pkey -in FILE -out PLAIN`",
        )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        # Without a password OpenSSL would ask the terminal.
        context.load_cert_chain(certificate[1], private_key[1], password=lambda: b"")
    except ssl.SSLError as error:
        if error.reason == "KEY_VALUES_MISMATCH":
            raise ConfigError(
                *private_key, f"is not the key of the certificate in {certificate[1]}"
            ) from error
        raise ConfigError(
            *certificate, f"it, or {private_key[1]}, cannot be used: {_reason(error)}"
        ) from error
    return context


def client_context(key: str, path: str) -> ssl.SSLContext:
    """What a client needs to believe a daemon.

    Args:
        key: the flag, as the user spells it.
        path: PEM file with the authority's certificate, or the daemon's own.

    Raises:
        ConfigError: it cannot be read, or holds no certificate.
    """
    import ssl  # noqa: PLC0415

    if _CERTIFICATE not in _read(key, path):
        raise ConfigError(key, path, "holds no certificate: it must be in PEM form")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        context.load_verify_locations(path)
    except ssl.SSLError as error:
        raise ConfigError(key, path, f"holds no usable certificate: {_reason(error)}") from error
    return context


def _read(key: str, path: str) -> bytes:
    try:
        with Path(path).open("rb") as opened:
            return opened.read(_MAX_BYTES)
    except OSError as error:
        raise ConfigError(key, path, f"cannot be read: {error.strerror}") from error
    except ValueError as error:  # a NUL byte in the path
        raise ConfigError(key, path, "is no path") from error


def _reason(error: ssl.SSLError) -> str:
    return (error.reason or str(error)).lower().replace("_", " ")
