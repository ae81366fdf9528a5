"""The only place for cryptography: encrypted columns, digests, and the secrets of API keys."""

import hashlib
import hmac
import re
import secrets
import zlib
from functools import lru_cache
from typing import TYPE_CHECKING, Any, TypeVar

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from django.conf import settings
from django.core.exceptions import FieldError, ImproperlyConfigured
from django.db import models
from django.db.models.query_utils import DeferredAttribute

if TYPE_CHECKING:
    from django.db.models.lookups import Lookup

_Set = TypeVar("_Set")
_Get = TypeVar("_Get")
if TYPE_CHECKING:
    _Column = models.Field
else:

    class _Column(models.Field):
        """Django's fields have type parameters for type checkers only, so this gives them away at run time."""

        def __class_getitem__(cls, parameters: object) -> type:
            return cls


# --- Encryption ------------------------------------------------------------------------------------------------------


class DecryptionFailed(Exception):
    """No configured key fits, or the ciphertext was changed; tells nothing about either."""

    def __init__(self) -> None:
        super().__init__("None of ENCRYPTION_KEYS decrypts this value: its key is gone, or the value was changed.")


@lru_cache(maxsize=4)
def _cipher_of(keys: tuple[str, ...]) -> MultiFernet:
    try:
        return MultiFernet([Fernet(key) for key in keys])
    except ValueError:
        # From None, and without the text of the first error: neither may carry a piece of a key.
        hint = "ENCRYPTION_KEYS must hold at least one Fernet key (32 bytes, urlsafe base64), the newest first."
        raise ImproperlyConfigured(hint) from None


def _cipher() -> MultiFernet:
    """Give the cipher of the present settings; the cache goes by their value, so a changed setting is obeyed."""
    return _cipher_of(tuple(settings.ENCRYPTION_KEYS))


class Ciphertext(str):
    """An encrypted text, so that it is never mistaken for the plain one; harmless to print."""

    __slots__ = ()


def encrypt(plaintext: str) -> Ciphertext:
    """Encrypt with the first of ENCRYPTION_KEYS; the result is ASCII text."""
    # surrogatepass: every text survives the round trip, so no encoding error can quote a piece of the plain text.
    return Ciphertext(_cipher().encrypt(plaintext.encode("utf-8", "surrogatepass")).decode("ascii"))


def decrypt(ciphertext: str) -> str:
    """Decrypt with whichever of ENCRYPTION_KEYS fits; raises DecryptionFailed."""
    try:
        return _cipher().decrypt(ciphertext.encode()).decode("utf-8", "surrogatepass")
    except (InvalidToken, UnicodeError):
        raise DecryptionFailed from None


def rotate(ciphertext: str) -> Ciphertext:
    """Encrypt anew with the first of ENCRYPTION_KEYS, so that an old one can be taken away; raises DecryptionFailed."""
    try:
        return Ciphertext(_cipher().rotate(ciphertext.encode()).decode("ascii"))
    except (InvalidToken, UnicodeError):
        raise DecryptionFailed from None


class _DecryptOnRead(DeferredAttribute):
    """Keep ciphertext in the instance and decrypt at the moment of reading.

    So a row whose key is gone can still be listed, saved and repaired, and neither ``vars(row)`` nor a pickled or
    debug-printed instance holds the secret.
    """

    def __get__(self, instance: models.Model | None, cls: type[models.Model] | None = None) -> Any:
        value = super().__get__(instance, cls)
        return decrypt(value) if isinstance(value, Ciphertext) else value

    def __set__(self, instance: models.Model, value: Any) -> None:
        instance.__dict__[self.field.attname] = _sealed(value)


def _sealed(value: Any) -> Any:
    """Encrypt plain text; leave ciphertext, None and database expressions as they are."""
    return encrypt(value) if isinstance(value, str) and not isinstance(value, Ciphertext) else value


class EncryptedTextField(_Column[_Set, _Get]):
    """A text column that holds ciphertext only; reading the attribute decrypts it and may raise DecryptionFailed.

    None stays None. ``values()`` and ``values_list()`` give the ciphertext. It is in no form, and dumps leave it empty:
    a dump is not a backup of secrets, and loading one must not decrypt whatever somebody typed.
    """

    description = "Encrypted text"
    descriptor_class = _DecryptOnRead
    _pyi_private_set_type: str
    _pyi_private_get_type: str

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        # A form would print the secret into the page; secrets are taken by forms of their own and set by verbs.
        kwargs["editable"] = False
        super().__init__(*args, **kwargs)

    def deconstruct(self) -> tuple[str, str, list[Any], dict[str, Any]]:
        """Leave out what is always so."""
        name, path, args, kwargs = super().deconstruct()
        kwargs.pop("editable")
        return name, path, list(args), dict(kwargs)

    def get_internal_type(self) -> str:
        """Be a text column for PostgreSQL, though not a TextField for DRF, which would copy the value into answers."""
        return "TextField"

    def from_db_value(self, value: str | None, _expression: object, _connection: object) -> Ciphertext | None:
        """Mark what comes from the database as ciphertext."""
        return None if value is None else Ciphertext(value)

    def get_prep_value(self, value: Any) -> Any:
        """Encrypt what is not yet; nothing but text can be stored."""
        sealed = _sealed(super().get_prep_value(value))
        if sealed is None or isinstance(sealed, Ciphertext):
            return None if sealed is None else str(sealed)
        kind = type(sealed).__name__
        raise TypeError(f"{self.name} takes text, not {kind}.")

    def pre_save(self, model_instance: models.Model, add: bool) -> Any:  # noqa: FBT001 -- Django's signature
        """Save the ciphertext as it was loaded: other columns of a row can be saved although its key is gone."""
        stored = model_instance.__dict__
        return stored[self.attname] if self.attname in stored else super().pre_save(model_instance, add)

    def value_from_object(self, obj: models.Model) -> Any:
        """Give forms, model_to_dict and serializers no more than whether there is a value."""
        return None if obj.__dict__.get(self.attname) is None else ""

    def value_to_string(self, _obj: models.Model) -> str:
        """Leave the secret out of dumps."""
        return ""

    def get_lookup(self, lookup: str) -> "type[Lookup[Any]] | None":
        """Refuse comparisons: equal secrets have different ciphertexts, so a filter would silently find nothing."""
        if lookup != "isnull":
            raise FieldError(f"{self.name} is encrypted: only {self.name}__isnull can be asked, not {lookup}.")
        return super().get_lookup(lookup)


