"""Messages between nodes on the wire: round trips, cuts, garbage, and what is refused by name."""

from contextlib import suppress
from typing import Any

import cbor2
import crc32c
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from rmf import limits
from rmf.core import codec
from rmf.core.bag import Evidence, Letter
from rmf.core.entry import LineId
from rmf.core.raft import greetings as g
from rmf.core.raft import peer_messages as m
from rmf.core.raft import wire
from rmf.core.triage import Act
from rmf.errors import ProtocolFault
from tests.protocol.cddl_check import assert_peer_conforms
from tests.strategies import reads

NATURALS = st.integers(0, 2**63 - 1)
CHAINS = st.binary(min_size=16, max_size=16)
CONTENTS = st.binary(max_size=64)
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
BODIES = st.binary(max_size=300) | st.sampled_from([bytes(23), bytes(24), bytes(70_000)])
ENTRIES = st.lists(st.builds(m.WireEntry, NATURALS, st.integers(0, 2**32 - 1), BODIES), max_size=4)
INTEGERS = st.none() | st.integers(-(2**63), 2**63 - 1)
LETTERS = st.builds(
    Letter,
    TEXTS,
    TEXTS,
    TEXTS,
    TEXTS,
    st.none() | TEXTS,
    INTEGERS,
    st.none() | TEXTS,
    INTEGERS,
    *[NATURALS] * 3,
    *[INTEGERS] * 2,
    st.none() | TEXTS,
    st.none() | st.binary(max_size=16),
    st.builds(Evidence, TEXTS, TEXTS, TEXTS, st.lists(reads, max_size=3).map(tuple)),
    st.binary(max_size=50),
    st.integers(-(2**63), 2**63 - 1),
)
ACTS = st.builds(
    Act,
    *[NATURALS] * 3,
    *[TEXTS] * 3,
    st.lists(TEXTS, max_size=3).map(tuple),
    st.none() | TEXTS,
    st.none() | NATURALS,
    st.none() | TEXTS,
)
MESSAGES_BY_KIND: dict[type[Any], st.SearchStrategy[Any]] = {
    m.VoteAsk: st.builds(m.VoteAsk, *[NATURALS] * 3, st.booleans(), st.booleans()),
    m.VoteReply: st.builds(
        m.VoteReply, NATURALS, st.booleans(), st.booleans(), NATURALS, st.booleans(), NATURALS
    ),
    m.Append: st.builds(
        m.Append,
        *[NATURALS] * 3,
        CHAINS,
        *[NATURALS] * 3,
        st.booleans(),
        NATURALS,
        ENTRIES,
    ),
    m.AppendReply: st.builds(
        m.AppendReply, NATURALS, st.booleans(), *[NATURALS] * 4, st.booleans(), NATURALS
    ),
    m.Heartbeat: st.builds(m.Heartbeat, *[NATURALS] * 4, st.booleans(), *[NATURALS] * 3),
    m.HeartbeatReply: st.builds(m.HeartbeatReply, NATURALS, NATURALS, st.booleans()),
    m.Chunk: st.builds(
        m.Chunk, *[NATURALS] * 3, CHAINS, CONTENTS, NATURALS, NATURALS, BODIES, NATURALS
    ),
    m.ChunkReply: st.builds(
        m.ChunkReply, NATURALS, NATURALS, CONTENTS, NATURALS, st.booleans(), NATURALS
    ),
    m.CampaignNow: st.builds(m.CampaignNow, NATURALS),
    m.ReadAsk: st.builds(m.ReadAsk, NATURALS, NATURALS),
    m.ReadReply: st.builds(m.ReadReply, NATURALS, NATURALS, st.integers(-1, 2**63 - 1)),
    g.Hello: st.builds(
        g.Hello,
        TEXTS,
        CHAINS,
        st.none() | CHAINS,
        TEXTS,
        st.none() | CHAINS,
        NATURALS,
        st.tuples(NATURALS, NATURALS),
        NATURALS,
        TEXTS,
        TEXTS,
        st.lists(TEXTS, max_size=3).map(tuple),
        st.sampled_from(g.PURPOSES),
        st.none() | st.builds(LineId, TEXTS, NATURALS, CONTENTS),
    ),
    g.Welcome: st.builds(
        g.Welcome,
        TEXTS,
        CHAINS,
        st.none() | CHAINS,
        st.booleans(),
        NATURALS,
        NATURALS,
        TEXTS,
        TEXTS,
        st.lists(TEXTS, max_size=3).map(tuple),
    ),
    g.Refusal: st.builds(g.Refusal, st.sampled_from(sorted(g.REFUSALS)), TEXTS),
    g.LettersAsk: st.builds(g.LettersAsk, *[NATURALS] * 4),
    g.ActsAsk: st.builds(g.ActsAsk, NATURALS),
    g.Acts: st.builds(g.Acts, NATURALS, st.booleans(), st.lists(ACTS, max_size=3).map(tuple)),
    g.Letters: st.builds(
        g.Letters,
        NATURALS,
        st.booleans(),
        st.booleans(),
        st.lists(LETTERS, max_size=3).map(tuple),
    ),
    g.Alive: st.builds(g.Alive),
    g.Piece: st.builds(g.Piece, st.booleans(), BODIES.filter(bool)),
    g.Taken: st.builds(g.Taken, NATURALS),
}
MESSAGES = st.one_of(*MESSAGES_BY_KIND.values())
ENTRY = m.WireEntry(1, crc32c.crc32c(b"body"), b"body")
APPEND = m.Append(2, 7, 1, bytes(16), 7, 8, 1000, True, 5, [ENTRY])
CHUNK = m.Chunk(2, 7, 1, bytes(16), b"content", 100_000, 0, b"data", 5)
BIG = bytes(range(256)) * 256


