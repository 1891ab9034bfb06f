"""Net, Secret."""

from __future__ import annotations

import pickle

import pytest

from ringfence import Net, Policy, PolicyError, Secret


def test_what_is_granted_is_what_the_policy_tells() -> None:
    """A policy gives back its network grants and secrets as they were written."""
    net = Net(tcp=["db.example.com:5432"], udp=["1.1.1.1:53"], http=["GET https://api.example.com/v1/*"])
    secret = Secret("API_KEY", env="PRODUCTION_KEY", origin="https://api.example.com", header="x-api-key")

    policy = Policy(net=net, secrets=[secret])

    assert (net, (secret,)) == (policy.net, policy.secrets)
    assert policy == pickle.loads(pickle.dumps(policy))


def test_a_secret_holds_the_name_of_its_value_and_not_the_value(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither the policy, its file nor its representation has the value."""
    monkeypatch.setenv("PRODUCTION_KEY", "s3cr3t-v4lue")
    secret = Secret("API_KEY", env="PRODUCTION_KEY", origin="https://api.example.com")

    policy = Policy(net=Net(http=["https://api.example.com"]), secrets=[secret])

    for text in (repr(policy), policy.to_toml(), repr(secret), pickle.dumps(policy).decode("latin-1")):
        assert "PRODUCTION_KEY" in text
        assert "s3cr3t" not in text


@pytest.mark.parametrize(
    ("net", "hint"),
    [
        ({"tcp": ["db.example.com"]}, "db.example.com:5432"),
        ({"udp": ["2130706433:53"]}, "127.0.0.1"),
        ({"http": ["api.example.com"]}, "https://api.example.com"),
    ],
)
def test_a_wrong_grant_names_the_right_one(net: dict[str, list[str]], hint: str) -> None:
    """What is wrong is refused when the policy is made, with what was meant."""
    with pytest.raises(PolicyError) as raised:
        Policy(net=Net(**net))

    assert hint in raised.value.fix


def test_one_text_is_not_a_list_of_grants() -> None:
    """A text in place of a list would be a grant for each letter."""
    with pytest.raises(PolicyError, match="not a list"):
        Net(tcp="db.example.com:5432")
