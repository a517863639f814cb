"""Rows: what was asked for, what was measured, whether it was reached. Kept between runs, so that a part of them can be
measured anew; written as benches/RESULTS.md."""

import dataclasses
import datetime
import json
import os
import platform

from measure import digits, median


@dataclasses.dataclass
class Row:
    """One line of the table. `reached` is None for what has no target or could not be measured."""

    what: str
    target: str
    measured: str
    ratio: str = ""
    spread: str = ""
    rounds: int = 1
    reached: bool | None = None
    date: str = ""


class Table:
    """The rows by their keys, each of which begins with the part that it belongs to."""

    def __init__(self, path, judges):
        """Kept in `path`. Small runs do not judge, and begin anew."""
        self.path, self.judges = path, judges
        self.measured = {}
        if not judges:
            path.unlink(missing_ok=True)

    def rows(self):
        """What was measured now, and before for the rest; another run may have added to it meanwhile."""
        kept = json.loads(self.path.read_text()) if self.path.exists() else {}
        return {key: Row(**row) for key, row in kept.items()} | self.measured

    def put(self, key, row):
        if not self.judges:
            row.reached = None
        row.date = datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d %H:%M")
        self.measured[key] = row
        self.path.write_text(json.dumps({key: vars(row) for key, row in self.rows().items()}, indent=1))
        print(f"{row.what}: {row.measured}; {row.ratio or 'no ratio'} ({row.spread}, rounds: {row.rounds}); {verdict(row)}", flush=True)

    def less(self, key, what, peer, ours, theirs, factor, unit, say=""):
        """We take at least `factor` times less than a peer. Without a peer the row says so."""
        if not theirs:
            self.put(key, Row(what, f"≥ {factor}x less than {peer}", f"{unit(median(ours))}{say}", "no peer here"))
            return
        ratios = [their / our for our, their in zip(ours, theirs)]
        measured = f"{unit(median(ours))}, {peer} {unit(median(theirs))}{say}"
        self.put(key, Row(what, f"≥ {factor}x less than {peer}", measured, f"{digits(median(ratios))}x less",
                          spread(ratios), len(ratios), median(ratios) >= factor))

    def within(self, key, what, peer, ours, theirs, factor, unit):
        """We take at most `factor` times what another takes."""
        ratios = [our / their for our, their in zip(ours, theirs)]
        measured = f"{unit(median(ours))}, {peer} {unit(median(theirs))}"
        self.put(key, Row(what, f"≤ {factor}x of {peer}", measured, f"{digits(median(ratios))}x", spread(ratios),
                          len(ratios), median(ratios) <= factor))

    def below(self, key, what, values, limit, unit):
        """A value of our own that is not to be passed."""
        value = median(values)
        ratio = f"{digits(value / limit)} of it" if limit else ""
        self.put(key, Row(what, f"≤ {unit(limit)}", unit(value), ratio, spread(values, unit), len(values),
                          value <= limit))

    def markdown(self, parts):
        """All rows, in the order of `parts`."""
        order = {part: at for at, part in enumerate(parts)}
        rows = sorted(self.rows().items(), key=lambda entry: order.get(entry[0].split("-")[0], len(order)))
        lines = ["# Results", "", "Written by `make bench`; what each row means, how it is measured and what bounds it"
                 " is in [README.md](README.md).", ""]
        lines += [f"{machine()} Medians; processor time unless a row says wall time.", ""]
        lines += ["| | target | measured | ratio | least … most | rounds | reached |", "|---|---|---|---|---|---|---|"]
        for _, row in rows:
            cells = (row.what, row.target, row.measured, row.ratio, row.spread, str(row.rounds), verdict(row))
            lines.append("| " + " | ".join(cells) + " |")
        dates = sorted(row.date for _, row in rows)
        if dates:
            lines += ["", f"Measured from {dates[0]} to {dates[-1]} UTC."]
        return "\n".join(lines) + "\n"


def spread(values, unit=digits):
    return f"{unit(min(values))} … {unit(max(values))}" if len(values) > 1 else ""


def verdict(row):
    return {True: "yes", False: "**no**", None: ""}[row.reached]


def machine():
    """Processor, memory and kernel; nothing that names the host."""
    model = "unknown processor"
    with open("/proc/cpuinfo", encoding="utf-8") as file:
        for line in file:
            if line.startswith("model name"):
                model = " ".join(line.split(":", 1)[1].split())
                break
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9
    # What follows the number says who built it.
    release = platform.release().split("-", 1)[0]
    return f"{os.cpu_count()} processors ({model}), {memory:.0f} GB of memory, {platform.system()} {release}."
