"""Lives of a node: short random histories, lived through by a Playbook, for what holds in all."""

from typing import Any, NamedTuple

from hypothesis import strategies as st

from rmf import limits
from tests.core.kit import Playbook
from tests.core.surroundings import row_of

_KEYS = ["cell/a", "cell/b", "cell/loud/x", "cell/cursed/y", "keep/a", "fresh/f", "gone", "seen"]
_TTLS_MS = [1, 3, 60_000]


class Sent(NamedTuple):
    """Packets of one frame, by topic and payload, from one of two producers."""

    producer: int
    packets: list[tuple[str, Any]]
    ttl_ms: int


class Arrived(NamedTuple):
    """Frames that one Tick takes."""

    frames: list[Sent]


class Waited(NamedTuple):
    """Time that went by. Unless it was noticed, what is due waits for the next thing to happen."""

    ms: float
    noticed: bool


Step = Arrived | Waited

_packets = st.one_of(
    st.tuples(st.sampled_from(_KEYS[:5]), st.integers(0, 3)),
    st.tuples(st.just("fresh/f"), st.integers(0, 6)),
    st.tuples(st.just("remove"), st.lists(st.sampled_from(_KEYS), max_size=3)),
    st.tuples(st.just("see"), st.sampled_from(_KEYS)),
    st.tuples(st.sampled_from(["count/c", "poison", "nowhere"]), st.none()),
)
_frames = st.builds(
    Sent,
    st.integers(0, 1),
    st.lists(_packets, min_size=1, max_size=4),
    st.sampled_from(_TTLS_MS),
)
steps: st.SearchStrategy[Step] = st.one_of(
    st.builds(Arrived, st.lists(_frames, min_size=1, max_size=3)),
    st.builds(Waited, st.sampled_from([0.1, 1, 2, 5]), st.booleans()),
)
lives = st.lists(steps, max_size=10)


def live(life: list[Step], play: Playbook | None = None) -> Playbook:
    """Live through it, in a new node if none is given."""
    play = play or Playbook()
    people = [play.join("one"), play.join("two")]
    seqs = [producer.last_seq or 0 for producer in people]
    for step in life:
        if isinstance(step, Arrived):
            with play.together():
                for sent in step.frames:
                    rows = _rows(sent, seqs[sent.producer] + 1)
                    seqs[sent.producer] += len(rows)
                    people[sent.producer].send_rows(rows)
        elif step.noticed:
            play.advance(step.ms)
        else:
            play.boot_ns += int(step.ms * limits.MS)
    return play


def _rows(sent: Sent, first_seq: int) -> list[Any]:
    return [
        row_of(seq, topic=topic, payload=payload, ttl_ms=sent.ttl_ms)
        for seq, (topic, payload) in enumerate(sent.packets, start=first_seq)
    ]
