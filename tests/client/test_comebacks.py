"""Exactly once between a real core and real producers' logs (R32, R33): stateful.

Three names on a node whose table holds three: people who send, lose their connection with answers
on it, come back, or begin anew as another process; a crowd that crowds them out, strangers who say
HELLO and BYE under their name; refusals of every kind, strikes with packets on their way to the
disk, crashes, and copies of the disk that are put back. Every datum is another one. Always:

- no datum is applied twice in the history that stands;
- what is acked is that very datum, in the history that stands;
- who was acked something that a copy has not got is told when it comes back, and ends;
- nobody is forgotten but by a crowd, or by such a copy.
"""

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from rmf import limits
from rmf.client.client_session import refused_by
from rmf.client.producer import ProducerLog
from rmf.core import events as ev
from rmf.core import messages as m
from rmf.core.codec import decode
from rmf.core.entry import Leaver
from rmf.core.packet import PAYLOAD, SEQ
from rmf.errors import Refused
from rmf.testing.knobs import bounds
from tests.core.kit import Playbook
from tests.core.surroundings import Disk, Producer, row_of

NAMES = ["ada", "bob"]
PLACES = 3
name = st.sampled_from(NAMES)


class Person:
    """A process that sends under a name. `data` are its packets' payloads, `acked` those with an
    outcome; `ended` is why it had to give up."""

    def __init__(self, who: str) -> None:
        self.who = who
        self.log = ProducerLog()
        self.line: Producer | None = None
        self.read = 0
        self.data: dict[int, bytes] = {}
        self.acked: dict[int, str] = {}
        self.ended: Refused | None = None
        self.wronged = False
        self.shared = False  # somebody else spoke under this name
        self.forgotten = False  # it may be: a copy was put back since it began

    def hang_up(self) -> None:
        self.line = None
        self.log.lost()


