import io
import json
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest
from rich.console import Console

from ops import bench
from ops.bench import route
from ops.bench.rig.bench_report import Report, show, write
from ops.bench.rig.disturbance import SWAPS, disturbance
from ops.bench.rig.figures import at_least
from ops.bench.rig.ground import child_environment, require_loopback
from ops.bench.rig.machine import CpuSamples, this_machine
from ops.bench.rig.synthetic import USERS, requests
from ops.cli import main as cli
from ops.docs import cli_page
from registry.errors import ConfigurationError
from registry.settings import Settings, read_settings
from registry.wire.codec import decode
from registry.wire.requests import Request


@pytest.fixture(scope="module")
def command_lines() -> list[Any]:
    """Both command lines as Typer builds them at each call."""
    return [cli_page.built(module.app) for module in (cli, bench)]


@pytest.fixture(autouse=True)
def _built_once(monkeypatch: pytest.MonkeyPatch, command_lines: list[Any]) -> None:
    for module, command_line in zip((cli, bench), command_lines, strict=True):
        monkeypatch.setattr(module, "app", command_line)


def run(monkeypatch: pytest.MonkeyPatch, *words: str) -> int:
    monkeypatch.setattr(sys, "argv", ["recstream", "bench", *words])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    return int(ended.value.code or 0)


def a_report() -> Report:
    return Report(
        benchmark="serve",
        measured="everything",
        at="2026-01-01T00:00:00+00:00",
        machine=this_machine("Kafka of a test"),
        parameters={"rounds": 3},
        rows=[{"who": "ours", "per second": 31234.5}, {"who": "theirs", "per second": None}],
        bars=[at_least("times theirs", 1.234, 1.5)],
        notes=["a note"],
    )


def test_each_benchmark_has_help(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, "--help") == 0
    shown = capsys.readouterr().out
    assert "Usage: recstream bench" in shown
    for name in ("serve", "latency", "route", "scale", "shadow"):
        assert name in shown
    assert run(monkeypatch, "serve", "--help") == 0
    assert "Usage: recstream bench serve" in capsys.readouterr().out


def test_a_benchmark_that_is_not_there_is_wrong_usage(monkeypatch: pytest.MonkeyPatch) -> None:
    assert run(monkeypatch, "everything") == 2


def test_the_routing_benchmark_prints_and_writes_its_figures(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setattr(route, "QUICK_REQUESTS", 200)
    file = tmp_path / "results" / "route.json"
    assert run(monkeypatch, "route", "--quick", "--json", str(file)) == 0

    written = json.loads(file.read_bytes())
    assert [row["bucketing"] for row in written["rows"]][:2] == ["modulo", "hash"]
    assert all(bar["verdict"] in ("pass", "fail") for bar in written["bars"])
    assert "assign, µs" in capsys.readouterr().out


def test_a_benchmark_refuses_a_broker_of_another_machine(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", "127.0.0.1:9092,kafka.example.com:9092")
    assert run(monkeypatch, "serve", "--quick") == 2
    assert "kafka.example.com:9092" in capsys.readouterr().err


@pytest.mark.parametrize("address", ["127.0.0.1:9092", "127.9.9.9:1", "localhost:9092", "[::1]:1"])
def test_loopback_is_allowed(address: str) -> None:
    require_loopback([address])


@pytest.mark.parametrize("address", ["10.0.0.1:9092", "8.8.8.8:1", "localhost.evil:1", "nothing"])
def test_anything_else_is_refused(address: str) -> None:
    with pytest.raises(ConfigurationError, match="only a local one is allowed"):
        require_loopback([address])


def test_no_setting_of_the_user_leaks_into_what_is_measured() -> None:
    mine = {"RECSTREAM_BATCH_REQUESTS": "1", "MODEL_VERSION": "v9.9", "HOME": "/home/me"}
    environment = child_environment(mine, Settings())
    assert environment["HOME"] == "/home/me"
    assert read_settings(environment) == Settings()


def test_a_report_shows_its_bars_its_machine_and_its_rows() -> None:
    sink = io.StringIO()
    show(a_report(), Console(file=sink))
    printed = sink.getvalue()
    for shown in ("31,234", "Kafka of a test", "fail", "1.23, wanted at least 1.5", "a note"):
        assert shown in printed


def test_a_written_report_can_be_read_again(tmp_path: Path) -> None:
    path = tmp_path / "new" / "serve.json"
    written = a_report()  # once: what it says of the machine changes with the machine's load
    write(written, path)
    assert msgspec.json.decode(path.read_bytes(), type=Report) == written


def test_requests_are_of_known_users_and_count_up() -> None:
    made = [decode(Request, value) for _, value in requests(500)]
    assert [request.request_id for request in made] == [str(number) for number in range(500)]
    assert {type(request.user_id) for request in made} == {int}
    assert all(1 <= int(request.user_id) <= USERS for request in made)
    assert {request.k for request in made} == {10}


def test_requests_are_the_same_for_everyone_who_is_measured() -> None:
    assert list(requests(100)) == list(requests(100))


def test_a_disturbance_swaps_evenly_and_ends_where_it_began() -> None:
    plan = disturbance(Settings(), 40.0, ("v0.1", "v0.2"), training=False).plan
    assert [at for at, _ in plan] == [1.0 + 2.0 * number for number in range(SWAPS)]
    assert [event.model_version for _, event in plan] == ["v0.2", "v0.1"] * (SWAPS // 2)


def test_a_disturbance_with_a_training_asks_for_it_first_and_deploys_nothing() -> None:
    planned = disturbance(Settings(), 40.0, ("v0.1", "v0.2"), training=True)
    at, command = planned.plan[0]
    assert (at, command.type, command.deploy) == (0.0, "retrain", "none")
    assert planned.training_id == command.command_id
    assert len(planned.plan) == SWAPS + 1


def test_without_samples_processor_figures_are_unknown() -> None:
    from ops.bench.rig.figures import Window

    cpu = CpuSamples([])
    assert cpu.process_seconds(Window(0, 1, 1)) is None
    assert cpu.busy_share(Window(0, 1, 1)) is None
