"""What the demo and `make lab-up` print: steps with their duration, calls and answers. Colours on a terminal only."""

import os
import sys
import textwrap
import time
from collections.abc import Iterator
from contextlib import contextmanager

WIDTH = 100
BAR_WIDTH = 40


class Terminal:
    """Writes to standard output. A step that is under way is a line without its end."""

    def __init__(self) -> None:
        self._is_terminal = sys.stdout.isatty() and os.environ.get("TERM") != "dumb"
        self._line_open = False
        self._bar_printed = -1

    def title(self, text: str) -> None:
        self._print("\n" + self._colour("1", text))

    def say(self, text: str) -> None:
        self._print(text)

    def call(self, node: str, words: list[str]) -> None:
        """A command as it is run in a machine. A long one goes on in further lines, broken where JSON does not mind."""
        prompt = f"  {node}# "
        first, *more = textwrap.wrap(
            " ".join(words), WIDTH - len(prompt), break_long_words=False, break_on_hyphens=False
        )
        self._print(self._colour("36", prompt) + "\n".join([first, *(" " * len(prompt) + line for line in more)]))

    def answer(self, text: str, seconds: float | None = None) -> None:
        lines = text.rstrip("\n").split("\n")
        if seconds is not None:
            lines[-1] = f"{lines[-1]:<{WIDTH - 12}} {seconds:6.1f} s"
        for line in lines:
            self._print(self._colour("2", "  " + line))

    def good(self, text: str) -> None:
        self._print("  " + self._colour("32", "ok") + " " + text)

    def bad(self, text: str) -> None:
        self._print(self._colour("31", text))

    @contextmanager
    def step(self, text: str) -> Iterator[None]:
        """`text ...` at once, and the seconds it took behind it when it is done."""
        self._end_line()
        print(f"  {text + ' ':.<{WIDTH - 12}} ", end="", flush=True)
        self._line_open = True
        start = time.monotonic()
        yield
        print(f"{time.monotonic() - start:6.1f} s", flush=True)
        self._line_open = False

    def progress(self, percent: float, text: str) -> None:
        """One bar that fills up; where lines cannot be written over, one line per quarter."""
        if not self._is_terminal and int(percent // 25) == self._bar_printed:
            return
        self._bar_printed = int(percent // 25)
        filled = round(BAR_WIDTH * percent / 100)
        line = f"  [{'#' * filled}{'.' * (BAR_WIDTH - filled)}] {percent:5.1f} %  {text}"
        if not self._is_terminal:
            self._print(line)
            return
        print("\r" + line + "\x1b[K", end="", flush=True)
        self._line_open = True

    def _print(self, text: str) -> None:
        self._end_line()
        print(text, flush=True)

    def _end_line(self) -> None:
        if self._line_open:
            print(flush=True)
            self._line_open = False

    def _colour(self, code: str, text: str) -> str:
        return f"\x1b[{code}m{text}\x1b[0m" if self._is_terminal else text
