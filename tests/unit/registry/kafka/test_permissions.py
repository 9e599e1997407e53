"""What each role needs: no more than it does, no group outside of the prefix."""

from __future__ import annotations

from harness.cells import each_cell

from registry.kafka.permissions import ROLES, Permission, Role, acl_commands, permissions_of
from registry.kafka.topics import topics_of
from registry.settings import read_settings

SETTINGS = read_settings(
    {
        "RECSTREAM_TOPIC_PREFIX": "shop",
        "ENVIRONMENT": "eu",
        "RECSTREAM_CONTROL_PREFIX": "all",
        "KAFKA_BOOTSTRAP_SERVERS": "k:9092",
    }
)


def allowed(role: Role, operation: str) -> set[str]:
    return {
        permission.name
        for permission in permissions_of(SETTINGS, role)
        if permission.operation == operation and permission.kind == "topic"
    }


def test_an_application_asks_reads_answers_and_sends_interactions() -> None:
    assert allowed("application", "WRITE") == {"shop.requests", "shop.interactions"}
    assert allowed("application", "READ") == {"shop.responses"}


def test_a_worker_writes_no_request_no_interaction_and_creates_its_changelog_only() -> None:
    assert allowed("worker", "WRITE") == {
        "shop.responses",
        "all.control",
        "all.control-results",
        "shop.shadow",
        "shop.dead-letter",
        "shop.fleet",
        "shop-eu-rollout-changelog",
    }
    assert allowed("worker", "CREATE") == {"shop-eu-rollout-changelog"}


def test_a_worker_reads_answers_and_writes_outcomes_only_where_it_joins_them() -> None:
    joining = {
        (permission.name, permission.operation)
        for permission in permissions_of(SETTINGS.model_copy(update={"outcomes": "on"}), "worker")
    }
    plain = {
        (permission.name, permission.operation) for permission in permissions_of(SETTINGS, "worker")
    }
    assert joining - plain == {
        ("shop.responses", "READ"),
        ("shop.outcomes", "READ"),
        ("shop.outcomes", "WRITE"),
    }


def test_a_trainer_reads_interactions_and_tells_what_it_made() -> None:
    assert allowed("trainer", "READ") == {
        "shop.interactions",
        "shop.items",
        "all.control",
        "all.control-results",
    }
    assert allowed("trainer", "WRITE") == {"all.control"}


def test_a_catalogue_says_what_items_there_are_and_nothing_else() -> None:
    assert allowed("catalogue", "WRITE") == allowed("catalogue", "READ") == {"shop.items"}


def test_an_operator_may_create_look_at_and_grow_every_topic() -> None:
    every = {topic.name for topic in topics_of(SETTINGS)} | {"shop-eu-rollout-changelog"}
    for operation in ("CREATE", "DESCRIBE_CONFIGS", "ALTER", "ALTER_CONFIGS", "READ", "WRITE"):
        assert allowed("operator", operation) == every


def test_a_worker_may_check_every_topic() -> None:
    every = {topic.name for topic in topics_of(SETTINGS)}
    assert allowed("worker", "DESCRIBE_CONFIGS") == every | {"shop-eu-rollout-changelog"}


@each_cell("role", ROLES)
def test_all_groups_are_under_the_prefix(role: Role) -> None:
    groups = [
        permission for permission in permissions_of(SETTINGS, role) if permission.kind == "group"
    ]
    assert groups
    assert all(group.name.startswith("shop-") for group in groups)


def test_only_an_operator_replays_dead_letters_which_is_a_transaction() -> None:
    ids = {
        role: [
            permission
            for permission in permissions_of(SETTINGS, role)
            if permission.kind not in ("topic", "group")
        ]
        for role in ROLES
    }
    assert ids.pop("operator") == [
        Permission("transactional-id", "shop.dead-letter.dealer", False, "WRITE")
    ]
    assert not any(ids.values())


def test_no_role_may_delete_or_alter_what_it_does_not_make() -> None:
    for role in ("worker", "application", "catalogue", "trainer"):
        operations = {permission.operation for permission in permissions_of(SETTINGS, role)}
        assert not operations & {"ALTER", "ALTER_CONFIGS"}


def test_the_commands_are_those_of_kafkas_tool() -> None:
    assert acl_commands(SETTINGS, "application", "User:anna") == [
        "kafka-acls.sh --bootstrap-server k:9092 --add --allow-principal 'User:anna' "
        "--operation Describe --group shop-reader- --resource-pattern-type prefixed",
        "kafka-acls.sh --bootstrap-server k:9092 --add --allow-principal 'User:anna' "
        "--operation Write --topic shop.interactions --topic shop.requests",
        "kafka-acls.sh --bootstrap-server k:9092 --add --allow-principal 'User:anna' "
        "--operation Read --topic shop.responses",
    ]


@each_cell("role", ROLES)
def test_the_commands_name_every_permission(role: Role) -> None:
    printed = " ".join(acl_commands(SETTINGS, role, "User:anna")) + " "
    for permission in permissions_of(SETTINGS, role):
        assert f"--{permission.kind} {permission.name} " in printed
    assert ("DescribeConfigs" in printed) == (role in ("worker", "operator"))


def test_permissions_are_listed_once_and_in_order() -> None:
    found = permissions_of(SETTINGS, "worker")
    assert list(found) == sorted(set(found))
    assert Permission("group", "shop-eu", False, "READ") in found
