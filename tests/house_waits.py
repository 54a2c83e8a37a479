"""The house rule on waiting: nothing on the floor waits without a bound or a reason (R15, R16).

A wait is bounded where it stands inside a `with trio.move_on_after(…)` or one of its kind, in the
same function. Two kinds need no reason of their own: a task waits at a receiving end (`…_out`) for
its work, and a send into a door of the table ends, as the door's task takes what comes, or its
stand-in does (see children). Each other wait is listed below, with what ends it.
"""

import ast
from collections.abc import Iterator, Mapping, Sequence

from rmf.floor.doors import DOORS
from tests.syntax import Module, within

# Path, or `path:what is waited for` -> what ends the wait.
WAITS: Mapping[str, str] = {
    "rmf/floor/arbiter/arbiter_loop.py:loop.wait": "its own doors, and beats come to them",
    "rmf/floor/asking.py:door.send": "a door of the table; the reply is closed by a stand-in",
    "rmf/floor/boxes/audit_box.py": "the audit bounds each sample: AUDIT_S_MAX, DRY_RUN_S_MAX",
    "rmf/floor/boxes/box_keeper.py": "its own work; its box is killed after BOX_STUCK_S_MAX",
    "rmf/floor/data/catch_up.py:async with self._reading": "its reading thread: a disk that"
    " hangs holds up this task alone, and the stop's bound is outside of it",
    "rmf/floor/data/catch_up.py:async with file_turn(self._doors.file_turns)": "its turn: each"
    " gives it back, and a disk that hangs holds up these tasks alone",
    "rmf/floor/data/checkpoint_keeper.py:async with file_turn(doors.file_turns)": "the same",
    "rmf/floor/arbiter/core_runner.py:async with file_turn(self._ground.doors.file_turns)": "same;"
    " meanwhile there is no core",
    "rmf/floor/data/file_turns.py:self._given.turn.send": "the end of a turn",
    "rmf/floor/edge/connection.py": "its own doors, which others serve; the handshake's bound",
    "rmf/floor/edge/receiving.py": "the deadlines of the connection that receives",
    "rmf/floor/edge/reader.py:self._done.wait": "the end of the stream, or the connection's alarm",
    "rmf/floor/edge/reader.py:trio.lowlevel.wait_readable": "its own work: what clients send",
    "rmf/floor/displays/desk.py": "its own work; the desk does a job, and ends with the publisher",
    "rmf/floor/links/dialling.py": "the handshake's bound, in `dial`; then the link's",
    "rmf/floor/displays/feeder.py": "its connection's turn: what holds it sends within SEND_S_MAX",
    "rmf/floor/displays/logging_feeder.py": "the same",
    "rmf/floor/displays/snapshot_writer.py": (
        "pages: the connection writes each within SEND_S_MAX, or is gone"
    ),
    "rmf/floor/edge/intake_end.py:self._intake.send": "the arbiter's door: its connection stays"
    " behind the bound of the intake, and ends with its client",
    "rmf/floor/edge/outbox.py": "its own doors; a write takes SEND_S_MAX at most, a turn as long",
    "rmf/floor/displays/publisher.py:picture.take(news.publications, news.pin).wait": "the desk",
    "rmf/floor/displays/rounds.py": "what is due, its own work; a display waits as it watches",
    "rmf/floor/wheel.py:self.wait": "its own work: what is due",
    "rmf/floor/displays/published_world.py": "news: a display waits for them as long as it watches",
    "rmf/floor/edge/ingest.py:trio.sleep_forever": "the end of the port, which outlives accepting",
    "rmf/floor/data/ledger_keeper.py:trio.lowlevel.wait_readable": "reports of its own thread",
    "rmf/floor/links/letter_fetch.py:async with aclosing(dialled.stream)": "a close is quick",
    "rmf/floor/links/peer_connection.py": "the handshake's bound; then PEER_SILENCE_S_MAX",
    "rmf/floor/links/peer_writer.py": "the link is cut after PEER_SILENCE_S_MAX (see peer_link)",
    "rmf/floor/boxes/spare_box.py": "a box that starts, at most BOX_STARTS_MAX times, or is used",
    "rmf/floor/stopping.py:async for signals": "the life of the node",
}

_BOUNDS = {"move_on_after", "move_on_at", "fail_after", "fail_at"}
_WAITS = {"acquire", "receive", "receive_some", "send", "send_all", "sleep_forever", "wait"}
_WAITS |= {"wait_readable", "wait_writable"}
_SERVED = tuple(f".{door.name}.send" for door in DOORS)


def nothing_waits_without_a_bound_or_a_reason(
    modules: Sequence[Module], reasons: Mapping[str, str]
) -> list[str]:
    return [
        f"{module.path}:{line} waits for `{what}` without a bound: what ends that wait? Put it into"
        " `move_on_after`, or say it in WAITS (R15, R16)"
        for module in modules
        if within(module.name, ["rmf.floor"])
        for line, what in unbounded(module)
        if not {module.path, f"{module.path}:{what}"} & reasons.keys()
    ]


def unbounded(module: Module) -> list[tuple[int, str]]:
    """Return (line, what) of each wait that needs a reason."""
    return [
        (line, what)
        for line, what in _waits(module.tree, bounded=False)
        if not (what.removesuffix(".receive").endswith("_out") or f".{what}".endswith(_SERVED))
    ]


def _waits(node: ast.AST, *, bounded: bool) -> Iterator[tuple[int, str]]:
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
        bounded = False
    if isinstance(node, ast.With | ast.AsyncWith):
        bounded = bounded or any(_BOUNDS & _names(item.context_expr) for item in node.items)
    if not bounded:
        yield from _waits_of(node)
    for child in ast.iter_child_nodes(node):
        yield from _waits(child, bounded=bounded)


def _waits_of(node: ast.AST) -> Iterator[tuple[int, str]]:
    match node:
        case ast.Await(value=ast.Call(func=ast.Attribute(attr=attr) as waited)) if attr in _WAITS:
            yield node.lineno, ast.unparse(waited)
        case ast.AsyncFor(iter=waited):
            yield node.lineno, f"async for {ast.unparse(waited)}"
        case ast.AsyncWith(items=items):
            for item in items:
                if not _names(item.context_expr) & {"open_nursery", "listener"}:
                    yield node.lineno, f"async with {ast.unparse(item.context_expr)}"


def _names(node: ast.AST) -> set[str]:
    return {
        part.attr if isinstance(part, ast.Attribute) else part.id
        for part in ast.walk(node)
        if isinstance(part, ast.Name | ast.Attribute)
    }
