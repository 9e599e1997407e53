"""The workflows for users' repositories: well formed, and they name what there is."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml
from harness.cells import each_cell

from ops.cli.main import app
from ops.docs.cli_page import built
from registry.settings import Settings

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / ".github" / "workflows"
WORKFLOWS = sorted(FOLDER.glob("*.yml"))
SETTINGS = {str(field.alias) for field in Settings.model_fields.values()}


def workflow(name: str) -> Any:
    return yaml.load((FOLDER / name).read_text("utf-8"), yaml.BaseLoader)  # `on` stays a word


def steps(name: str) -> list[Any]:
    return [step for job in workflow(name)["jobs"].values() for step in job["steps"]]


def commands(name: str) -> str:
    return "\n".join(step.get("run", "") for step in steps(name))


@each_cell("path", WORKFLOWS, ids=lambda path: path.name)
def test_a_workflow_has_triggers_jobs_a_time_limit_and_no_more_rights_than_it_names(
    path: Path,
) -> None:
    read = workflow(path.name)
    assert read["on"]
    assert set(read["permissions"]) == {"contents"}
    for job in read["jobs"].values():
        assert int(job["timeout-minutes"]) > 0
        assert all(("run" in step) != ("uses" in step) for step in job["steps"])


def test_ci_runs_what_everybody_can_run_on_every_python_that_is_supported() -> None:
    assert steps("ci.yml")[-1]["run"] == ".ci/run"
    (job,) = workflow("ci.yml")["jobs"].values()
    assert job["strategy"]["matrix"]["python"] == ["3.11", "3.12", "3.13"]
    assert "--cap-add SYS_ADMIN" in job["container"]["options"]
    assert job["env"] == {"MAY_MOUNT": "true"}  # so no test with a disk of its own is skipped


def test_retraining_is_scheduled_never_twice_at_once_and_never_cancelled_half_way() -> None:
    read = workflow("retrain.yml")
    assert read["on"]["schedule"]
    assert read["concurrency"]["cancel-in-progress"] == "false"


def test_retraining_sets_only_variables_that_there_are() -> None:
    (job,) = workflow("retrain.yml")["jobs"].values()
    named = set(job["env"]) | set(re.findall(r"vars\.(\w+)", (FOLDER / "retrain.yml").read_text()))
    assert {name for name in named if not name.startswith("AWS_")} <= SETTINGS


def test_retraining_calls_commands_that_there_are() -> None:
    calls = re.findall(
        r"\.venv/bin/recstream ([a-z ]+?)(?: (--\w+)| latest|$)", commands("retrain.yml"), re.M
    )
    assert [call for call, _ in calls] == ["train", "registry show"]
    command = built(app)
    assert "--deploy" in {word for param in command.commands["train"].params for word in param.opts}
    assert "show" in command.commands["registry"].commands


def test_an_input_reaches_a_shell_only_as_a_variable() -> None:
    assert "${{" not in commands("retrain.yml") + commands("ci.yml")
