"""Server-sent events: what every open page must know."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import suppress
from typing import Any

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

_QUIET = 15  # seconds between two signs of life

Message = Mapping[str, Any]


class Events:
    """Sends messages to the pages that listen."""

    def __init__(self) -> None:
        self._listeners: set[asyncio.Queue[Message | None]] = set()
        self._loop: asyncio.AbstractEventLoop | None = None

    async def stream(self, request: Request) -> Response:
        """The messages from now on, for one page."""
        self._loop = asyncio.get_running_loop()
        queue: asyncio.Queue[Message | None] = asyncio.Queue()
        self._listeners.add(queue)
        return StreamingResponse(self._messages(queue), media_type="text/event-stream")

    def tell(self, message: Message | None) -> None:
        """Send a message to every page, from any thread; None ends the streams, so that the server can stop."""
        if self._loop:
            with suppress(RuntimeError):  # the loop has ended
                self._loop.call_soon_threadsafe(self._put, message)

    def _put(self, message: Message | None) -> None:
        for queue in self._listeners:
            queue.put_nowait(message)

    async def _messages(self, queue: asyncio.Queue[Message | None]) -> AsyncIterator[str]:
        try:
            yield "retry: 1000\n\n"
            while True:
                try:
                    message = await asyncio.wait_for(queue.get(), _QUIET)
                except TimeoutError:
                    yield ": quiet\n\n"
                    continue
                if message is None:
                    return
                yield f"data: {json.dumps(message)}\n\n"
        finally:
            self._listeners.discard(queue)
