"""Values of a plugin's that no class of Python's is: cases of results, and options inside of options."""

from __future__ import annotations

from types import GenericAlias
from typing import TYPE_CHECKING, Generic, TypeVar

from ._value import Value

if TYPE_CHECKING:
    from typing import Any

T_co = TypeVar("T_co", covariant=True)


class _Case(Value, Generic[T_co]):
    """What carries a value and says which case it is."""

    __slots__ = ()
    __match_args__ = ("value",)

    if not TYPE_CHECKING:
        # That of `Generic` keeps what it was asked for, and with a class of a plugin's the plugin.
        __class_getitem__ = classmethod(GenericAlias)

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: Any) -> Any:  # noqa: ANN401 - pydantic's
        """Tell pydantic how it is read and written: `{"ok": …}`."""
        from ._plugin_schema import of_wrapper

        return of_wrapper(cls, source, handler)


class Ok(_Case[T_co]):
    """
    The good case of a `result`, where one is a value: inside of another, or asked for by `function.result(…)`.

    Attributes:
        value: what it carries; None where that is nothing.
    """

    __slots__ = ("value",)
    value: T_co

    def __init__(self, value: T_co = None) -> None:  # type: ignore[assignment]
        object.__setattr__(self, "value", value)


class Err(_Case[T_co]):
    """
    The bad case of a `result`.

    Attributes:
        value: what it carries; None where that is nothing.
    """

    __slots__ = ("value",)
    value: T_co

    def __init__(self, value: T_co = None) -> None:  # type: ignore[assignment]
        object.__setattr__(self, "value", value)


class Some(_Case[T_co]):
    """
    A value of an `option` whose value may be absent too, so that `Some(None)` is not `None`.

    Attributes:
        value: what is there.
    """

    __slots__ = ("value",)
    value: T_co

    def __init__(self, value: T_co) -> None:
        object.__setattr__(self, "value", value)
