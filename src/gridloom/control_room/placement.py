"""Where the sites of a schematic stand: an orthogonal tree, feeders as rows from left to right.

Units are columns and rows. The longest way from a feeder's head runs straight to the right on one row; laterals
take the nearest free row below. A site with bars (a substation) stands left of its feeders and spans their rows.
The same graph always gives the same picture.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

from gridloom.control_room.stations import SiteGraph

BAR_CHILDREN = 3
"""A site with this many branches leaving it is drawn as a bar, even if it is no substation."""
_CHANNEL = (0.25, 0.5)
"""Where the vertical part of a lateral runs, in columns right of its site."""


@dataclass(slots=True)
class Tree:
    """A spanning forest of the graph: how each site is reached from a source at normal positions."""

    parent: list[int]
    link: list[int]
    """Index of the link to the parent, -1 at a root."""
    children: list[list[int]]
    roots: list[int]


@dataclass(slots=True)
class Block:
    """A placed part of the tree, relative to its first site at column 0, row 0."""

    at: dict[int, tuple[int, int]] = field(default_factory=dict)
    """Column and row of each site."""
    taken: dict[int, list[tuple[float, float]]] = field(default_factory=dict)
    """Occupied columns [from, to] of each row."""
    spans: dict[int, tuple[int, int]] = field(default_factory=dict)
    """First and last row of each site drawn as a bar."""

    @property
    def last_row(self) -> int:
        """The lowest row in use."""
        return max(self.taken, default=0)

    def take(self, row: int, first: float, last: float) -> None:
        """Mark columns of a row as occupied."""
        self.taken.setdefault(row, []).append((first, last))

    def is_free(self, row: int, first: float, last: float) -> bool:
        """Return whether nothing stands between two columns of a row."""
        return all(last <= start or end <= first for start, end in self.taken.get(row, ()))

    def fits(self, other: Block, column: int, row: int) -> bool:
        """Return whether `other` can stand at an offset without touching anything."""
        return all(
            self.is_free(row + there, first + column, last + column)
            for there, spans in other.taken.items()
            for first, last in spans
        )

    def add(self, other: Block, column: int, row: int) -> None:
        """Put `other` here at an offset."""
        for site, (x, y) in other.at.items():
            self.at[site] = (x + column, y + row)
        for site, (first, last) in other.spans.items():
            self.spans[site] = (first + row, last + row)
        for there, spans in other.taken.items():
            for start, end in spans:
                self.take(there + row, start + column, end + column)


def spanning_tree(graph: SiteGraph) -> Tree:
    """Return how the sites hang together, from sources outward over links that are closed normally."""
    n = len(graph.sites)
    tree = Tree([-1] * n, [-1] * n, [[] for _ in range(n)], [])
    seen = [False] * n
    sources = [index for index, site in enumerate(graph.sites) if site.is_source]
    # Sites without a source, e.g. behind a normally open switch, get a root of their own at the end.
    for root in [*sources, *sorted(range(n), key=lambda index: -len(graph.sites[index].links))]:
        if not seen[root]:
            seen[root] = True
            tree.roots.append(root)
            _grow(graph, tree, seen, root)
    return tree


def _grow(graph: SiteGraph, tree: Tree, seen: list[bool], root: int) -> None:
    front = deque([root])
    while front:
        site = front.popleft()
        for index in graph.sites[site].links:
            link = graph.links[index]
            other = link.sites[1] if link.sites[0] == site else link.sites[0]
            if link.is_closed and not seen[other]:
                seen[other] = True
                tree.parent[other], tree.link[other] = site, index
                tree.children[site].append(other)
                front.append(other)


def place(graph: SiteGraph, tree: Tree) -> Block:
    """Return columns and rows of all sites."""
    depth = _depths(tree)
    order = _order_children(graph, tree)
    blocks: dict[int, Block] = {}
    # Children are placed before their parents, without recursion: feeders can be thousands of sites long.
    for site in reversed(_outward(tree)):
        blocks[site] = _block(site, order[site], depth, blocks, graph)
    whole, row = Block(), 0
    for root in tree.roots:
        whole.add(blocks[root], 0, row)
        row = whole.last_row + 1
    return whole


def _block(
    site: int, children: Sequence[int], depth: list[int], blocks: dict[int, Block], graph: SiteGraph
) -> Block:
    block = Block(at={site: (0, 0)})
    is_bar = graph.sites[site].is_source or graph.sites[site].is_substation
    if is_bar or len(children) >= BAR_CHILDREN:
        return _bar(block, site, children, blocks)
    block.take(0, -0.5, 0.5)
    straight = max(children, key=lambda child: (depth[child], -child), default=-1)
    if straight >= 0:
        block.add(blocks.pop(straight), 1, 0)
    for lateral in (child for child in children if child != straight):
        _hang(block, blocks.pop(lateral))
    return block


def _bar(block: Block, site: int, children: Sequence[int], blocks: dict[int, Block]) -> Block:
    row = 0
    for child in children:
        below = blocks.pop(child)
        height = below.last_row + 1
        block.add(below, 1, row)
        row += height
    last = max((block.at[child][1] for child in children), default=0)
    block.spans[site] = (0, last)
    for taken in range(last + 1):
        block.take(taken, -0.5, 0.5)
    return block


def _hang(block: Block, lateral: Block) -> None:
    """Put a lateral of the site at (0, 0) in the nearest row below that has room for it and its way down."""
    row = 1
    while not block.fits(lateral, 1, row):
        row += 1
    block.add(lateral, 1, row)
    for passed in range(1, row + 1):
        block.take(passed, *_CHANNEL)


def _outward(tree: Tree) -> list[int]:
    order = list(tree.roots)
    for site in order:
        order.extend(tree.children[site])
    return order


def _depths(tree: Tree) -> list[int]:
    depth = [0] * len(tree.parent)
    for site in reversed(_outward(tree)):
        above = tree.parent[site]
        if above >= 0:
            depth[above] = max(depth[above], depth[site] + 1)
    return depth


def _order_children(graph: SiteGraph, tree: Tree) -> list[list[int]]:
    """Return each site's children so that subtrees joined by a normally open link stand side by side."""
    ties = _ties(graph, tree)
    order = []
    for site, children in enumerate(tree.children):
        near = ties.get(site, {})
        left = sorted(children, key=lambda child: tree.link[child])
        placed: list[int] = []
        while left:
            last = placed[-1] if placed else -1
            left.sort(key=lambda child: (-near.get((last, child), 0), tree.link[child]))
            placed.append(left.pop(0))
        order.append(placed)
    return order


def _ties(graph: SiteGraph, tree: Tree) -> dict[int, dict[tuple[int, int], int]]:
    """Count, per site, the links that join two of its children's subtrees."""
    ties: dict[int, dict[tuple[int, int], int]] = {}
    used = set(tree.link)
    for index, link in enumerate(graph.links):
        if index in used:
            continue
        ways = [_way_up(tree, site) for site in link.sites]
        while min(map(len, ways)) > 1 and ways[0][-2:] == ways[1][-2:]:
            ways[0].pop()
            ways[1].pop()
        if ways[0][-1] == ways[1][-1] and min(map(len, ways)) > 1:
            pair = ways[0][-2], ways[1][-2]
            for key in (pair, pair[::-1]):
                count = ties.setdefault(ways[0][-1], {})
                count[key] = count.get(key, 0) + 1
    return ties


def _way_up(tree: Tree, site: int) -> list[int]:
    way = [site]
    while tree.parent[way[-1]] >= 0:
        way.append(tree.parent[way[-1]])
    return way
