"""What a pack says of itself is checked before anything of it is used."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from ringfence import LoadError, Sandbox
from ringfence.languages._pack import Pack, check_digest, read_pack

if TYPE_CHECKING:
    from pathlib import Path


def edited(folder: Path, old: str, new: str) -> Path:
    """Change a pack.toml."""
    file = folder / "pack.toml"
    text = file.read_text(encoding="utf-8")
    assert old in text
    file.write_text(text.replace(old, new), encoding="utf-8")
    return folder


def test_pack_says_what_it_is(shout: Path) -> None:
    """Every key of the file is an attribute."""
    pack = read_pack(str(shout), "shout", "a test")

    assert ("shout", "SHOUT 1", "1.0.0", "1", "Apache-2.0") == (
        pack.language,
        pack.title,
        pack.version,
        pack.language_version,
        pack.licence,
    )
    assert ((".shout",), ("shout",), "shout") == (pack.suffixes, pack.shebangs, pack.argv0)
    assert (("-c",), (), ("-",)) == (pack.code, pack.module, pack.stdin)
    assert (str(shout / "shout.wat"), (shout / "shout.wat").stat().st_size, "a test") == (
        pack.file,
        pack.size,
        pack.origin,
    )


@pytest.mark.parametrize(
    ("old", "new", "why"),
    [
        ('licence = "Apache-2.0"\n', "", "the key `licence` is missing"),
        ("suffixes", "sufixes", "a key `sufixes` that nobody knows, perhaps `suffixes`"),
        ("stdin", "standard_in", "a key `options.standard_in` that nobody knows"),
        ('title = "SHOUT 1"', "title = 7", "`title` is not text of one line"),
        ('title = "SHOUT 1"', r'title = "\u001b[2J"', "`title` is not text of one line"),
        ('suffixes = [".shout"]', 'suffixes = ".shout"', "`suffixes` is not a list of texts"),
        ('[".shout"]', '[".wasm"]', "`.wasm` is not an end of names"),
        ('[".shout"]', '["shout"]', "`shout` is not an end of names"),
        ('sha256 = "', 'sha256 = "x', "`sha256` is not a digest"),
        ('"shout.wat"', '"no.wat"', "its module `no.wat` is not there"),
        ('"shout.wat"', '"../../../../etc/passwd"', "`wasm` leads out of the pack"),
        ('"shout.wat"', '"/etc/passwd"', "`wasm` leads out of the pack"),
        ('language = "shout"', 'language = "whisper"', "installed as `shout` and says of itself that it is `whisper`"),
        ("abi = 1", "abi = 0", "`abi` has to be 1"),
        ("abi = 1", "abi = true", "`abi` has to be 1"),
        ("abi = 1\n", "", "`abi` has to be 1"),
        ("abi = 1", "abi = 1\nsize = 7", "bytes, and not 7"),
        ('name = "shout"', "name = ", "Invalid value"),
        ("abi = 1", 'abi = 1\nkind = "plugin"', "`kind` is `plugin`, and it can be `module`, `component` or"),
        ("abi = 1", 'abi = 1\nkind = "compiler"', "a compiler, and nothing else, has a table `compiler`"),
        ("[options]", "[compiler]\ncompile = []\n[options]", "a compiler, and nothing else, has a table `compiler`"),
        ("[options]", "[compiler]\nassemble = []\n[options]", "a key `compiler.assemble` that nobody knows"),
        ("abi = 1", 'abi = 1\ncompiler = "cc"', "`compiler` is not a table"),
        ("abi = 1", "abi = 1\nkind = 2", "`kind` is not text of one line"),
    ],
)
def test_pack_that_cannot_be_is_refused(shout: Path, old: str, new: str, why: str) -> None:
    """What is wrong is named, and the command that mends it."""
    with pytest.raises(LoadError) as raised:
        read_pack(str(edited(shout, old, new)), "shout", "a test")

    assert why in raised.value.why
    assert "`ringfence languages install shout`" in raised.value.fix


def test_pack_of_a_newer_abi_says_so_whatever_else_it_holds(shout: Path) -> None:
    """The version is looked at before the keys: a later one may have others."""
    edited(shout, "abi = 1", 'abi = 2\nsomething-new = "x"')

    with pytest.raises(LoadError, match="it speaks the guest ABI 2, and this Ringfence speaks 1") as raised:
        read_pack(str(shout), "shout", "a test")

    assert "newer Ringfence" in raised.value.fix


def test_link_out_of_the_pack_is_refused(shout: Path) -> None:
    """A link is followed before it is judged."""
    (shout / "shout.wat").unlink()
    (shout / "shout.wat").symlink_to("/etc/passwd")

    with pytest.raises(LoadError, match="leads out of the pack"):
        read_pack(str(shout), "shout", "a test")


def test_pack_file_without_end_is_refused(shout: Path) -> None:
    """A pack.toml is a page."""
    with (shout / "pack.toml").open("a", encoding="utf-8") as file:
        file.write("# and on\n" * 10_000)

    with pytest.raises(LoadError, match="longer than 64 KiB"):
        read_pack(str(shout), "shout", "a test")


def test_other_bytes_are_told_by_their_digest(shout: Path) -> None:
    """The digest that a module has is compared with the one that the pack says."""
    pack = read_pack(str(shout), "shout", "a test")

    check_digest(pack)
    (shout / "shout.wat").write_text("(module)", encoding="utf-8")
    with pytest.raises(LoadError, match=f"its bytes have the digest .*…, and not {pack.sha256[:16]}…"):
        check_digest(pack)
    (shout / "shout.wat").unlink()
    with pytest.raises(LoadError, match="No such file"):
        check_digest(pack)


def test_packs_are_frozen(shout: Path) -> None:
    """What was checked stays as it was."""
    pack = read_pack(str(shout), "shout", "a test")

    assert isinstance(pack, Pack)
    with pytest.raises(AttributeError, match="frozen"):
        pack.file = "/elsewhere"


def test_pack_is_a_module_unless_it_says_that_it_is_a_component(shout: Path) -> None:
    """A module may hold sessions, a component is refused with a language that can."""
    module = read_pack(str(shout), "shout", "a test")
    component = read_pack(str(edited(shout, "abi = 1", 'abi = 1\nkind = "component"')), "shout", "a test")
    module.check_sessions()
    with pytest.raises(LoadError, match="cannot hold a session") as raised:
        component.check_sessions()

    assert ("module", "component") == (module.kind, component.kind)
    assert "`python`" in raised.value.fix


def test_pack_that_is_of_another_kind_than_it_says_is_refused(shout: Path) -> None:
    """When its module is read, as one whose digest is wrong."""
    edited(shout, "abi = 1", 'abi = 1\nkind = "component"')
    with pytest.raises(LoadError, match=r"it is a module, and its pack.toml says `kind = \"component\"`"):
        Sandbox(code="x", language="shout")
