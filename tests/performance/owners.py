"""People with many keys, and a key about which validation can be asked: what the sizes of the bench do not have."""

import json
from hashlib import sha256
from typing import Final

from apikeys.models import ApiKey, ApiKeySecret, KeyModel
from litellm_sync.state import SyncStatus
from litemaas.foundation import crypto
from teams.models import DEFAULT_TEAM_ID
from tests.performance import data
from tests.performance.data import Size

# User -> how many keys the person has. Both are ordinary people who may sign in.
MANY: Final = {6: 100, 7: 2_000}
BATCH: Final = 1_000


def give_keys(size: Size) -> int:
    """Fill up to the numbers of MANY; those that are there already are counted. Returns how many are new."""
    made = 0
    for i, number in MANY.items():
        missing = number - ApiKey.objects.filter(user=data.user_id(i)).count()
        keys = [
            ApiKey(user_id=data.user_id(i), team_id=DEFAULT_TEAM_ID, name=f"further key {n} of {data.username(i)}")
            for n in range(missing)
        ]
        models = [data.model_name(j) for j in data.key_models(size, i)]
        ApiKey.objects.bulk_create(keys, BATCH)
        ApiKeySecret.objects.bulk_create((_secret(key) for key in keys), BATCH)
        KeyModel.objects.bulk_create((KeyModel(key=key, model_id=m) for key in keys for m in models), BATCH)
        made += len(keys)
    return made


def _secret(key: ApiKey) -> ApiKeySecret:
    digest = sha256(str(key.pk).encode()).hexdigest()
    return ApiKeySecret(key=key, digest=digest, last4=digest[-4:], sync_status=SyncStatus.SYNCED)


def asked(size: Size, i: int) -> str:
    """A question about a good key of user ``i``: it gets a secret more, as the data's have no checksum."""
    secret = crypto.new_api_key_secret()
    key = data.key_id(size, i, 0)
    ApiKeySecret.objects.create(
        key_id=key, digest=crypto.secret_digest(secret), last4=secret[-4:], sync_status=SyncStatus.SYNCED
    )
    return json.dumps({"key": secret, "model": data.model_name(data.key_models(size, i)[0])})
