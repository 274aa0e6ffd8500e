"""The kernel is asked for the carrier of a gateway port: its answer, which is never out of date."""

import socket

from weave_ryu import links
from weave_ryu.namespaces import run_inside


def test_kernel_says_at_once_whether_a_link_has_its_carrier(namespace):
    here, there = namespace("here"), namespace("there")
    links.create_veth("gw0", here, "port0", there)
    links.set_link("gw0", here, is_up=True)
    links.set_link("port0", there, is_up=True)
    with run_inside(here, lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) as control:
        assert links.has_carrier(control.fileno(), "gw0") is True
        for is_up in (False, True, False):
            links.set_link("port0", there, is_up=is_up)
            assert links.has_carrier(control.fileno(), "gw0") is is_up
        assert links.has_carrier(control.fileno(), "gw1") is None
