"""Frames and messages: round trips, cuts, faults that have a name (R41, R42)."""

from typing import Any

import cbor2
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rmf import limits
from rmf.core import codec
from rmf.core import messages as m
from rmf.core.faults import FAULTS, closes, retry_allowed
from rmf.errors import ProtocolFault
from tests.calls import calls_of

NATURALS = st.integers(0, 2**63 - 1)
TEXTS = st.text(max_size=20)
SCALARS = st.none() | st.booleans() | NATURALS | st.floats(allow_nan=False) | TEXTS | st.binary()
MAPS = st.dictionaries(TEXTS, SCALARS | st.lists(SCALARS, max_size=3), max_size=4)
CELLS = st.builds(
    m.WireCell,
    TEXTS,
    st.binary(),
    NATURALS,
    NATURALS,
    NATURALS,
    TEXTS,
    NATURALS,
    st.none() | NATURALS,
)
RUNS = st.builds(
    m.Run,
    NATURALS,
    NATURALS,
    st.integers(0, 2),
    st.booleans(),
    *[st.none() | NATURALS] * 3,
    *[st.none() | TEXTS] * 2,
)
ROWS = st.lists(st.none() | TEXTS | NATURALS | st.binary(), max_size=7)
MESSAGES_BY_KIND: dict[type[Any], st.SearchStrategy[Any]] = {
    m.Hello: st.builds(m.Hello, MAPS),
    m.Welcome: st.builds(m.Welcome, MAPS),
    m.Error: st.builds(m.Error, TEXTS, TEXTS, st.none() | TEXTS),
    m.Send: st.builds(m.Send, st.lists(ROWS, max_size=4)),
    m.Ack: st.builds(m.Ack, st.lists(RUNS, max_size=3)),
    m.Refuse: st.builds(m.Refuse, NATURALS, TEXTS, NATURALS, st.none() | TEXTS, TEXTS),
    m.Bye: st.builds(m.Bye),
    m.Goaway: st.builds(m.Goaway, TEXTS, st.lists(TEXTS, max_size=3), NATURALS, TEXTS),
    m.Ping: st.builds(m.Ping, NATURALS),
    m.Pong: st.builds(m.Pong, NATURALS, NATURALS, NATURALS),
    m.Subscribe: st.builds(m.Subscribe, NATURALS, st.lists(TEXTS, max_size=3), MAPS),
    m.Unsubscribe: st.builds(m.Unsubscribe, NATURALS),
    m.Snapshot: st.builds(
        m.Snapshot,
        NATURALS,
        st.integers(0, 2),
        st.booleans(),
        *[NATURALS] * 3,
        st.binary(),
        st.booleans(),
        NATURALS,
        st.lists(CELLS, max_size=3),
        st.lists(st.lists(TEXTS, min_size=2, max_size=2), max_size=3),
        st.none() | NATURALS,
    ),
    m.Gap: st.builds(m.Gap, NATURALS, NATURALS),
    m.Get: st.builds(m.Get, NATURALS, TEXTS, st.booleans()),
    m.Value: st.builds(m.Value, *[NATURALS] * 4, st.booleans(), st.none() | CELLS),
    m.Query: st.builds(m.Query, NATURALS, TEXTS, MAPS),
    m.Item: st.builds(m.Item, NATURALS, MAPS),
    m.End: st.builds(m.End, NATURALS, st.none() | TEXTS, st.none() | TEXTS),
}
MESSAGES = st.one_of(*MESSAGES_BY_KIND.values())


def decoded(frame: bytes) -> m.Message | str:
    """Return the message in a frame, or the code of its fault."""
    try:
        return codec.decode(frame)
    except ProtocolFault as fault:
        return fault.code


@settings(deadline=None, max_examples=200)
@given(MESSAGES)
def test_every_message_comes_back_as_it_was(message: m.Message) -> None:
    frame = codec.encode(message)
    assert int.from_bytes(frame[:4], "big") == len(frame) - 4
    found = codec.decode(frame[4:])
    assert found == message
    assert type(found) is type(message)


def test_the_strategy_knows_every_message() -> None:
    assert set(MESSAGES_BY_KIND) == set(m.CODES.values())


@settings(deadline=None, max_examples=150)
@given(st.binary(max_size=80))
def test_arbitrary_bytes_are_a_message_or_a_named_fault(data: bytes) -> None:
    found = decoded(data)
    assert not isinstance(found, str) or found in FAULTS


