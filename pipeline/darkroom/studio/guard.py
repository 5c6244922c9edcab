"""Keeps strangers out: other hosts, other web sites in the same browser, and other people on the network."""

from __future__ import annotations

import secrets
from collections.abc import Collection
from http.cookies import CookieError, SimpleCookie
from typing import TYPE_CHECKING
from urllib.parse import parse_qs

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse, RedirectResponse

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

COOKIE = "darkroom_studio"

# The page is ours, and nothing else runs in it: https://developer.mozilla.org/docs/Web/HTTP/CSP
_PAGE_POLICY = (
    "default-src 'self'; img-src 'self' blob: data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
    "object-src 'none'"
)
_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
}


class Guard:
    """Refuses requests that do not come from the studio's own page.

    The name of the host must be one of ours: a web site whose name resolves to this machine (DNS rebinding) sends its
    own. What changes something must come from our own origin: a browser says where a request comes from. With a token,
    the first request brings it along, and a cookie holds it from then on.

    Args:
        app: what to guard.
        hosts: `HOST:PORT` by which the studio may be called.
        token: a secret; None if only this machine can reach the studio.
    """

    def __init__(self, app: ASGIApp, hosts: Collection[str], token: str | None) -> None:
        self._app, self._hosts, self._token = app, hosts, token

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            if scope["type"] == "lifespan":
                await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        if refusal := self._refusal(scope["method"], headers):
            await JSONResponse({"error": refusal}, 403)(scope, receive, send)
        elif self._token is None or self._has_cookie(headers):
            await self._app(scope, receive, _with_headers(send))
        elif self._has_token(scope):
            await self._enter(scope, receive, send)
        else:
            text = "open the address that the studio has printed: it ends in a token"
            await JSONResponse({"error": text}, 403)(scope, receive, send)

    def _refusal(self, method: str, headers: Headers) -> str | None:
        host, origin = headers.get("host", ""), headers.get("origin")
        if host not in self._hosts:
            return "this is not a host name of the studio"
        if origin is not None and origin not in (f"http://{host}", f"https://{host}"):
            return "another web site may not use the studio"
        if method in ("GET", "HEAD"):
            return None
        if headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none"):
            return "another web site may not use the studio"
        if headers.get("content-type", "").partition(";")[0] != "application/json":
            return "a change is sent as application/json"  # no form of another web site can do that
        return None

    def _has_cookie(self, headers: Headers) -> bool:
        try:
            cookie = SimpleCookie(headers.get("cookie", "")).get(COOKIE)
        except CookieError:
            return False
        return cookie is not None and secrets.compare_digest(cookie.value.encode(), str(self._token).encode())

    def _has_token(self, scope: Scope) -> bool:
        given = parse_qs(scope["query_string"].decode("latin-1")).get("token", [""])[0]
        return secrets.compare_digest(given.encode(), str(self._token).encode())

    async def _enter(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Keep the token in a cookie, and take it out of the address."""
        response = RedirectResponse("/", 303)
        response.set_cookie(COOKIE, str(self._token), httponly=True, samesite="strict")
        await response(scope, receive, send)


def _with_headers(send: Send) -> Send:
    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            headers.setdefault("Content-Security-Policy", _PAGE_POLICY)
            headers.setdefault("Cache-Control", "no-store")
            for name, value in _HEADERS.items():
                headers.setdefault(name, value)
        await send(message)

    return sending
