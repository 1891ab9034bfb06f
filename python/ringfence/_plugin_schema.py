"""Values of plugins as pydantic reads and writes them: what has cases as `ringfence call --json` does, by its case."""

from __future__ import annotations

import math
import struct
from array import array
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable


_BITS = {f"{sign}{bits}": bits for sign in "su" for bits in (8, 16, 32, 64)}


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
        return _row(self.code)

    def __repr__(self) -> str:
        return f"Row({self.code!r})"


def of_wrapper(cls: type, source: Any, handler: Any) -> Any:  # noqa: ANN401 - pydantic's
    """Give the schema of `Ok`, `Err` or `Some` of something: an object of the case."""
    (carried,) = getattr(source, "__args__", (Any,))
    return _case(cls, cls.__name__.lower(), _row("B") if carried is bytes else handler.generate_schema(carried))


def of_record(cls: type, handler: Any) -> Any:  # noqa: ANN401 - pydantic's
    """Give the schema of a record: an object of its fields, each of which fits its type."""
    from pydantic_core import core_schema

    (kind,) = cls.__ringfence__  # type: ignore[attr-defined]
    names = kind.given[1]
    fields = [
        core_schema.dataclass_field(own, _of_kind(part, handler))
        for own, (_, part) in zip(names, kind.told[1], strict=True)
    ]
    args = core_schema.dataclass_args_schema(cls.__name__, fields)
    # By this name pydantic finds it where it is mentioned again.
    ref = f"{cls.__module__}.{cls.__qualname__}:{id(cls)}"
    return core_schema.dataclass_schema(cls, args, names, slots=True, ref=ref)


def of_variant(cls: type, handler: Any) -> Any:  # noqa: ANN401 - pydantic's
    """Give the schema of a variant, or of one of its cases: its name, or an object of the case."""
    from pydantic_core import core_schema

    kind, *case = cls.__ringfence__  # type: ignore[attr-defined]
    named = {made: (name, carries) for (made, _), (name, carries) in zip(kind.given[1], kind.told[1], strict=True)}

    def schema(made: type, name: str, carries: Any) -> Any:  # noqa: ANN401 - a type
        if carries is not None:
            return _case(made, name, _of_kind(carries, handler))
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


def _of_kind(kind: Any, handler: Any) -> Any:  # noqa: ANN401, C901, PLR0911 - a line for each kind
    """Give the schema of a type inside of another, with what its annotation does not say: the range of a number."""
    from pydantic_core import core_schema

    match kind.told:
        case ("char",):
            return core_schema.str_schema(min_length=1, max_length=1)
        case (name,) if name in _BITS:
            return _whole(_BITS[name], is_signed=name[0] == "s")
        case ("f32" | "f64" as name,):
            return _float(name)
        case ("list" | "fixed", item, *length):
            most = length[0] if length else None
            if item.told[0] == "u8":
                return _row("B", most)
            if getattr(kind.hint, "__origin__", None) is not list:
                return _row(kind.hint.__metadata__[0].code, most)
            return core_schema.list_schema(_of_kind(item, handler), min_length=most, max_length=most)
        case ("map", key, value):
            return core_schema.dict_schema(_of_kind(key, handler), _of_kind(value, handler))
        case ("tuple", parts):
            return core_schema.tuple_schema([_of_kind(part, handler) for part in parts])
        case ("option", inner):
            some = _of_kind(inner, handler)
            if inner.told[0] == "option":
                some = _case(kind.hint.__args__[0].__origin__, "some", some)
            return core_schema.nullable_schema(some)
        case ("result", *parts):
            cases: list[Any] = [
                _case(of.__origin__, name, _of_kind(part, handler) if part else core_schema.none_schema())
                for of, name, part in zip(kind.hint.__args__, ("ok", "err"), parts, strict=True)
            ]
            return core_schema.union_schema(cases)
    return handler.generate_schema(kind.hint)


def _whole(bits: int, *, is_signed: bool) -> Any:  # noqa: ANN401 - pydantic's
    from pydantic_core import core_schema

    least = -(1 << (bits - 1)) if is_signed else 0
    return core_schema.int_schema(ge=least, le=least + (1 << bits) - 1)


def _float(name: str) -> Any:  # noqa: ANN401 - pydantic's
    """Give the schema of a float, of which JSON has no infinite ones and no NaN: they are text there."""
    from pydantic_core import core_schema

    def checked(value: float) -> float:
        if name == "f32" and math.isfinite(value):
            try:
                struct.pack("<f", value)
            except OverflowError:
                raise ValueError(f"{value!r} is too large for an f32") from None
        return value

    number = core_schema.float_schema()
    writing = core_schema.plain_serializer_function_ser_schema(
        lambda value: value if not isinstance(value, float) or math.isfinite(value) else str(value),
        return_schema=core_schema.union_schema([number, core_schema.literal_schema(["nan", "inf", "-inf"])]),
        when_used="json",
    )
    return core_schema.no_info_after_validator_function(checked, number, serialization=writing)


def _row(code: str, length: int | None = None) -> Any:  # noqa: ANN401 - pydantic's
    """Give the schema of a row of numbers, as `array` calls what it is of: a list of them; those of u8 are bytes."""
    from pydantic_core import core_schema

    is_bytes = code == "B"
    number = (
        _float("f32" if code == "f" else "f64")
        if code in "fd"
        else _whole(array(code).itemsize * 8, is_signed=code.islower())
    )

    def is_one(value: object) -> bool:
        return isinstance(value, bytes) if is_bytes else isinstance(value, array) and value.typecode == code

    def opened(value: Any) -> Any:  # noqa: ANN401 - what is read
        """Give what is bytes, or a row of another length, as a list, of which pydantic says what is wrong."""
        return list(value) if is_one(value) or (is_bytes and isinstance(value, (bytearray, memoryview))) else value

    return _wrapped(
        is_one,
        bytes if is_bytes else lambda numbers: array(code, numbers),
        list,
        core_schema.list_schema(number, min_length=length, max_length=length),
        ready=lambda value: is_one(value) and length in (None, len(value)),
        opened=opened,
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
    *,
    ready: Callable[[Any], bool] | None = None,
    opened: Callable[[Any], Any] = lambda value: value,
) -> Any:  # noqa: ANN401 - pydantic's
    """Give the schema of what is taken as it is, or made of something with a schema, and is written as that."""
    from pydantic_core import PydanticSerializationUnexpectedValue, core_schema

    def read(value: Any, handler: Any) -> Any:  # noqa: ANN401 - what is read
        return value if (ready or is_one)(value) else made(handler(opened(value)))

    def written(value: Any) -> Any:  # noqa: ANN401 - what is written
        if not is_one(value):
            raise PydanticSerializationUnexpectedValue("it is of another type")
        return taken(value)

    writing = core_schema.plain_serializer_function_ser_schema(written, return_schema=inner)
    return core_schema.no_info_wrap_validator_function(read, inner, serialization=writing)
