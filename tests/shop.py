"""A shop whose line fails in every way a line can, and the history that it leaves behind.

For tests of everything that runs letters again: the Ticks and slots of its letters are constants.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import attrs

from rmf.core.bag import Evidence
from rmf.core.effects import Batch
from rmf.core.events import Executed
from rmf.core.outcome import Outcome
from rmf.core.packet import PresetVerdict
from rmf.line import Inline, Line, load_line
from tests.driven_node import DrivenNode, node_in

SHOP = """
import os
import attrs
from rmf import Keep, Line

line = Line("shop", version={version})

@attrs.frozen
class Sale:
    item: str
    count: int

@line.on("sale/+", Sale)
def sale(world, packet):
    stock = world{stock}
    if packet.payload.count > stock:
        raise ValueError(f"only {{stock}} left")
    return {{f"stock/{{packet.payload.item}}": Keep(stock - packet.payload.count)}}

@line.on("stock/#")
def fill(world, packet):
    return {{packet.topic: Keep(packet.payload)}}

@line.on("count")
def count(world, packet):
    return {{"total": sum(value for _, value in world.scan("stock/")) / packet.payload}}

@line.on("hang")
def hang(world, packet):
    while world.get("stock/apple"):
        {pause}

@line.on("die")
def die(world, packet):
    world.get("stock/pear")
    os._exit(3)

@line.on("nan")
def nan(world, packet):
    return {{"x": float("nan")}}

@line.on("exit")
def leave(world, packet):
    raise SystemExit(4)

@line.on("temp/#")
def temp(world, packet):
    return {{packet.topic: packet.payload}}

@line.on_expired("temp/#")
def lost(world, cell):
    {lost}
"""

# What became of its packets: the letters, by what happened.
NO_STOCK, NO_KEY, NO_COUNT = "1.6.1", "1.6.2", "1.6.3"
HANG, DIE, NAN, EXIT, BY_ZERO, NOBODY, LATCH = (f"1.7.{slot}" for slot in range(7))
EXPIRY = "1.501.0"
APPLIED = "1.6.0"

_BRACKETS = '[f"stock/{packet.payload.item}"]'
_GET = '.get(f"stock/{packet.payload.item}", 99)'


def shop_file(path: Path, *, mended: bool = False, version: int = 1, **parts: str) -> str:
    """Write the line into a file; return what stands behind --line. Mended, it takes any item to be
    in stock."""
    parts = {
        "stock": _GET if mended else _BRACKETS,
        "pause": "pass",
        "lost": 'raise KeyError(world.get("temp/other", 7), cell.key)',
    } | parts
    path.write_text(SHOP.format(version=version, **parts))
    return f"{path}:line"


class Boxed:
    """Runs a line as a glove box does: what hangs or kills is bagged, and never ran here."""

    def __init__(self, line: Line) -> None:
        self._inline = Inline(line)

    def run(self, batch: Batch) -> Executed:
        reasons = {"hang": "handler_timeout", "die": "handler_died"}
        bags: list[Outcome] = []
        groups = []
        for group in batch.groups:
            verdicts = dict(group.verdicts)
            for at, row in enumerate(group.rows):
                reason = reasons.get(row[0])
                if reason is not None:
                    verdicts[at] = PresetVerdict(reason, "")
                    evidence = Evidence("", "as the box says", "")
                    bags.append(Outcome(group.first_slot + at, reason, "line", evidence))
            groups.append(attrs.evolve(group, verdicts=verdicts))
        executed = self._inline.run(attrs.evolve(batch, groups=groups))
        outcomes = sorted([*executed.outcomes, *bags], key=lambda bag: bag.slot)
        return attrs.evolve(executed, outcomes=outcomes)


@contextmanager
def shop_in(path: Path) -> Iterator[DrivenNode]:
    """A node in `path`/n1 that has run the shop of `path`/shop.py."""
    line = load_line(shop_file(path / "shop.py"))
    with node_in(path / "n1", line, Boxed(line)) as node:
        node.send("shop", ("stock/apple", 5), ("stock/pear", 2))
        node.send(
            "till",
            ("sale/1", {"item": "apple", "count": 2}),
            ("sale/1", {"item": "apple", "count": 4}),
            ("sale/1", {"item": "kiwi", "count": 1}),
            ("sale/1", {"item": "kiwi"}),
        )
        node.send(
            "till",
            ("hang", 1),
            ("die", 1),
            ("nan", 1),
            ("exit", 1),
            ("count", 0),
            ("nobody", 1),
            ("sale/+", 1),
        )
        node.send("till", ("temp/a", 1), ttl_ms=20)
        node.wait(50)
        node.send("till", ("sale/1", {"item": "apple", "count": 1}))
        yield node
