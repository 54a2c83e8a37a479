"""rmf-dlq debug ID: a letter's handler once more, on the World as it was, under a debugger (R40).

Decides what is run where: on a terminal the handler runs in this process and pdb opens at the
raise; with --no-pdb or -o it runs in a child process, and what it did is held against the letter.
It needs the data directory (a copy on a laptop is enough) and the line, and no node.

Exit: 0 the same failure as in the letter, 3 another one or none any more, 1 there is nothing to run
(an edge or latch letter) or the history is not there, 2 usage.
"""

import argparse
import bdb
import contextlib
import pdb  # noqa: T100 a debugger is what this is
import re
import sys
from types import TracebackType
from typing import Any

import cbor2

from rmf.client import opened_letters
from rmf.client.command import EXIT_BAGGED, EXIT_DONE, notice
from rmf.client.render import json_block, json_line
from rmf.core.bag import Evidence, evidence_of
from rmf.core.outcome import Outcome
from rmf.errors import UsageError
from rmf.line.call_handler import Call, NoHandler, call_of
from rmf.line.cell_values import ResultInvalid
from rmf.line.differences import is_alike
from rmf.line.line import Line
from rmf.line.load import load_line
from rmf.line.payload import PayloadInvalid
from rmf.line.replay_slot import Scene
from rmf.line.run_in_fork import Ran, run_apart
from tools.letter_scene import id_of, scenes, stamp_of

__all__ = ["debug", "is_same_failure", "line_for"]

_RISK = (
    "this handler was bagged as {reason}: nothing was raised. It will start at its first line, in"
    " this very process: it may hang it, kill it, or fill this computer's memory."
)


def debug(args: argparse.Namespace) -> int:
    """Run the command; return its exit code."""
    if args.data is None:
        raise UsageError(
            "debug rebuilds the World from a ledger: name it with --data DIR, a copy will do"
        )
    with contextlib.redirect_stdout(sys.stderr):  # what a user's line prints is no data of ours
        stamp = stamp_of(args.letter, args.data)
        (scene,) = scenes(args.data, [stamp])
        line = line_for(args.line, scene)
    if args.no_pdb or args.output is not None:
        return _reported(scene, line, args)
    return _under_pdb(scene, line, args)


def line_for(spec: str | None, scene: Scene) -> Line:
    """Return the line that was named; say what follows if it is another than the ledger's."""
    ledger = scene.line
    if spec is None and ledger.name != "board":
        raise UsageError(
            f"the letter is of the line {ledger.name!r} version {ledger.version}: name it with"
            f" --line FILE.py:NAME or package.module:NAME"
        )
    line = load_line(spec)
    if (line.name, line.version) != ledger[:2]:
        notice(
            f"rmf-dlq: the letter is of line {ledger.name!r} version {ledger.version}; this runs"
            f" {line.name!r} version {line.version}"
        )
    elif line.digest != ledger.digest:
        notice("rmf-dlq: this line has another source than the one that failed, under its version")
    return line


# --- Without a debugger -----------------------------------------------------------------------


def _reported(scene: Scene, line: Line, args: argparse.Namespace) -> int:
    ran = run_apart(line, scene.batch)
    same = is_same_failure(scene.bag, ran.bag)
    if args.output == "table" or (args.output is None and sys.stdout.isatty()):
        print("\n".join(_told(scene, ran, same=same)))
    else:
        render = json_block if args.output == "json" else json_line
        print(render(_facts(scene, line, ran, same=same)))
    return EXIT_DONE if same else EXIT_BAGGED


def is_same_failure(then: Outcome | None, now: Outcome | None) -> bool:
    """Whether a slot failed, or not, as it did before: reason, type, message and the function that
    raised. Numbers of lines and paths are another machine's, addresses another process's."""
    if not is_alike(then, now):
        return False
    if then is None or now is None or not then.error.type:
        return True  # what RMF words itself has numbers in it that may differ
    return _sans_address(then.error.message) == _sans_address(now.error.message)


def _sans_address(text: str) -> str:
    return _ADDRESS.sub("0x…", text)


_ADDRESS = re.compile(r"\b0x[0-9a-f]{6,16}\b")


def _facts(scene: Scene, line: Line, ran: Ran, *, same: bool) -> dict[str, Any]:
    return {
        "letter": id_of(scene.stamp),
        "same": same,
        "fails": ran.bag is not None,
        "then": _outcome(scene.bag),
        "now": _outcome(ran.bag),
        "changes": {key: _value(value) for _, key, value, _ in ran.changes},
        "reads": ran.keys,
        "scans": ran.scanned,
        "topic": scene.topic,
        "producer": scene.producer,
        "seq": scene.seq,
        "line": {"name": line.name, "version": line.version, "digest": line.digest.hex()},
        "ledger_line": {**scene.line._asdict(), "digest": scene.line.digest.hex()},
    }


def _outcome(bag: Outcome | None) -> dict[str, Any] | None:
    if bag is None:
        return None
    texts = ("type", "message", "traceback")
    return {"reason": bag.reason, "error": dict(zip(texts, bag.error[:3], strict=True))}


def _value(encoded: bytes | None) -> Any:
    return {"$removed": True} if encoded is None else cbor2.loads(encoded)


