"""The settings: environment variables, read once into one typed value.

Knows each variable's name, type, default and meaning; `.env.example` and the settings page are
made from it. Must not know who uses a setting. A wrong value stops the start (exit code 2).
"""

from __future__ import annotations

import datetime
from collections.abc import Iterator, Mapping
from typing import Annotated, Final, Literal
from zoneinfo import ZoneInfo

from cronsim import CronSim, CronSimError
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr, ValidationError

from registry.client_passthrough import parse_client_settings
from registry.errors import ConfigurationError
from registry.ids import is_version_name
from registry.wire.commands import Deploy
from registry.wire.field_types import Strategy


def _version(name: str) -> str:
    if not is_version_name(name):
        raise ValueError("must look like v0.3 (vMAJOR.MINOR)")
    return name


def _cron(expression: str) -> str:
    try:
        CronSim(expression, datetime.datetime(2000, 1, 1))
    except CronSimError as error:
        raise ValueError(
            f"must be a cron expression of five fields, like '0 3 * * *' ({error})"
        ) from None
    return expression


def _zone(name: str) -> str:
    try:
        return name if name == "UTC" else ZoneInfo(name).key
    except (KeyError, ValueError, OSError):
        raise ValueError("must be a time zone that this machine knows, like Europe/Paris") from None


def _secret(secret: SecretStr) -> SecretStr:
    """A line break or blank at an end is never meant, and what it makes wrong is hard to see."""
    value = secret.get_secret_value()
    if value != value.strip() or not value.isprintable():
        raise ValueError(
            "must not begin or end with a blank or line break, nor hold control characters; was it "
            "read from a file with a line break at its end?"
        )
    return secret


def _client_settings(secret: SecretStr) -> SecretStr:
    parse_client_settings(secret.get_secret_value())
    return secret


Secret = Annotated[SecretStr, AfterValidator(_secret)]
ClientSettings = Annotated[SecretStr, AfterValidator(_client_settings)]
Version = Annotated[str, AfterValidator(_version)]
Cron = Annotated[str, AfterValidator(_cron)]
Zone = Annotated[str, AfterValidator(_zone)]
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]+$", max_length=100)]


