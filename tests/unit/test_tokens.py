"""The API's token: what is one, and when it must be there."""

import pytest

from weave_ryu import config
from weave_ryu.errors import ConfigError
from weave_ryu.tokens import read_token

TOKEN = "c2VjcmV0LXNlY3JldC1zZWNyZXQ="


@pytest.fixture
def file(tmp_path):
    def write(text, mode=0o600):
        path = tmp_path / "token"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        path.chmod(mode)
        return str(path)

    return write


@pytest.mark.parametrize("text", [TOKEN, f"{TOKEN}\n", f"  {TOKEN}\r\n", "x" * 16, "x" * 256])
def test_token_is_read_without_white_space(file, text):
    assert read_token("--api-token-file", file(text)) == text.strip()


@pytest.mark.parametrize(
    "text",
    ["", "short", "x" * 15, "x" * 257, f"{TOKEN} {TOKEN}", "é" * 20, b"\xff" * 20, "x" * 9999],
)
def test_what_is_no_token_is_refused_and_not_shown(file, text):
    with pytest.raises(ConfigError, match="holds no token") as caught:
        read_token("--api-token-file", file(text))
    if len(text) > 5:
        assert str(text) not in str(caught.value)


def test_token_that_everybody_can_read_is_refused(file):
    with pytest.raises(ConfigError, match="chmod o="):
        read_token("--api-token-file", file(TOKEN, 0o644))


def test_directory_is_refused(tmp_path):
    tmp_path.chmod(0o700)
    with pytest.raises(ConfigError, match="cannot be read"):
        read_token("--api-token-file", str(tmp_path))


@pytest.mark.parametrize("address", ["192.0.2.1:6784", "0.0.0.0:6784", "[2001:db8::1]:6784"])
def test_address_that_others_reach_needs_a_token(file, address):
    with pytest.raises(ConfigError, match="--api-token-file") as caught:
        config.load(None, {"http_addr": address}, {})
    assert caught.value.key == "--http-addr"
    loaded = config.load(None, {"http_addr": address, "api_token_file": file(TOKEN)}, {})
    assert loaded.api_token == TOKEN
    assert TOKEN not in repr(loaded)


@pytest.mark.parametrize("address", ["127.0.0.1:6784", "127.9.9.9:1", "[::1]:6784"])
def test_loopback_needs_none(address):
    assert config.load(None, {"http_addr": address}, {}).api_token is None


def test_token_itself_is_no_key_of_the_file(tmp_path):
    path = tmp_path / "c.toml"
    path.write_text(f'api_token = "{TOKEN}"')
    with pytest.raises(ConfigError, match="unknown key; did you mean api_token_file"):
        config.load(str(path), {}, {})
