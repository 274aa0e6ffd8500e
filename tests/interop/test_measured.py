"""Figures that we quote are in the measurement, or in the code, that they are quoted from."""

from pathlib import Path

import pytest

from weave_ryu.lab.demo import UNPROTECTED_COPIES
from weave_ryu.mesh import features, gossip, gossiper, handshake, maker, neighbours, overlay, peers
from weave_ryu.mesh.config import DEFAULT_MTU_BYTES
from weave_ryu.pipeline.tables import MAC_AGE_S
from weave_ryu.shell.coordinator import RESTART_HOLD_S

PAGE = Path(__file__).parents[2] / "docs" / "explanation" / "weave-compatibility.md"


def test_copies_without_protection_are_those_measured_with_real_routers(vector):
    trials = {trial["trial"]: trial for trial in vector("issue630.json")["fast_datapath"]}
    assert trials["h1"]["sent"] == 1
    assert trials["h1"]["received_by_Host1"] == UNPROTECTED_COPIES == 3369


@pytest.mark.parametrize(
    "quoted",
    [
        f"above {peers.MAX_PEERS:,} peers",
        f"Features above {handshake.MAX_FEATURES_BYTES >> 10} KiB",
        f"a nick name above {features.MAX_NICK_NAME_BYTES >> 10} KiB",
        f"At most {neighbours.MAX_HANDSHAKES} accepted connections",
        f"At most {gossiper.MAX_SURROGATES} channels",
        f"At most {gossip.MAX_QUEUED_BYTES >> 20} MiB of gossip",
        f"forgotten after {MAC_AGE_S} s",
        f"for forwarding for {RESTART_HOLD_S:.0f} s",
        f"after {overlay.UNHEALTHY_AFTER_S:.0f} s of silence the connection counts as not",
        f"from {maker.LOST_INTERVAL_S / 2} to {maker.LOST_INTERVAL_S * 1.5} s",
        f"below {DEFAULT_MTU_BYTES + 50:,} bytes",
    ],
)
def test_page_on_compatibility_quotes_the_limits_as_they_are(quoted):
    assert quoted in PAGE.read_text(encoding="utf-8")
