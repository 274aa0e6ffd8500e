"""``python -m tests.statespace``: search all states of small worlds; prints how many there are."""

from __future__ import annotations

import argparse
import sys

from tests.statespace import frames, roles
from tests.statespace.search import Found, search

ANY = None
QUICK = ((2, 1, ANY), (3, 1, ANY))
USUAL = (*QUICK, (2, 2, 1))
DEEP = ((2, 2, 2), (3, 2, 1), (2, 2, ANY))
"""Gateways, faults, and ticks between two faults at most."""


def main():
    parser = argparse.ArgumentParser(prog="python -m tests.statespace", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="roles with one fault only")
    parser.add_argument("--deep", action="store_true", help="wider bounds; takes long")
    text = "so many gateways, faults, and ticks between faults only, as in 3,2,1"
    parser.add_argument("--roles", help=text)
    parser.add_argument("--frames", action="store_true", help="no roles, only frames")
    parser.add_argument("--limit", type=int, help="give up beyond so many states")
    options = parser.parse_args()
    if options.roles:
        options.quick = True
    one = [(*map(int, options.roles.split(",")), ANY)[:3]] if options.roles else None
    bounds = one or QUICK if options.quick else DEEP if options.deep else USUAL
    for gateways, faults, within in () if options.frames else bounds:
        try:
            figures = search(roles.settled(gateways, faults, within), options.limit)
        except Found as found:
            print(f"broken: {found}")
            return 1
        apart = "" if within is None else f", each within {within} ticks after the one before"
        print(f"roles: {gateways} gateways, any {faults} faults{apart}: {figures}", flush=True)
    if not (options.quick or options.frames):
        for name, world in roles.WISHFUL.items():
            try:
                figures = search(world(), options.limit)
            except Found as found:
                print(f"broken: {found}")
                return 1
            print(f"wishes: 2 gateways, while {name}: {figures}", flush=True)
        if missing := roles.missing_wishes():
            print(f"broken: wish_kept: never tried: {missing}")
            return 1
    for name, network in frames.NETWORKS.items() if not options.quick else ():
        try:
            figures = frames.search(network(), options.limit)
        except Found as found:
            print(f"broken: {found}")
            return 1
        print(f"frames: {name}: {figures}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
