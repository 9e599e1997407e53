"""Usage: which versions the environments name, read from Kafka.

Knows where versions are named: in the states that the results of all commands carry, and in
commands that wait to be decided. Must not know what is done about it. A record that cannot be read
might name a version, so it is an error and never skipped.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from typing import Final

from confluent_kafka import Message

from registry.errors import RecordError, TransportError
from registry.kafka.topic_reader import ALL, messages, reading
from registry.kafka.topics import Topic, topics_of
from registry.rollout.command_transitions import versions_named
from registry.settings import Settings
from registry.versions.garbage import Named
from registry.wire.codec import decode
from registry.wire.command_results import CommandResult
from registry.wire.commands import Command
from registry.wire.rollout_state import RolloutState

READ_SECONDS: Final = 60.0
"""How long a whole topic may take; one that holds years of commands is read in a few seconds."""


def versions_in_use(settings: Settings, since: datetime | None = None) -> Named:
    """Return who names which version, of all environments on the control topics of `settings`.

    Parameters
    ----------
    settings
        Broker and control prefix.
    since
        Results before this do not count as history, but each environment's newest state is;
        None: the whole history counts. With a time zone.

    Raises
    ------
    TransportError
        If Kafka cannot be read, if a result is unreadable, or if there is no state at all, which
        is how a wrong prefix looks.
    """
    topics = topics_of(settings)
    results = [
        _result(topics.control_results, message)
        for message in _all(settings, topics.control_results)
    ]
    named: defaultdict[str, list[str]] = defaultdict(list)
    for version, who in _named_by_results(results, since):
        named[version].append(who)
    if not named:
        raise TransportError(
            f"{topics.control_results.name} names no version, as if no version was ever deployed; "
            "is RECSTREAM_CONTROL_PREFIX or RECSTREAM_TOPIC_PREFIX right?"
        )
    decided = {result.command_id for result in results}
    for version, who in _named_by_commands(_all(settings, topics.control), decided):
        named[version].append(who)
    return {version: list(dict.fromkeys(who)) for version, who in named.items()}


def versions_in_use_under(
    settings: Settings, prefixes: Iterable[str], since: datetime | None = None
) -> Named:
    """Return the same for each of several control prefixes, together."""
    named: defaultdict[str, list[str]] = defaultdict(list)
    for prefix in prefixes:
        of_prefix = settings.model_copy(update={"control_prefix": prefix})
        for version, who in versions_in_use(of_prefix, since).items():
            named[version] += who
    return dict(named)


def _named_by_results(
    results: Sequence[CommandResult], since: datetime | None
) -> Iterator[tuple[str, str]]:
    states = [(result, state) for result in results for state in _states_of(result)]
    newest: dict[str, RolloutState] = {}
    for result, state in states:
        if state.epoch >= newest.setdefault(result.environment, state).epoch:
            newest[result.environment] = state
    for environment, state in newest.items():
        yield from ((version, f"state of {environment}") for version in _versions_of(state))
    for result, state in states:
        if since is None or result.at >= since:
            yield from (
                (version, f"history of {result.environment}") for version in _versions_of(state)
            )


def _states_of(result: CommandResult) -> list[RolloutState]:
    return [state for state in (result.before, result.after) if state is not None]


def _named_by_commands(commands: Iterable[Message], decided: set[str]) -> Iterator[tuple[str, str]]:
    for message in commands:
        try:
            command = decode(Command, message.value())
        except RecordError:
            continue  # such a command is rejected, whatever it names
        if command.command_id not in decided:
            for version in versions_named(None, command):
                yield version, f"command {command.command_id}, which is not decided yet"


def _versions_of(state: RolloutState) -> list[str]:
    named = (state.primary_version, state.canary_version, *state.previous_versions)
    return [version for version in named if version]


def _all(settings: Settings, topic: Topic) -> list[Message]:
    with reading(settings, topic, last=ALL) as consumer:
        return list(messages(consumer, READ_SECONDS, to_end=True))


def _result(topic: Topic, message: Message) -> CommandResult:
    try:
        return decode(CommandResult, message.value())
    except RecordError as error:
        raise TransportError(
            f"{topic.name}: the record at offset {message.offset()} is not a result, but could "
            f"name a version: {error}"
        ) from error
