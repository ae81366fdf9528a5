"""The demo's people and data: fixed, so that a second database meets the same people in LiteLLM."""

from decimal import Decimal
from uuid import UUID

from accounts.models import Role, User
from apikeys.models import ApiKey
from apikeys.services import IssuedKey, create_api_key
from subscriptions.models import Model, Subscription
from subscriptions.services import create_subscription, deny_subscription, set_model_restricted
from teams.services import provision_user

# name -> (id, full name, role); the password is the name.
PEOPLE = {
    "admin": (UUID("d0000000-0000-4000-8000-000000000001"), "Ann Admin", Role.ADMIN),
    "ro": (UUID("d0000000-0000-4000-8000-000000000002"), "Ro Reader", Role.ADMIN_READONLY),
    "alice": (UUID("d0000000-0000-4000-8000-000000000003"), "Alice Adams", Role.USER),
    "bob": (UUID("d0000000-0000-4000-8000-000000000004"), "Bob Brown", Role.USER),
}
SUBSCRIBERS = {"alice": 3, "bob": 1}
WISHES = {"alice": "For the study about long documents; about 200 calls a day.", "bob": "To try it."}
NO = "It is one of the dearest models. Try a smaller one first, and say what it could not do."


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
    if models and not Subscription.objects.exists():
        models.remove(_make_requests())
    issued = []
    for name, number in SUBSCRIBERS.items():
        user = User.objects.get(username=name)
        if Subscription.objects.active().filter(user=user).exists() or not models:
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


def _make_requests() -> Model:
    """The dearest model needs approval: Alice waits for it, Bob was denied. Returns the model."""
    admin = User.objects.get(username="admin")
    offered = Model.objects.filter(availability="available", mode="chat", input_cost_per_token__gt=0)
    dearest: Model = offered.order_by("-input_cost_per_token", "id")[0]
    set_model_restricted(admin, model_id=dearest.id, restricted=True)
    wishes = {
        name: create_subscription(User.objects.get(username=name), model=dearest.id, justification=why)
        for name, why in WISHES.items()
    }
    deny_subscription(admin, subscription_id=wishes["bob"].pk, reason=NO)
    return dearest
