"""Providers are read from the environment by their names."""

import environ
import pytest

from litemaas.foundation.providers import Provider, read

VARIABLES = {
    "SIGN_IN_MY_COMPANY_ISSUER": "https://idp.test/",
    "SIGN_IN_MY_COMPANY_CLIENT_ID": "litemaas",
    "SIGN_IN_MY_COMPANY_CLIENT_SECRET": "s=cret,with#odd things",
    "SIGN_IN_MY_COMPANY_ROLES": "admins=admin",
    "SIGN_IN_MY_COMPANY_INITIAL_ADMINS": "s-1,ann@company.test",
    "SIGN_IN_MY_COMPANY_RENEW_MINUTES": "5",
    "SIGN_IN_CLUSTER_TYPE": "openshift",
}


def test_providers_are_read_in_their_order(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in VARIABLES.items():
        monkeypatch.setenv(name, value)
    company, cluster = read(environ.Env(), ["my-company", "cluster"]).values()
    assert company == Provider(
        name="my-company",
        label="My Company",
        issuer="https://idp.test",
        client_id="litemaas",
        client_secret="s=cret,with#odd things",
        roles={"admins": "admin"},
        initial_admins=("s-1", "ann@company.test"),
        renew_minutes=5,
    )
    assert (cluster.kind, cluster.label, cluster.scopes, cluster.require_email) == (
        "openshift",
        "Cluster",
        "user:info",
        False,
    )
