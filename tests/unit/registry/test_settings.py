"""Settings: every wrong value stops the start and says which, what and what is allowed."""

from __future__ import annotations

import pytest
from harness.cells import each_cell

from registry.errors import ConfigurationError
from registry.settings import SECRETS, Settings, read_settings, to_environment
from registry.wire.training_records.event_weights import spell_event_weights


def refusal_of(**environment: str) -> str:
    with pytest.raises(ConfigurationError) as refused:
        read_settings(environment)
    return str(refused.value)


@each_cell(
    ("variable", "value", "allowed"),
    [
        ("KAFKA_SECURITY_PROTOCOL", "TLS", "SASL_SSL"),
        ("KAFKA_SASL_MECHANISM", "GSSAPI", "SCRAM-SHA-512"),
        ("ENVIRONMENT", "prod uction", "pattern"),
        ("MODEL_NAME", "als/../x", "pattern"),
        ("MODEL_VERSION", "0.3", "vMAJOR.MINOR"),
        ("CANARY_VERSION", "latest", "vMAJOR.MINOR"),
        ("ROLLOUT_STRATEGY", "random", "'fixed', 'canary', 'ab_test', 'shadow' or 'interleave'"),
        ("CANARY_PERCENTAGE", "101", "less than or equal to 100"),
        ("CANARY_PERCENTAGE", "-1", "greater than or equal to 0"),
        ("CANARY_PERCENTAGE", "ten", "number"),
        ("CANARY_PERCENTAGE", "nan", ""),
        ("RETRAIN_INTERVAL", "-5", "greater than or equal to 0"),
        ("RETRAIN_INTERVAL", "1h", "number"),
        ("RETRAIN_CRON", "0 3 * *", "five fields"),
        ("RETRAIN_CRON", "0 25 * * *", "five fields"),
        ("RETRAIN_DEPLOY", "later", "'swap'"),
        ("RETRAIN_TIMEOUT", "0", "greater than 0"),
        ("RETRAIN_FACTORS", "64.5", "integer"),
        ("RETRAIN_FACTORS", "0", "greater than or equal to 1"),
        ("RETRAIN_HOLDOUT", "1", "less than 1"),
        ("RETRAIN_REGULARIZATION", "0", "greater than 0"),
        ("RECSTREAM_TOPIC_PREFIX", "a b", "pattern"),
        ("RECSTREAM_CONTROL_PREFIX", "a b", "pattern"),
        ("RECSTREAM_SHADOW_QUEUE", "0", "greater than or equal to 1"),
        ("RECSTREAM_PARTITIONS", "0", "greater than or equal to 1"),
        ("RECSTREAM_PARTITIONS", "eight", "integer"),
        ("RECSTREAM_HTTP_PORT", "65536", "less than or equal to 65535"),
        ("RECSTREAM_LEASE_SECONDS", "0", "greater than or equal to 1"),
        ("RECSTREAM_SCORING_THREADS", "0", "greater than or equal to 1"),
    ],
)
def test_a_wrong_value_is_named_with_its_variable_and_what_is_allowed(
    variable: str, value: str, allowed: str
) -> None:
    message = refusal_of(**{variable: value})
    assert variable in message
    assert repr(value) in message
    assert allowed in message


@each_cell(
    "variable",
    ["RETRAIN_INTERVAL", "RETRAIN_TIMEOUT", "RETRAIN_ALPHA", "RETRAIN_RATING_FLOOR",
     "RECSTREAM_LEASE_SECONDS", "RECSTREAM_SESSION_TIMEOUT"],
)  # fmt: skip
@each_cell("value", ["inf", "nan"])
def test_a_number_must_be_finite(variable: str, value: str) -> None:
    message = refusal_of(**{variable: value})
    assert variable in message
    assert value in message


def test_all_wrong_values_are_reported_at_once() -> None:
    message = refusal_of(RECSTREAM_PARTITIONS="0", RETRAIN_DEPLOY="later")
    assert "RECSTREAM_PARTITIONS" in message
    assert "RETRAIN_DEPLOY" in message


@each_cell("strategy", ["canary", "ab_test", "shadow"])
def test_every_strategy_but_fixed_needs_a_canary_version(strategy: str) -> None:
    message = refusal_of(ROLLOUT_STRATEGY=strategy)
    assert f"ROLLOUT_STRATEGY='{strategy}': needs CANARY_VERSION as well" in message
    read_settings({"ROLLOUT_STRATEGY": strategy, "CANARY_VERSION": "v0.2"})


def test_a_ramp_of_what_is_trained_needs_its_file() -> None:
    message = refusal_of(RETRAIN_DEPLOY="ramp")
    assert message == "RETRAIN_DEPLOY='ramp': needs RETRAIN_RAMP_FILE as well"
    read_settings({"RETRAIN_DEPLOY": "ramp", "RETRAIN_RAMP_FILE": "ramp.yaml"})


def test_new_items_need_what_users_did() -> None:
    message = refusal_of(RECSTREAM_NEW_ITEMS="on", RECSTREAM_FRESH="off")
    assert message == "RECSTREAM_NEW_ITEMS='on': needs RECSTREAM_FRESH='partition' or 'all'"
    read_settings({"RECSTREAM_NEW_ITEMS": "on"})


def test_a_password_needs_its_user_and_a_user_its_password() -> None:
    wanted = {"KAFKA_SECURITY_PROTOCOL": "SASL_SSL", "KAFKA_SASL_MECHANISM": "PLAIN"}
    both = {"KAFKA_SASL_USERNAME": "anna", "KAFKA_SASL_PASSWORD": "hunter2"}
    for given in ({}, *({name: value} for name, value in both.items())):
        assert refusal_of(**wanted, **given).endswith(
            "needs KAFKA_SASL_USERNAME and KAFKA_SASL_PASSWORD as well"
        )
    read_settings(wanted | both)


