"""Lives of a node: short random histories, lived through by a Playbook, for what holds in all."""

from typing import Any, NamedTuple

from hypothesis import strategies as st

from tests.core.kit import Playbook
from tests.core.surroundings import row_of

_KEYS = ["cell/a", "cell/b", "cell/loud/x", "cell/cursed/y", "keep/a", "fresh/f", "gone", "seen"]
_TTLS_MS = [1, 3, 60_000]


class Sent(NamedTuple):
    """Packets of one frame, by topic and payload, from one of two producers."""

    producer: int
    packets: list[tuple[str, Any]]
    ttl_ms: int


class Waited(NamedTuple):
    """Time that went by."""

    ms: float


Step = Sent | Waited

_packets = st.one_of(
    st.tuples(st.sampled_from(_KEYS[:5]), st.integers(0, 3)),
    st.tuples(st.just("fresh/f"), st.integers(0, 6)),
    st.tuples(st.just("remove"), st.lists(st.sampled_from(_KEYS), max_size=3)),
    st.tuples(st.just("see"), st.sampled_from(_KEYS)),
    st.tuples(st.sampled_from(["count/c", "poison", "nowhere"]), st.none()),
)
steps: st.SearchStrategy[Step] = st.one_of(
    st.builds(
        Sent,
        st.integers(0, 1),
        st.lists(_packets, min_size=1, max_size=4),
        st.sampled_from(_TTLS_MS),
    ),
    st.builds(Waited, st.sampled_from([0.1, 1, 2, 5])),
)
lives = st.lists(steps, max_size=10)


def live(life: list[Step], play: Playbook | None = None) -> Playbook:
    """Live through it, in a new node if none is given."""
    play = play or Playbook()
    people = [play.join("one"), play.join("two")]
    seqs = [producer.last_seq or 0 for producer in people]
    for step in life:
        if isinstance(step, Waited):
            play.advance(step.ms)
            continue
        rows = [
            row_of(seqs[step.producer] + i, topic=topic, payload=payload, ttl_ms=step.ttl_ms)
            for i, (topic, payload) in enumerate(step.packets, start=1)
        ]
        seqs[step.producer] += len(rows)
        people[step.producer].send_rows(rows)
    return play
