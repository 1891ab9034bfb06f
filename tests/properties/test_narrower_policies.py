"""To be as narrow as another policy is an order, and what it says of directories is what a guest can reach."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ringfence import Dir, Limits, Net, Policy, Secret

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

ENDPOINTS = ["a.example.com:443", "*.example.com:443", "*.b.example.com:1-500", "10.1.0.0/16:80", "10.0.0.0/8:*"]
REQUESTS = [
    "GET https://a.example.com/v1/x",
    "https://a.example.com/v1/*",
    "* https://a.example.com",
    "* https://*.example.com",
    "GET,POST https://*.example.com/v1/*",
]
SECRETS = [
    Secret("KEY", env="PROD", origin="https://a.example.com"),
    Secret("KEY", env="TEST", origin="https://a.example.com"),
]
LIMITS: st.SearchStrategy[Limits] = st.builds(
    Limits,
    wall=st.sampled_from([1, 2]),
    cpu=st.sampled_from([None, 1, 2]),
    fuel=st.sampled_from([None, 5, 6]),
    memory=st.sampled_from(["1MiB", "2MiB"]),
    disk=st.sampled_from([0, 1]),
    files=st.sampled_from([0, 1]),
    net_bytes=st.sampled_from([0, 1]),
)


def some(values: list[str]) -> st.SearchStrategy[list[str]]:
    """Draw a few of them."""
    return st.lists(st.sampled_from(values), max_size=3, unique=True)


FIELDS: st.SearchStrategy[dict[str, Any]] = st.fixed_dictionaries(
    {
        "tmp": st.booleans(),
        "env": st.dictionaries(st.sampled_from("AB"), st.sampled_from("xy"), max_size=2),
        "inherit_env": some(["HOME", "LANG"]),
        "net": st.builds(Net, tcp=some(ENDPOINTS), udp=some(ENDPOINTS), http=st.just(["* https://*.example.com"])),
        "secrets": st.lists(st.sampled_from(SECRETS), max_size=1),
        "clock": st.sampled_from(["coarse", "precise"]),
        "random": st.sampled_from(["real", 1, 2]),
        "wasi": st.sampled_from(["0.2", "0.3"]),
        "on_denied": st.sampled_from(["continue", "stop"]),
        "limits": LIMITS,
    }
)  # fmt: skip
REQUESTED = some(REQUESTS).map(lambda http: Net(http=http))
POLICY = st.one_of(FIELDS.map(lambda fields: Policy(**fields)), REQUESTED.map(lambda net: Policy(net=net)))

# Directories of a host, and what a guest sees them as.
PLACES = ["", "a", "a/b", "a/b/c", "d"]
GRANT = st.tuples(st.sampled_from(PLACES), st.sampled_from(PLACES), st.sampled_from(["ro", "overlay", "rw"]))
GRANTS = st.lists(GRANT, max_size=4, unique_by=lambda grant: grant[1])
RANKS = {"ro": 1, "overlay": 2, "rw": 3}


def within(narrow: Policy, wide: Policy) -> bool:
    """Tell whether the first grants nothing that the other does not."""
    return not narrow.wider_than(wide)


@given(one=POLICY, other=POLICY, third=POLICY)
@settings(max_examples=300)
def test_to_be_as_narrow_is_an_order(one: Policy, other: Policy, third: Policy) -> None:
    """Each is within itself, and within what is wider than something that it is within."""
    assert () == one.wider_than(one)
    if within(one, other) and within(other, third):
        assert () == one.wider_than(third)


@given(one=POLICY, other=POLICY)
@settings(max_examples=300)
def test_policies_that_are_within_each_other_are_the_same(one: Policy, other: Policy) -> None:
    """But for the seed, which is no grant, and for grants that others of the same policy have already."""
    if within(one, other) and within(other, one):
        for name in ("tmp", "env", "clock", "wasi", "on_denied", "limits", "secrets"):
            assert getattr(one, name) == getattr(other, name)
        assert set(one.inherit_env) == set(other.inherit_env)


@given(fields=FIELDS, data=st.data())
@settings(max_examples=200)
def test_policy_without_a_grant_is_narrower(fields: Mapping[str, Any], data: st.DataObject) -> None:
    """Whatever is taken out of it."""
    policy = Policy(**fields)
    name = data.draw(st.sampled_from(["tmp", "env", "inherit_env", "secrets", "clock", "wasi", "tcp", "udp"]))
    if name in ("tcp", "udp"):
        grants = list(getattr(policy.net, name))
        if grants:
            grants.pop(data.draw(st.integers(min_value=0, max_value=len(grants) - 1)))
        net = {each: getattr(policy.net, each) for each in ("tcp", "udp", "http")}
        less = policy.replace(net=Net(**{**net, name: grants}))
    else:
        less = policy.replace(**{name: getattr(Policy(), name)})
    assert () == less.wider_than(policy)


def granting(grants: Sequence[tuple[str, str, Any]], host: Path) -> Policy | None:
    """Make a policy of grants, if they are not two of one place."""
    try:
        return Policy(dirs=[Dir(host / place, at="/" + at, mode=mode) for place, at, mode in grants])
    except ValueError:
        return None


def reached(grants: Sequence[tuple[str, str, Any]]) -> dict[str, int]:
    """Tell which places of the host a guest reaches, by its own tree, and what it may do there at most."""
    found: dict[str, int] = {}
    for place, at, mode in grants:
        others = [other for _, other, _ in grants if other != at and (not at or other.startswith(at + "/"))]
        for target in PLACES:
            if place and target != place and not target.startswith(place + "/"):
                continue
            below = target[len(place) :].strip("/")
            seen = "/".join(filter(None, [at, below]))
            if not any(seen == other or seen.startswith(other + "/") for other in others):
                found[target] = max(found.get(target, 0), RANKS[mode])
    return found


@given(narrow=GRANTS, wide=GRANTS)
@settings(max_examples=400, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_directories_within_others_lead_nowhere_else(
    narrow: list[tuple[str, str, str]], wide: list[tuple[str, str, str]], tmp_path: Path
) -> None:
    """Nested in any way, and hidden behind one another: what the narrower one reaches, the wider one does."""
    for place in PLACES:
        (tmp_path / place).mkdir(parents=True, exist_ok=True)
    less, more = granting(narrow, tmp_path), granting(wide, tmp_path)
    if less is None or more is None:
        return
    assert () == less.wider_than(less)
    if within(less, more):
        theirs = reached(wide)
        for place, rank in reached(narrow).items():
            assert rank <= theirs.get(place, 0), (place, less.dirs, more.dirs)
