"""Rollout policies: a ramp in words of YAML or JSON, of one version or of all that are trained.

Pure: text in, values out. Must not know where the text is from (`registry.policy_reading`). The
rules that decide about a ramp are in `registry.rollout.command_transitions`.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Hashable, Mapping
from typing import Annotated, Any, Final, TypeVar, get_args

import msgspec
import yaml
from msgspec import UNSET, Meta, Struct, UnsetType

from registry.errors import ConfigurationError, RefusedCommand
from registry.rollout.command_transitions import apply_command
from registry.wire.commands import Rollout
from registry.wire.field_types import Bucketing, Id, Word
from registry.wire.instants import BEGINNING
from registry.wire.ramp_values import Goal, Guardrails, Ramp, ShadowStep
from registry.wire.rollout_state import RolloutState


class RampPolicy(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How any version is ramped; the fields have the same meaning as in a ``rollout`` command.

    The ramp runs in the ``environments`` one after the other; the default is this environment.
    """

    ramp: Ramp
    environments: Annotated[tuple[Id, ...], Meta(min_length=1, max_length=100)] | UnsetType = UNSET
    bucketing: Bucketing | UnsetType = UNSET
    salt: Word | UnsetType = UNSET

    @property
    def given(self) -> dict[str, Any]:
        """The fields that are given."""
        fields = {name: getattr(self, name) for name in self.__struct_fields__}
        return {name: value for name, value in fields.items() if value is not UNSET}


class RolloutFile(RampPolicy, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How one version is ramped."""

    canary_version: Id
    reason: Annotated[str, Meta(max_length=1000)] | None = None

    def command_fields(self, environment: str) -> dict[str, Any]:
        """Return the fields of the ``rollout`` command; `environment` is the default."""
        first = environment if self.environments is UNSET else self.environments[0]
        return self.given | {"environment": first}


Policy = TypeVar("Policy", bound=RampPolicy)

STRUCT_BY_PLACE: Final[Mapping[str, type[Struct]]] = {
    "ramp": Ramp,
    "ramp.guardrails": Guardrails,
    "ramp.shadow": ShadowStep,
    "ramp.goal": Goal,
}
"""The objects within a policy, by their path."""

_VALIDATION_MESSAGE: Final = re.compile(
    r"(?P<what>.*?)(?: - at `(?:key` in `)?\$\.?(?P<place>[^`]*)`)?"
)


def parse_policy(kind: type[Policy], text: str, name: str) -> Policy:
    """Return the policy in `text`: JSON if `name` ends in ``.json``, else YAML.

    Raises
    ------
    ConfigurationError
        If it is neither, or a field is wrong: the message has `name` and the field, and says what
        was found and what is allowed.
    """
    try:
        document = _parse(text, is_json=name.endswith(".json"))
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise ConfigurationError(f"{name}: cannot be read: {error}") from error
    try:
        return msgspec.convert(document, kind)
    except msgspec.ValidationError as error:
        raise ConfigurationError(f"{name}: {_describe(str(error), document, kind)}") from error


def require_policy(policy: RampPolicy, environment: str, name: str) -> None:
    """Refuse a policy that the rules would refuse for any version, as it would begin here.

    Raises
    ------
    ConfigurationError
        With `name` and the rules' own words.
    """
    before = RolloutState(environment, 0, "fixed", primary_version="v0.0")
    command = Rollout("policy", "policy", environment, canary_version="v0.1", **policy.given)
    try:
        apply_command(before, command, epoch=1, at=BEGINNING, problems={})
    except RefusedCommand as error:
        raise ConfigurationError(f"{name}: {error}") from error


def _parse(text: str, *, is_json: bool) -> Any:
    if is_json:
        return json.loads(text, object_pairs_hook=_refuse_duplicate_keys)
    return yaml.load(text, _Loader)


class _Loader(yaml.SafeLoader):
    """Refuses a duplicate key; YAML's own loader would silently take the last one."""

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Hashable, Any]:
        keys = [key for key, _ in node.value if isinstance(key, yaml.ScalarNode)]
        seen: set[str] = set()
        for key in keys:
            if key.value in seen:
                raise yaml.MarkedYAMLError(
                    problem=f"duplicate key {key.value!r}", problem_mark=key.start_mark
                )
            seen.add(key.value)
        return super().construct_mapping(node, deep)


def _refuse_duplicate_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    for key, count in Counter(key for key, _ in pairs).items():
        if count > 1:
            raise ValueError(f"duplicate key {key!r}: it occurs {count} times")
    return dict(pairs)


def _describe(message: str, document: Any, kind: type[Struct]) -> str:
    match = _VALIDATION_MESSAGE.fullmatch(message)
    assert match is not None  # every part of it is optional
    place = match["place"] or ""
    what = match["what"][0].lower() + match["what"][1:]
    if "unknown field" in what:
        return f"{place or 'the file'}: {what}; allowed: {', '.join(_fields(place, kind))}"
    if "missing required field" in what:
        return f"{place or 'the file'}: {what}"
    if place == "bucketing":
        what = f"must be one of {', '.join(get_args(Bucketing))}"
    return f"{place or 'the file'}: {what}; found {_at(document, place)!r}"


def _fields(place: str, kind: type[Struct]) -> tuple[str, ...]:
    return (STRUCT_BY_PLACE[place] if place else kind).__struct_fields__


def _at(document: Any, place: str) -> Any:
    """Return the value at a path like ``ramp.steps[1]``."""
    for word in re.findall(r"[^.\[\]]+", place):
        document = document[int(word) if isinstance(document, list) else word]
    return document
