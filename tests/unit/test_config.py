"""The configuration: every wrong value is refused by key and value, and flags win over the file."""

import itertools
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from weave_ryu import addresses, config
from weave_ryu.config import FILE_KEYS, DaemonConfig, GatewaySpec
from weave_ryu.errors import ConfigError
from weave_ryu.gateway.role import Role
from weave_ryu.names import PeerName

LONG = "9" * 5000
"""More digits than Python turns into a number."""

WRONG = {
    "name": ["", "x", "7a:00:00:00:00", "7a:00:00:00:00:00:01", 5, "00:00:00:00:00:00",
             "01:00:00:00:00:01", ["7a:00:00:00:00:01"]],
    "nickname": [5, "a\nb", "é" * 128, "x" * 256],
    "password_file": [5, ["x"], "/no/such/file", "/", "a\0b"],
    "gateway_key_file": [5, ["x"], "/no/such/file", "/etc/passwd", "a\0b"],
    "gateway_key_optional": ["true", 1, True],  # there is no key
    "port": [0, 65535, -1, "x", "", 1.5, True, None, [1], LONG],
    "host": ["localhost", "192.0.2.256", "2001:db8::1", 5],
    "peer": ["192.0.2.1", 5, [""], [":6783"], ["192.0.2.1:"], ["192.0.2.1:0"],
             ["192.0.2.1:65536"], ["192.0.2.1:x"], [5], [f"192.0.2.1:{LONG}"]],
    "no_discovery": ["yes", 1, "true"],
    "conn_limit": [-1, 4096, "many", False],
    "mtu": [0, 575, 65536, "1500B"],
    "trusted_subnets": [5, "10.0.0.0/33", "10.0.0.1/8", "lan", [5.5], ["10.0.0.0/8", "x"]],
    "http_addr": ["", "127.0.0.1", "6784", ":6784", "127.0.0.1:0", "127.0.0.1:65536",
                  "localhost:6784", "127.0.0.1:x", 6784, f"127.0.0.1:{LONG}", "0.0.0.0:6784",
                  "192.0.2.1:6784", "[::]:6784"],
    "api_token_file": [5, ["x"], "/no/such/file", "/etc/passwd", "a\0b"],
    "api_cert_file": [5, ["x"], "/no/such/file", "/etc/passwd", "a\0b"],
    "api_key_file": [5, ["x"], "/no/such/file", "/etc/passwd", "a\0b"],
    "bridge": ["", "x" * 16, "a/b", "a b", 5],
    "datapath_type": ["", "kernel", 5, ["netdev"]],
    "ovs_db": [5, "/run/db.sock", "udp:1.2.3.4:5"],
    "local_ports": ["", "none", 5, ["all"]],
    "gateway": ["eth1", 5, [5], [""], ["eth1,"], ["eth1,segment"], ["eth1,speed=1"],
                ["eth1,segment="], ["eth1,segment=a b"], [f"eth1,segment={'v' * 64}"],
                ["eth1,preempt=maybe"], ["eth1,preempt_delay=x"],
                ["eth1,segment=v", "eth2,segment=v"], ["eth1,role=master"],
                ["eth1,role="], ["eth1,priority=256"], ["eth1,priority=-1"],
                ["eth1,priority=x"], [f"eth1,priority={LONG}"], ["eth1,role=auto,role=auto"],
                ["eth1,port=eth2"], ["a/b"], ["a b"], ["x" * 16], ["eth1", "eth1,segment=two"],
                [{"segment": "vlan"}], [{"port": "eth1", "sgement": "vlan"}]],
    "restart_hold": [True, -1, 301, "soon", math.nan, math.inf, None, [1], 10**400],
    "failover": ["", "slow", 5],
    "log_level": ["", "trace", 5],
    "log_json": ["true", 0],
}  # fmt: skip

CASES = [(key, value) for key, values in WRONG.items() for value in values]


def refused(key, value):
    with pytest.raises(ConfigError) as caught:
        config.load(None, {key: value}, {})
    return caught.value


@pytest.mark.parametrize(
    ("key", "value"), [(k, v) for k, v in CASES if v is not None], ids=lambda v: ascii(v)[:40]
)
def test_wrong_value_is_refused_by_the_name_of_the_flag(key, value):
    error = refused(key, value)
    assert error.key == f"--{key.replace('_', '-')}"
    assert error.reason
    offered = [value, *value] if isinstance(value, list) else [value]
    assert error.value in offered or str(error.value) in str(offered)
    assert str(error).startswith(error.key)


def test_every_checked_key_has_wrong_values_here():
    assert set(WRONG) == set(FILE_KEYS)


def written(tmp_path, text):
    path = tmp_path / "weave-ryu.toml"
    path.write_text(text, encoding="utf-8")
    return str(path)


def test_wrong_value_in_the_file_is_refused_by_key_and_file(tmp_path):
    path = written(tmp_path, "port = 70000\n")
    with pytest.raises(ConfigError) as caught:
        config.load(path, {}, {})
    assert str(caught.value).startswith(f"`port` in {path} 70000: ")


