"""What is compressed for each request, and what is left as it is."""

import gzip
from typing import Any

import pytest
from django.http import HttpResponse
from django.test import Client, RequestFactory

from litemaas.foundation.compression import LARGE, CompressionMiddleware

STATIC = "/static/css/litemaas.css"


def test_static_files_and_parts_of_them_are_left_as_they_are() -> None:
    whole: Any = Client().get(STATIC, headers={"Accept-Encoding": "gzip"})
    part: Any = Client().get(STATIC, headers={"Accept-Encoding": "gzip", "Range": "bytes=10-107"})
    assert (whole.status_code, part.status_code) == (200, 206)
    assert "Content-Encoding" not in whole
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
