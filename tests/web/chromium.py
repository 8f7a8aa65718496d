"""A headless Chromium, told what to do through a pipe: the DevTools protocol, as far as the tests need it."""

import base64
import json
import os
import select
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any, Self

from memocache._clock import ticks

PATIENCE = 60.0
OPTIONS = [
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--hide-scrollbars"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage"),
    *("--remote-debugging-pipe", "--window-size=1000,760"),
]
WRITES = ("HOME", "TMPDIR", "XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_RUNTIME_DIR")
"""Variables that say where it writes, wherever its profile is."""


def find_chromium() -> tuple[str | None, str]:
    """Return the program, or why there is none."""
    for name in ("chromium", "chromium-browser"):
        found = shutil.which(name)
        if found:
            return found, ""
    return None, "there is no chromium; Debian has it: apt-get install chromium"


class Chromium:
    """A browser with one page."""

    def __init__(self, program: str) -> None:
        self._profile = tempfile.TemporaryDirectory(prefix="mc", ignore_cleanup_errors=True)
        commands, self._write = os.pipe()
        self._read, answers = os.pipe()
        # It reads from descriptor 3 and writes to 4.
        shell = f'exec "$0" "$@" 3<&{commands} 4>&{answers}'
        self._process = subprocess.Popen(
            ["bash", "-c", shell, program, *OPTIONS, f"--user-data-dir={self._profile.name}", "about:blank"],
            pass_fds=(commands, answers),
            env={**os.environ, **dict.fromkeys(WRITES, self._profile.name)},
            stderr=subprocess.DEVNULL,
        )
        os.close(commands)
        os.close(answers)
        self._buffer, self._number, self._session = b"", 0, ""
        page = next(each for each in self.tell("Target.getTargets")["targetInfos"] if each["type"] == "page")
        self._session = self.tell("Target.attachToTarget", targetId=page["targetId"], flatten=True)["sessionId"]
        self.tell("Page.enable")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()
        os.close(self._write)
        os.close(self._read)
        self._profile.cleanup()

    def tell(self, method: str, **parameters: Any) -> Any:
        """Give a command and return its result."""
        self._number += 1
        session = {"sessionId": self._session} if self._session else {}
        command = {"id": self._number, "method": method, "params": parameters, **session}
        os.write(self._write, json.dumps(command).encode() + b"\0")
        while True:
            message = self._message()
            if message.get("id") == self._number:
                assert "error" not in message, message
                return message["result"]

    def _message(self) -> dict[str, Any]:
        deadline = ticks() + PATIENCE
        while b"\0" not in self._buffer:
            ready, _, _ = select.select([self._read], [], [], max(0.0, deadline - ticks()))
            assert ready, f"chromium has said nothing for {PATIENCE:g} seconds"
            more = os.read(self._read, 1 << 20)
            assert more, "chromium has ended"
            self._buffer += more
        message, _, self._buffer = self._buffer.partition(b"\0")
        found: dict[str, Any] = json.loads(message)
        return found

    def _until_loaded(self) -> None:
        while self._message().get("method") != "Page.loadEventFired":
            pass

    def open(self, url: str) -> None:
        """Go to *url*, and wait until it is there."""
        self.tell("Page.navigate", url=url)
        self._until_loaded()

    def click(self, selector: str) -> None:
        """Click on what leads to another page, and wait for that."""
        self.value(f"document.querySelector({json.dumps(selector)}).click()")
        self._until_loaded()

    def value(self, expression: str) -> Any:
        """Return what *expression* is in the page."""
        answer = self.tell("Runtime.evaluate", expression=expression, returnByValue=True)
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    def press(self, key: str) -> None:
        """Press a *key*, such as "Tab"."""
        codes = {"Tab": 9, "Enter": 13}
        for kind in ("keyDown", "keyUp"):
            text = {"text": "\r"} if key == "Enter" and kind == "keyDown" else {}
            self.tell("Input.dispatchKeyEvent", type=kind, key=key, code=key, windowsVirtualKeyCode=codes[key], **text)

    def accessible(self) -> list[tuple[str, str]]:
        """Return the roles and names of what a screen reader is told."""
        nodes = self.tell("Accessibility.getFullAXTree")["nodes"]
        return [
            (node["role"]["value"], node.get("name", {}).get("value", ""))
            for node in nodes
            if not node.get("ignored") and "role" in node
        ]

    def screenshot(self, path: Path) -> None:
        path.write_bytes(base64.b64decode(self.tell("Page.captureScreenshot", format="png")["data"]))
