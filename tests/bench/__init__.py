"""Tests of the benchmarks' own arithmetic, and the bounds that a build keeps."""
