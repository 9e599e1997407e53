"""The AsyncAPI document that a worker serves, looked at by AsyncAPI's own validator.

It is the one whose examples `tests/unit/streams/test_asyncapi.py` decodes.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

from harness.fresh import publish_model
from harness.workers import ROOT, Worker

from registry.kafka.topics import Topics, topics_of
from registry.settings import Settings
from streams.asyncapi import document

PACKAGE = ROOT / "tests" / "harness" / "asyncapi"


def installed_validator() -> Path:
    """Return the folder of the validator; npm fetches it once per machine, as the lock says."""
    lock = (PACKAGE / "package-lock.json").read_bytes()
    cache = Path(os.environ.get("RECSTREAM_CACHE") or Path.home() / ".cache" / "recstream")
    folder = cache / f"asyncapi-{hashlib.sha256(lock).hexdigest()[:12]}"
    if not (folder / "node_modules" / ".package-lock.json").exists():
        folder.mkdir(parents=True, exist_ok=True)
        for name in ("package.json", "package-lock.json"):
            shutil.copy(PACKAGE / name, folder)
        command = ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund"]
        subprocess.run(command, cwd=folder, check=True, timeout=300, capture_output=True)
    shutil.copy(PACKAGE / "validate.js", folder)
    return folder


def test_asyncapis_own_validator_accepts_what_a_worker_serves(
    topics_created: Settings, start_worker: Callable[..., Worker]
) -> None:
    publish_model(topics_created)
    worker = start_worker(topics_created)
    validator = installed_validator()

    served = worker.wait_ready().fetch("/asyncapi.json")
    done = subprocess.run(
        ["node", "validate.js"],
        cwd=validator,
        input=served.text,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )

    assert done.returncode == 0, done.stdout + done.stderr
    assert f"messages: {len(Topics.__slots__)}" in done.stdout
    assert served.json() == json.loads(json.dumps(document(topics_created)))
    channels = served.json()["channels"].values()
    assert {channel["address"] for channel in channels} == {
        topic.name for topic in topics_of(topics_created)
    }
