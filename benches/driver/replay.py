"""Replay: a journal from its first line to its last, by each program in turn, round after round."""

import measure
from measure import seconds


# For each number of series how much less than mtail and Go, and how much more than `wc -l` by `render` and by the exporter.
TARGETS = {"few": (120, 45, 2.5, 3.2), "many": (80, 40, 6, 7)}


def run(programs, table, size):
    for name, series in (("few", size.few), ("many", size.many)):
        counted(programs, table, size, name, series)
    for name, series in (("few", size.few), ("many", size.many)):
        commands_alone(programs, table, size, name, series)
    source_line(programs, table, size)


def cliff(programs, table, size):
    """Journals that no shortcut helps with."""
    for shape, what in (("fresh", "every line a new id"), ("reordered", "members in another order")):
        no_cliff(programs, table, size, shape, what)


def counted(programs, table, size, name, series):
    journal = programs.journal(size.lines, series)
    contenders = {"render": programs.render(journal), "wc": ["wc", "-l", journal]}
    if programs.mtail:
        contenders["mtail"] = programs.one_shot(journal)
    if programs.go:
        contenders["go"] = [programs.go, journal]
    times = {contender: [] for contender in ("exporter", "mtail", "go", *contenders)}
    for round_ in range(size.runs):
        times["exporter"].append(exporter(programs, journal, f"replay-{series}-{round_}"))
        for contender, argv in contenders.items():
            times[contender].append(measure.cpu_of(argv))
        # After each round, because they are long: who stops it early has what there is.
        put(table, size, name, series, times)


def put(table, size, name, series, times):
    mtail, go, wc, wc_exporter = TARGETS[name]
    what, ours = f"replay of {size.lines:,} lines, {series:,} series, by `render`", times["render"]
    table.less(f"replay-{name}-render-mtail", what, "mtail", ours, times["mtail"], mtail, seconds)
    table.less(f"replay-{name}-render-go", what, "Go", ours, times["go"], go, seconds)
    table.within(f"replay-{name}-render-wc", what, "wc -l", ours, times["wc"], wc, seconds)
    what = f"replay of {size.lines:,} lines, {series:,} series, by the exporter, from start to stop"
    table.within(f"replay-{name}-exporter-wc", what, "wc -l", times["exporter"], times["wc"], wc_exporter, seconds)


def commands_alone(programs, table, size, name, series):
    """What was measured before there was a mix: commands, all of them pushed and in groups, and nothing else."""
    journal = programs.journal(size.lines, series, "canonical")
    ours, theirs = [], []
    for _ in range(size.runs):
        ours.append(measure.cpu_of(programs.render(journal)))
        theirs.append(measure.cpu_of(["wc", "-l", journal]))
    what = f"replay of {size.lines:,} lines, commands alone, {series:,} series, by `render`"
    table.within(f"replay-commands-{name}-wc", what, "wc -l", ours, theirs, {"few": 3, "many": 6}[name], seconds)


def source_line(programs, table, size):
    """A line of a Source beside one of a command, both with labels that are known."""
    sources, commands = (programs.journal(size.lines, size.few, shape) for shape in ("sources", "commands"))
    ours, theirs = [], []
    for _ in range(size.runs):
        ours.append(measure.cpu_of(programs.render(sources)) / size.lines)
        theirs.append(measure.cpu_of(programs.render(commands)) / size.lines)
    table.within("replay-source", "a line of a Source whose labels are known", "a command's", ours, theirs, 2, seconds)


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
