"""A print never waits and never raises, whoever reads it (R20, R22)."""

import os
import pty
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from rmf.line import Inline, Line
from rmf.line.printing import Prints, fill_standard_descriptors, open_apart
from tests.line.bench import batch, reasons, row, values


@contextmanager
def a_pipe() -> Iterator[tuple[int, int]]:
    read, write = os.pipe()
    try:
        yield read, write
    finally:
        os.close(read)
        os.close(write)


def test_a_reader_gets_what_is_printed() -> None:
    with a_pipe() as (read, write):
        print("one", "two", file=Prints(write))
        print("\ud800", file=Prints(write))
        assert os.read(read, 100) == b"one two\n\\ud800\n"


def test_what_a_reader_does_not_read_is_dropped() -> None:
    with a_pipe() as (read, write):
        prints = Prints(write)
        for _ in range(100):
            assert prints.write("x" * 4096) == 4096
        os.set_blocking(read, False)
        assert len(os.read(read, 1 << 20)) < 100 * 4096


def test_a_text_longer_than_the_pipe_is_cut_where_it_is_full() -> None:
    with a_pipe() as (read, write):
        Prints(write).write("x" * (1 << 20))
        os.set_blocking(read, False)
        assert 0 < len(os.read(read, 1 << 20)) < 1 << 20


@pytest.mark.parametrize("how", ["no reader", "closed", "full", "none"])
def test_nothing_that_is_wrong_with_the_stream_is_raised(how: str) -> None:
    read, write = os.pipe()
    os.close(read)
    if how == "closed":
        os.close(write)
    fd = os.open("/dev/full", os.O_WRONLY) if how == "full" else write
    print("lost", file=Prints(None if how == "none" else fd), flush=True)
    for one in {fd, write} - ({write} if how == "closed" else set()):
        os.close(one)


def test_what_is_no_text_is_a_type_error_as_with_any_stream() -> None:
    with pytest.raises(TypeError):
        Prints(None).write(b"bytes")  # type: ignore[arg-type]


def test_a_descriptor_of_ones_own_does_not_wait_and_leaves_the_other_as_it_was() -> None:
    with a_pipe() as (_read, write):
        own = open_apart(write)
        assert own is not None
        assert not os.get_blocking(own)
        assert os.get_blocking(write)
        os.close(own)


def test_a_file_is_appended_to(tmp_path: Path) -> None:
    path = tmp_path / "log"
    with path.open("w") as log:
        own = open_apart(log.fileno())
        log.write("first\n")
        log.flush()
        Prints(own).write("second\n")
        assert own is not None
        os.close(own)
    assert path.read_text() == "first\nsecond\n"


def test_a_terminal_is_a_reader_as_any() -> None:
    leader, terminal = pty.openpty()
    own = open_apart(terminal)
    Prints(own).write("seen\n")
    assert b"seen" in os.read(leader, 100)
    assert own is not None
    for fd in (leader, terminal, own):
        os.close(fd)


def test_there_is_none_of_what_is_closed() -> None:
    read, write = os.pipe()
    os.close(read)
    os.close(write)
    assert open_apart(write) is None


def test_the_standard_descriptors_are_there_afterwards() -> None:
    kept = os.dup(0)
    os.close(0)
    try:
        fill_standard_descriptors()
        assert os.get_inheritable(0)
    finally:
        os.dup2(kept, 0)
        os.close(kept)


def test_handlers_that_print_have_the_outcome_of_those_that_do_not() -> None:
    """P4: inline, nobody may read what the node's own streams lead to."""
    read, write = os.pipe()
    os.close(read)
    line = Line("test")

    @line.on("#")
    def loud(_world: object, packet: object) -> object:
        print("x" * 100_000, flush=True)
        return {"done": True}

    executed = Inline(line, prints=Prints(write)).run(batch(row("a"), row("b", seq=2)))
    os.close(write)
    assert reasons(executed) == []
    assert values(executed) == {"done": True}
