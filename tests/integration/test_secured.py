"""A secured Kafka: TLS, SASL, mutual TLS, tokens and ACLs, with real processes, and what is wrong.

One broker for all of them. Each test has its own topic prefix and users.
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from harness.calm_logs import require_calm_logs
from harness.certificates import Authority
from harness.client import Client
from harness.fresh import environment_of, fresh_settings, publish_model, without
from harness.secured import (
    PASSWORD,
    SecuredBroker,
    SecuredKafka,
    secured_broker,
    secured_cluster,
)
from harness.steady import SteadyTraffic
from harness.tokens import CLIENT_SECRET
from harness.waiting import wait_until
from harness.workers import ROOT, Worker
from pydantic import SecretStr

from ops.clients.kafka_client import require_broker
from ops.doctor.checkup import examine
from ops.doctor.kafka_diagnoses import acls
from registry.asking import blocking_client as asking
from registry.asking.async_client import AsyncClient
from registry.asking.librdkafka_clients import CONFIRMATION_SECONDS
from registry.errors import AccessRefused, TransportError
from registry.kafka.permission_check import missing_permissions
from registry.kafka.permissions import ROLES, Permission, Role, permissions_of
from registry.kafka.topic_admin import check_topics, create_changelog, create_topics
from registry.kafka.topics import topics_of
from registry.settings import Settings, read_settings
from registry.wire.requests import Request
from registry.wire.training_records.interactions import Interaction

TOKEN = "T0ken-that-must-stay-secret-0123456789"
SECRETS = (PASSWORD, TOKEN, CLIENT_SECRET)
RATINGS = "userId,movieId,rating,timestamp\n" + "".join(
    f"{user},{(user * 7 + item * item) % 40},{3 + (user + item) % 3},{user * 50 + item}\n"
    for user in range(60)
    for item in range(12)
)
AT_ONCE_SECONDS = 4.0
"""A wrong setting is named within this; librdkafka alone would go on trying for its five seconds,
and then say nothing of it. The machine may be busy: 1.4 s on a quiet one."""


@pytest.fixture(scope="module")
def secured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SecuredBroker]:
    with secured_broker(tmp_path_factory.mktemp("secured")) as broker:
        yield broker


def with_role(secured: SecuredKafka, folder: Path, role: Role, **more: str) -> Settings:
    """Return settings of a new user who may do what `role` needs, and nothing else."""
    user = f"{role}-{uuid.uuid4().hex[:6]}"
    secured.set_password(user)
    settings = fresh_settings(secured.scram, folder, **secured.variables(user=user), **more)
    secured.allow(f"User:{user}", permissions_of(settings, role))
    return settings


def allow_as_printed(secured: SecuredKafka, settings: Settings, role: Role) -> Settings:
    """Return settings of a new user who may do what `recstream topics acls` prints for `role`."""
    user = f"{role}-{uuid.uuid4().hex[:6]}"
    secured.set_password(user)
    printed = done(settings, "topics", "acls", "--principal", f"User:{user}", "--for", role)
    secured.run_acl_commands(printed)
    return settings.model_copy(update={"kafka_sasl_username": user})


def recstream(settings: Settings, *words: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "ops.cli.main", *map(str, words)],
        env=without(os.environ) | environment_of(settings) | {"COLUMNS": "200"},
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )


def done(settings: Settings, *words: object) -> str:
    ended = recstream(settings, *words)
    output = ended.stdout + ended.stderr
    assert ended.returncode == 0, (words, output)
    assert not [secret for secret in SECRETS if secret in output]
    return ended.stdout


WRONG: dict[str, tuple[Callable[[SecuredBroker], dict[str, str]], str]] = {
    "password": (
        lambda b: {"KAFKA_SASL_PASSWORD": "another"},
        "does not accept KAFKA_SASL_USERNAME='recstream' with this KAFKA_SASL_PASSWORD",
    ),
    "user": (
        lambda b: {"KAFKA_SASL_USERNAME": "nobody"},
        "does not accept KAFKA_SASL_USERNAME='nobody'",
    ),
    "authority": (
        lambda b: {"KAFKA_SSL_CA": str(b.other_ca)},
        "is not signed by a trusted authority (KAFKA_SSL_CA: '",
    ),
    "no authority": (lambda b: {"KAFKA_SSL_CA": ""}, "(KAFKA_SSL_CA: unset, the system's)"),
    "expired certificate": (
        lambda b: {"KAFKA_BOOTSTRAP_SERVERS": b.expired},
        "its certificate has expired",
    ),
    "certificate of another host": (
        lambda b: {"KAFKA_BOOTSTRAP_SERVERS": b.foreign},
        "its certificate is for another host name",
    ),
    "plaintext at TLS": (
        lambda b: {"KAFKA_SECURITY_PROTOCOL": "PLAINTEXT"},
        "it speaks TLS, and KAFKA_SECURITY_PROTOCOL is 'PLAINTEXT'",
    ),
    "SASL without TLS at TLS": (
        lambda b: {"KAFKA_SECURITY_PROTOCOL": "SASL_PLAINTEXT"},
        "it speaks TLS, and KAFKA_SECURITY_PROTOCOL is 'SASL_PLAINTEXT'",
    ),
    "TLS at plaintext": (
        lambda b: {"KAFKA_BOOTSTRAP_SERVERS": b.plain},
        "it does not speak TLS, and KAFKA_SECURITY_PROTOCOL is 'SASL_SSL'",
    ),
    "no SASL where it is asked for": (
        lambda b: {"KAFKA_SECURITY_PROTOCOL": "SSL"},
        "it asks for SASL (SCRAM-SHA-512), and KAFKA_SECURITY_PROTOCOL is 'SSL'; use SASL_SSL",
    ),
    "mechanism": (
        lambda b: {"KAFKA_SASL_MECHANISM": "SCRAM-SHA-256"},
        "does not offer KAFKA_SASL_MECHANISM='SCRAM-SHA-256'; it offers SCRAM-SHA-512",
    ),
    "no client certificate": (
        lambda b: {"KAFKA_BOOTSTRAP_SERVERS": b.mutual, "KAFKA_SECURITY_PROTOCOL": "SSL"},
        "set KAFKA_SSL_CERTIFICATE and KAFKA_SSL_KEY",
    ),
    "client certificate of a stranger": (
        lambda b: b.mutual_variables() | _stranger(b),
        "does not accept KAFKA_SSL_CERTIFICATE='",
    ),
    "client secret": (
        lambda b: b.token_variables() | {"KAFKA_OAUTH_CLIENT_SECRET": "another"},
        "check KAFKA_OAUTH_TOKEN_URL='http://",
    ),
    "host name": (
        lambda b: {"KAFKA_BOOTSTRAP_SERVERS": "kafka.invalid:9092"},
        "its host name cannot be resolved",
    ),
}


def _stranger(broker: SecuredBroker) -> dict[str, str]:
    folder = broker.folder / uuid.uuid4().hex
    folder.mkdir()
    own = Authority(folder, "stranger-ca").sign("stranger")
    return {"KAFKA_SSL_CERTIFICATE": str(own.certificate), "KAFKA_SSL_KEY": str(own.key)}


@pytest.mark.parametrize("fault", WRONG)
def test_a_wrong_setting_is_named_at_once(secured: SecuredBroker, fault: str) -> None:
    change, sentence = WRONG[fault]
    variables = secured.variables() | change(secured)
    settings = read_settings(variables)
    started = time.monotonic()
    with pytest.raises(TransportError) as refusal:
        require_broker(settings)
    seconds = time.monotonic() - started
    assert sentence in str(refusal.value)
    assert seconds < AT_ONCE_SECONDS or fault == "host name"  # that one may pass: a name server
    by_check = {seen.check: seen for seen in examine(variables)}
    assert (by_check["kafka"].verdict, by_check["topics"].verdict) == ("failed", "skipped")
    assert sentence in by_check["kafka"].detail


def test_commands_workers_and_trainings_name_a_wrong_setting(
    secured: SecuredBroker, tmp_path: Path
) -> None:
    wrong = fresh_settings(
        secured.scram, tmp_path, **secured.variables() | {"KAFKA_SASL_PASSWORD": "another"}
    )
    running = {
        " ".join(words): start(wrong, *words)
        for words in (
            ["ops.cli.main", "topics", "check"],
            ["ops.cli.main", "request", "1"],
            ["ops.cli.main", "rollout", "history"],
            ["ops.cli.main", "fleet"],
            ["ops.cli.main", "worker"],
            ["ops.cli.main", "train"],
            ["training"],
        )
    }
    for command, process in running.items():
        output, _ = process.communicate(timeout=60)
        assert process.returncode == 1, (command, output)
        assert "does not accept KAFKA_SASL_USERNAME='recstream' with this" in output, command
        assert "another" not in output, command

    missing = wrong.model_copy(update={"kafka_ssl_ca": "/nope.pem"})
    ended = recstream(missing, "topics", "check")
    assert ended.returncode == 2
    assert "KAFKA_SSL_CA='/nope.pem': No such file or directory" in ended.stderr


def start(settings: Settings, *words: str) -> subprocess.Popen[str]:
    """Start ``python -m`` with `words`; all that it prints is its standard output."""
    return subprocess.Popen(
        [sys.executable, "-m", *words],
        env=without(os.environ) | environment_of(settings) | {"COLUMNS": "500"},
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


@pytest.mark.parametrize("fault", ["authority", "expired certificate", "mechanism"])
def test_workers_and_trainings_end_and_name_what_is_wrong_with_the_connection(
    secured: SecuredBroker, tmp_path: Path, fault: str
) -> None:
    change, sentence = WRONG[fault]
    variables = secured.variables() | change(secured)
    wrong = fresh_settings(variables["KAFKA_BOOTSTRAP_SERVERS"], tmp_path, **variables)
    running = [start(wrong, "ops.cli.main", "worker"), start(wrong, "training")]
    for process in running:
        output, _ = process.communicate(timeout=60)
        assert (process.returncode, sentence in output) == (1, True), output
        assert "Traceback" not in output


def test_a_fleet_works_with_exactly_the_documented_acls(
    secured: SecuredBroker, tmp_path: Path, start_worker: Callable[..., Worker]
) -> None:
    settings = fresh_settings(
        secured.scram,
        tmp_path,
        **secured.variables(user="nobody"),
        RECSTREAM_API_TOKEN=TOKEN,
        RETRAIN_DEPLOY="none",
        RETRAIN_MIN_USERS="5",
        RETRAIN_MIN_ITEMS="5",
        RETRAIN_MIN_INTERACTIONS="20",
        RETRAIN_INCONCLUSIVE="publish",
    )
    as_role = {role: allow_as_printed(secured, settings, role) for role in ROLES}
    operator = as_role["operator"]
    done(operator, "topics", "create")
    done(operator, "topics", "check")
    ratings = tmp_path / "ratings.csv"
    ratings.write_text(RATINGS)
    done(operator, "ingest", ratings)
    assert "0 interactions sent" in done(operator, "ingest", ratings)

    workers = [start_worker(as_role["worker"], name) for name in ("w1", "w2")]
    published = publish_model(operator)
    ended = recstream(as_role["trainer"], "train", "--json")
    assert '"status": "published"' in ended.stdout or '"code": "gate"' in ended.stdout, (
        ended.stdout + ended.stderr
    )
    for worker in workers:
        wait_until(lambda at=worker: _answers(at), 60, f"{worker} to show its page")
    done(operator, "swap", published)
    for worker in workers:
        worker.wait_ready()
    refused = workers[0].fetch("/recommend/7")
    assert (refused.status, refused.json()["code"]) == (503, "access_refused"), refused.text
    as_worker = f"User:{as_role['worker'].kafka_sasl_username}"
    secured.allow(as_worker, permissions_of(settings, "application"))
    answered = wait_until(
        lambda: page.json() if (page := workers[0].fetch("/recommend/7")).status == 200 else None,
        60,
        "the worker to ask for whoever has no Kafka",
    )
    assert answered["model_version"] == published
    for who in ("application", "operator"):
        asked = json.loads(done(as_role[who], "request", "7", "--json"))
        assert asked["model_version"] == published
    assert json.loads(done(operator, "request", "-5", "--json"))["user_id"] == -5
    done(operator, "rollout", "status")
    assert published in done(operator, "rollout", "history")
    assert "w1" in done(operator, "fleet")
    done(operator, "explain", "7")
    assert json.loads(done(operator, "retrain", "--json"))
    result = wait_until(lambda: _result(workers), 60, "the fleet's training to end")
    assert result["status"] == "published" or result["code"] == "gate", result
    with Client(operator) as client:
        _ask(client, 50)
        client.send([b"{"])
        client.dead_letters(1)
    assert len(json.loads(done(operator, "dead-letters", "list", "--json"))) == 1
    assert json.loads(done(operator, "dead-letters", "replay", "--all", "--json"))["replayed"] == 1
    assert json.loads(done(operator, "inspect", "--json"))["events"] == {"rate": 720}
    assert json.loads(done(operator, "traffic", "--seconds", 1, "--json"))["unanswered"] == 0
    done(operator, "registry", "ids")
    done(operator, "registry", "gc")
    done(operator, "topics", "grow", operator.partitions + 1)
    done(operator, "topics", "mend")
    _ask_as_an_application_does(as_role["application"], published)
    _keep_items_as_a_catalogue_does(as_role["catalogue"], tmp_path, workers)
    refused = recstream(operator, "rollout", "begin-era", "--yes")
    assert "same_control_topic" in refused.stdout + refused.stderr
    shown = [worker.fetch(path).text for worker in workers for path in ("/", "/metrics", "/fleet")]
    shown += [worker.log.read_text(errors="replace") for worker in workers]
    shown += [_command_lines()]
    assert not [secret for secret in SECRETS for text in shown if secret in text]


def _application_config(settings: Settings) -> dict[str, str]:
    """Return what an application passes to the client as `config`; the page for callers has it."""
    return {
        "security.protocol": settings.kafka_security_protocol,
        "ssl.ca.location": settings.kafka_ssl_ca,
        "sasl.mechanism": settings.kafka_sasl_mechanism,
        "sasl.username": settings.kafka_sasl_username,
        "sasl.password": settings.kafka_sasl_password.get_secret_value(),
    }


def _ask_as_an_application_does(settings: Settings, version: str) -> None:
    """Ask, send an interaction and forget a user with both clients of the wheel."""
    where, config = settings.kafka_bootstrap_servers, _application_config(settings)
    click = Interaction(user_id=7, item_id=1, event="click")
    with asking.Client(where, topic_prefix=settings.topic_prefix, config=config) as client:
        assert client.ask(7).model_version == version
        client.send_interaction(click)
        client.forget(8)

    async def ask() -> str | None:
        async with AsyncClient(where, topic_prefix=settings.topic_prefix, config=config) as client:
            await client.send_interaction(click)
            return (await client.ask(7)).model_version

    assert asyncio.run(ask()) == version


def _keep_items_as_a_catalogue_does(
    settings: Settings, folder: Path, workers: Sequence[Worker]
) -> None:
    """Send titles, and withdraw an item until no worker shows it."""
    movies = folder / "movies.csv"
    movies.write_text(
        "movieId,title,genres\n" + "".join(f"{n},Film {n},Drama\n" for n in range(40))
    )
    done(settings, "items", "load", movies)
    done(settings, "items", "withdraw", 7)
    assert "Film 7" in done(settings, "items", "show", 7)
    for worker in workers:
        wait_until(lambda at=worker: _withdrawn(at) == 1, 60, f"{worker} to withdraw the item")
    refused = recstream(settings, "request", "7")
    assert refused.returncode == 1
    assert "Kafka does not allow this user" in refused.stderr


def _withdrawn(worker: Worker) -> float:
    lines = worker.fetch("/metrics").text.splitlines()
    return sum(
        float(line.split()[-1]) for line in lines if line.startswith("catalogue_withdrawn_items")
    )


def test_an_applications_client_names_what_keeps_it_out(
    secured: SecuredBroker, tmp_path: Path
) -> None:
    user = f"shop-{uuid.uuid4().hex[:6]}"
    secured.set_password(user)
    settings = fresh_settings(secured.scram, tmp_path, **secured.variables(user=user))
    plain = {"kafka_bootstrap_servers": secured.plain, "kafka_security_protocol": "PLAINTEXT"}
    create_topics(settings.model_copy(update=plain))
    click = Interaction(user_id=7, item_id=1, event="click")

    def client(at: str = secured.scram, **more: str) -> asking.Client:
        return asking.Client(
            at,
            topic_prefix=settings.topic_prefix,
            config=_application_config(settings) | more,
            deadline_seconds=4,
        )

    def refusal_of_a_request(at: str = secured.scram, **more: str) -> str:
        with closing(client(at, **more)) as shop, pytest.raises(TransportError) as refusal:
            shop.ask(7)
        return f"{refusal.value.code}: {refusal.value}"

    def refusal_of_an_interaction(**more: str) -> str:
        with closing(client(**more)) as shop, pytest.raises(TransportError) as refusal:
            shop.send_interaction(click)
        return f"{refusal.value.code}: {refusal.value}"

    wrong = {"sasl.password": "another"}
    began = time.monotonic()
    for refused in (refusal_of_a_request(**wrong), refusal_of_an_interaction(**wrong)):
        assert refused.startswith("access_refused: Kafka refuses this client ("), refused
        assert "check the sasl settings in `config`" in refused
    assert time.monotonic() - began < CONFIRMATION_SECONDS
    unsigned = refusal_of_a_request(**{"ssl.ca.location": str(secured.other_ca)})
    assert "verify that ssl.ca.location is correctly configured" in unsigned
    unencrypted_broker = refusal_of_a_request(secured.plain)  # whichever of its words comes first
    assert "PLAINTEXT broker listener?" in unencrypted_broker or "SSL" in unencrypted_broker
    unencrypted = refusal_of_a_request(**{"security.protocol": "PLAINTEXT"})
    assert "does its address fit `config`?" in unencrypted
    for refused, topic in (
        (refusal_of_a_request(), "responses"),
        (refusal_of_an_interaction(), "interactions"),
    ):
        assert refused.startswith("access_refused: "), refused
        assert f"{settings.topic_prefix}.{topic}" in refused
        assert "authorization failed" in refused  # the topic's, or the cluster's for a producer id


def _ask(client: Client, count: int) -> set[str]:
    """Ask for `count` users; return the names of the workers that answered."""
    ids = [f"r{number}" for number in range(count)]
    client.send(
        Request(request_id=request_id, user_id=number, k=3) for number, request_id in enumerate(ids)
    )
    answers = client.wait_for(ids).values()
    return {answer["provenance"]["worker"] for several in answers for answer in several}


def _answers(worker: Worker) -> bool:
    assert worker.process.poll() is None, worker.tail()
    try:
        return worker.fetch("/healthz").status == 200
    except OSError:
        return False


def _result(workers: list[Worker]) -> Any:
    seen = [worker.get("/training") for worker in workers]
    return next((run["result"] for run in seen if run and run.get("result")), None)


def _command_lines() -> str:
    found = [path.read_bytes() for path in Path("/proc").glob("[0-9]*/cmdline") if path.exists()]
    return b"\n".join(found).decode(errors="replace")


def test_each_acl_that_a_worker_lacks_is_named_at_its_start(
    secured: SecuredBroker, tmp_path: Path
) -> None:
    settings = with_role(secured, tmp_path, "worker")
    principal = f"User:{settings.kafka_sasl_username}"
    admin = settings.model_copy(
        update={"kafka_bootstrap_servers": secured.plain, "kafka_security_protocol": "PLAINTEXT"}
    )
    create_topics(admin)
    create_changelog(settings)
    assert missing_permissions(settings, "worker") == []
    for permission in permissions_of(settings, "worker"):
        if permission.operation == "CREATE":
            continue
        secured.forbid(principal, permission)
        wait_until(
            lambda lacking=permission: _names_only(
                missing_permissions(settings, "worker"), lacking
            ),
            60,
            f"{permission} to be named",
        )
        if permission.operation == "READ":
            assert f"READ on {permission.kind} {permission.name}" in _acl_findings(settings)
        secured.allow(principal, [permission])
    wait_until(lambda: missing_permissions(settings, "worker") == [], 60, "all to be allowed")
    assert _acl_findings(settings) == "this user may do all that a worker needs"

    nobody = f"nobody-{uuid.uuid4().hex[:6]}"
    secured.set_password(nobody)
    ended = recstream(settings.model_copy(update={"kafka_sasl_username": nobody}), "worker")
    assert ended.returncode == 1
    assert f"READ on topic {settings.topic_prefix}.requests" in ended.stderr
    assert "recstream topics acls" in ended.stderr


def _acl_findings(settings: Settings) -> str:
    """Return what the doctor says of the ACLs."""
    return "\n".join(seen.detail for seen in acls(settings))


def _names_only(missing: list[Permission], lacking: Permission) -> bool:
    """Tell whether it is named, and nothing else but what is hidden with the topic itself."""
    return lacking in missing and {permission.name for permission in missing} == {lacking.name}


def test_without_acls_each_command_names_what_is_missing(
    secured: SecuredBroker, tmp_path: Path
) -> None:
    user = f"nobody-{uuid.uuid4().hex[:6]}"
    secured.set_password(user)
    settings = fresh_settings(secured.scram, tmp_path, **secured.variables(user=user))
    with pytest.raises(AccessRefused, match=r"CREATE on topic .*\.requests"):
        create_topics(settings)
    assert all(
        "Kafka does not allow this user DESCRIBE" in complaint
        for complaint in check_topics(settings)
    )
    for words in (["request", "1"], ["rollout", "history"], ["fleet"], ["train"]):
        ended = recstream(settings, *words)
        assert ended.returncode == 1, words
        assert "Kafka does not allow this user" in ended.stderr, (words, ended.stderr)


@pytest.mark.parametrize("way", ["mutual", "token"])
def test_a_fleet_works_over_mutual_tls_and_with_tokens(
    secured: SecuredBroker, tmp_path: Path, start_worker: Callable[..., Worker], way: str
) -> None:
    variables = secured.mutual_variables() if way == "mutual" else secured.token_variables()
    variables |= {"KAFKA_CLIENT_SETTINGS": "client.id=shop,connections.max.idle.ms=60000"}
    principal = "User:CN=client" if way == "mutual" else "User:shop"
    settings = fresh_settings(variables["KAFKA_BOOTSTRAP_SERVERS"], tmp_path, **variables)
    for role in ("operator", "worker"):
        secured.allow(principal, permissions_of(settings, role))
    create_topics(settings)
    wait_until(lambda: not check_topics(settings), 60, "the topics to be there")
    publish_model(settings)
    version = publish_model(settings)
    workers = [start_worker(settings) for _ in range(2)]
    for worker in workers:
        worker.wait_ready()
    with Client(settings) as client:
        assert client.command(30, type="swap", model_version=version)["status"] == "applied"
        answering = _ask(client, 40)
    assert answering == {worker.name for worker in workers}
    logs = [worker.log.read_text() for worker in workers]
    assert not [secret for secret in SECRETS for log in logs if secret in log]


def test_a_password_that_is_rotated_under_a_worker_is_named_in_readyz_until_it_has_the_new_one(
    secured: SecuredBroker, tmp_path: Path, start_worker: Callable[..., Worker]
) -> None:
    settings = with_role(secured, tmp_path, "worker", RECSTREAM_OUTAGE_SECONDS="10")
    user = settings.kafka_sasl_username
    operator = allow_as_printed(secured, settings, "operator")
    create_topics(operator)
    wait_until(lambda: not check_topics(operator), 60, "the topics to be there")
    publish_model(settings)
    worker = start_worker(settings).wait_ready()

    secured.set_password(user, "another")
    refused = wait_until(lambda: _reason(worker, "kafka_refuses_access"), 60, "the cause to show")
    assert f"does not accept KAFKA_SASL_USERNAME='{user}' with this" in refused
    assert "another" not in worker.log.read_text()
    wait_until(lambda: worker.fetch("/healthz").status == 503, 60, "the supervisor to be called")

    secured.set_password(user)
    wait_until(lambda: not _reason(worker, "kafka_refuses_access"), 60, "the cause to be gone")
    wait_until(lambda: worker.fetch("/healthz").status == 200, 60, "the worker to be well again")

    new = SecretStr("N3w-Pa55word!")
    with Client(operator) as client, SteadyTraffic(client) as traffic:
        traffic.wait_for_answers(30)
        secured.set_password(user, new.get_secret_value())
        wait_until(lambda: _reason(worker, "kafka_refuses_access"), 60, "the cause to show")
        assert worker.stop() == 0
        start_worker(settings.model_copy(update={"kafka_sasl_password": new})).wait_ready()
        traffic.wait_for_answers(30)
        assert traffic.outcome().lost == 0


def test_answers_that_a_worker_may_no_longer_send_become_dead_letters_until_it_may_again(
    secured: SecuredBroker, tmp_path: Path, start_worker: Callable[..., Worker]
) -> None:
    settings = with_role(secured, tmp_path, "worker")
    principal = f"User:{settings.kafka_sasl_username}"
    operator = allow_as_printed(secured, settings, "operator")
    create_topics(operator)
    wait_until(lambda: not check_topics(operator), 60, "the topics to be there")
    publish_model(settings)
    worker = start_worker(settings).wait_ready()
    write = Permission("topic", topics_of(settings).responses.name, False, "WRITE")
    with Client(operator) as client:
        sent = _ask_until(client, "before", lambda: bool(client.answers))
        secured.forbid(principal, write)
        sent += _ask_until(client, "without", lambda: bool(client.letters))
        secured.allow(principal, [write])
        sent += _ask_until(
            client,
            "again",
            lambda: any(answered.startswith("again") for answered in client.answers),
        )

        def aside() -> set[str]:
            return {json.loads(letter.value or b"{}")["request_id"] for letter in client.letters}

        wait_until(lambda: {*client.answers, *aside()} >= {*sent}, 60, "each request to end")
        assert {letter.headers["reason"] for letter in client.letters} == {b"answer_unauthorized"}

        letters = Permission("topic", topics_of(settings).dead_letter.name, False, "WRITE")
        secured.forbid(principal, letters)
        wait_until(
            lambda: letters in missing_permissions(settings, "worker"), 60, "the broker to know"
        )
        before = len(client.letters)
        client.send([b"{"])
        sent = _ask_until(
            client,
            "aside",
            lambda: any(request_id.startswith("aside") for request_id in client.answers),
        )
        client.wait_for(sent)
        assert len(client.letters) == before
    assert worker.process.poll() is None
    worker.wait_ready()
    errors = {str(letter.headers["error"]) for letter in client.letters}
    assert all("Allow the worker's principal to write to the topic" in error for error in errors)


def _ask_until(client: Client, name: str, ends: Callable[[], bool]) -> list[str]:
    """Ask a few times a second until `ends`; return the ids of the requests."""
    sent: list[str] = []

    def is_over() -> bool:
        sent.append(f"{name}-{len(sent)}")
        client.send([Request(sent[-1], len(sent))])
        return ends()

    wait_until(is_over, 60, f"an end of what is sent {name}")
    return sent


def _reason(worker: Worker, code: str) -> str:
    assert worker.process.poll() is None, worker.tail()
    reasons = worker.get("/readyz")["reasons"]
    return next((reason["message"] for reason in reasons if reason["code"] == code), "")


def test_a_worker_that_may_not_see_the_optional_topics_decides_commands_all_the_same(
    secured: SecuredBroker, tmp_path: Path, start_worker: Callable[..., Worker]
) -> None:
    user = f"before-{uuid.uuid4().hex[:6]}"  # its ACLs are of a release that had none of them
    secured.set_password(user)
    settings = fresh_settings(secured.scram, tmp_path, **secured.variables(user=user))
    optional = topics_of(settings).optional
    needed = [
        permission
        for permission in permissions_of(settings, "worker")
        if permission.name not in optional
    ]
    secured.allow(f"User:{user}", needed)
    operator = allow_as_printed(secured, settings, "operator")
    create_topics(operator)
    publish_model(settings)
    version = publish_model(settings)
    start_worker(settings).wait_ready()
    with Client(operator) as client:
        assert client.command(30, type="swap", model_version=version)["status"] == "applied"


@pytest.mark.long
def test_a_fleet_on_a_secured_cluster_outlives_a_broker_and_loses_nothing(
    tmp_path: Path, start_worker: Callable[..., Worker], figure: Callable[[str], None]
) -> None:
    folder = tmp_path / "kafka"
    folder.mkdir()
    with secured_cluster(folder) as (cluster, kafka):
        settings = with_role(kafka, tmp_path, "worker", RECSTREAM_REPLICATION_FACTOR="3")
        operator = allow_as_printed(kafka, settings, "operator")
        create_topics(operator)
        wait_until(lambda: not check_topics(operator), 60, "the topics to be there")
        publish_model(settings)
        version = publish_model(settings)
        workers = [start_worker(settings).wait_ready() for _ in range(2)]
        with Client(operator) as client, SteadyTraffic(client) as traffic:
            traffic.wait_for_answers(30)
            cluster.kill(cluster.leader(client.topics.control.name))
            assert client.command(60, type="swap", model_version=version)["status"] == "applied"
            traffic.wait_for_answers(60)
            outcome = traffic.outcome()
        for worker in workers:
            worker.wait_ready()
    figure(str(outcome))
    assert outcome.lost == 0
    require_calm_logs(workers, 100)
    logs = [worker.log.read_text() for worker in workers]
    assert not [secret for secret in SECRETS for log in logs if secret in log]