def _told(scene: Scene, ran: Ran, *, same: bool) -> list[str]:
    told = [_verdict(ran.bag, same=same)]
    told.append(f"  then     {_worded(scene.bag)}")
    told.append(f"  now      {_worded(ran.bag)}")
    told.append(f"  reads    {opened_letters.plain(', '.join(ran.keys) or '-', 400)}")
    told += [f"  changes  {opened_letters.plain(key)}" for _, key, _, _ in ran.changes]
    if ran.bag is not None:
        told += map(opened_letters.plain, ran.bag.error.traceback.splitlines())
    return told


def _verdict(now: Outcome | None, *, same: bool) -> str:
    if now is None:
        return "it did not fail, and does not fail" if same else "it does not fail any more"
    return "it fails in the same way" if same else "it fails in another way"


def _worded(bag: Outcome | None) -> str:
    if bag is None:
        return "applied"
    error = f"{bag.error.type}: {bag.error.message}" if bag.error.type else bag.error.message
    return opened_letters.plain(f"{bag.reason}: {error}")


# --- Under the debugger -----------------------------------------------------------------------


def _under_pdb(scene: Scene, line: Line, args: argparse.Namespace) -> int:
    _introduce(scene)
    try:
        call = call_of(line, scene.batch)
    except (NoHandler, PayloadInvalid) as exc:
        reason = "no_handler" if isinstance(exc, NoHandler) else "payload_invalid"
        notice(f"rmf-dlq: {reason}: {exc}; no handler runs, so there is no place to stop at")
        return _code(scene, Outcome(scene.stamp.slot, reason, "line", Evidence("", str(exc), "")))
    if scene.is_poison or args.step:
        return _step_through(scene, call, risky=scene.is_poison, sure=args.yes)
    try:
        result = call.handler.function(call.world, call.argument)
    except BaseException as exc:  # noqa: BLE001, ASYNC103 whatever it raises is what we are here for
        # Not async: no cancellation comes here. Our own frame is no part of the failure.
        return _post_mortem(scene, exc, _behind(exc.__traceback__))  # noqa: ASYNC104
    return _returned(scene, line, call, result)


def _introduce(scene: Scene) -> None:
    term, tick, slot = scene.stamp
    what = (
        f"the expiry of {scene.topic}" if scene.seq is None else f"seq {scene.seq}, {scene.topic}"
    )
    notice(
        f"rmf-dlq: letter {id_of(scene.stamp)}: {opened_letters.plain(what)}, from"
        f" {opened_letters.plain(scene.producer)}; the World is that of term {term}, tick {tick},"
        f" before slot {slot}\n  then     {_worded(scene.bag)}"
    )


def _behind(traceback: TracebackType | None) -> TracebackType | None:
    return traceback.tb_next if traceback is not None else None


def _post_mortem(scene: Scene, exc: BaseException, traceback: TracebackType | None) -> int:
    evidence = evidence_of(exc.with_traceback(traceback))
    bag = Outcome(scene.stamp.slot, "handler_error", "line", evidence)
    notice(f"  now      {_worded(bag)}")
    if traceback is None:  # a handler written in C has no frame
        notice("rmf-dlq: it was raised where there is no Python frame to stop at")
    else:
        pdb.post_mortem(traceback)
    return _code(scene, bag)


def _returned(scene: Scene, line: Line, call: Call, result: Any) -> int:
    try:
        changes = call.changes(result)
    except ResultInvalid as exc:
        bag = Outcome(scene.stamp.slot, "result_invalid", "line", evidence_of(exc))
        notice(f"  now      {_worded(bag)}")
        notice("rmf-dlq: nothing was raised in the handler; it starts at its first line")
        _step_through(scene, call_of(line, scene.batch), risky=False, sure=True)
        return _code(scene, bag)
    notice(
        f"  now      applied: it changes {opened_letters.plain(', '.join(changes) or 'nothing')}"
    )
    notice(f"rmf-dlq: {_verdict(None, same=scene.bag is None)}")
    return _code(scene, None)


def _step_through(scene: Scene, call: Call, *, risky: bool, sure: bool) -> int:
    """Start at the handler's first line. Raises UsageError for a risk that the user did not
    take."""
    if risky and scene.bag is not None:
        notice(f"rmf-dlq: {_RISK.format(reason=scene.bag.reason)}")
        if not sure and not _agreed():
            raise UsageError(
                "nothing was run. --yes runs it here; --no-pdb runs it in a child process, with"
                " limits, and says what happened"
            )
    try:
        pdb.runcall(call.handler.function, call.world, call.argument)
    except bdb.BdbQuit:
        notice("rmf-dlq: left before it ended")
    except BaseException as exc:  # noqa: BLE001, ASYNC103 as above
        return _post_mortem(scene, exc, exc.__traceback__)  # noqa: ASYNC104
    return EXIT_BAGGED


def _agreed() -> bool:
    if not sys.stdin.isatty():
        return False
    sys.stderr.write("Run it? [y/N] ")
    sys.stderr.flush()
    return sys.stdin.readline().strip().lower() in {"y", "yes"}


def _code(scene: Scene, now: Outcome | None) -> int:
    return EXIT_DONE if is_same_failure(scene.bag, now) else EXIT_BAGGED
