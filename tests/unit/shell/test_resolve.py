import pytest

from weave_ryu.errors import ConfigError
from weave_ryu.mesh.config import Address
from weave_ryu.shell.meshd import resolve


def test_address_with_and_without_a_port():
    assert resolve("192.0.2.1") == [Address("192.0.2.1", None)]
    assert resolve("192.0.2.1:7000") == [Address("192.0.2.1", 7000)]


@pytest.mark.parametrize("text", ["\0", "a\0b", "\ud800", "192.0.2.1:0", "192.0.2.1:x", "." * 70])
def test_what_is_no_host_is_refused_in_one_sentence(text):
    with pytest.raises(ConfigError, match="--peer"):
        resolve(text)
