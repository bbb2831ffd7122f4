"""A Unix-socket HTTP server with the shape of dstack's guest agent, so that a workload attests itself as it would in a real guest.

    POST /GetQuote {"report_data": hex, at most 64 bytes}  ->  {quote, event_log, report_data, vm_config}
    POST /Info     {}                                      ->  {app_id, instance_id, app_name, compose_hash, tcb_info, …}

GET with a query works too. Refusals are {"error": text} with status 400, 404 or 405. Source: dstack guest agent, HTTP API of 0.5.
"""

import asyncio
import contextlib
import json
import os
import socket
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

import httptools

from ollm.sim.machine import Hardware

_MAX_REQUEST = 16 * 1024  # a request holds 64 bytes of report data
_IDLE_SECONDS = 60.0
_REASONS = {200: "OK", 400: "Bad Request", 404: "Not Found", 405: "Method Not Allowed"}


class GuestAgent:
    """Serves `machine` at the socket `path`, which only this user can open."""

    def __init__(self, machine: Hardware, path: Path) -> None:
        self._machine = machine
        self._path = path
        self._server: asyncio.Server | None = None
        self._connections: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        """Begin to serve; a socket that a dead process left behind is replaced. Raises: OSError."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._path.unlink(missing_ok=True)
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        old_mask = os.umask(0o177)  # so that there is no moment at which others could connect
        try:
            listener.bind(str(self._path))
        except OSError:
            listener.close()
            raise
        finally:
            os.umask(old_mask)
        self._server = await asyncio.start_unix_server(self._serve, sock=listener, limit=_MAX_REQUEST)

    async def stop(self) -> None:
        """End all connections and remove the socket."""
        server, self._server = self._server, None
        if server is None:
            return
        server.close()
        for connection in self._connections:
            connection.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)
        self._path.unlink(missing_ok=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._server is None:  # accepted while we stopped
            writer.close()
            return
        task = asyncio.current_task()
        if task is not None:
            self._connections.add(task)
            task.add_done_callback(self._connections.discard)
        try:
            await self._converse(reader, writer)
        except (TimeoutError, ConnectionError, asyncio.CancelledError):
            pass  # the workload went away, fell silent, or we are being stopped: nobody is left to tell
        finally:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            request = _Request()
            while not request.complete:
                data = await asyncio.wait_for(reader.read(_MAX_REQUEST), _IDLE_SECONDS)
                if not data:
                    return
                if not request.feed(data):
                    writer.write(_response(400, {"error": "not an HTTP request that this agent understands"}, close=True))
                    return
            status, body = self.answer(request.method, request.target, bytes(request.body))
            writer.write(_response(status, body, close=not request.keep_alive))
            await writer.drain()
            if not request.keep_alive:
                return

    def answer(self, method: str, target: str, body: bytes) -> tuple[int, dict[str, str]]:
        """Status and JSON members for one request."""
        try:
            split = urlsplit(target)
        except ValueError:
            return 404, {"error": "no such method"}
        if method == "GET":
            arguments: object = dict(parse_qsl(split.query))
        elif method == "POST":
            try:
                arguments = json.loads(body) if body else {}
            except (ValueError, RecursionError):
                return 400, {"error": "the body is not JSON"}
        else:
            return 405, {"error": "GET or POST"}
        if not isinstance(arguments, dict):
            return 400, {"error": "the body is not a JSON object"}
        if split.path == "/GetQuote":
            return self._get_quote(arguments.get("report_data", ""))
        if split.path == "/Info":
            return 200, self._machine.info()
        return 404, {"error": "no such method"}

    def _get_quote(self, report_data: object) -> tuple[int, dict[str, str]]:
        try:
            data = bytes.fromhex(report_data) if isinstance(report_data, str) else None
        except ValueError:
            data = None
        if data is None:
            return 400, {"error": "report_data is not hex"}
        if len(data) > 64:
            return 400, {"error": "Report data is too long"}
        padded = data.ljust(64, b"\x00")
        return 200, {
            "quote": self._machine.quote(padded).hex(),
            "event_log": self._machine.event_log_json,
            "report_data": padded.hex(),
            "vm_config": self._machine.vm_config,
        }


class _Request:
    """One HTTP request, as httptools reports it."""

    def __init__(self) -> None:
        self.target = ""
        self.body = bytearray()
        self.complete = False
        self._size = 0
        self._messages = 0
        self._parser = httptools.HttpRequestParser(self)
        self.method = ""
        self.keep_alive = False

    def feed(self, data: bytes) -> bool:
        """Take `data`; False when this is no HTTP, too large, or more than one request at a time (no client pipelines here)."""
        self._size += len(data)
        if self._size > _MAX_REQUEST:
            return False
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            return False
        return self._messages == 1

    def on_message_begin(self) -> None:
        self._messages += 1

    def on_url(self, url: bytes) -> None:
        self.target += url.decode("latin-1")

    def on_body(self, data: bytes) -> None:
        self.body += data

    def on_message_complete(self) -> None:
        self.method = self._parser.get_method().decode("ascii")
        self.keep_alive = self._parser.should_keep_alive()
        self.complete = True


def _response(status: int, body: dict[str, str], *, close: bool) -> bytes:
    content = json.dumps(body).encode()
    head = f"HTTP/1.1 {status} {_REASONS[status]}\r\nContent-Type: application/json\r\nContent-Length: {len(content)}\r\n"
    return head.encode() + (b"Connection: close\r\n" if close else b"") + b"\r\n" + content
