"""Holds frames against `protocol/rmf.cddl` and the profile, for any test that sees what is sent."""

from functools import cache
from pathlib import Path

import cddl_verifier

from rmf.core import profile
from rmf.core.messages import CODES

__all__ = ["CDDL", "assert_conforms", "faults_of", "rule_of"]

CDDL = Path(__file__).parent.parent.parent / "protocol" / "rmf.cddl"


def assert_conforms(frame_body: bytes) -> None:
    """Fail if one frame (without its length) breaks the profile or its message's CDDL rule."""
    profile.scan(frame_body)
    faults = faults_of(frame_body)
    assert not faults, f"{frame_body[:64].hex(' ')}: {faults}"


def faults_of(frame_body: bytes) -> tuple[str, ...]:
    """Return what the CDDL says against a frame that is within the profile."""
    result = _validator().validate(frame_body, root_type=rule_of(frame_body))
    return () if result.valid else result.errors


def rule_of(frame_body: bytes) -> str:
    """Return the rule of a frame's message; the whole choice where its code is unknown."""
    message = profile.decode(frame_body)
    if type(message) is not list or not message or type(message[0]) is not int:
        return "message"
    kind = CODES.get(message[0])
    return kind.__name__.lower() if kind is not None else "message"


@cache
def _validator() -> cddl_verifier.Validator:
    return cddl_verifier.Validator(CDDL)
