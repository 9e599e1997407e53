"""The status page of a real worker, in a real browser."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest
from harness.browsers import chromium
from harness.client import Client
from harness.fresh import publish_model
from harness.proxies import nginx
from harness.workers import Worker
from playwright.sync_api import Browser, Locator, Page, expect

from registry.settings import Settings

Start = Callable[..., Worker]
REFUSED = re.compile(r"the server responded with a status of 4(01|09|22) ")
"""What a browser says of every refusal, whether or not the page shows it."""
PHONE = {"width": 375, "height": 740}
SECONDS = 15_000
"""Milliseconds in which a change must show: slow machines too."""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as running:
        yield running


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """A page that must leave no error, no blocked script and no reload behind."""
    page = browser.new_page()
    console: list[str] = []
    loads: list[str] = []
    logins: list[str] = []
    page.on("console", lambda message: console.append(f"{message.type}: {message.text}"))
    page.on("pageerror", lambda error: console.append(f"error: {error}"))
    page.on("load", lambda loaded: loads.append(loaded.url))
    page.on("request", lambda sent: logins.append(sent.url) if "/log" in sent.url else None)
    yield page
    page.close()
    bad = [line for line in console if line.startswith(("error", "warning"))]
    assert [line for line in bad if not REFUSED.search(line)] == []
    assert len(loads) <= 1 + len(logins)


def at(worker: Worker) -> str:
    return f"http://127.0.0.1:{worker.port}/"


def result(page: Page) -> Locator:
    return page.locator("#result")


def press_to(page: Page, label: str) -> None:
    """Reach a button by keyboard alone, from where the focus is, and press it."""
    for _ in range(60):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.textContent.trim()") == label:
            return page.keyboard.press("Enter")
    raise AssertionError(f"{label!r} cannot be reached by keyboard")


def test_the_page_follows_what_happens_without_a_reload(
    client: Client, topics_created: Settings, start_worker: Start, page: Page, tmp_path: Path
) -> None:
    for seed in (0, 1):
        publish_model(topics_created, seed=seed)
    worker = start_worker(topics_created).wait_ready()
    requested: list[str] = []
    page.on("request", lambda request: requested.append(request.url))
    page.goto(at(worker))
    page.evaluate("window.same = true")
    expect(page.locator(".readiness.good")).to_be_visible()
    expect(page.locator("section.rollout")).to_contain_text("v0.2")
    client.command(type="rollout", strategy="canary", canary_version="v0.1", canary_percentage=25)
    expect(page.locator("section.rollout")).to_contain_text("25 %", timeout=SECONDS)
    client.send({"request_id": f"p{user}", "user_id": user} for user in range(1, 50))
    client.wait_for([f"p{user}" for user in range(1, 50)])
    expect(page.locator("section.versions")).to_contain_text("canary")
    expect(page.locator("section.fleet")).to_contain_text(
        f"{worker.name} this one", timeout=SECONDS
    )
    expect(page.locator("section.fleet")).to_contain_text("control owner")
    expect(page.locator("section.answers")).to_contain_text("canary v0.1", timeout=SECONDS)
    expect(page.locator("section.comparison")).to_contain_text("sample ratio", timeout=SECONDS)
    refused = client.command(type="swap", model_version="v9.9", reason="<script>alert(1)</script>")
    assert refused["status"] == "rejected"
    expect(page.locator("main")).to_contain_text("<script>alert(1)</script>", timeout=SECONDS)
    expect(page.locator("section.commands")).to_contain_text("canary percentage 0 % →")
    assert page.evaluate("window.same")
    assert all(url.startswith(at(worker)) for url in requested)
    assert sum(url == at(worker) for url in requested) == 1, "events came, nothing was polled"
    page.screenshot(path=tmp_path / "page.png", full_page=True)


def test_a_ramp_is_started_paused_and_aborted_by_keyboard_from_the_page(
    topics_created: Settings, start_worker: Start, page: Page
) -> None:
    for seed in (0, 1):
        publish_model(topics_created, seed=seed)
    worker = start_worker(topics_created).wait_ready()
    page.goto(at(worker))
    page.get_by_text("Start a ramp").click()
    ramp = page.locator("form", has=page.get_by_role("button", name="Start the ramp"))
    ramp.get_by_label("Canary version").fill("v0.1")
    ramp.get_by_label("Steps, % of users").fill("10 50")
    ramp.get_by_label("Minimum requests per step").fill("1")
    page.get_by_label("Reason").fill("a trial")
    ramp.get_by_label("Minimum requests per step").press("Enter")
    expect(result(page)).to_contain_text("report no requests")
    ramp.get_by_label("If traffic is too low").select_option("start anyway")
    ramp.get_by_label("Minimum requests per step").press("Enter")
    expect(result(page)).to_contain_text("Start the ramp: applied, epoch")
    expect(page.locator("section.rollout")).to_contain_text("ramp under way", timeout=SECONDS)
    expect(page.locator(".rungs .current")).to_contain_text("10 %", timeout=SECONDS)
    page.get_by_role("link", name="Skip to the commands").focus()
    page.keyboard.press("Enter")
    press_to(page, "Pause ramp")
    expect(result(page)).to_contain_text("Pause ramp: applied")
    expect(page.locator(".rungs .current")).to_contain_text("paused", timeout=SECONDS)
    expect(page.get_by_role("button", name="Resume ramp")).to_be_focused()
    page.keyboard.press("Enter")
    expect(result(page)).to_contain_text("Resume ramp: applied")
    expect(page.locator(".rungs .current")).not_to_contain_text("paused", timeout=SECONDS)
    press_to(page, "Abort v0.1")
    expect(result(page)).to_contain_text("Abort v0.1: applied")
    expect(page.locator("section.rollout")).to_contain_text("Last ramp", timeout=SECONDS)
    expect(page.locator(".rungs .rolled_back")).to_contain_text("10 %")
    state = worker.get("/rollout/status")["state"]
    assert (state["strategy"], state["ramp"]["outcome"]) == ("fixed", "rolled_back")
    assert state["ramp"]["plan"]["steps"] == [10, 50]
    assert state["ramp"]["plan"]["guardrails"].get("fallback_rate", 0.05) == 0.05


def test_what_an_operator_types_is_kept_and_refused_once_the_state_has_moved_on(
    client: Client, topics_created: Settings, start_worker: Start, page: Page
) -> None:
    for seed in (0, 1):
        publish_model(topics_created, seed=seed)
    worker = start_worker(topics_created).wait_ready()
    page.goto(at(worker))
    page.get_by_text("Set rollout").first.click()
    form = page.locator("form[data-send=changed]")
    form.get_by_label("Strategy").select_option("canary")
    form.get_by_label("Canary version").fill("v0.1")
    form.get_by_label("Canary percentage").press_sequentially("1")
    client.command(type="rollout", salt="autumn", issued_by="bert")
    expect(page.locator("section.rollout")).to_contain_text("autumn", timeout=SECONDS)
    expect(form.get_by_label("Canary percentage")).to_be_focused()
    expect(form.get_by_label("Canary version")).to_have_value("v0.1")
    expect(form).to_contain_text("The state has changed since you started")
    form.get_by_role("button", name="Set rollout").click()
    expect(result(page)).to_contain_text("refused. expected_epoch")
    expect(result(page)).to_contain_text("bert changed it")
    form.get_by_role("button", name="Load the current values").click()
    expect(form.get_by_label("Salt")).to_have_value("autumn")
    form.get_by_label("Strategy").select_option("ab_test")
    form.get_by_label("Canary version").fill("v0.1")
    form.get_by_role("button", name="Set rollout").click()
    expect(result(page)).to_contain_text("Set rollout: applied")
    expect(page.locator("section.rollout")).to_contain_text("B v0.1 50 % of users", timeout=SECONDS)
    page.get_by_role("button", name="Promote v0.1").click()
    expect(result(page)).to_contain_text("Promote v0.1: applied")
    expect(page.locator("section.rollout .legend")).to_contain_text("primary v0.1 100 %")


def test_a_worker_with_a_token_takes_commands_from_those_who_have_logged_in_with_it(
    topics_created: Settings, start_worker: Start, page: Page
) -> None:
    for seed in (0, 1):
        publish_model(topics_created, seed=seed)
    secret = {"RECSTREAM_API_TOKEN": "secret"}
    worker = start_worker(topics_created, variables=secret).wait_ready()
    page.goto(at(worker))
    page.get_by_text("Swap", exact=True).first.click()
    swap = page.locator("form[action='switch']")
    swap.get_by_label("Version for all users").fill("v0.1")
    swap.get_by_role("button", name="Swap").click()
    expect(result(page)).to_contain_text("Swap: refused. Log in")
    expect(page.get_by_label("Token")).to_be_focused()
    with page.expect_navigation():
        page.get_by_label("Token").fill("secret")
        page.keyboard.press("Enter")
    expect(page.get_by_label("Token")).to_have_count(0)
    page.get_by_text("Swap", exact=True).first.click()
    swap.get_by_label("Version for all users").fill("v0.1")
    swap.get_by_role("button", name="Swap").click()
    expect(result(page)).to_contain_text("Swap: applied")
    expect(page.locator("section.rollout .legend")).to_contain_text("primary v0.1", timeout=SECONDS)
    state = worker.get("/rollout/status")["state"]
    assert state["updated_by"] == "http:token"
    assert page.evaluate("document.cookie") == "", "no script can read the session"


def test_a_worker_that_is_gone_is_said_to_be_gone(
    topics_created: Settings, start_worker: Start, page: Page
) -> None:
    publish_model(topics_created)
    worker = start_worker(topics_created).wait_ready()
    page.goto(at(worker))
    expect(page.locator(".lost")).to_be_hidden()
    worker.pause()
    expect(page.locator(".lost")).to_contain_text("no word from it", timeout=SECONDS)
    worker.resume()
    expect(page.locator(".lost")).to_be_hidden(timeout=2 * SECONDS)


def test_the_page_can_be_read_and_commanded_without_javascript_and_on_a_phone(
    topics_created: Settings, start_worker: Start, browser: Browser
) -> None:
    for seed in (0, 1):
        publish_model(topics_created, seed=seed)
    worker = start_worker(topics_created).wait_ready()
    phone = browser.new_context(java_script_enabled=False, viewport=PHONE).new_page()
    phone.goto(at(worker))
    expect(phone.locator(".readiness.good")).to_be_visible()
    expect(phone.locator("section.rollout")).to_contain_text("v0.2")
    expect(phone.locator("noscript .still").first).to_be_visible()
    assert phone.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
    phone.get_by_label("User id").fill("7")
    phone.get_by_role("button", name="Try", exact=True).click()
    expect(phone.locator("section.trial.primary")).to_contain_text("v0.2")
    expect(phone.locator("section.trial.primary .owned")).to_contain_text("Film 8")
    expect(phone.locator("section.trial .ranked li")).to_have_count(10)
    assert phone.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
    phone.get_by_role("link", name="status page").click()
    phone.get_by_text("Swap", exact=True).first.click()
    phone.locator("form[action='switch'] input:not([type=hidden])").fill("v0.1")
    phone.locator("form[action='switch'] button.go").click()
    expect(phone.locator("body")).to_contain_text('"status":"applied"')
    phone.goto(at(worker))
    expect(phone.locator("section.rollout")).to_contain_text("v0.1 100 % of users")


def test_the_page_works_under_a_path_of_nginx_for_those_who_have_logged_in(
    client: Client, topics_created: Settings, start_worker: Start, page: Page, tmp_path: Path
) -> None:
    """nginx as its manual begins: it tells the worker neither the path nor the caller."""
    for seed in (0, 1):
        publish_model(topics_created, seed=seed)
    tokens = {"RECSTREAM_API_TOKEN": "secret", "RECSTREAM_READ_TOKEN": "peek"}
    worker = start_worker(topics_created, variables=tokens).wait_ready()
    with nginx(worker.port, tmp_path) as address:
        requested: list[str] = []
        page.on("request", lambda request: requested.append(request.url))
        page.goto(address)
        for token, words in (
            ("wrong", "Unknown token"),
            ("peek", "Log out"),
            ("secret", "Log out"),
        ):
            with page.expect_navigation():
                page.get_by_label("Token").fill(token)
                page.keyboard.press("Enter")
            expect(page.locator("body")).to_contain_text(words)
        page.evaluate("window.same = true")
        expect(page.locator(".readiness.good")).to_be_visible()
        client.command(type="rollout", strategy="canary", canary_version="v0.1", salt="by-kafka")
        expect(page.locator("section.rollout")).to_contain_text("by-kafka", timeout=SECONDS)
        page.get_by_role("button", name="Promote v0.1").click()
        expect(result(page)).to_contain_text("Promote v0.1: applied")
        expect(page.locator("section.rollout .legend")).to_contain_text(
            "primary v0.1", timeout=SECONDS
        )
        assert page.evaluate("window.same")
        assert [url for url in requested if not url.startswith((address, "data:"))] == []
        assert f"{address}events" in requested
        links = page.locator("nav a:not(.act), #all-commands")
        for link in links.evaluate_all("links => links.map(one => one.href)"):
            assert link.startswith(address)
            assert page.request.get(link).status == 200, link
        form = page.locator("section.tried form").evaluate("form => form.action")
        assert form == f"{address}try"
        assert page.request.get(f"{form}.json?user_id=7").json()["assigned_version"] == "v0.1"
        page.get_by_role("button", name="Log out").click()
        expect(page.locator("body.gate")).to_be_visible()
        page.screenshot(path=tmp_path / "login.png", full_page=True)


def test_nginx_on_the_same_machine_makes_nobody_local(
    topics_created: Settings, start_worker: Start, tmp_path: Path
) -> None:
    """Without a token: a caller that nginx says nothing of, and one that it does."""
    for seed in (0, 1):
        publish_model(topics_created, seed=seed)
    worker = start_worker(topics_created).wait_ready()
    directives = "proxy_http_version 1.1; proxy_set_header {};"
    for header in (
        "",
        directives.format("X-Real-IP $remote_addr"),
        directives.format("X-Forwarded-For $proxy_add_x_forwarded_for"),
        directives.format("Host fleet.example"),
    ):
        with nginx(worker.port, tmp_path, settings=header) as address:
            with pytest.raises(HTTPError, match="403") as refused:
                urlopen(Request(f"{address}switch?model=v0.1", method="POST"))
            refused.value.close()
            with urlopen(f"{address}readyz") as ready:
                assert ready.status == 200
