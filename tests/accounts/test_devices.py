"""What a user agent is called in words: what is known is named, what is not is not guessed."""

import pytest
from django.test import RequestFactory

from accounts.devices import device, place_of

MOZILLA = "Mozilla/5.0"
WEBKIT = "AppleWebKit/537.36 (KHTML, like Gecko)"
AGENTS = {
    f"{MOZILLA} (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0": "Firefox on Linux",
    f"{MOZILLA} (Windows NT 10.0; Win64; x64) {WEBKIT} Chrome/140.0.0.0 Safari/537.36": "Chrome on Windows",
    f"{MOZILLA} (Windows NT 10.0; Win64; x64) {WEBKIT} Chrome/140.0.0.0 Safari/537.36 Edg/140.0": "Edge on Windows",
    f"{MOZILLA} (Macintosh; Intel Mac OS X 10_15_7) {WEBKIT} Version/18.0 Safari/605.1.15": "Safari on macOS",
    f"{MOZILLA} (iPhone; CPU iPhone OS 18_0 like Mac OS X) {WEBKIT} Version/18.0 Safari/604.1": "Safari on iPhone",
    f"{MOZILLA} (iPad; CPU OS 18_0 like Mac OS X) {WEBKIT} CriOS/140.0 Safari/604.1": "Chrome on iPad",
    f"{MOZILLA} (Linux; Android 15; Pixel 9) {WEBKIT} Chrome/140.0 Mobile Safari/537.36": "Chrome on Android",
    f"{MOZILLA} (Linux; Android 15) {WEBKIT} SamsungBrowser/27.0 Chrome/130.0 Safari": "Samsung Internet on Android",
    f"{MOZILLA} (X11; CrOS x86_64 1.0) {WEBKIT} Chrome/140.0 Safari/537.36": "Chrome on ChromeOS",
    f"{MOZILLA} (X11; Linux x86_64) {WEBKIT} Chrome/140.0 Safari/537.36 OPR/120.0": "Opera on Linux",
    f"{MOZILLA} (Something new)": "Unknown device",
    f"{MOZILLA} (Windows NT 10.0) Something/1.0": "Windows",
    "curl/8.5.0": "curl",
    "python-requests/2.32.3": "python-requests",
    "Go-http-client/1.1": "Go-http-client",
    "Wget": "Wget",
    "": "Unknown device",
    "<script>alert(1)</script>": "Unknown device",
    "x" * 300: "Unknown device",
}


@pytest.mark.parametrize(("agent", "words"), AGENTS.items())
def test_device_is_told_in_a_few_words(agent: str, words: str) -> None:
    assert device(agent) == words


def test_agent_is_cut_and_cleaned() -> None:
    request = RequestFactory().get("/", HTTP_USER_AGENT="curl/8\x00\x1b[31m" + "y" * 400)
    agent = place_of(request)["agent"]
    assert agent.startswith("curl/8[31m")
    assert len(agent) == 300
