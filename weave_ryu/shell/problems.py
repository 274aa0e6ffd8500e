"""A request that cannot be served."""

from __future__ import annotations


class ApiError(Exception):
    """A request that cannot be served.

    Args:
        status: HTTP status.
        code: short machine-readable reason.
        message: a sentence for humans.
        field: the input that is wrong; empty if none.
    """

    def __init__(self, status: int, code: str, message: str, field: str = "") -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.field = field
