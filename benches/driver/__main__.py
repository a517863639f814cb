"""`make bench`: the programs side by side on the same journals, as a table and as benches/RESULTS.md.

Each row is measured in rounds that take the programs in turn, so that a busy machine is busy for all of them; what
counts is the median over the rounds, and beside it stand the least and the most. Processor time is the kernel's account
of the process, unless a row says wall time.

BENCH_SMALL=1      every row once, small, with unoptimised programs: shows that the benchmarks still work
BENCH_ONLY="a b"   only these parts, the rest as it was measured before: replay cliff scrape latency live idle
                   memory restart first checkpoint append growth
BENCH_RUNS=5       rounds
BENCH_LARGEST=10   size of the largest journal of `first` and `growth`, in GB
"""

import dataclasses
import os
import pathlib
import sys
import tempfile

import append
import growth
import live
import replay
import scrape
import state
from programs import ROOT, Programs
from table import Table

# In the order in which they are run and shown.
PARTS = {
    "replay": replay.run,
    "cliff": replay.cliff,
    "scrape": scrape.run,
    "latency": live.latency,
    "live": live.tailing,
    "idle": live.idle,
    "memory": state.memory,
    "restart": state.restart,
    "first": state.first,
    "checkpoint": state.checkpoint,
    "append": append.run,
    "growth": growth.run,
}


@dataclasses.dataclass
class Size:
    """How much of everything."""

    runs: int
    lines: int
    # Series of a small and of a large host.
    few: int
    many: int
    # Lines of a journal of about a gigabyte, and gigabytes of a first start.
    gigabyte: int
    first: float
    # Appended lines to look for, and seconds of a look at a process.
    probes: int
    seconds: float
    # Series of the growth plot, and its journals in gigabytes.
    growth: tuple
    gigabytes: tuple
    is_small: bool


def size():
    runs = int(os.environ.get("BENCH_RUNS", "5"))
    if os.environ.get("BENCH_SMALL"):
        return Size(1, 2_000, 100, 500, 3_000, 1, 5, 0.5, (10, 100), (), True)
    largest = float(os.environ.get("BENCH_LARGEST", "10"))
    gigabytes = tuple(gb for gb in (0.1, 1, 10) if gb <= largest)
    series = (1_000, 10_000, 100_000, 1_000_000)
    return Size(runs, 2_000_000, 1_000, 100_000, 4_650_000, largest, 400, 10, series, gigabytes, False)


def main():
    wanted = os.environ.get("BENCH_ONLY", "").split() or list(PARTS)
    if unknown := [name for name in wanted if name not in PARTS]:
        sys.exit(f"BENCH_ONLY: {' '.join(unknown)}: no such part; there are {' '.join(PARTS)}")
    sizes = size()
    directory = ROOT / ("target/bench-small" if sizes.is_small else "target/bench")
    directory.mkdir(parents=True, exist_ok=True)
    table = Table(directory / "results.json", judges=not sizes.is_small)
    with tempfile.TemporaryDirectory(prefix="run-", dir=directory) as scratch:
        programs = Programs("dev" if sizes.is_small else "release", directory, pathlib.Path(scratch))
        for name in wanted:
            PARTS[name](programs, table, sizes)
    text = table.markdown(PARTS)
    print(text)
    if not sizes.is_small:
        (ROOT / "benches/RESULTS.md").write_text(text)


if __name__ == "__main__":
    main()
