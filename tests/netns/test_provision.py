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