# --- Digests ---------------------------------------------------------------------------------------------------------


def secret_digest(secret: str) -> str:
    """Give the SHA-256 of a key's secret as hex, which is what LiteLLM calls its ``token``.

    A fast hash is right here: the secrets are 256 random bits, which nobody can guess however fast the hash is.
    """
    # surrogatepass: half a surrogate pair in a presented secret makes an unknown key, not an exception.
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()


def digests_equal(one: str, other: str) -> bool:
    """Compare in a time that does not tell where they differ."""
    return hmac.compare_digest(one.encode("utf-8", "surrogatepass"), other.encode("utf-8", "surrogatepass"))


# --- Secrets of API keys ---------------------------------------------------------------------------------------------

LITELLM_PREFIX = "sk-"
_LONGEST_SECRET = 500
SECRET_PREFIX = "sk-lm-"  # noqa: S105 -- LiteLLM demands "sk-"; "lm" tells our keys from those of providers
SECRET_BITS = 256
# The form of every secret, for secret scanners (pre-commit hooks, GitHub, GitGuardian): the prefix, 43 characters of
# base62 that carry 256 random bits, and 6 characters of base62 with the CRC32 of all that comes before. A scanner that
# checks the CRC as well reports no false alarms. Base62 has no "-" or "_", so a double click selects the random part.
SECRET_PATTERN = r"\bsk-lm-[0-9A-Za-z]{49}\b"  # noqa: S105 -- a pattern, not a secret
_BASE62 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_BODY_LENGTH = 43  # 62 ** 43 > 2 ** 256
_CHECKSUM_LENGTH = 6  # 62 ** 6 > 2 ** 32
_LAST_CHARACTERS = 4
_SECRET = re.compile(SECRET_PATTERN, re.ASCII)

# Personal access tokens look alike, under a prefix of their own: no LiteLLM takes one, and no API of ours takes a key.
TOKEN_PREFIX = "lmp_"  # noqa: S105 -- a prefix, not a secret
TOKEN_PATTERN = r"\blmp_[0-9A-Za-z]{49}\b"  # noqa: S105 -- a pattern, not a secret
_TOKEN = re.compile(TOKEN_PATTERN, re.ASCII)


def _base62(number: int, length: int) -> str:
    digits = []
    for _ in range(length):
        number, digit = divmod(number, len(_BASE62))
        digits.append(_BASE62[digit])
    return "".join(reversed(digits))


def _checksum(text: str) -> str:
    return _base62(zlib.crc32(text.encode("ascii")), _CHECKSUM_LENGTH)


def new_api_key_secret() -> str:
    """Make a secret of 256 random bits in the form of SECRET_PATTERN."""
    return _new_secret(SECRET_PREFIX)


def new_personal_token() -> str:
    """Make a personal access token of 256 random bits in the form of TOKEN_PATTERN."""
    return _new_secret(TOKEN_PREFIX)


def _new_secret(prefix: str) -> str:
    text = prefix + _base62(secrets.randbits(SECRET_BITS), _BODY_LENGTH)
    return text + _checksum(text)


def is_well_formed_secret(value: str) -> bool:
    """Say whether it has the form and the checksum of our secrets, so that typing errors cost no query."""
    return bool(_SECRET.fullmatch(value)) and _has_checksum(value)


def may_be_a_secret(value: str) -> bool:
    """Say whether there can be a key with this secret: one of ours in its form, or one that was made in LiteLLM and
    adopted, of which only the beginning is known."""
    if value.startswith(SECRET_PREFIX):
        return is_well_formed_secret(value)
    return value.startswith(LITELLM_PREFIX) and len(value) <= _LONGEST_SECRET


def is_well_formed_token(value: str) -> bool:
    """Say the same of a personal access token."""
    return bool(_TOKEN.fullmatch(value)) and _has_checksum(value)


def _has_checksum(value: str) -> bool:
    return _checksum(value[:-_CHECKSUM_LENGTH]) == value[-_CHECKSUM_LENGTH:]


def mask_secret(last4: str) -> str:
    """Show a secret as ``sk-…abcd``; of anything longer only the last four characters are used."""
    return f"sk-…{last4[-_LAST_CHARACTERS:]}"
