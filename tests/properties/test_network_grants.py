"""Any grant of the network: read as it was meant, or refused."""

from __future__ import annotations

import string
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringfence import Net, Policy, PolicyError

if TYPE_CHECKING:
    from ipaddress import IPv4Address

LETTERS = string.ascii_lowercase + string.digits
LABEL = st.text(LETTERS, min_size=1, max_size=10).map(lambda label: f"a{label}")
NAME = st.lists(LABEL, min_size=2, max_size=4).map(".".join)
HOST = st.one_of(NAME, NAME.map(lambda name: f"*.{name}"), st.ip_addresses(v=4).map(str))
PORT = st.integers(1, 65535)
METHODS = st.lists(st.sampled_from(["GET", "HEAD", "POST", "PUT", "DELETE"]), min_size=1, max_size=3, unique=True)
PATH = st.lists(st.text(f"{LETTERS}-_~", min_size=1, max_size=8), max_size=4).map(lambda parts: "/" + "/".join(parts))

# What makes two readers of one URL see two things in it.
TWO_WAYS = ["?q", "#f", "\\", "/../", "%2e%2e/", "%2F", "%00", "\x01", "*x", "//", ";", " "]


@given(METHODS, st.sampled_from(["http", "https"]), HOST, PORT, PATH, st.booleans())
def test_plain_grant_of_requests_reads_back_as_it_was_written(
    methods: list[str], scheme: str, host: str, port: int, path: str, below: bool
) -> None:
    """Methods, scheme, host, port and path in their usual form are a grant."""
    below_it = path.rstrip("/") + "/*" if below else path
    grant = f"{','.join(methods)} {scheme}://{host}:{port}{below_it}"

    assert (grant,) == Policy(net=Net(http=[grant])).net.http


@given(NAME, PATH, st.sampled_from(TWO_WAYS), PATH)
def test_grant_that_reads_two_ways_is_refused(name: str, before: str, odd: str, after: str) -> None:
    """A query, a climb, an encoded slash, a star in the middle: wherever it stands in the path."""
    with pytest.raises(PolicyError):
        Policy(net=Net(http=[f"GET https://{name}{before}{odd}{after}"]))


@given(HOST, PORT, PORT)
def test_ports_are_a_range_from_low_to_high(host: str, one: int, other: int) -> None:
    """A range that is empty is refused, and every other one is a grant."""
    grant = f"{host}:{one}-{other}"
    if one <= other:
        assert (grant,) == Policy(net=Net(tcp=[grant])).net.tcp
        return
    with pytest.raises(PolicyError):
        Policy(net=Net(tcp=[grant]))


@given(st.ip_addresses(v=4), st.integers(0, 32), PORT)
def test_range_of_addresses_is_one_and_nothing_inside_it(address: IPv4Address, length: int, port: int) -> None:
    """Bits beyond the prefix are refused: it is not clear which was meant."""
    grant = f"{address}/{length}:{port}"
    if int(address) & ((1 << (32 - length)) - 1):
        with pytest.raises(PolicyError):
            Policy(net=Net(udp=[grant]))
        return
    assert (grant,) == Policy(net=Net(udp=[grant])).net.udp


@given(st.ip_addresses(v=4), st.sampled_from(["{0}", "0x{0:x}", "0{0:o}"]), PORT)
def test_address_written_as_a_number_is_refused(address: IPv4Address, form: str, port: int) -> None:
    """Decimal, hexadecimal and octal: as a host of a socket and of a URL."""
    host = form.format(int(address))
    for net in ({"tcp": [f"{host}:{port}"]}, {"http": [f"https://{host}:{port}"]}):
        with pytest.raises(PolicyError):
            Policy(net=Net(**net))
