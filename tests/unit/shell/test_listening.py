"""The API's socket goes on listening, whatever becomes of single connections."""

import errno
import os
import socket

import pytest

ADDRESS = ("192.0.2.1", 40000)


class Failing:
    """A socket that fails some times, has one connection, and then none."""

    family = socket.AF_INET

    def __init__(self, *numbers):
        self._numbers = list(numbers)
        self._connections = ["connection"]
        self.number = 7

    def fileno(self):
        return self.number

    def accept(self):
        from weave_ryu.shell import hub

        if self._numbers:
            number = self._numbers.pop(0)
            raise OSError(number, os.strerror(number))
        if not self._connections:
            hub.Event().wait()
        return self._connections.pop(), ADDRESS


@pytest.fixture(params=["http", "https"])
def listen(request, shell, monkeypatch):
    from weave_ryu.shell import listening, tls

    monkeypatch.setattr(listening, "RETRY_S", 0.001)
    if request.param == "http":
        return listening.Listener
    monkeypatch.setattr(tls.Listener, "_shake", lambda self, *found: self._shaken.put(found))
    return lambda listener: tls.Listener(listener, None)


def test_errors_of_single_connections_do_not_end_it(listen):
    from weave_ryu.shell import hub

    failing = Failing(errno.EMFILE, errno.ECONNABORTED, errno.ECONNRESET, errno.ENFILE)
    with hub.Timeout(5):
        assert listen(failing).accept() == ("connection", ADDRESS)


def test_closed_socket_accepts_no_more(shell):
    from weave_ryu.shell import listening

    failing = Failing(errno.EBADF)
    failing.number = -1
    with pytest.raises(OSError, match="Bad file"):
        listening.Listener(failing).accept()
