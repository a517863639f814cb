"""Small plots of growth as one SVG: both axes logarithmic, readable on light and on dark paper."""

import math

from measure import megabytes, seconds

WIDTH, HEIGHT, LEFT, TOP = 220, 150, 62, 30
STYLE = """
text { font: 11px system-ui, sans-serif; fill: #57606a }
.title { font-weight: 600; fill: #24292f }
.grid { stroke: #d0d7de; stroke-width: 1 }
.curve { stroke: #0969da; stroke-width: 2; fill: none }
.dot { fill: #0969da }
@media (prefers-color-scheme: dark) {
  text { fill: #9198a1 }
  .title { fill: #f0f6fc }
  .grid { stroke: #3d444d }
  .curve { stroke: #58a6ff }
  .dot { fill: #58a6ff }
}
"""


def draw(points):
    """The document. `points` has what `growth` measured."""
    panels = [
        ("replay, CPU a line", "series", "replay", seconds, count),
        ("scrape, CPU", "series", "scrape", seconds, count),
        ("resident memory", "series", "resident", megabytes, count),
        ("checkpoint, CPU", "series", "checkpoint", seconds, count),
        ("restart until it serves, wall", "series", "restart", seconds, count),
        ("restart, by journal", "bytes", "restart", seconds, size),
    ]
    panels = [panel for panel in panels if points[panel[1]]]
    columns = 3
    width, height = columns * (WIDTH + LEFT) + 20, -(-len(panels) // columns) * (HEIGHT + TOP + 40)
    parts = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img"'
             f' aria-label="how cost grows with series and journal"><style>{STYLE}</style>']
    for at, (title, group, name, unit, x_unit) in enumerate(panels):
        x, y = at % columns * (WIDTH + LEFT) + LEFT, at // columns * (HEIGHT + TOP + 40) + TOP
        parts.append(f'<g transform="translate({x} {y})">')
        parts += panel(title, [(point["x"], point[name]) for point in points[group]], unit, x_unit)
        parts.append("</g>")
    return "\n".join([*parts, "</svg>"]) + "\n"


def panel(title, points, unit, x_unit):
    xs, ys = [math.log10(x) for x, _ in points], [math.log10(max(y, 1e-12)) for _, y in points]
    left, right = min(xs) - 0.2, max(xs) + 0.2
    # Whole powers of ten, at least two, so that panels can be compared by their slope.
    bottom, top = math.floor(min(ys)), max(math.ceil(max(ys)), math.floor(min(ys)) + 2)

    def place(x, y):
        return (x - left) / (right - left) * (WIDTH - 20), HEIGHT - (y - bottom) / (top - bottom) * HEIGHT

    yield f'<text class="title" x="0" y="-12">{title}</text>'
    for power in range(bottom, top + 1):
        _, y = place(left, power)
        yield f'<path class="grid" d="M0 {y:.1f}H{WIDTH - 20}"/>'
        yield f'<text x="-6" y="{y + 4:.1f}" text-anchor="end">{unit(10.0 ** power).replace(".00", "").replace(".0 ", " ")}</text>'
    spots = [place(x, y) for x, y in zip(xs, ys)]
    yield '<path class="curve" d="M' + "L".join(f"{x:.1f} {y:.1f}" for x, y in spots) + '"/>'
    for (x, y), (number, value) in zip(spots, points):
        yield f'<circle class="dot" cx="{x:.1f}" cy="{y:.1f}" r="3"/>'
        yield f'<text x="{x:.1f}" y="{y - 8:.1f}" text-anchor="middle">{unit(value)}</text>'
        yield f'<text x="{x:.1f}" y="{HEIGHT + 18}" text-anchor="middle">{x_unit(number)}</text>'


def count(number):
    return f"{number // 1_000_000} M" if number >= 1_000_000 else f"{number // 1000} k" if number >= 1000 else f"{number}"


def size(number):
    return f"{number / 1e9:.1f} GB" if number < 9.5e8 else f"{number / 1e9:.0f} GB"
