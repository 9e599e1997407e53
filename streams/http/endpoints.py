"""The endpoints: one table, from which the routes, the OpenAPI document and the docs are generated.

Values only. The handlers are in `streams.http.server`, `probes`, `reading_endpoints`,
`recommend_endpoints`, `try_endpoints`, `command_endpoints` and `login`.
Long because it is one table.
"""

from __future__ import annotations

from typing import Any, Final, Literal, NamedTuple, TypeAlias

from msgspec import Struct

from registry.versions.manifest import Manifest
from registry.wire.commands import CommandType
from registry.wire.responses import Response
from registry.wire.training_records.training_messages import TrainingRun
from streams.comparing.try_user import SideBySide
from streams.http.documents import (
    Decided,
    Fleet,
    Health,
    HistoryEntry,
    Pending,
    Readiness,
    RolloutStatus,
)
from streams.http.endpoint_arguments import (
    HistoryQuery,
    LoginForm,
    RecommendBody,
    RecommendQuery,
    TryPageQuery,
    TryQuery,
)
from streams.http.problems import Problem
from streams.serving.traces import Trace

HTML: Final = "text/html"
JSON: Final = "application/json"
METRICS: Final = "text/plain"
EVENTS: Final = "text/event-stream"
FORM: Final = "application/x-www-form-urlencoded"

Access: TypeAlias = Literal["open", "read", "ask", "write"]
"""Who may use an endpoint: everybody, readers, readers that no other site's page sends, or senders
of commands; see `streams.http.admission.auth`."""


class Answered(NamedTuple):
    """One status of an endpoint: when it comes, and the type of its JSON, or its media type."""

    status: int
    when: str
    content: Any


class Endpoint(NamedTuple):
    """One endpoint.

    Parameters
    ----------
    method, path
        Its route. Whatever has GET, and does not write, has HEAD as well.
    name
        Of the method that answers it, and of the OpenAPI operation.
    summary
        What it does, in one sentence.
    answers
        Its own statuses; those of :data:`READ_ANSWERS` and :data:`EVERYWHERE` come on top.
    query
        The parameters of a reading endpoint.
    kind
        The type of the command that a write sends.
    form, body
        What its form or its JSON object holds, if it takes nothing else.
    """

    method: Literal["GET", "POST"]
    path: str
    name: str
    summary: str
    answers: tuple[Answered, ...]
    query: type[Struct] | None = None
    kind: CommandType | None = None
    access: Access = "read"
    form: type[Struct] | None = None
    body: type[Struct] | None = None


def _write(
    path: str, kind: CommandType, summary: str, method: Literal["GET", "POST"] = "POST"
) -> Endpoint:
    name = f"{kind}_by_get" if method == "GET" else kind
    return Endpoint(method, path, name, summary, WRITE_ANSWERS, kind=kind, access="write")


EVERYWHERE: Final = (
    Answered(400, "not HTTP, or a body that cannot be read", Problem),
    Answered(408, "the body did not arrive within 10 s", Problem),
    Answered(413, "a body of more than 64 KiB", Problem),
    Answered(414, "a path and query of more than 8 KiB", Problem),
    Answered(415, "a compressed body, or one of a type that the endpoint does not take", Problem),
    Answered(431, "headers of more than 16 KiB", Problem),
)
"""Statuses that any endpoint may answer with."""

WRITE_ANSWERS: Final = (
    Answered(200, "applied, or a duplicate", Decided),
    Answered(202, "not decided within 5 s", Pending),
    Answered(401, "the command token is missing or wrong", Problem),
    Answered(
        403,
        "a token that may only read, a page of another site, or, without a token: not from "
        "loopback",
        Problem,
    ),
    Answered(409, "`stale_epoch` or `training_running`: read the state, decide again", Problem),
    Answered(422, "any other rejection, or not a command at all", Problem),
    Answered(503, "Kafka did not take the command, or the worker has just started", Problem),
)

READ_ANSWERS: Final = (Answered(401, "a token is required, and missing or wrong", Problem),)
"""Of an endpoint that may need the read token."""

ASK_ANSWERS: Final = (
    Answered(200, "the answer, with `status: ok`", Response),
    Answered(401, "a token is required, and missing or wrong", Problem),
    Answered(403, "sent by a page of another site", Problem),
    Answered(404, "`unknown_version`: no worker has the version that was asked for", Problem),
    Answered(422, "an invalid request, or `unknown_label`; the detail names the field", Problem),
    Answered(429, "too many requests of this worker wait for their answers", Problem),
    Answered(503, "no worker can answer now, or Kafka does not take the request", Problem),
    Answered(504, "not answered before its deadline", Problem),
)

