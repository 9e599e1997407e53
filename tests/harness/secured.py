"""A secured Apache Kafka: TLS, SASL and ACLs, with the faults that operators make beside it."""

from __future__ import annotations

import argparse
import shlex
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from confluent_kafka.admin import (
    AclBinding,
    AclBindingFilter,
    AclOperation,
    AclPermissionType,
    AdminClient,
    ResourcePatternType,
    ResourceType,
    ScramCredentialInfo,
    ScramMechanism,
    UserScramCredentialUpsertion,
)
from harness.certificates import Authority, Certificate
from harness.tokens import AUDIENCE, CLIENT_SECRET, IdentityProvider

from ops.local.kafka_cluster import SIZE, Cluster, running_cluster
from ops.local.kafka_jars import fetched_jars
from ops.local.kafka_node import NodeListener, start_node
from ops.local.ports import HOST, free_ports
from registry.kafka.permissions import Permission

PASSWORD = "S3cr3t-Pa55word!"
AUTHORIZER = "org.apache.kafka.metadata.authorizer.StandardAuthorizer"
SCRAM = "org.apache.kafka.common.security.scram.ScramLoginModule required;"

WITH_PASSWORDS = {
    "sasl.enabled.mechanisms": "SCRAM-SHA-512",
    "scram-sha-512.sasl.jaas.config": SCRAM,
}
AUTHORIZED = {
    "inter.broker.listener.name": "PLAINTEXT",
    "authorizer.class.name": AUTHORIZER,
    "super.users": "User:ANONYMOUS",
}

OAUTH = "org.apache.kafka.common.security.oauthbearer.OAuthBearerLoginModule required;"
VALIDATOR = "org.apache.kafka.common.security.oauthbearer.OAuthBearerValidatorCallbackHandler"

RESOURCES = {
    "topic": ResourceType.TOPIC,
    "group": ResourceType.GROUP,
    "transactional-id": ResourceType.TRANSACTIONAL_ID,
}
PATTERNS = {"literal": ResourcePatternType.LITERAL, "prefixed": ResourcePatternType.PREFIXED}
OPERATIONS = {
    "Alter": AclOperation.ALTER,
    "AlterConfigs": AclOperation.ALTER_CONFIGS,
    "Create": AclOperation.CREATE,
    "Describe": AclOperation.DESCRIBE,
    "DescribeConfigs": AclOperation.DESCRIBE_CONFIGS,
    "Read": AclOperation.READ,
    "Write": AclOperation.WRITE,
}
"""How Kafka's tool spells what its options take."""


@dataclass(frozen=True, slots=True)
class SecuredKafka:
    """Where it is, and what its administrator does.

    ``scram`` asks for a password (SCRAM-SHA-512) over TLS. ``plain`` is for the tests'
    administrator, who may do everything.
    """

    folder: Path
    ca: Path
    plain: str
    scram: str

    def variables(self, address: str | None = None, user: str = "recstream") -> dict[str, str]:
        """Return the environment variables of a client that talks to `address` (``scram``)."""
        return {
            "KAFKA_BOOTSTRAP_SERVERS": address or self.scram,
            "KAFKA_SECURITY_PROTOCOL": "SASL_SSL",
            "KAFKA_SSL_CA": str(self.ca),
            "KAFKA_SASL_MECHANISM": "SCRAM-SHA-512",
            "KAFKA_SASL_USERNAME": user,
            "KAFKA_SASL_PASSWORD": PASSWORD,
        }

    def allow(self, principal: str, permissions: Iterable[Permission]) -> None:
        """Add ACLs; returns when the broker goes by them."""
        self._create([_binding(principal, permission) for permission in permissions])

    def _create(self, bindings: list[AclBinding]) -> None:
        admin = AdminClient({"bootstrap.servers": self.plain, "log_level": 2})
        for done in admin.create_acls(bindings).values():
            done.result()

    def run_acl_commands(self, printed: str) -> None:
        """Add the ACLs that the lines of `kafka-acls.sh` add which `topics acls` has printed."""
        self._create([acl for line in printed.splitlines() for acl in _acls_of(line)])

    def forbid(self, principal: str, permission: Permission) -> None:
        """Take one ACL away."""
        admin = AdminClient({"bootstrap.servers": self.plain, "log_level": 2})
        binding = _binding(principal, permission)
        wanted = AclBindingFilter(
            binding.restype,
            binding.name,
            binding.resource_pattern_type,
            binding.principal,
            binding.host,
            binding.operation,
            binding.permission_type,
        )
        for done in admin.delete_acls([wanted]).values():
            assert len(done.result()) == 1

    def set_password(self, user: str, password: str = PASSWORD) -> None:
        """Create `user`, or change its password; clients that are connected stay so."""
        admin = AdminClient({"bootstrap.servers": self.plain})
        wanted = UserScramCredentialUpsertion(
            user, ScramCredentialInfo(ScramMechanism.SCRAM_SHA_512, 4096), password.encode()
        )
        for done in admin.alter_user_scram_credentials([wanted]).values():
            done.result()


