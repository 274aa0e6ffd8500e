"""Whether a peer that has shaken hands becomes a neighbour (mesh/connection.go, local_peer.go)."""

from __future__ import annotations

from dataclasses import dataclass

from weave_ryu.mesh.features import OVERLAY, Features
from weave_ryu.mesh.peers import Peer


@dataclass(frozen=True, slots=True)
class Candidate:
    """What is known when the features have been read.

    Attributes:
        told: strangers are welcome on this connection.
        plain_overlay: frames may be sent without encryption: no password, or both sides trust.
        addresses: IPv4, of both ends, ours first.
        namesake: why it is not the peer that we know by that name; empty if it may well be.
    """

    features: Features
    connection_uid: int
    told: bool
    plain_overlay: bool
    addresses: tuple[str, str] = ("", "")
    namesake: str = ""


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why not.

    Attributes:
        code: short machine-readable reason.
        never_again: an address we dialled leads to ourself or a namesake.
        ends_rival: the connection that we had to this peer ends too.
    """

    code: str
    reason: str
    never_again: bool = False
    ends_rival: bool = False


@dataclass(frozen=True, slots=True)
class Admission:
    """It joins.

    Attributes:
        restarted: the peer is known with another UID.
        replaces_rival: the connection that we had to this peer ends.
    """

    restarted: bool
    replaces_rival: bool


def judge(
    candidate: Candidate,
    own: Peer,
    known: Peer | None,
    rival_uid: int | None,
    connection_limit: int,
) -> Admission | Refusal:
    """Decide, in the order of the real code.

    Args:
        candidate: who wants to join, and how.
        own: our own entry.
        known: the entry of that name, if there is one.
        rival_uid: UID of the connection that we have to that name already.
        connection_limit: 0 = none.
    """
    features = candidate.features
    if known is None and not candidate.told:
        return Refusal("unknown-peer", f"{features.name} was heard of, and is not known any more")
    if features.name == own.name:
        return _refuse_own_name(candidate, own)
    refusal = _refuse_overlay(candidate)
    if refusal is not None:
        return refusal
    if candidate.namesake:
        return Refusal("name-taken", candidate.namesake)
    if rival_uid is not None and candidate.connection_uid >= rival_uid:
        equal = candidate.connection_uid == rival_uid
        return Refusal(
            "duplicate",
            f"there is a connection to {features.name} already",
            ends_rival=equal,
        )
    hosts = sum(1 for line in own.connections.values() if line.remote_tcp_addr)  # no segments
    others = hosts - (1 if rival_uid is not None else 0)
    if connection_limit and others >= connection_limit:
        return Refusal(
            "connection-limit", f"the limit of {connection_limit} connections is reached"
        )
    return Admission(
        restarted=known is not None and known.uid != features.uid,
        replaces_rival=rival_uid is not None,
    )


def _refuse_own_name(candidate: Candidate, own: Peer) -> Refusal:
    features, (here, there) = candidate.features, candidate.addresses
    if features.uid == own.uid:
        return Refusal("own-address", "this is our own address", never_again=True)
    return Refusal(
        "name-taken",
        f"another peer ({features.nick_name!r}, at {there}) has our name {own.name}, "
        f"which we use at {here}: give one of them another",
        never_again=True,
    )


def _refuse_overlay(candidate: Candidate) -> Refusal | None:
    overlays = candidate.features.overlays
    if overlays is None:
        return Refusal("no-overlay", "the peer speaks only the old sleeve overlay, we speak fastdp")
    if OVERLAY not in overlays:
        offered = " ".join(overlays)[:80]
        return Refusal("no-overlay", f"the peer offers overlays {offered!r}, we speak fastdp only")
    if not candidate.plain_overlay:
        return Refusal(
            "overlay-needs-ipsec",
            "with a password, fastdp needs IPsec, which is not built in: put both addresses in "
            "trusted subnets on both sides, or use no password",
        )
    return None