def code_of(body: bytes) -> str:
    with pytest.raises(ProtocolFault) as caught:
        wire.decode(body)
    return caught.value.code


def test_every_message_has_a_strategy() -> None:
    assert set(MESSAGES_BY_KIND) == {*m.CODES.values(), *g.LINK_CODES.values()}
    assert not m.CODES.keys() & g.LINK_CODES.keys()


@pytest.mark.parametrize("kind", MESSAGES_BY_KIND, ids=lambda kind: kind.__name__)
def test_a_message_comes_back_as_it_went(kind: type[Any]) -> None:
    @given(MESSAGES_BY_KIND[kind])
    @settings(max_examples=40, deadline=None)
    def holds(message: Any) -> None:
        frame = wire.encode(message)
        assert int.from_bytes(frame[:4], "big") == len(frame) - 4
        assert wire.decode(frame[4:-4]) == message
        assert type(wire.decode(frame[4:-4])) is kind

    holds()


@given(MESSAGES)
@example(APPEND._replace(entries=[ENTRY._replace(body=BIG)]))
@example(CHUNK._replace(data=BIG))
@settings(deadline=None)
def test_a_frame_is_what_a_plain_encoder_would_write_and_conforms_to_the_cddl(message: Any) -> None:
    body = wire.encode(message)[4:-4]
    assert cbor2.dumps(cbor2.loads(body)) == body
    assert_peer_conforms(body)


@given(MESSAGES, st.data())
@settings(deadline=None)
def test_a_frame_that_is_cut_off_is_refused(message: Any, data: st.DataObject) -> None:
    body = wire.encode(message)[4:-4]
    cut = body[: data.draw(st.integers(0, len(body) - 1))]
    assert code_of(cut) == "not_well_formed"


@given(MESSAGES, st.binary(min_size=1, max_size=3))
@example(APPEND._replace(entries=[ENTRY._replace(body=BIG)]), b"\x00")
@settings(deadline=None)
def test_bytes_behind_a_message_are_refused(message: Any, more: bytes) -> None:
    assert code_of(wire.encode(message)[4:-4] + more) == "trailing_bytes"


@given(st.binary(max_size=60) | st.binary(max_size=60).map(lambda x: b"\x8b\x02" + x + BIG))
@settings(deadline=None)
def test_garbage_is_a_message_or_a_fault_with_a_name(garbage: bytes) -> None:
    with suppress(ProtocolFault):
        wire.decode(garbage)


@given(st.sampled_from([APPEND, CHUNK]), st.data())
@settings(deadline=None, max_examples=300)
def test_a_changed_byte_gives_a_message_or_a_fault_big_or_small(
    message: Any, data: st.DataObject
) -> None:
    if data.draw(st.booleans()):
        big = {"entries": [ENTRY._replace(body=BIG)]} if message is APPEND else {"data": BIG}
        message = message._replace(**big)
    body = bytearray(wire.encode(message)[4:-4])
    body[data.draw(st.integers(0, min(len(body), 80) - 1))] = data.draw(st.integers(0, 255))
    with suppress(ProtocolFault):
        assert wire.encode(wire.decode(bytes(body)))[4:-4] == body


BIG_APPEND = wire.encode(APPEND._replace(entries=[ENTRY._replace(body=BIG)]))[4:-4]


