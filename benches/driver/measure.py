"""Processor time, memory and wake-ups of other processes, as the kernel tells them; medians and how far apart they are."""

import os
import resource
import statistics
import subprocess
import time


def cpu_of(argv, **how):
    """Runs a program to its end and says its processor time in seconds, all of its threads together."""
    how.setdefault("stdout", subprocess.DEVNULL)
    how.setdefault("stderr", subprocess.DEVNULL)
    process = subprocess.Popen([str(word) for word in argv], **how)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        raise RuntimeError(f"{argv[0]} ended with {process.returncode}")
    return seconds_of(usage)


def seconds_of(usage: resource.struct_rusage):
    return usage.ru_utime + usage.ru_stime


def cpu_clock(pid):
    """Processor time that a running process has had so far, in seconds: its clock, which counts nanoseconds, in
    place of /proc/PID/stat, which counts hundredths of a second."""
    return time.clock_gettime((~pid << 3) | 2)


def resident(pid):
    """Resident memory in bytes."""
    return 1024 * int(field(f"/proc/{pid}/status", "VmRSS"))


def wakeups(pid):
    """How often its threads went to sleep so far, which is how often they woke. That others took the processor from
    them is no doing of theirs."""
    threads = os.listdir(f"/proc/{pid}/task")
    return sum(int(field(f"/proc/{pid}/task/{thread}/status", "voluntary_ctxt_switches")) for thread in threads)


def field(path, name):
    with open(path, encoding="utf-8") as file:
        for line in file:
            if line.startswith(name + ":"):
                return line.split()[1]
    raise RuntimeError(f"{path}: no {name}")


def median(values):
    return statistics.median(values)


def percentile(values, percent):
    """The smallest value that so many of a hundred do not pass."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, -(-len(ordered) * percent // 100) - 1)]


def digits(value):
    """Three significant digits, without an exponent."""
    if value == 0:
        return "0"
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.2f}" if value < 10 else f"{value:.1f}"


def seconds(value):
    """A time in the unit that suits it."""
    for limit, factor, unit in ((1e-6, 1e9, "ns"), (1e-3, 1e6, "µs"), (1, 1e3, "ms")):
        if value < limit:
            return f"{digits(value * factor)} {unit}"
    return f"{digits(value)} s"


def megabytes(value):
    return f"{digits(value / 1e6)} MB"
