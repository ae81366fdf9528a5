"""Secrets at rest: encryption and rotation, the encrypted column, digests, the form of API key secrets."""

import hashlib
import io
import pickle
import pprint
import re
import secrets
from collections.abc import Iterator
from typing import Any

import pytest
from cryptography.fernet import Fernet
from django import forms
from django.conf import settings as product
from django.core import serializers as dumps
from django.core.exceptions import FieldError, ImproperlyConfigured
from django.db import connection, models
from django.db.migrations.writer import MigrationWriter
from django.db.models.functions import Concat
from django.forms.models import model_to_dict
from django.test import override_settings
from django.test.utils import isolate_apps
from hypothesis import given, settings
from hypothesis import strategies as st
from rest_framework import serializers

from litemaas.foundation import crypto

unhurried = settings(deadline=None)  # a busy machine is no failure

OLD_KEY = Fernet.generate_key().decode()
NEW_KEY = Fernet.generate_key().decode()
BASE62 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
PLAIN = "sk-provider-key-of-ada"

any_text = st.text(st.characters(codec=None))

# --- Encryption ------------------------------------------------------------------------------------------------------


@unhurried
@given(any_text)
def test_what_is_encrypted_decrypts_to_itself(plaintext: str) -> None:
    ciphertext = crypto.encrypt(plaintext)
    assert ciphertext.isascii()
    assert crypto.decrypt(ciphertext) == plaintext


def test_the_same_text_is_never_encrypted_the_same_way_twice() -> None:
    assert crypto.encrypt(PLAIN) != crypto.encrypt(PLAIN)


def test_the_first_key_encrypts_and_every_key_decrypts() -> None:
    with override_settings(ENCRYPTION_KEYS=[OLD_KEY]):
        old = crypto.encrypt(PLAIN)
    with override_settings(ENCRYPTION_KEYS=[NEW_KEY, OLD_KEY]):
        new = crypto.encrypt(PLAIN)
        assert crypto.decrypt(old) == crypto.decrypt(new) == PLAIN
    with override_settings(ENCRYPTION_KEYS=[NEW_KEY]):
        assert crypto.decrypt(new) == PLAIN
        with pytest.raises(crypto.DecryptionFailed):
            crypto.decrypt(old)


@unhurried
@given(any_text)
def test_rotation_makes_the_old_key_superfluous(plaintext: str) -> None:
    with override_settings(ENCRYPTION_KEYS=[OLD_KEY]):
        old = crypto.encrypt(plaintext)
    with override_settings(ENCRYPTION_KEYS=[NEW_KEY, OLD_KEY]):
        rotated = crypto.rotate(old)
    with override_settings(ENCRYPTION_KEYS=[NEW_KEY]):
        assert crypto.decrypt(rotated) == plaintext


@pytest.mark.parametrize("value", ["", "nonsense", "gAAAAA", "é", "\ud800"])
@pytest.mark.parametrize("verb", [crypto.decrypt, crypto.rotate])
def test_what_no_key_fits_is_a_clear_error_without_the_value(verb: Any, value: str) -> None:
    with pytest.raises(crypto.DecryptionFailed) as caught:
        verb(value)
    assert str(caught.value).startswith("None of ENCRYPTION_KEYS decrypts this value")
    assert caught.value.__suppress_context__
    assert not value or value not in str(caught.value)


def test_a_changed_ciphertext_is_refused() -> None:
    ciphertext = crypto.encrypt(PLAIN)
    changed = ciphertext[:30] + ("A" if ciphertext[30] != "A" else "B") + ciphertext[31:]
    with pytest.raises(crypto.DecryptionFailed):
        crypto.decrypt(changed)


@pytest.mark.parametrize("keys", [[], ["too-short-to-be-a-key"], ["é" * 44], [OLD_KEY, ""]])
def test_bad_keys_are_named_as_a_setting_without_being_shown(keys: list[str]) -> None:
    with override_settings(ENCRYPTION_KEYS=keys), pytest.raises(ImproperlyConfigured) as caught:
        crypto.encrypt(PLAIN)
    assert str(caught.value).startswith("ENCRYPTION_KEYS must hold at least one Fernet key")
    assert not any(key and key in str(caught.value) for key in keys)


# --- EncryptedTextField ----------------------------------------------------------------------------------------------


@pytest.fixture
def vault(transactional_db: None) -> Iterator[Any]:
    """Give a model with an encrypted column, and its table."""
    with isolate_apps():

        class Vault(models.Model):
            label = models.CharField(max_length=20)
            secret = crypto.EncryptedTextField(null=True)

            class Meta:
                app_label = "vaults"

        with connection.schema_editor() as editor:
            editor.create_model(Vault)
        yield Vault
        with connection.schema_editor() as editor:
            editor.delete_model(Vault)


