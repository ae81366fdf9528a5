"""``make screenshots``: takes every page in every state, light, dark and narrow, and one page to look at them all.

``make screenshots DOCS=1`` takes the few pictures that the documentation shows, into docs/images.
"""

import html
import os
import sys
import tempfile
from collections import defaultdict
from pathlib import Path
from typing import Final

from playwright.sync_api import Error

from tests.e2e import browser, pages, stage
from tests.e2e.conftest import ROOT

DOCS: Final = ROOT / "docs" / "images"
HEAVIEST_BYTES: Final = 150_000
# What the pictures of the documentation show as LiteLLM's address.
EXAMPLE_ADDRESS: Final = "https://llm.example.com"
# Picture -> state, and how many pixels of its height are shown.
DOCS_PICTURES: Final = {
    "admin": ("admin", 760),
    "admin-keys": ("admin-apikey", 760),
    "admin-subscriptions": ("admin-subscription", 640),
    "home": ("home-regular", 900),
    "key": ("key", 960),
    "key-created": ("key-created", 860),
    "keys": ("keys", 840),
    "model": ("model-subscribed", 800),
    "models": ("models", 900),
    "profile": ("profile", 900),
    "subscriptions": ("subscriptions", 760),
    "usage": ("usage", 1100),
}
VARIANTS: Final[tuple[tuple[browser.Theme, int], ...]] = (
    ("light", 1280),
    ("dark", 1280),
    ("light", 360),
    ("dark", 360),
)
CONTACT_SHEET: Final = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Screenshots of LiteMaaS</title>
<style>
body { font: 14px system-ui; margin: 24px; background: #eee; color: #111 }
figure { display: inline-block; margin: 0 12px 12px 0; vertical-align: top }
img { block-size: 320px; border: 1px solid #999 }
figcaption { font-size: 12px }
</style></head><body>
"""
FIGURE: Final = """<figure><a href="{0}"><img src="{0}" alt="" loading="lazy"></a><figcaption>{0}</figcaption></figure>
"""


def main() -> int:
    """Take the pictures; returns the exit code.

    SCREENSHOTS names another folder, ONLY takes the states whose names contain it.
    """
    for_docs = os.environ.get("DOCS", "") not in {"", "0"}
    folder = DOCS if for_docs else Path(os.environ.get("SCREENSHOTS") or ROOT / ".data" / "screenshots")
    if browser.chromium_path() is None:
        say(browser.HOW_TO_INSTALL)
        return 1
    folder.mkdir(parents=True, exist_ok=True)
    taken = _take_for_docs(folder) if for_docs else _take_all(folder)
    for path in taken:
        say(f"{path.stat().st_size // 1000:>5} kB  {path.name}")
    say(f"{len(taken)} pictures in {folder}")
    too_heavy = [path.name for path in taken if for_docs and path.stat().st_size > HEAVIEST_BYTES]
    if too_heavy:
        say(f"heavier than {HEAVIEST_BYTES // 1000} kB: {', '.join(too_heavy)}")
    return 1 if too_heavy else 0


def say(text: str) -> None:
    """Tell whoever waits."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def _logs() -> Path:
    """Where the product writes while pictures are taken; kept, because whoever has a failure wants to read them."""
    return Path(tempfile.mkdtemp(prefix="litemaas-screenshots-"))


def _take_for_docs(folder: Path) -> list[Path]:
    taken = []
    states = {state.name: state for state in pages.STATES}
    with stage.set_stage(_logs(), LITELLM_PUBLIC_URL=EXAMPLE_ADDRESS) as standing, browser.started() as it:
        visitor = browser.Visitor(standing, it)
        for name, (state, height) in DOCS_PICTURES.items():
            page = visitor.open(states[state])
            page.set_viewport_size({"width": browser.WIDE, "height": height})
            path = folder / f"{name}.png"
            page.screenshot(path=path)
            page.close()
            taken.append(path)
    return taken


def _take_all(folder: Path) -> list[Path]:
    only = os.environ.get("ONLY", "")
    for old in folder.glob("*.png"):
        old.unlink()
    taken: list[Path] = []
    with stage.set_stage(_logs()) as standing, browser.started() as it:
        visitor = browser.Visitor(standing, it)
        german = browser.Visitor(standing, it, locale="de-DE")
        for kind in pages.Weather:
            states = [state for state in pages.in_weather(kind) if only in state.name]
            for state in states:
                visitor.context(state.who)
            with browser.weather(standing, kind):
                for state in states:
                    taken += _take(visitor, state, folder)
        for state in pages.STATES:
            if state.name in pages.GERMAN and only in state.name:
                taken += _take(german, state, folder, suffix="-de")
    _write_contact_sheet(folder, taken)
    return taken


def _take(visitor: browser.Visitor, state: pages.State, folder: Path, suffix: str = "") -> list[Path]:
    taken: list[Path] = []
    try:
        page = visitor.open(state, in_english=not suffix)
    except (AssertionError, Error) as error:
        # The others are worth a look all the same; the end says what is missing.
        say(f"NOT REACHED: {state.name}{suffix}: {str(error).splitlines()[0]}")
        return taken
    for theme, width in VARIANTS[::2] if suffix else VARIANTS:
        browser.look(page, width, theme)
        path = folder / f"{state.name}-{theme}-{width}{suffix}.png"
        page.screenshot(path=path, full_page=True)
        taken.append(path)
    page.close()
    return taken


def _write_contact_sheet(folder: Path, taken: list[Path]) -> None:
    by_state = defaultdict(list)
    for path in taken:
        by_state[path.stem.partition("-light")[0].partition("-dark")[0]].append(path.name)
    parts = [CONTACT_SHEET, f"<h1>{len(taken)} pictures</h1>"]
    for state, names in by_state.items():
        parts += [f"<h2>{html.escape(state)}</h2>\n", *(FIGURE.format(name) for name in names)]
    (folder / "index.html").write_text("".join([*parts, "</body></html>\n"]))
