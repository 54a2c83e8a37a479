from typing import Any

import cbor2
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rmf import limits
from rmf.core.effects import FrameGroup
from rmf.core.outcome import INHERIT
from rmf.line.cell_values import REMOVE, Fresh, Keep, ResultInvalid
from rmf.line.changes import KEEP, STORED, Changes, KnownKeys
from tests.line.test_cell_values import Quacks, sound_values


def taken(result: Any, plain_shelf: int = INHERIT) -> Changes:
    changes = Changes(KnownKeys())
    changes.take(4, result, plain_shelf)
    return changes


def test_each_wrapper_has_its_shelf() -> None:
    result = {"plain": 1, "keep": Keep(2), "fresh": Fresh(3, ttl_ms=50), "gone": REMOVE}
    assert taken(result).listed == [
        (4, "plain", b"\x01", INHERIT),
        (4, "keep", b"\x02", KEEP),
        (4, "fresh", b"\x03", 50),
        (4, "gone", None, KEEP),
    ]


def test_a_plain_value_gets_the_shelf_it_is_given() -> None:
    assert taken({"a": 1}, KEEP).listed == [(4, "a", b"\x01", KEEP)]


FLOAT: Any = 1.5


class OwnDict(dict[str, Any]):
    pass


class OwnText(str):
    __slots__ = ()


@pytest.mark.parametrize(
    ("result", "said"),
    [
        ([("a", 1)], "expected a dict of changes or None, found list"),
        (OwnDict(a=1), "expected a dict of changes or None, found OwnDict"),
        (False, "expected a dict of changes or None, found bool"),
        ({"a/+": 1}, "the key 'a/+' is no topic"),
        ({5: 1}, "expected text as the key of a change, found int"),
        ({OwnText("a"): 1}, "expected text as the key of a change, found OwnText"),
        ({"a": {"b": [object()]}}, "a: object is no World value; expected None"),
        ({"a": Keep(Keep(1))}, "a: Keep is no World value"),
        ({"a": Keep(REMOVE)}, "a: Remove is no World value"),
        ({"a": Fresh(1, ttl_ms=0)}, "a: ttl_ms of Fresh: expected 1 to"),
        ({"a": Fresh(1, ttl_ms=2**41 + 1)}, "what stays for ever is Keep"),
        ({"a": Fresh(1, ttl_ms=FLOAT)}, "a: ttl_ms of Fresh: expected an integer, found float"),
        ({"a": Fresh(1, ttl_ms=True)}, "expected an integer, found bool"),
    ],
    ids=lambda x: x[:40] if type(x) is str else None,
)
def test_a_bad_result_is_refused_whole(result: Any, said: str) -> None:
    changes = Changes(KnownKeys())
    changes.take(0, {"before": 1}, INHERIT)
    wrapped = {"first": 1, **result} if type(result) is dict else result
    with pytest.raises(ResultInvalid) as caught:
        changes.take(1, wrapped, INHERIT)
    assert said in str(caught.value)
    assert [change[1] for change in changes.listed] == ["before"]
    assert [change[1] for change in changes.last()] == ["before"]


def test_a_foreign_result_is_refused_untouched() -> None:
    with pytest.raises(ResultInvalid, match="expected a dict of changes or None, found Quacks"):
        taken(Quacks())
    with pytest.raises(ResultInvalid, match="a: Quacks is no World value"):
        taken({"a": Quacks()})


def test_changes_of_one_packet_are_bounded() -> None:
    big = b"x" * 500_000
    assert len(taken({"a": big, "b": big}).listed) == 2
    with pytest.raises(ResultInvalid, match=r"more than 1048576 bytes of changes \(key 3 of 3\)"):
        taken({"a": big, "b": big, "c": big})
    with pytest.raises(ResultInvalid, match="more than 1048576 bytes of changes"):
        taken({f"k/{i}": REMOVE for i in range(60_000)})


