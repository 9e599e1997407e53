"""Policy files: reads the rollout of one version, or the ramp of all that are trained.

An edge: what may stand in there is in `registry.rollout.policy_file`, for the command line and
the fleet alike. Must not know who starts the ramp.
"""

from __future__ import annotations

from pathlib import Path

from registry.errors import ConfigurationError
from registry.rollout.policy_file import (
    Policy,
    RampPolicy,
    RolloutFile,
    parse_policy,
    require_policy,
)
from registry.settings import Settings


def read_rollout_file(path: Path) -> RolloutFile:
    """Read the rollout file at `path`: JSON if its name ends in ``.json``, else YAML.

    Raises
    ------
    ConfigurationError
        If it cannot be read, or a field is wrong: the message names the file and the field, and
        says what was found and what is allowed.
    """
    return _read(path, RolloutFile, str(path))


def read_training_ramp(settings: Settings) -> RampPolicy | None:
    """Read ``RETRAIN_RAMP_FILE``; None if it is not set.

    Raises
    ------
    ConfigurationError
        As :func:`read_rollout_file`, and if the rules refuse such a ramp in this environment.
    """
    if settings.retrain_ramp_file is None:
        return None
    name = f"RETRAIN_RAMP_FILE={settings.retrain_ramp_file}"
    policy = _read(Path(settings.retrain_ramp_file), RampPolicy, name)
    require_policy(policy, settings.environment, name)
    return policy


def _read(path: Path, kind: type[Policy], name: str) -> Policy:
    try:
        text = path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{name}: cannot be read: {error}") from error
    return parse_policy(kind, text, name)
