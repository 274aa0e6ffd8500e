import os
from pathlib import Path

import pytest

from weave_ryu import links
from weave_ryu.attach import port_name
from weave_ryu.errors import ConfigError, NetworkError
from weave_ryu.namespaces import namespace_id, resolve_namespace, run_inside


@pytest.mark.parametrize("text", ["10.32.0.5/24", "10.32.0.5/32", "10.32.0.4/31", "fd00::5/64"])
def test_address_of_a_host_is_accepted(text):
    assert str(links.parse_cidr(text)) == text


@pytest.mark.parametrize(
    "text",
    ["", "10.32.0.5", "10.32.0.5/33", "10.32.0.0/24", "10.32.0.255/24", "224.0.0.1/24", "x/24"],
)
def test_what_is_no_address_of_a_host_is_refused(text):
    with pytest.raises(ConfigError, match="CIDR"):
        links.parse_cidr(text)


@pytest.mark.parametrize("text", ["", "a" * 16, "a/b", "a b", ".", ".."])
def test_what_is_no_link_name_is_refused(text):
    with pytest.raises(ConfigError, match="--ifname"):
        links.check_ifname(text)


@pytest.mark.parametrize("text", ["", "02:00", "00:00:00:00:00:00", "03:00:00:00:00:01", "zz" * 6])
def test_what_is_no_unicast_mac_is_refused(text):
    with pytest.raises(ConfigError, match="--mac"):
        links.check_mac(text)


def test_mac_is_lower_case():
    assert links.check_mac("02:AB:00:00:00:01") == "02:ab:00:00:00:01"


@pytest.mark.parametrize("mtu_bytes", [-1, 0, 575, 65536])
def test_mtu_out_of_range_is_refused(mtu_bytes):
    with pytest.raises(ConfigError, match="--mtu"):
        links.check_mtu(mtu_bytes)


def test_port_name_fits_the_kernel_and_depends_on_each_part():
    names = {
        port_name("4026532201", "weave", "ethwe"),
        port_name("4026532202", "weave", "ethwe"),
        port_name("4026532201", "other", "ethwe"),
        port_name("4026532201", "weave", "eth0"),
    }
    assert len(names) == 4
    assert all(len(name) <= links.MAX_IFNAME_LENGTH for name in names)
    assert port_name("1", "weave", "ethwe") == port_name("1", "weave", "ethwe")


def test_own_process_leads_to_own_namespace():
    path = resolve_namespace(str(os.getpid()))
    assert namespace_id(path) == namespace_id(None)


@pytest.mark.parametrize("text", ["no-such-namespace", "/no/such/file", "4194999", "/etc/hostname"])
def test_unknown_namespace_is_refused_by_name(text):
    with pytest.raises(ConfigError, match=text):
        resolve_namespace(text)


def test_errors_inside_a_namespace_come_through():
    with pytest.raises(NetworkError, match="/no/such"):
        run_inside(Path("/no/such/namespace"), lambda: None)