class Settings(BaseModel):
    """Everything that can be configured. A field's alias is its environment variable."""

    model_config = ConfigDict(
        frozen=True, extra="ignore", populate_by_name=True, allow_inf_nan=False
    )

    kafka_bootstrap_servers: str = Field(
        "localhost:9092",
        alias="KAFKA_BOOTSTRAP_SERVERS",
        min_length=1,
        description="Kafka's addresses, `host:port`, comma separated.",
    )
    kafka_security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = Field(
        "PLAINTEXT", alias="KAFKA_SECURITY_PROTOCOL", description="How to talk to Kafka."
    )
    kafka_sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "OAUTHBEARER"] = Field(
        "SCRAM-SHA-512", alias="KAFKA_SASL_MECHANISM", description="With `SASL_*` only."
    )
    kafka_sasl_username: str = Field(
        "", alias="KAFKA_SASL_USERNAME", description="With `SASL_*` only."
    )
    kafka_sasl_password: Secret = Field(
        SecretStr(""), alias="KAFKA_SASL_PASSWORD", description="With `SASL_*` only."
    )
    kafka_oauth_token_url: str = Field(
        "",
        alias="KAFKA_OAUTH_TOKEN_URL",
        pattern=r"^(https?://.+)?$",
        description="With `OAUTHBEARER`: the token endpoint of the identity provider (OIDC client "
        "credentials).",
    )
    kafka_oauth_client_id: str = Field(
        "", alias="KAFKA_OAUTH_CLIENT_ID", description="With `OAUTHBEARER`."
    )
    kafka_oauth_client_secret: Secret = Field(
        SecretStr(""), alias="KAFKA_OAUTH_CLIENT_SECRET", description="With `OAUTHBEARER`."
    )
    kafka_oauth_scope: str = Field(
        "",
        alias="KAFKA_OAUTH_SCOPE",
        description="With `OAUTHBEARER`: the scope to ask for, if the provider needs one.",
    )
    kafka_ssl_ca: str = Field(
        "",
        alias="KAFKA_SSL_CA",
        description="Path of the CA certificates (PEM); empty: the system's.",
    )
    kafka_ssl_certificate: str = Field(
        "",
        alias="KAFKA_SSL_CERTIFICATE",
        description="Path of the client's certificate (PEM), for mutual TLS.",
    )
    kafka_ssl_key: str = Field(
        "", alias="KAFKA_SSL_KEY", description="Path of the client's key (PEM), for mutual TLS."
    )
    kafka_client_settings: ClientSettings = Field(
        SecretStr(""),
        alias="KAFKA_CLIENT_SETTINGS",
        description="Further settings of Kafka's clients, by librdkafka's names: a JSON object, or "
        "`name=value` by commas. Those that commits, groups or delivery rest on are refused.",
    )

    environment: Name = Field(
        "production", alias="ENVIRONMENT", description="Whose rollout state this worker acts on."
    )
    model_name: Name = Field(
        "als", alias="MODEL_NAME", description="Name of the model in manifests and metrics."
    )
    model_registry: str = Field(
        "model_registry",
        alias="MODEL_REGISTRY",
        min_length=1,
        description="Folder or fsspec URL of the model registry.",
    )
    model_version: Version | None = Field(
        None,
        alias="MODEL_VERSION",
        description="Seeds the rollout table once: first primary. Unset: the registry's latest.",
    )
    rollout_strategy: Strategy = Field(
        "fixed", alias="ROLLOUT_STRATEGY", description="Seeds the rollout table once."
    )
    canary_version: Version | None = Field(
        None, alias="CANARY_VERSION", description="Seeds the rollout table once."
    )
    canary_percentage: float = Field(
        0,
        alias="CANARY_PERCENTAGE",
        ge=0,
        le=100,
        description="Seeds the rollout table once. Percent.",
    )
    shadow_queue: int = Field(
        2_000,
        alias="RECSTREAM_SHADOW_QUEUE",
        ge=1,
        description="Requests that wait to be compared in shadow; more are dropped and counted.",
    )

    retrain_interval: float = Field(
        0,
        alias="RETRAIN_INTERVAL",
        ge=0,
        description="Seconds between training runs; 0: no timer. `RETRAIN_CRON` goes before it.",
    )
    retrain_cron: Cron | None = Field(
        None,
        alias="RETRAIN_CRON",
        description="Cron expression of the training runs, in `RETRAIN_TIME_ZONE`.",
    )
    retrain_time_zone: Zone = Field(
        "UTC",
        alias="RETRAIN_TIME_ZONE",
        description="Of `RETRAIN_CRON`. At a change of clocks, a time that is skipped is made up "
        "for right after, one that comes twice counts once.",
    )
    retrain_jitter: float = Field(
        0,
        alias="RETRAIN_JITTER",
        ge=0,
        description="Seconds by which a timer's run may begin later than due, another share of "
        "them in each environment and at each time.",
    )
    retrain_min_new_interactions: int = Field(
        0,
        alias="RETRAIN_MIN_NEW_INTERACTIONS",
        ge=0,
        description="With fewer records than this since the last run's snapshot, a timer's run is "
        "skipped; a `retrain` command's never is.",
    )
    retrain_deploy: Deploy = Field(
        "swap", alias="RETRAIN_DEPLOY", description="What a run that passed its gate asks for."
    )
    retrain_canary_percentage: float = Field(
        10,
        alias="RETRAIN_CANARY_PERCENTAGE",
        ge=0,
        le=100,
        description="With `RETRAIN_DEPLOY=canary`. Percent.",
    )
    retrain_timeout: float = Field(
        3600, alias="RETRAIN_TIMEOUT", gt=0, description="Seconds after which a run is ended."
    )
    retrain_threads: int = Field(
        1,
        alias="RETRAIN_THREADS",
        ge=1,
        description="Threads of the fit; the rest of the machine serves.",
    )
    retrain_memory_bytes: int = Field(
        0,
        alias="RETRAIN_MEMORY_BYTES",
        ge=0,
        description="Memory of its own (without mapped files) at which a run of the fleet is "
        "ended; 0: no limit.",
    )
    retrain_niceness: int = Field(
        19,
        alias="RETRAIN_NICENESS",
        ge=0,
        le=19,
        description="Niceness of the fleet's runs, above the worker's; less delays answers.",
    )
    retrain_factors: int = Field(
        32, alias="RETRAIN_FACTORS", ge=1, le=4096, description="ALS: columns of the factors."
    )
    retrain_iterations: int = Field(
        15, alias="RETRAIN_ITERATIONS", ge=1, le=1000, description="ALS: sweeps."
    )
    retrain_warm_iterations: int = Field(
        0,
        alias="RETRAIN_WARM_ITERATIONS",
        ge=0,
        le=1000,
        description="ALS: sweeps of a fit that begins with the primary version's factors, where "
        "ids match; 0: none does. The model that is judged always begins at random.",
    )
    retrain_final_iterations: int = Field(
        3,
        alias="RETRAIN_FINAL_ITERATIONS",
        ge=0,
        le=1000,
        description="ALS: sweeps of the fit of what is published, which begins with the factors of "
        "the model that is judged; 0: it begins at random, with RETRAIN_ITERATIONS.",
    )
    retrain_regularization: float = Field(
        3.0, alias="RETRAIN_REGULARIZATION", gt=0, description="ALS: weight of the L2 term."
    )
    retrain_alpha: float = Field(
        1.0,
        alias="RETRAIN_ALPHA",
        gt=0,
        description="ALS: confidence of an interaction is alpha × its weight.",
    )
    retrain_seed: int = Field(
        42,
        alias="RETRAIN_SEED",
        ge=0,
        le=2**32 - 1,
        description="Seed of the factors' first values.",
    )
    retrain_weight_watch: float = Field(
        1.0, alias="RETRAIN_WEIGHT_WATCH", ge=0, description="Weight of a `watch`."
    )
    retrain_weight_click: float = Field(
        0.5, alias="RETRAIN_WEIGHT_CLICK", ge=0, description="Weight of a `click`."
    )
    retrain_rating_floor: float = Field(
        2.0,
        alias="RETRAIN_RATING_FLOOR",
        description="A `rate` weighs its rating minus this; one at or below it teaches nothing, "
        "but counts as seen.",
    )
    retrain_holdout: float = Field(
        0.2,
        alias="RETRAIN_HOLDOUT",
        gt=0,
        lt=1,
        description="Share of each user's interactions, the newest, that are held out.",
    )
    retrain_min_users: int = Field(
        20, alias="RETRAIN_MIN_USERS", ge=1, description="Gate: users needed."
    )
    retrain_min_items: int = Field(
        20, alias="RETRAIN_MIN_ITEMS", ge=1, description="Gate: items needed."
    )
    retrain_min_interactions: int = Field(
        200, alias="RETRAIN_MIN_INTERACTIONS", ge=1, description="Gate: interactions needed."
    )
    retrain_tolerance: float = Field(
        0.1,
        alias="RETRAIN_TOLERANCE",
        ge=0,
        le=1,
        description="Gate: share of the incumbent's NDCG@10 that a new version may be worse by.",
    )
    # evaluation
    retrain_inconclusive: Literal["publish", "refuse"] = Field(
        "refuse",
        alias="RETRAIN_INCONCLUSIVE",
        description="Gate: what becomes of a version if the comparison with popularity or with the "
        "incumbent was made, and its 95 % interval leaves both possible.",
    )
    retrain_max_changed: float = Field(
        1,
        alias="RETRAIN_MAX_CHANGED",
        ge=0,
        le=1,
        description="Gate: share of users of whose ten best items more than half may be others "
        "than the incumbent's; 1: no limit.",
    )
    retrain_max_missing_items: float = Field(
        0.5,
        alias="RETRAIN_MAX_MISSING_ITEMS",
        ge=0,
        le=1,
        description="Gate: share of the incumbent's items that a new version may lack; 1: no "
        "limit.",
    )

    topic_prefix: Name = Field(
        "reco", alias="RECSTREAM_TOPIC_PREFIX", description="Prefix of all topics."
    )
    control_prefix: Name | None = Field(
        None,
        alias="RECSTREAM_CONTROL_PREFIX",
        description="Prefix of the control and control-results topics; unset: "
        "RECSTREAM_TOPIC_PREFIX. Environments that a ramp goes through share it.",
    )
    partitions: int = Field(
        8,
        alias="RECSTREAM_PARTITIONS",
        ge=1,
        le=1000,
        description="Partitions that the topics keyed by user are made with. Later, their own "
        "number counts (`recstream topics grow`): no more workers than that are of use.",
    )
    replication_factor: int = Field(
        1, alias="RECSTREAM_REPLICATION_FACTOR", ge=1, le=10, description="Copies of each topic."
    )
    worker: Name | None = Field(
        None,
        alias="RECSTREAM_WORKER",
        description="This worker's name; unset: host name and process id.",
    )
    api_token: Secret = Field(
        SecretStr(""),
        alias="RECSTREAM_API_TOKEN",
        description="Token for commands over HTTP, and for reading; unset: commands from this "
        "machine only. A proxy on this machine makes every caller local: set it there.",
    )
    read_token: Secret = Field(
        SecretStr(""),
        alias="RECSTREAM_READ_TOKEN",
        description="Token that may read the pages, and no more; unset: whoever reaches the port "
        "may read. Needs RECSTREAM_API_TOKEN as well.",
    )
    http_host: str = Field(
        "127.0.0.1", alias="RECSTREAM_HTTP_HOST", description="Address that the pages listen on."
    )
    http_port: int = Field(
        6066,
        alias="RECSTREAM_HTTP_PORT",
        ge=0,
        le=65535,
        description="Their port; 0: any free one.",
    )
    metrics_host: str | None = Field(
        None,
        alias="RECSTREAM_METRICS_HOST",
        min_length=1,
        description="Address for RECSTREAM_METRICS_PORT; unset: RECSTREAM_HTTP_HOST.",
    )
    metrics_port: int | None = Field(
        None,
        alias="RECSTREAM_METRICS_PORT",
        ge=0,
        le=65535,
        description="Another port with `/metrics` and nothing else, which needs no token; unset: "
        "`/metrics` is among the pages only.",
    )
    lease_seconds: float = Field(
        20,
        alias="RECSTREAM_LEASE_SECONDS",
        ge=1,
        description="After this long without touch with the rollout table, a worker says so. "
        "Clocks must agree better than this.",
    )
    session_timeout: float = Field(
        10,
        alias="RECSTREAM_SESSION_TIMEOUT",
        ge=6,
        description="Seconds after which Kafka gives a silent worker's partitions to others.",
    )
    outage_seconds: float = Field(
        900,
        alias="RECSTREAM_OUTAGE_SECONDS",
        ge=10,
        description="How long a worker waits for a Kafka that is away, at its start and later. "
        "After so many seconds without contact, `/healthz` is 503.",
    )
    max_request_bytes: int = Field(
        65_536,
        alias="RECSTREAM_MAX_REQUEST_BYTES",
        ge=100,
        description="Larger requests are dead-lettered.",
    )
    batch_requests: int = Field(
        1_000,
        alias="RECSTREAM_BATCH_REQUESTS",
        ge=1,
        description="Most requests that are scored at once. Larger: more throughput, but later "
        "answers under load.",
    )
    in_flight_requests: int = Field(
        4_000,
        alias="RECSTREAM_IN_FLIGHT_REQUESTS",
        ge=1,
        description="Unanswered requests at which a partition's reading pauses (back-pressure).",
    )
    scoring_threads: int = Field(
        1, alias="RECSTREAM_SCORING_THREADS", ge=1, description="Threads of one scoring call."
    )

    git_sha: str = Field(
        "",
        alias="GIT_SHA",
        description="Commit of the code, for provenance; unset: the checkout's.",
    )
    image_digest: str = Field(
        "", alias="IMAGE_DIGEST", description="Digest of the container image, for provenance."
    )

    model_cache: str = Field(
        "~/.cache/recstream/models",
        alias="RECSTREAM_MODEL_CACHE",
        min_length=1,
        description="Folder that keeps the files of a registry elsewhere, for all processes of "
        "this machine.",
    )
    model_cache_bytes: int = Field(
        20 * 1024**3,
        alias="RECSTREAM_MODEL_CACHE_BYTES",
        ge=1,
        description="Its bound. At least the versions that are served at once, and one more.",
    )
    signing_key: Secret = Field(
        SecretStr(""),
        alias="RECSTREAM_SIGNING_KEY",
        description="Shared key that signs versions (HMAC-SHA256), at least 32 characters; readers "
        "that have it refuse a version without its signature, and could sign as well. Several, by "
        "commas: the first signs.",
    )
    signing_private_key: Secret = Field(
        SecretStr(""),
        alias="RECSTREAM_SIGNING_PRIVATE_KEY",
        description="Private key that signs versions (Ed25519), for publishers only: PKCS #8 in "
        "DER, as base64 on one line. It signs even if RECSTREAM_SIGNING_KEY is set.",
    )
    signing_public_keys: str = Field(
        "",
        alias="RECSTREAM_SIGNING_PUBLIC_KEYS",
        description="Public keys (Ed25519) of publishers: DER as base64, comma separated. Readers "
        "that have any refuse versions that none of them signed. Unset: the one of "
        "RECSTREAM_SIGNING_PRIVATE_KEY, if that is set.",
    )
    # snapshots
    retrain_window_days: float = Field(
        0,
        alias="RETRAIN_WINDOW_DAYS",
        ge=0,
        description="Interactions older than this, against the snapshot's newest one, teach "
        "nothing, but count as seen. Days; 0: no window.",
    )
    retrain_half_life_days: float = Field(
        0,
        alias="RETRAIN_HALF_LIFE_DAYS",
        ge=0,
        description="An interaction of this age, against the snapshot's newest one, weighs half. "
        "Days; 0: no decay.",
    )
    retrain_min_user_interactions: int = Field(
        0,
        alias="RETRAIN_MIN_USER_INTERACTIONS",
        ge=0,
        description="Users with fewer items that teach are left out of the model.",
    )
    retrain_min_item_interactions: int = Field(
        0,
        alias="RETRAIN_MIN_ITEM_INTERACTIONS",
        ge=0,
        description="Items with fewer users that teach are left out of the model.",
    )
    retrain_lost_ranges: Literal["refuse", "accept"] = Field(
        "refuse",
        alias="RETRAIN_LOST_RANGES",
        description="If records are gone from Kafka that no snapshot holds: end the run, or train "
        "on the rest and say so in the manifest.",
    )

    # past one machine
    train_backend: Literal["implicit", "spark"] = Field(
        "implicit",
        alias="TRAIN_BACKEND",
        description="Who fits: `implicit` on this machine, or Spark, which needs `recstream[spark]`"
        " and Java 17.",
    )
    train_spark_master: str | None = Field(
        None,
        alias="TRAIN_SPARK_MASTER",
        pattern=r"^(local(-cluster)?(\[.+\])?|yarn|\w+://.+)$",
        description="Spark's master URL, like `spark://host:7077`. Unset: this machine, with "
        "`RETRAIN_THREADS`.",
    )
    train_spark_staging: str | None = Field(
        None,
        alias="TRAIN_SPARK_STAGING",
        min_length=1,
        description="Folder or fsspec URL that this machine and Spark's executors share. Unset: a "
        "temporary folder, which only a Spark on this machine sees.",
    )
    train_spark_memory: str = Field(
        "2g",
        alias="TRAIN_SPARK_MEMORY",
        pattern=r"^[1-9]\d*[mg]$",
        description="Memory of Spark's driver; on this machine that is all of Spark.",
    )


