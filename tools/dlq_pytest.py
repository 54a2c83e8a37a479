"""rmf-dlq export … --as pytest: letters as a test file that reproduces their failures (R40).

Decides what a test has to hold: the packet's bytes, its Stamp, the cells that the handler read, as
they were; found by running each letter once more, in a child process. The file needs RMF and the
line and nothing else; it is text that ruff leaves as it is.
"""

import argparse
import textwrap
from collections.abc import Iterable, Iterator
from pathlib import Path

from rmf import limits
from rmf.client.command import EXIT_DONE, notice
from rmf.client.opened_letters import plain
from rmf.client.render import json_line
from rmf.core.effects import Batch
from rmf.core.packet import PAYLOAD, Stamp
from rmf.core.profile import decode
from rmf.core.world import Cell
from rmf.errors import ProtocolFault, RmfError, UsageError
from rmf.line.replay_slot import UNLIMITED_HERE, Scene
from rmf.line.run_in_fork import Ran, run_apart
from tools.dlq_debug import line_for
from tools.letter_scene import id_of, scenes, stamp_of

__all__ = ["export_tests", "text_of_tests"]

_WIDTH = 88


def export_tests(ids: Iterable[str], args: argparse.Namespace) -> int:
    """Write a file with a test for each of these letters; return the exit code."""
    if args.data is None:
        raise UsageError("--as pytest rebuilds the World from a ledger: name it with --data DIR")
    stamps = _stamps(ids, args.data, args.limit or limits.EXPORT_TESTS)
    tests: list[str] = []
    spec = args.line or "board"
    named: list[Scene] = []
    for scene in scenes(args.data, stamps):
        line = line_for(args.line, scene)
        ran = run_apart(line, scene.batch)
        if ran.bag is None:
            notice(f"rmf-dlq: letter {id_of(scene.stamp)} does not fail with this line")
        tests.append(_test(scene, ran))
        named.append(scene)
    text = text_of_tests(named, tests, spec)
    if args.out is None:
        print(text, end="")
    else:
        args.out.write_text(text, encoding="utf-8")
        notice(f"rmf-dlq: {len(tests)} tests in {args.out}; run: python -m pytest {args.out}")
    return EXIT_DONE


def _stamps(ids: Iterable[str], directory: Path, most: int) -> list[Stamp]:
    stamps: list[Stamp] = []
    for letter in ids:
        if len(stamps) == most:
            notice(f"rmf-dlq: the first {most} letters were taken, there are more: see --limit")
            break
        stamps.append(stamp_of(letter, directory))
    if not stamps:
        raise RmfError("no letter is named or matches: there is nothing to export")
    return stamps


def text_of_tests(named: list[Scene], tests: list[str], spec: str) -> str:
    """Return the whole file."""
    calls = sorted(
        {"reproduce" if scene.seq is not None else "reproduce_expiry" for scene in named}
    )
    needs_cells = any("known(" in test for test in tests)
    imports = ", ".join((["known"] if needs_cells else []) + calls)
    ids = ", ".join(id_of(scene.stamp) for scene in named)
    line = named[0].line
    head = [
        '"""Letters of an RMF factory as tests.',
        "",
        _prose(
            f"Letters {ids}, written by rmf-dlq export --as pytest; the ledger names the line"
            f" {line.name!r} version {line.version}. Each test runs one handler on the packet and"
            f" the cells as they were, and fails with what it raises until the line is mended. The"
            f" line is the one that RMF_LINE names, else the one in LINE; a path there is relative"
            f" to where pytest runs."
        ),
        '"""',
        "",
        "import os",
        "",
        f"from rmf.testing.reproduce import {imports}",
        "",
        "LINE = os.environ.get(",
        '    "RMF_LINE",',
        f"    {_text(spec)},",
        ")",
    ]
    return "\n".join(head) + "\n" + "".join(f"\n\n{test}" for test in tests)


def _prose(text: str) -> str:
    safe = plain(text).replace("\\", "/").replace('"', "'")
    return "\n".join(textwrap.wrap(safe, _WIDTH - 3, break_on_hyphens=False))


# --- One test ---------------------------------------------------------------------------------


def _test(scene: Scene, ran: Ran) -> str:
    return "\n".join([*_heading(scene), *_call(scene, ran), ""])


def _heading(scene: Scene) -> Iterator[str]:
    bag = scene.bag
    yield f"def test_letter_{'_'.join(map(str, scene.stamp))}() -> None:"
    what = "the slot was applied" if bag is None else bag.reason
    if bag is not None and (bag.error.type or bag.error.message):
        what += (
            f", {bag.error.type}: {bag.error.message}"
            if bag.error.type
            else f", {bag.error.message}"
        )
    where = f"Letter {id_of(scene.stamp)} of {scene.producer}, tick {scene.stamp.tick}: "
    wrapped = textwrap.wrap(
        plain(where + what, 400).replace("\\", "/").replace('"', "'").rstrip(".") + ".",
        _WIDTH - 8,
        break_on_hyphens=False,
    )
    first, rest = wrapped[0], wrapped[1:]
    if not rest:
        yield f'    """{first}"""'
        return
    yield f'    """Letter {id_of(scene.stamp)}: {"none" if bag is None else bag.reason}.'
    yield ""
    yield from (f"    {line}" for line in wrapped)
    yield '    """'