class Comebacks(RuleBasedStateMachine):
    """What the outside does, and what it knows."""

    def __init__(self) -> None:
        super().__init__()
        self.few = bounds({"PRODUCERS_MAX": PLACES})
        self.few.__enter__()
        self.play = Playbook()
        self.people = {who: Person(who) for who in NAMES}
        self.made = self.newcomers = 0
        self.copy = Disk()

    # --- People -------------------------------------------------------------------------------

    @rule(who=name, packets=st.integers(1, 5))
    def send(self, who: str, packets: int) -> None:
        """Connect if need be, make packets, and send what may be sent."""
        self.connect(who)
        person = self.people[who]
        if person.log.epoch and person.ended is None:
            rows = [row_of(0, topic="keep/a", payload=self.made + i) for i in range(packets)]
            self.made += packets
            person.log.add(rows, self.play.boot_ns)
            for row in rows:
                person.data[row[SEQ]] = row[PAYLOAD]
        self.write(who)

    def connect(self, who: str) -> None:
        person = self.people[who]
        if person.line is None and person.ended is None:
            person.log.hello_said()
            person.line = self.play.join(who, epoch=person.log.claim)
            person.read = 0
            self.hear(who, 1)

    def write(self, who: str) -> None:
        person = self.people[who]
        if person.line is not None and person.ended is None and person.line.epoch is not None:
            for frame in person.log.frames(self.play.boot_ns):
                message = decode(frame[4:])
                assert isinstance(message, m.Send)
                person.line.send_rows(message.packets)

    @rule(who=name, messages=st.integers(1, 3))
    def hear(self, who: str, messages: int) -> None:
        """Take in so many answers, and send what may be sent then."""
        person = self.people[who]
        for _ in range(messages):
            if person.line is None or person.ended is not None:
                return
            if person.read == len(person.line.heard):
                if person.line.closed:
                    person.hang_up()
                return
            person.read += 1
            try:
                self.take(person, person.line.heard[person.read - 1])
            except Refused as exc:
                person.ended = exc
                person.hang_up()
                if exc.code == "forgotten":
                    for run in person.log.forget():
                        assert run.outcome == m.UNKNOWN
                        self.note(person, run)

    def take(self, person: Person, message: m.Message) -> None:
        match message:
            case m.Welcome():
                person.log.welcomed(message)
            case m.Ack():
                for run in person.log.acked(message):
                    self.note(person, run)
            case m.Refuse(seq=0):
                person.hang_up()
            case m.Refuse():
                person.log.refused(message, self.play.boot_ns, 0.0)
            case m.Error():
                raise refused_by(message)
            case _:
                raise AssertionError(message)

    def note(self, person: Person, run: m.Run) -> None:
        for seq in range(run.seq, run.seq + run.packets):
            assert seq not in person.acked, "a second outcome"
            person.acked[seq] = m.OUTCOMES[run.outcome]
            if run.outcome == m.APPLIED:
                assert person.data[seq] in self.history(), "acked, but another datum, or none"

    @rule(who=name)
    def lose_the_connection(self, who: str) -> None:
        person = self.people[who]
        if person.line is not None:
            line = person.line
            person.hang_up()
            self.play.happen(ev.Lost(line.connection))

    @rule(who=name)
    def begin_anew_as_another_process(self, who: str) -> None:
        self.lose_the_connection(who)
        self.people[who] = Person(who)

    # --- Others -------------------------------------------------------------------------------

    @rule(send=st.booleans())
    def come_in_a_crowd(self, send: bool) -> None:
        for _ in range(PLACES):
            self.newcomers += 1
            newcomer = self.play.join(f"crowd-{self.newcomers}")
            if send and newcomer.epoch is not None:
                newcomer.send(1, topic="cell/crowd")
            self.play.happen(ev.Lost(newcomer.connection))

    @rule(who=name, brief=st.booleans(), away=st.booleans())
    def say_hello_under_another_name(self, who: str, brief: bool, away: bool) -> None:
        """Somebody else, as long as its owner is away or not."""
        self.people[who].shared = True
        if away:
            self.lose_the_connection(who)
        stranger = self.play.join(who, ephemeral=brief)
        if stranger.epoch is not None:
            stranger.bye()
        self.play.happen(ev.Lost(stranger.connection))

    # --- The node -----------------------------------------------------------------------------

    @rule(ms=st.sampled_from([1, 100, 5_000]))
    def wait(self, ms: int) -> None:
        self.play.advance(ms)

    @rule(hold=st.booleans())
    def hold_the_disk(self, hold: bool) -> None:
        self.play.disk.held = hold
        if not hold:
            self.play.sync()

    @rule(mark=st.sampled_from(["ok", "hard"]))
    def fill_the_disk(self, mark: str) -> None:
        self.play.happen(ev.DiskMark(mark, 1))

    @rule(written=st.booleans())
    def strike_and_start_again(self, written: bool) -> None:
        """What was refused may be on its way to the disk all the same (W1)."""
        self.play.happen(ev.Struck("admin", "somebody says so"))
        self.hear_all()
        if written:
            self.play.sync()
        self.start_from(self.play.disk)

    @rule()
    def crash(self) -> None:
        self.start_from(self.play.disk)

    @rule()
    def copy_the_disk(self) -> None:
        self.copy = self.play.disk.copied()

    @rule()
    def put_the_copy_back(self) -> None:
        self.start_from(self.copy.copied())
        history = self.history()
        for person in self.people.values():
            person.forgotten = True
            person.wronged |= any(
                outcome == "applied" and person.data[seq] not in history
                for seq, outcome in person.acked.items()
            )

    def start_from(self, disk: Disk) -> None:
        self.play.disk = disk
        self.play = self.play.restart(after_ms=50)
        for person in self.people.values():
            person.hang_up()

    # --- What must hold -----------------------------------------------------------------------

    def history(self) -> list[bytes]:
        """The data that were applied, in order."""
        found: list[bytes] = []
        for _, books in self.play.ticks:
            bagged = {bag.slot for bag in books.bags}
            found += [
                row[PAYLOAD]
                for frame in books.frames
                for slot, row in enumerate(frame.rows, frame.first_slot)
                if slot not in bagged and row[0] == "keep/a"
            ]
        return found

    @invariant()
    def no_datum_is_applied_twice(self) -> None:
        history = self.history()
        assert len(history) == len(set(history))

    def may_be_forgotten(self, person: Person) -> bool:
        """Whether there was a reason for it: a copy of before, a crowd, or somebody brief who
        spoke under the name."""
        left = [leaver for _, books in self.play.ticks for leaver in books.leavers]
        return person.forgotten or person.shared or Leaver(person.who, "crowded") in left

    def hear_all(self) -> None:
        for who in NAMES:
            self.hear(who, 1_000)

    def teardown(self) -> None:
        try:
            self.settle()
            self.judge()
        finally:
            self.few.__exit__(None, None, None)

    def settle(self) -> None:
        """Everything works, and people are patient."""
        self.play.disk.held = False
        self.play.sync()
        self.play.happen(ev.DiskMark("ok", 1))
        for _ in range(20):
            for who in NAMES:
                self.connect(who)
                self.hear(who, 1_000)
                self.write(who)
                self.hear(who, 1_000)
            self.wait(int(limits.RECONNECT_S_MAX * 1_000))

    def judge(self) -> None:
        self.no_datum_is_applied_twice()
        history = self.history()
        for person in self.people.values():
            if person.ended is None:
                assert person.log.unacked == 0
                assert not person.wronged, "it was acked what is not there, and not told"
                assert sorted(person.acked) == sorted(person.data)
            else:
                # Who shares a name may be told of the other one first: it ends all the same.
                told = person.ended.code == "forgotten" or person.shared
                assert told or not person.wronged
                assert person.ended.code == "superseded" or self.may_be_forgotten(person)
            if not person.wronged:
                applied = [seq for seq, what in person.acked.items() if what == "applied"]
                assert {person.data[seq] for seq in applied} <= set(history)


TestComebacks = pytest.mark.slow(Comebacks.TestCase)
TestComebacks.settings = settings(deadline=None, max_examples=40, stateful_step_count=40)