def read_settings(environment: Mapping[str, str]) -> Settings:
    """Read the settings from environment variables; empty ones count as unset.

    Raises
    ------
    ConfigurationError
        Naming each wrong variable, its value and what is allowed.
    """
    known = {field.alias for field in Settings.model_fields.values()}
    given = {name: value for name, value in environment.items() if name in known and value != ""}
    try:
        settings = Settings.model_validate(given)
    except ValidationError as error:
        raise ConfigurationError("\n".join(_complaint(one) for one in error.errors())) from None
    if wrong := list(_contradictions(settings)):
        raise ConfigurationError("\n".join(wrong))
    return settings


def _contradictions(settings: Settings) -> Iterator[str]:
    """Say which settings do not go together."""
    if settings.rollout_strategy != "fixed" and settings.canary_version is None:
        yield f"ROLLOUT_STRATEGY={settings.rollout_strategy!r}: needs CANARY_VERSION as well"
    if settings.canary_version is not None and settings.canary_version == settings.model_version:
        yield f"CANARY_VERSION={settings.canary_version!r}: must be another than MODEL_VERSION"
    if settings.canary_percentage != round(settings.canary_percentage):
        yield (
            f"CANARY_PERCENTAGE={settings.canary_percentage!r}: must be a whole percentage; finer "
            "ones need bucketing hash, which a rollout command sets"
        )
    if settings.session_timeout >= settings.lease_seconds:
        yield (
            f"RECSTREAM_SESSION_TIMEOUT={settings.session_timeout:g}: must be less than "
            f"RECSTREAM_LEASE_SECONDS={settings.lease_seconds:g}, or the death of one worker lets "
            "the lease of all others lapse"
        )
    if settings.retrain_warm_iterations and settings.train_backend != "implicit":
        yield (
            f"RETRAIN_WARM_ITERATIONS={settings.retrain_warm_iterations}: must be 0 with "
            f"TRAIN_BACKEND={settings.train_backend!r}, whose fit cannot begin with given factors"
        )
    yield from _contradictions_of_http(settings)
    yield from _incomplete_security(settings)


