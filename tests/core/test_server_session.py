"""The node's end of a connection: each row of the published table, and what messages lead to."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cbor2
import pytest

from rmf import limits
from rmf.core import codec
from rmf.core import messages as m
from rmf.core.events import Asked, Joined, Left, Offered
from rmf.core.server_session import Complaint, ServerSession, Step
from rmf.core.transitions import CLOSED, HELLO, JOINING, OPEN, PREFACE
from rmf.errors import BadPreface, ProtocolFault
from tests.scripted_node import facts

CLUSTER = b"c" * 16
Row = dict[str, Any]
ROWS: list[Row] = json.loads(
    (Path(__file__).parent.parent.parent / "protocol" / "states.json").read_text("utf-8")
)
ROW_ID = "{state}-{event}-{case}"


def hello(**options: Any) -> m.Hello:
    return m.Hello({"versions": [1, 1], "agent": "tests", **options})


def body(message: m.Message) -> bytes:
    return codec.encode(message)[4:]


def session_in(state: str, producer: str | None = "probe") -> ServerSession:
    """A session that has come so far; open, as a producer's, if not said otherwise."""
    session = ServerSession(7, "tests:1")
    if state != PREFACE:
        session.open(codec.PREFACE, CLUSTER)
    if state in {JOINING, OPEN}:
        session.open(codec.encode(hello() if producer is None else hello(producer=producer)), b"")
    if state == OPEN and producer is not None:
        session.said([m.Welcome(facts(epoch=3, last_seq=0))])
    assert session.state == state
    return session


def told(session: ServerSession, message: m.Message) -> tuple[list[Step], str | None]:
    """What a message leads to, and the code of the fault that it is, if it is one."""
    if session.state == HELLO:
        try:
            return list(session.open(codec.encode(message), CLUSTER)), None
        except ProtocolFault as fault:
            return [], fault.code
    steps = list(session.take(body(message), 5))
    complaints = [step.fault.code for step in steps if isinstance(step, Complaint)]
    assert len(complaints) <= 1
    return steps, complaints[0] if complaints else None


def packet(seq: Any = 1) -> list[Any]:
    return ["cell/a", seq, 1_764_000_000, 5000, cbor2.dumps(7)]


SAMPLES: dict[type[m.Message], m.Message] = {
    m.Hello: hello(),
    m.Welcome: m.Welcome(facts()),
    m.Error: m.Error("busy", "", None),
    m.Send: m.Send([packet()]),
    m.Ack: m.Ack([]),
    m.Refuse: m.Refuse(1, "busy", 1, None, ""),
    m.Bye: m.Bye(),
    m.Goaway: m.Goaway("stopping", [], 0, ""),
    m.Ping: m.Ping(9),
    m.Pong: m.Pong(9, 1, 1),
    m.Subscribe: m.Subscribe(1, ["#"], {}),
    m.Unsubscribe: m.Unsubscribe(1),
    m.Snapshot: m.Snapshot(1, m.FULL, False, 1, 1, 1, b"", True, 0, [], []),
    m.Gap: m.Gap(1, 1),
    m.Get: m.Get(1, "a", True),
    m.Value: m.Value(1, 1, 1, 1, True, None),
    m.Query: m.Query(1, "status", {}),
    m.Item: m.Item(1, {}),
    m.End: m.End(1, None, None),
}
KINDS = {m.name_of(kind): message for kind, message in SAMPLES.items()}

# By event and case: the message, and who sends it.
CASES: dict[tuple[str, str], tuple[m.Message, str | None]] = {
    ("HELLO", "without a producer"): (hello(), None),
    ("HELLO", "of a producer"): (hello(producer="p"), None),
    ("HELLO", "of another version"): (hello(versions=[2, 3]), None),
    ("HELLO", "for another cluster"): (hello(cluster=b"another"), None),
    ("HELLO", "of a name that cannot be"): (hello(producer="a\nb"), None),
    ("HELLO", "with an option that cannot be"): (hello(producer=7), None),
    ("SEND", "no producer named"): (m.Send([packet()]), None),
    ("SEND", "no packet, or too many"): (m.Send([]), "probe"),
    ("SEND", "a packet has no readable seq"): (m.Send([packet(), packet("one")]), "probe"),
    ("SUBSCRIBE", "its number is in use"): (m.Subscribe(99, ["#"], {}), "probe"),
    ("SUBSCRIBE", "one too many"): (m.Subscribe(1, ["#"], {}), "probe"),
    ("SUBSCRIBE", "a bad filter"): (m.Subscribe(1, ["a/#/b"], {}), "probe"),
    ("SUBSCRIBE", "a bad option"): (m.Subscribe(1, ["#"], {"rate": 1}), "probe"),
}
BY_THE_ARBITER = {("SEND", "the name was forgotten")}  # it knows the table of producers

