"""How words in columns of text are indexed and searched by their beginnings."""

import re

from django.contrib.postgres.search import SearchQuery, SearchVectorField
from django.db import models


class IndexedWords(models.Func):
    """The words in columns of text, as PostgreSQL indexes them: ``apikey.created`` is two, whatever their case."""

    template = "to_tsvector('simple'::regconfig, translate(%(expressions)s, '.-_@/:+', '       '))"
    arg_joiner = " || ' ' || "
    output_field = SearchVectorField()


def beginnings(text: str) -> SearchQuery | None:
    """What asks indexed words for those that begin with every word of ``text``; None if there is no word in it."""
    words = [f"{word}:*" for word in re.findall(r"[^\W_]+", text)]
    return SearchQuery(" & ".join(words), config="simple", search_type="raw") if words else None
