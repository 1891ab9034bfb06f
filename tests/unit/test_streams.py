"""Standard streams."""

from __future__ import annotations

import io
import os
import threading
from typing import TYPE_CHECKING, Any

import pytest

from ringfence import Sandbox
from ringfence._streams import Streams

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager
    from pathlib import Path

MUCH = b"0123456789abcdef" * 64 * 1024


@pytest.fixture(scope="module")
def cat(guests: Path) -> Sandbox:
    """A guest that copies its input to its output."""
    return Sandbox(guests / "cat.wat")


@pytest.fixture(autouse=True)
def nothing_leaks(cat: Sandbox, nothing_stays: Callable[[], AbstractContextManager[None]]) -> Iterator[None]:
    """No test here may leave a descriptor or a thread behind."""
    cat.run()
    with nothing_stays():
        yield


def test_input_is_read_to_its_end(cat: Sandbox) -> None:
    """More than a pipe holds goes in and comes out."""
    assert cat.run(input=MUCH).stdout == MUCH


def test_file_is_read_and_written_by_its_descriptor(cat: Sandbox, tmp_path: Path) -> None:
    """Files are handed over, not copied through Python; what was written to them before comes first."""
    (tmp_path / "in").write_bytes(MUCH)
    with (tmp_path / "in").open("rb") as source, (tmp_path / "out").open("wb") as sink:
        sink.write(b"first ")
        result = cat.run(stdin=source, stdout=sink)

    assert (b"first " + MUCH, b"") == ((tmp_path / "out").read_bytes(), result.stdout)


def test_descriptor_is_a_stream(cat: Sandbox, tmp_path: Path) -> None:
    """A plain number is a descriptor, and stays open: it is the caller's."""
    (tmp_path / "in").write_bytes(b"text")
    descriptor = os.open(tmp_path / "in", os.O_RDONLY)
    try:
        assert b"text" == cat.run(stdin=descriptor).stdout
        os.fstat(descriptor)
    finally:
        os.close(descriptor)


def test_file_in_memory_is_fed_and_drained(cat: Sandbox) -> None:
    """A file object without a descriptor works too, with more than any pipe holds."""
    sink = io.BytesIO()
    result = cat.run(stdin=io.BytesIO(MUCH), stdout=sink)

    assert result.ok
    assert sink.getvalue() == MUCH


def test_function_gets_every_piece_on_one_other_thread(cat: Sandbox) -> None:
    """Output arrives while the guest runs, whole and in order."""
    pieces: list[tuple[bytes, int]] = []
    cat.run(input=MUCH, stdout=lambda piece: pieces.append((piece, threading.get_ident())))

    assert b"".join(piece for piece, _ in pieces) == MUCH
    [thread] = {thread for _, thread in pieces}
    assert threading.get_ident() != thread


def test_function_that_raises_ends_the_guest(guests: Path) -> None:
    """The exception comes out of the call, and the guest that would write for ever is gone."""

    def refuse(_: bytes) -> None:
        raise LookupError("seen enough")

    with pytest.raises(LookupError, match="seen enough"):
        Sandbox(guests / "flood_stdout.wat").run(stdout=refuse)


def test_source_that_raises_ends_the_guest(cat: Sandbox) -> None:
    """A file that cannot be read is the caller's error, not the guest's."""

    class Broken(io.RawIOBase):
        def read(self, _size: int = -1) -> bytes:
            raise LookupError("cannot read")

    with pytest.raises(LookupError, match="cannot read"):
        cat.run(stdin=Broken())


def test_guest_that_does_not_read_is_not_waited_for(guests: Path) -> None:
    """Input that nobody wants holds nobody."""
    assert Sandbox(guests / "hello.wat").run(stdin=io.BytesIO(MUCH)).ok


def test_discarded_output_goes_nowhere(guests: Path) -> None:
    """What goes to "discard" is neither captured nor shown, and still counted."""
    result = Sandbox(guests / "hello.wat").run(stdout="discard")

    assert (b"", 13) == (result.stdout, result.usage.output_bytes)


def test_inherited_output_is_ours(guests: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """A guest that inherits writes where our own process writes."""
    Sandbox(guests / "hello.wat").run(stdout="inherit")

    assert "hello, world\n" == capfd.readouterr().out


def test_both_outputs_may_share_a_sink(guests: Path) -> None:
    """One file in memory takes both streams."""
    both = io.BytesIO()
    Sandbox(guests / "complain.wat").run(stdout=both, stderr=both)

    assert b"\x1b[31mbad luck\n" == both.getvalue()


@pytest.mark.parametrize(
    ("streams", "said"),
    [
        ({"input": b"x", "stdin": "inherit"}, "one source"),
        ({"stdin": 1.5}, 'give "inherit"'),
        ({"stdout": None}, 'give "capture"'),
        ({"stdout": "captured"}, 'give "capture"'),
        ({"stderr": io.StringIO()}, "a guest writes bytes"),
        ({"stdout": "pipe"}, "call `start`"),
    ],
)
def test_wrong_stream_is_refused_with_the_right_words(cat: Sandbox, streams: dict[str, Any], said: str) -> None:
    """A stream that cannot be one is an error that names what can."""
    with pytest.raises(ValueError, match=said):
        cat.run(**streams)


def test_streams_that_fail_halfway_leave_nothing_open() -> None:
    """The pipe made for the first stream is closed when the second one is refused."""
    with pytest.raises(ValueError, match="stderr"):
        Streams(io.BytesIO(), io.BytesIO(), 1.5)  # type: ignore[arg-type]


@pytest.mark.parametrize("given", [b"x" * 1_000_000, "x" * 1_000_000, "a\x1b[2J", bytearray(1000)])
def test_what_cannot_be_a_stream_is_named_but_not_printed_whole(given: Any) -> None:
    """Input that was meant for `input=` does not flood a log, nor forge a line of it."""
    with pytest.raises(ValueError, match="stdin cannot be") as raised:
        Streams(given, "capture", "capture")

    assert len(str(raised.value)) < 400
    assert "\x1b" not in str(raised.value)
