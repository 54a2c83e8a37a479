import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cbor2
import pytest

from rmf.core.entry import LineId
from rmf.errors import LineError
from rmf.line import board
from rmf.line.glovebox import handle as handle_module
from rmf.line.glovebox import pipe
from rmf.line.glovebox.handle import BoxHandle, BoxSettings, LineFacts, stack_of
from rmf.line.glovebox.marker import BATCH, INTERRUPT, NO_SLOT, OVERTIME, SLOT
from rmf.line.glovebox.pipe import BoxBroken
from rmf.line.load import load_line
from tests.line.bench import batch, row
from tests.line.glovebox.box import POISON, Box, a_box, is_gone, open_fds, until

# --- Facts ---------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def shared() -> Iterator[Box]:
    with a_box() as box:
        yield box


@pytest.mark.slow
def test_a_box_says_who_its_line_is(shared: Box) -> None:
    line = load_line(POISON)
    assert shared.facts == LineFacts.of(line)
    assert shared.facts.identity == LineId("poison", 3, line.digest)
    assert shared.handle.fresh
    listens = shared.facts.listener()
    assert (listens("store/a"), listens("other")) == (True, False)
    assert "poison.py" in shared.facts.where("loops", expired=False)
    assert "expired" in shared.facts.where("store/a", expired=True)
    assert shared.facts.where("nobody", expired=False) == ""


@pytest.mark.slow
def test_without_a_word_it_is_the_built_in_line() -> None:
    with a_box(None) as box:
        board.check()
        assert box.facts == LineFacts.of(board)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("source", "words"),
    [
        (None, r"there is no file .*/line\.py"),
        ("import nowhere_at_all\n", r"raised ModuleNotFoundError: .*nowhere_at_all.* \(line 1 of"),
        ("raise SystemExit(3)\n", "raised SystemExit: 3"),
        ("x = 1\n", "it has no Line"),
        ("from rmf.line import Line\nline = Line('empty')\n", "has no handlers"),
        ("import os\nos._exit(7)\n", "ended before it was ready: it ended with exit status 7"),
        ("import os\nos.abort()\n", "ended before it was ready: killed by SIGABRT"),
    ],
)
def test_a_line_that_cannot_be_loaded_is_reported_in_its_words(
    tmp_path: Path, source: str | None, words: str
) -> None:
    path = tmp_path / "line.py"
    if source is not None:
        path.write_text(source, encoding="utf-8")
    with pytest.raises(LineError, match=words):
        Box(f"{path}:line")


FAIR: dict[str, Any] = {
    "name": "x",
    "version": 1,
    "digest": b"d",
    "filters": ["#"],
    "expired": [],
    "places": [],
}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "body"),
    [
        (pipe.DONE, cbor2.dumps(FAIR)),
        (pipe.HELLO, b""),
        (pipe.HELLO, b"\xff"),
        (pipe.HELLO, cbor2.dumps([])),
        (pipe.HELLO, cbor2.dumps({})),
        *(
            (pipe.HELLO, cbor2.dumps({**FAIR, name: value}))
            for name, value in [
                ("name", 1),
                ("version", "1"),
                ("digest", 1 << 40),
                ("filters", None),
                ("filters", [1]),
                ("expired", "x"),
                ("places", {}),
            ]
        ),
    ],
)
def test_a_hello_that_is_none_means_that_the_box_is_broken(
    shared: Box, kind: int, body: bytes
) -> None:
    facts = shared.handle.facts
    with pytest.raises(BoxBroken, match=r"HELLO|CBOR"):
        shared.handle.hear_hello([(kind, body)])
    assert shared.handle.facts == facts
    assert shared.handle.hear_hello([]) is False


@pytest.mark.slow
def test_a_box_that_cannot_be_started_leaves_nothing_behind() -> None:
    before = open_fds()
    with pytest.raises(OSError, match="Argument list too long"):
        BoxHandle(BoxSettings("x" * 3_000_000))
    assert open_fds() == before