@settings(deadline=None, max_examples=150)
@given(MESSAGES, st.data())
def test_a_changed_byte_gives_a_message_or_a_named_fault(message: m.Message, data: Any) -> None:
    frame = bytearray(codec.encode(message)[4:])
    at = data.draw(st.integers(0, len(frame) - 1))
    frame[at] ^= data.draw(st.integers(1, 255))
    found = decoded(bytes(frame))
    assert not isinstance(found, str) or found in FAULTS


@settings(deadline=None, max_examples=100)
@given(st.lists(MESSAGES, max_size=5), st.lists(st.integers(1, 40), min_size=1, max_size=20))
def test_a_buffer_gives_the_same_frames_however_the_bytes_are_cut(
    messages: list[m.Message], sizes: list[int]
) -> None:
    stream = b"".join(map(codec.encode, messages))
    buffer = codec.FrameBuffer(limits.SERVER_FRAME_BYTES_MAX)
    found = []
    at = 0
    while at < len(stream):
        size = sizes[at % len(sizes)]
        buffer.feed(stream[at : at + size])
        found += list(buffer.frames())
        at += size
    assert [codec.decode(frame) for frame in found] == messages
    assert len(buffer.data) == 0


def test_a_length_above_the_limit_is_refused_before_a_byte_of_it_came() -> None:
    buffer = codec.FrameBuffer(100)
    ping = codec.encode(m.Ping(7))
    buffer.feed(ping + (101).to_bytes(4, "big"))
    frames = buffer.frames()
    assert next(frames) == ping[4:]
    with pytest.raises(ProtocolFault, match="101 bytes; at most 100") as caught:
        next(frames)
    assert caught.value.code == "frame_too_long"


def test_a_limit_may_be_raised_between_two_frames() -> None:
    buffer = codec.FrameBuffer(4)
    buffer.feed(codec.encode(m.Ping(7)) + codec.encode(m.Error("busy", "a longer one", None)))
    found = []
    for frame in buffer.frames():
        buffer.frame_bytes_max = limits.FRAME_BYTES_MAX
        found.append(codec.decode(frame))
    assert found == [m.Ping(7), m.Error("busy", "a longer one", None)]


def test_a_reader_that_stops_in_between_finds_the_rest_later() -> None:
    buffer = codec.FrameBuffer(100)
    buffer.feed(codec.encode(m.Ping(1)) + codec.encode(m.Ping(2)))
    for frame in buffer.frames():
        assert codec.decode(frame) == m.Ping(1)
        break
    assert [codec.decode(frame) for frame in buffer.frames()] == [m.Ping(2)]


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (7, "a message is an array"),
        ([], "a message is an array"),
        ([99], "no message has the code 99"),
        ([True], "no message has the code a boolean"),
        ([8], "PING: expected 1 fields, found 0"),
        ([8, "x"], "PING: expected an integer from 0 to 2\\^63-1, found text"),
        ([8, -1], "PING: .*one out of range"),
        ([14, 1, 2, True], "GET: expected text, found an integer"),
        ([4, [[1]]], "ACK: expected an array of 9 for Run"),
        ([12, 1, 3, False, 1, 1, 1, b"", True, 0, [], []], "SNAPSHOT: .* from 0 to 2"),
        ([10, 1, ["#"], []], "SUBSCRIBE: expected a map with text keys, found an array"),
    ],
    ids=str,
)
def test_a_wrong_shape_says_what_was_expected_and_what_was_found(value: Any, words: str) -> None:
    with pytest.raises(ProtocolFault, match=words):
        codec.decode(cbor2.dumps(value))


@pytest.mark.parametrize(
    ("frame", "code"),
    [
        ("81f7", "simple_value"),
        ("a1416100", "key_type"),
        ("8208f7", "simple_value"),
        ("82188807", "unknown_type"),
        ("8200a1416100", "key_type"),
        ("8211a0", "wrong_shape"),
    ],
)
def test_a_fault_of_the_encoding_goes_before_one_of_the_shape(frame: str, code: str) -> None:
    assert decoded(bytes.fromhex(frame)) == code


