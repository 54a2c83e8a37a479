"""`rmf-admin backup` and `recover`: a factory put by, and one that goes on with what is left.

A backup is taken from a node that runs, over its own connection, and verified here before it has
its name. To recover is done to the data directory of a node that does not run, and gives something
up: it says what, and does nothing without being told twice.
"""

import argparse
import time
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rmf import __version__, limits
from rmf.client.blocking import BlockingConnection, connect
from rmf.client.command import notice
from rmf.errors import ProtocolFault, RmfError, UsageError

__all__ = ["back_up", "recover"]

_AGENT = "rmf-admin"


def back_up(args: argparse.Namespace) -> dict[str, Any]:
    """Take a backup of the node that is named by its address; return what it holds."""
    out: Path = args.out
    parts = out.with_name(out.name + ".part")
    patience_s = args.wait / 1000 if args.wait else limits.ADMIN_PATIENCE_S
    try:
        parts.mkdir(mode=0o700)
    except FileExistsError:
        raise UsageError(
            f"{parts} is there: of a backup that is being taken, or was broken off. Remove it, or"
            f" name another file"
        ) from None
    except OSError as exc:
        raise RmfError(f"{parts} cannot be made: {exc.strerror}") from exc
    try:
        with connect(args.connect, agent=_AGENT, timeout_s=limits.CONNECT_S_MAX) as connection:
            facts = _take(connection, parts, patience_s)
        return _pack(parts, out, facts)
    except OSError as exc:
        raise RmfError(f"{out} cannot be written: {exc}") from exc
    finally:
        for path in parts.iterdir():
            path.unlink()
        parts.rmdir()


def _take(connection: BlockingConnection, parts: Path, patience_s: float) -> dict[str, Any]:
    """Have a Checkpoint written, and take the parts of the backup; return its facts."""
    (written,) = list(connection.query("admin.checkpoint", {}, patience_s))
    bodies = connection.query("backup", {"index": written["index"]}, patience_s)
    facts = next(bodies)
    names = [str(name) for name in facts.pop("parts")]
    for name in names:
        if Path(name).name != name:
            raise ProtocolFault("wrong_shape", f"the node names a part {name!r}")
        _write(parts / name, bodies)
    return facts


def _write(path: Path, bodies: Iterator[dict[str, Any]]) -> None:
    """Write the pieces of one part, which come in order."""
    size, total = 0, 1
    with path.open("xb") as file:
        while size < total:
            body = next(bodies, {})
            if (body.get("part"), body.get("offset")) != (path.name, size) or not body.get("data"):
                raise ProtocolFault("wrong_shape", f"part {path.name}: expected its byte {size}")
            file.write(body["data"])
            size, total = size + len(body["data"]), body["total"]


def _pack(parts: Path, out: Path, facts: dict[str, Any]) -> dict[str, Any]:
    from rmf.storage.backup import pack

    told = {
        "release": __version__,
        "taken_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "node": facts["node"],
        "cluster": facts["cluster"].hex(),
        **{name: facts[name] for name in ("index", "term", "tick", "period_ns")},
        "digest": facts["digest"].hex(),
        "members": [member[0] for member in facts["members"]],
    }
    pack(parts, out, told)
    return {"backup": str(out), **told, "bytes": out.stat().st_size, "verified": True}


def recover(args: argparse.Namespace) -> dict[str, Any]:
    """Make the data directory of a lost cluster's survivor a cluster of its own; return what came
    of it. Without --i-accept-loss nothing is changed."""
    from rmf.storage import recover as survivor
    from rmf.storage.directory import DataDirectory, inspect

    path: Path = args.directory
    node = inspect(path).node
    if node is None:
        raise UsageError(f"{path} does not say whose it is: expected the data directory of a node")
    with closing(DataDirectory.open(path, node=node, create=False, found=False)) as directory:
        last = survivor.look(directory)
        old = directory.cluster
        for line in _losses(directory.path, node, old, last):
            notice(f"rmf-admin: {line}")
        if not args.i_accept_loss:
            raise UsageError(
                f"recover {path}: nothing was changed. If the majority is lost for good, say so:"
                f" add --i-accept-loss"
            )
        new = survivor.go_on_alone(directory, last)
    return {
        "node": node,
        "old_cluster": old.hex(),
        "cluster": new.cluster.hex(),
        "index": new.index,
        "tick": new.tick,
        "cells": len(last.state.world),
        "kept": str(path / "before-refounding"),
    }


def _losses(path: Path, node: str, cluster: bytes, last: Any) -> Iterator[str]:
    """Say what is given up."""
    state = last.state
    others = [member.name for member in state.members if member.name != node]
    stamped = ""
    if last.wall_ns:
        age_s = max(0.0, time.time() - last.wall_ns / 1e9)
        stamped = f", stamped {datetime.fromtimestamp(last.wall_ns / 1e9, UTC):%Y-%m-%d %H:%M:%S}Z"
        stamped += f" ({age_s:.0f} s ago by this clock)"
    yield (
        f"{path} is of node {node}, cluster {cluster.hex()}, with {', '.join(others) or 'no other'}"
    )
    yield f"its ledger ends at Entry {last.base.index}, tick {state.tick}{stamped}"
    yield (
        "LOST: every packet that was acked after that, and that only the disks of"
        f" {', '.join(others) or 'others'} hold"
    )
    doubtful = last.base.index - last.commit
    if doubtful > 0:
        yield (
            f"IN DOUBT: the last {doubtful} Entries are not known to be committed here; they are"
            f" kept, and so count as acked"
        )
    yield (
        "a NEW cluster is made, of this node alone: never start the others' old directories again"
        " beside it; wipe them and let them in with `rmf-admin add`"
    )
    yield "clients that were connected before are refused (wrong_cluster) until they are restarted"
