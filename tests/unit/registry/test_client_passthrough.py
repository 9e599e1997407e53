"""Further settings of Kafka's clients: the two forms, what is refused, and what Faust takes."""

from __future__ import annotations

import pytest
from harness.cells import each_cell

from registry.client_passthrough import (
    FAUST_NAMES,
    GUARANTEED,
    OWN_SETTING,
    faust_settings,
    parse_client_settings,
)
from registry.errors import ConfigurationError
from registry.settings import Settings, read_settings, to_environment


def given(text: str) -> Settings:
    return read_settings({"KAFKA_CLIENT_SETTINGS": text})


def test_pairs_and_json_say_the_same() -> None:
    pairs = parse_client_settings("client.id=shop, connections.max.idle.ms=60000,check.crcs=true,")
    json = parse_client_settings(
        '{"client.id": "shop", "connections.max.idle.ms": 60000, "check.crcs": true}'
    )
    assert pairs == json
    assert pairs == {"client.id": "shop", "connections.max.idle.ms": "60000", "check.crcs": "true"}


def test_nothing_is_passed_through_unless_it_is_given() -> None:
    assert parse_client_settings("") == {}


def test_a_value_may_hold_an_equals_sign_and_with_json_a_comma() -> None:
    assert parse_client_settings("ssl.key.password=a=b") == {"ssl.key.password": "a=b"}
    assert parse_client_settings('{"ssl.cipher.suites": "a,b"}') == {"ssl.cipher.suites": "a,b"}


@each_cell("name", sorted(GUARANTEED))
def test_what_guarantees_rest_on_cannot_be_set(name: str) -> None:
    with pytest.raises(ValueError, match=f"{name} cannot be set"):
        parse_client_settings(f"{name}=1")


@each_cell("name", sorted(OWN_SETTING))
def test_what_has_a_setting_of_its_own_is_sent_there(name: str) -> None:
    assert OWN_SETTING[name] in {field.alias for field in Settings.model_fields.values()}
    with pytest.raises(ValueError, match=f"{name} has a setting of its own: {OWN_SETTING[name]}"):
        parse_client_settings(f"{name}=1")


@each_cell(
    ("text", "complaint"),
    [
        ("client.id", "pair 1 has no '='"),
        ("a=1,=2", "pair 2"),
        ("a=1,a=2", "a is there twice"),
        ('{"a": 1', "is not JSON"),
        ('{"a": [1]}', "a: must be a string, a number, true or false"),
        ('{"a": null}', "a: must be"),
        ("connections.max.idle.ms=soon", "connections.max.idle.ms must be a whole number above 0"),
    ],
)
def test_a_text_that_is_neither_form_is_refused(text: str, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        parse_client_settings(text)


def test_a_refusal_shows_no_value() -> None:
    with pytest.raises(ConfigurationError) as refusal:
        given("ssl.key.password=hunter2,group.id=x")
    assert "group.id" in str(refusal.value)
    assert "hunter2" not in str(refusal.value)


def test_settings_do_not_show_it_and_hand_it_on() -> None:
    settings = given("ssl.key.password=hunter2")
    assert "hunter2" not in repr(settings)
    assert read_settings(to_environment(settings)) == settings


def test_faust_takes_what_it_has_a_word_for() -> None:
    settings = given("client.id=7,connections.max.idle.ms=60000,socket.keepalive.enable=true")
    assert faust_settings(settings) == {
        "broker_client_id": "7",
        "consumer_connections_max_idle_ms": 60000,
        "producer_connections_max_idle_ms": 60000,
    }


def test_no_name_is_both_passed_to_faust_and_refused() -> None:
    assert not FAUST_NAMES.keys() & (GUARANTEED | OWN_SETTING.keys())
