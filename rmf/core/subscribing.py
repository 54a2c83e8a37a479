"""Whether a SUBSCRIBE makes sense: plain checks, before the publisher hears of it (R35, R43)."""

from rmf import limits
from rmf.core import messages as m
from rmf.core import topics
from rmf.core.packet import kind_of
from rmf.errors import ProtocolFault

__all__ = ["subscribe_fault"]

_OPTIONS: dict[str, tuple[type, ...]] = {
    "mode": (str,),
    "rate_hz": (int, float),
    "every_tick": (bool,),
    "from_tick": (int,),
}


def subscribe_fault(subscribe: m.Subscribe, taken: set[int]) -> ProtocolFault | None:
    """Return what is wrong with a SUBSCRIBE, given the numbers in use, or None."""
    if subscribe.number in taken:
        return ProtocolFault("subscription_taken", f"number {subscribe.number} is in use")
    if len(taken) >= limits.SUBSCRIPTIONS_PER_CONNECTION_MAX:
        most = limits.SUBSCRIPTIONS_PER_CONNECTION_MAX
        return ProtocolFault("too_many_subscriptions", f"at most {most} on one connection")
    filters = subscribe.filters
    if not 1 <= len(filters) <= limits.FILTERS_PER_SUBSCRIPTION_MAX:
        most = limits.FILTERS_PER_SUBSCRIPTION_MAX
        return ProtocolFault("bad_filter", f"1 to {most} filters are taken, found {len(filters)}")
    for pattern in filters:
        fault = topics.filter_fault(pattern)
        if fault is not None:
            return ProtocolFault("bad_filter", fault)
    text = _option_fault(subscribe.options)
    return ProtocolFault("wrong_shape", f"SUBSCRIBE: {text}") if text is not None else None


def _option_fault(options: dict[str, object]) -> str | None:
    for name, value in options.items():
        kinds = _OPTIONS.get(name)
        if kinds is None:
            return f"unknown option {name!r}; known are {', '.join(_OPTIONS)}"
        if type(value) not in kinds:
            return f"option {name!r} must not be {kind_of(value)}"
    if options.get("mode", "delta") not in {"full", "delta"}:
        return "mode must be 'full' or 'delta'"
    rate = options.get("rate_hz", 1)
    if not (isinstance(rate, int | float) and 0 < rate < 1e9):  # also refuses NaN
        return "rate_hz must be greater than 0"
    tick = options.get("from_tick", 0)
    if not (isinstance(tick, int) and 0 <= tick <= limits.SEQ_MAX):
        return f"from_tick must be 0 to {limits.SEQ_MAX}"
    return None
