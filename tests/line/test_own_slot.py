"""Whatever a handler leaves behind ends within its own slot, and so within its budget (R20)."""

from collections.abc import Callable
from typing import Any

import attrs
import pytest

from rmf.line import Inline, Keep, Line
from rmf.line.glovebox.marker import NO_SLOT, OVERTIME, SLOT, Mark, fresh_mark
from tests.line.bench import batch, expired, reasons, row, values

SLOTS = (0, 1, 2)  # an expired cell and two packets


@attrs.define(eq=False)
class Left:
    """Says at its end which slot was at work."""

    mark: Mark
    ends: list[int]

    def __del__(self) -> None:
        self.ends.append(self.mark[SLOT])


def in_the_exception(left: Left) -> Any:
    error = ValueError("bad")
    vars(error)["held"] = left
    raise error


def as_its_argument(left: Left) -> Any:
    raise ValueError(left)


def as_its_context(left: Left) -> Any:
    try:
        return dict[Any, Any]()[left]
    except KeyError:
        raise ValueError from None


def in_a_group(left: Left) -> Any:
    raise ExceptionGroup("two", [ValueError(left)])


def in_a_local(left: Left) -> Any:
    kept = [left]
    raise ValueError(len(kept))


def as_the_result(left: Left) -> Any:
    return left


def in_the_result(left: Left) -> Any:
    return {"a": left}


def kept(left: Left) -> Any:
    return {"a": Keep(left)}


def in_a_dict_of_its_own(left: Left) -> Any:
    class Held(dict[str, Any]):
        held: Any

    result = Held(a=1)
    result.held = left
    return result


def in_a_generator(left: Left) -> Any:
    def lazily() -> Any:
        try:
            yield 1
        finally:
            left.ends.append(left.mark[SLOT])

    waiting = lazily()
    next(waiting)
    return waiting


KINDS = [
    in_the_exception,
    as_its_argument,
    as_its_context,
    in_a_group,
    in_a_local,
    as_the_result,
    in_the_result,
    kept,
    in_a_dict_of_its_own,
    in_a_generator,
]


def a_line(handler: Callable[[], Any]) -> Line:
    line = Line("test")
    line.on("#")(lambda _world, _packet: handler())
    line.on_expired("#")(lambda _world, _cell: handler())
    return line


def a_batch() -> Any:
    return batch(row("a"), row("b", seq=2), expired_cells=(expired("c", 1),))


@pytest.mark.parametrize("kind", KINDS, ids=[kind.__name__ for kind in KINDS])
def test_finalizers_run_while_the_marker_names_their_slot(kind: Callable[[Left], Any]) -> None:
    mark, ends = fresh_mark(), list[int]()
    executed = Inline(a_line(lambda: kind(Left(mark, ends))), mark).run(a_batch())
    assert len(executed.outcomes) == len(SLOTS)
    assert sorted(set(ends)) == list(SLOTS)
    assert mark[SLOT] == NO_SLOT


def test_a_payload_of_the_handlers_own_class_ends_in_its_slot_too() -> None:
    mark, ends = fresh_mark(), list[int]()

    @attrs.frozen
    class Reading:
        value: int

        def __del__(self) -> None:
            ends.append(mark[SLOT])

    line = Line("test")
    line.on("#", Reading)(lambda _world, _packet: None)
    Inline(line, mark).run(batch(row("a", {"value": 1}), row("b", {"value": 2}, seq=2)))
    assert ends == [0, 1]


def test_what_returned_in_time_and_ends_too_late_is_not_applied() -> None:
    """The interrupt comes while a finalizer runs, after the handler returned sound changes."""
    mark = fresh_mark()

    class Late:
        def __del__(self) -> None:
            mark[OVERTIME] = mark[SLOT]  # as the signal would; what it raises, nobody hears

    @attrs.frozen
    class Reading:
        held: Late = attrs.field(init=False, factory=Late)

    line = Line("test")
    line.on("late", Reading)(lambda _world, _packet: {"late": 1})
    line.on("sound")(lambda _world, _packet: {"sound": 1})
    told = batch(row("sound"), row("late", {}, seq=2), row("sound", seq=3))
    executed = Inline(line, mark).run(told)
    assert reasons(executed) == [(1, "handler_timeout")]
    assert values(executed) == {"sound": 1}
    assert (executed.done, executed.cut_short) == (2, True)