def test_keys_stay_valid_when_more_are_used_than_are_known() -> None:
    keys = KnownKeys()
    changes = Changes(keys)
    for i in range(limits.HANDLER_CACHE_TOPICS + 10):
        keys.check(f"filler/{i}")
        if i % 16_000 == 0:
            changes.take(i // 16_000, {f"k{i}": i}, INHERIT)
    assert len(keys) < 20
    assert changes.encode() == cbor2.dumps(changes.listed)


def test_changed_keys_are_given_in_key_order_and_stay_so() -> None:
    changes = taken({"b/2": 1, "a": 1, "b/1": 1})
    assert list(changes.keys_from("b")) == ["b/1", "b/2"]
    changes.take(5, {"b/10": 1}, INHERIT)
    assert list(changes.keys_from("b")) == ["b/1", "b/10", "b/2"]


results = st.dictionaries(
    st.text("abc/é", min_size=1, max_size=300).filter(lambda key: len(key.encode()) <= 1024),
    sound_values
    | sound_values.map(Keep)
    | st.builds(Fresh, sound_values, ttl_ms=st.integers(1, 2**41))
    | st.just(REMOVE)
    | st.binary(min_size=200, max_size=70_000),
    max_size=5,
)


@given(st.lists(st.tuples(st.integers(0, 300), results), max_size=5))
@settings(deadline=None, max_examples=30)
@pytest.mark.slow
def test_changes_are_written_as_cbor2_would_and_their_size_is_bounded(
    slots: list[tuple[int, dict[str, Any]]],
) -> None:
    changes = Changes(KnownKeys())
    size = sum(changes.take(slot * 53, result, INHERIT) for slot, result in slots)
    encoded = changes.encode()
    assert cbor2.dumps(changes.listed) == encoded
    assert len(encoded) <= size + 5


# --- Packets that are stored as they came ---------------------------------------------------------

SEQ_AND_TIMES = [1, 9, 500]


def stored(came: bytes, change: Any = lambda topic, payload: {topic: payload}) -> bool:
    """Whether a packet with this payload is stored as it came, if a handler returns that."""
    changes = Changes(KnownKeys())
    row = ["a/b", *SEQ_AND_TIMES, came]
    payload = cbor2.loads(came)
    for _ in range(2):  # the second time its key is known
        checked = changes.check_packet(7, change(row[0], payload), row)
    return checked is STORED


@pytest.mark.parametrize(
    "value",
    [b"", b"x" * 23, b"x" * 24, b"x" * 256, b"x" * 70_000, "text", 7, 1.5, None, {"a": [1]}],
)
def test_a_payload_under_its_own_topic_is_stored_as_it_came(value: Any) -> None:
    assert stored(cbor2.dumps(value))


@pytest.mark.parametrize(
    "came",
    [
        b"\x58\x01x",  # a head longer than it need be
        b"\x59\x00\x18" + b"x" * 24,
        b"\x5f\x41x\xff",  # in pieces
        b"\x18\x01",
        b"\xbf\x61a\x01\xff",
    ],
)
def test_what_our_own_words_would_not_be_is_listed(came: bytes) -> None:
    """A cell holds what `encode_value` says, whichever way a packet came."""
    assert not stored(came)


OTHERS: dict[str, Any] = {
    "under another key": lambda payload: {"other": payload},
    "for ever": lambda payload: {"a/b": Keep(payload)},
    "with a shelf life of its own": lambda payload: {"a/b": Fresh(payload, ttl_ms=9)},
    "to be removed": lambda _: {"a/b": REMOVE},
    "with something else": lambda payload: {"a/b": payload, "other": 1},
    "with more in it": lambda payload: {"a/b": payload | {"more": 1}},
    "not at all": lambda _: {},
}


@pytest.mark.parametrize("how", OTHERS)
def test_what_is_stored_otherwise_is_listed(how: str) -> None:
    assert not stored(cbor2.dumps({"a": 1}), lambda _, payload: OTHERS[how](payload))


def test_bytes_that_only_end_like_the_payload_are_listed() -> None:
    """A cell would be text, or a number, where its handler stored bytes."""
    assert not stored(cbor2.dumps("x"), lambda topic, payload: {topic: payload.encode()})
    assert not stored(cbor2.dumps(255), lambda topic, _: {topic: b"\xff"})


def test_a_payload_that_its_handler_changed_is_listed() -> None:
    def changed(topic: str, payload: Any) -> Any:
        payload["a"] = 2
        return {topic: payload}

    assert not stored(cbor2.dumps({"a": 1}), changed)


def test_slots_in_a_row_are_one_span_and_all_are_seen() -> None:
    rows = [[f"k/{at % 3}", *SEQ_AND_TIMES, b"%c" % at] for at in range(6)]
    groups = [FrameGroup("p", 1, 3, 9, rows[:2], {}), FrameGroup("p", 1, 5, 9, rows[2:], {})]
    changes = Changes(KnownKeys(), groups)
    changes.stored += [3, 4, 6]
    assert changes.spans() == [[3, 2], [6, 1]]
    assert changes.of("k/0") == (6, "k/0", b"\x03", INHERIT)
    assert changes.of("k/2") is None
    assert list(changes.keys_from("k/")) == ["k/0", "k/1"]
    changes.take(7, {"k/1": 7, "k/5": None}, KEEP)
    changes.stored += [8]
    assert list(changes.keys_from("k/")) == ["k/0", "k/1", "k/2", "k/5"]
    assert [change[:2] for change in changes.last()] == [
        (6, "k/0"),
        (7, "k/1"),
        (7, "k/5"),
        (8, "k/2"),
    ]
