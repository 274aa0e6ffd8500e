"""A peer that was given by name: dialled where it is now, and forgotten by its name."""

import http.client
import re
import signal

import pytest
from labtools import new_prefix

from weave_ryu.lab import daemon as daemons
from weave_ryu.lab import lab as labs
from weave_ryu.lab import topology
from weave_ryu.lab.netns import connect_inside

NAME = "friend.example"
NOBODY = "10.99.0.250"
TOKENS = ("first-token-of-this-test", "second-token-of-this-test")
FOUND_WITHIN_S = 30.0


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    return tmp_path_factory.mktemp("names")


@pytest.fixture(scope="module")
def lab(build_lab, files):
    """W and X, which know each other by address; the test starts W again without that."""
    return build_lab(labs.Options(prefix=new_prefix(), topology=topology.build(["W", "X"])))


def say(files, *addresses):
    """What the name stands for, for those who look from now on."""
    text = "".join(f"{address} {NAME}\n" for address in addresses)
    (files / "hosts").write_text(f"127.0.0.1 localhost\n{text}")


def configure(files, token, *peers):
    (files / "token").write_text(token)
    (files / "token").chmod(0o600)
    listed = ", ".join(f'"{peer}"' for peer in peers)
    (files / "weave-ryu.toml").write_text(
        f'peer = [{listed}]\napi_token_file = "{files / "token"}"\n'
    )


def without_peers(command):
    found = list(command)
    while "--peer" in found:
        at = found.index("--peer")
        del found[at : at + 2]
    return found


def ask(lab, method, path, body="", token=TOKENS[0]):
    """Ask W; returns status and text."""
    connection = http.client.HTTPConnection("127.0.0.1", daemons.HTTP_PORT, timeout=5)
    connection.sock = connect_inside(lab.peers["W"].netns, "127.0.0.1", daemons.HTTP_PORT, 5)
    headers = {
        "Authorization": f"Bearer {token}",
        "Content-Type": "application/x-www-form-urlencoded",
    }
    connection.request(method, path, body=body, headers=headers)
    response = connection.getresponse()
    text = response.read().decode()
    connection.close()
    return response.status, text


def is_up(lab):
    try:
        return ask(lab, "GET", "/status")[0] == 200
    except OSError:
        return False


def targets(lab):
    return ask(lab, "GET", "/status/targets")[1].split()


def log_of(peer):
    return re.sub(r"\x1b\[[0-9;]*m", "", peer.daemon.log.read_text())


def test_it_is_dialled_where_it_is_now_and_forgotten_by_name(lab, files, eventually):
    w, x = lab.peers["W"], lab.peers["X"]
    for peer in (w, x):
        peer.kill_daemon()
    x.daemon._command[:] = without_peers(x.daemon._command)
    in_mount_namespace = 'mount --bind "$0" /etc/hosts && exec "$@"'
    w.daemon._command[:] = [
        *("unshare", "--mount", "sh", "-c", in_mount_namespace, str(files / "hosts")),
        *without_peers(w.daemon._command),
        *("--config", str(files / "weave-ryu.toml")),
    ]
    say(files, NOBODY)
    configure(files, TOKENS[0], NAME)
    x.start_daemon()
    w.start_daemon()
    eventually(lambda: is_up(lab), 20)
    eventually(lambda: targets(lab) == [f"{NOBODY}:6783"], 10, "the first address is dialled")
    # It moves; all of its addresses count.
    say(files, NOBODY, x.spec.underlay_ip)
    there = f"{x.spec.underlay_ip}:6783"
    eventually(lambda: there in targets(lab), FOUND_WITHIN_S, "the second address, too")
    say(files, x.spec.underlay_ip)
    eventually(lambda: "established" in ask(lab, "GET", "/status/connections")[1], FOUND_WITHIN_S)
    x.kill_daemon()
    eventually(lambda: targets(lab) == [there], FOUND_WITHIN_S, "the old one no more")
    assert "peer_moved" in log_of(w)
    # The name dies: what else is in the configuration is taken over, a replaced token first of all.
    say(files)
    configure(files, TOKENS[1], NAME, "dead.invalid", "no host at all", x.spec.underlay_ip)
    w.daemon.kill(signal.SIGHUP)
    eventually(lambda: ask(lab, "POST", "/forget", f"peer={NOBODY}", TOKENS[1])[0] == 200, 20)
    assert ask(lab, "POST", "/forget", f"peer={NOBODY}", TOKENS[0])[0] == 401
    log = log_of(w)
    assert "no host at all" in next(t for t in log.splitlines() if "reload_incomplete" in t)
    # It is given by address as well, which stays.
    assert ask(lab, "POST", "/forget", f"peer={NAME}", TOKENS[1])[0] == 200
    assert targets(lab) == [there]
    assert ask(lab, "POST", "/forget", f"peer={x.spec.underlay_ip}", TOKENS[1])[0] == 200
    assert targets(lab) == []
    assert ask(lab, "POST", "/forget", "peer=dead.invalid", TOKENS[1])[0] == 200
