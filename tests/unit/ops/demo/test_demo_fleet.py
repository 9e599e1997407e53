from pathlib import Path

import pytest

from ops.demo.demo_fleet import demo_variables
from registry.settings import read_settings


def test_no_setting_of_the_user_leaks_into_the_demo(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name, value in {
        "MODEL_VERSION": "v9.9",
        "RETRAIN_INTERVAL": "1",
        "RECSTREAM_API_TOKEN": "secret",
        "KAFKA_BOOTSTRAP_SERVERS": "production:9092",
    }.items():
        monkeypatch.setenv(name, value)
    settings = read_settings(demo_variables("127.0.0.1:1", tmp_path))
    assert settings.kafka_bootstrap_servers == "127.0.0.1:1"
    assert settings.model_version is None
    assert settings.retrain_interval == 0
    assert settings.api_token.get_secret_value() == ""


def test_what_is_not_a_setting_is_passed_on(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("SOMEBODYS_VARIABLE", "kept")
    assert demo_variables("127.0.0.1:1", tmp_path)["SOMEBODYS_VARIABLE"] == "kept"


def test_what_workers_leave_in_the_temporary_folder_goes_with_the_demo(tmp_path: Path) -> None:
    assert demo_variables("127.0.0.1:1", tmp_path)["TMPDIR"] == str(tmp_path)
