"""Real glove boxes, and what is done to them."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import chdir
from pathlib import Path
from typing import Any

import cbor2
import pytest

from rmf.core.effects import Batch
from rmf.core.world import World
from rmf.line import Inline
from rmf.line.glovebox import pipe
from rmf.line.glovebox.marker import OVERTIME
from rmf.line.glovebox.process import main
from rmf.line.load import load_line
from tests.line.bench import batch, cell, expired, reasons, row, values, world
from tests.line.glovebox.box import POISON, Box, a_box, is_gone, until

pytestmark = pytest.mark.slow

MIB = 1 << 20


@pytest.fixture(scope="module")
def shared() -> Iterator[Box]:
    """A box that outlives what the tests do to it."""
    with a_box() as box:
        yield box


def the_end(box: Box, told: Batch) -> str:
    """Run what ends the box; return how it ended."""
    assert box.run(told) is None
    return box.handle.end()


def interrupted(box: Box, told: Batch, slot: int = 0) -> Any:
    box.say(told)
    box.at_work(told, slot)
    box.handle.interrupt(slot)
    done = box.outcome(told)
    assert done is not None
    return done.executed


# --- The work ------------------------------------------------------------------------------------


def test_it_says_what_the_line_says_in_this_process(shared: Box) -> None:
    told = batch(
        row("store/a", {"x": 1}),
        row("raises", seq=2),
        row("leaves", seq=3),
        row("nobody", seq=4),
        row("store/b", b"\xff", seq=5),
        row("store/c", [1.5, None], seq=6),
        expired_cells=(expired("store/z", 9),),
    )
    done = shared.run(told)
    assert done is not None
    mine, theirs = Inline(load_line(POISON)).run(told), done.executed
    assert [tuple(change) for change in theirs.listed] == mine.listed
    assert (theirs.encoded, theirs.outcomes, theirs.done) == (mine.encoded, mine.outcomes, 7)
    assert not theirs.cut_short
    assert (done.reads, done.own) == (False, False)


def test_what_can_be_no_key_has_one_outcome_in_a_box_and_here(shared: Box) -> None:
    """P12: a slip that passes all tests is no poison in production."""
    told = batch(row("odd/keys"), before=world(a=1))
    done = shared.run(told)
    assert done is not None
    mine = Inline(load_line(POISON)).run(told)
    assert done.executed.encoded == mine.encoded
    assert (reasons(done.executed), reasons(mine)) == ([], [])


def test_what_a_handler_prints_goes_where_the_log_goes(capfd: pytest.CaptureFixture[str]) -> None:
    with a_box() as box:
        done = box.run(batch(row("prints", 7)))
        assert done is not None
        assert values(done.executed) == {"printed": True}
    said = capfd.readouterr()
    assert said.out == ""
    assert "printed 7\n" in said.err
    assert "written\n" in said.err


def test_it_ends_when_the_node_lets_go() -> None:
    with a_box() as box:
        box.handle.socket.close()
        assert box.handle.process.wait(timeout=30) == 0


# --- Interrupts ----------------------------------------------------------------------------------


def test_a_loop_is_interrupted_and_the_tick_closes_with_it(shared: Box) -> None:
    told = batch(row("store/a", 1), row("loops", seq=2), row("store/b", 2, seq=3))
    executed = interrupted(shared, told, 1)
    assert (executed.done, executed.cut_short) == (2, True)
    assert reasons(executed) == [(1, "handler_timeout")]
    assert values(executed) == {"store/a": 1}
    error = executed.outcomes[0].error
    assert "in loops" in error.traceback
    done = shared.run(batch(row("store/a", 2)))
    assert done is not None
    assert (done.executed.done, done.executed.cut_short) == (1, False)


def test_what_a_handler_leaves_behind_is_interrupted_as_the_handler_is(shared: Box) -> None:
    """P7: its end is of its own slot."""
    told = batch(row("store/a", 1), row("slow/end", seq=2), row("store/b", 2, seq=3))
    executed = interrupted(shared, told, 1)
    assert (executed.done, executed.cut_short) == (2, True)
    assert reasons(executed) == [(1, "handler_timeout")]
    assert values(executed) == {"store/a": 1}


def test_slow_ends_that_a_collection_finds_are_no_slots_and_are_interrupted() -> None:
    with a_box() as box:
        done = box.run(batch(row("circles", 3)))
        assert done is not None
        assert reasons(done.executed) == []
        done = box.run(batch(row("store/a", 1)))  # what comes next waits for little
        assert done is not None
        assert values(done.executed) == {"store/a": 1}


def test_a_box_with_too_many_slow_ends_goes_between_two_batches() -> None:
    with a_box() as box:
        done = box.run(batch(row("circles", 1000)))
        assert done is not None
        assert values(done.executed) == {"circles": True}
        assert box.run(batch(row("store/a", 1))) is None
        assert box.handle.slot_of(7) is None  # nobody is to blame


def test_the_class_that_a_handler_declares_is_interrupted_too(shared: Box) -> None:
    executed = interrupted(shared, batch(row("hangs", {"x": 1}), row("store/a", seq=2)))
    assert reasons(executed) == [(0, "handler_timeout")]
    assert executed.done == 1


def test_who_goes_on_when_it_is_interrupted_is_bagged_all_the_same(
    shared: Box, tmp_path: Path
) -> None:
    there = tmp_path / "there"
    told = batch(row("swallows", str(there)), row("store/a", seq=2))
    shared.say(told)
    shared.at_work(told)
    shared.handle.interrupt(0)
    until(lambda: shared.handle.mark.words[OVERTIME] == 0)  # it has come
    assert shared.handle.slot_of(told.number) == 0
    there.touch()
    done = shared.outcome(told)
    assert done is not None
    assert (done.executed.done, done.executed.listed) == (1, [])
    assert reasons(done.executed) == [(0, "handler_timeout")]
    assert "went on" in done.executed.outcomes[0].error.message


def test_an_interrupt_that_is_meant_for_another_slot_is_none(shared: Box, tmp_path: Path) -> None:
    there = tmp_path / "there"
    told = batch(row("store/a"), row("waits", str(there), seq=2))
    shared.say(told)
    shared.at_work(told, 1)
    for slot in (0, 2, 7):
        shared.handle.interrupt(slot)
    there.touch()
    done = shared.outcome(told)
    assert done is not None
    assert (done.executed.outcomes, done.executed.done) == ([], 2)


def test_an_interrupt_between_batches_is_none(shared: Box) -> None:
    for slot in (-1, 0, 0):
        shared.handle.interrupt(slot)
    done = shared.run(batch(row("store/a", 1)))
    assert done is not None
    assert (done.executed.outcomes, done.executed.done) == ([], 1)


def test_an_interrupt_leaves_no_half_answer_in_the_pipe(shared: Box) -> None:
    """A handler that asks the node without end is hardly ever interrupted anywhere else."""
    before = World.of({f"c/{i}": cell("x" * 1000) for i in range(200)})
    for _ in range(20):
        told = batch(row("reads/ever"), before=before)
        shared.say(told)
        word = shared.hear()
        assert word is not None  # it waits for the answer
        shared.handle.interrupt(0)
        shared.answer(*word, told)
        done = shared.outcome(told)
        assert done is not None
        assert reasons(done.executed) == [(0, "handler_timeout")]


def test_what_hangs_while_evidence_is_made_is_still_at_work() -> None:
    """It is asked for its words twice, and interrupted once: then the box has to be killed."""
    with a_box() as box:
        told = batch(row("slow/words"))
        box.say(told)
        box.at_work(told)
        box.handle.interrupt(0)
        until(lambda: box.handle.mark.words[OVERTIME] == 0)
        assert box.handle.slot_of(told.number) == 0


# --- Its end -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("topic", "payload", "how", "where"),
    [
        ("exits", 3, "it ended with exit status 3", ""),
        ("exits", 0, "it ended with exit status 0", ""),
        ("aborts", 0, "killed by SIGABRT", "in aborts"),
        ("crashes", 0, "killed by SIGSEGV", "in crashes"),
    ],
)
def test_how_a_handler_ended_the_process(topic: str, payload: int, how: str, where: str) -> None:
    with a_box() as box:
        told = batch(row("store/a"), row(topic, payload, seq=2), row("store/b", seq=3))
        assert the_end(box, told) == how
        assert box.handle.slot_of(told.number) == 1
        trace = box.handle.trace()
        assert where in trace
        if where:
            assert trace.startswith("Traceback (most recent call last):\n  File ")
            assert "poison.py" in trace.splitlines()[1]
            assert "process.py" not in trace
        else:
            assert trace == ""


def test_a_hang_within_c_can_be_seen_but_not_interrupted() -> None:
    with a_box() as box:
        told = batch(row("counts"))
        box.say(told)
        box.at_work(told)
        box.handle.interrupt(0)
        box.handle.ask_for_stack()
        until(lambda: "in counts" in box.handle.trace())
        assert box.handle.slot_of(told.number) == 0
        box.handle.kill()
        assert box.hear() is None
        assert box.handle.end().startswith("killed by SIGKILL")


def test_who_runs_out_of_memory_is_named_and_the_box_ends() -> None:
    with a_box(memory_bytes=48 * MIB) as box:
        told = batch(row("store/a"), row("allocates", MIB, seq=2))
        box.say(told)
        word = box.hear()
        assert word is not None
        assert word[0] == pipe.MEMORY
        slot, error = pipe.decode_memory(word[1], told)
        assert (slot, error.type) == (1, "MemoryError")
        assert "in allocates" in error.traceback
        assert box.hear() is None
        assert box.handle.end() == "it ended with exit status 1"
    with a_box(memory_bytes=48 * MIB) as box:  # what is fair has room in it
        assert box.run(batch(*(row("store/a", "x" * MIB) for _ in range(8)))) is not None


def test_a_child_does_not_speak_for_the_box(shared: Box) -> None:
    told = batch(row("forks"), row("store/a", 1, seq=2))
    done = shared.run(told)
    assert done is not None
    child = values(done.executed)["child"]
    assert child > 0
    until(lambda: is_gone(child))
    again = shared.run(batch(row("store/b", 2)))
    assert again is not None
    assert values(again.executed) == {"store/b": 2}


def test_what_a_handler_left_behind_dies_with_the_box() -> None:
    with a_box() as box:
        done = box.run(batch(row("breeds")))
        assert done is not None
        child = values(done.executed)["child"]
        assert not is_gone(child)
    until(lambda: is_gone(child))


def test_it_dies_with_its_node(tmp_path: Path) -> None:
    """However that ends, and whatever the line does meanwhile."""
    node = (
        "import sys\n"
        "from tests.line.glovebox.box import Box, POISON\n"
        "from tests.line.bench import batch, row\n"
        "box, told = Box(POISON), batch(row('swallows', '/never'))\n"
        "box.say(told); box.at_work(told)\n"
        "print(box.handle.pid, flush=True)\n"
        "sys.stdin.read()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", node],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
    ) as running:
        assert running.stdout is not None
        pid = int(running.stdout.readline())
        assert not is_gone(pid)
        running.kill()
    until(lambda: is_gone(pid))


# --- The process ---------------------------------------------------------------------------------


def test_it_does_not_hear_a_terminal(shared: Box) -> None:
    names = ("SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT", "SIGTSTP", "SIGTTIN", "SIGTTOU")
    for name in names:
        os.kill(shared.handle.pid, signal.Signals[name])
    assert shared.run(batch(row("store/a", 1))) is not None
    assert os.getsid(shared.handle.pid) == shared.handle.pid


def test_it_is_the_first_to_go_and_leaves_no_core(shared: Box) -> None:
    about = Path(f"/proc/{shared.handle.pid}")
    assert (about / "oom_score_adj").read_text() == "1000\n"
    (core,) = [x for x in (about / "limits").read_text().splitlines() if "core file" in x]
    assert core.split()[4:6] == ["0", "0"]


def test_what_lies_in_the_working_directory_stands_in_for_nothing(tmp_path: Path) -> None:
    for name in ("json", "queue", "socket", "cbor2", "rmf"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit(9)\n", encoding="utf-8")
    with chdir(tmp_path), a_box() as box:
        assert box.run(batch(row("store/a"))) is not None


def test_it_does_not_run_without_a_node() -> None:
    told = '{"node_pid": 1, "socket": 0, "marker": 0, "trace": 0, "line": null}'
    code = f"from {main.__module__} import main; main([{told!r}])"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 1


def test_what_it_wrote_is_there_in_the_next_batch() -> None:
    with a_box(None) as box:
        for value in (1, 2):
            done = box.run(batch(row("a", value), before=world(a=0)))
            assert done is not None
            assert done.executed.encoded == cbor2.dumps([[0, "a", cbor2.dumps(value), -1]])