@pytest.mark.parametrize(
    ("key", "nearest"), [("nikname", "nickname"), ("gatewy", "gateway"), ("peers", "peer")]
)
def test_unknown_key_names_the_nearest(tmp_path, key, nearest):
    with pytest.raises(ConfigError, match=f"unknown key; did you mean {nearest}\\?"):
        config.load(written(tmp_path, f"{key} = 1\n"), {}, {})


def test_unknown_key_that_is_near_to_none_gets_the_list(tmp_path):
    with pytest.raises(ConfigError, match="known are name, nickname"):
        config.load(written(tmp_path, "zzzz = 1\n"), {}, {})


def test_password_itself_is_no_key_of_the_file(tmp_path):
    with pytest.raises(ConfigError, match="`password` is an unknown key; did you") as caught:
        config.load(written(tmp_path, 'password = "swordfish"\n'), {}, {})
    assert "did you mean password_file" in str(caught.value)
    assert "swordfish" not in str(caught.value)


@pytest.mark.parametrize("text", ["port =", "= 1", "port = 1\nport = 2\n"])
def test_file_that_is_no_toml_is_refused(tmp_path, text):
    with pytest.raises(ConfigError, match="is not TOML"):
        config.load(written(tmp_path, text), {}, {})


def test_file_that_is_no_text_is_refused(tmp_path):
    path = tmp_path / "weave-ryu.toml"
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigError, match="is not TOML"):
        config.load(str(path), {}, {})


def test_file_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="cannot be read: No such file"):
        config.load(str(tmp_path / "none"), {}, {})


def test_nothing_given_is_the_default():
    assert config.load(None, {"port": None, "peer": None}, {}) == DaemonConfig()


def test_flag_wins_over_the_file_and_the_file_over_the_default(tmp_path):
    path = written(tmp_path, 'port = 7000\nmtu = 1400\nnickname = "file"\n')
    loaded = config.load(path, {"port": 8000, "nickname": None}, {})
    assert (loaded.port, loaded.mtu, loaded.nickname) == (8000, 1400, "file")
    assert loaded.bridge == "weave"


def test_file_may_hold_every_key(tmp_path):
    path = written(
        tmp_path,
        """
        name = "7a:00:00:00:00:0a"
        nickname = "A"
        port = 6783
        host = "192.0.2.1"
        peer = ["192.0.2.2", "w.example:6783"]
        no_discovery = true
        conn_limit = 10
        mtu = 8916
        trusted_subnets = ["10.0.0.0/8", "192.0.2.0/24"]
        http_addr = "[::1]:6784"
        bridge = "weave"
        datapath_type = "netdev"
        ovs_db = "unix:/run/db.sock"
        restart_hold = 0
        log_level = "debug"
        log_json = true
        gateway = ["eth1,segment=vlan,role=active,priority=7"]
        """,
    )
    loaded = config.load(path, {}, {})
    assert loaded.name == PeerName.parse("7a:00:00:00:00:0a")
    assert [str(subnet) for subnet in loaded.trusted_subnets] == ["10.0.0.0/8", "192.0.2.0/24"]
    assert loaded.peer == ("192.0.2.2", "w.example:6783")
    assert loaded.gateway == (GatewaySpec("eth1", "vlan", Role.ACTIVE, 7),)
    assert loaded.restart_hold == 0.0


def test_gateway_may_be_a_table_in_the_file(tmp_path):
    path = written(tmp_path, '[[gateway]]\nport = "eth1"\nsegment = "vlan"\nrole = "auto"\n')
    assert config.load(path, {}, {}).gateway == (GatewaySpec("eth1", "vlan", Role.AUTO),)


def test_gateway_needs_no_more_than_a_port():
    assert config.parse_gateway("--gateway", "eth1") == GatewaySpec(
        "eth1", "default", Role.STANDBY, 100
    )


@given(
    st.sampled_from(["eth1", "bond0.42", "x"]),
    st.permutations(["segment=vlan-42", "role=active", "priority=0"]),
    st.integers(0, 3),
)
def test_gateway_options_may_stand_in_any_order(port, options, count):
    spec = config.parse_gateway("--gateway", ",".join([port, *options[:count]]))
    given_options = dict(option.split("=") for option in options[:count])
    assert spec.port == port
    assert spec.segment == given_options.get("segment", "default")
    assert spec.role == Role(given_options.get("role", "standby"))
    assert spec.priority == int(given_options.get("priority", 100))


def test_unknown_gateway_option_names_the_nearest():
    with pytest.raises(ConfigError, match="sgement is unknown; did you mean segment"):
        config.parse_gateway("--gateway", "eth1,sgement=vlan")


@given(st.text(max_size=30))
def test_arbitrary_gateway_text_is_read_or_refused(text):
    try:
        assert isinstance(config.parse_gateway("--gateway", text), GatewaySpec)
    except ConfigError as error:
        assert error.key == "--gateway"


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=5,
)


