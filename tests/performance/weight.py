"""The only place that weighs a page: its HTML, scripts and style sheets as they come over the wire."""

import re
from dataclasses import dataclass
from typing import Final

from tests.performance import stage

ASSETS: Final = re.compile(rb'<(?:script[^>]+src|link[^>]+rel="stylesheet"[^>]+href)="([^"]+)"')
ASSET_LIMIT: Final = 60_000  # bytes of CSS and JavaScript a page


@dataclass(frozen=True)
class Weight:
    """Bytes over the wire, compressed."""

    html: int
    assets: int


def of_page(port: int, path: str, headers: dict[str, str]) -> Weight:
    """Ask as a browser does that has nothing in its cache."""
    _status, plain = stage.answer_of(port, path, headers)
    zipped = {"Accept-Encoding": "gzip"}
    _status, html = stage.answer_of(port, path, headers | zipped)
    assets = {match.decode() for match in ASSETS.findall(plain)}
    return Weight(len(html), sum(len(stage.answer_of(port, asset, zipped)[1]) for asset in assets))
