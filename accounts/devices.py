"""The only place that says where a request comes from in words: the browser or program, its system, its address."""

import re
from typing import Final, TypedDict

import structlog
from django.http import HttpRequest
from django.utils.translation import gettext as _
from rest_framework.request import Request

from accounts.ways_in import ADDRESS_LENGTH, AGENT_LENGTH

CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f]")
# The first that fits: browsers name those that they descend from, so the descendants come first.
BROWSERS: Final = (
    ("Edg", "Edge"),
    ("OPR/", "Opera"),
    ("SamsungBrowser/", "Samsung Internet"),
    ("FxiOS/", "Firefox"),
    ("Firefox/", "Firefox"),
    ("CriOS/", "Chrome"),
    ("HeadlessChrome/", "Chrome"),
    ("Chromium/", "Chromium"),
    ("Chrome/", "Chrome"),
    ("Version/", "Safari"),
)
SYSTEMS: Final = (
    ("Android", "Android"),
    ("iPhone", "iPhone"),
    ("iPad", "iPad"),
    ("CrOS", "ChromeOS"),
    ("Windows", "Windows"),
    ("Mac OS X", "macOS"),
    ("Linux", "Linux"),
)
# What programs call themselves: a word, and often a version.
PROGRAM: Final = re.compile(r"([A-Za-z][A-Za-z0-9._+-]{0,39})(?:/|$)")


class Place(TypedDict):
    """What a row of a sign-in keeps of its request."""

    agent: str
    address: str


def place_of(request: HttpRequest | Request) -> Place:
    """What a request says of its device (anybody can claim anything), and where it comes from, as the log has it."""
    agent = CONTROL.sub("", str(request.headers.get("User-Agent", "")))[:AGENT_LENGTH]
    address = str(structlog.contextvars.get_contextvars().get("address", ""))
    return {"agent": agent, "address": address[:ADDRESS_LENGTH]}


def device(agent: str) -> str:
    """A device in a few words: ``Firefox on Linux``, ``curl``. What is not recognised is not guessed."""
    if not agent.startswith("Mozilla/"):
        program = PROGRAM.match(agent)
        return program[1] if program else _("Unknown device")
    browser, system = _first(BROWSERS, agent), _first(SYSTEMS, agent)
    if browser and system:
        return _("%(browser)s on %(system)s") % {"browser": browser, "system": system}
    return browser or system or _("Unknown device")


def _first(known: tuple[tuple[str, str], ...], agent: str) -> str:
    return next((name for sign, name in known if sign in agent), "")
