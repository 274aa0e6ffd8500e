"""All benchmarks, in the order in which they run."""

from __future__ import annotations

from bench import datapath, failover, life, macs, peers, upcalls
from bench.plan import Benchmark

BENCHMARKS: tuple[Benchmark, ...] = (
    datapath.BENCHMARK,
    upcalls.BENCHMARK,
    failover.BENCHMARK,
    peers.BENCHMARK,
    macs.BENCHMARK,
    life.BENCHMARK,
)
