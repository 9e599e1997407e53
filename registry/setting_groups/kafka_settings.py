"""How to reach Kafka, and the topics: names, partitions, replicas."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, SecretStr

from registry.setting_groups.setting_types import ClientSettings, Name, Secret, SettingGroup


class KafkaSettings(SettingGroup):
    """The way to Kafka, and its topics."""

    kafka_bootstrap_servers: str = Field(
        "localhost:9092",
        alias="KAFKA_BOOTSTRAP_SERVERS",
        min_length=1,
        description="Kafka's addresses, `host:port`, comma separated.",
    )
    kafka_security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = Field(
        "PLAINTEXT",
        alias="KAFKA_SECURITY_PROTOCOL",
        description="Protocol for connections to Kafka.",
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
        description="Other settings of Kafka's clients, under librdkafka's names: a JSON object, "
        "or `name=value` separated by commas. Those that commits, groups or delivery depend on "
        "are refused.",
    )
    topic_prefix: Name = Field(
        "reco", alias="RECSTREAM_TOPIC_PREFIX", description="Prefix of all topics."
    )
    control_prefix: Name | None = Field(
        None,
        alias="RECSTREAM_CONTROL_PREFIX",
        description="Prefix of the control and control-results topics; unset: "
        "RECSTREAM_TOPIC_PREFIX. Environments of one ramp share it.",
    )
    partitions: int = Field(
        8,
        alias="RECSTREAM_PARTITIONS",
        ge=1,
        le=1000,
        description="Partitions that the topics keyed by user are created with, and the largest "
        "useful number of workers. Later, the topics' actual number counts (`recstream topics "
        "grow`).",
    )
    replication_factor: int = Field(
        1, alias="RECSTREAM_REPLICATION_FACTOR", ge=1, le=10, description="Replicas of each topic."
    )
