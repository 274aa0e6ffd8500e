"""A daemon without switch and sockets, and a client of its API."""

import warnings
from types import SimpleNamespace

import pytest
from api_world import make_daemon


@pytest.fixture(scope="module")
def shell():
    """The shell's modules. Ryu's and eventlet's imports warn of what nobody here can change."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from webob import Request

        from weave_ryu.shell.api import MAX_BODY_BYTES, Api
        from weave_ryu.shell.macs import LearntMac
    return SimpleNamespace(
        Api=Api, Request=Request, LearntMac=LearntMac, MAX_BODY_BYTES=MAX_BODY_BYTES
    )


@pytest.fixture
def daemon(shell):
    return make_daemon(shell.LearntMac)


@pytest.fixture
def call(shell, daemon):
    application = shell.Api(daemon)

    def send(path, method="GET", **options):
        request = shell.Request.blank(path, method=method, **options)
        return request.get_response(application)

    return send
