"""What is compressed for each request, and what is left as it is."""

import gzip
from typing import Any

import pytest
from django.http import HttpResponse
from django.test import Client, RequestFactory

from litemaas.foundation.compression import LARGE, CompressionMiddleware

STATIC = "/static/css/litemaas.css"


def test_styles_that_were_not_collected_are_compressed_here(settings: Any) -> None:
    plain: Any = Client().get(STATIC)
    whole: Any = Client().get(STATIC, headers={"Accept-Encoding": "gzip"})
    assert whole["Content-Encoding"] == "gzip"
    content = plain.getvalue()
    assert gzip.decompress(whole.getvalue()) == content
    settings.COMPRESS_STATIC = True
    collected: Any = Client().get(STATIC, headers={"Accept-Encoding": "gzip"})
    assert "Content-Encoding" not in collected
    assert collected.getvalue() == content


def test_parts_of_static_files_are_left_as_they_are() -> None:
    whole: Any = Client().get(STATIC)
    part: Any = Client().get(STATIC, headers={"Accept-Encoding": "gzip", "Range": "bytes=10-107"})
    assert (whole.status_code, part.status_code) == (200, 206)
    assert "Content-Encoding" not in part
    assert part["Content-Length"] == "98"
    assert part.getvalue() == whole.getvalue()[10:108]


@pytest.mark.parametrize("size", [1000, LARGE + 1])
def test_what_is_made_anew_is_compressed_and_its_tag_is_weak(size: int) -> None:
    made = HttpResponse("x" * size, headers={"ETag": '"one"'})
    request = RequestFactory().get("/", headers={"Accept-Encoding": "gzip"})
    answer = CompressionMiddleware(lambda _request: made)(request)
    assert isinstance(answer, HttpResponse)
    assert gzip.decompress(answer.content) == b"x" * size
    assert answer["Content-Length"] == str(len(answer.content))
    assert answer["ETag"] == 'W/"one"'
