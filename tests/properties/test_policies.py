"""Any policy, written down, is itself when it is read again; and an amount means one number."""

from __future__ import annotations

import pickle
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ringfence import Dir, Limits, Policy, PolicyError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

TEXT = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=12)
VARIABLE = st.text(st.characters(exclude_characters="\0=", exclude_categories=["Cs"]), min_size=1, max_size=12)
SECONDS = st.integers(min_value=1, max_value=10**9).map(lambda milliseconds: milliseconds / 1000)
LIMITS: st.SearchStrategy[dict[str, Any]] = st.fixed_dictionaries(
    {},
    optional={
        "wall": SECONDS,
        "cpu": SECONDS,
        "fuel": st.integers(min_value=1, max_value=2**62),
        "memory": st.integers(min_value=65536, max_value=2**46),
        "output": st.integers(min_value=0, max_value=2**46),
        "open_files": st.integers(min_value=1, max_value=2**20),
        "compile": SECONDS,
    },
)
POLICY = st.fixed_dictionaries(
    {},
    optional={
        "tmp": st.booleans(),
        "env": st.dictionaries(VARIABLE, TEXT, max_size=3),
        "clock": st.sampled_from(["coarse", "precise"]),
        "random": st.one_of(st.just("real"), st.integers(min_value=0, max_value=2**63 - 1)),
        "wasi": st.sampled_from(["0.2", "0.3"]),
        "on_denied": st.sampled_from(["continue", "stop"]),
        "limits": LIMITS.map(lambda limits: Limits(**limits)),
    },
)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(fields=POLICY, grants=st.lists(st.sampled_from(["ro", "rw"]), max_size=3))
def test_policy_that_is_written_down_is_itself(fields: Mapping[str, Any], grants: list[Any], tmp_path: Path) -> None:
    """Through a file and through pickle, whatever its variables and limits are."""
    dirs = []
    for number, mode in enumerate(grants):
        (tmp_path / str(number)).mkdir(exist_ok=True)
        dirs.append(Dir(tmp_path / str(number), at=f"/{number}", mode=mode))
    policy = Policy(dirs=dirs, **fields)
    file = tmp_path / "policy.toml"
    file.write_text(policy.to_toml(), encoding="utf-8")

    assert policy == Policy.from_file(file) == pickle.loads(pickle.dumps(policy))


@given(text=st.text(max_size=200))
@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_text_that_is_no_policy_is_refused_in_words_that_can_be_printed(text: str, tmp_path: Path) -> None:
    """Anything in a policy file: a policy, or an error in three parts without a control character."""
    file = tmp_path / "policy.toml"
    file.write_bytes(text.encode("utf-8", "surrogatepass"))
    try:
        Policy.from_file(file)
    except PolicyError as refused:
        assert str(refused).replace("\n", "").isprintable()  # noqa: PT017
        assert refused.why  # noqa: PT017
        assert refused.fix  # noqa: PT017


UNITS = {"B": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30}
TIMES = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}


@given(amount=st.integers(min_value=1, max_value=10**5), unit=st.sampled_from(sorted(UNITS)))
def test_amount_with_a_unit_is_its_number(amount: int, unit: str) -> None:
    """`3MiB` is 3 times 1,048,576, for every number and unit."""
    assert amount * UNITS[unit] == Limits(output=f"{amount}{unit}").output


@given(amount=st.integers(min_value=1, max_value=10**5), unit=st.sampled_from(sorted(TIMES)))
def test_time_with_a_unit_is_its_number(amount: int, unit: str) -> None:
    """The same for times."""
    assert pytest.approx(amount * TIMES[unit]) == Limits(wall=f"{amount}{unit}").wall
