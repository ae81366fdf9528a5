"""What keys are found by, in every face."""

import uuid

from django.apps import apps
from django.db.models import Q

LAST, DIGEST = 4, 64  # characters of a secret that are shown, and of its digest


def everywhere(text: str) -> Q:
    """Each word is a part of the name, the description or the owner's names or address, whatever its case; or it is the
    id, or the end of a secret that the key has or had."""
    return Q(*(_words(word, "name", "description") | _of_owner(word) | _exactly(word) for word in _split(text)))


def in_owner(text: str) -> Q:
    """Each word is a part of the owner's names or address, whatever its case."""
    return Q(*(_of_owner(word) for word in _split(text)))


def _split(text: str) -> list[str]:
    return text.replace("\x00", " ").split()


def _words(word: str, *columns: str) -> Q:
    return Q(*((f"{column}__icontains", word) for column in columns), _connector=Q.OR)


def _of_owner(word: str) -> Q:
    return _words(word, "user__username", "user__full_name", "user__email")


def _exactly(word: str) -> Q:
    """What is looked up as a whole: the last four characters of a secret, LiteLLM's token of it, or the id."""
    whole = {LAST: "last4", DIGEST: "digest"}
    if column := whole.get(len(word)):
        secrets = apps.get_model("apikeys", "ApiKeySecret")._base_manager
        return Q(pk__in=secrets.filter(**{column: word}).values("key"))
    try:
        return Q(pk=uuid.UUID(word))
    except ValueError:
        return Q(pk__in=())