def _call(scene: Scene, ran: Ran) -> Iterator[str]:
    stamp, batch = tuple(scene.stamp), scene.batch
    if scene.seq is None:
        (expired,) = batch.expired
        yield "    reproduce_expiry("
        yield "        LINE,"
        yield f"        key={_text(expired.key)},"
        yield from _cell_lines("cell=", expired.cell, 8)
        yield f"        reason={_text(expired.reason)},"
    else:
        (group,) = batch.groups
        yield "    reproduce("
        yield "        LINE,"
        yield f"        # topic {plain(scene.topic, 60)}, seq {scene.seq}; its payload was"
        yield f"        # {_shown(group.rows[0][PAYLOAD])} as CBOR"
        yield from _hex("packet=", scene.data, 8)
        yield f"        producer={_text(scene.producer)},"
        yield f"        epoch={group.epoch},"
        yield f"        intake_tick={group.intake_tick},"
    yield f"        stamp={stamp},"
    yield from _surroundings(batch, ran)
    if scene.bag is not None and scene.bag.reason in UNLIMITED_HERE:
        yield "        apart=True,"
    yield "    )"


def _surroundings(batch: Batch, ran: Ran) -> Iterator[str]:
    found, absent = _read(batch, ran)
    if found:
        yield "        cells={"
        for key, cell in found.items():
            yield f"            # {_shown(cell.value)} as CBOR"
            yield from _cell_lines(f"{_text(key)}: ", cell, 12)
        yield "        },"
    if absent:
        yield from _listed("absent", absent)
    if ran.scanned:
        yield from _listed("scanned", ran.scanned)
    if batch.period_ns != limits.TICK_PERIOD_NS:
        yield f"        period_ns={batch.period_ns},"
    yield f"        wall_ns={batch.wall_ns},"
    if batch.void_before:
        yield f"        void_before={batch.void_before},"


def _read(batch: Batch, ran: Ran) -> tuple[dict[str, Cell], list[str]]:
    """Return the cells that were read or lie under what was scanned, and the keys without one."""
    keys = {key: batch.world.get(key) for key in ran.keys}
    for prefix in ran.scanned:
        for key, cell in batch.world.scan(prefix):
            keys[key] = cell
            if len(keys) > limits.EXPORT_CELLS_MAX:
                raise RmfError(
                    f"the handler scans {prefix!r}, and the World has more than"
                    f" {limits.EXPORT_CELLS_MAX} cells there: too many for a test file. Use"
                    f" `rmf-dlq debug`, or a copy of the data directory"
                )
    found = {key: cell for key, cell in sorted(keys.items()) if cell is not None}
    return found, sorted(key for key, cell in keys.items() if cell is None)


# --- Text -------------------------------------------------------------------------------------


def _cell_lines(name: str, cell: Cell, indent: int) -> Iterator[str]:
    pad = " " * indent
    yield f"{pad}{name}known("
    yield from _hex("", cell.value, indent + 4)
    yield f"{pad}    stamp=({cell.term}, {cell.tick}, {cell.slot}),"
    yield f"{pad}    producer={_text(cell.producer)},"
    yield f"{pad}    harvested_at={cell.harvested_at},"
    yield f"{pad}    expires={cell.expires},"
    yield f"{pad}),"


def _hex(name: str, data: bytes, indent: int) -> Iterator[str]:
    """Give bytes as hex, on one line if they fit, else in pieces."""
    pad, digits = " " * indent, data.hex()
    if len(digits) + len(name) + indent + 3 <= _WIDTH:
        yield f'{pad}{name}"{digits}",'
        return
    size = 64
    pieces = [digits[at : at + size] for at in range(0, len(digits), size)]
    opening, closing, inner = (f"{pad}{name}(", f"{pad}),", pad + "    ")
    if not name:
        opening, closing, inner = "", "", pad
    if opening:
        yield opening
    yield from (f'{inner}"{piece}"' for piece in pieces[:-1])
    yield f'{inner}"{pieces[-1]}"' + ("" if closing else ",")
    if closing:
        yield closing


def _listed(name: str, texts: Iterable[str]) -> Iterator[str]:
    yield f"        {name}=["
    yield from (f"            {_text(text)}," for text in texts)
    yield "        ],"


def _text(text: str) -> str:
    """Return a Python literal, in double quotes, of ASCII only."""
    return '"' + "".join(map(_literal, text)) + '"'


def _literal(character: str) -> str:
    if character in {'"', "\\"}:
        return "\\" + character
    return character if " " <= character <= "~" else ascii(character)[1:-1]


def _shown(encoded: bytes) -> str:
    """Return an encoded value as a comment can say it."""
    try:
        text = json_line(decode(encoded))
    except ProtocolFault:
        return "no CBOR that RMF decodes"
    return plain(text, 70)
