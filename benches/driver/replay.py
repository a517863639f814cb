"""Replay: a journal from its first line to its last, by each program in turn, round after round."""

import measure
from measure import seconds


def run(programs, table, size):
    for series, mtail, go, wc in ((size.few, 80, 30, 3), (size.many, 60, 30, 6)):
        counted(programs, table, size, series, (mtail, go, wc))


def cliff(programs, table, size):
    """Journals that no shortcut helps with."""
    for shape, what in (("fresh", "every line a new id"), ("reordered", "members in another order")):
        no_cliff(programs, table, size, shape, what)


def counted(programs, table, size, series, factors):
    journal = programs.journal(size.lines, series)
    contenders = {"render": programs.render(journal), "wc": ["wc", "-l", journal]}
    if programs.mtail:
        contenders["mtail"] = programs.one_shot(journal)
    if programs.go:
        contenders["go"] = [programs.go, journal]
    times = {name: [] for name in ("exporter", "mtail", "go", *contenders)}
    for round_ in range(size.runs):
        times["exporter"].append(exporter(programs, journal, f"replay-{series}-{round_}"))
        for name, argv in contenders.items():
            times[name].append(measure.cpu_of(argv))
        # After each round, because they are long: who stops it early has what there is.
        put(table, size, series, times, factors)


def put(table, size, series, times, factors):
    for ours, how in (("render", "by `render`"), ("exporter", "by the exporter, from start to stop")):
        what = f"replay of {size.lines:,} lines, {series:,} series, {how}"
        key = f"replay-{'few' if series == size.few else 'many'}-{ours}"
        table.less(f"{key}-mtail", what, "mtail", times[ours], times["mtail"], factors[0], seconds)
        table.less(f"{key}-go", what, "Go", times[ours], times["go"], factors[1], seconds)
        table.within(f"{key}-wc", what, "wc -l", times[ours], times["wc"], factors[2], seconds)


def exporter(programs, journal, name):
    """With everything on: checkpoints, listener, own metrics; until it has caught up and was told to stop."""
    with programs.fresh_exporter(journal, name) as server:
        server.wait_until_ready()
        return server.stop()


def no_cliff(programs, table, size, shape, what):
    journal = programs.journal(size.lines, size.few, shape)
    ours, theirs = [], []
    what = f"replay of {size.lines:,} lines, {what}"
    for _ in range(size.runs):
        ours.append(measure.cpu_of(programs.render(journal)))
        theirs.append(measure.cpu_of(programs.parse(journal)))
        table.within(f"cliff-{shape}", what, "serde_json alone", ours, theirs, 4, seconds)
