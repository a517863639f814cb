"""What the exporter holds: resident memory, its program, checkpoints, and how soon it serves again."""

import contextlib
import shutil
import subprocess
import time

import measure
from measure import digits, median, megabytes, seconds
from scrape import append_line
from table import Row

# Scrapes before memory is looked at: enough that every buffer has reached its size.
SCRAPES = 10

# Of a mix, about.
BYTES_A_LINE = 220


def memory(programs, table, size):
    for series, limit in ((size.few, 8.5e6), (size.many, 80e6)):
        journal = programs.journal(size.lines, series)
        values = [resident_after_scrapes(programs, journal) for _ in range(size.runs)]
        what = f"resident memory, {series:,} series, after {2 * SCRAPES} scrapes"
        table.below(f"memory-{'few' if series == size.few else 'many'}", what, values, limit, megabytes)
    stripped = programs.scratch / "stripped"
    subprocess.run(["strip", "-o", stripped, programs.exporter], check=True)
    what = "size of the exporter's program, stripped"
    table.below("memory-program", what, [stripped.stat().st_size], 7e6, megabytes)


def resident_after_scrapes(programs, journal):
    with programs.fresh_exporter(journal, "memory") as server:
        server.wait_until_ready()
        for _ in range(SCRAPES):
            server.scrape("identity")
            server.scrape("gzip")
        return measure.resident(server.pid)


def restart(programs, table, size):
    journal = programs.journal(size.gigabyte, size.many)
    times = restarts(programs, journal, size.runs)
    gigabytes = journal.stat().st_size / 1e9
    what = f"restart with {size.many:,} series and {gigabytes:.1f} GB of journal, wall time until it serves"
    table.below("restart-wall", what, times, 0.1, seconds)


def restarts(programs, journal, runs):
    """Wall times in seconds from start to the first answer that it is ready, with a checkpoint of the whole journal."""
    with programs.fresh_exporter(journal, "restart") as server:
        server.wait_until_ready()
    times = []
    for _ in range(runs):
        with programs.exporter_on(journal, programs.scratch / "restart") as server:
            times.append(server.wait_until_ready())
    return times


def first(programs, table, size):
    """A first start on much: four segments, the oldest first, on one processor and out of the page cache."""
    lines, directory = int(size.gigabyte * size.first / 4), programs.scratch / "first-journal"
    bytes_ = lines * 4 * BYTES_A_LINE
    if shutil.disk_usage(programs.scratch).free < 1.2 * bytes_:
        print(f"left out: a first start on {bytes_ / 1e9:.1f} GB, the disk is too full for it")
        return
    directory.mkdir()
    journal = directory / "journal.jsonl"
    for part in range(4):
        segment = journal if part == 3 else directory / f"journal.jsonl.20260101T0{part}0000.000Z"
        programs.generate(segment, lines, size.few, part=part)
    bytes_ = sum(segment.stat().st_size for segment in directory.iterdir())
    rates, answers = [], []
    for _ in range(size.runs):
        with programs.fresh_exporter(journal, "first", before=("taskset", "--cpu-list", "0")) as server:
            answers.append(server.wait_until_answering())
            rates.append(bytes_ / server.wait_until_ready())
    what = f"first start on {megabytes(bytes_)} of journal in four files, on one processor, wall time"
    rate, limit = median(rates), 1.2e9
    table.put("first-rate", Row(what, f"≥ {megabytes(limit)}/s", f"{megabytes(rate)}/s", f"{digits(rate / limit)} of it",
                                f"{megabytes(min(rates))} … {megabytes(max(rates))}", len(rates), rate >= limit))
    table.below("first-answer", f"{what}, until it answers", answers, 1, seconds)
    shutil.rmtree(directory)


def checkpoint(programs, table, size):
    journal = programs.each_series(size.many)
    times = checkpoints(programs, journal, size.runs)
    what = f"checkpoint of {size.many:,} series, all that the process does for it and one line"
    table.below("checkpoint-cpu", what, times, 0.03, seconds)


def checkpoints(programs, journal, runs):
    """Processor time in seconds of a process that counts one line and writes a checkpoint. Nobody scrapes."""
    followed = programs.scratch / "checkpoint.jsonl"
    shutil.copyfile(journal, followed)
    times = []
    with programs.fresh_exporter(followed, "checkpoint", "--checkpoint-interval", "1s") as server:
        server.wait_until_ready()
        file = programs.scratch / "checkpoint/state/checkpoint"
        for seq in range(runs + 1):
            server.wait_until_idle()
            before, last = server.cpu(), written(file)
            append_line(followed, "checkpoint", seq)
            while written(file) in (last, None):
                time.sleep(0.01)
            # What follows the rename belongs to it.
            time.sleep(0.2)
            if seq > 0:
                times.append(server.cpu() - before)
    followed.unlink()
    return times


def written(file):
    """When a file was written; None in the moment in which it is being replaced."""
    with contextlib.suppress(FileNotFoundError):
        return file.stat().st_mtime_ns
    return None