@pytest.mark.parametrize(
    ("old", "new", "code"),
    [
        (b"\x8b\x02\x02", b"\x8b\x02\x18\x02", "not_shortest"),
        (b"\x8b\x02\x02", b"\x8b\x02\x1b" + bytes(7) + b"\x02", "not_shortest"),
        (b"\x8b\x02\x02", b"\x8b\x02\x1c", "not_well_formed"),
        (b"\x8b\x02\x02", b"\x8b\x02\x1f", "not_well_formed"),
        (b"\x8b\x02\x02", b"\x8b\x02\xf7", "simple_value"),
        (b"\x8b\x02\x02", b"\x8b\x02\xc1\x02", "tag"),
        (b"\x8b\x02\x02", b"\x8b\x02\xf6", "wrong_shape"),
        (b"\x8b\x02\x02", b"\x8b\x02\x20", "wrong_shape"),
        (b"\x8b\x02\x02", b"\x8b\x02\x1b" + b"\xff" * 8, "wrong_shape"),
        (b"\x81\x83\x01", b"\x81\x83\x81\x01", "wrong_shape"),
        (b"\x81\x83\x01", b"\x9b\x7f" + bytes(7) + b"\x83\x01", "not_well_formed"),
    ],
)
def test_a_big_frame_is_held_to_the_same_profile_as_a_small_one(
    old: bytes, new: bytes, code: str
) -> None:
    assert BIG_APPEND.count(old) == 1
    assert code_of(BIG_APPEND.replace(old, new)) == code


def test_an_entry_that_was_changed_on_its_way_is_found_out() -> None:
    wire.check_entries(APPEND)
    wire.check_entries(m.CampaignNow(1))
    second = ENTRY._replace(body=b"bodY")
    with pytest.raises(ProtocolFault, match="entry_crc: Entry 9 "):
        wire.check_entries(APPEND._replace(entries=[ENTRY, second]))


def test_the_largest_entry_fits_a_frame() -> None:
    largest = ENTRY._replace(term=2**63 - 1, body=bytes(limits.ENTRY_BYTES_MAX))
    most = 2**63 - 1
    append = m.Append(most, most, most, bytes(16), most, most, most, True, most, [largest])
    frame = wire.encode(append)
    assert len(frame) - 4 <= limits.PEER_FRAME_BYTES_MAX
    assert wire.decode(frame[4:-4]) == append
    longer = append._replace(entries=[largest._replace(body=bytes(limits.ENTRY_BYTES_MAX + 1))])
    assert code_of(wire.encode(longer)[4:-4]) == "wrong_shape"


def test_what_speaks_instead_of_a_node_is_named_in_words() -> None:
    assert wire.OPENING.fault(b"") is None
    assert wire.OPENING.fault(b"RM") is None
    assert wire.OPENING.fault(wire.PREFACE + b"more") is None
    assert "client" in str(wire.OPENING.fault(codec.PREFACE))
    assert "HTTP" in str(wire.OPENING.fault(b"GET / HTTP/1.1"))
    assert "TLS" in str(wire.OPENING.fault(b"\x16\x03\x01\x02"))
    assert "52 4d 50 01" in str(wire.OPENING.fault(b"RMP\x02"))
    assert "peer" in str(codec.OPENING.fault(wire.PREFACE))


@given(MESSAGES, st.data())
@settings(deadline=None)
def test_a_frame_with_a_changed_bit_is_none(message: Any, data: st.DataObject) -> None:
    frame = bytearray(wire.encode(message))
    bit = data.draw(st.integers(32, 8 * len(frame) - 1))
    frame[bit // 8] ^= 1 << bit % 8
    frames = wire.Frames(limits.PEER_FRAME_BYTES_MAX)
    frames.feed(wire.encode(message))
    assert [wire.decode(item) for item in frames.frames()] == [message]
    frames.feed(bytes(frame))
    with pytest.raises(ProtocolFault) as caught:
        list(frames.frames())
    assert caught.value.code == "frame_crc"


@pytest.mark.parametrize(
    ("message", "understood"),
    [
        (m.Heartbeat(3, 7, 9, 70, True, 4, 8, 0), m.Heartbeat(3, 7, 9, 70, True, 4, 9, 7)),
        (m.VoteReply(3, False, True, 70, True, 60), m.VoteReply(3, False, True, 70, True, 70)),
        (m.AppendReply(3, True, 9, 0, 0, 4, True, 8), m.AppendReply(3, True, 9, 0, 0, 4, True, 9)),
    ],
    ids=["heartbeat", "vote_reply", "append_reply"],
)
def test_what_version_2_appended_is_left_out_towards_version_1(
    message: m.PeerMessage, understood: m.PeerMessage
) -> None:
    """And where a node of version 1 leaves it out, what it says already stands for it."""
    frame = wire.encode(message, version=1)
    said = cbor2.loads(wire.encode(message)[4:-4])
    assert cbor2.loads(frame[4:-4]) == said[: -len(m.APPENDED[type(message)])]
    assert wire.decode(frame[4:-4]) == understood
    assert wire.encode(message, version=2) == wire.encode(message)
    assert wire.encode(m.CampaignNow(3), version=1) == wire.encode(m.CampaignNow(3))


def test_a_message_that_lacks_more_than_a_version_appended_is_none() -> None:
    for fields in ([4, 3, 7, 9, 70, True], [1, 3, False, True, 70], [2, 3]):
        with pytest.raises(ProtocolFault) as caught:
            wire.decode(cbor2.dumps(fields))
        assert caught.value.code == "wrong_shape"
