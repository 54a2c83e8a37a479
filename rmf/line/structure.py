"""From a decoded payload to the class that a handler declared, or a readable reason (R22).

cattrs coerces where it should check: `"5"` becomes 5, an integer becomes that many zero bytes, a
text becomes a list of its characters. So every primitive has a strict hook here and every
container checks what it is given; the one concession is an integer where a float is declared,
because encoders write 21.0 as 21.

Two converters: the fast one only says that something is wrong, the slow one, asked afterwards,
says what and where. The declared class is the user's and may run code of its own (validators,
`__attrs_post_init__`); whatever that raises means that the payload is not as declared.
"""

from collections.abc import Callable
from typing import Any, get_args

import cattrs
from cattrs.cols import (
    homogenous_tuple_structure_factory,
    is_any_set,
    is_frozenset,
    is_mutable_sequence,
    list_structure_factory,
)
from cattrs.strategies import configure_union_passthrough

from rmf import limits
from rmf.core.bag import clip, evidence_of
from rmf.core.packet import kind_of
from rmf.line.glovebox.marker import Overtime
from rmf.line.payload import PayloadInvalid

__all__ = ["Structure", "structure_for"]

Structure = Callable[[Any], Any]
_Hook = Callable[[Any, Any], Any]


class _Wrong(Exception):
    """A value is not what was declared; the text goes into the reason as it is."""


def structure_for(declared: Any) -> Structure:
    """Return the function that makes a `declared` of a decoded payload, or raises PayloadInvalid.

    Raises what cattrs raises for a class it cannot structure.
    """
    hook = _fast.get_structure_hook(declared)
    slow_hook = _slow.get_structure_hook(declared)

    def structure(payload: Any) -> Any:
        try:
            return hook(payload, declared)
        except Overtime:
            raise  # its time is used up: to ask the slow converter would hang once more
        except BaseException as exc:  # noqa: BLE001 the declared class may raise anything
            # It is not async: no cancellation comes here.
            reason = _reason(slow_hook, payload, declared, exc)
            raise PayloadInvalid(reason) from None  # noqa: ASYNC104

    return structure


def _reason(slow_hook: _Hook, payload: Any, declared: Any, first: BaseException) -> str:
    """Ask the slow converter what is wrong, and where."""
    try:
        slow_hook(payload, declared)
    except BaseException as exc:  # noqa: BLE001, ASYNC103 as above
        first = exc
    faults = cattrs.transform_error(first, format_exception=_words)
    shown = "; ".join(faults[: limits.FAULTS_SHOWN_MAX])
    more = len(faults) - limits.FAULTS_SHOWN_MAX
    text = f"{shown}; and {more} more" if more > 0 else shown
    return clip(text, limits.EVIDENCE_TEXT_BYTES_MAX)


def _words(exc: BaseException, _declared: type | None) -> str:
    if type(exc) is KeyError:
        return "required field missing"
    text = exc.args[0] if isinstance(exc, _Wrong | TypeError | ValueError) and exc.args else None
    if type(text) is str:  # of a validator of attrs the rest is attribute, class and value
        return text
    evidence = evidence_of(exc)
    return f"{evidence.type}: {evidence.message}"


class _Strict(cattrs.Converter):
    """A converter that checks the kind of container before it looks into it."""

    def gen_structure_attrs_fromdict(self, cl: Any) -> _Hook:
        return _only(dict, super().gen_structure_attrs_fromdict(cl))

    def gen_structure_typeddict(self, cl: Any) -> _Hook:
        return _only(dict, super().gen_structure_typeddict(cl))

    def gen_structure_mapping(self, cl: Any) -> Any:
        return _only(dict, super().gen_structure_mapping(cl))

    def gen_structure_hetero_tuple(self, cl: Any) -> _Hook:
        return _only(list, super().gen_structure_hetero_tuple(cl))


def _only(kind: type, hook: _Hook) -> _Hook:
    words = "a map" if kind is dict else "an array"

    def guarded(value: Any, declared: Any) -> Any:
        if type(value) is not kind:
            raise _Wrong(f"expected {words}, found {kind_of(value)}")
        return hook(value, declared)

    return guarded


def _exact(kind: type) -> _Hook:
    def check(value: Any, _declared: Any) -> Any:
        if type(value) is not kind:
            raise _Wrong(f"expected {kind.__name__}, found {kind_of(value)}")
        return value

    return check


def _float(value: Any, _declared: Any) -> float:
    if type(value) is not float and type(value) is not int:
        raise _Wrong(f"expected float, found {kind_of(value)}")
    return float(value)


def _list(declared: Any, converter: Any) -> _Hook:
    return _only(list, list_structure_factory(declared, converter))


def _tuple(declared: Any, converter: Any) -> _Hook:
    return _only(list, homogenous_tuple_structure_factory(declared, converter))


def _is_homogenous_tuple(declared: Any) -> bool:
    args = get_args(declared)
    return declared is tuple or (
        getattr(declared, "__origin__", None) is tuple and len(args) == 2 and args[1] is Ellipsis
    )


def _set(declared: Any, converter: Any) -> _Hook:
    items = get_args(declared)
    as_list = converter.get_structure_hook(list[items[0] if items else Any])  # type: ignore[misc]
    make = frozenset if is_frozenset(declared) else set
    return lambda value, _: make(as_list(value, None))


def _converter(*, detailed: bool) -> cattrs.Converter:
    converter = _Strict(detailed_validation=detailed)
    configure_union_passthrough(str | bytes | int | float | bool | None, converter)
    for kind in (int, str, bytes, bool):
        converter.register_structure_hook(kind, _exact(kind))
    converter.register_structure_hook(float, _float)
    converter.register_structure_hook_factory(is_mutable_sequence, _list)
    converter.register_structure_hook_factory(_is_homogenous_tuple, _tuple)
    converter.register_structure_hook_factory(is_any_set, _set)
    return converter


_fast = _converter(detailed=False)
_slow = _converter(detailed=True)
