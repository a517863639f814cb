"""What an append costs the agent: the contract's writer beside a bare `write(2)` of the same bytes."""

import json
import subprocess

from measure import digits, seconds
from table import Row

LIMIT = 1.5e-6


def run(programs, table, size):
    lines = 1_000 if size.is_small else 200_000
    times, writes, allocations = [], [], []
    for _ in range(size.runs):
        argv = [programs.workload, "cost", programs.scratch / "append.jsonl", str(lines)]
        cost = json.loads(subprocess.run(argv, check=True, capture_output=True).stdout)
        times.append(max(0, cost["append_ns"] - cost["write_ns"]) / 1e9)
        writes.append(cost["write_ns"] / 1e9)
        allocations.append(cost["allocations"])
    table.below("append-cpu", f"append, a line, beside write(2) ({seconds(min(writes))})", times, LIMIT, seconds)
    table.put("append-allocations", Row(f"append, allocations over {lines:,} lines", "none a line",
                                        digits(max(allocations)), "", "", len(allocations),
                                        max(allocations) < lines / 1000))
