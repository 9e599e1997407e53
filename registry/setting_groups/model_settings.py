"""Where model versions are kept, who signs them, and their provenance."""

from __future__ import annotations

from pydantic import Field, SecretStr

from registry.setting_groups.setting_types import Name, Secret, SettingGroup


class ModelSettings(SettingGroup):
    """The registry, its cache and its signing keys."""

    model_name: Name = Field(
        "als", alias="MODEL_NAME", description="Name of the model in manifests and metrics."
    )
    model_registry: str = Field(
        "model_registry",
        alias="MODEL_REGISTRY",
        min_length=1,
        description="Folder or fsspec URL of the model registry.",
    )
    model_cache: str = Field(
        "~/.cache/recstream/models",
        alias="RECSTREAM_MODEL_CACHE",
        min_length=1,
        description="Cache folder for files of a remote registry, shared by all local processes.",
    )
    model_cache_bytes: int = Field(
        20 * 1024**3,
        alias="RECSTREAM_MODEL_CACHE_BYTES",
        ge=1,
        description="Maximum size of the cache. It must hold the versions that are served at the "
        "same time, and one more.",
    )
    signing_key: Secret = Field(
        SecretStr(""),
        alias="RECSTREAM_SIGNING_KEY",
        description="Shared key that signs versions (HMAC-SHA256), at least 32 characters; "
        "readers that have it refuse a version without its signature, and could sign as well. "
        "Several are separated by commas: the first one signs.",
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
        "that have any refuse versions that none of them signed. Unset: that of "
        "RECSTREAM_SIGNING_PRIVATE_KEY, if set.",
    )
    git_sha: str = Field(
        "",
        alias="GIT_SHA",
        description="Commit of the code, for provenance; unset: the checkout's.",
    )
    image_digest: str = Field(
        "", alias="IMAGE_DIGEST", description="Digest of the container image, for provenance."
    )
