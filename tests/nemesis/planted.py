"""The faults that were found in the first floor (F1 to F15), each as one change to one function.

The nemesis has to find each of them; how many seeds it needs says `found.md`, and which ones it
cannot find, and why. While one is planted nothing else may run in this process.
"""

from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import trio

from rmf.core.admin_requests import AdminRequests
from rmf.core.bag import Evidence
from rmf.core.effects import Effect
from rmf.core.events import CheckpointEnded
from rmf.core.letters import edge_letter
from rmf.core.surroundings import Surroundings
from rmf.errors import ProtocolFault, StorageError
from rmf.floor import stand_ins, stopping, supervisor
from rmf.floor.arbiter.core_runner import CoreRunner
from rmf.floor.asking import ask
from rmf.floor.data import checkpoint_keeper, disk_watch
from rmf.floor.doors import Doors
from rmf.floor.edge import connection
from rmf.floor.items import EdgeLetter
from rmf.floor.latest import Latest
from rmf.floor.supervisor import Child, InProgress, Supervisor
from rmf.storage.directory import DataDirectory
from rmf.storage.drive import free_bytes
from rmf.storage.files import write_whole
from rmf.storage.ledger import LedgerWriter
from tests.nemesis import three
from tests.nemesis.seed import run
from tests.planting import Bug, Change, changed, registry

__all__ = ["AMONG_THREE", "PLANTED", "seeds_needed"]

PLANTED, bug = registry()
AMONG_THREE: set[str] = set()  # what no node shows that is alone


def bug_among_three(function: Bug) -> Bug:
    """Enter a bug that it takes three nodes to show."""
    AMONG_THREE.add(function.__name__)
    return bug(function)


def seeds_needed(name: str, most: int) -> int | None:
    """Return with which seed the bug shows, None if with none up to `most`."""
    live = three.run if name in AMONG_THREE else run
    with changed(PLANTED[name]()), TemporaryDirectory(prefix="nemesis-") as place:
        for seed in range(1, most + 1):
            if live(seed, Path(place) / str(seed)).faults:
                return seed
    return None


@bug
def f1_a_companion_is_not_supervised() -> list[Change]:
    """Whoever takes its name ends the node."""
    keep = Supervisor.keep

    async def raw(self: Supervisor, child: Child) -> None:
        if child.name == "companion":
            await child.run(InProgress())
        else:
            await keep(self, child)

    return [(Supervisor, "keep", raw)]


@bug_among_three
def p1_an_ack_waits_for_no_drive() -> list[Change]:
    """What was acked is gone when the power is."""

    def write(self: LedgerWriter, batch: bytes) -> None:
        write_whole(self._fd, batch, self._offset)

    return [(LedgerWriter, "_write", write)]


@bug
def f3_a_stop_has_no_bound() -> list[Change]:
    """It waits for as long as a task or a drive hangs."""

    def nothing(_seconds: float, _end: Callable[[int], object]) -> None:
        return

    return [(stopping, "_overdue", nothing)]


@bug_among_three
def f4_a_node_without_a_cluster_waits_for_a_letters_id() -> list[Change]:
    """A malformed frame is never answered, as no task stores letters yet."""

    async def bag(
        self: connection.ServerConnection, data: bytes, fault: ProtocolFault
    ) -> str | None:
        why = Evidence(fault.code, fault.text, "")
        letter = edge_letter("malformed", "edge", self._port.node, data, why, 0)
        return await ask(self._doors.letters, partial(EdgeLetter, letter))

    return [(connection.ServerConnection, "_bag", bag)]


@bug
def f5_a_core_that_is_read_again_begins_with_defaults() -> list[Change]:
    """So it takes packets in though the drive is full."""

    def around(self: CoreRunner, behind_bytes: int = 0, checkpoint_bytes: int = 0) -> Surroundings:
        del self
        return Surroundings(behind_bytes=behind_bytes, checkpoint_bytes=checkpoint_bytes)

    return [(CoreRunner, "_around", around)]


@bug
def f6_a_publisher_that_was_given_up_leaves_displays_without_a_word() -> list[Change]:
    """SUBSCRIBE gets nothing at all, not even END."""

    async def end(_item: Any, _why: str) -> None:
        await trio.sleep_forever()

    return [(stand_ins, "_end", end)]


@bug
def f7_a_checkpoint_that_failed_is_said_to_be_written() -> list[Change]:
    """An operator hears of an index all the same."""

    async def failed(doors: Doors, index: int, exc: StorageError) -> None:
        del exc
        await doors.events.send(CheckpointEnded(index, None))

    return [(checkpoint_keeper, "_failed", failed)]


@bug_among_three
def f9_a_strike_forgets_who_waits_for_another_leader() -> list[Change]:
    """The operator that ordered a transfer waits for ever."""

    def give_up(self: AdminRequests, _why: str) -> list[Effect]:
        self.transfers = []
        return []

    return [(AdminRequests, "give_up", give_up)]


@bug
def f10_a_refused_letter_fails_the_connection() -> list[Change]:
    """It waits for an id, and the door is closed before its eyes."""

    async def ask_as_before(door: Any, question: Callable[[Any], Any]) -> Any:
        reply, reply_out = trio.open_memory_channel[Any](1)
        await door.send(question(reply))
        return await reply_out.receive()

    return [(connection, "ask", ask_as_before)]


@bug
def f11_what_a_task_held_is_dropped_in_silence() -> list[Change]:
    """Where the DLQ takes nothing, neither a letter nor a line of the log says so."""

    def nothing(_task: str, _held: Any) -> None:
        return

    return [(supervisor, "_tell_of", nothing)]


@bug
def f12_a_door_of_one_asserts_that_it_is_empty() -> list[Change]:
    """What an ended core put there fails the next one."""

    def put(self: Latest[Any], item: Any) -> None:
        self._send.send_nowait(item)

    return [(Latest, "put", put)]


@bug
def f13_the_loop_itself_asks_the_drive() -> list[Change]:
    """A mount that hangs would hang the node."""

    async def found(directory: DataDirectory, _limiter: trio.CapacityLimiter) -> int | None:
        return free_bytes(directory.path)

    ask: Callable[..., Awaitable[int | None]] = found
    return [(disk_watch, "_ask", ask)]
