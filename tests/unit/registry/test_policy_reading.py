from pathlib import Path

import pytest
from msgspec import UNSET

from registry.errors import ConfigurationError
from registry.policy_reading import read_rollout_file, read_training_ramp
from registry.rollout.policy_file import RampPolicy
from registry.settings import Settings
from registry.wire.ramp_values import Guardrails, InterleaveStep, Ramp, ShadowStep

LEAST = "canary_version: v0.2\nramp: {steps: [10, 100], hold_seconds: 60}\n"
DEMO = Path(__file__).parents[3] / "ops" / "demo"


def written(folder: Path, text: str, name: str = "ramp.yaml") -> Path:
    path = folder / name
    path.write_text(text)
    return path


def test_what_a_file_leaves_out_is_left_to_the_defaults(tmp_path: Path) -> None:
    file = read_rollout_file(written(tmp_path, LEAST))
    assert file.ramp == Ramp(steps=(10.0, 100.0), hold_seconds=60.0)
    assert (file.environments, file.bucketing, file.salt) == (UNSET, UNSET, UNSET)
    fields = file.command_fields("staging")
    assert set(fields) == {"canary_version", "ramp", "reason", "environment"}
    assert fields["environment"] == "staging"


def test_a_file_may_say_everything(tmp_path: Path) -> None:
    text = """
        canary_version: v0.2
        bucketing: hash
        salt: autumn
        environments: [staging, eu]
        reason: better cold starts
        ramp:
          steps: [0.5, 100]
          hold_seconds: 60
          guardrails: {error_rate: 0.02, latency_ratio: null}
          shadow: {hold_seconds: 30, min_overlap: 0.4}
          interleave: {hold_seconds: 60, min_users: 50}
          soak_seconds: 300
    """
    file = read_rollout_file(written(tmp_path, text))
    assert file.ramp.guardrails == Guardrails(error_rate=0.02, latency_ratio=None)
    assert file.ramp.shadow == ShadowStep(30.0, 0.4)
    assert file.ramp.interleave == InterleaveStep(60.0, 50)
    fields = file.command_fields("production")
    assert fields["environment"] == "staging"
    assert fields["environments"] == ("staging", "eu")
    assert (fields["bucketing"], fields["salt"]) == ("hash", "autumn")


def test_json_is_read_as_json(tmp_path: Path) -> None:
    text = '{\n\t"canary_version": "v0.2", "ramp": {"steps": [5], "hold_seconds": 1}}'
    assert read_rollout_file(written(tmp_path, text, "ramp.json")).canary_version == "v0.2"


def test_the_files_that_the_demo_ships_are_some() -> None:
    for name in ("ramp.yaml", "liked_ramp.yaml"):
        assert read_rollout_file(DEMO / name).ramp.steps[-1] == 100


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "the file: expected `object`, got `null`; found None"),
        ("- 1", "the file: expected `object`, got `array`; found [1]"),
        ("canary_version: v0.2", "the file: object missing required field `ramp`"),
        (LEAST + "stage: 1", "the file: object contains unknown field `stage`; allowed: ramp, "),
        (LEAST + "bucketing: odd", "bucketing: must be one of modulo, hash; found 'odd'"),
        (LEAST + "environments: []", "environments: expected `array` of length >= 1; found []"),
        (LEAST + "salt: a\nsalt: b", "duplicate key 'salt'"),
        (LEAST + "? [1]\n: 2", "unhashable key"),
        (LEAST + "salt: !!python/name:os.system", "could not determine a constructor"),
        ("a: [", "expected the node content"),
        (LEAST.replace("100", "200"), "ramp.steps[1]: expected `float` <= 100.0; found 200"),
        (LEAST.replace("100", ".nan"), "ramp.steps[1]: expected `float` > 0.0; found nan"),
        (LEAST.replace(" 60", " soon"), "ramp.hold_seconds: expected `float`, got `str`; found 's"),
        (LEAST.replace("hold_seconds", "hold"), "ramp: object contains unknown field `hold`; allo"),
        (
            LEAST.replace("60", "60, guardrails: {errors: 1}"),
            "ramp.guardrails: object contains unknown field `errors`; allowed: error_rate, fallb",
        ),
        (
            LEAST.replace("60", "60, shadow: {hold_seconds: 1, min_overlap: 2}"),
            "ramp.shadow.min_overlap: expected `float` <= 1.0; found 2",
        ),
    ],
)
def test_a_wrong_file_is_refused_by_its_field_with_seen_and_allowed(
    tmp_path: Path, text: str, complaint: str
) -> None:
    path = written(tmp_path, text)
    with pytest.raises(ConfigurationError) as refused:
        read_rollout_file(path)
    assert complaint in str(refused.value)
    assert str(refused.value).startswith(f"{path}: ")


def test_json_that_says_something_twice_is_refused(tmp_path: Path) -> None:
    path = written(tmp_path, '{"salt": "a", "salt": "b"}', "ramp.json")
    with pytest.raises(ConfigurationError, match="duplicate key 'salt'"):
        read_rollout_file(path)


def test_a_file_that_is_no_text_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "ramp.yaml"
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigurationError, match="cannot be read"):
        read_rollout_file(path)


# --- the ramp of what is trained -------------------------------------------------------------

TRAINED = "ramp: {steps: [10, 100], hold_seconds: 60}\nbucketing: hash\n"


def training_ramp(folder: Path, text: str, environment: str = "production") -> RampPolicy | None:
    path = written(folder, text)
    return read_training_ramp(Settings(retrain_ramp_file=str(path), environment=environment))


def test_without_the_setting_no_version_is_ramped() -> None:
    assert read_training_ramp(Settings()) is None


def test_the_ramp_of_what_is_trained_names_no_version(tmp_path: Path) -> None:
    policy = training_ramp(tmp_path, TRAINED)
    assert policy is not None
    assert (policy.ramp.steps, policy.bucketing) == ((10, 100), "hash")
    assert set(policy.given) == {"ramp", "bucketing"}


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (TRAINED + "canary_version: v0.2", "unknown field `canary_version`; allowed: ramp, env"),
        (TRAINED + "reason: weekly", "unknown field `reason`"),
        ("ramp: {steps: [10]}", "ramp: object missing required field `hold_seconds`"),
        ("ramp: {steps: [10, 5], hold_seconds: 1}", "ramp.steps: 5 comes after 10"),
        ("ramp: {steps: [0.5, 100], hold_seconds: 1}", "ramp.steps 0.5"),
        (TRAINED + "environments: [eu, production]", "must begin with production"),
        ("ramp: [", "cannot be read"),
    ],
)
def test_a_ramp_that_every_version_would_be_refused_with_is_refused_at_the_start(
    tmp_path: Path, text: str, why: str
) -> None:
    with pytest.raises(ConfigurationError, match=r"^RETRAIN_RAMP_FILE=.*ramp\.yaml: ") as refused:
        training_ramp(tmp_path, text)
    assert why in str(refused.value)


def test_a_ramp_file_that_is_missing_is_named_with_its_setting() -> None:
    with pytest.raises(ConfigurationError, match=r"RETRAIN_RAMP_FILE=/none\.yaml: cannot be read"):
        read_training_ramp(Settings(retrain_ramp_file="/none.yaml"))
