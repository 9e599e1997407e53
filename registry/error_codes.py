"""Every stable code that a program may compare: on topics, over HTTP, in answers and metrics.

One enum per kind of refusal; `registry/errors.py` has the errors that carry them. A code never
changes; messages may. On the wire a code is a string, and readers treat it as one: a newer worker
may send codes that an older one does not know. `docs/reference/errors.md` is generated from this
module. What to do about each code: `docs/how-to/when-something-is-wrong.md`; a test checks that
none is missing there.
"""

from __future__ import annotations

from enum import StrEnum


class ErrorCode(StrEnum):
    """The errors of the tree that always have the same code."""

    ERROR = "error"
    CONFIGURATION = "configuration"
    TRANSPORT = "transport"
    ACCESS_REFUSED = "access_refused"
    ANSWER_TIMEOUT = "answer_timeout"
    CLIENT_CLOSED = "client_closed"
    TOO_MANY_REQUESTS = "too_many_requests"
    ARTIFACT = "artifact"
    UNKNOWN_VERSION = "unknown_version"
    DAMAGED_VERSION = "damaged_version"
    SHAPE = "shape"


class RecordCode(StrEnum):
    """A record cannot be used: the reason of its dead letter, or of a refused HTTP body."""

    EMPTY = "empty"
    INVALID = "invalid"
    MALFORMED = "malformed"
    TOO_LARGE = "too_large"
    NO_RATING = "no_rating"
    OUT_OF_RANGE = "out_of_range"
    NO_WEIGHT = "no_weight"


class RefusalCause(StrEnum):
    """Kafka refuses a record for good."""

    TOO_LARGE = "too_large"
    INVALID = "invalid"
    UNAUTHORIZED = "unauthorized"


class RefusedAnswerCode(StrEnum):
    """Kafka refuses an answer for good: the error of what is sent instead, or a dead letter's.

    Each stands for the :class:`RefusalCause` of the same name.
    """

    TOO_LARGE = "answer_too_large"
    INVALID = "answer_invalid"
    UNAUTHORIZED = "answer_unauthorized"


class CommandCode(StrEnum):
    """A command is refused, on the control topic or before it is sent."""

    BAD_BUCKETING = "bad_bucketing"
    BAD_LINES = "bad_lines"
    BAD_PERCENTAGE = "bad_percentage"
    BAD_RAMP = "bad_ramp"
    BAD_STEP = "bad_step"
    BAD_STRATEGY = "bad_strategy"
    BAD_VERSION = "bad_version"
    CANARY_IS_PRIMARY = "canary_is_primary"
    FOREIGN_CONTROL_TOPIC = "foreign_control_topic"
    INTERNAL = "internal"
    LEAKS = "leaks"
    MISSING_VERSION = "missing_version"
    NO_CANARY = "no_canary"
    NO_OUTCOMES = "no_outcomes"
    NO_PREVIOUS = "no_previous"
    NO_RAMP = "no_ramp"
    NO_STATE = "no_state"
    NO_TRAFFIC = "no_traffic"
    NOTHING_GIVEN = "nothing_given"
    OLDER_WORKERS = "older_workers"
    RAMP_NOT_PAUSED = "ramp_not_paused"
    RAMP_PAUSED = "ramp_paused"
    REDELIVERED = "redelivered"
    REPLACED = "replaced"
    SAME_CONTROL_TOPIC = "same_control_topic"
    STALE_EPOCH = "stale_epoch"
    TOO_LITTLE_TRAFFIC = "too_little_traffic"
    TOPIC_MISSING = "topic_missing"
    TRAINING_RUNNING = "training_running"
    TRIAL_UNDER_WAY = "trial_under_way"
    UNKNOWN_LETTER = "unknown_letter"
    UNUSABLE_VERSION = "unusable_version"
    WOULD_SHRINK = "would_shrink"


class TrainingCode(StrEnum):
    """A training run ends without a version."""

    ALREADY_RUNNING = "already_running"
    DIED = "died"
    GATE = "gate"
    INTERNAL = "internal"
    LOST_LOCK = "lost_lock"
    LOST_RANGE = "lost_range"
    LOST_START = "lost_start"
    NO_DATA = "no_data"
    NO_JAVA = "no_java"
    NOT_A_NUMBER = "not_a_number"
    NOT_ANNOUNCED = "not_announced"
    OUT_OF_MEMORY = "out_of_memory"
    SPARK_FAILED = "spark_failed"
    SPARK_MISSING = "spark_missing"
    SPARK_STAGING = "spark_staging"
    SPARK_UNREACHABLE = "spark_unreachable"
    TIMEOUT = "timeout"
    TOO_FEW_NEW = "too_few_new"
    WORKER_LOST = "worker_lost"


class HttpCode(StrEnum):
    """An HTTP request is refused, for no reason that has a code elsewhere."""

    FOREIGN_CONTROL_TOPIC = "foreign_control_topic"
    HTTP = "http"
    INTERNAL = "internal"
    NO_REPORT = "no_report"
    NOT_TRACED = "not_traced"
    OTHER_ENVIRONMENT = "other_environment"
    RECOVERING = "recovering"
    RESERVED_NAME = "reserved_name"
    TOO_MANY_LISTENERS = "too_many_listeners"


class ReadinessCode(StrEnum):
    """A worker is not ready."""

    FOREIGN_CONTROL_TOPIC = "foreign_control_topic"
    KAFKA_REFUSES_ACCESS = "kafka_refuses_access"
    KAFKA_UNREACHABLE = "kafka_unreachable"
    NO_VERSION = "no_version"
    NOT_IN_GROUP = "not_in_group"
    READING_ITEMS = "reading_items"
    RECOVERING = "recovering"
    ROLLOUT_LEASE_EXPIRED = "rollout_lease_expired"
    TOPIC_MISSING = "topic_missing"
    VERSION_NOT_READY = "version_not_ready"


class NoticeCode(StrEnum):
    """A worker serves, but somebody should act."""

    FRESH_INCOMPLETE = "fresh_incomplete"
    FRESH_STALLED = "fresh_stalled"
    IDLE_WORKERS = "idle_workers"
    ITEMS_NOT_READ = "items_not_read"
    ITEMS_TOPIC_MISSING = "items_topic_missing"
    NEW_ITEMS_STALLED = "new_items_stalled"
    OPEN_TRANSACTION = "open_transaction"
    OUTCOMES_NOT_JOINED = "outcomes_not_joined"
    PARTITIONERS_DIFFER = "partitioners_differ"
    REGISTRY_NOT_WRITABLE = "registry_not_writable"
    REQUESTS_CUT_OFF = "requests_cut_off"
    SAME_NAME = "same_name"
    TOPICS_DIFFER = "topics_differ"


class AnswerCode(StrEnum):
    """A request is answered with an error."""

    BAD_COMBINATION = "bad_combination"
    INTERNAL = "internal"
    NO_VERSION = "no_version"
    UNKNOWN_LABEL = "unknown_label"
    UNKNOWN_VERSION = "unknown_version"


class FallbackCode(StrEnum):
    """The ``fallback_reason`` of an answer."""

    VERSION_NOT_READY = "version_not_ready"
    ROLLOUT_LEASE_EXPIRED = "rollout_lease_expired"
    NO_FOLD_IN = "no_fold_in"
    UNKNOWN_ITEMS = "unknown_items"
    UNKNOWN_USER = "unknown_user"
    NOT_INTERLEAVED = "not_interleaved"
    USER_ID_OF_OTHER_TYPE = "user_id_of_other_type"
