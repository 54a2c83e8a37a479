"""The supervision tree of a node, as a table (R15): every task that a node starts stands here.

A row says how often the task may be restarted, in which period, whether the node strikes once it is
given up (R17), and what stands in for it then: in words, and as the function that does it. Where
the stand-in needs more than the doors, the maker of the child brings it along.

Restarts are of two kinds, as in OTP: a *permanent* child runs as long as the node does, and that it
returns is a failure, too; a *transient* one may have done its work. All are restarted one by one:
what a task needs of another comes through doors, which outlive both.
"""

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, Literal, NamedTuple

from rmf import limits
from rmf.floor import stand_ins
from rmf.floor.doors import Doors
from rmf.floor.supervisor import Child, InProgress, StandIn

__all__ = ["CHILDREN", "Row", "child_of", "row_of"]

Kind = Literal["permanent", "transient"]
_EDGE = (limits.EDGE_RESTARTS_MAX, limits.EDGE_RESTARTS_PERIOD_S)
_BOX = (limits.BOX_TASK_RESTARTS_MAX, limits.BOX_TASK_RESTARTS_PERIOD_S)
_ARBITER = (limits.ARBITER_RESTARTS_MAX, limits.ARBITER_RESTARTS_PERIOD_S)

_AGAIN = "itself, tried again every STAND_IN_DELAY_S: a port must not be lost for good"


class Row(NamedTuple):
    """A row of the table. `serve` gets the doors and why the child was given up; None: the
    maker of the child brings its stand-in, or there is none, as `stand_in` says."""

    name: str
    kind: Kind
    restarts: tuple[int, float]  # at most so many within so many seconds
    is_vital: bool
    stand_in: str
    serve: Callable[[Doors, str], Awaitable[None]] | None = None


CHILDREN = (
    Row(
        "arbiter",
        "permanent",
        _ARBITER,
        True,
        "a core on strike: it answers status, GET and orders, takes nothing in (see core_runner)",
    ),
    Row(
        "publisher",
        "permanent",
        _EDGE,
        True,
        "each SUBSCRIBE is answered by END, news are dropped",
        stand_ins.refuse_watches,
    ),
    Row(
        "beats",
        "permanent",
        _EDGE,
        True,
        "a Beat comes every BEAT_S, whatever is due",
        stand_ins.beat_steadily,
    ),
    Row(
        "glove_box",
        "permanent",
        _BOX,
        True,  # a leader without a box commits nothing: let another one lead
        "batches are dropped: the reign that waits for them is over",
        stand_ins.drop_batches,
    ),
    Row(
        "peering",
        "permanent",
        _EDGE,
        True,
        "no node is let in, no question about peers is answered",
        stand_ins.refuse_peers,
    ),
    Row(
        "peer_link",
        "permanent",
        _EDGE,
        True,
        "none: what is for this peer is dropped, as while a link is down",
    ),
    Row("peer_port", "permanent", _EDGE, True, _AGAIN),
    Row("ingest", "permanent", _EDGE, True, _AGAIN),
    Row("http", "permanent", _EDGE, False, _AGAIN),
    Row(
        "founding",
        "transient",
        _EDGE,
        True,
        "letters are refused, as there will be no store; the core goes on to answer",
        stand_ins.refuse_letters,
    ),
    Row(
        "dlq_keeper",
        "transient",
        _EDGE,
        True,
        "letters are not stored, those who wait for an id learn that there is none; what is of the"
        " line is in the ledger, and stored by the next start",
    ),
    Row(
        "file_turns",
        "permanent",
        _EDGE,
        True,
        "no turn is given: no file of the ledger is moved any more",
        stand_ins.give_no_turn,
    ),
    Row(
        "checkpoint_keeper",
        "permanent",
        _EDGE,
        True,
        "each wish is answered with why there is no Checkpoint",
        stand_ins.refuse_checkpoints,
    ),
    Row("disk_watch", "permanent", _EDGE, True, "none: no door leads to it; the last mark stands"),
    Row(
        "catch_up",
        "permanent",
        _EDGE,
        True,
        "wishes are dropped; peers are served by other nodes",
        stand_ins.drop_wishes,
    ),
    Row(
        "letter_fetch",
        "permanent",
        _EDGE,
        False,
        "none: the DLQ says of itself that it is not complete, and the next start goes on",
    ),
    Row(
        "dry_run",
        "permanent",
        _EDGE,
        False,
        "each question is answered with why there is no outcome",
        stand_ins.refuse_dry_runs,
    ),
    Row(
        "audit",
        "transient",  # it ends with the letters door
        _EDGE,
        False,
        "samples are left out",
        stand_ins.leave_audits_out,
    ),
    Row("audit_box", "permanent", _EDGE, False, "none: audits say that no box can be had"),
    Row("companion", "transient", _EDGE, False, "none: it is a client of the node's port"),
)

_ROWS = {row.name: row for row in CHILDREN}


def row_of(name: str) -> Row:
    """Return the row of a child; one of several has a name of its own behind a dot."""
    return _ROWS[name.partition(".")[0]]


def child_of(
    name: str,
    run: Callable[[InProgress], Awaitable[Any]],
    doors: Doors,
    *,
    stand_in: StandIn | None = None,
) -> Child:
    """Return the child of this name, with the policy of its row; `stand_in`, where the row has
    none."""
    row = row_of(name)
    if row.serve is not None:
        assert stand_in is None
        stand_in = partial(_serve, row.serve, doors)
    elif row.stand_in is _AGAIN:
        stand_in = partial(_again, run)
    restarts_max, period_s = row.restarts
    is_permanent = row.kind == "permanent"
    return Child(name, run, restarts_max, period_s, row.is_vital, is_permanent, stand_in)


async def _serve(
    serve: Callable[[Doors, str], Awaitable[None]], doors: Doors, why: str, _in_progress: InProgress
) -> None:
    await serve(doors, why)


async def _again(
    run: Callable[[InProgress], Awaitable[Any]], _why: str, in_progress: InProgress
) -> None:
    await run(in_progress)
