"""Holds frames against `protocol/rmf.cddl`, those between nodes against `protocol/peers.cddl`, and
all of them against the profile, for any test that sees what is sent.
"""

import re
from functools import cache
from pathlib import Path

import cddl_verifier

from rmf.core import profile
from rmf.core.messages import CODES
from rmf.core.raft import greetings, peer_messages

__all__ = [
    "CDDL",
    "PEERS_CDDL",
    "assert_conforms",
    "assert_peer_conforms",
    "faults_of",
    "peer_faults_of",
    "peer_rule_of",
    "rule_of",
]

CDDL = Path(__file__).parent.parent.parent / "protocol" / "rmf.cddl"
PEERS_CDDL = CDDL.with_name("peers.cddl")
PEER_CODES = peer_messages.CODES | greetings.LINK_CODES


def assert_conforms(frame_body: bytes) -> None:
    """Fail if one frame (without its length) breaks the profile or its message's CDDL rule."""
    profile.scan(frame_body)
    faults = faults_of(frame_body)
    assert not faults, f"{frame_body[:64].hex(' ')}: {faults}"


def faults_of(frame_body: bytes) -> tuple[str, ...]:
    """Return what the CDDL says against a frame that is within the profile."""
    result = _validator(CDDL).validate(frame_body, root_type=rule_of(frame_body))
    return () if result.valid else result.errors


def rule_of(frame_body: bytes) -> str:
    """Return the rule of a frame's message; the whole choice where its code is unknown."""
    message = profile.decode(frame_body)
    if type(message) is not list or not message or type(message[0]) is not int:
        return "message"
    kind = CODES.get(message[0])
    return kind.__name__.lower() if kind is not None else "message"


def assert_peer_conforms(frame_body: bytes) -> None:
    """Fail if one frame between nodes breaks the profile or its message's CDDL rule."""
    profile.scan(frame_body)
    faults = peer_faults_of(frame_body)
    assert not faults, f"{frame_body[:64].hex(' ')}: {faults}"


def peer_faults_of(frame_body: bytes) -> tuple[str, ...]:
    """Return what the CDDL says against a frame between nodes that is within the profile."""
    result = _validator(PEERS_CDDL).validate(frame_body, root_type=peer_rule_of(frame_body))
    return () if result.valid else result.errors


def peer_rule_of(frame_body: bytes) -> str:
    """Return the rule of a message between nodes; the whole choice where its code is unknown."""
    message = profile.decode(frame_body)
    known = type(message) is list and message and type(message[0]) is int
    kind = PEER_CODES.get(message[0]) if known else None
    if kind is None:
        return "peer-message"
    return re.sub("(?<!^)([A-Z])", r"-\1", kind.__name__).lower()


@cache
def _validator(path: Path) -> cddl_verifier.Validator:
    return cddl_verifier.Validator(path)
