"""The Line: what users write (R22). It collects handlers, and refuses at load what cannot work.

A Line knows which handler wants a topic, and who it is: name, version, and a digest of its source
(R21). It runs nothing; line/inline does. Two handlers that could want one topic are refused when
the line is loaded, so that which one runs is never a matter of order.
"""

import inspect
from collections.abc import Callable
from hashlib import blake2b
from types import CodeType
from typing import Any, TypeVar, cast

import attrs

from rmf import limits
from rmf.core import topics
from rmf.core.entry import LineId
from rmf.errors import LineError
from rmf.line.cell_values import type_name
from rmf.line.structure import Structure, structure_for

__all__ = ["Handler", "Line"]

# As the maker of cells a line's name stands behind "line:", where a producer's name stands else.
LINE_NAME_BYTES_MAX = limits.PRODUCER_NAME_BYTES_MAX - len("line:")

_Function = TypeVar("_Function", bound=Callable[..., Any])


@attrs.frozen(eq=False)
class Handler:
    """A function for the topics that match `filter`. `where` is "file:line, in name";
    `structure` makes the declared class of a payload, None where none was declared."""

    filter: str
    function: Callable[[Any, Any], Any]
    declared: Any
    where: str
    matches: Callable[[str], bool]
    structure: Structure | None = None


class Line:
    """The user's logic: pure functions of (world, packet) that return the changes.

    `name` is text; `version` is an integer from 1 on, or its digits. Raises LineError else.
    """

    def __init__(self, name: str, version: str | int = "1") -> None:
        self.name = _checked_name(name)
        self.version = _checked_version(version)
        self._handlers: list[Handler] = []
        self._expired: list[Handler] = []
        self._digest: bytes | None = None
        self._given_digest: bytes | None = None
        self.by_topic: dict[str, Handler | None] = {}
        self._by_key: dict[str, Handler | None] = {}

    @property
    def identity(self) -> LineId:
        """The line as the ledger names it (R21)."""
        return LineId(self.name, self.version, self.digest)

    def listens(self, key: str) -> bool:
        """Whether a handler hears of it when the cell of this key expires (R9)."""
        return self.expired_handler_of(key) is not None

    def __repr__(self) -> str:
        return f"Line({self.name!r}, version={self.version})"

    def on(self, filter: str, cls: Any = None) -> Callable[[_Function], _Function]:  # noqa: A002
        """Register the decorated function for packets whose topic matches `filter`.

        It is called with (world, packet) and returns None or a dict of changes. With `cls`
        `packet.payload` is an instance of it; a payload that is none is bagged.
        """
        return self._register(self._handlers, filter, cls, "packet")

    def on_expired(self, filter: str) -> Callable[[_Function], _Function]:  # noqa: A002
        """Register the decorated function for cells that expire, whose key matches `filter` (R9).

        It is called with (world, cell). A plain value it returns has no shelf life to inherit and
        is kept, as with Keep.
        """
        return self._register(self._expired, filter, None, "cell")

    def _register(
        self, handlers: list[Handler], pattern: str, declared: Any, second: str
    ) -> Callable[[_Function], _Function]:
        if type(pattern) is not str:
            hint = " (write @line.on('topic/filter'))" if callable(pattern) else ""
            raise LineError(
                f"line {self.name!r}: expected a filter as text, found {type_name(pattern)}{hint}"
            )
        fault = topics.filter_fault(pattern)
        if fault is not None:
            raise LineError(f"line {self.name!r}: {fault}")

        def register(function: _Function) -> _Function:
            where = _where(function)
            _check_function(function, where, second)
            handlers.append(Handler(pattern, function, declared, where, topics.matcher(pattern)))
            self._forget()
            return function

        return register

    def _forget(self) -> None:
        self._digest = None
        self.by_topic.clear()
        self._by_key.clear()

    # --- Loading ------------------------------------------------------------------------------

    def check(self) -> None:
        """Make the line ready to run.

        Raises LineError: no handlers, filters that overlap, a class that cannot be structured.
        """
        if not self._handlers and not self._expired:
            raise LineError(
                f"line {self.name!r} has no handlers: decorate a function with @line.on(FILTER)"
            )
        self._refuse_overlaps("on", self._handlers)
        self._refuse_overlaps("on_expired", self._expired)
        self._handlers = [self._with_structure(handler) for handler in self._handlers]
        self._forget()
        self._digest = self._compute_digest()

    def _refuse_overlaps(self, kind: str, handlers: list[Handler]) -> None:
        for i, left in enumerate(handlers):
            for right in handlers[i + 1 :]:
                if topics.overlap(left.filter, right.filter):
                    raise LineError(
                        f"line {self.name!r}: the filters {left.filter!r} ({left.where}) and"
                        f" {right.filter!r} ({right.where}) of @line.{kind} overlap: a topic may"
                        " have one handler only; make one of them narrower"
                    )

    def _with_structure(self, handler: Handler) -> Handler:
        if handler.declared is None or handler.structure is not None:
            return handler
        try:
            structure = structure_for(handler.declared)
        except Exception as exc:
            name = getattr(handler.declared, "__name__", "the declared class")
            raise LineError(
                f"line {self.name!r}: payloads cannot be made into {name} ({handler.where}):"
                f" {type(exc).__name__}: {exc}"
            ) from exc
        return attrs.evolve(handler, structure=structure)

    # --- Who it is ----------------------------------------------------------------------------

    @property
    def digest(self) -> bytes:
        """16 bytes over name, version, filters and the handlers' sources (R21).

        Helpers that a handler calls are not covered: raise the version when they change.
        """
        if self._digest is None:
            self._digest = self._compute_digest()
        return self._digest

    def _compute_digest(self) -> bytes:
        if self._given_digest is not None:
            return self._given_digest
        parts = [self.name, str(self.version)]
        for kind, handlers in (("on", self._handlers), ("on_expired", self._expired)):
            for handler in sorted(handlers, key=lambda handler: handler.filter):
                parts += [kind, handler.filter, _source(handler.function)]
                parts.append("" if handler.declared is None else _source(handler.declared))
        hashed = blake2b(digest_size=16)
        for part in parts:
            raw = part.encode("utf-8", "surrogatepass")
            hashed.update(len(raw).to_bytes(8, "big"))
            hashed.update(raw)
        return hashed.digest()

    @property
    def filters(self) -> tuple[str, ...]:
        """The topic filters of the handlers for packets."""
        return tuple(handler.filter for handler in self._handlers)

    @property
    def expired_filters(self) -> tuple[str, ...]:
        """The key filters of the handlers for expired cells."""
        return tuple(handler.filter for handler in self._expired)

    @property
    def places(self) -> tuple[tuple[str, str], ...]:
        """Filter and place of each handler, those of packets before those of expired cells."""
        return tuple((handler.filter, handler.where) for handler in self._handlers + self._expired)

    # --- Looked at from outside ---------------------------------------------------------------

    def wrapped(self, wrap: Callable[[Handler], Callable[[Any, Any], Any]]) -> "Line":
        """Return this line with other functions in the place of its handlers', each made by `wrap`:
        for tools that have to know when a handler is called, and what it does. Its name, its
        version and its digest are this line's."""
        made = Line(self.name, self.version)
        made._handlers = [attrs.evolve(x, function=wrap(x)) for x in self._handlers]
        made._expired = [attrs.evolve(x, function=wrap(x)) for x in self._expired]
        made._given_digest = self.digest
        made.check()
        return made

    @property
    def handlers(self) -> tuple[Handler, ...]:
        """The handlers for packets, in the order of their registration."""
        return tuple(self._handlers)

    @property
    def expired_handlers(self) -> tuple[Handler, ...]:
        """The handlers for expired cells, in the order of their registration."""
        return tuple(self._expired)

    # --- Whom it wants ------------------------------------------------------------------------

    def handler_of(self, topic: str) -> Handler | None:
        """Return the handler for packets of this topic, if there is one."""
        return _find(self._handlers, self.by_topic, topic)

    def expired_handler_of(self, key: str) -> Handler | None:
        """Return the handler for the expiry of this key, if there is one."""
        return _find(self._expired, self._by_key, key)


