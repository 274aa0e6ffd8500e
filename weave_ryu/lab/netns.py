"""Named network namespaces of a lab: make them quiet, remove them, reach into them."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable
from pathlib import Path

from weave_ryu import links, namespaces
from weave_ryu.errors import NetworkError


def namespace_path(name: str) -> Path:
    """Where a named namespace is mounted."""
    return namespaces.NETNS_DIR / name


def create_namespace(name: str) -> Path:
    """Make a namespace with loopback up and IPv6 off, so that captures hold only what was sent.

    Raises:
        NetworkError: the name is taken, or we are not root.
    """
    path = namespace_path(name)
    if path.exists():
        raise NetworkError(
            f"network namespace {name!r} exists already: remove it with `ip netns del {name}`, "
            "or choose another prefix"
        )

    from pyroute2 import netns as named_namespaces  # noqa: PLC0415  # 0.1 s

    def create_on_this_thread() -> None:
        namespaces.unshare_network()
        try:
            # The thread's own id: the namespace of the process as a whole stays what it was.
            named_namespaces.attach(name, threading.get_native_id())
        except OSError as error:
            raise NetworkError(
                f"network namespace {name!r} cannot be made: {error.strerror or error}"
            ) from error
        _disable_ipv6()
        links.set_link("lo", is_up=True)

    _on_new_thread(create_on_this_thread)
    return path


def delete_namespace(name: str) -> bool:
    """Remove a namespace by name, and with it every link in it once no process holds it.

    Returns:
        Whether there was one.
    """
    if not namespace_path(name).exists():
        return False
    from pyroute2 import netns as named_namespaces  # noqa: PLC0415  # 0.1 s

    try:
        named_namespaces.remove(name)
    except OSError as error:
        raise NetworkError(
            f"network namespace {name!r} cannot be removed: {error.strerror or error}"
        ) from error
    return True


def connect_inside(namespace: Path, host: str, port: int, timeout_s: float) -> socket.socket:
    """Open a TCP connection from within a namespace; the socket is usable anywhere.

    Raises:
        OSError: refused, or not answered in time.
    """

    def open_socket() -> socket.socket:
        return socket.socket(socket.AF_INET, socket.SOCK_STREAM)

    connection = namespaces.run_inside(namespace, open_socket)
    try:
        connection.settimeout(timeout_s)
        connection.connect((host, port))
    except BaseException:
        connection.close()
        raise
    return connection


def _disable_ipv6() -> None:
    """Switch IPv6 off in the thread's namespace; a kernel without IPv6 has nothing to switch."""
    for scope in ("all", "default"):
        switch = Path(f"/proc/sys/net/ipv6/conf/{scope}/disable_ipv6")
        if switch.exists():
            switch.write_text("1", encoding="ascii")


def _on_new_thread(work: Callable[[], None]) -> None:
    """Run ``work`` on a thread of its own and hand its error over."""
    errors: list[BaseException] = []

    def guarded() -> None:
        try:
            work()
        except BaseException as error:  # handed to the caller's thread, whatever it is
            errors.append(error)

    thread = threading.Thread(target=guarded)
    thread.start()
    thread.join()
    if errors:
        raise errors[0]
