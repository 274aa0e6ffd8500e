"""The daemon finds links of the underlay's bridge that answer ARP for the bridge's address."""

import errno

import pytest
import structlog

from weave_ryu.ovsdb.bridge import UnderlayBridge

CIDR = "10.99.0.1/24"
MADE = UnderlayBridge("br-phy", ("eth1",), CIDR, frozenset({"eth1"}))
OLD = UnderlayBridge("br-phy", ("eth1",), CIDR)
FOREIGN = UnderlayBridge("br-ex", ("eth1",))


@pytest.fixture
def kernel(tmp_path):
    """Settings of links as the kernel shows them: ``kernel(eth1=0, all=0)``."""

    def show(**values):
        for link, value in {"all": 0, **values}.items():
            (tmp_path / link).mkdir(exist_ok=True)
            (tmp_path / link / "arp_ignore").write_text(f"{value}\n")
        return tmp_path

    return show


def refuse(link, value):
    raise OSError(errno.EPERM, "not permitted")


def look(shell, conf, *bridges, mend=refuse, carried=None):
    from weave_ryu.shell.underlay import ArpWatch

    watch = ArpWatch(mend, conf)
    with structlog.testing.capture_logs() as logged:
        for bridge in bridges:
            watch.look(bridge, carried or {})
    return [line for line in logged if line["log_level"] == "warning"]


def test_link_that_answers_is_named_once_with_what_mends_it(shell, kernel):
    (warning,) = look(shell, kernel(eth1=0), OLD, OLD)
    assert warning == {
        "event": "underlay_link_answers_arp", "log_level": "warning", "link": "eth1",
        "bridge": "br-phy",
        "remedy": "ovs_scripts/underlay-setup --bridge br-phy --link eth1 --address 10.99.0.1/24",
    }  # fmt: skip


def test_bridge_of_somebody_else_gets_the_setting_as_remedy(shell, kernel):
    (warning,) = look(shell, kernel(eth1=0), FOREIGN)
    assert warning["remedy"] == "sysctl -w net/ipv4/conf/eth1/arp_ignore=1"


@pytest.mark.parametrize(
    ("of_link", "for_all", "warns"),
    [
        (0, 0, True), (1, 0, False), (2, 0, False), (8, 0, False),
        # The kernel takes the greater one; from 3 to 7 it asks for no particular link.
        (0, 1, False), (0, 8, False), (1, 3, True), (8, 3, False), (3, 0, True),
    ],
)  # fmt: skip
def test_greater_of_both_settings_counts(shell, kernel, of_link, for_all, warns):
    found = look(shell, kernel(eth1=of_link, all=for_all), FOREIGN)
    assert bool(found) is warns
    if for_all == 3 and warns:
        assert found[0]["remedy"].endswith("arp_ignore=8")


def test_every_link_of_the_bridge_is_looked_at(shell, kernel):
    bridge = UnderlayBridge("br-phy", ("eth1", "eth2", "eth3"), CIDR, frozenset({"eth1"}))
    found = look(shell, kernel(eth1=1, eth2=0, eth3=1), bridge)
    assert [warning["link"] for warning in found] == ["eth2"]


def test_link_that_the_script_has_silenced_is_silenced_again_without_a_warning(shell, kernel):
    conf = kernel(eth1=0)
    mended = []

    def mend(link, value):
        mended.append((link, value))
        kernel(**{link: value})

    assert look(shell, conf, MADE, MADE, mend=mend) == []
    assert mended == [("eth1", 1)]


def test_link_that_cannot_be_silenced_is_warned_of(shell, kernel):
    (warning,) = look(shell, kernel(eth1=0), MADE)
    assert warning["remedy"] == "sysctl -w net/ipv4/conf/eth1/arp_ignore=1"


@pytest.mark.parametrize(
    ("bridge", "remedy"),
    [(MADE, "ovs_scripts/underlay-setup --bridge"), (FOREIGN, "ip addr del 10.99.0.1/24 dev eth1")],
)
def test_link_that_got_the_address_back_answers_for_its_own(shell, kernel, bridge, remedy):
    (warning,) = look(shell, kernel(eth1=1), bridge, carried={"eth1": CIDR})
    assert warning["remedy"].startswith(remedy)


def test_link_that_answers_again_is_warned_of_again(shell, kernel):
    from weave_ryu.shell.underlay import ArpWatch

    watch = ArpWatch(refuse, kernel(eth1=0))
    with structlog.testing.capture_logs() as logged:
        for value in (0, 0, 1, 0):
            kernel(eth1=value)
            watch.look(FOREIGN, {})
    assert len(logged) == 2


def test_link_that_is_gone_is_none_to_warn_of(shell, kernel):
    assert look(shell, kernel(), OLD) == []


@pytest.mark.parametrize(
    "text", [None, "", "boot/3", "boot/3 10.99.0.1/24", "boot/3 10.99.0.1/24 10.98.0.1/16"]
)
def test_what_was_seen_is_read_as_it_was_written(shell, text):
    from weave_ryu.shell.underlay import Seen

    seen = Seen.parse(text)
    if text and " " in text:
        assert str(seen) == text
        assert seen.device == "boot/3"
    else:
        assert seen is None