@given(st.sampled_from(FILE_KEYS), anything)
def test_arbitrary_value_of_any_key_is_read_or_refused(key, value):
    if key == "password_file" and isinstance(value, str):
        return  # would be opened
    try:
        assert isinstance(config.load(None, {key: value}, {}), DaemonConfig)
    except ConfigError as error:
        assert error.key == f"--{key.replace('_', '-')}"


def test_http_address_is_split():
    assert addresses.parse_http_address("k", "127.0.0.1:6784") == ("127.0.0.1", 6784)
    assert addresses.parse_http_address("k", "[::1]:80") == ("::1", 80)


def test_password_comes_from_the_file_without_its_line_end(tmp_path):
    path = tmp_path / "password"
    path.write_bytes(b"s3cret\r\n")
    loaded = config.load(None, {"password_file": str(path)}, {"WEAVE_PASSWORD": "other"})
    assert loaded.password == b"s3cret"


def test_password_comes_from_the_environment():
    assert config.load(None, {}, {"WEAVE_PASSWORD": "s3cret"}).password == b"s3cret"
    assert config.load(None, {}, {"WEAVE_PASSWORD": ""}).password is None


def test_password_in_the_environment_may_be_any_bytes():
    """Python hands bytes that are no UTF-8 over as lone surrogates."""
    raw = b"gr\xfc\xdfe".decode("utf-8", "surrogateescape")
    assert config.load(None, {}, {"WEAVE_PASSWORD": raw}).password == b"gr\xfc\xdfe"


@pytest.mark.parametrize("content", [b"", b"\n"])
def test_empty_password_file_is_refused(tmp_path, content):
    path = tmp_path / "password"
    path.write_bytes(content)
    with pytest.raises(ConfigError, match="is empty"):
        config.load(None, {"password_file": str(path)}, {})


def test_password_file_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(ConfigError, match=r"--password-file .* cannot be read"):
        config.load(None, {"password_file": str(tmp_path / "none")}, {})


@given(st.text(st.characters(codec="ascii", categories=["L", "N"]), min_size=6))
def test_password_never_shows(password):
    loaded = config.load(None, {}, {"WEAVE_PASSWORD": password})
    others = repr(config.load(None, {}, {}))
    assert repr(loaded) == str(loaded) == others


def test_two_wrong_keys_are_reported_one_at_a_time():
    for first, second in itertools.permutations([("port", 0), ("mtu", 0)]):
        with pytest.raises(ConfigError):
            config.load(None, dict([first, second]), {})


def test_a_reload_keeps_what_cannot_be_used_as_it_was_and_takes_the_rest(tmp_path):
    token = tmp_path / "token"
    token.write_text("first-token-of-some-length")
    token.chmod(0o600)
    text = f'mtu = 1400\npeer = ["192.0.2.1"]\napi_token_file = "{token}"\n'
    old = config.load(written(tmp_path, text), {}, {})
    token.write_text("second-token-of-some-length")
    text = text.replace("1400", "7").replace("192.0.2.1", "192.0.2.2")
    text += 'log_level = "loud"\nunheard_of = 1\n'
    new, errors = config.reload(old, written(tmp_path, text), {}, {})
    assert new.api_token == "second-token-of-some-length"
    assert new.peer == ("192.0.2.2",)
    assert (new.mtu, new.log_level) == (1400, "info")
    assert len(errors) == 3
    assert {
        word
        for error in errors
        for word in ("mtu", "log_level", "unheard_of")
        if word in str(error)
    } == {
        "mtu",
        "log_level",
        "unheard_of",
    }


def test_a_reload_whose_token_cannot_be_read_keeps_the_old_one(tmp_path):
    token = tmp_path / "token"
    token.write_text("first-token-of-some-length")
    token.chmod(0o600)
    path = written(tmp_path, f'api_token_file = "{token}"\nhttp_addr = "0.0.0.0:1"\n')
    old = config.load(path, {}, {})
    for broken in (
        f'api_token_file = "{token}x"\nhttp_addr = "0.0.0.0:1"\n',
        'http_addr = "0.0.0.0:1"\n',
    ):
        new, errors = config.reload(
            old, written(tmp_path, broken + 'log_level = "debug"\n'), {}, {}
        )
        assert (new.api_token, new.log_level) == ("first-token-of-some-length", "debug")
        assert len(errors) == 1


@pytest.mark.parametrize("text", [None, "mtu = = 1"])
def test_a_reload_of_a_file_that_cannot_be_read_changes_nothing(tmp_path, text):
    path = str(tmp_path / "none") if text is None else written(tmp_path, text)
    with pytest.raises(ConfigError):
        config.reload(config.load(None, {}, {}), path, {}, {})


def test_gateway_key_is_read_and_never_shown(tmp_path):
    file = tmp_path / "key"
    file.write_text("0123456789abcdefSECRET\n")
    file.chmod(0o600)
    flags = {"gateway_key_file": str(file), "gateway_key_optional": True}
    loaded = config.load(None, flags, {})
    assert loaded.gateway_key == b"0123456789abcdefSECRET"
    assert "SECRET" not in repr(loaded)
    file.chmod(0o604)
    with pytest.raises(ConfigError, match="everybody"):
        config.load(None, flags, {})
