"""Reads rollout files: a ramp in YAML or JSON, for ``recstream rollout apply FILE``.

Checks the form of the file only. The rules that decide about the command are in
`registry.rollout.transitions`.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Hashable, Mapping
from pathlib import Path
from typing import Annotated, Any, Final, get_args

import msgspec
import yaml
from msgspec import UNSET, Meta, Struct, UnsetType

from registry.errors import ConfigurationError
from registry.wire.field_types import Bucketing, Id, Word
from registry.wire.ramp_values import Guardrails, Ramp, ShadowStep


class RolloutFile(Struct, frozen=True, forbid_unknown_fields=True):
    """The fields of a rollout file; they have the same meaning as in a ``rollout`` command.

    The ramp runs in the ``environments`` one after the other; the default is this environment.
    """

    canary_version: Id
    ramp: Ramp
    environments: Annotated[tuple[Id, ...], Meta(min_length=1, max_length=100)] | UnsetType = UNSET
    bucketing: Bucketing | UnsetType = UNSET
    salt: Word | UnsetType = UNSET
    reason: Annotated[str, Meta(max_length=1000)] | None = None

    def command_fields(self, environment: str) -> dict[str, Any]:
        """Return the fields of the ``rollout`` command; `environment` is the default."""
        fields = {name: getattr(self, name) for name in self.__struct_fields__}
        first = environment if self.environments is UNSET else self.environments[0]
        given = {name: value for name, value in fields.items() if value is not UNSET}
        return given | {"environment": first}


STRUCT_BY_PLACE: Final[Mapping[str, type[Struct]]] = {
    "": RolloutFile,
    "ramp": Ramp,
    "ramp.guardrails": Guardrails,
    "ramp.shadow": ShadowStep,
}
"""The objects of a rollout file, by their path."""

_VALIDATION_MESSAGE: Final = re.compile(
    r"(?P<what>.*?)(?: - at `(?:key` in `)?\$\.?(?P<place>[^`]*)`)?"
)


def read_rollout_file(path: Path) -> RolloutFile:
    """Read the rollout file at `path`: JSON if its name ends in ``.json``, else YAML.

    Raises
    ------
    ConfigurationError
        If it cannot be read, or a field is wrong: the message names the file and the field, and
        says what was found and what is allowed.
    """
    try:
        text = path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{path}: cannot be read: {error}") from error
    try:
        document = _parse(text, is_json=path.suffix == ".json")
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise ConfigurationError(f"{path}: cannot be read: {error}") from error
    try:
        return msgspec.convert(document, RolloutFile)
    except msgspec.ValidationError as error:
        raise ConfigurationError(f"{path}: {_describe(str(error), document)}") from error


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


def _describe(message: str, document: Any) -> str:
    match = _VALIDATION_MESSAGE.fullmatch(message)
    assert match is not None  # every part of it is optional
    place = match["place"] or ""
    what = match["what"][0].lower() + match["what"][1:]
    if "unknown field" in what:
        return f"{place or 'the file'}: {what}; allowed: {', '.join(_fields(place))}"
    if "missing required field" in what:
        return f"{place or 'the file'}: {what}"
    if place == "bucketing":
        what = f"must be one of {', '.join(get_args(Bucketing))}"
    return f"{place or 'the file'}: {what}; found {_at(document, place)!r}"


def _fields(place: str) -> tuple[str, ...]:
    return STRUCT_BY_PLACE[place].__struct_fields__


def _at(document: Any, place: str) -> Any:
    """Return the value at a path like ``ramp.steps[1]``."""
    for word in re.findall(r"[^.\[\]]+", place):
        document = document[int(word) if isinstance(document, list) else word]
    return document
