"""Scrapes of many series over a connection that is kept open, plain and compressed, by each server in turn.

Before each of the exporter's scrapes a line is appended and counted, so that no body made before can be given again;
the processor time for that counts, too. The peers render anew at each scrape anyway.
"""

import time

from measure import digits, megabytes, seconds
from table import Row

# Seconds after an appended line until it has been counted, and after an answer until the server is at rest.
REST = 0.3

MTAIL_FOLLOWS = "mtail.jsonl"


def run(programs, table, size):
    journal = programs.each_series(size.many)
    followed = programs.scratch / "scrape.jsonl"
    followed.write_bytes(journal.read_bytes())
    servers = {"exporter": programs.fresh_exporter(followed, "scrape")}
    if programs.go:
        servers["go"] = programs.serve_go(journal)
    if programs.mtail:
        servers["mtail"] = mtail_with(programs, journal)
    try:
        for server in servers.values():
            server.wait_until_ready()
        for encoding in ("identity", "gzip"):
            one_encoding(table, size, servers, followed, encoding)
    finally:
        for server in servers.values():
            server.stop()
        followed.unlink()
        (programs.scratch / MTAIL_FOLLOWS).unlink(missing_ok=True)


def mtail_with(programs, journal):
    """mtail begins at the end of what it finds, so it is given the journal after its start, and time to read it."""
    followed = programs.scratch / MTAIL_FOLLOWS
    followed.write_bytes(b"")
    server = programs.serve_mtail(followed)
    server.wait_until_ready()
    time.sleep(2)
    with open(journal, "rb") as source, open(followed, "ab", buffering=0) as out:
        while chunk := source.read(1 << 20):
            out.write(chunk)
    server.wait_until_idle()
    return server


def one_encoding(table, size, servers, followed, encoding):
    times = {name: [] for name in ("exporter", "go", "mtail")}
    bytes_ = {}
    # The first of all rounds warms up.
    for round_ in range(size.runs + 1):
        for name, server in servers.items():
            before = server.cpu()
            if name == "exporter":
                append_line(followed, encoding, round_)
                time.sleep(REST)
            bytes_[name] = len(server.scrape(encoding))
            time.sleep(REST)
            if round_ > 0:
                times[name].append(server.cpu() - before)
    what = f"scrape of {size.many:,} series, {'plain' if encoding == 'identity' else 'gzip'}"
    say = f" ({megabytes(bytes_['exporter'])})"
    ours = times["exporter"]
    table.less(f"scrape-{encoding}-go", what, "Go", ours, times["go"], 55 if encoding == "identity" else 20, seconds, say)
    if encoding == "identity":
        table.less(f"scrape-{encoding}-mtail", what, "mtail", ours, times["mtail"], 90, seconds, say)
    elif "go" in bytes_:
        ratio = bytes_["exporter"] / bytes_["go"]
        measured = f"{megabytes(bytes_['exporter'])}, Go {megabytes(bytes_['go'])}"
        table.put("scrape-gzip-size", Row(f"{what}, size", "≤ 1.2x of Go", measured, f"{digits(ratio)}x",
                                          reached=ratio <= 1.2))


def append_line(path, writer, seq, id_="probe"):
    """A line of a series that is there, by a writer of its own."""
    line = (f'{{"v":1,"writer":"{writer}","seq":{seq + 1},"time":"2026-02-01T00:00:00.000Z","event":"command",'
            f'"id":"{id_}","mode":"check","error":false,"source":"bench"}}\n').encode()
    with open(path, "ab", buffering=0) as out:
        out.write(line)
