"""The cost of an operation against the size of what the hub holds, as an SVG picture; both axes are logarithmic."""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from xml.sax.saxutils import escape

from bench.results import PEER, POSTGRES, SQLITE, Row
from bench.rounds import CLIENTS

Points = Sequence[tuple[float, float]]

_USERS = ("get", "userName eq", "emails.value eq", "PATCH active", "create")
_MEMBERS = ("member add", "member remove")
_COLOURS = dict(
    zip((*_USERS, *_MEMBERS), ("#0072b2", "#009e73", "#7a5195", "#d55e00", "#c2185b", "#0072b2", "#d55e00"), strict=True)
)
_DASHES = {SQLITE: "", POSTGRES: "7 4", PEER: "1 4"}
# Of scim2-server there is one size only: points without a line, and hollow.
_MARKS = {SQLITE: "fill", POSTGRES: "fill", PEER: 'fill="#ffffff" stroke-width="2" stroke'}
_NAMES = {SQLITE: "SQLite", POSTGRES: "PostgreSQL", PEER: PEER}
_WIDTH, _HEIGHT, _LEFT, _TOP, _BETWEEN, _BELOW = 380, 300, 70, 60, 80, 120


@dataclass(frozen=True, slots=True)
class Panel:
    """One diagram: its title, what its horizontal axis counts, and for each scenario and server its points."""

    title: str
    axis: str
    series: Mapping[tuple[str, str], Points]


def draw(rows: Sequence[Row]) -> str:
    """The picture; a diagram without rows is left out."""
    most = {row.server: max(each.users for each in rows if each.server == row.server) for row in rows}
    panels = [
        Panel("Users", "users", _series(rows, _USERS, lambda row: row.users)),
        Panel(
            "Members of a group",
            "members",
            _series([row for row in rows if row.users == most[row.server]], _MEMBERS, lambda row: row.members or 0),
        ),
    ]
    panels = [panel for panel in panels if panel.series]
    costs = [cost for panel in panels for points in panel.series.values() for _, cost in points]
    width = max(2 * _LEFT + len(panels) * _WIDTH + (len(panels) - 1) * _BETWEEN, _LEFT + _WIDTH)
    height = _TOP + _HEIGHT + _BELOW
    title = "CPU time of one operation, hub and database together, in microseconds"
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" '
        'font-family="system-ui, sans-serif" font-size="12" role="img">',
        f"<title>{title}</title>",
        f'<rect width="{width}" height="{height}" fill="#ffffff"/>',
        f'<text x="{_LEFT}" y="24" font-size="15" font-weight="600">{title}</text>',
    ]
    for number, panel in enumerate(panels):
        lines += _panel(panel, _LEFT + number * (_WIDTH + _BETWEEN), _bounds(costs))
    return "\n".join([*lines, "</svg>", ""])


def _series(rows: Sequence[Row], scenarios: Sequence[str], size: Callable[[Row], int]) -> Mapping[tuple[str, str], Points]:
    found: dict[tuple[str, str], list[tuple[float, float]]] = {}
    for scenario in scenarios:
        for row in rows:
            if row.scenario == scenario and row.clients == CLIENTS and row.cost_us > 0:
                found.setdefault((scenario, row.server), []).append((size(row), row.cost_us))
    return {key: sorted(points) for key, points in found.items()}


def _bounds(values: Sequence[float]) -> tuple[float, float]:
    """The powers of ten around the values, as exponents."""
    low, high = math.floor(math.log10(min(values))), math.ceil(math.log10(max(values)))
    return low, max(high, low + 1)


def _panel(panel: Panel, left: float, costs: tuple[float, float]) -> Iterator[str]:
    sizes = _bounds([size for points in panel.series.values() for size, _ in points])

    def x(size: float) -> float:
        return left + (math.log10(size) - sizes[0]) / (sizes[1] - sizes[0]) * _WIDTH

    def y(cost: float) -> float:
        return _TOP + _HEIGHT - (math.log10(cost) - costs[0]) / (costs[1] - costs[0]) * _HEIGHT

    yield f'<text x="{left}" y="{_TOP - 12}" font-weight="600">{panel.title}</text>'
    for exponent in range(int(costs[0]), int(costs[1]) + 1):
        at = y(10**exponent)
        yield f'<line x1="{left}" y1="{at:.1f}" x2="{left + _WIDTH}" y2="{at:.1f}" stroke="#dddddd"/>'
        yield f'<text x="{left - 8}" y="{at + 4:.1f}" text-anchor="end">{10**exponent:,}</text>'
    for exponent in range(int(sizes[0]), int(sizes[1]) + 1):
        at = x(10**exponent)
        yield f'<line x1="{at:.1f}" y1="{_TOP}" x2="{at:.1f}" y2="{_TOP + _HEIGHT}" stroke="#eeeeee"/>'
        yield f'<text x="{at:.1f}" y="{_TOP + _HEIGHT + 18}" text-anchor="middle">{10**exponent:,}</text>'
    yield f'<text x="{left + _WIDTH / 2}" y="{_TOP + _HEIGHT + 36}" text-anchor="middle">{panel.axis}</text>'
    for (scenario, server), points in panel.series.items():
        colour, dash = _COLOURS[scenario], _DASHES[server]
        path = " ".join(f"{x(size):.1f},{y(cost):.1f}" for size, cost in points)
        yield f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2" stroke-dasharray="{dash}"/>'
        for size, cost in points:
            told = escape(f"{scenario}, {_NAMES[server]}, {size:,.0f} {panel.axis}: {cost:,.0f} µs")
            place = f'cx="{x(size):.1f}" cy="{y(cost):.1f}" r="3.5"'
            yield f'<circle {place} {_MARKS[server]}="{colour}"><title>{told}</title></circle>'
    yield from _legend(panel, left)


def _legend(panel: Panel, left: float) -> Iterator[str]:
    """Colours of the scenarios in one row or two, dashes of the servers below."""
    top = _TOP + _HEIGHT + 58
    for number, scenario in enumerate(dict.fromkeys(scenario for scenario, _ in panel.series)):
        at, level = left + number % 3 * 130, top + number // 3 * 18
        yield f'<circle cx="{at + 5}" cy="{level - 4}" r="4" fill="{_COLOURS[scenario]}"/>'
        yield f'<text x="{at + 16}" y="{level}">{escape(scenario)}</text>'
    for number, server in enumerate(dict.fromkeys(server for _, server in panel.series)):
        at, level = left + number * 130, top + 42
        if server == PEER:
            yield f'<circle cx="{at + 13}" cy="{level - 4}" r="3.5" {_MARKS[server]}="#444444"/>'
        else:
            line = f'<line x1="{at}" y1="{level - 4}" x2="{at + 26}" y2="{level - 4}"'
            yield f'{line} stroke="#444444" stroke-width="2" stroke-dasharray="{_DASHES[server]}"/>'
        yield f'<text x="{at + 32}" y="{level}">{_NAMES[server]}</text>'
