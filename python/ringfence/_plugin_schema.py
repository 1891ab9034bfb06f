"""Values of plugins as pydantic reads and writes them: what has cases as `ringfence call --json` does, by its case."""

from __future__ import annotations

from array import array
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable


class Row:
    """
    Beside the annotation of a row of numbers, says that it is read and written as a list of them.

    Args:
        code: what an `array` calls such numbers.
    """

    __slots__ = ("code",)

    def __init__(self, code: str) -> None:
        self.code = code

    def __get_pydantic_core_schema__(self, source: Any, handler: Any) -> Any:  # noqa: ANN401 - pydantic's
        from pydantic_core import core_schema

        if self.code in "fd":
            number: Any = core_schema.float_schema()
        else:
            bits = array(self.code).itemsize * 8
            least = -(1 << (bits - 1)) if self.code.islower() else 0
            number = core_schema.int_schema(ge=least, le=least + (1 << bits) - 1)
        numbers = core_schema.list_schema(number)
        return _wrapped(
            lambda value: isinstance(value, array) and value.typecode == self.code,
            lambda value: array(self.code, value),
            list,
            numbers,
        )

    def __repr__(self) -> str:
        return f"Row({self.code!r})"


def of_wrapper(cls: type, source: Any, handler: Any) -> Any:  # noqa: ANN401 - pydantic's
    """Give the schema of `Ok`, `Err` or `Some` of something: an object of the case."""
    return _case(cls, cls.__name__.lower(), handler.generate_schema(*getattr(source, "__args__", (Any,))))


def of_variant(cls: type, handler: Any) -> Any:  # noqa: ANN401 - pydantic's
    """Give the schema of a variant, or of one of its cases: its name, or an object of the case."""
    from pydantic_core import core_schema

    kind, *case = cls.__ringfence__  # type: ignore[attr-defined]
    named = {made: (name, carries) for (made, _), (name, carries) in zip(kind.given[1], kind.told[1], strict=True)}

    def schema(made: type, name: str, carries: Any) -> Any:  # noqa: ANN401 - a type
        if carries is not None:
            return _case(made, name, handler.generate_schema(carries.hint))
        only = core_schema.literal_schema([name])
        return _wrapped(lambda value: isinstance(value, made), lambda _: made(), lambda _: name, only)

    if case:
        return schema(cls, *named[cls])

    def case_of(value: Any) -> str | None:  # noqa: ANN401 - what is read or written
        if type(value) in named:
            return str(named[type(value)][0])
        (name,) = value if isinstance(value, dict) and len(value) == 1 else (value,)
        return name if isinstance(name, str) else None

    cases = {name: schema(made, name, carries) for made, (name, carries) in named.items()}
    return core_schema.tagged_union_schema(cases, case_of)


def of_flags(cls: Any) -> Any:  # noqa: ANN401 - pydantic's
    """Give the schema of flags: a list of the names of those that are set."""
    from pydantic_core import core_schema

    names = cls.__ringfence__[0].told[1]
    listed = core_schema.list_schema(core_schema.literal_schema(list(names)))
    return _wrapped(
        lambda value: isinstance(value, cls),
        lambda given: cls(sum({1 << names.index(name) for name in given})),
        lambda value: [name for at, name in enumerate(names) if value.value >> at & 1],
        listed,
    )


def _case(cls: Any, name: str, carries: Any) -> Any:  # noqa: ANN401 - pydantic's
    from pydantic_core import core_schema

    inner = core_schema.typed_dict_schema({name: core_schema.typed_dict_field(carries)}, extra_behavior="forbid")
    return _wrapped(
        lambda value: isinstance(value, cls), lambda given: cls(given[name]), lambda value: {name: value.value}, inner
    )


def _wrapped(
    is_one: Callable[[Any], bool],
    made: Callable[[Any], Any],
    taken: Callable[[Any], Any],
    inner: Any,  # noqa: ANN401 - pydantic's
) -> Any:  # noqa: ANN401 - pydantic's
    """Give the schema of what is taken as it is, or made of something with a schema, and is written as that."""
    from pydantic_core import PydanticSerializationUnexpectedValue, core_schema

    def read(value: Any, handler: Any) -> Any:  # noqa: ANN401 - what is read
        return value if is_one(value) else made(handler(value))

    def written(value: Any) -> Any:  # noqa: ANN401 - what is written
        if not is_one(value):
            raise PydanticSerializationUnexpectedValue("it is of another type")
        return taken(value)

    writing = core_schema.plain_serializer_function_ser_schema(written, return_schema=inner)
    return core_schema.no_info_wrap_validator_function(read, inner, serialization=writing)
