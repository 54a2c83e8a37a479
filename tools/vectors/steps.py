"""The steps of a session: what one side sends, and what of a node's answer must be so.

A step of a client holds bytes as on the wire. Of a node's frame only the fields in `match` must be
equal, the rest is an example: what a node calls itself, which term and tick it is in, is its own
matter. A path in `match` is the name of a field, then positions and keys: `runs.0.2`.
"""

from typing import Any

from rmf.client.render import to_json
from rmf.core import messages as m
from rmf.core.codec import PREFACE, encode
from tools.vectors.entries import text_of
from tools.vectors.good import welcome

__all__ = [
    "Step",
    "applied",
    "bagged",
    "client",
    "closes",
    "hello",
    "node",
    "opening",
    "prefaces",
    "raw",
    "session",
    "step_fault",
]

Step = dict[str, Any]


def step_fault(step: Step, message: m.Message) -> str | None:
    """Return how a node's message differs from what a session's step asks for, or None."""
    expected = step["type"]
    found = type(message).__name__.lower()
    if found != expected:
        return f"expected {expected.upper()}, found {found.upper()}: {message}"
    for path, wanted in step["match"].items():
        try:
            value = _value_at(message, path)
        except (LookupError, TypeError):
            return f"{found.upper()}: {path}: expected {wanted!r}, found nothing there: {message}"
        if to_json(value) != wanted:
            return f"{found.upper()}: {path}: expected {wanted!r}, found {value!r}"
    return None


def _value_at(message: m.Message, path: str) -> Any:
    """Return what a path leads to. Raises LookupError or TypeError if that is nothing."""
    value: Any = message._asdict()
    for part in path.split("."):
        value = value[int(part)] if isinstance(value, list | tuple) else value[part]
    return value


def client(message: m.Message, *, on: str = "a") -> Step:
    """Return the step of a client's message on the connection named `on`."""
    return raw("client", encode(message), text_of(encode(message)[4:]), on)


def raw(side: str, data: bytes, text: str, on: str = "a") -> Step:
    """Return the step in which a side sends these bytes, whatever they are."""
    return {"from": side, "connection": on, "hex": data.hex(), "diag": text}


def node(message: m.Message, *, on: str = "a", **match: Any) -> Step:
    """Return the step of a node's message; `match` names fields, `__` for a dot."""
    frame = encode(message)
    paths = {path.replace("__", "."): to_json(value) for path, value in match.items()}
    kind = type(message).__name__.lower()
    assert step_fault({"type": kind, "match": paths}, message) is None, (message, paths)
    return {**raw("node", frame, text_of(frame[4:]), on), "type": kind, "match": paths}


def prefaces(on: str = "a") -> list[Step]:
    """Return the first steps of a connection. After a close they open it again."""
    preface = PREFACE.hex()
    return [
        {"from": side, "connection": on, "hex": preface, "diag": "preface"}
        for side in ("client", "node")
    ]


def closes(side: str = "node", on: str = "a") -> Step:
    """Return the step in which a side closes the connection."""
    return {"from": side, "connection": on, "hex": "", "diag": "closes the connection"}


def hello(on: str = "a", **options: Any) -> list[Step]:
    """Return the steps up to a client's HELLO."""
    hello = m.Hello({"versions": [1, 1], "agent": "example/1.0", **options})
    return [*prefaces(on), client(hello, on=on)]


def opening(*, epoch: int = 1840, last_seq: int = 0, on: str = "a") -> list[Step]:
    """Return the steps with which a producer begins; its epoch depends on the present tick."""
    return [
        *hello(on, producer="probe-3"),
        node(
            welcome(epoch=epoch, last_seq=last_seq, ephemeral=False),
            on=on,
            facts__version=1,
            facts__last_seq=last_seq,
        ),
    ]


def applied(seq: int, packets: int, *, duplicate: bool = False) -> Step:
    """Return the step that acks packets as applied."""
    run = m.Run(seq, packets, m.APPLIED, duplicate, 1, 1841, 0, None, None)
    return node(
        m.Ack([run]),
        runs__0__0=seq,
        runs__0__1=packets,
        runs__0__2=m.APPLIED,
        runs__0__3=duplicate,
    )


def bagged(seq: int, reason: str) -> Step:
    """Return the step that acks one packet as bagged."""
    run = m.Run(seq, 1, m.BAGGED, False, 1, 1842, 0, reason, "1.1842.0")
    return node(m.Ack([run]), runs__0__0=seq, runs__0__2=m.BAGGED, runs__0__7=reason)


def session(
    name: str, req: str, description: str, steps: list[Step], *, needs: str | None = None
) -> dict[str, Any]:
    """Return a session; `needs` says what its node must be, if not a fresh one."""
    sent = "".join(step["hex"] for step in steps if step["from"] == "client")
    return {
        "id": f"session-{name}",
        "req": req,
        "description": description,
        "hex": sent,
        "diag": [step["diag"] for step in steps],
        "decoded": steps,
        "expect": "ok",
        "needs": needs,
        "notes": "",
    }
