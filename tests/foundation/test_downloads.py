"""Files made for a request: whole or not at all, and few under way at once."""

import gc
import gzip
from collections.abc import Iterator
from typing import Any

import pytest
from django.http import HttpRequest
from django.test import RequestFactory

from litemaas.foundation import downloads
from litemaas.foundation.downloads import download
from litemaas.foundation.errors import RateLimited

LINE = b"0123456789" * 100


@pytest.fixture(autouse=True)
def few(settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two at once, one for each person."""
    settings.WEB_DOWNLOADS = 2
    monkeypatch.setattr(downloads, "SMALL", 2 * len(LINE))


def asked(lines: int, whose: str = "ada", encoding: str = "") -> Any:
    """The answer with so many lines."""
    request: HttpRequest = RequestFactory().get("/", headers={"Accept-Encoding": encoding})
    return download(request, [LINE] * lines, name="x.csv", content_type="text/csv", subject=whose)


def test_small_files_are_sent_at_once_and_hold_nothing() -> None:
    answers = [asked(2) for _ in range(5)]
    assert {answer.streaming for answer in answers} == {False}
    assert {answer.content for answer in answers} == {LINE * 2}


def test_large_files_are_few_at_once_for_each_person_and_together() -> None:
    first = asked(3)
    assert first.streaming
    with pytest.raises(RateLimited) as caught:
        asked(3)
    assert caught.value.details["retry_after"] > 0
    other = asked(3, "eve")
    with pytest.raises(RateLimited):
        asked(1, "bob")
    assert b"".join(first) == LINE * 3
    first.close()
    other.close()
    other.close()
    assert asked(3).streaming


def test_whoever_goes_away_leaves_nothing_behind() -> None:
    answer = asked(3)
    next(iter(answer))
    del answer
    gc.collect()
    assert not downloads._under_way
    assert asked(3).streaming


def test_what_fails_while_it_is_made_is_raised_and_leaves_nothing_behind() -> None:
    def broken() -> Iterator[bytes]:
        yield LINE
        raise ZeroDivisionError

    request = RequestFactory().get("/")
    for _ in range(3):
        with pytest.raises(ZeroDivisionError):
            download(request, broken(), name="x.csv", content_type="text/csv", subject="ada")
    assert not downloads._under_way


@pytest.mark.parametrize("lines", [1, 5000])
def test_it_is_compressed_for_those_who_can_read_that_and_says_its_length(lines: int) -> None:
    plain, zipped = asked(lines, "ada"), asked(lines, "eve", "gzip")
    assert plain["Content-Length"] == str(lines * len(LINE))
    assert "Content-Encoding" not in plain
    assert (zipped["Content-Encoding"], zipped["Vary"]) == ("gzip", "Accept-Encoding")
    assert zipped["Content-Length"] == str(len(sent := zipped.getvalue()))
    assert gzip.decompress(sent) == plain.getvalue() == LINE * lines
    plain.close()
    zipped.close()
