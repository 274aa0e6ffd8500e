"""Names and options of labs for tests."""

import itertools
import os
import subprocess
import sys
from pathlib import Path

from weave_ryu.lab import lab as labs
from weave_ryu.lab import topology

STANDIN = Path(__file__).with_name("standin_daemon.py")

PREFIX_OF_THIS_RUN = f"t{os.getpid()}n"

_counter = itertools.count(1)


def new_prefix():
    return f"{PREFIX_OF_THIS_RUN}{next(_counter)}"


def standin_options(prefix, declared=None):
    """A lab whose daemons are the stand-in."""
    declared = declared or topology.build()
    everybody = ",".join(f"{peer.nick_name}={peer.underlay_ip}" for peer in declared.peers)
    command = [sys.executable, str(STANDIN), "--everybody", everybody]
    command += ["--gateways-are", ",".join(declared.gateways())]
    # The stand-in elects nobody.
    roles = topology.roles_by_hand(declared)
    return labs.Options(prefix=prefix, topology=declared, roles=roles, daemon_command=command)


def cli(*arguments):
    """The command line in the namespace of the tests."""
    return subprocess.run(
        [sys.executable, "-m", "weave_ryu", *arguments],
        capture_output=True,
        text=True,
        check=False,
    )


def cli_as_nobody(*arguments):
    """The same without root; modules are loaded before, for nobody may not read them all."""
    script = (
        "import os, sys; from weave_ryu.cli.main import build_parser, main; "
        f"build_parser(); os.setuid(65534); sys.exit(main({list(arguments)!r}))"
    )
    return subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False
    )
