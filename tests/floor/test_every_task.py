"""Every task that a node starts: it fails and is back, it fails for good and something stands in
for it, it hangs and the node stops all the same (R15 to R18).

Which tasks there are is seen from what was started, not from what was declared.
"""

import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio

from rmf import limits
from rmf.core import messages as m
from rmf.core.entry import Member
from rmf.floor.children import CHILDREN, row_of
from rmf.floor.stopping import Stop
from rmf.storage.directory import DataDirectory
from rmf.storage.genesis_draft import write_draft
from tests.floor.factory import Factory, factory
from tests.floor.peers import CLUSTER
from tests.floor.saboteur import IN_HAND, Saboteur, Started
from tests.floor.wire import PATIENCE_S, packet, until

pytestmark = pytest.mark.slow

NAMES = [row.name for row in CHILDREN]
AT_ONCE = {"founding"}  # it has done its work before a test could say a word
STOP_S = 0.3


async def stays(_address: str) -> None:
    await trio.sleep_forever()


def of_two(data: Path) -> dict[str, str]:
    """Make the directory of a member that links another one; return the settings it takes."""
    directory = DataDirectory.open(data, node="n1", found=False, first_segment_bytes=4 * limits.KIB)
    directory.found(CLUSTER)
    members = (Member("n1", directory.incarnation), Member("n2", b"2" * 16))
    write_draft(data, CLUSTER, members)
    directory.close()
    return {"peers": "n1=127.0.0.1:1,n2=127.0.0.1:2"}


@asynccontextmanager
async def a_node_with(
    name: str, data: Path, saboteur: Saboteur, stop: Stop | None = None
) -> AsyncIterator[Factory]:
    """Run a node that has this task among others."""
    settings = {"http": "127.0.0.1:0", "peer_listen": "127.0.0.1:0"}
    if name == "peer_link":
        settings |= of_two(data)
    if name in {"glove_box", "audit", "audit_box"}:
        settings |= {"glovebox": "process", "audit": "on"}
    if name in AT_ONCE:
        saboteur.now.set()
    made = {"supervisor": saboteur.supervisor, "stop": stop}
    async with factory(data, stays, **made, **settings) as node:  # type: ignore[arg-type]
        yield node


async def works(node: Factory, name: str) -> None:
    """What a node is for: packets, or its status where it has no majority."""
    probe = await node.producer_again(f"probe-{name}") if name != "peer_link" else None
    if probe is not None:
        await probe.send(packet(1, "count"))
        assert (await probe.outcomes(1))[0].outcome == m.APPLIED
    await node.status_when(lambda found: found["strike"] is None or name == "peer_link")


@pytest.mark.parametrize("name", NAMES)
async def test_a_task_that_fails_is_back_and_what_it_held_is_sealed(
    name: str, tmp_path: Path
) -> None:
    saboteur = Saboteur(name, fails=1)
    async with a_node_with(name, tmp_path, saboteur) as node:
        saboteur.now.set()
        (letter,) = await node.letters_when(bool)
        assert (letter.reason, letter.packet) == ("task_failed", IN_HAND)
        assert saboteur.begun == []
        await works(node, name)


@pytest.mark.parametrize("name", NAMES)
async def test_a_task_that_fails_for_good_has_a_stand_in_and_the_node_answers(
    name: str, tmp_path: Path
) -> None:
    row = row_of(name)
    fails = row.restarts[0] + 1
    saboteur = Saboteur(name, fails=fails)
    async with a_node_with(name, tmp_path, saboteur) as node:
        saboteur.now.set()
        await until(lambda: bool(node.said("given_up")))
        assert saboteur.failed == fails
        if not row.is_vital:
            await works(node, name)
            return
        status = await node.status_when(
            lambda found: (found["strike"] or {}).get("kind") == "state"
        )
        assert f"task {name}" in status["strike"]["why"]
        assert f"failed {fails} times" in status["strike"]["why"]
        with trio.fail_after(PATIENCE_S):
            assert await node.stop() == 0
    assert saboteur.begun or row.stand_in.startswith("none")


@pytest.mark.parametrize("name", NAMES)
async def test_a_task_that_hangs_does_not_hold_up_the_end(name: str, tmp_path: Path) -> None:
    """Neither a nursery nor a thread of it gives way: the bound of the stop is outside (R18)."""
    codes: list[int] = []
    saboteur = Saboteur(name, hangs=True)
    token = trio.lowlevel.current_trio_token()

    def end(code: int) -> None:
        codes.append(code)
        token.run_sync_soon(saboteur.released.set)

    async with a_node_with(name, tmp_path, saboteur, Stop(STOP_S, end)) as node:
        saboteur.now.set()
        await saboteur.hung.wait()
        os.kill(os.getpid(), signal.SIGTERM)
        await until(lambda: bool(codes))
        assert codes == [1]
        assert node.said("stop_overdue")


async def test_what_is_started_is_what_the_table_says(tmp_path: Path) -> None:
    """And nothing is started past the supervisor but what hears signals."""
    past = Started()
    trio.lowlevel.add_instrument(past)
    saboteur = Saboteur("none of them")
    for name in ("audit_box", "peer_link"):
        async with a_node_with(name, tmp_path / name, saboteur) as node:
            await works(node, name)
            await until(lambda x=name: x in saboteur.started)  # type: ignore[misc]
    trio.lowlevel.remove_instrument(past)
    assert saboteur.started == set(NAMES)
    assert past.bare == {"keep", "obey"}