def stored(row: Any) -> str | None:
    """Read the column past the field."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT secret FROM vaults_vault WHERE id = %s", [row.pk])
        (value,) = cursor.fetchone()
    return None if value is None else str(value)


def test_trap_18_the_column_holds_ciphertext_and_the_attribute_reads_plain(vault: Any) -> None:
    row = vault.objects.create(label="a", secret=PLAIN)
    column = stored(row)
    assert column is not None
    assert PLAIN not in column
    assert crypto.decrypt(column) == PLAIN
    assert row.secret == vault.objects.get().secret == PLAIN


def test_none_stays_none_and_an_empty_text_does_not_become_none(vault: Any) -> None:
    nothing, empty = vault.objects.create(label="a"), vault.objects.create(label="b", secret="")
    assert stored(nothing) is None
    assert vault.objects.get(label="a").secret is None
    assert stored(empty)
    assert vault.objects.get(label="b").secret == ""


def test_every_way_of_writing_encrypts(vault: Any) -> None:
    first, second = vault.objects.bulk_create([vault(label="a", secret="one"), vault(label="b", secret="two")])
    assert [crypto.decrypt(stored(row) or "") for row in (first, second)] == ["one", "two"]
    vault.objects.filter(pk=first.pk).update(secret="three")
    second.secret = "four"
    vault.objects.bulk_update([second], ["secret"])
    assert [crypto.decrypt(stored(row) or "") for row in (first, second)] == ["three", "four"]
    vault.objects.filter(pk=second.pk).update(secret=models.F("secret"))
    assert crypto.decrypt(stored(second) or "") == "four"
    vault.objects.update(secret=None)
    assert [stored(first), stored(second)] == [None, None]


def test_a_deferred_secret_is_read_when_it_is_asked_for(vault: Any) -> None:
    vault.objects.create(label="a", secret=PLAIN)
    row = vault.objects.defer("secret").get()
    assert "secret" not in row.__dict__
    assert model_to_dict(row, fields=["secret"]) == {}
    assert row.secret == PLAIN
    field = vault._meta.get_field("secret")
    deferred = vault.objects.defer("secret").get()
    assert field.pre_save(deferred, add=False) == PLAIN


def test_a_row_whose_key_is_gone_can_be_listed_saved_and_repaired(vault: Any) -> None:
    with override_settings(ENCRYPTION_KEYS=[OLD_KEY]):
        vault.objects.create(label="a", secret=PLAIN)
    (row,) = vault.objects.all()
    before = stored(row)
    row.label = "b"
    row.save()
    assert stored(row) == before
    with pytest.raises(crypto.DecryptionFailed):
        _ = row.secret
    row.secret = "again"
    row.save()
    assert vault.objects.get().secret == "again"


def test_values_give_ciphertext(vault: Any) -> None:
    vault.objects.create(label="a", secret=PLAIN)
    value = vault.objects.values_list("secret", flat=True).get()
    assert isinstance(value, crypto.Ciphertext)
    assert crypto.decrypt(crypto.rotate(value)) == PLAIN


def test_trap_18_an_instance_shows_its_secret_nowhere_but_in_the_attribute(vault: Any) -> None:
    row = vault.objects.create(label="a", secret=PLAIN)
    fetched = vault.objects.get()
    for shown in (row, fetched):
        texts = [repr(shown), str(shown), pprint.pformat(vars(shown)), repr(pickle.dumps(vars(shown)["secret"]))]
        assert not [text for text in texts if PLAIN in text]


@pytest.mark.parametrize("form", ["json", "jsonl", "xml", "python"])
def test_trap_18_dumps_leave_the_secret_out(vault: Any, form: str) -> None:
    vault.objects.create(label="a", secret=PLAIN)
    vault.objects.create(label="b")
    stream = io.StringIO()
    kept = dumps.serialize(form, vault.objects.order_by("pk"), stream=None if form == "python" else stream)
    text = stream.getvalue() or repr(kept)
    assert PLAIN not in text
    assert "gAAAA" not in text
    assert "secret" in text


def test_dumps_tell_a_missing_secret_from_one_left_out(vault: Any) -> None:
    vault.objects.create(label="a", secret=PLAIN)
    vault.objects.create(label="b")
    kept = dumps.serialize("python", vault.objects.order_by("pk"))
    assert [entry["fields"]["secret"] for entry in kept] == ["", None]


def test_trap_18_neither_forms_nor_serializers_copy_the_secret(vault: Any) -> None:
    row = vault.objects.create(label="a", secret=PLAIN)

    class VaultSerializer(serializers.ModelSerializer[Any]):
        class Meta:
            model = vault
            fields = "__all__"

    assert list(forms.modelform_factory(vault, fields="__all__").base_fields) == ["label"]
    assert PLAIN not in repr(model_to_dict(row))
    assert VaultSerializer(row).data == {"id": row.pk, "label": "a", "secret": ""}


def test_only_isnull_can_be_asked(vault: Any) -> None:
    vault.objects.create(label="a", secret=PLAIN)
    assert vault.objects.filter(secret__isnull=False).count() == 1
    assert vault.objects.filter(secret__isnull=True).count() == 0
    refused: list[dict[str, Any]] = [
        {"secret": PLAIN},
        {"secret__in": [PLAIN]},
        {"secret__contains": "sk"},
        {"secret__gt": "a"},
    ]
    for lookup in refused:
        with pytest.raises(FieldError, match="only secret__isnull can be asked") as caught:
            vault.objects.filter(**lookup)
        assert PLAIN not in str(caught.value)


def test_only_text_can_be_stored_and_the_error_does_not_show_what_was_tried(vault: Any) -> None:
    row = vault(label="a")
    row.secret = 5551234
    with pytest.raises(TypeError, match="secret takes text, not int") as caught:
        row.save()
    assert "5551234" not in str(caught.value)


def test_expressions_reach_the_database_as_they_are(vault: Any) -> None:
    row = vault.objects.create(label="a", secret=PLAIN)
    row.secret = Concat(models.F("label"), models.Value("x"))
    row.save()
    assert stored(row) == "ax"


def test_migrations_see_a_text_column_of_this_module() -> None:
    field = crypto.EncryptedTextField(null=True, editable=True, verbose_name="provider key")
    assert not field.editable
    assert field.db_type(connection) == "text"
    text, imports = MigrationWriter.serialize(field)
    assert text == "litemaas.foundation.crypto.EncryptedTextField(null=True, verbose_name='provider key')"
    assert imports == {"import litemaas.foundation.crypto"}
    assert not field.clone().editable


def test_the_class_attribute_is_the_descriptor(vault: Any) -> None:
    assert vault.secret.field.name == "secret"


# --- Digests ---------------------------------------------------------------------------------------------------------


def test_the_digest_is_what_litellm_calls_the_token() -> None:
    assert crypto.secret_digest("sk-1234") == hashlib.sha256(b"sk-1234").hexdigest()


@unhurried
@given(any_text)
def test_every_text_has_a_digest(text: str) -> None:
    assert re.fullmatch(r"[0-9a-f]{64}", crypto.secret_digest(text))


def test_digests_are_compared_whatever_they_are() -> None:
    digest = crypto.secret_digest("sk-1234")
    assert crypto.digests_equal(digest, digest)
    assert not crypto.digests_equal(digest, crypto.secret_digest("sk-1235"))
    assert not crypto.digests_equal(digest, "é\ud800")


# --- Secrets of API keys ---------------------------------------------------------------------------------------------


def test_new_secrets_are_different_and_well_formed() -> None:
    made = {crypto.new_api_key_secret() for _ in range(200)}
    assert len(made) == 200
    for secret in made:
        assert re.fullmatch(r"sk-lm-[0-9A-Za-z]{43}[0-9A-Za-z]{6}", secret)
        assert crypto.is_well_formed_secret(secret)


@pytest.mark.parametrize("number", [0, 1, 2**256 - 1])
def test_secrets_carry_all_256_bits(monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    monkeypatch.setattr(secrets, "randbits", {256: number}.__getitem__)
    secret = crypto.new_api_key_secret()
    value = 0
    for character in secret[6:49]:
        value = value * 62 + BASE62.index(character)
    assert value == number
    assert crypto.is_well_formed_secret(secret)


@unhurried
@given(st.integers(0, 54), st.characters())
def test_changing_any_character_of_a_secret_is_detected(position: int, character: str) -> None:
    secret = crypto.new_api_key_secret()
    changed = secret[:position] + character + secret[position + 1 :]
    assert crypto.is_well_formed_secret(changed) == (changed == secret)


@unhurried
@given(st.integers(6, 53))
def test_swapping_neighbours_in_a_secret_is_detected(position: int) -> None:
    secret = crypto.new_api_key_secret()
    swapped = secret[:position] + secret[position + 1] + secret[position] + secret[position + 2 :]
    assert crypto.is_well_formed_secret(swapped) == (swapped == secret)


@unhurried
@given(any_text)
def test_other_texts_are_no_secrets(text: str) -> None:
    assert not crypto.is_well_formed_secret(text)


def test_a_secret_with_anything_around_it_is_no_secret() -> None:
    secret = crypto.new_api_key_secret()
    for text in (f" {secret}", f"{secret}\n", secret[:-1], f"{secret}x", secret.upper()):
        assert not crypto.is_well_formed_secret(text)


def test_the_published_pattern_finds_secrets_in_source_code() -> None:
    secret = crypto.new_api_key_secret()
    assert re.findall(crypto.SECRET_PATTERN, f'KEY="{secret}"; other = "sk-lm-short"') == [secret]


def test_a_mask_shows_four_characters_at_most() -> None:
    secret = crypto.new_api_key_secret()
    assert crypto.mask_secret("abcd") == "sk-…abcd"
    assert crypto.mask_secret(secret) == f"sk-…{secret[-4:]}"


def test_the_documentation_tells_a_real_secret_from_a_made_up_one() -> None:
    """Operators copy the pattern and the check from there into their scanners."""
    text = (product.BASE_DIR / "docs/operators/security.md").read_text()
    assert f"\n    {crypto.SECRET_PATTERN}\n" in text
    code = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    names: dict[str, Any] = {}
    exec(code[0], names)  # noqa: S102 -- our own page
    secret = crypto.new_api_key_secret()
    assert names["is_real"](secret)
    other = "A" if secret[10] != "A" else "B"
    assert not names["is_real"](f"{secret[:10]}{other}{secret[11:]}")