@dataclass(frozen=True, slots=True)
class SecuredBroker(SecuredKafka):
    """One broker and its further addresses.

    ``expired`` and ``foreign`` are like ``scram``, with a certificate that has expired, or is
    another host's; ``mutual`` asks for a client's certificate, ``token`` for one of ``provider``'s
    tokens.
    """

    other_ca: Path
    client: Certificate
    expired: str
    foreign: str
    mutual: str
    token: str
    provider: IdentityProvider

    def mutual_variables(self) -> dict[str, str]:
        """Return the environment variables of a client that shows its certificate."""
        return {
            "KAFKA_BOOTSTRAP_SERVERS": self.mutual,
            "KAFKA_SECURITY_PROTOCOL": "SSL",
            "KAFKA_SSL_CA": str(self.ca),
            "KAFKA_SSL_CERTIFICATE": str(self.client.certificate),
            "KAFKA_SSL_KEY": str(self.client.key),
        }

    def token_variables(self) -> dict[str, str]:
        """Return the environment variables of a client that shows a token."""
        return {
            "KAFKA_BOOTSTRAP_SERVERS": self.token,
            "KAFKA_SECURITY_PROTOCOL": "SASL_SSL",
            "KAFKA_SSL_CA": str(self.ca),
            "KAFKA_SASL_MECHANISM": "OAUTHBEARER",
            "KAFKA_OAUTH_TOKEN_URL": self.provider.url,
            "KAFKA_OAUTH_CLIENT_ID": "shop",
            "KAFKA_OAUTH_CLIENT_SECRET": CLIENT_SECRET,
        }


