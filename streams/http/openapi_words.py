"""What the types of the HTTP API do not say: meanings of parameters, their values, examples."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, get_args

from msgspec.structs import replace

from registry.wire.command_results import ResultType
from registry.wire.field_types import ID_CHARACTERS, Bucketing, Strategy
from streams.http.documents import Decided, Pending
from streams.http.problems import Problem
from streams.topic_channels import EXAMPLE_STATE

_VERSION: Final = {"pattern": r"^v(0|[1-9][0-9]{0,5})\.(0|[1-9][0-9]{0,8})$"}
_TYPES: Final = "|".join(get_args(ResultType))
_PERCENTAGE: Final = {"minimum": 0, "maximum": 100}

ALLOWED: Final[Mapping[str, dict[str, Any]]] = {
    "model": _VERSION,
    "version": _VERSION,
    "model_version": _VERSION,
    "canary_version": _VERSION,
    "strategy": {"enum": list(get_args(Strategy))},
    "bucketing": {"enum": list(get_args(Bucketing))},
    "canary_percentage": _PERCENTAGE,
    "shadow_sample_percentage": _PERCENTAGE,
    "since": {"format": "date-time"},
    "until": {"format": "date-time"},
    "type": {"pattern": f"^({_TYPES})(,({_TYPES}))*$"},
}
"""What the rules allow beyond the type of an argument. Other values are accepted as
commands, too: the control agent rejects them, and the audit trail shows it."""

MEANINGS: Final[Mapping[str, str]] = {
    "model": "The version that becomes primary, like `v0.4`.",
    "version": "The same as `model`; give one of them.",
    "model_version": "The same as `model`; give one of them.",
    "strategy": "Which version answers which users.",
    "canary_version": "The version on trial, like `v0.4`.",
    "canary_percentage": "Percentage of users that get the canary version.",
    "shadow_sample_percentage": "Percentage of users whose requests are compared under `shadow`.",
    "bucketing": "`modulo`: `user_id % 100`, whole percentages. `hash`: any id, 0.01 % steps.",
    "salt": "Makes hash rollouts select different users; may be empty.",
    "ramp": "The plan of an automatic ramp. In a query or form: as JSON text.",
    "environments": "Environments that the ramp passes through, this one first. In a query or "
    "form: as JSON text.",
    "fit": "Of a ramp that gets too few requests for its verdicts: `false` (the default) rejects "
    "it (409), `true` stretches its holds, `null` starts it as it is.",
    "factors": "Columns of the factors.",
    "iterations": "Sweeps of the training.",
    "regularization": "Weight of the L2 term.",
    "alpha": "Confidence of an interaction is alpha × its weight.",
    "deploy": "How a version that passes its gate is deployed.",
    "command_id": "Makes retries safe: an id is applied once. Generated if absent.",
    "issued_by": "Who issues the command, for the audit trail.",
    "environment": "Must be the worker's own, if given.",
    "expected_epoch": "Rejects the command (409) unless the state has this epoch; -1: no state "
    "yet.",
    "reason": "The reason; kept in the audit trail.",
    "k": "How many items.",
    "exclude_seen": "Leave out what the user has seen.",
    "deadline_ms": "How long to wait for the answer, in milliseconds.",
    "string_id": "Take the user's id as a text, even if it is all digits.",
    "user_id": "A user's id; a whole number, like 42 or -5, is an integer.",
    "RecommendQuery.model_version": "Get the answer from this version, for debugging.",
    "limit": "Maximum number of results, the newest.",
    "since": "From this time on: ISO 8601, like `2026-01-05T12:00:00Z`.",
    "until": "Before this time, in the same way.",
    "type": "Types of command, comma separated, like `swap,rollout`.",
}

IN_PATH: Final[Mapping[str, dict[str, Any]]] = {
    "version": {"description": "Like v0.4.", "schema": {"type": "string", "minLength": 1}},
    "epoch": {
        "description": "Of the state in which the experiment ran.",
        "schema": {"type": "string", "minLength": 1},
    },
    "user_id": {
        "description": "A user's id; a whole number, like 42 or -5, is an integer. May hold "
        "slashes.",
        "schema": {"type": "string", "minLength": 1, "maxLength": ID_CHARACTERS},
    },
    "request_id": {
        "description": "Of the request; may hold slashes.",
        "schema": {"type": "string", "minLength": 1},
    },
}
"""The parts of a path that stand for something; any text, for whoever asks may mistype them."""

_STATE: Final = replace(EXAMPLE_STATE, epoch=18, updated_by="http:127.0.0.1")
_STALE: Final = "expected_epoch 17: the epoch is now 18 (…); read the state and decide again"
EXAMPLES: Final[Mapping[str, Any]] = {
    "RolloutArguments": {
        "canary_version": "v0.4",
        "ramp": {"steps": [1, 5, 25, 50, 100], "hold_seconds": 600},
        "reason": "fixes the cold start",
        "expected_epoch": 17,
    },
    "SwapArguments": {"model": "v0.4", "expected_epoch": 17},
    "RetrainArguments": {"factors": 64, "deploy": "canary"},
    "Decided": Decided("applied", "3f0c", 18, _STATE),
    "Pending": Pending("pending", "3f0c"),
    "Problem": Problem("about:blank", "Conflict", 409, "stale_epoch", _STALE, "3f0c"),
}
"""By schema; as they go over the wire."""
