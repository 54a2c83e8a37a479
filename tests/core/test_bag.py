"""The double bag (R38): evidence under guard, whatever the exception does; texts within bounds."""

import traceback
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rmf import limits
from rmf.core.bag import REASONS, STAGES, Evidence, Letter, clip, evidence_of, group_of

NO_TEXT: Any = 7


class Spiteful(Exception):
    """Everything that can be asked of it raises."""

    def __str__(self) -> str:
        raise SystemExit(3)

    def __repr__(self) -> str:
        raise KeyboardInterrupt

    def __eq__(self, other: object) -> bool:
        raise MemoryError

    def __hash__(self) -> int:
        raise RecursionError


class Lying(Exception):
    """Its text is no text."""

    def __str__(self) -> Any:
        return NO_TEXT


def raised(exc: BaseException) -> BaseException:
    try:
        raise exc  # noqa: TRY301 so that it has a traceback
    except BaseException as caught:  # noqa: BLE001, ASYNC103 anything may be raised here
        return caught  # noqa: ASYNC104 and nothing is awaited


def test_evidence_names_the_exception_its_message_and_where_it_was_raised() -> None:
    evidence = evidence_of(raised(ValueError("too warm")))
    assert (evidence.type, evidence.message) == ("ValueError", "too warm")
    assert "test_bag.py" in evidence.traceback
    assert evidence.traceback.endswith("ValueError: too warm\n")


@pytest.mark.parametrize("exc", [Spiteful("x"), Lying("x"), SystemExit(1), KeyboardInterrupt()])
def test_no_exception_can_make_its_evidence_fail(exc: BaseException) -> None:
    evidence = evidence_of(raised(exc))
    assert evidence.type == type(exc).__name__
    assert all(type(text) is str for text in evidence[:3])


def test_a_group_shows_its_leaves_and_not_all_of_very_many() -> None:
    leaves = [ValueError(f"leaf {i}") for i in range(limits.EVIDENCE_GROUP_LEAVES_MAX + 5)]
    group = ExceptionGroup("outer", [ExceptionGroup("inner", leaves[:3]), *leaves[3:]])
    message = evidence_of(raised(group)).message
    assert message.startswith("outer")
    assert message.count("ValueError: leaf") == limits.EVIDENCE_GROUP_LEAVES_MAX


def test_a_traceback_without_end_is_cut() -> None:
    def deeper(n: int) -> None:
        if not n:
            raise ValueError("x" * 100_000)
        deeper(n - 1)

    with pytest.raises(ValueError, match="x") as caught:
        deeper(200)
    evidence = evidence_of(caught.value)
    assert len(evidence.message.encode()) <= limits.EVIDENCE_TEXT_BYTES_MAX
    assert len(evidence.traceback.encode()) <= limits.EVIDENCE_TRACEBACK_BYTES_MAX
    assert traceback.format_exception(caught.value)[0] == evidence.traceback.splitlines()[0] + "\n"


@settings(deadline=None, max_examples=150)
@given(st.text(max_size=300), st.integers(64, 200))
def test_a_clipped_text_is_within_its_bound_and_keeps_both_ends(text: str, most: int) -> None:
    found = clip(text, most)
    raw = text.encode("utf-8", "backslashreplace")
    assert len(found.encode()) <= most
    if len(raw) <= most:
        assert found.encode() == raw
    else:
        ends = found.split(" … ")
        assert raw.startswith(ends[0].encode())
        assert raw.endswith(ends[-1].encode())
        assert "bytes" in found


def test_lone_surrogates_are_spelt_out() -> None:
    assert clip("a\ud800b", 100) == "a\\ud800b"


TRACE = 'Traceback (most recent call last):\n  File "line.py", line 3, in h\n    raise X\n'


def test_a_failure_that_comes_again_is_of_the_same_group() -> None:
    """R40: messages hold values and would never repeat."""
    one = group_of("handler_error", "line", Evidence("KeyError", "'room 3'", TRACE))
    two = group_of("handler_error", "line", Evidence("KeyError", "'room 4'", TRACE))
    assert one == two
    assert one.startswith("2-")


def test_a_failure_whose_lines_moved_is_of_the_same_group() -> None:
    """What is written above a handler, or where the file lies, makes no new failure."""
    moved = TRACE.replace("line 3", "line 40").replace('"line.py"', '"/srv/plant/line.py"')
    inside = "".join(f"  | {text}" for text in TRACE.splitlines(keepends=True))
    groups = {
        group_of("handler_error", "line", Evidence("KeyError", "x", trace))
        for trace in (TRACE, moved, inside)
    }
    assert len(groups) == 1


def test_a_message_that_speaks_of_files_makes_no_other_group() -> None:
    told = TRACE + "KeyError: 'no File \"x\"'\n"
    one = group_of("handler_error", "line", Evidence("KeyError", "x", TRACE + "KeyError: 1\n"))
    assert one == group_of("handler_error", "line", Evidence("KeyError", "x", told))


def test_other_failures_are_of_other_groups() -> None:
    base = ("handler_error", "line", Evidence("KeyError", "x", TRACE))
    others = [
        ("result_invalid", "line", base[2]),
        ("handler_error", "task", base[2]),
        ("handler_error", "line", Evidence("IndexError", "x", TRACE)),
        ("handler_error", "line", Evidence("KeyError", "x", TRACE.replace("in h", "in g"))),
        ("handler_error", "line", Evidence("KeyError", "x", TRACE.replace("raise X", "raise Y"))),
        ("handler_error", "line", Evidence("KeyError", "x", TRACE.replace("line.py", "a.py"))),
    ]
    assert len({group_of(*failure) for failure in [base, *others]}) == 7


def test_without_an_exception_the_sentence_makes_the_group() -> None:
    one = group_of("label_invalid", "latch", Evidence("", "ttl_ms: found 0", ""))
    assert one != group_of("label_invalid", "latch", Evidence("", "topic: found 0", ""))
    assert one == group_of("label_invalid", "latch", Evidence("", "ttl_ms: found 17", ""))


def test_a_letter_knows_its_group() -> None:
    error = Evidence("KeyError", "x", TRACE)
    fields: dict[str, Any] = dict.fromkeys(Letter._fields)
    letter = Letter(**{**fields, "reason": "handler_error", "stage": "line", "error": error})
    assert letter.group == group_of("handler_error", "line", error)


def test_reasons_and_stages_are_closed_sets_without_repeats() -> None:
    assert len(set(REASONS)) == len(REASONS) == 14
    assert STAGES == ("edge", "latch", "line", "task")


def test_a_handler_that_is_cut_short_is_one_group_wherever_it_was_at_that_moment() -> None:
    """R40: it is the handler that takes too long; the frames below are chance."""
    here = 'Traceback (most recent call last):\n  File "/a/line.py", line 3, in slow\n    help()\n'
    there = '  File "/b/line.py", line 9, in slow\n  File "/b/help.py", line 1, in help\n'
    for reason in ("handler_timeout", "handler_died", "handler_memory"):
        one, two = (group_of(reason, "line", Evidence("", "1 s", x)) for x in (here, there))
        assert one == two
        other = group_of(reason, "line", Evidence("", "1 s", here.replace("slow", "fast")))
        assert one != other
    assert group_of("handler_died", "line", Evidence("", "exit status 3", "")) != one