def test_empty_and_foreign_variables_count_as_unset() -> None:
    assert read_settings(
        {"RECSTREAM_PARTITIONS": "", "PATH": "/bin", "HOME": "x"}
    ) == read_settings({})


def test_values_are_read_with_their_types() -> None:
    settings = read_settings({"RECSTREAM_PARTITIONS": "3", "RETRAIN_CRON": "0 3 * * *"})
    assert (settings.partitions, settings.retrain_cron) == (3, "0 3 * * *")


def test_the_defaults_are_those_of_the_contract() -> None:
    settings = read_settings({})
    assert settings.environment == "production"
    assert (settings.model_name, settings.model_registry) == ("als", "model_registry")
    assert (settings.rollout_strategy, settings.canary_percentage) == ("fixed", 0)
    assert (settings.topic_prefix, settings.partitions, settings.lease_seconds) == ("reco", 8, 20)


def test_every_setting_has_a_variable_and_a_description() -> None:
    for name, field in Settings.model_fields.items():
        assert str(field.alias).isupper(), name
        assert str(field.description).endswith("."), name


def test_settings_pass_through_an_environment_unchanged() -> None:
    settings = read_settings(
        {
            "RECSTREAM_API_TOKEN": "hunter3",
            "MODEL_VERSION": "v0.3",
            "RETRAIN_ALPHA": "0.1",
            "RECSTREAM_PARTITIONS": "3",
        }
    )
    assert read_settings(to_environment(settings)) == settings
    assert read_settings(to_environment(read_settings({}))) == read_settings({})


def test_a_wrong_event_weight_is_refused_with_what_is_allowed() -> None:
    message = refusal_of(RETRAIN_EVENT_WEIGHTS="watch=1:cube")
    assert (
        "RETRAIN_EVENT_WEIGHTS='watch=1:cube': 'watch=1:cube': 'cube' is not a transform" in message
    )


def test_older_spellings_of_weights_still_count() -> None:
    settings = read_settings({"RETRAIN_WEIGHT_WATCH": "3", "RETRAIN_RATING_FLOOR": "1"})
    assert spell_event_weights(settings.event_weights) == "watch=3,click=0.5:auto,rate=1:floor=1"
    assert read_settings(to_environment(settings)) == settings


def test_a_weight_in_both_spellings_is_refused() -> None:
    message = refusal_of(RETRAIN_EVENT_WEIGHTS="watch=1", RETRAIN_WEIGHT_WATCH="3")
    assert "RETRAIN_WEIGHT_WATCH=3: is an older spelling" in message


def test_secrets_are_never_shown() -> None:
    settings = read_settings(
        {"KAFKA_SASL_PASSWORD": "hunter2", "RECSTREAM_API_TOKEN": "hunter3", "MODEL_NAME": "als"}
    )
    shown = f"{settings!r} {settings} {settings.model_dump()} {settings.model_dump_json()}"
    assert "hunter" not in shown
    assert settings.kafka_sasl_password.get_secret_value() == "hunter2"


def test_secrets_are_not_shown_when_something_else_is_wrong() -> None:
    message = refusal_of(
        KAFKA_SASL_PASSWORD="hunter2", RECSTREAM_API_TOKEN="hunter3", RECSTREAM_PARTITIONS="0"
    )
    assert "hunter" not in message


def test_settings_are_frozen() -> None:
    with pytest.raises(ValueError, match="frozen"):
        read_settings({}).partitions = 3  # type: ignore[misc]


@each_cell(
    ("variables", "excerpt"),
    [
        ({"RECSTREAM_READ_TOKEN": "peek"}, "needs RECSTREAM_API_TOKEN as well"),
        (
            {"RECSTREAM_READ_TOKEN": "same", "RECSTREAM_API_TOKEN": "same"},
            "must differ from RECSTREAM_API_TOKEN",
        ),
        ({"RECSTREAM_METRICS_HOST": "127.0.0.1"}, "needs RECSTREAM_METRICS_PORT"),
    ],
)
def test_settings_of_the_pages_that_contradict_each_other_are_refused(
    variables: dict[str, str], excerpt: str
) -> None:
    message = refusal_of(**variables)
    assert excerpt in message
    assert "peek" not in message
    assert "same" not in message


@each_cell("variable", sorted(SECRETS - {"KAFKA_CLIENT_SETTINGS"}))
@each_cell("secret", ["{}\n", " {}", "{}\r\n", "{}\t", "a\nb{}"])
def test_a_secret_with_a_line_break_or_a_blank_at_an_end_is_refused(
    variable: str, secret: str
) -> None:
    with pytest.raises(ConfigurationError) as refusal:
        read_settings({variable: secret.format("hunter2" * 6)})
    assert variable in str(refusal.value)
    assert "blank or line break" in str(refusal.value)
    assert "hunter2" not in str(refusal.value)


def test_a_secret_may_hold_blanks_inside_and_any_letters() -> None:
    read_settings({"KAFKA_SASL_PASSWORD": 'größer als 7 & "zwölf"'})


@each_cell("variable", sorted(SECRETS))
def test_no_secret_shows_in_the_settings(variable: str) -> None:
    secret = "client.id=" + "hunter2" * 6
    assert "hunter2" not in repr(Settings.model_validate({variable: secret}))
