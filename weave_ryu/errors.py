"""Every error that this package raises on purpose, in one tree.

Data stands in attributes; the sentence for a human is written once, by ``__str__``. A sentence says
what failed, with which value, and what to do.
"""

from __future__ import annotations


class WeaveRyuError(Exception):
    """Root of all errors raised on purpose."""


class ConfigError(WeaveRyuError):
    """A flag, a configuration key or an API field has a value that cannot be used.

    Args:
        key: the flag or key as the user spells it, e.g. ``--gateway``.
        value: what was given.
        reason: what is wrong and what to do, without a full stop at the end.
    """

    def __init__(self, key: str, value: object, reason: str) -> None:
        super().__init__(key, value, reason)
        self.key = key
        self.value = value
        self.reason = reason

    def __str__(self) -> str:
        return f"{self.key} {self.value!r}: {self.reason}"


class UnresolvedError(ConfigError):
    """A name has no address now; it may have one later."""


class LocalProtocolError(WeaveRyuError):
    """Our own caller broke a contract of a sans-IO core: a bug on this side."""


class RemoteProtocolError(WeaveRyuError):
    """The other side sent something that the protocol does not allow.

    Args:
        code: short machine-readable reason, e.g. ``bad-gob``, ``message-too-long``.
        detail: one clause with the offending value.
    """

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(code, detail)
        self.code = code
        self.detail = detail

    def __str__(self) -> str:
        return f"{self.code}: {self.detail}"


class OvsdbError(WeaveRyuError):
    """A change of the Open vSwitch database failed or timed out."""

    def __init__(self, operation: str, detail: str) -> None:
        super().__init__(operation, detail)
        self.operation = operation
        self.detail = detail

    def __str__(self) -> str:
        return f"OVSDB: {self.operation} failed: {self.detail}"


class OpenFlowError(WeaveRyuError):
    """The switch refused a message, or did not answer in time."""

    def __init__(self, operation: str, detail: str) -> None:
        super().__init__(operation, detail)
        self.operation = operation
        self.detail = detail

    def __str__(self) -> str:
        return f"OpenFlow: {self.operation} failed: {self.detail}"


class NetworkError(WeaveRyuError):
    """A link, address or namespace could not be made, changed or removed."""


class LabError(WeaveRyuError):
    """The lab could not be built, or a command inside it failed."""

    def __init__(self, what: str, detail: str = "") -> None:
        super().__init__(what, detail)
        self.what = what
        self.detail = detail

    def __str__(self) -> str:
        return f"{self.what}: {self.detail}" if self.detail else self.what


class DaemonUnreachableError(WeaveRyuError):
    """No daemon answered on the HTTP address."""

    def __init__(self, address: str, detail: str) -> None:
        super().__init__(address, detail)
        self.address = address
        self.detail = detail

    def __str__(self) -> str:
        return (
            f"no weave-ryu daemon answers on {self.address} ({self.detail}): "
            "start one with `weave-ryu run`, or name its address with --http-addr"
        )
