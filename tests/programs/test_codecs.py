"""A codec as published, a component with a resource: Python's own zlib is the oracle."""

from __future__ import annotations

import json
import zlib
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ringfence import Limits, Plugin, Policy

if TYPE_CHECKING:
    from collections.abc import Iterator

    from programs.conftest import Fetched


# What ends the header that the codec has of its own, before what zlib makes: the type of the numbers, and the shape.
VERSION = b"\x050.1.0"


class Logging:
    """What the codec imports of its host."""

    @staticmethod
    def log(level: object, context: str, message: str) -> None:
        """Hear nothing."""


@pytest.fixture(scope="module")
def codecs(component: Fetched) -> Iterator[Any]:
    """Load it once."""
    policy = Policy(limits=Limits(compile=160, memory="512MiB"))
    with Plugin(component("zlib"), policy=policy, imports={"wasi:logging/logging": Logging}) as plugin:
        yield plugin.exports.codec


def array_of(codecs: Any, data: bytes) -> Any:
    """Make what a codec takes of bytes."""
    return codecs.AnyArray(codecs.AnyArrayData.U8(data), [len(data)])


@settings(max_examples=40, database=None, derandomize=True, deadline=None)
@given(data=st.binary(min_size=1, max_size=5000), level=st.integers(0, 9))
def test_what_a_codec_encodes_python_decodes_and_the_other_way_round(codecs: Any, data: bytes, level: int) -> None:
    """Of any bytes and at every level."""
    with codecs.Codec.from_config(json.dumps({"level": level})) as codec:
        encoded = codec.encode(array_of(codecs, data)).data.value
        start = encoded.index(VERSION) + len(VERSION)
        by_python = encoded[:start] + zlib.compress(data, level)
        decoded = codec.decode(array_of(codecs, by_python))

    assert data == zlib.decompress(encoded[start:])
    assert array_of(codecs, data).data == decoded.data


def test_error_of_a_codec_is_its_own(codecs: Any) -> None:
    """What is no zlib is refused in its words, and the plugin goes on."""
    codec = codecs.Codec.from_config('{"level": 6}')
    with pytest.raises(codecs.Codec.from_config.Error, match="unknown field `lvl`"):
        codecs.Codec.from_config('{"level": 1, "lvl": 1}')
    with pytest.raises(codec.decode.Error):
        codec.decode(array_of(codecs, b"no zlib"))

    assert 6 == json.loads(codec.get_config())["level"]
