"""Which texts are requirements, and which lead past the index."""

from __future__ import annotations

import pytest

from ringfence import LoadError
from ringfence.packages._requirement import key, of_file, parse

A, B = "0a" * 32, "0b" * 32
LOCKED = f"one==1.0 ; python_version >= '3.9' \\\n  --hash=sha256:{A} \\\n --hash=sha256:{B}  # via x"


@pytest.mark.parametrize("text", ["jinja2", "pyyaml>=6,<7", "httpx[http2]==0.28.1", 'tomli; python_version < "3.11"'])
def test_names_with_versions_extras_and_markers_are_taken(text: str) -> None:
    """As `pip install` has them."""
    [requirement] = parse([text])

    assert text.startswith(requirement.name)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "-r",
        "--index-url=https://example.org",
        "./folder",
        "/folder",
        "https://example.org/package.whl",
        "package @ https://example.org/package.whl",
        "package @ file:///folder",
        "git+https://example.org/package",
        "one two",
        "x" * 501,
        "one\n--index-url=https://example.org",
    ],
)
def test_everything_else_is_refused(text: str) -> None:
    """Addresses, paths and options, however they are dressed up."""
    with pytest.raises(LoadError, match="cannot be brought in"):
        parse([text])


def test_one_text_is_no_list() -> None:
    """Its letters are no packages."""
    with pytest.raises(TypeError, match=r"write `\['jinja2'\]`"):
        parse("jinja2")


def test_list_has_an_end() -> None:
    """Nobody wrote more than that."""
    with pytest.raises(LoadError, match="501 packages"):
        parse(f"package{number}" for number in range(501))


def test_keys_are_alike_for_what_is_alike() -> None:
    """Case, separators and order make no difference; versions do."""
    one, other, third = parse(["Foo_Bar[B,a]>=1,<2", "foo-bar[A,b]<2,>=1", "foo-bar"])

    assert key(one) == key(other)
    assert key(one) != key(third)


def test_file_has_a_requirement_in_each_line() -> None:
    """Comments and empty lines are left out; options come out as lines, and are refused."""
    text = f"# ours\njinja2==3.1.6 \\\n    --hash=sha256:{A}\n\nrich # pretty\n"

    assert ["jinja2==3.1.6", "rich"] == [str(one) for one in parse(of_file(text))]
    with pytest.raises(LoadError, match="it is an option"):
        parse(of_file("-r other.txt"))


def test_digests_stay_with_what_they_were_written_for() -> None:
    """However they are written, and whatever stands before them; what stands after them is not forgotten."""
    one, two, three = parse(of_file(f"{LOCKED}\ntwo --hash sha256:{A.upper()}\nthree"))

    assert ({A, B}, {A}, set()) == (set(one.digests), set(two.digests), set(three.digests))
    assert "one==1.0; python_version >= '3.9'".replace("'", '"') == str(one)
    with pytest.raises(LoadError, match="cannot be brought in"):
        parse([f"one --hash=sha256:{A} -r other.txt"])


@pytest.mark.parametrize(
    "digest",
    [
        "=",
        "",
        "=sha256:",
        f"=sha256:{A[1:]}",
        f"=sha256:{A}0",
        f"=sha512:{A}",
        f"=md5:{A[:32]}",
        f"={A}",
        f"=sha256:{A} {B}",
        f"=sha256:{A} --hash",
        f"=sha256:{A} --hashes=sha256:{B}",
        f"=sha256:{A}" + f" --hash=sha256:{B}" * 1000,
    ],
)
def test_digest_that_cannot_be_compared_is_refused(digest: str) -> None:
    """It would pin nothing, and look as if it did."""
    with pytest.raises(LoadError, match=r"`one==1\.0` cannot be brought in: .*digest"):
        parse([f"one==1.0 --hash{digest}"])


def test_keys_differ_by_digests() -> None:
    """What was kept without any, or for another, is not taken."""
    texts = ["one", f"one --hash=sha256:{A}", f"one --hash=sha256:{B}", f"one --hash=sha256:{A} --hash=sha256:{B}"]

    assert 4 == len({key(one) for one in parse(texts)})
    assert key(parse(texts[3:])[0]) == key(parse([f"one --hash=sha256:{B} --hash=sha256:{A}"])[0])


@pytest.mark.parametrize("text", ["https://x/y.whl", "./x", "../x", "/x", "git+https://x", "~/x"])
def test_addresses_and_paths_are_called_that(text: str) -> None:
    """Not a mistake in how a name is written."""
    with pytest.raises(LoadError, match="an address or a path: only names are taken"):
        parse([text])
