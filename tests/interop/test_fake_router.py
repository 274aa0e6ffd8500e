"""The scripted router against what the real code answers: else tests with it would prove little."""

from __future__ import annotations

from fake_peer import decode_topology
from fake_router import FakeRouter


def router(name):
    return FakeRouter(name, "10.0.0.1", lambda work: work())


def told(lines):
    return {
        "NickName": "",
        "UID": 0,
        "Version": 0,
        "ShortID": None,
        "Connections": {
            far: {"Outbound": True, "Established": bool(established), "RemoteTCPAddr": ""}
            for far, established in lines
        },
    }


def test_its_routes_are_those_of_the_real_code(vector):
    for topology in vector("routes.json.gz")["topologies"]:
        names = [int(name, 16) for name in topology["peers"]]
        table = {
            name: told((names[b], up) for a, b, up in topology["connections"] if names[a] == name)
            for name in names
        }
        for result in topology["results"][:4]:  # of each kind of place some, for the time it takes
            fake = router(names[result["self"]])
            fake.table = table
            hops = fake.first_hops() | {fake.name: fake.name}
            found = [names.index(hops[name]) if name in hops else -1 for name in names]
            assert found == result["unicast"]
            for source, expected in zip(names, result["broadcast"], strict=True):
                assert sorted(names.index(hop) for hop in fake.tree_hops(source)) == expected


def entries(state):
    return {
        int(entry["peer"]["NameByte"], 16): {
            "NickName": entry["peer"]["NickName"],
            "UID": int(entry["peer"]["UID"]),
            "Version": int(entry["peer"]["Version"]),
            "ShortID": entry["peer"]["ShortID"] if entry["peer"]["HasShortID"] else None,
            "Connections": {
                int(line["NameByte"], 16): {
                    key: line[key] for key in ("Outbound", "Established", "RemoteTCPAddr")
                }
                for line in entry["connections"]
            },
        }
        for entry in state
    }


def test_it_merges_and_collects_as_the_real_code_does(vector):
    for case in vector("merge.json.gz")["cases"]:
        fake = router(int(case["self"], 16))
        fake.table = entries(case["state_before"])
        fake.merge(decode_topology(bytes.fromhex(case["update_gob"])))
        for after in ("state_after", "state_after_gc"):
            if after == "state_after_gc":
                fake.collect()
            expected = entries(case[after])
            # About itself it believes nobody; that it outlives an old life no test needs.
            del expected[fake.name]
            assert {n: e for n, e in fake.table.items() if n != fake.name} == expected
