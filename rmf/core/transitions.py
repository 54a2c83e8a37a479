"""The states of a client's connection to a node, as `protocol/` publishes them (R41, R43).

One table: in which state what happens, what the node answers, and where that leads. The session
(see server_session) looks each message up in it, `protocol/states.json` and a table of
`protocol/README.md` are made from it, and the tests try every pair of state and message. Values
only: it knows neither bytes nor time.

    preface -> hello -> joining -> open -> closed        joining: only producers
"""

import re
from typing import NamedTuple

from rmf import limits
from rmf.core import messages as m
from rmf.core.faults import FAULTS

__all__ = [
    "CLOSED",
    "HELLO",
    "JOINING",
    "OPEN",
    "PREFACE",
    "REFUSED",
    "STATES",
    "TRANSITIONS",
    "Transition",
    "next_state",
]

STATES = PREFACE, HELLO, JOINING, OPEN, CLOSED = ("preface", "hello", "joining", "open", "closed")


class Transition(NamedTuple):
    """In each of `states` an event leads to the state `next`, or to none if that is None. `case`:
    when; "": always, or where no other case of the event applies. `answer` is what the node says,
    codes of the error table in backticks."""

    states: tuple[str, ...]
    event: str
    case: str
    answer: str
    next: str | None

    @property
    def codes(self) -> tuple[str, ...]:
        """The codes of the error table that the answer may carry."""
        return tuple(x for x in re.findall(r"`(\w+)`", self.answer) if x in FAULTS)

    @property
    def events(self) -> tuple[str, ...]:
        """What happens, one by one: names of messages, or what else it is, in words."""
        if self.event in _MANY:
            return _MANY[self.event]
        names = tuple(self.event.split(", "))
        return names if all(map(str.isupper, names)) else (self.event,)


_MANY = {
    "a message of the node": tuple(map(m.name_of, m.FROM_NODE)),
    "another message": tuple(m.name_of(x) for x in m.CODES.values() if x is not m.Hello),
}

# state | event | case | what the node answers | next state
_TABLE = f"""
preface | `52 4d 46 01` | | sends its own | hello
preface | other bytes | | ERROR `bad_preface`, or HTTP 400 | closed
preface, hello | {limits.HANDSHAKE_S_MAX:g} s since accept | | ERROR `handshake_timeout` | closed
hello | HELLO | without a producer | WELCOME | open
hello | HELLO | of a producer | registers it | joining
hello | HELLO | of another version | ERROR `wrong_version` | closed
hello | HELLO | for another cluster | ERROR `wrong_cluster` | closed
hello | HELLO | of a name that cannot be | ERROR `producer_name` | closed
hello | HELLO | with an option that cannot be | ERROR `wrong_shape` | closed
hello | another message | | ERROR `hello_expected` | closed
hello | a faulty frame, an unknown code | | ERROR with its code | closed
hello, joining, open | a length above the limit | | ERROR `frame_too_long` | closed
joining | its epoch is committed | | WELCOME | open
joining | its name has not the epoch of HELLO | once that is sure | ERROR `forgotten` | closed
joining | the node does not reign, stops, is on strike | | REFUSE with seq 0 and the leader | closed
joining | SEND | | ERROR `no_producer`, its bytes in a letter | same
joining, open | HELLO | | ERROR `hello_repeated` | closed
joining, open | a message of the node | | ERROR `unknown_type` | same
joining, open | a faulty frame, an unknown code | | ERROR with its code, bytes in a letter | same
joining, open | silence for `idle_ms` | | ERROR `idle_timeout` | closed
joining, open | a frame not finished in `frame_ms` | | ERROR `frame_timeout` | closed
open | SEND | | ACK after the commit, or REFUSE | same
open | SEND | no producer named | ERROR `no_producer`, its bytes in a letter | same
open | SEND | no packet, or too many | ERROR `frame_packets`, its bytes in a letter | same
open | SEND | a packet has no readable seq | `no_seq`, it is in a letter; the others as above | same
open | SEND | the name was forgotten | ERROR `forgotten` | closed
joining, open | SUBSCRIBE | | SNAPSHOTs | same
joining, open | SUBSCRIBE | its number is in use | ERROR `subscription_taken` | same
joining, open | SUBSCRIBE | one too many | ERROR `too_many_subscriptions` | same
joining, open | SUBSCRIBE | a bad filter | ERROR `bad_filter` | same
joining, open | SUBSCRIBE | a bad option | ERROR `wrong_shape` | same
joining, open | UNSUBSCRIBE | | END; nothing if there is no such subscription | same
joining, open | GET | | VALUE or END | same
joining, open | QUERY | | ITEMs and END | same
joining, open | PING | | PONG | same
open | a newer connection of the producer is welcome | | ERROR `superseded` | closed
open | answers are not read | | ERROR `slow_reader`, or none | closed
open | it is being stopped | | GOAWAY | closed
open | its ledger is read again | of a producer | GOAWAY | closed
joining, open | BYE | | - | closed
preface, hello, joining, open | end of stream | | - | closed
"""


def _row(line: str) -> Transition:
    states, event, case, answer, following = (cell.strip() for cell in line.split("|"))
    assert following == "same" or following in STATES, line
    named = tuple(states.split(", "))
    return Transition(named, event, case, answer, None if following == "same" else following)


TRANSITIONS: tuple[Transition, ...] = tuple(map(_row, _TABLE.strip().splitlines()))

_NEXT = {
    (state, event, row.case): row.next or state
    for row in TRANSITIONS
    for state in row.states
    for event in row.events
}
assert len(_NEXT) == sum(len(row.states) * len(row.events) for row in TRANSITIONS)

# By state: the kinds of messages that are refused there whatever they say, and with which code.
REFUSED: dict[str, dict[type[m.Message], str]] = {
    state: {
        kind: row.codes[0]
        for row in TRANSITIONS
        for kind in m.CODES.values()
        if state in row.states and m.name_of(kind) in row.events and not row.case and row.codes
    }
    for state in STATES
}


def next_state(state: str, event: str, case: str = "") -> str:
    """Return where an event leads. Raises KeyError for what is not in the table."""
    return _NEXT[state, event, case]