@pytest.mark.slow
def test_a_box_that_is_closed_leaves_nothing_behind() -> None:
    before = open_fds()
    with a_box():
        assert open_fds() > before
    assert open_fds() == before


# --- The bench -----------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_slot_is_one_of_the_batch_that_is_asked_for(shared: Box) -> None:
    words = shared.handle.mark.words
    words[BATCH], words[SLOT] = 9, 3
    assert shared.handle.slot_of(9) == 3
    assert shared.handle.slot_of(8) is None
    words[SLOT] = NO_SLOT
    assert shared.handle.slot_of(9) is None
    words[OVERTIME] = words[INTERRUPT] = 3
    shared.handle.clear()
    assert (words[OVERTIME], words[INTERRUPT]) == (NO_SLOT, NO_SLOT)


# --- The end -------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSEGV, signal.SIGRTMIN + 3])
def test_how_it_was_killed_is_said_in_words(number: int) -> None:
    with a_box() as box:
        box.handle.process.send_signal(number)
        assert box.hear() is None
        how = box.handle.end()
        known = {x.value: x.name for x in signal.Signals}
        assert how.startswith(f"killed by {known.get(number, f'signal {int(number)}')}")
        assert ("short of memory" in how) == (number == signal.SIGKILL)
        box.handle.kill()  # it is gone: nobody else is killed
        box.handle.interrupt(0)


@pytest.mark.slow
def test_one_that_closes_its_pipe_and_goes_on_is_killed() -> None:
    with a_box() as box:
        told = batch(row("hangs/up"))
        assert box.run(told) is None
        assert not is_gone(box.handle.pid)
        assert box.handle.end() == "it closed its pipe"
        assert is_gone(box.handle.pid)


@pytest.mark.slow
def test_a_child_that_holds_the_pipe_does_not_keep_its_end_secret() -> None:
    with a_box() as box:
        done = box.run(batch(row("breeds")))
        assert done is not None
        box.handle.process.send_signal(signal.SIGKILL)
        until(lambda: is_gone(box.handle.pid))
        assert box.handle.receive() == []  # the child holds it
        box.handle.hang_up()
        assert box.hear() is None


# --- Stacks --------------------------------------------------------------------------------------

HERE = Path(handle_module.__file__).parent

SEGFAULT = f"""Fatal Python error: Segmentation fault

Current thread 0x00007f54 (most recent call first):
  File "/usr/lib/python3.11/ctypes/__init__.py", line 519 in string_at
  File "/home/ada/rmf/line/shop.py", line 7 in inner
  File "/home/ada/rmf/line/shop.py", line 12 in crashes
  File "{HERE.parent}/inline.py", line 140 in _run_group
  File "{HERE}/process.py", line 218 in serve
  File "<string>", line 1 in <module>

Extension modules: cbor2 (total: 1)
"""
TRACEBACK = """Traceback (most recent call last):
  File "/home/ada/rmf/line/shop.py", line 12, in crashes
  File "/home/ada/rmf/line/shop.py", line 7, in inner
  File "/usr/lib/python3.11/ctypes/__init__.py", line 519, in string_at
"""


def test_a_dump_becomes_a_traceback_from_the_handler_on() -> None:
    assert stack_of(SEGFAULT) == TRACEBACK


def test_of_several_dumps_the_last_one_counts() -> None:
    other = SEGFAULT.replace("crashes", "before").replace("Fatal Python error: x", "")
    assert stack_of(other + SEGFAULT) == TRACEBACK
    assert stack_of(SEGFAULT[200:] + SEGFAULT) == TRACEBACK  # the beginning is cut off


@pytest.mark.parametrize(
    "dump",
    ["", "nonsense\n", f'Current thread 0x1:\n  File "{HERE}/process.py", line 1 in serve\n'],
)
def test_a_dump_without_a_handler_in_it_says_nothing(dump: str) -> None:
    assert stack_of(dump) == ""


def test_a_line_that_is_not_known_is_shown_as_such() -> None:
    dump = 'Current thread 0x1:\n  File "<string>", line ??? in <module>\n  ...\n'
    assert '  File "<string>", line ???, in <module>\n' in stack_of(dump)
