"""The vectors, played without a socket: each connection is a session, the node one in memory."""

from typing import Any

from rmf.core import codec
from rmf.core import events as ev
from rmf.core import messages as m
from rmf.core.faults import FAULTS
from rmf.core.server_session import Complaint, ServerSession
from rmf.core.transitions import CLOSED, OPEN, PREFACE, REFUSED
from rmf.errors import BadPreface, ProtocolFault
from rmf.line.board import board
from rmf.testing.lone_node import LoneNode
from tests.protocol.test_vectors import BAD, GOOD, SESSIONS, STREAMS, frame_of, named
from tests.scripted_node import facts
from tools.vectors.steps import step_fault
from tools.vectors.streams import chunks_of

_BY_PUBLISHER_OR_STORE = {"snapshot", "gap", "item"}  # neither is in a node in memory
PLAYED = [
    vector
    for vector in SESSIONS
    if vector["needs"] is None
    and not _BY_PUBLISHER_OR_STORE & {step.get("type") for step in vector["decoded"]}
]
EVENTS = ev.Joined | ev.Offered | ev.Left | ev.Asked


def opened() -> ServerSession:
    """A session of a producer that was welcomed."""
    session = ServerSession(1, "tests")
    hello = m.Hello({"versions": [1, 1], "agent": "tests", "producer": "probe-3"})
    assert len(session.open(codec.PREFACE + codec.encode(hello), b"")) == 1
    session.said([m.Welcome(facts(epoch=1, last_seq=0))])
    return session


class Connection:
    """One connection of a session, from both sides."""

    def __init__(self, number: int, node: LoneNode) -> None:
        self.number = number
        self.session = ServerSession(number, "tests")
        self.raw = b""  # what the node said before any message
        self._node = node
        self._heard: list[m.Message] = []

    def say(self, data: bytes) -> None:
        """Be the client."""
        try:
            for step in self.session.receive(data, self._node.now_ns):
                if isinstance(step, Complaint):
                    self._complain(step.fault)
                else:
                    assert isinstance(step, EVENTS), step
                    self._node.happen(step)
        except BadPreface as fault:
            self.raw = fault.answer or codec.PREFACE
            if not fault.answer:
                self._complain(fault)
        except ProtocolFault as fault:
            self._complain(fault)
        if self.session.state != PREFACE and not self.raw:
            self.raw = codec.PREFACE

    def _complain(self, fault: ProtocolFault) -> None:
        self._heard.append(m.Error(fault.code, fault.text, None))

    def hear(self) -> m.Message | None:
        """Return the node's next message, as soon as it says one; None: it says nothing more."""
        for _ in range(20):
            heard = self._node.heard.pop(self.number, [])
            self.session.said(heard)
            self._heard += heard
            if self._heard:
                return self._heard.pop(0)
            self._node.wait_for_due()
        return None


@named(PLAYED)
def test_a_session_of_the_vectors_is_played_in_memory(vector: dict[str, Any]) -> None:
    node, number, connections = LoneNode(board), 0, dict[str, Connection]()
    last: m.Message | None = None
    for step in vector["decoded"]:
        name, data = step["connection"], bytes.fromhex(step["hex"])
        if name not in connections:
            number += 1
            connections[name] = Connection(number, node)
        connection = connections[name]
        if not data:
            if step["from"] == "node":
                assert connection.hear() is None
                assert connection.session.state == CLOSED or says_why_it_closes(last)
            node.happen(ev.Lost(connection.number))
            del connections[name]
        elif step["from"] == "client":
            connection.say(data)
        elif "match" in step:
            last = connection.hear()
            assert last is not None
            assert step_fault(step, last) is None
        else:
            assert connection.raw.startswith(data)
    assert number


def says_why_it_closes(message: m.Message | None) -> bool:
    return isinstance(message, m.Error) and FAULTS[message.code].closes


def test_most_sessions_are_played() -> None:
    assert len(PLAYED) >= 12


@named(BAD)
def test_a_session_names_the_fault_of_a_bad_frame_and_goes_on(vector: dict[str, Any]) -> None:
    session = opened()
    found = []
    for step in session.take(frame_of(vector), 0):
        if isinstance(step, Complaint):
            found.append(step.fault.code)
        else:
            assert isinstance(step, ev.Offered)
            found += [verdict.reason for verdict in step.verdicts.values()]
    assert vector["expect"] in found
    assert session.state == OPEN


@named(GOOD)
def test_a_good_frame_is_complained_of_only_where_the_table_says_so(vector: dict[str, Any]) -> None:
    frame = frame_of(vector)
    complaints = [x.fault.code for x in opened().take(frame, 0) if isinstance(x, Complaint)]
    kind = type(codec.decode(frame))
    refused = REFUSED[OPEN].get(kind)
    assert complaints == ([] if refused is None else [refused])


@named(STREAMS)
def test_a_stream_leads_to_the_same_however_it_is_cut(vector: dict[str, Any]) -> None:
    data = bytes.fromhex(vector["hex"])
    found = []
    for sizes in vector["chunks"]:
        session = ServerSession(1, "tests")
        steps: list[str] = []
        ends = "ok"
        try:
            for chunk in chunks_of(data, sizes):
                for step in session.receive(chunk, 0):
                    steps.append(repr(step))  # noqa: PERF401 those before a fault count
        except ProtocolFault as fault:
            ends = fault.code
        assert ends in {vector["expect"], "ok"}
        found.append((steps, ends, session.state))
    assert [x for x in found if x != found[0]] == []
