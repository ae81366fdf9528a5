"""The demo's people and data: fixed, so that a second database meets the same people in LiteLLM."""

from decimal import Decimal
from uuid import UUID

from accounts.models import Role, User
from apikeys.models import ApiKey
from apikeys.services import IssuedKey, create_api_key
from subscriptions.models import Model, Subscription
from subscriptions.services import create_subscription
from teams.services import provision_user

# name -> (id, full name, role); the password is the name.
PEOPLE = {
    "admin": (UUID("d0000000-0000-4000-8000-000000000001"), "Ann Admin", Role.ADMIN),
    "ro": (UUID("d0000000-0000-4000-8000-000000000002"), "Ro Reader", Role.ADMIN_READONLY),
    "alice": (UUID("d0000000-0000-4000-8000-000000000003"), "Alice Adams", Role.USER),
    "bob": (UUID("d0000000-0000-4000-8000-000000000004"), "Bob Brown", Role.USER),
}
SUBSCRIBERS = {"alice": 3, "bob": 1}


def make_people() -> list[User]:
    """The demo's people; those who exist are left alone. Returns who was made."""
    return [
        provision_user(
            None,
            username=name,
            email=f"{name}@demo.example",
            full_name=full_name,
            roles=[role],
            password=name,
            user_id=user_id,
        )
        for name, (user_id, full_name, role) in PEOPLE.items()
        if not User.objects.filter(username=name).exists()
    ]


def make_data() -> list[IssuedKey]:
    """Subscriptions and keys for people who have none, of models that the catalogue has. Returns the new keys."""
    offered = Model.objects.filter(availability="available", mode="chat", input_cost_per_token__gt=0)
    models = list(offered.order_by("id"))
    issued = []
    for name, number in SUBSCRIBERS.items():
        user = User.objects.get(username=name)
        if Subscription.objects.filter(user=user).exists() or not models:
            continue
        chosen = [model.id for model in models[:number]]
        for model in chosen:
            create_subscription(user, model=model)
        if not ApiKey.objects.filter(user=user).exists():
            issued.append(
                create_api_key(
                    user,
                    name="Notebook",
                    models=chosen,
                    max_budget=Decimal(25),
                    budget_duration="1mo",
                    rpm_limit=60,
                )
            )
    return issued
