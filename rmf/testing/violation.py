"""What a checker raises: an invariant does not hold. It names the rule and says what was seen."""

__all__ = ["Violation", "Void", "demand"]


class Violation(Exception):
    """The core, or what a simulation does in the place of the floor, broke a rule."""

    def __init__(self, rule: str, text: str) -> None:
        super().__init__(f"{rule}: {text}")
        self.rule = rule


class Void(Exception):
    """The run proves nothing: it committed too little, or met no fault."""


def demand(holds: bool, rule: str, text: str) -> None:
    """Raise Violation unless it holds. Where the text costs anything, check first, then raise."""
    if not holds:
        raise Violation(rule, text)
