"""Drive a headless Chromium over its own protocol: open a page, hear it, ask it things."""

from __future__ import annotations

import asyncio
import contextlib
import json
import shutil
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--remote-debugging-port=0",
]


def chromium() -> str | None:
    """Return the browser's path, None where there is none."""
    return shutil.which("chromium") or shutil.which("chromium-browser")


def visit(
    page: Path, questions: list[str], width: int | None = None
) -> tuple[list[Any], list[str], list[str]]:
    """Open a page, evaluate expressions in it, return answers, errors and addresses asked for.

    `width` is that of a phone's screen, in pixels.
    """
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        command = [str(chromium()), *FLAGS, f"--user-data-dir={folder}", "about:blank"]
        browser = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            port_file = Path(folder) / "DevToolsActivePort"
            deadline = time.monotonic() + 30
            while not (port_file.is_file() and port_file.read_text().count("\n")):
                if time.monotonic() > deadline:
                    raise TimeoutError("Chromium did not start")
                time.sleep(0.05)
            port = int(port_file.read_text().splitlines()[0])
            return asyncio.run(_visit(port, page, questions, width))
        finally:
            browser.terminate()
            browser.wait(timeout=20)


async def _visit(
    port: int, page: Path, questions: list[str], width: int | None
) -> tuple[list[Any], list[str], list[str]]:
    import aiohttp

    async with aiohttp.ClientSession() as session:
        async with session.get(f"http://127.0.0.1:{port}/json/list") as response:
            targets = json.loads(await response.text())
        address = next(one["webSocketDebuggerUrl"] for one in targets if one["type"] == "page")
        async with session.ws_connect(address, max_msg_size=0) as socket:
            talk = _Talk(socket)
            for domain in ("Page", "Runtime", "Log", "Network"):
                await talk.ask(f"{domain}.enable")
            if width is not None:
                screen = {"width": width, "height": 844, "deviceScaleFactor": 1, "mobile": True}
                await talk.ask("Emulation.setDeviceMetricsOverride", **screen)
            await talk.ask("Page.navigate", url=page.resolve().as_uri())
            await talk.until("Page.loadEventFired")
            answers = []
            for question in questions:
                done = await talk.ask(
                    "Runtime.evaluate", expression=question, returnByValue=True, awaitPromise=True
                )
                if "exceptionDetails" in done:
                    talk.errors.append(str(done["exceptionDetails"]))
                answers.append(done["result"].get("value"))
            with contextlib.suppress(TimeoutError):  # what comes late counts too
                await asyncio.wait_for(talk.until("never"), 0.3)
            return answers, talk.errors, talk.asked


class _Talk:
    def __init__(self, socket: Any) -> None:
        self._socket = socket
        self._number = 0
        self._seen: list[str] = []
        self.errors: list[str] = []
        self.asked: list[str] = []

    async def ask(self, method: str, **parameters: Any) -> dict[str, Any]:
        self._number += 1
        number = self._number
        await self._socket.send_str(
            json.dumps({"id": number, "method": method, "params": parameters})
        )
        while True:
            message = await self._hear()
            if message.get("id") == number:
                return message.get("result", {})

    async def until(self, event: str) -> None:
        while event not in self._seen:
            await self._hear()

    async def _hear(self) -> dict[str, Any]:
        message = json.loads((await self._socket.receive()).data)
        name, parameters = message.get("method", ""), message.get("params", {})
        self._seen.append(name)
        if name == "Network.requestWillBeSent":
            self.asked.append(parameters["request"]["url"])
        if name == "Runtime.exceptionThrown":
            self.errors.append(str(parameters["exceptionDetails"]))
        if name == "Log.entryAdded" or (
            name == "Runtime.consoleAPICalled" and parameters["type"] in ("error", "warning")
        ):
            self.errors.append(str(parameters))
        return message
