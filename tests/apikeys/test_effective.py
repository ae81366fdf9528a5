"""What a key may really use: the rule in SQL, which decides, and the one in Python, which explains, are the same."""

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from accounts.models import User
from apikeys.models import ApiKey, KeyModel
from subscriptions.models import Availability, Model, Subscription, SubscriptionStatus
from teams.models import DEFAULT_TEAM_ID, Membership, Team
from tests.cast import MODELS

subsets = st.lists(st.sampled_from((*MODELS, "not-in-the-catalogue")), unique=True)
per_model = st.fixed_dictionaries({name: st.sampled_from(Availability) for name in MODELS})
standings = st.fixed_dictionaries({name: st.none() | st.sampled_from(SubscriptionStatus) for name in MODELS})

# Whose owner has left the team.
members = st.sets(st.sampled_from((0, 1)))


@pytest.fixture
def keys(ada: User, eve: User, models: list[Model]) -> list[ApiKey]:
    """Two people with a key each in a team of its own; both keys wish for every model."""
    made = []
    for person in (ada, eve):
        team = Team.objects.create(name=f"Team of {person}")
        Membership.objects.create(user=person, team=team)
        key = ApiKey.objects.create(user=person, team=team, name="k")
        KeyModel.objects.bulk_create(KeyModel(key=key, model=model) for model in models)
        made.append(key)
    return made


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(allowed=st.tuples(subsets, subsets), available=per_model, standing=st.tuples(standings, standings), gone=members)
def test_a_key_may_use_exactly_what_nothing_hinders(
    keys: list[ApiKey], allowed: tuple[Any, ...], available: dict[str, str], standing: tuple[Any, ...], gone: set[int]
) -> None:
    for name, availability in available.items():
        Model.objects.filter(pk=name).update(availability=availability)
    Subscription.objects.all().delete()
    Membership.objects.exclude(team=DEFAULT_TEAM_ID).delete()
    staying = [key for number, key in enumerate(keys) if number not in gone]
    Membership.objects.bulk_create(Membership(user_id=key.user_id, team_id=key.team_id) for key in staying)
    for key, team_models, statuses in zip(keys, allowed, standing, strict=True):
        Team.objects.filter(pk=key.team_id).update(allowed_models=team_models)
        Subscription.objects.bulk_create(
            Subscription(user_id=key.user_id, model_id=name, status=status)
            for name, status in statuses.items()
            if status is not None
        )
    links = KeyModel.objects.with_subscription()
    unhindered = {(link.key_id, link.model_id) for link in links if not link.hindrance}
    assert unhindered == set(KeyModel.objects.effective().values_list("key_id", "model_id"))
    expected = {
        (key.pk, name)
        for key, team_models, statuses in zip(keys, allowed, standing, strict=True)
        for name in MODELS
        if key in staying
        if available[name] == "available" and statuses[name] == "active" and name in (team_models or MODELS)
    }
    assert unhindered == expected


def test_every_hindrance_has_a_name(keys: list[ApiKey]) -> None:
    ada = keys[0]
    first, second, third = MODELS
    Team.objects.filter(pk=ada.team_id).update(allowed_models=[first, third])
    Model.objects.filter(pk=third).update(availability="unavailable")
    found = {link.model_id: link.hindrance for link in KeyModel.objects.with_subscription().filter(key=ada)}
    assert found == {first: "not_subscribed", second: "not_for_team", third: "unavailable"}
    Subscription.objects.create(user=ada.user, model_id=first, status="suspended")
    assert KeyModel.objects.with_subscription().get(key=ada, model=first).hindrance == "suspended"
    Membership.objects.filter(team=ada.team_id).delete()
    assert KeyModel.objects.with_subscription().get(key=ada, model=first).hindrance == "not_in_team"
