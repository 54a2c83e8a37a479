"""line/differences: which failures are the same, and what of many differences is kept."""

import pytest

from rmf.core.bag import Evidence
from rmf.core.outcome import Outcome
from rmf.core.packet import Stamp
from rmf.line.differences import Differences, is_alike
from rmf.line.laid_out import Origin
from rmf.line.slots_compared import SlotDifference

TRACE = 'Traceback (most recent call last):\n  File "{}", line {}, in {}\n    x\nKeyError: 1\n'


def failed(
    *, reason: str = "handler_error", kind: str = "KeyError", message: str = "", trace: str = ""
) -> Outcome:
    return Outcome(3, reason, "line", Evidence(kind, message, trace))


def test_the_same_function_in_another_file_is_alike() -> None:
    then = failed(trace=TRACE.format("/srv/shop.py", 12, "sale"), message="7")
    now = failed(trace=TRACE.format("new.py", 99, "sale"), message="8")
    assert is_alike(then, now)
    assert is_alike(None, None)


@pytest.mark.parametrize(
    "now",
    [
        None,
        failed(kind="ValueError", trace=TRACE.format("a.py", 1, "sale")),
        failed(reason="result_invalid", trace=TRACE.format("a.py", 1, "sale")),
        failed(trace=TRACE.format("a.py", 1, "refund")),
        failed(),
    ],
)
def test_another_type_reason_or_function_is_not(now: Outcome | None) -> None:
    assert not is_alike(failed(trace=TRACE.format("a.py", 1, "sale")), now)


def test_keys_are_counted_and_the_first_of_them_shown() -> None:
    found = Differences(shown=2)
    for tick in range(3):
        for key in "abc":
            changed = SlotDifference(0, None, [(key, None, (0, key, b"\x01", 0))])
            found.add(Stamp(1, tick, 0), changed, None)
    assert (found.keys, found.changes, list(found.cells)) == (3, 9, ["a", "b"])
    assert (found.cells["b"].changes, found.cells["b"].last_tick) == (3, 2)
    assert found.divergence is not None
    assert (found.divergence.tick, found.divergence.key) == (0, "a")


def test_letters_are_grouped_by_what_became_of_them() -> None:
    found = Differences(shown=3)
    origin = Origin("probe", 1, "a")
    other = failed(kind="ValueError")
    for tick in range(2):
        for bags in ((None, failed()), (failed(), None), (failed(), other), (None, other)):
            found.add(Stamp(1, tick, 3), SlotDifference(3, bags, []), origin)
    assert found.letters == {"appears": 4, "vanishes": 2, "changes": 2}
    assert [(x.what, x.letters, x.was) for x in found.groups.values()] == [
        ("appears", 2, None),
        ("vanishes", 2, None),
        ("changes", 2, "handler_error"),
    ]
    assert found.group_count == 4
    assert found.divergence is not None
    assert found.divergence.replay == "handler_error"