def _incomplete_security(settings: Settings) -> Iterator[str]:
    """Say what is missing to talk to a secured Kafka."""
    oauth = settings.kafka_sasl_mechanism == "OAUTHBEARER"
    if oauth:
        needed = "KAFKA_OAUTH_TOKEN_URL, KAFKA_OAUTH_CLIENT_ID and KAFKA_OAUTH_CLIENT_SECRET"
        secret = settings.kafka_oauth_client_secret.get_secret_value()
        given = bool(settings.kafka_oauth_token_url and settings.kafka_oauth_client_id and secret)
    else:
        needed = "KAFKA_SASL_USERNAME and KAFKA_SASL_PASSWORD"
        given = bool(settings.kafka_sasl_username)
    if settings.kafka_security_protocol.startswith("SASL") and not given:
        yield (
            f"KAFKA_SECURITY_PROTOCOL={settings.kafka_security_protocol!r} with "
            f"KAFKA_SASL_MECHANISM={settings.kafka_sasl_mechanism!r}: needs {needed} as well"
        )
    if settings.kafka_ssl_key and not settings.kafka_ssl_certificate:
        yield f"KAFKA_SSL_KEY={settings.kafka_ssl_key!r}: needs KAFKA_SSL_CERTIFICATE as well"


SECRETS: Final = frozenset(
    field.alias for field in Settings.model_fields.values() if field.annotation is SecretStr
)
"""Variables whose values are never shown."""


