"""Sessions of producers that come back: what the factory remembers of a name, and what it refuses.

It knows the steps of a session, and no files.
"""

from typing import Any

from rmf.core import messages as m
from tools.vectors.good import packet, welcome
from tools.vectors.steps import applied, client, closes, hello, node, opening, session

__all__ = ["comebacks"]


def comebacks() -> list[dict[str, Any]]:
    """Return these sessions."""
    forgotten = m.Error("forgotten", "producer 'probe-3' is in epoch 1840 here, not beyond", None)
    hole = m.Refuse(3, "seq_gap", 2, None, "seq 3 came where 2 was expected; resend from there")
    return [
        session(
            "forgotten",
            "RMF-39",
            "A producer comes back with an epoch that its name never had: it must not resend",
            [
                *opening(),
                client(m.Send([packet(1)])),
                applied(1, 1),
                closes("client"),
                *hello(producer="probe-3", epoch=2**40),
                node(forgotten, code="forgotten"),
                closes(),
            ],
        ),
        session(
            "ephemeral",
            "RMF-13",
            "A name that is to stay does not become ephemeral: BYE forgets nothing",
            [
                *opening(),
                client(m.Send([packet(1)])),
                applied(1, 1),
                closes("client"),
                *hello(producer="probe-3", ephemeral=True),
                node(
                    welcome(epoch=1841, last_seq=1, ephemeral=False),
                    facts__last_seq=1,
                    facts__ephemeral=False,
                ),
                client(m.Bye()),
                closes(),
                *opening(epoch=1842, last_seq=1),
            ],
        ),
        session(
            "holes",
            "RMF-14",
            "Holes within a frame: the first one refuses the rest of it, once",
            [
                *opening(),
                client(m.Send([packet(seq) for seq in (1, 3, 5)])),
                applied(1, 1),
                node(hole, seq=3, code="seq_gap", expected=2),
                client(m.Send([packet(2)])),
                applied(2, 1),
            ],
        ),
    ]
