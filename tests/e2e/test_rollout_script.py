"""The script that walks a running stack: on a real worker, and where something differs."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

from harness.fresh import publish_model
from harness.workers import Worker
from pydantic import SecretStr

from ops.local.ports import free_port
from registry.settings import Settings

SCRIPT = Path(__file__).parents[2] / "ops" / "test_rollout.sh"
TOKEN = "a-token"


def walk(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [SCRIPT, *words], capture_output=True, text=True, timeout=120, check=False
    )


def test_the_script_walks_a_running_stack_and_names_the_first_difference(
    topics_created: Settings, start_worker: Callable[..., Worker]
) -> None:
    settings = topics_created.model_copy(update={"api_token": SecretStr(TOKEN)})
    first, second = publish_model(settings), publish_model(settings, seed=1)
    worker = start_worker(settings).wait_ready()
    url = f"http://127.0.0.1:{worker.port}"

    walked = walk(url, first, second, TOKEN)
    assert walked.returncode == 0, walked.stderr
    assert walked.stdout.splitlines()[-1].endswith("calls were answered as expected")
    assert worker.get("/rollout/status")["state"]["primary_version"] == second  # as before

    missing = walk(url, first, "v9.9", TOKEN)
    assert missing.returncode == 1
    assert "DIFFERENT: GET /models: '' is [{\"version\": " in missing.stderr
    assert missing.stderr.rstrip().endswith('"v9.9" expected')

    refused = walk(url, first, second, "another-token")
    assert refused.returncode == 1
    assert "HTTP 401, 200 expected" in refused.stderr
    assert len(refused.stderr.splitlines()) == 1


def test_without_a_stack_the_script_says_where_nobody_answers() -> None:
    url = f"http://127.0.0.1:{free_port()}"
    ended = walk(url, "v0.1", "v0.2")
    assert ended.returncode == 1
    assert f"no answer from {url}" in ended.stderr


def test_wrong_usage_of_the_script_ends_with_2() -> None:
    ended = walk("http://127.0.0.1:1")
    assert ended.returncode == 2
    assert "usage: ops/test_rollout.sh URL" in ended.stderr
