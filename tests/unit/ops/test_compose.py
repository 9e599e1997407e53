"""What `docker compose` and its services read is well-formed and fits together."""

import json
import re
from pathlib import Path
from typing import Any

import yaml

from streams.metrics import Metrics

ROOT = Path(__file__).parents[3]
COMPOSE = yaml.safe_load((ROOT / "docker-compose.yml").read_text("utf-8"))
DASHBOARD = json.loads((ROOT / "ops/grafana/dashboards/recstream.json").read_text("utf-8"))


def service(name: str) -> dict[str, Any]:
    return dict(COMPOSE["services"][name])


def test_two_workers_wait_for_the_topics_which_wait_for_kafka() -> None:
    for name in ("worker-1", "worker-2"):
        waits = service(name)["depends_on"]["topics"]["condition"]
        assert waits == "service_completed_successfully"
    assert service("topics")["depends_on"]["kafka"]["condition"] == "service_healthy"


def test_every_file_that_is_mounted_is_there() -> None:
    mounts = [one for each in COMPOSE["services"].values() for one in each.get("volumes", [])]
    paths = [one.split(":")[0] for one in mounts if one.startswith("./")]
    assert paths
    assert all((ROOT / path).exists() for path in paths)


def test_every_named_volume_is_declared() -> None:
    mounts = [one for each in COMPOSE["services"].values() for one in each.get("volumes", [])]
    named = {one.split(":")[0] for one in mounts if not one.startswith("./")}
    assert named == set(COMPOSE["volumes"])


def test_every_port_is_published_on_loopback_only() -> None:
    ports = [one for each in COMPOSE["services"].values() for one in each.get("ports", [])]
    assert all(port.startswith("127.0.0.1:") for port in ports)


def test_prometheus_scrapes_both_workers() -> None:
    config = yaml.safe_load((ROOT / "ops/prometheus/prometheus.yml").read_text("utf-8"))
    targets = config["scrape_configs"][0]["static_configs"][0]["targets"]
    assert targets == ["worker-1:6066", "worker-2:6066"]


def test_the_dashboard_asks_for_metrics_that_workers_expose() -> None:
    exposed = {
        sample
        for family in Metrics().registry.collect()
        for sample in (family.name, f"{family.name}_total", f"{family.name}_bucket")
    }
    asked = {
        word
        for panel in DASHBOARD["panels"]
        for target in panel["targets"]
        for word in re.findall(r"\b[a-z]+_[a-z_]+\b", re.sub(r"by \([^)]*\)", "", target["expr"]))
    } - {"histogram_quantile"}
    assert asked
    assert asked <= exposed


def test_the_dashboard_uses_the_provisioned_source() -> None:
    sources = yaml.safe_load(
        (ROOT / "ops/grafana/provisioning/datasources/prometheus.yml").read_text("utf-8")
    )
    uids = {panel["datasource"]["uid"] for panel in DASHBOARD["panels"]}
    assert uids == {sources["datasources"][0]["uid"]}
