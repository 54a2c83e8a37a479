"""A node at work while something bad comes in: nobody else may notice, nothing may be lost."""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import cbor2

from rmf.core import messages as m
from rmf.core.bag import Letter
from tests.floor.factory import Factory, bystander, factory
from tests.floor.wire import Wire, framed

NESTED_DEEP = b"\x81" * 10_000 + b"\x00"

NESTED_DEEP = b"\x81" * 10_000 + b"\x00"


@asynccontextmanager
async def node_at_work(tmp_path: Path) -> AsyncIterator[tuple[Factory, Wire]]:
    """A node, a producer `probe` for the test, and a bystander who must not notice. At the end the
    books balance (R34)."""
    async with factory(tmp_path / "data") as node:
        probe = await node.producer("probe")
        async with bystander(node):
            yield node, probe
        packets = (await node.status_when(lambda _: True))["packets"]
        assert packets["latched"] == packets["applied"] + packets["bagged"]


@contextmanager
def about(case: Any) -> Iterator[None]:
    """Name the case if it fails."""
    try:
        yield
    except BaseException as exc:
        exc.add_note(f"the case: {case!r}")
        raise


async def lives(wire: Wire) -> None:
    """The connection goes on: a good packet is applied."""
    assert [run.outcome for run in await wire.produce("cell/alive")] == [m.APPLIED]


async def refused(node: Factory, wire: Wire, body: bytes, code: str) -> Letter:
    """Send a frame; it must be refused by name, and its bytes be in the DLQ."""
    await wire.say_bytes(framed(body))
    error = await wire.expect(m.Error)
    assert error.code == code, error
    (letter,) = [x for x in node.letters() if x.id == error.letter]
    assert (letter.reason, letter.packet, letter.producer) == ("malformed", body, "probe")
    return letter


async def bagged(node: Factory, wire: Wire, row: list[Any], *reasons: str) -> Letter:
    """Send a packet; it must be bagged for one of the reasons, and its bytes be in the DLQ."""
    wire.last_seq += 1
    await wire.say(m.Send([row]))
    (run,) = await wire.outcomes(1)
    assert (run.outcome, run.duplicate) == (m.BAGGED, False), run
    assert run.reason in reasons
    letters = await node.letters_when(lambda found: any(x.id == run.letter for x in found))
    (letter,) = [x for x in letters if x.id == run.letter]
    assert (letter.reason, letter.packet) == (run.reason, cbor2.dumps(row))
    assert letter.id == f"{run.term}.{run.tick}.{run.slot}"
    return letter