def test_a_snapshot_of_encoded_cells_is_the_frame_of_the_message() -> None:
    cells = [m.WireCell("a", b"\x01", 1, 2, 0, "p", 3, None)]
    message = m.Snapshot(7, m.DELTA, True, 1, 2, 3, bytes(16), True, 4, cells, [["b", "expired"]])
    encoded = cbor2.dumps(message.cells) + cbor2.dumps(message.removed)
    head = list(message[3:9])
    for now in (None, 0, 2**40):
        frame = codec.encode_snapshot(7, m.DELTA, head, encoded, more=True, now=now)
        assert frame == codec.encode(message._replace(now=now))


def test_a_client_of_the_first_hour_is_sent_no_field_that_it_does_not_know() -> None:
    """The present tick is left out, not null: an array of 12 as ever."""
    message = m.Snapshot(7, m.KEEPALIVE, False, 1, 2, 3, bytes(16), True, 4, [], [])
    assert cbor2.loads(codec.encode(message)[4:]) == [12, *message[:-1]]
    assert cbor2.loads(codec.encode(message._replace(now=5))[4:]) == [12, *message[:-1], 5]


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", None),
        (b"R", None),
        (b"RMF\x01", None),
        (b"RMF\x01 and more", None),
        (b"RMF\x02", "52 4d 46 01"),
        (b"\x16\x03\x01\x02\x00", "TLS"),
        (b"GET / HTTP/1.1", "HTTP"),
        (b"POST /x", "HTTP"),
        (b"X", "52 4d 46 01"),
    ],
)
def test_what_speaks_instead_of_rmf_is_named(data: bytes, words: str | None) -> None:
    found = codec.OPENING.fault(data)
    assert found is None if words is None else words in str(found)


def test_unknown_codes_are_final_and_every_back_off_belongs_to_a_retry() -> None:
    assert not retry_allowed("no_such_code")
    assert retry_allowed("busy")
    assert closes("superseded")
    assert not closes("busy")
    assert [code for code, x in FAULTS.items() if x.back_off_ms and not x.retry] == []


def test_the_largest_packet_fits_a_frame_and_the_largest_letter_one_of_the_node() -> None:
    topic, payload = "é" * (limits.TOPIC_BYTES_MAX // 2), bytes(limits.PAYLOAD_BYTES_MAX)
    packet = [topic, limits.SEQ_MAX, limits.HARVESTED_AT_MAX, limits.TTL_MS_MAX, payload, 1]
    assert len(codec.encode(m.Send([packet]))) - 4 <= limits.FRAME_BYTES_MAX
    letter = {"packet": bytes(limits.FRAME_BYTES_MAX), "traceback": "x" * 32 * limits.KIB}
    assert len(codec.encode(m.Item(1, letter))) - 4 <= limits.SERVER_FRAME_BYTES_MAX


def test_a_snapshot_of_many_cells_takes_few_calls_a_cell() -> None:
    """It took ten a cell: a World of a million kept a display for ten seconds."""

    def work(count: int) -> int:
        cells = [m.WireCell(f"{i}", b"\0", 1, 2, 3, "p", 4, i or None) for i in range(count)]
        snapshot = m.Snapshot(7, m.FULL, True, 1, 2, 3, bytes(16), True, 4, cells, [])
        frame = codec.encode(snapshot)[4:]
        return calls_of(lambda: codec.decode(frame))

    assert work(900) - work(100) <= 3 * 800


@pytest.mark.parametrize("field", range(len(m.WireCell._fields)))
@pytest.mark.parametrize("value", [None, -1, 2**63, 1.0, True, "x", b"y", [], {}])
def test_a_field_of_a_cell_among_others_is_what_it_is_alone(field: int, value: Any) -> None:
    """Cells are looked at by columns; the fault is named as if each was looked at by itself."""
    well = ["k", b"\0", 1, 2, 3, "p", 4, 5]
    other = [*well[:field], value, *well[field + 1 :]]

    def found(cells: list[Any]) -> Any:
        code = next(code for code, kind in m.CODES.items() if kind is m.Snapshot)
        fields = [code, 7, m.FULL, False, 1, 2, 3, bytes(16), True, 4, cells, [], 9]
        try:
            return codec.decode(cbor2.dumps(fields))
        except ProtocolFault as fault:
            return fault.code, fault.text

    alone = found([other])
    among = found([well, other, well])
    if isinstance(alone, m.Snapshot):
        among = among._replace(cells=among.cells[1:2])
        assert all(type(cell) is m.WireCell for cell in among.cells)
    assert among == alone
