"""No port that was a gateway port is taken for a container's."""

import pytest
import structlog

from weave_ryu.ovsdb.bridge import ATTACHED_KEY, GATEWAY_KEY, ROLE_KEY, InterfaceState
from weave_ryu.shell.portuse import PortUse


def interface(name, bridge="weave", **noted):
    return InterfaceState(name, bridge, 1, "", True, noted)


def seen(*states):
    return {state.name: state for state in states}


@pytest.mark.parametrize("key", [GATEWAY_KEY, ROLE_KEY])
def test_port_that_is_no_gateway_port_any_more_stays_closed(key, caplog):
    uses = PortUse("weave", ["gw1"], only_attached=False)
    left, kept = interface("gw0", **{key: "yes"}), interface("gw1", **{key: "yes"})
    assert uses.look(seen(left, kept))
    assert not uses.is_open("gw0")
    assert uses.left_over == {"gw0"}
    assert not uses.look(seen(left, kept))
    # Taken out, and plugged in for something else.
    assert uses.look(seen(kept))
    uses.look(seen(kept, interface("gw0")))
    assert uses.is_open("gw0")


def test_marks_on_other_bridges_are_of_no_interest():
    uses = PortUse("weave", [], only_attached=False)
    assert not uses.look(seen(interface("gw0", "other", **{GATEWAY_KEY: "yes"})))
    assert uses.is_open("gw0")


def test_only_what_attach_has_made_and_the_bridge_itself_are_open_if_so_configured():
    uses = PortUse("weave", [], only_attached=True)
    uses.look(seen(interface("wv1", **{ATTACHED_KEY: "4026531840"}), interface("tap0")))
    assert [name for name in ("wv1", "tap0", "weave") if uses.is_open(name)] == ["wv1", "weave"]


@pytest.mark.parametrize("only_attached", [True, False])
def test_ports_that_stay_closed_as_attach_has_not_made_them_are_named_once(only_attached):
    uses = PortUse("weave", ["gw0"], only_attached=only_attached, is_tunnel="vxlan".__eq__)
    names = ("weave", "gw0", "vxlan", "tap0")
    ports = [interface("wv1", **{ATTACHED_KEY: "1"}), *(interface(name) for name in names)]
    with structlog.testing.capture_logs() as log:
        for _ in range(3):
            uses.look(seen(*ports, interface("tap1", bridge="other")))
    told = [entry["port"] for entry in log if entry["event"] == "local_port_not_attached"]
    assert told == (["tap0"] if only_attached else [])
