"""``python -m tests.statespace``: search all states of small worlds; prints how many there are."""

from __future__ import annotations

import argparse
import sys

from tests.statespace import frames, roles
from tests.statespace.search import Found, search

QUICK = ((2, 1), (3, 1))
USUAL = ((2, 2), (3, 1))
DEEP = ((2, 3), (3, 2))


def main():
    parser = argparse.ArgumentParser(prog="python -m tests.statespace", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="roles with one fault only")
    parser.add_argument("--deep", action="store_true", help="a fault more; takes long")
    parser.add_argument("--roles", help="so many gateways and faults only, as in 3,2")
    parser.add_argument("--limit", type=int, help="give up beyond so many states")
    options = parser.parse_args()
    if options.roles:
        options.quick = True
    one = [tuple(map(int, options.roles.split(",")))] if options.roles else None
    bounds = one or QUICK if options.quick else DEEP if options.deep else USUAL
    for gateways, faults in bounds:
        try:
            figures = search(roles.settled(gateways, faults), options.limit)
        except Found as found:
            print(f"broken: {found}")
            return 1
        print(f"roles: {gateways} gateways, any {faults} faults: {figures}", flush=True)
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
