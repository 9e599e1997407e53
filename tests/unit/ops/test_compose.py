"""What `docker compose` and its services read is well-formed and fits together."""

import json
import re
from pathlib import Path
from typing import Any

import yaml
from harness.cells import each_cell
from prometheus_client import CollectorRegistry

from streams.metrics import Metrics

ROOT = Path(__file__).parents[3]
COMPOSE = yaml.safe_load((ROOT / "docker-compose.yml").read_text("utf-8"))
PROMETHEUS = ROOT / "ops" / "monitoring" / "prometheus"
ALERTS = yaml.safe_load((PROMETHEUS / "alerts.yml").read_text("utf-8"))
RULES = [rule for group in ALERTS["groups"] for rule in group["rules"]]
DASHBOARD = json.loads(
    (ROOT / "ops/monitoring/grafana/dashboards/recstream.json").read_text("utf-8")
)


def service(name: str) -> dict[str, Any]:
    return dict(COMPOSE["services"][name])


def test_two_workers_wait_for_the_topics_which_wait_for_kafka() -> None:
    for name in ("worker-1", "worker-2"):
        waits = service(name)["depends_on"]["topics"]["condition"]
        assert waits == "service_completed_successfully"
    assert service("topics")["depends_on"]["kafka"]["condition"] == "service_healthy"


def test_every_file_that_is_mounted_is_there() -> None:
    mounts = [volume for each in COMPOSE["services"].values() for volume in each.get("volumes", [])]
    paths = [mount.split(":")[0] for mount in mounts if mount.startswith("./")]
    assert paths
    assert all((ROOT / path).exists() for path in paths)


def test_every_named_volume_is_declared() -> None:
    mounts = [volume for each in COMPOSE["services"].values() for volume in each.get("volumes", [])]
    named = {mount.split(":")[0] for mount in mounts if not mount.startswith("./")}
    assert named == set(COMPOSE["volumes"])


def test_every_port_is_published_on_loopback_only() -> None:
    ports = [port for each in COMPOSE["services"].values() for port in each.get("ports", [])]
    assert all(port.startswith("127.0.0.1:") for port in ports)


def test_prometheus_scrapes_both_workers() -> None:
    config = yaml.safe_load((ROOT / "ops/monitoring/prometheus/prometheus.yml").read_text("utf-8"))
    targets = config["scrape_configs"][0]["static_configs"][0]["targets"]
    assert targets == ["worker-1:6066", "worker-2:6066"]


def test_prometheus_reads_the_alerts_that_are_mounted_beside_its_configuration() -> None:
    config = yaml.safe_load((PROMETHEUS / "prometheus.yml").read_text("utf-8"))
    mounted = {Path(volume.split(":")[1]).name for volume in service("prometheus")["volumes"]}
    assert config["rule_files"] == ["alerts.yml"]
    assert set(config["rule_files"]) <= mounted


def exposed() -> dict[str, set[str]]:
    """Return the labels of each sample that a worker exposes, by the sample's name."""
    labels = {"up": set[str](), "ALERTS": {"alertname", "alertstate"}}  # Prometheus' own
    for collector in vars(Metrics()).values():
        if isinstance(collector, CollectorRegistry):
            continue
        (family,) = collector.collect()
        own = set(getattr(family, "_labelnames", ()) or collector._labelnames)
        suffixes = {"histogram": ("_bucket", "_sum", "_count"), "counter": ("_total",)}
        for suffix in suffixes.get(family.type, ("",)):
            labels[family.name + suffix] = own | ({"le"} if suffix == "_bucket" else set())
    return labels


EXPOSED = exposed()
BY_PROMETHEUS = {"job", "instance"}
GROUPING = r"\b(?:by|on|ignoring)\s*\(([^)]*)\)"
SELECTOR = r"\b([A-Za-z]\w*)\b(?:\{([^}]*)\})?(?!\s*\()"
WORDS = {"by", "on", "ignoring", "group_left", "and", "or", "unless", "offset", "bool", "stale"}

EXPRESSIONS = {
    **{
        f"{panel['title']} {target['refId']}": target["expr"]
        for panel in DASHBOARD["panels"]
        for target in panel.get("targets", [])
    },
    **{rule["alert"]: rule["expr"] for group in ALERTS["groups"] for rule in group["rules"]},
}


@each_cell("name", EXPRESSIONS)
def test_what_is_asked_of_prometheus_is_what_workers_expose(name: str) -> None:
    expression = EXPRESSIONS[name]
    grouped = {
        label.strip()
        for labels in re.findall(GROUPING, expression)
        for label in labels.split(",")
        if label.strip()
    }
    bare = re.sub(GROUPING, "", re.sub(r"\[\w+\]|offset \w+", "", expression))
    known = set(BY_PROMETHEUS)
    for metric, selectors in re.findall(SELECTOR, bare):
        if metric in WORDS:
            continue
        labels = EXPOSED[metric] | BY_PROMETHEUS
        assert set(re.findall(r"(\w+)\s*(?:=~|!~|!=|=)", selectors)) <= labels, metric
        known |= labels
    assert grouped <= known, grouped - known


def test_every_alert_says_what_is_wrong_how_bad_it_is_and_what_to_do() -> None:
    for rule in RULES:
        assert rule["labels"]["severity"] in ("critical", "warning", "info"), rule["alert"]
        assert set(rule["annotations"]) == {"summary", "description"}, rule["alert"]
    assert len({rule["alert"] for rule in RULES}) == len(RULES)


def test_every_label_in_the_words_of_an_alert_is_left_by_its_expression() -> None:
    for rule in RULES:
        named = set(re.findall(r"\$labels\.(\w+)", " ".join(rule["annotations"].values())))
        grouped = re.match(r"[\s(]*(?:sum|min|max|count) by \(([^)]*)\)", rule["expr"])
        left = set(re.split(r",\s*", grouped[1])) if grouped else BY_PROMETHEUS
        assert named <= left, rule["alert"]


def test_every_alert_is_seen_firing_in_the_tests_for_promtool() -> None:
    tested = (PROMETHEUS / "alerts_test.yml").read_text("utf-8")
    assert [rule["alert"] for rule in RULES if rule["alert"] not in tested] == []


def test_the_dashboard_uses_the_provisioned_source() -> None:
    sources = yaml.safe_load(
        (ROOT / "ops/monitoring/grafana/provisioning/datasources/prometheus.yml").read_text("utf-8")
    )
    panels = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]
    uids = {panel["datasource"]["uid"] for panel in panels}
    assert uids == {sources["datasources"][0]["uid"]}
