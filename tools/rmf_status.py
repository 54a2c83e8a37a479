"""rmf-status: what each node says of itself (INTERFACES).

It asks every address of `-c` for its status and decides how that is shown: a line of JSON a node
for scripts, a table for a person. A node that cannot be asked has its line too, with the error in
place of a status; that is a failure only if no node answers. Neither trio nor attrs is imported,
rich only for a terminal.
"""

import argparse
import sys
import time
from collections.abc import Sequence
from typing import Any, NamedTuple

from rmf import limits
from rmf.client.blocking import Address, connect
from rmf.client.command import (
    EXIT_DONE,
    EXIT_TIME_OUT,
    add_connect_option,
    argument,
    command_parser,
    exit_code_of,
    notice,
    parse_duration_ms,
    run_command,
)
from rmf.client.render import json_line
from rmf.errors import ConnectionFailed, ProtocolFault, Refused
from tools.status_words import member_rows, node_rows, remarks
from tools.text_table import aligned

__all__ = ["main"]

_EXAMPLES = """\
examples:
  rmf-status                               the node on this computer
  rmf-status -c a:7410,b:7410 --watch      two nodes, asked every second
  rmf-status -o json | jq .dlq.letters     for scripts: one line a node

A node that gives no answer is {"node": null, "address": ..., "error": ...} in JSON.

exit codes: 0 a node answered; if none did: 4 cannot connect, 5 refused, 6 time-out;
2 usage, 130 interrupted
"""


class Answer(NamedTuple):
    """What one address said: its status, or why there is none and the exit code for that."""

    address: str
    status: dict[str, Any] | None
    why: str
    code: int


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; return its exit code."""
    args = _parser().parse_args(argv)
    return run_command("rmf-status", lambda: _run(args))


def _parser() -> argparse.ArgumentParser:
    parser = command_parser("rmf-status", "Show what each node says of itself.", _EXAMPLES)
    add = parser.add_argument
    add_connect_option(parser)
    add("-o", "--output", choices=("table", "json"),
        help="default: table on a terminal, else json")  # fmt: skip
    add("--watch", action="store_true", help="ask again every second, until interrupted")
    add("-W", "--wait", type=argument(parse_duration_ms), metavar="TIMEOUT",
        help=f"how long a node has for its answer (default {limits.GET_S_MAX:g}s)")  # fmt: skip
    return parser


def _run(args: argparse.Namespace) -> int:
    on_terminal = sys.stdout.isatty()
    name = args.output or ("table" if on_terminal else "json")
    wait_s = args.wait / 1000 if args.wait else limits.GET_S_MAX

    def ask_all() -> list[Answer]:
        return [_ask(address, wait_s) for address in args.connect]

    if name == "table" and on_terminal:
        from tools.status_table import show_on_terminal  # rich: only where it is seen

        watch_s = limits.STATUS_WATCH_S if args.watch else None
        answers = show_on_terminal(ask_all, _tables, _remarks, watch_s)
        return _code_of(answers)
    show = _show_json if name == "json" else _show_text
    answers = ask_all()
    show(answers)
    while args.watch:
        time.sleep(limits.STATUS_WATCH_S)
        answers = ask_all()
        show(answers)
    return _code_of(answers)


def _ask(address: Address, wait_s: float) -> Answer:
    """Ask one node; whatever goes wrong there is a value here, so that the others are asked too."""
    name = f"{address[0]}:{address[1]}"
    try:
        timeout_s = min(wait_s, limits.CONNECT_S_MAX)
        with connect([address], agent="rmf-status", timeout_s=timeout_s) as connection:
            bodies = list(connection.query("status", {}, wait_s))
    except (ConnectionFailed, ProtocolFault, Refused) as exc:
        return Answer(name, None, str(exc), exit_code_of(exc))
    except TimeoutError as exc:
        return Answer(name, None, str(exc), EXIT_TIME_OUT)
    if len(bodies) != 1:
        fault = ProtocolFault("wrong_shape", f"{name}: a status is one ITEM, found {len(bodies)}")
        return Answer(name, None, str(fault), exit_code_of(fault))
    return Answer(name, _with_hex_digest(bodies[0]), "", EXIT_DONE)


def _with_hex_digest(status: dict[str, Any]) -> dict[str, Any]:
    """Return the status as scripts get it: fingerprints and ids in hex, not as `$bytes`."""
    return {
        key: value.hex() if key in {"digest", "cluster"} and type(value) is bytes else value
        for key, value in status.items()
    }


def _code_of(answers: Sequence[Answer]) -> int:
    if any(answer.code == EXIT_DONE for answer in answers):
        return EXIT_DONE
    return answers[0].code


def _show_json(answers: Sequence[Answer]) -> None:
    for answer in answers:
        if answer.status is not None:
            _write(json_line(answer.status))
        else:
            _write(json_line({"node": None, "address": answer.address, "error": answer.why}))
            notice(f"rmf-status: {answer.why}")


def _show_text(answers: Sequence[Answer]) -> None:
    for i, table in enumerate(_tables(answers)):
        for line in ["", *aligned(table)] if i else aligned(table):
            _write(line)
    for remark in _remarks(answers):
        notice(remark)


def _tables(answers: Sequence[Answer]) -> list[list[list[str]]]:
    """Return the table of the nodes, and that of the members where a node names several."""
    tables = [node_rows((answer.address, answer.status) for answer in answers)]
    members = member_rows([answer.status for answer in answers if answer.status is not None])
    return [*tables, members] if members else tables


def _remarks(answers: Sequence[Answer]) -> list[str]:
    said = [
        remark
        for answer in answers
        if answer.status is not None
        for remark in remarks(answer.status)
    ]
    return said + [f"rmf-status: {answer.why}" for answer in answers if answer.status is None]


def _write(line: str) -> None:
    sys.stdout.buffer.write(line.encode() + b"\n")
    sys.stdout.buffer.flush()


if __name__ == "__main__":
    sys.exit(main())
