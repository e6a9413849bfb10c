"""How the links of a schematic run between its stations: straight along rows, down channels, ties around the right.

Units are columns and rows, y grows downward. Ties (links outside the tree) leave a station to the right where its
row is free there, else through a lane above the row, and run down in a channel of their own.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from gridloom.control_room.placement import Block, Tree
from gridloom.control_room.stations import SiteGraph

type Point = tuple[float, float]

_PARALLEL = 0.22
"""Distance of parallel links [rows]."""
_LATERAL_X, _LATERAL_Y = 0.3, 0.14
"""Where a lateral leaves its station [columns, rows]."""
_GAP, _CHANNEL_STEP = 0.45, 0.12
"""Where ties run down between two columns, and how far apart."""
_LANE_X, _LANE_Y, _LANE_STEP = 0.2, -0.4, -0.06
"""Where a lane leaves its station [columns], how far above the row it runs and how far apart lanes are [rows]."""


def route_links(graph: SiteGraph, tree: Tree, block: Block) -> list[tuple[Point, ...]]:
    """Return the corners of every link, in the order of `graph.links`."""
    routes: list[tuple[Point, ...]] = [()] * len(graph.links)
    beside = _parallels(graph, tree)
    for site, index in enumerate(tree.link):
        if index >= 0:
            for number, link in enumerate((index, *beside.get(index, ()))):
                way = _tree_route(block, tree.parent[site], site, number)
                first = graph.links[link].sites[0]
                routes[link] = way if first == tree.parent[site] else way[::-1]
    board = _Board(block)
    for index, link in enumerate(graph.links):
        if not routes[index]:
            routes[index] = board.route(*link.sites)
    return routes


def _parallels(graph: SiteGraph, tree: Tree) -> dict[int, list[int]]:
    """Return, per tree link, the links that join the same two sites."""
    by_pair = {frozenset(graph.links[index].sites): index for index in tree.link if index >= 0}
    beside: dict[int, list[int]] = {}
    used = set(tree.link)
    for index, link in enumerate(graph.links):
        main = by_pair.get(frozenset(link.sites))
        if main is not None and index not in used:
            beside.setdefault(main, []).append(index)
    return beside


def _tree_route(block: Block, parent: int, child: int, number: int) -> tuple[Point, ...]:
    (x, y), (x_child, y_child) = block.at[parent], block.at[child]
    shift = _PARALLEL * ((number + 1) // 2) * (-1 if number % 2 else 1)
    if y == y_child or parent in block.spans:
        return (x, y_child + shift), (x_child, y_child + shift)
    down = x + _LATERAL_X
    return (
        (x, y + _LATERAL_Y),
        (down, y + _LATERAL_Y),
        (down, y_child + shift),
        (x_child, y_child + shift),
    )


@dataclass(slots=True)
class _Board:
    """Remembers which lanes and channels ties already use."""

    block: Block
    channels: list[tuple[float, float, float]] = field(default_factory=list)
    """(x, from row, to row) of the vertical parts."""
    lanes: list[tuple[float, float, float]] = field(default_factory=list)
    """(y, from column, to column) of the horizontal parts."""

    def route(self, first: int, second: int) -> tuple[Point, ...]:
        """Return the way of a tie and keep it free for others."""
        (xa, ya), (xb, yb) = self._stand(first, second), self._stand(second, first)
        if xa == xb and abs(ya - yb) == 1 and {first, second} <= self.block.spans.keys():
            x = self._channel(xa, min(ya, yb), max(ya, yb))
            return (x, ya), (x, yb)
        x = self._channel(max(xa, xb) + _GAP, min(ya, yb) - 0.5, max(ya, yb) + 0.5)
        start, end = self._leave(xa, ya, x), self._leave(xb, yb, x)
        return (*start, *reversed(end))

    def _stand(self, site: int, other: int) -> tuple[float, int]:
        """Return where a site is left: a bar at the row nearest to the other end."""
        x, y = self.block.at[site]
        first, last = self.block.spans.get(site, (y, y))
        near, far = self.block.spans.get(other, (self.block.at[other][1],) * 2)
        return x, min(max((near + far) // 2, first), last)

    def _channel(self, x: float, low: float, high: float) -> float:
        """Return the first free channel: two fit between the columns, then the next column's."""
        steps = 0
        while any(
            abs(x - used) < _CHANNEL_STEP - 1e-9 and low < end and start < high
            for used, start, end in self.channels
        ):
            steps += 1
            x = round(x + (_CHANNEL_STEP if steps % 2 else 1 - _CHANNEL_STEP), 6)
        self.channels.append((x, low, high))
        return x

    def _leave(self, x: float, row: int, channel: float) -> tuple[Point, ...]:
        if self.block.is_free(row, x + 0.5, max(channel, x + 1.0)) and self._lane_free(
            row, x, channel
        ):
            self.lanes.append((row, x, channel))
            return (x, row), (channel, row)
        y = row + _LANE_Y
        while not self._lane_free(y, x, channel):
            y = round(y + _LANE_STEP, 6)
        self.lanes.append((y, x, channel))
        side, start = x + _LANE_X, row - _LATERAL_Y / 2
        return (x, start), (side, start), (side, y), (channel, y)

    def _lane_free(self, y: float, first: float, last: float) -> bool:
        return not any(
            abs(y - used) < abs(_LANE_STEP) - 1e-9 and first < end and start < last
            for used, start, end in self.lanes
        )