ENDPOINTS: Final = (
    Endpoint(
        "GET",
        "/",
        "page",
        "The status page, for people.",
        (Answered(200, "the page", HTML), Answered(401, "a form that asks for a token", HTML)),
    ),
    Endpoint(
        "GET",
        "/events",
        "events",
        "Server-sent events: `event: status` with the inside of the page's `<main>` whenever it "
        "changes, at most once a second.",
        (
            Answered(200, "a stream that ends when the worker stops", EVENTS),
            Answered(503, "too many listeners", Problem),
        ),
    ),
    Endpoint(
        "GET",
        "/healthz",
        "healthz",
        "Liveness: whether the process should be kept running. Without the token that reading "
        "requires, only the status.",
        (Answered(200, "alive", Health), Answered(503, "only a restart helps", Health)),
        access="open",
    ),
    Endpoint(
        "GET",
        "/readyz",
        "readyz",
        "Readiness: whether the worker answers from the current state with loaded versions. "
        "Without the token that reading requires, only the codes of the reasons.",
        (Answered(200, "ready", Readiness), Answered(503, "not ready: the reasons", Readiness)),
        access="open",
    ),
    Endpoint(
        "GET",
        "/metrics",
        "metrics",
        "The metrics, as Prometheus text.",
        (Answered(200, "all metrics", METRICS),),
    ),
    Endpoint(
        "GET",
        "/rollout/status",
        "rollout_status",
        "The rollout state, what is acted on, and what is in memory.",
        (Answered(200, "as this worker sees it", RolloutStatus),),
    ),
    Endpoint(
        "GET",
        "/rollout/history",
        "history",
        "The commands' results, the newest first, from Kafka: the audit trail.",
        (
            Answered(200, "the results, with what each changed in words", tuple[HistoryEntry, ...]),
            Answered(422, "a parameter that is unknown, or can match nothing", Problem),
            Answered(503, "Kafka does not answer", Problem),
        ),
        query=HistoryQuery,
    ),
    Endpoint(
        "GET",
        "/fleet",
        "fleet",
        "All workers' heartbeats, what they counted together, and the guardrails' findings.",
        (Answered(200, "the environment's fleet", Fleet),),
    ),
    Endpoint(
        "GET",
        "/trace/{request_id}",
        "trace",
        "The provenance of a recent answer of this worker, and its rule recomputed.",
        (
            Answered(200, "the newest answer to that request", Trace),
            Answered(404, "not among this worker's latest answers", Problem),
        ),
    ),
    Endpoint(
        "GET",
        "/recommend/{user_id}",
        "recommend",
        "Recommendations for a user, for whoever has no Kafka: sends a request record, and awaits "
        "its answer from whichever worker gives it.",
        ASK_ANSWERS,
        query=RecommendQuery,
        access="ask",
    ),
    Endpoint(
        "POST",
        "/recommend",
        "recommend_by_post",
        "The same, with all that a request record may hold.",
        ASK_ANSWERS,
        access="ask",
        body=RecommendBody,
    ),
    Endpoint(
        "GET",
        "/try",
        "try_page",
        "Tries a user, for people: the answers of all versions in memory on this worker side by "
        "side, and the user's own items. Sends and counts nothing.",
        (
            Answered(200, "the page; without `user_id`, its form", HTML),
            Answered(401, "a form that asks for a token", HTML),
            Answered(422, "a parameter that is unknown, or wrong", Problem),
            Answered(503, "the page: the worker cannot answer yet", HTML),
        ),
        query=TryPageQuery,
    ),
    Endpoint(
        "GET",
        "/try.json",
        "try_user",
        "The same as JSON.",
        (
            Answered(200, "what each version would answer", SideBySide),
            Answered(422, "a parameter that is unknown, or wrong", Problem),
            Answered(503, "the worker cannot answer yet", Problem),
        ),
        query=TryQuery,
    ),
    Endpoint(
        "GET",
        "/training",
        "training",
        "The fleet's latest training run, or null.",
        (Answered(200, "its progress", TrainingRun | None),),
    ),
    Endpoint(
        "GET",
        "/models",
        "models",
        "The registry's manifests, the newest first.",
        (
            Answered(200, "those that can be read", tuple[Manifest, ...]),
            Answered(503, "the registry cannot be read", Problem),
        ),
    ),
    Endpoint(
        "GET",
        "/models/{version}/report",
        "model_report",
        "The report that the training stored with a version: metrics, comparisons, samples.",
        (
            Answered(200, "the report", HTML),
            Answered(404, "no such version, or one without a report", Problem),
            Answered(503, "the registry cannot be read", Problem),
        ),
    ),
    Endpoint(
        "GET",
        "/experiments/{epoch}/report",
        "experiment_report",
        "The report of an experiment that has ended, by the epoch of its state.",
        (
            Answered(200, "the report", HTML),
            Answered(404, "there is none", Problem),
            Answered(503, "the registry cannot be read", Problem),
        ),
    ),
    Endpoint(
        "GET",
        "/openapi.json",
        "openapi",
        "This API as OpenAPI 3.1.",
        (Answered(200, "the document", dict[str, Any]),),
    ),
    Endpoint(
        "GET",
        "/asyncapi.json",
        "asyncapi",
        "This fleet's topics and messages as AsyncAPI 3.0.",
        (Answered(200, "the document", dict[str, Any]),),
    ),
    Endpoint(
        "POST",
        "/login",
        "login",
        "Exchanges a token for a browser session, in a cookie.",
        (
            Answered(303, "logged in; redirects to the page", None),
            Answered(401, "unknown token; the form again", HTML),
            Answered(422, "not the form of the page", Problem),
        ),
        access="open",
        form=LoginForm,
    ),
    Endpoint(
        "POST",
        "/logout",
        "logout",
        "Ends a browser's session.",
        (Answered(303, "logged out; redirects to the page", None),),
        access="open",
    ),
    _write(
        "/rollout/update",
        "rollout",
        "Changes the fields given, and only those; with `ramp`, starts a ramp.",
    ),
    _write("/rollout/promote", "promote", "The canary version becomes primary, for everyone."),
    _write("/rollout/rollback", "rollback", "Back to the previous primary version."),
    _write("/rollout/abort", "abort", "Drops the canary version, keeps the primary."),
    _write("/rollout/pause", "pause", "Stops the ramp where it is."),
    _write("/rollout/resume", "resume", "Resumes the ramp; its stage starts again."),
    _write("/rollout/begin-era", "begin_era", "Accepts the control topic that is there now."),
    _write("/switch", "swap", "Makes the version primary, for everyone, without a restart."),
    _write("/switch", "swap", "The same, for callers that send the token.", method="GET"),
    _write("/retrain", "retrain", "Starts a training run; follow it at `GET /training`."),
)
