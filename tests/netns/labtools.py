"""Names and options of labs for tests."""

import itertools
import os
import sys
from pathlib import Path

from weave_ryu.lab import lab as labs
from weave_ryu.lab import topology

STANDIN = Path(__file__).with_name("standin_daemon.py")

_counter = itertools.count(1)


def new_prefix():
    return f"t{os.getpid()}n{next(_counter)}"


def standin_options(prefix, declared=None):
    """A lab whose daemons are the stand-in."""
    declared = declared or topology.build()
    everybody = ",".join(f"{peer.nick_name}={peer.underlay_ip}" for peer in declared.peers)
    command = [sys.executable, str(STANDIN), "--everybody", everybody]
    command += ["--gateways-are", ",".join(declared.gateways())]
    return labs.Options(prefix=prefix, topology=declared, daemon_command=command)
