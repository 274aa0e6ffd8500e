"""What the Vagrantfile calls, in a network namespace."""

import subprocess
from pathlib import Path

from weave_ryu import links, namespaces

PROVISION = Path(__file__).parents[2] / "vagrant" / "provision"


def test_host_gets_its_address_once(namespace):
    here, there = namespace("host"), namespace("segment")
    links.create_veth("seg0", here, "p0", there)

    def run(*words):
        return namespaces.run_inside(
            here,
            lambda: subprocess.run(words, capture_output=True, text=True, check=False),
        )

    for _ in range(2):
        result = run(PROVISION, "host", "--link", "seg0", "--address", "10.32.0.101/24")
        assert result.returncode == 0, result.stderr
    shown = run("ip", "-brief", "-4", "address", "show", "dev", "seg0").stdout
    assert shown.count("10.32.0.101/24") == 1


def test_peer_gives_the_link_that_carries_its_address_to_the_underlay_script(namespace, tmp_path):
    here, there = namespace("host"), namespace("others")
    links.create_veth("lan0", here, "p0", there)
    links.set_link("p0", there, is_up=True)
    links.set_link("lan0", here, is_up=True)
    links.add_address("lan0", "192.0.2.1/24", here)

    def run(*words):
        return namespaces.run_inside(
            here,
            lambda: subprocess.run(words, capture_output=True, text=True, check=True).stdout,
        )

    peer = ("peer", "--nickname", "A", "--root", str(tmp_path), "--dry-run", "--host")
    script = "ovs_scripts/underlay-setup --link lan0 --address 192.0.2.1/24"
    assert f"{script}\n" in run(PROVISION, *peer, "192.0.2.1")
    run("ip", "route", "add", "default", "via", "192.0.2.254")
    assert f"{script} --via 192.0.2.254\n" in run(PROVISION, *peer, "192.0.2.1")
    # As after the first run in userspace: the address is on a bridge's port by now.
    run("ip", "address", "flush", "dev", "lan0")
    run("ip", "tuntap", "add", "br-phy", "mode", "tap")
    links.add_address("br-phy", "192.0.2.1/24", here)
    inside = f"mount -t sysfs none /sys && exec {PROVISION} {' '.join(peer)} 192.0.2.1"
    assert "underlay-setup" not in run("unshare", "--mount", "sh", "-c", inside)
    assert "underlay-setup" not in run(PROVISION, *peer, "192.0.2.99")


def test_machine_without_third_card_is_told(namespace):
    here = namespace("bare")
    # sysfs shows the cards of the namespace in which it was mounted.
    script = f'mount -t sysfs none /sys && exec "{PROVISION}" host --address 10.32.0.101/24'
    result = namespaces.run_inside(
        here,
        lambda: subprocess.run(
            ["unshare", "--mount", "sh", "-c", script], capture_output=True, text=True, check=False
        ),
    )
    assert result.returncode == 1
    assert "no third network card; name the link with --link" in result.stderr
