"""Who may use the studio: its own page, and nobody else."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from darkroom.studio.guard import COOKIE, Guard

HOST = "127.0.0.1:8642"


async def _app(scope: Any, receive: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"the page"})


def ask(method: str = "GET", path: str = "/", query: str = "", token: str | None = None, **headers: str) -> Any:
    """Status, headers and body of a request to a guarded page."""
    sent: list[dict[str, Any]] = []
    given = {"host": HOST, **{name.replace("_", "-"): value for name, value in headers.items()}}
    scope = {
        "type": "http",
        "method": method,
        "path": path,
        "query_string": query.encode(),
        "headers": [(name.encode(), value.encode()) for name, value in given.items()],
    }

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Any) -> None:
        sent.append(dict(message))

    work = Guard(_app, ["127.0.0.1", "My-Mac.local"], 8642, token, "/reports/secret/")(scope, receive, send)
    with ThreadPoolExecutor(1) as other_thread:  # the browser of other tests has its loop in this one
        other_thread.submit(asyncio.run, work).result()
    found = {name.decode(): value.decode() for name, value in sent[0]["headers"]}
    return sent[0]["status"], found, b"".join(each.get("body", b"") for each in sent[1:])


OWN = {"origin": f"http://{HOST}", "content_type": "application/json", "sec_fetch_site": "same-origin"}


@pytest.mark.parametrize(
    ("method", "headers", "status"),
    [
        ("GET", {}, 200),
        ("POST", OWN, 200),
        ("POST", {"content_type": "application/json"}, 200),  # no browser: a script of the user
        ("GET", {"host": "evil.example:8642"}, 403),  # DNS rebinding
        ("GET", {"host": "127.0.0.1"}, 403),  # another port
        ("GET", {"origin": "http://evil.example"}, 403),
        ("GET", {"origin": "null"}, 403),  # a sandboxed page, such as a report
        ("POST", {**OWN, "origin": "http://evil.example"}, 403),
        ("POST", {**OWN, "origin": "http://127.0.0.1:9999"}, 403),  # another server of this machine
        ("POST", {**OWN, "sec_fetch_site": "cross-site"}, 403),
        ("POST", {"content_type": "text/plain"}, 403),  # what a form of another site can send
        ("POST", {"content_type": "application/x-www-form-urlencoded"}, 403),
        ("DELETE", {"content_type": "text/plain"}, 403),
    ],
)
def test_only_the_studio_s_own_page_may(method: str, headers: dict[str, str], status: int) -> None:
    assert ask(method, **headers)[0] == status


def test_with_a_token_nobody_enters_without_it() -> None:
    assert ask(token="secret")[0] == 403
    assert ask(token="secret", query="token=wrong")[0] == 403
    assert ask(token="secret", cookie=f"{COOKIE}=wrong")[0] == 403
    assert ask(token="secret", cookie="a broken cookie; ;=")[0] == 403
    assert ask(token="secret", query="token=secret", origin="http://evil.example")[0] == 403
    status, headers, _ = ask(token="secret", query="token=secret")
    assert status == 303 and headers["location"] == "/"  # the address no longer shows the token
    assert "HttpOnly" in headers["set-cookie"] and "SameSite=strict" in headers["set-cookie"]
    assert ask(token="secret", cookie=headers["set-cookie"].partition(";")[0])[2] == b"the page"


def test_other_machines_call_it_by_its_name_or_any_address() -> None:
    cookie = ask(token="secret", query="token=secret")[1]["set-cookie"].partition(";")[0]
    for host, status in (("my-mac.LOCAL:8642", 200), ("192.168.0.7:8642", 200), ("[fe80::1]:8642", 200)):
        assert ask(token="secret", cookie=cookie, host=host)[0] == status
    for host in ("evil.example:8642", "192.168.0.7:80", "192.168.0.7", "", ":8642"):
        assert ask(token="secret", cookie=cookie, host=host)[0] == 403, host
    assert ask(host="192.168.0.7:8642")[0] == 403, "without a token only this machine"


def test_pages_of_runs_are_reached_by_a_secret_of_their_own() -> None:
    status, headers, _ = ask(token="secret", path="/reports/secret/run/index.html")
    assert status == 200 and headers["cross-origin-resource-policy"] == "cross-origin"
    assert ask(token="secret", path="/reports/guess/run/index.html")[0] == 403


def test_answers_forbid_what_the_page_does_not_need() -> None:
    _, headers, _ = ask()
    policy = headers["content-security-policy"]
    assert "default-src 'self'" in policy and "unsafe" not in policy and "frame-ancestors 'none'" in policy
    assert headers["x-content-type-options"] == "nosniff"