def _contradictions_of_http(settings: Settings) -> Iterator[str]:
    command, read = settings.api_token.get_secret_value(), settings.read_token.get_secret_value()
    if read and not command:
        yield "RECSTREAM_READ_TOKEN=(secret): needs RECSTREAM_API_TOKEN as well, for commands"
    if read and read == command:
        yield (
            "RECSTREAM_READ_TOKEN=(secret): must be another than RECSTREAM_API_TOKEN, or its "
            "holders could send commands"
        )
    if settings.metrics_host is not None and settings.metrics_port is None:
        yield f"RECSTREAM_METRICS_HOST={settings.metrics_host!r}: needs RECSTREAM_METRICS_PORT"


def _complaint(error: object) -> str:
    assert isinstance(error, dict)
    variable = ".".join(str(part) for part in error["loc"])
    secret = variable in SECRETS
    seen = "(secret)" if secret else repr(error["input"])
    return f"{variable}={seen}: {error['msg'].removeprefix('Value error, ')}"


def to_environment(settings: Settings) -> dict[str, str]:
    """Return the environment variables that :func:`read_settings` reads `settings` from."""
    values = {field.alias: getattr(settings, name) for name, field in Settings.model_fields.items()}
    return {
        variable: value.get_secret_value() if isinstance(value, SecretStr) else str(value)
        for variable, value in values.items()
        if variable is not None and value is not None
    }
