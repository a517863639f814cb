"""Following a journal that grows: how soon a line shows, what it costs beside mtail, and what waiting costs."""

import random
import subprocess
import time

import measure
from measure import digits, percentile, seconds
from scrape import append_line
from table import Row


def latency(programs, table, size):
    journal = programs.scratch / "latency.jsonl"
    journal.write_bytes(b"")
    with programs.fresh_exporter(journal, "latency") as server:
        server.wait_until_ready()
        times = look_for_lines(server, journal, "idle", size.probes)
        shown(table, "latency-idle", "appended line → visible, wall time, idle", times, 0.001, 0.002)
        rate = 2_000 if size.is_small else 20_000
        # More than will be needed: it is ended when the last line was looked for. What follows a flood is read at its own pace.
        lines = int(rate * (size.probes * 0.5 + 1))
        argv = [programs.workload, "append", journal, str(lines), str(size.few), str(rate)]
        flood = subprocess.Popen(argv)
        try:
            times = look_for_lines(server, journal, "flood", size.probes)
        finally:
            flood.kill()
            flood.wait()
        shown(table, "latency-flood", f"appended line → visible, wall time, under {rate:,} lines/s", times, None, 0.12)
    journal.unlink()


def look_for_lines(server, journal, writer, probes):
    """Appends line after line and scrapes until it shows. Until the answer is there, that is: scrape included."""
    chance, times = random.Random(1), []
    for seq in range(probes):
        time.sleep(chance.uniform(0.02, 0.06))
        began = time.perf_counter()
        append_line(journal, writer, seq, id_=writer)
        wanted = f'id="{writer}",mode="check",parent_id="",public_key="",remote_addr="",source="bench"}} {seq + 1}\n'
        while wanted.encode() not in server.quick_scrape():
            pass
        times.append(time.perf_counter() - began)
    return times


def shown(table, key, what, times, half, most):
    for name, percent, limit in (("p50", 50, half), ("p99", 99, most)):
        value = percentile(times, percent)
        spread = f"{seconds(min(times))} … {seconds(max(times))}"
        if limit:
            table.put(f"{key}-{name}", Row(f"{what}, {name}", f"≤ {seconds(limit)}", seconds(value),
                                           f"{digits(value / limit)} of it", spread, len(times), value <= limit))
        else:
            table.put(f"{key}-{name}", Row(f"{what}, {name}", "", seconds(value), "", spread, len(times)))


def tailing(programs, table, size):
    """Both follow the same file at the same time."""
    journal = programs.scratch / "live.jsonl"
    journal.write_bytes(b"")
    servers = {"exporter": programs.fresh_exporter(journal, "live")}
    if programs.mtail:
        servers["mtail"] = programs.serve_mtail(journal)
    try:
        for server in servers.values():
            server.wait_until_ready()
        # mtail needs a moment to find the file.
        time.sleep(2)
        for rate, factor in ((20_000, 40), (1_000, 12)):
            times = {"exporter": [], "mtail": []}
            # The first of all rounds makes the series.
            for round_ in range(size.runs + 1):
                before = {name: server.cpu() for name, server in servers.items()}
                argv = [programs.workload, "append", journal, str(int(rate * size.seconds)), str(size.few), str(rate)]
                subprocess.run(argv, check=True)
                time.sleep(1)
                if round_ > 0:
                    for name, server in servers.items():
                        times[name].append((server.cpu() - before[name]) / (size.seconds + 1))
            what = f"live tailing at {rate:,} lines/s, processor time a second"
            table.less(f"live-{rate}", what, "mtail", times["exporter"], times["mtail"], factor, seconds)
    finally:
        for server in servers.values():
            server.stop()
        journal.unlink()


def idle(programs, table, size):
    journal = programs.journal(size.lines, size.few)
    switches, shares = [], []
    with programs.fresh_exporter(journal, "idle") as server:
        server.wait_until_ready()
        server.scrape()
        # Threads that worked for the scrape end by themselves after ten seconds.
        time.sleep(0.5 if size.is_small else 15)
        for _ in range(size.runs):
            before, began, cpu = measure.wakeups(server.pid), time.perf_counter(), server.cpu()
            time.sleep(size.seconds)
            took = time.perf_counter() - began
            switches.append((measure.wakeups(server.pid) - before) / took)
            shares.append(100 * (server.cpu() - cpu) / took)
    table.below("idle-wakeups", "idle: wake-ups a second", switches, 2, digits)
    # 0.0 % is what rounds to it.
    table.below("idle-cpu", "idle: percent of a processor", shares, 0.05, lambda value: f"{value:.3f} %")