MESSAGES = [x for x in ROWS if x["event"] in KINDS]
ALWAYS = [x for x in MESSAGES if x["case"] is None]
SOMETIMES = [x for x in MESSAGES if x["case"] and (x["event"], x["case"]) not in BY_THE_ARBITER]


def named(rows: list[Row]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("row", rows, ids=lambda row: ROW_ID.format(**row))


def test_every_case_of_the_table_has_an_example() -> None:
    found = {(x["event"], x["case"]) for x in MESSAGES if x["case"]}
    assert found == set(CASES) | BY_THE_ARBITER


@named(ALWAYS)
def test_a_message_is_taken_or_refused_as_the_table_says(row: Row) -> None:
    session = session_in(row["state"])
    steps, code = told(session, KINDS[row["event"]])
    assert ([code] if code else []) == row["codes"]
    assert session.state == row["next"]
    if code is None:
        assert len(steps) == (0 if (row["event"], row["state"]) == ("BYE", JOINING) else 1)


@named(SOMETIMES)
def test_in_each_case_it_leads_where_the_table_says(row: Row) -> None:
    message, producer = CASES[row["event"], row["case"]]
    joins = row["state"] == JOINING
    session = session_in(row["state"], "probe" if joins else producer)
    session.watched |= {99} if row["case"] == "its number is in use" else set()
    if row["case"] == "one too many":
        session.watched |= set(range(2, 2 + limits.SUBSCRIPTIONS_PER_CONNECTION_MAX))
    watched = set(session.watched)
    steps, code = told(session, message)
    assert ([code] if code else []) == row["codes"]
    assert session.state == row["next"]
    assert [x for x in steps if isinstance(x, m.Subscribe)] == []
    assert session.watched == watched


# --- What else happens ----------------------------------------------------------------------------


def _too_long(session: ServerSession) -> None:
    shakes_hands = session.state == HELLO
    most = limits.FRAME_BEFORE_HELLO_BYTES_MAX if shakes_hands else limits.FRAME_BYTES_MAX
    list(session.receive((most + 1).to_bytes(4, "big"), 5))


def _faulty(session: ServerSession) -> None:
    for frame, code in ((b"\x82\x03", "not_well_formed"), (b"\x81\x18\x63", "unknown_type")):
        (step,) = session.receive(len(frame).to_bytes(4, "big") + frame, 5)
        assert isinstance(step, Complaint)
        assert (step.fault.code, step.data) == (code, frame)


def _silent(session: ServerSession) -> None:
    assert session.waits_until(10.0) == 10.0 + limits.IDLE_S_MAX
    raise session.late()


def _unfinished(session: ServerSession) -> None:
    session.feed(b"\0")
    for now_s in (10.0, 15.0):
        assert session.waits_until(now_s) == 10.0 + limits.FRAME_S_MAX
    raise session.late()


def _late(session: ServerSession) -> None:
    raise session.late()


OTHERS: dict[str, Callable[[ServerSession], object]] = {
    "`52 4d 46 01`": lambda session: session.open(codec.PREFACE, CLUSTER),
    "other bytes": lambda session: session.open(b"SSH-2.0", CLUSTER),
    f"{limits.HANDSHAKE_S_MAX:g} s since accept": _late,
    "a faulty frame, an unknown code": _faulty,
    "a length above the limit": _too_long,
    "silence for `idle_ms`": _silent,
    "a frame not finished in `frame_ms`": _unfinished,
    "its epoch is committed": lambda session: session.said([m.Welcome(facts(epoch=1))]),
}
NOT_OF_A_CLIENT = {  # the arbiter decides, or the connection notices: the stream ends with it
    "its name has not the epoch of HELLO",
    "the node does not reign, stops, is on strike",
    "a newer connection of the producer is welcome",
    "answers are not read",
    "it is being stopped",
    "its ledger is read again",
    "end of stream",
}


def test_no_row_of_the_table_is_left_out() -> None:
    assert {x["event"] for x in ROWS} == set(KINDS) | set(OTHERS) | NOT_OF_A_CLIENT


@named([x for x in ROWS if x["event"] in OTHERS])
def test_what_else_happens_leads_where_the_table_says(row: Row) -> None:
    session = session_in(row["state"])
    code = None
    try:
        OTHERS[row["event"]](session)
    except ProtocolFault as fault:
        code = fault.code
    if "with its code" not in row["answer"]:
        assert ([code] if code else []) == row["codes"]
    assert session.state == row["next"]


# --- What messages lead to ------------------------------------------------------------------------


def test_bytes_may_come_in_any_cut() -> None:
    said = codec.PREFACE + codec.encode(hello(producer="p", ephemeral=True, epoch=4, now=True))
    for cut in range(1, len(said)):
        session = ServerSession(7, "tests:1")
        assert session.open(said[:cut], CLUSTER) == ()
        assert session.state == (PREFACE if cut < len(codec.PREFACE) else HELLO)
        joined = Joined(7, "p", "self-declared:p", True, 4)
        assert session.open(said[cut:], CLUSTER) == [joined]
        assert session.guest is not None
        assert session.guest.dated


def test_what_follows_hello_in_the_same_read_waits_in_frames() -> None:
    session = ServerSession(7, "tests:1")
    said = codec.PREFACE + codec.encode(hello()) + codec.encode(m.Ping(5))
    assert session.open(said, CLUSTER) == [Asked(7, 0, "welcome")]
    assert list(session.frames()) == [body(m.Ping(5))]


def test_what_is_spoken_instead_is_kept_and_answered_in_its_own_words() -> None:
    session = ServerSession(7, "tests:1")
    with pytest.raises(BadPreface, match="HTTP") as caught:
        session.open(b"GET / HTTP/1.1\r\n", CLUSTER)
    assert caught.value.began == b"GET / HTTP/1.1\r\n"
    assert caught.value.answer.startswith(b"HTTP/1.1 400 Bad Request\r\n")
    assert session.state == CLOSED


@pytest.mark.parametrize(
    ("said", "step"),
    [
        (m.Ping(3), Asked(7, 3, "ping")),
        (m.Get(4, "a", True), Asked(7, 4, "get", "a", True)),
        (m.Query(5, "status", {}), Asked(7, 5, "status")),
        (m.Query(6, "dlq.list", {"limit": 1}), m.Query(6, "dlq.list", {"limit": 1})),
        (m.Query(7, "dlq.triage_edge", {}), m.Query(7, "dlq.triage_edge", {})),
        (m.Query(8, "backup", {"index": 1}), m.Query(8, "backup", {"index": 1})),
        (m.Unsubscribe(1), m.Unsubscribe(1)),
        (m.Bye(), Left(7, "probe", 3)),
    ],
    ids=str,
)
def test_a_message_leads_to_one_step(said: m.Message, step: Step) -> None:
    assert list(session_in(OPEN).take(body(said), 5)) == [step]


@pytest.mark.parametrize("subject", ["admin.strike", "line.would"])
def test_an_order_says_who_gives_it(subject: str) -> None:
    (step,) = session_in(OPEN, None).take(body(m.Query(1, subject, {"end": True})), 5)
    by = "self-declared:tests at tests:1"
    assert step == Asked(7, 1, subject, args={"end": True}, by=by)


def test_packets_are_offered_as_they_came_and_dated() -> None:
    said = m.Send([packet(1), packet(2)])
    (step,) = session_in(OPEN).take(body(said), 5)
    assert step == Offered(7, "probe", 3, body(said), said.packets, 0, {}, 5)


def test_what_cannot_have_an_outcome_is_complained_of_behind_what_can() -> None:
    said = m.Send([packet(1), "no packet", packet(2), packet(-1)])  # type: ignore[list-item]
    offered, *complaints = session_in(OPEN).take(body(said), 5)
    assert isinstance(offered, Offered)
    assert [row[1] for row in offered.rows] == [1, 2]
    found = [(x.fault.code, x.data) for x in complaints if isinstance(x, Complaint)]
    bad = (cbor2.dumps("no packet"), cbor2.dumps(packet(-1)))
    assert found == [("no_seq", data) for data in bad]


@pytest.mark.parametrize(
    ("said", "kept"),
    [(m.Send([]), True), (m.Subscribe(1, [], {}), False), (m.Hello({}), False)],
    ids=lambda x: type(x).__name__,
)
def test_a_letter_keeps_what_may_have_been_a_datum(said: m.Message, kept: bool) -> None:
    (step,) = session_in(OPEN).take(body(said), 5)
    assert isinstance(step, Complaint)
    assert step.data == (body(said) if kept else None)


def test_a_number_is_free_again_once_its_subscription_has_ended() -> None:
    session = session_in(OPEN)
    subscribe = body(m.Subscribe(1, ["#"], {}))
    for _ in range(2):
        session.take(subscribe, 5)
        assert session.watched == {1}
        session.take(body(m.Unsubscribe(1)), 5)
        assert session.watched == set()


def test_each_frame_has_its_own_time() -> None:
    """A frame that ends where the next begins does not inherit the time of the one before."""
    session = session_in(OPEN)
    ping = codec.encode(m.Ping(1))
    session.feed(ping[:3])
    assert session.waits_until(1.0) == 1.0 + limits.FRAME_S_MAX
    session.feed(ping[3:] + ping[:3])
    for frame in session.frames():
        session.take(frame, 5)
    assert session.waits_until(8.0) == 8.0 + limits.FRAME_S_MAX
