"""The log: how facts look, when they are counted instead, and that it never hurts the node."""

import io
import json
import os
from typing import Any

import pytest

from rmf import limits
from rmf.floor import log

START_NS = 1_763_930_641_123_456_789  # 2025-11-23T20:44:01.123Z


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


class Wall:
    """A wall clock that stands still until it is moved."""

    def __init__(self) -> None:
        self.now_ns = START_NS

    def __call__(self) -> int:
        return self.now_ns

    def move(self, seconds: float) -> None:
        self.now_ns += int(seconds * limits.SECOND)


def make(form: log.Format = "json", **options: Any) -> tuple[log.NodeLog, io.StringIO, Wall]:
    stream, wall = io.StringIO(), Wall()
    return log.NodeLog(stream, form, clock_ns=wall, **options), stream, wall


def rows(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_a_fact_is_a_line_of_json_with_date_level_event_and_fields() -> None:
    written, stream, _ = make(node="n1")
    written.note("warning", "slow_reader", connection=7, name="probe-3", gone=True, why=None)
    assert rows(stream) == [
        {
            "at": "2025-11-23T20:44:01.123Z",
            "level": "warning",
            "node": "n1",
            "event": "slow_reader",
            "connection": 7,
            "name": "probe-3",
            "gone": True,
            "why": None,
        }
    ]


def test_a_fact_is_a_line_of_text_for_people() -> None:
    written, stream, _ = make("text", node="n1")
    written.note("info", "ready", listen="127.0.0.1:7410", why="all is well", n=2)
    assert stream.getvalue() == (
        '2025-11-23T20:44:01.123Z info    n1 ready listen=127.0.0.1:7410 why="all is well" n=2\n'
    )


def test_auto_is_text_on_a_terminal_and_json_elsewhere() -> None:
    terminal, pipe = Terminal(), io.StringIO()
    for stream in (terminal, pipe):
        log.NodeLog(stream, "auto", clock_ns=Wall()).note("info", "ready")
    assert terminal.getvalue().startswith("2025-11-23T20:44:01.123Z info    ready")
    assert rows(pipe)[0]["event"] == "ready"


def test_what_is_below_the_level_is_not_even_looked_at() -> None:
    written, stream, _ = make(level="warning")
    written.note("info", "ready")
    written.note("debug", "ready")
    written.note("error", "disk_failed")
    assert [row["event"] for row in rows(stream)] == ["disk_failed"]


def test_identical_facts_become_one_line_and_a_count() -> None:
    written, stream, wall = make()
    for _ in range(5):
        written.note("warning", "refused", peer="a")
        wall.move(1)
    written.note("warning", "refused", peer="b")
    wall.move(limits.LOG_REPEAT_S)
    written.note("info", "other")
    found = [(row["event"], row.get("peer"), row.get("repeated")) for row in rows(stream)]
    assert found == [
        ("refused", "a", None),
        ("refused", "b", None),
        ("refused", "a", 4),
        ("other", None, None),
    ]


def test_a_fact_that_comes_again_after_its_time_is_a_line_again() -> None:
    written, stream, wall = make()
    written.note("info", "ready")
    wall.move(limits.LOG_REPEAT_S)
    written.note("info", "ready")
    assert [row.get("repeated") for row in rows(stream)] == [None, None]


def test_a_clock_set_back_does_not_silence_the_log() -> None:
    written, stream, wall = make()
    written.note("info", "ready")
    wall.move(-86_400)
    written.note("info", "ready")
    assert len(rows(stream)) == 2


def test_open_counts_are_logged_at_the_end() -> None:
    written, stream, _ = make()
    for _ in range(3):
        written.note("info", "ready")
    written.flush()
    written.flush()
    assert [row.get("repeated") for row in rows(stream)] == [None, 2]


def test_what_is_counted_is_bounded_and_no_count_is_forgotten() -> None:
    written, stream, _ = make()
    written.note("info", "first")
    written.note("info", "first")
    for i in range(limits.LOG_DISTINCT_MAX):
        written.note("info", "many", i=i)
    found = [row.get("repeated") for row in rows(stream) if row["event"] == "first"]
    assert found == [None, 1]
    assert len(rows(stream)) == limits.LOG_DISTINCT_MAX + 2


def test_bytes_are_never_shown_and_foreign_values_never_asked() -> None:
    class Rude:
        def __repr__(self) -> str:
            raise AssertionError("asked")

        __str__ = __repr__

    class Sly(str):
        __slots__ = ()

    written, stream, _ = make()
    written.note("info", "odd", a=b"secret", b=Rude(), c=Sly("x"), d=float("nan"), e=10**5000)
    (row,) = rows(stream)
    assert [row[name] for name in "abcd"] == ["<6 bytes>", "<Rude>", "<Sly>", "not finite"]
    assert row["e"] == f"<{(10**5000).bit_length()} bits>"


def test_no_text_can_forge_a_second_line() -> None:
    text = 'a\n2025-11-23T20:44:01.123Z error n1 disk_failed b="\x1b[2J'
    for form in ("text", "json"):
        written, stream, _ = make(form)
        written.note("info", "odd", text=text, lone="\udcff")
        assert stream.getvalue().count("\n") == 1
        assert "\x1b" not in stream.getvalue()


def test_long_texts_are_cut_and_a_line_stays_whole_json() -> None:
    written, stream, _ = make()
    written.note("info", "long", text="x" * 5000)
    written.note("info", "longer", **{f"field_{i}": "ä" * 400 for i in range(20)})
    first, second = rows(stream)
    assert first["text"] == f"{'x' * limits.LOG_TEXT_CHARACTERS_MAX}... (5000 characters)"
    assert set(second) == {"at", "level", "event", "cut"}
    assert all(len(line) < log.LOG_LINE_BYTES_MAX for line in stream.getvalue().splitlines())


def test_a_field_cannot_take_the_name_of_the_logs_own() -> None:
    written, _, _ = make()
    with pytest.raises(AssertionError):
        written.note("info", "odd", at=1)


def test_a_reader_that_does_not_read_loses_lines_and_learns_how_many() -> None:
    read, write = os.pipe()
    with os.fdopen(read, "rb", buffering=0) as reader, os.fdopen(write, "w") as stream:
        written = log.NodeLog(stream, "json", clock_ns=Wall())
        for i in range(2000):
            written.note("info", "many", i=i, text="x" * 200)
        received = reader.read(1_000_000)
        assert received.endswith(b"\n")
        kept = received.count(b"\n")
        assert 0 < kept < 2000
        written.note("info", "last")
        last = json.loads(reader.read(10_000))
        assert (last["event"], last["lines_lost"]) == ("last", 2000 - kept)


def test_a_stream_that_is_gone_does_not_stop_the_node() -> None:
    read, write = os.pipe()
    os.close(read)
    with os.fdopen(write, "w") as broken:
        written = log.NodeLog(broken, "json", clock_ns=Wall())
        written.note("info", "to nobody")
    written.note("info", "to a closed file")
    closed = io.StringIO()
    closed.close()
    log.NodeLog(closed, "auto").note("info", "to a closed stream")
    log.NodeLog(None).note("info", "to no stream")


def test_the_process_has_one_log() -> None:
    stream = io.StringIO()
    log.configure("json", stream, node="n1")
    try:
        log.note("info", "ready")
        log.note("info", "ready")
    finally:
        log.configure("json", io.StringIO())
    assert [row.get("repeated") for row in rows(stream)] == [None, 1]
