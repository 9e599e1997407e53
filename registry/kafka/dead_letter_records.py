"""Letters: what the dead-letter topic holds, and what was done about each record on it.

A *letter* is a record that a worker has set aside. It is identified by its source: topic, partition
and offset. Set aside twice, it is still one letter. A *mark* on the same topic says that a letter
was replayed or dropped; the newest one counts. It comes after its letter, so it is kept at least as
long: every reader of the topic, on any machine, knows what was done.

Pure. Knows headers; must not know Kafka's client. `streams.delivery.dead_letters` writes the
letters.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final, Literal, NamedTuple, TypeAlias, get_args

Headers: TypeAlias = Sequence[tuple[str, bytes | None]]
What: TypeAlias = Literal["replayed", "dropped"]
State: TypeAlias = Literal["open", "replayed", "dropped"]

DEALT: Final[tuple[What, ...]] = get_args(What)

MARK: Final = "mark"
"""The header that makes a record a mark, if it has no `REASON`."""

REASON: Final = "reason"
"""The first of a letter's own headers; those before it are the source's."""

REPLAY_OF: Final = "replay_of"
"""Header of a replayed record: its letter's source. A letter with it failed again."""


class Source(NamedTuple):
    """Where a record stood that was set aside."""

    topic: str
    partition: int
    offset: int

    def __str__(self) -> str:
        """Say it in one word.

        >>> str(Source("reco.requests", 3, 17))
        'reco.requests/3/17'
        """
        return f"{self.topic}/{self.partition}/{self.offset}"


@dataclass(frozen=True, slots=True)
class Letter:
    """One record that was set aside.

    Parameters
    ----------
    offset
        Where it stands on the dead-letter topic, the first time.
    at_ms
        When it was put there, milliseconds since the epoch.
    source
        Where it came from.
    reason, error, worker
        The code of why it could not be used, the message, and who says so.
    key, value
        Byte for byte; the value is None if it was none, or if Kafka did not take it.
    headers
        The source's own.
    left_out
        Why the letter has no value though the source has; None: it has it.
    value_bytes
        Size of the source's value.
    state
        What was done about it.
    """

    offset: int
    at_ms: int
    source: Source
    reason: str
    error: str
    worker: str
    key: bytes | None
    value: bytes | None
    headers: Headers
    left_out: str | None
    value_bytes: int
    state: State = "open"

    def with_value(self, value: bytes | None) -> Letter:
        """Return the letter with its value, which `Box` leaves out."""
        return replace(self, value=value)

    @property
    def replay_of(self) -> str | None:
        """The source of the letter that this one is a vain replay of."""
        return next((_text(value) for name, value in self.headers if name == REPLAY_OF), None)


class LetterMark(NamedTuple):
    """What was done about a letter."""

    source: Source
    what: What


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which letters are asked for; an empty field asks for all.

    Parameters
    ----------
    topics, reasons
        Of the source, and codes.
    since_ms, until_ms
        Bounds of ``at_ms``: ``since_ms <= at_ms < until_ms``.
    offsets
        On the dead-letter topic.
    states
        What was done about them.
    """

    topics: tuple[str, ...] = ()
    reasons: tuple[str, ...] = ()
    since_ms: float | None = None
    until_ms: float | None = None
    offsets: tuple[int, ...] = ()
    states: tuple[State, ...] = ()

    def includes(self, letter: Letter) -> bool:
        """Tell whether `letter` is asked for."""
        return (
            (not self.topics or letter.source.topic in self.topics)
            and (not self.reasons or letter.reason in self.reasons)
            and (self.since_ms is None or letter.at_ms >= self.since_ms)
            and (self.until_ms is None or letter.at_ms < self.until_ms)
            and (not self.offsets or letter.offset in self.offsets)
            and (not self.states or letter.state in self.states)
        )


@dataclass(slots=True)
class Box:
    """All letters of the topic, by source; ``foreign`` records were neither letter nor mark."""

    _letters: dict[Source, Letter] = field(default_factory=dict)
    _marks: dict[Source, What] = field(default_factory=dict)
    foreign: int = 0

    def add(self, record: Letter | LetterMark | None) -> None:
        """Take in one record of the topic, in the order of the topic.

        A letter comes without its value, which may be megabytes.
        """
        if isinstance(record, Letter):
            self._letters.setdefault(record.source, replace(record, value=None))
        elif isinstance(record, LetterMark):
            self._marks[record.source] = record.what
        else:
            self.foreign += 1

    def letters(self) -> Iterator[Letter]:
        """Yield the letters with their states, in the order in which they were set aside."""
        for source, letter in self._letters.items():
            yield replace(letter, state=self._marks.get(source, "open"))


def letter_of(
    offset: int, at_ms: int, key: bytes | None, value: bytes | None, headers: Headers
) -> Letter | LetterMark | None:
    """Return what a record of the dead-letter topic is; None if it is neither letter nor mark.

    Examples
    --------
    >>> place = [("source_topic", b"t"), ("source_partition", b"0"), ("source_offset", b"7")]
    >>> letter_of(1, 0, None, b"{", [("mine", b"1"), ("reason", b"malformed"), *place]).headers
    [('mine', b'1')]
    >>> letter_of(2, 0, None, None, [("mark", b"replayed"), *place])
    LetterMark(source=Source(topic='t', partition=0, offset=7), what='replayed')
    """
    last = max((place for place, (name, _) in enumerate(headers) if name == REASON), default=None)
    ours = {name: _text(content) for name, content in headers[last or 0 :]}
    source = _source(ours)
    if source is None:
        return None
    if last is None:
        return next((LetterMark(source, what) for what in DEALT if ours.get(MARK) == what), None)
    return Letter(
        offset,
        at_ms,
        source,
        ours[REASON],
        ours.get("error", ""),
        ours.get("worker", ""),
        key,
        value,
        list(headers[:last]),
        ours.get("value_left_out"),
        _size(ours.get("value_bytes"), value),
    )


def mark_headers(source: Source, what: What, by: str) -> list[tuple[str, str | bytes | None]]:
    """Return the headers of a mark, which has neither key nor value; ``by`` says who made it."""
    return [
        (MARK, what),
        ("source_topic", source.topic),
        ("source_partition", str(source.partition)),
        ("source_offset", str(source.offset)),
        ("by", by),
    ]


def replay_headers(letter: Letter) -> list[tuple[str, str | bytes | None]]:
    """Return the headers of the record that is sent again: the source's own, and whose replay."""
    own = [(name, value) for name, value in letter.headers if name != REPLAY_OF]
    return [*own, (REPLAY_OF, str(letter.source))]


def counts(letters: Iterable[Letter]) -> Mapping[tuple[str, str, State], int]:
    """Return how many letters there are, by source topic, reason and state."""
    found: dict[tuple[str, str, State], int] = {}
    for letter in letters:
        name = (letter.source.topic, letter.reason, letter.state)
        found[name] = found.get(name, 0) + 1
    return dict(sorted(found.items()))


def _source(ours: Mapping[str, str]) -> Source | None:
    try:
        return Source(
            ours["source_topic"], int(ours["source_partition"]), int(ours["source_offset"])
        )
    except (KeyError, ValueError):
        return None


def _size(written: str | None, value: bytes | None) -> int:
    return int(written) if written is not None and written.isdecimal() else len(value or b"")


def _text(value: bytes | None) -> str:
    return (value or b"").decode("utf-8", "backslashreplace")
