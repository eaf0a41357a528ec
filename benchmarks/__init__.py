"""Measurements, each a ratio against the limit that the same machine sets in the same run.

`python -m benchmarks` prints a table and writes `bench.json`; docs/benchmarks.md tells what is
measured. CPU time, not the clock on the wall: other programs run on the machine too.
"""
