"""Keeps strangers out: other hosts, other web sites in the same browser, and other people on the network."""

from __future__ import annotations

import secrets
from collections.abc import Collection, Mapping
from http.cookies import CookieError, SimpleCookie
from ipaddress import ip_address
from types import MappingProxyType
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
        names: of the hosts by which the studio may be called.
        port: of the studio.
        token: a secret; None if only this machine can reach the studio. With a token, any address in digits is a host
            of ours too: rebinding takes a name.
        reports: a path that holds a secret of its own, below which the pages of runs are. They are in a sandbox, whose
            requests bring no cookie and count as those of another site.
    """

    def __init__(self, app: ASGIApp, names: Collection[str], port: int, token: str | None, reports: str) -> None:
        self._app, self._token, self._reports = app, token, reports
        self._names, self._port = {name.lower() for name in names}, port

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            if scope["type"] == "lifespan":
                await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        if refusal := self._refusal(scope["method"], headers):
            await JSONResponse({"error": refusal}, 403)(scope, receive, send)
        elif scope["path"].startswith(self._reports):
            await self._app(scope, receive, _with_headers(send, {"Cross-Origin-Resource-Policy": "cross-origin"}))
        elif self._token is None or self._has_cookie(headers):
            await self._app(scope, receive, _with_headers(send))
        elif self._has_token(scope):
            await self._enter(scope, receive, send)
        else:
            text = "open the address that the studio has printed: it ends in a token"
            await JSONResponse({"error": text}, 403)(scope, receive, send)

    def _refusal(self, method: str, headers: Headers) -> str | None:
        host, origin = headers.get("host", ""), headers.get("origin")
        if not self._is_ours(host):
            return "this is not a host name of the studio"
        if origin is not None and origin not in (f"http://{host}", f"https://{host}"):
            return "another web site may not use the studio"
        if method in ("GET", "HEAD"):
            return None
        if headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none"):
            return "another web site may not use the studio"
        if headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
            return "a change is sent as application/json"  # no form of another web site can do that
        return None

    def _is_ours(self, host: str) -> bool:
        name, colon, port = host.lower().rpartition(":")
        if not colon or port.endswith("]"):  # a browser leaves out port 80
            name, port = host.lower(), "80"
        if port != str(self._port):
            return False
        return name in self._names or (self._token is not None and _is_address(name.strip("[]")))

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


def _is_address(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True


def _with_headers(send: Send, others: Mapping[str, str] = MappingProxyType({})) -> Send:
    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            headers.setdefault("Content-Security-Policy", _PAGE_POLICY)
            headers.setdefault("Cache-Control", "no-store")
            for name, value in {**_HEADERS, **others}.items():
                headers.setdefault(name, value)
        await send(message)

    return sending