def _find(handlers: list[Handler], found: dict[str, Handler | None], topic: str) -> Handler | None:
    """Look up a topic, in `found` first; full, it is forgotten and built again."""
    try:
        return found[topic]
    except KeyError:
        pass
    handler = next((handler for handler in handlers if handler.matches(topic)), None)
    if len(found) >= limits.HANDLER_CACHE_TOPICS:
        found.clear()
    found[topic] = handler
    return handler


def _checked_name(name: Any) -> str:
    if type(name) is not str or not name or not name.isprintable():
        raise LineError("a line's name is text of at least one character, all of them printable")
    if len(name.encode()) > LINE_NAME_BYTES_MAX:
        raise LineError(f"a line's name has at most {LINE_NAME_BYTES_MAX} bytes: {name[:40]!r}…")
    return name


def _checked_version(version: Any) -> int:
    if type(version) is str and version.isascii() and version.isdecimal() and len(version) <= 10:
        version = int(version)
    if type(version) is not int or not 1 <= version <= limits.LINE_VERSION_MAX:
        found = repr(version[:40]) if type(version) is str else type_name(version)
        raise LineError(
            f"a line's version is a whole number from 1 to {limits.LINE_VERSION_MAX}, found"
            f" {found}: it goes up with each change of the line"
        )
    return version


def _check_function(function: Any, where: str, second: str) -> None:
    """Refuse what cannot be called as a handler."""
    if not callable(function):
        raise LineError(f"expected a function as handler, found {type_name(function)}")
    for is_no_handler, words in (
        (inspect.iscoroutinefunction, "an async function"),
        (inspect.isasyncgenfunction, "an async generator"),
        (inspect.isgeneratorfunction, "a generator"),
    ):
        if is_no_handler(function):
            raise LineError(
                f"{where}: a handler is a plain function that returns its changes, found {words}"
            )
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):
        return  # a callable written in C may not say; the call will
    try:
        signature.bind(None, None)
    except TypeError as exc:
        raise LineError(f"{where}: a handler is called with (world, {second}): {exc}") from None


def _where(function: Any) -> str:
    name = getattr(function, "__qualname__", None) or type_name(function)
    code = getattr(inspect.unwrap(function) if callable(function) else None, "__code__", None)
    if not isinstance(code, CodeType):
        return f"in {name}"
    return f'File "{code.co_filename}", line {code.co_firstlineno}, in {name}'


def _source(thing: Any) -> str:
    """Return the source of a function or class, else its code, else its name."""
    try:
        return inspect.getsource(thing)
    except (OSError, TypeError):
        code = getattr(thing, "__code__", None)
        if isinstance(code, CodeType):
            return _code_text(code)
        return cast("str", getattr(thing, "__qualname__", type_name(thing)))


def _code_text(code: CodeType) -> str:
    """Return what a code object does as text; constants that are code are looked into."""
    plain = (int, float, str, bytes, bool, type(None))
    constants = [
        _code_text(x) if isinstance(x, CodeType) else repr(x) if isinstance(x, plain) else ""
        for x in code.co_consts
    ]
    return "\0".join((code.co_code.hex(), *code.co_names, *code.co_varnames, *constants))
