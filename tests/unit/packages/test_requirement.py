"""Which texts are requirements, and which lead past the index."""

from __future__ import annotations

import pytest

from ringfence import LoadError
from ringfence.packages._requirement import key, of_file, parse


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
    """Comments, empty lines and digests are left out; options come out as lines, and are refused."""
    text = "# ours\njinja2==3.1.6 \\\n    --hash=sha256:00\n\nrich # pretty\n"

    assert ["jinja2==3.1.6", "rich"] == of_file(text)
    with pytest.raises(LoadError, match="it is an option"):
        parse(of_file("-r other.txt"))


def test_only_digests_are_left_out_of_a_line_of_a_file() -> None:
    """What stands after them is not forgotten."""
    assert ["one==1.0", "two"] == of_file("one==1.0 \\\n  --hash=sha256:aa \\\n --hash=sha256:bb  # via x\ntwo")
    with pytest.raises(LoadError, match="cannot be brought in"):
        parse(of_file("one --hash=sha256:aa -r other.txt"))


@pytest.mark.parametrize("text", ["https://x/y.whl", "./x", "../x", "/x", "git+https://x", "~/x"])
def test_addresses_and_paths_are_called_that(text: str) -> None:
    """Not a mistake in how a name is written."""
    with pytest.raises(LoadError, match="an address or a path: only names are taken"):
        parse([text])
