"""Network namespaces: find one, work inside one.

A namespace is given as a path such as ``/run/netns/c1`` or ``/proc/42/ns/net``; ``None`` is the
caller's own. Work inside another one is done on a short-lived thread, because a namespace belongs
to a thread: the caller never moves.
"""

from __future__ import annotations

import ctypes
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from weave_ryu.addresses import parse_decimal
from weave_ryu.errors import ConfigError, NetworkError

NETNS_DIR = Path("/run/netns")
"""Where ``ip netns`` keeps named namespaces."""

_CLONE_NEWNET = 0x40000000

_libc = ctypes.CDLL(None, use_errno=True)
_T = TypeVar("_T")


def resolve_namespace(text: str) -> Path:
    """Find a network namespace by name (``c1``), path (``/run/netns/c1``) or process id (``42``).

    Raises:
        ConfigError: there is no such namespace; nothing was changed.
    """
    if "/" in text:
        path = Path(text)
        remedy = "give the path of a namespace file, such as /run/netns/c1 or /proc/42/ns/net"
    elif parse_decimal(text) is not None and not (NETNS_DIR / text).exists():
        path = Path("/proc") / text / "ns" / "net"
        remedy = "no process has this id: give the id of a process that runs in the container"
    else:
        path = NETNS_DIR / text
        remedy = "there is no such namespace: `ip netns list` shows the names, or give a process id"
    try:
        status = path.stat()
    except (FileNotFoundError, NotADirectoryError):
        raise ConfigError("NETNS", text, remedy) from None
    except PermissionError:
        raise NetworkError(f"namespace {text!r} may not be opened: run this as root") from None
    except OSError as error:  # such as a name that is too long
        raise ConfigError("NETNS", text, f"{error.strerror}: {remedy}") from None
    # Namespace files live on the kernel's nsfs, the device of our own namespace's file.
    if status.st_dev != Path("/proc/self/ns/net").stat().st_dev:
        raise ConfigError("NETNS", text, f"{path} is not a network namespace; {remedy}")
    return path


def namespace_id(namespace: Path | None) -> str:
    """The kernel's number of a namespace: equal for every name, path or process that leads to it.

    Raises:
        NetworkError: the namespace is gone.
    """
    path = namespace or Path("/proc/thread-self/ns/net")
    try:
        return str(path.stat().st_ino)
    except OSError as error:
        raise NetworkError(f"namespace {path} cannot be read: {error.strerror}") from error


def run_inside(namespace: Path | None, work: Callable[[], _T]) -> _T:
    """Run ``work`` with the thread's network namespace set to ``namespace``; return its result.

    Sockets opened by ``work`` stay in the namespace, wherever they are used afterwards; processes
    started by it begin there.

    Raises:
        NetworkError: the namespace cannot be entered. Errors of ``work`` come through unchanged.
    """
    if namespace is None:
        return work()
    results: list[_T] = []
    errors: list[BaseException] = []

    def enter_and_work() -> None:
        try:
            enter_namespace(namespace)
            results.append(work())
        except BaseException as error:  # handed to the caller's thread, whatever it is
            errors.append(error)

    thread = threading.Thread(target=enter_and_work, name=f"in-{namespace.name}")
    thread.start()
    thread.join()
    if errors:
        raise errors[0]
    return results[0]


def enter_namespace(namespace: Path) -> None:
    """Move the calling thread into a namespace, for good.

    Raises:
        NetworkError: it does not exist, or we are not root.
    """
    try:
        descriptor = os.open(namespace, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        raise NetworkError(f"namespace {namespace} cannot be opened: {error.strerror}") from error
    try:
        if _libc.setns(descriptor, _CLONE_NEWNET) != 0:
            reason = os.strerror(ctypes.get_errno())
            raise NetworkError(f"namespace {namespace} cannot be entered ({reason}): run as root")
    finally:
        os.close(descriptor)


def unshare_network() -> None:
    """Put the calling thread into a new, empty network namespace.

    Raises:
        NetworkError: not permitted.
    """
    if _libc.unshare(_CLONE_NEWNET) != 0:
        reason = os.strerror(ctypes.get_errno())
        raise NetworkError(f"a network namespace cannot be made ({reason}): run as root")
