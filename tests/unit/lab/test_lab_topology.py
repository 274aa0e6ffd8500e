import json
from itertools import combinations

import pytest

from weave_ryu.errors import ConfigError
from weave_ryu.lab import lab, topology


def pairs(*links):
    return {frozenset(link) for link in links}


def links_of(built):
    return {frozenset(link) for link in built.links}


def test_default_is_the_picture_of_the_design():
    built = topology.build()
    assert [peer.nick_name for peer in built.peers] == ["W", "X", "Y", "Z", "A", "B"]
    assert [station.name for station in built.containers] == ["W-c1", "X-c1", "Y-c1", "Z-c1"]
    assert [(host.name, host.place) for host in built.hosts] == [
        ("Host1", "vlan"),
        ("Host2", "vlan"),
    ]
    assert built.gateways() == ("A", "B")
    assert built.is_full
    assert links_of(built) == pairs(*combinations("WXYZAB", 2))


def test_names_and_addresses_follow_from_the_order():
    built = topology.build()
    assert str(built.peer("A").name) == "7a:00:00:00:00:05"
    assert built.peer("A").underlay_ip == "10.99.0.5"
    assert built.containers[1].mac == "02:c0:00:00:00:02"
    assert built.hosts[1].ip == "10.32.0.102"
    assert len({s.mac for s in (*built.containers, *built.hosts)}) == 6


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        ("line", pairs("WX", "XA", "AB", "BY", "YZ")),
        ("ring", pairs("WX", "XA", "AB", "BY", "YZ", "ZW")),
        ("star", pairs("WX", "WY", "WZ", "WA", "WB")),
    ],
)
def test_shape_has_these_links_and_no_discovery(shape, expected):
    built = topology.build(shape=shape)
    assert links_of(built) == expected
    assert not built.is_full


def test_each_link_is_dialled_from_one_end():
    built = topology.build(shape="ring")
    dialled = [
        (peer.nick_name, other) for peer in built.peers for other in built.dials(peer.nick_name)
    ]
    assert {frozenset(pair) for pair in dialled} == links_of(built)
    assert len(dialled) == len(built.links)


def test_in_a_full_mesh_all_earlier_peers_are_dialled():
    assert topology.build().dials("Z") == ("W", "X", "Y")
    assert topology.build().dials("W") == ()


def test_ring_of_two_is_one_link():
    assert links_of(topology.build(["A", "B"], "ring")) == pairs("AB")


def test_peers_without_gateways_have_no_segment():
    built = topology.build(["W", "X"])
    assert (built.segments, built.hosts, built.gateways()) == ((), (), ())


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("W,X", ("W", "X")),
        ("W, X", ("W", "X")),
        ("2", ("A", "B")),
        ("6", ("W", "X", "Y", "Z", "A", "B")),
        ("8", ("W", "X", "Y", "Z", "P5", "P6", "A", "B")),
    ],
)
def test_peers_are_named_or_counted(text, expected):
    assert topology.parse_peers(text) == expected


@pytest.mark.parametrize("text", ["0", "1", "65"])
def test_number_of_peers_has_bounds(text):
    with pytest.raises(ConfigError, match="--peers"):
        topology.parse_peers(text)


def test_gateways_are_left_to_the_election_unless_told_otherwise():
    built = topology.build()
    assert topology.parse_roles([], built) == {"A": "auto", "B": "auto"}
    assert topology.parse_roles(["A=standby", "B=active"], built) == {"A": "standby", "B": "active"}
    assert topology.roles_by_hand(built) == {"A": "active", "B": "standby"}


@pytest.mark.parametrize(
    ("roles", "states", "missing"),
    [
        ("auto auto", "active standby", []),
        ("auto auto", "standby active", []),
        ("auto auto", "active arming", ["gateway B is arming, not active or standby"]),
        ("standby standby", "standby standby", []),
        ("active standby", "standby active", ["gateway B is active, not standby"]),
        ("active active", "active standby", []),
        ("auto standby", "standby standby", [
            "a gateway of vlan that forwards (A (role auto) is standby: why; "
            "B (role standby) is standby: why)"
        ]),
    ],
)  # fmt: skip
def test_lab_is_up_when_a_gateway_forwards(roles, states, missing):
    wanted = dict(zip("AB", roles.split(), strict=True))
    found = {n: {"state": s, "reason": "why"} for n, s in zip("AB", states.split(), strict=True)}
    assert lab.missing_roles("vlan", wanted, found) == missing


@pytest.mark.parametrize("option", ["W=active", "A=boss", "A", ""])
def test_bad_role_is_refused(option):
    with pytest.raises(ConfigError, match="--role"):
        topology.parse_roles([option], topology.build())


@pytest.mark.parametrize(
    ("peers", "shape", "gateways", "word"),
    [
        (["W", "W"], "full", None, "twice"),
        (["w 1"], "full", None, "letter"),
        (["net"], "full", None, "twice"),
        ([], "full", None, "peers"),
        (["W"], "blob", None, "blob"),
        (["W"], "full", ["Q"], "Q"),
        (["A", "B"], "full", ["A", "A"], "one segment"),
    ],
)
def test_bad_topology_is_refused_with_its_value(peers, shape, gateways, word):
    with pytest.raises(ConfigError, match=word):
        topology.build(peers, shape, gateways)


TOML = """
peers = ["W", "X", "A", "B"]
links = [["W", "X"], ["A", "X"], ["A", "B"]]

[containers]
W-c1 = "W"
W-c2 = "W"

[segments.vlan]
gateways = ["A", "B"]
hosts = ["Host1"]
"""


def test_topology_is_read_from_toml(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text(TOML)
    built = topology.load(path)
    assert links_of(built) == pairs("WX", "AX", "AB")
    assert [(c.name, c.place) for c in built.containers] == [("W-c1", "W"), ("W-c2", "W")]
    assert [host.name for host in built.hosts] == ["Host1"]


@pytest.mark.parametrize("shape", topology.SHAPES)
def test_topology_survives_being_written_and_read(tmp_path, shape):
    built = topology.build(shape=shape)
    path = tmp_path / "state.json"
    path.write_text(json.dumps(topology.to_document(built)))
    assert topology.load(path) == built


def test_file_without_links_and_containers_is_a_full_mesh_with_one_each(tmp_path):
    path = tmp_path / "mine.json"
    path.write_text('{"peers": ["W", "X"]}')
    assert topology.load(path) == topology.build(["W", "X"])


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("peers = [", "not valid"),
        ("", "peers"),
        ("peers = 3", "peers"),
        ('peers = ["W"]\ncolour = "red"', "colour"),
        ('peers = ["W"]\nlinks = [["W"]]', "two ends"),
        ('peers = ["W"]\nlinks = [["W", "Q"]]', "Q"),
        ('peers = ["W"]\nlinks = [["W", "W"]]', "itself"),
        ('peers = ["W"]\nlinks = 3', "links"),
        ('peers = ["W"]\ncontainers = 3', "containers"),
        ('peers = ["W"]\n[containers]\nc = "Q"', "Q"),
        ('peers = ["W"]\nsegments = 3', "segments"),
        ('peers = ["W"]\n[segments.vlan]\ngateways = ["Q"]', "Q"),
        ('peers = ["W"]\n[segments.vlan]\ncolour = "red"', "colour"),
    ],
)
def test_bad_file_is_refused_with_the_key_or_value(tmp_path, text, word):
    path = tmp_path / "mine.toml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=word):
        topology.load(path)


def test_missing_file_is_refused_by_name(tmp_path):
    with pytest.raises(ConfigError, match="nowhere"):
        topology.load(tmp_path / "nowhere.toml")