@contextmanager
def secured_broker(folder: Path) -> Iterator[SecuredBroker]:
    """Run a secured broker from the official jars until the block ends."""
    authority, other = Authority(folder, "ca"), Authority(folder, "other-ca")
    good = authority.sign("broker")
    expired = authority.sign("expired-broker", expired=True)
    foreign = authority.sign("foreign-broker", "kafka.example")
    provider = IdentityProvider(folder)
    names = ("SCRAM", "EXPIRED", "FOREIGN", "MUTUAL", "TOKEN")
    ports = dict(zip(names, free_ports(len(names)), strict=True))

    def tls(certificate: Certificate) -> dict[str, str]:
        return _tls(certificate, authority)

    listeners = [
        NodeListener("SCRAM", ports["SCRAM"], "SASL_SSL", tls(good) | WITH_PASSWORDS),
        NodeListener("EXPIRED", ports["EXPIRED"], "SASL_SSL", tls(expired) | WITH_PASSWORDS),
        NodeListener("FOREIGN", ports["FOREIGN"], "SASL_SSL", tls(foreign) | WITH_PASSWORDS),
        NodeListener("MUTUAL", ports["MUTUAL"], "SSL", tls(good) | {"ssl.client.auth": "required"}),
    ]
    token = {
        "sasl.enabled.mechanisms": "OAUTHBEARER",
        "oauthbearer.sasl.jaas.config": OAUTH,
        "oauthbearer.sasl.server.callback.handler.class": VALIDATOR,
        "sasl.oauthbearer.jwks.endpoint.url": provider.keys.as_uri(),
        "sasl.oauthbearer.expected.audience": AUDIENCE,
    }
    listeners.append(NodeListener("TOKEN", ports["TOKEN"], "SASL_SSL", tls(good) | token))
    more = AUTHORIZED | {"connections.max.reauth.ms": "10000"}
    jvm = [f"-Dorg.apache.kafka.sasl.oauthbearer.allowed.urls={provider.keys.as_uri()}"]
    node = start_node(fetched_jars(), folder, listeners, more, jvm)
    try:
        at = {name: f"{HOST}:{port}" for name, port in ports.items()}
        running = SecuredBroker(
            folder,
            authority.certificate,
            node.bootstrap,
            at["SCRAM"],
            other.certificate,
            authority.sign("client"),
            at["EXPIRED"],
            at["FOREIGN"],
            at["MUTUAL"],
            at["TOKEN"],
            provider,
        )
        running.set_password("recstream")
        yield running
    finally:
        provider.close()
        node.process.kill()
        node.process.wait()


@contextmanager
def secured_cluster(folder: Path) -> Iterator[tuple[Cluster, SecuredKafka]]:
    """Run three brokers that ask for a password over TLS until the block ends."""
    authority = Authority(folder, "ca")
    tls = _tls(authority.sign("broker"), authority)
    listeners = [
        NodeListener("SCRAM", port, "SASL_SSL", tls | WITH_PASSWORDS) for port in free_ports(SIZE)
    ]
    with running_cluster(folder, SIZE, AUTHORIZED, listeners) as cluster:
        scram = ",".join(f"{HOST}:{listener.port}" for listener in listeners)
        yield cluster, SecuredKafka(folder, authority.certificate, cluster.bootstrap, scram)


def _tls(certificate: Certificate, authority: Authority) -> dict[str, str]:
    return {
        "ssl.keystore.type": "PEM",
        "ssl.keystore.location": str(certificate.both),
        "ssl.truststore.type": "PEM",
        "ssl.truststore.location": str(authority.certificate),
    }


def _binding(principal: str, permission: Permission) -> AclBinding:
    pattern = ResourcePatternType.PREFIXED if permission.prefixed else ResourcePatternType.LITERAL
    return AclBinding(
        RESOURCES[permission.kind],
        permission.name,
        pattern,
        principal,
        "*",
        AclOperation[permission.operation],
        AclPermissionType.ALLOW,
    )


def _acls_of(line: str) -> list[AclBinding]:
    """Return the ACLs that a command adds, read as Kafka's tool documents its options."""
    tool, *words = shlex.split(line)
    assert tool == "kafka-acls.sh", line
    parser = argparse.ArgumentParser(allow_abbrev=False, exit_on_error=False)
    parser.add_argument("--bootstrap-server", required=True)
    parser.add_argument("--add", action="store_true", required=True)
    parser.add_argument("--allow-principal", required=True)
    parser.add_argument("--operation", action="append", choices=OPERATIONS, required=True)
    parser.add_argument("--resource-pattern-type", choices=PATTERNS, default="literal")
    for option in RESOURCES:
        parser.add_argument(f"--{option}", action="append", default=[])
    given = vars(parser.parse_args(words))
    acls = [
        AclBinding(
            resource,
            name,
            PATTERNS[given["resource_pattern_type"]],
            given["allow_principal"],
            "*",
            OPERATIONS[operation],
            AclPermissionType.ALLOW,
        )
        for option, resource in RESOURCES.items()
        for name in given[option.replace("-", "_")]
        for operation in given["operation"]
    ]
    assert acls, line
    return acls
