"""The status page of a real worker, in a real browser."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from harness.client import Client
from harness.fresh import publish_model
from harness.workers import Worker
from playwright.sync_api import Page, expect, sync_playwright

from registry.settings import Settings

Start = Callable[..., Worker]
FLAGS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
]  # fmt: skip


@pytest.fixture
def page() -> Iterator[Page]:
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    if chromium is None:
        if os.environ.get("CI") == "true":
            pytest.fail("CI needs chromium")
        pytest.skip("no chromium on this machine")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=FLAGS)
        yield browser.new_page()
        browser.close()


def test_the_page_follows_what_happens_without_a_reload(
    client: Client, topics_created: Settings, start_worker: Start, page: Page, tmp_path: Path
) -> None:
    for seed in (0, 1):
        publish_model(topics_created, seed=seed)
    worker = start_worker(topics_created).wait_ready()
    requested: list[str] = []
    page.on("request", lambda request: requested.append(request.url))
    page.goto(f"http://127.0.0.1:{worker.port}/")
    expect(page.locator(".readiness.good")).to_be_visible()
    expect(page.locator("section.rollout")).to_contain_text("v0.2")
    client.command(type="rollout", strategy="canary", canary_version="v0.1", canary_percentage=25)
    client.send({"request_id": f"p{user}", "user_id": user} for user in range(1, 50))
    client.wait_for([f"p{user}" for user in range(1, 50)])
    expect(page.locator("section.rollout")).to_contain_text("25 %", timeout=15_000)
    expect(page.locator("section.versions")).to_contain_text("canary")
    refused = client.command(type="swap", model_version="v9.9", reason="<script>alert(1)</script>")
    assert refused["status"] == "rejected"
    expect(page.locator("body")).to_contain_text("<script>alert(1)</script>", timeout=15_000)
    assert all(url.startswith(f"http://127.0.0.1:{worker.port}/") for url in requested)
    page.screenshot(path=tmp_path / "page.png", full_page=True)


def test_the_page_can_be_read_without_javascript_and_on_a_phone(
    client: Client, topics_created: Settings, start_worker: Start, page: Page
) -> None:
    publish_model(topics_created)
    worker = start_worker(topics_created).wait_ready()
    assert page.context.browser is not None
    phone = page.context.browser.new_context(
        java_script_enabled=False, viewport={"width": 360, "height": 740}
    ).new_page()
    phone.goto(f"http://127.0.0.1:{worker.port}/")
    expect(phone.locator(".readiness.good")).to_be_visible()
    size = phone.locator("html").bounding_box()
    assert size is not None
    assert size["width"] <= 360
