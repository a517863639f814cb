"""How cost grows with the number of series and with the size of the journal; drawn by `plot`."""

import json
import shutil
import time

import measure
import plot
import state
from measure import median
from programs import ROOT
from scrape import REST, append_line


def run(programs, _table, size):
    kept = programs.directory / "growth.json"
    by_series = [of_series(programs, size, series) for series in size.growth]
    by_bytes = [of_bytes(programs, size, gigabytes) for gigabytes in size.gigabytes]
    points = {"series": by_series, "bytes": [point for point in by_bytes if point]}
    kept.write_text(json.dumps(points, indent=1))
    drawn = plot.draw(points)
    (kept.with_suffix(".svg") if size.is_small else ROOT / "benches/growth.svg").write_text(drawn)


def of_series(programs, size, series):
    """All costs with so many series."""
    lines = max(size.lines, 2 * series)
    journal = programs.journal(lines, series)
    runs = min(size.runs, 3)
    replay = median([measure.cpu_of(programs.render(journal)) for _ in range(runs)]) / lines
    followed = programs.scratch / "growth.jsonl"
    shutil.copyfile(programs.each_series(series), followed)
    with programs.fresh_exporter(followed, "growth") as server:
        server.wait_until_ready()
        scrapes = []
        for seq in range(runs + 1):
            before = server.cpu()
            append_line(followed, "growth", seq)
            time.sleep(REST)
            server.scrape()
            time.sleep(REST)
            scrapes.append(server.cpu() - before)
        resident = measure.resident(server.pid)
    followed.unlink()
    point = {
        "x": series,
        "replay": replay,
        "scrape": median(scrapes[1:]),
        "resident": resident,
        "checkpoint": median(state.checkpoints(programs, programs.each_series(series), runs)),
        "restart": median(state.restarts(programs, journal, runs)),
    }
    print(f"growth: {point}", flush=True)
    return point


def of_bytes(programs, size, gigabytes):
    """What depends on the size of the journal, with the many series of the table."""
    lines = int(size.gigabyte * gigabytes)
    journal = programs.path_of(lines, size.many)
    if not journal.exists() and shutil.disk_usage(programs.directory).free < 2.5e9 * gigabytes:
        print(f"left out: growth with {gigabytes} GB, the disk is too full for it")
        return None
    journal = programs.journal(lines, size.many)
    point = {
        "x": journal.stat().st_size,
        "replay": measure.cpu_of(programs.render(journal)) / lines,
        "restart": median(state.restarts(programs, journal, min(size.runs, 3))),
    }
    if gigabytes > 2:
        journal.unlink()
    print(f"growth: {point}", flush=True)
    return point
