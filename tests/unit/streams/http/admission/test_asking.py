"""Who may ask for recommendations over HTTP."""

from __future__ import annotations

from harness.cells import each_cell

from streams.http.admission.api_tokens import Tokens
from streams.http.admission.auth import Caller, Identity, ask_refusal

CLOSED = Tokens(command="sesame", read="peek")


def refused(site: str | None, identity: Identity | None = None, tokens: Tokens = CLOSED) -> int:
    headers = {} if site is None else {"Sec-Fetch-Site": site}
    refusal = ask_refusal(Caller("GET", "192.0.2.1", (1, 1), headers), identity, tokens)
    return refusal.status if refusal else 0


@each_cell("site", [None, "none", "same-origin"])
def test_whoever_may_read_may_ask(site: str | None) -> None:
    assert refused(site, tokens=Tokens()) == 0
    assert refused(site, Identity("read")) == 0
    assert refused(site, Identity("command")) == 0
    assert refused(site) == 401


@each_cell("site", ["cross-site", "same-site"])
def test_a_page_of_another_site_may_not_ask_whoever_its_reader_is(site: str) -> None:
    assert refused(site, tokens=Tokens()) == 403
    assert refused(site, Identity("read", by_session=True)) == 403
