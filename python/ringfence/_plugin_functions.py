"""What stands between a plugin's function and its caller: a measure, an event loop, the object of a method."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    import inspect
    from typing import Any

# What it has of the function: what is known about it, and nothing that calls it.
_TOLD = {"Error", "__annotations__", "__name__", "__signature__", "signature"}


class Between:
    """Tells of a function of a plugin what that tells of itself."""

    __slots__ = ("_function",)

    def __init__(self, function: Any) -> None:  # noqa: ANN401 - the function, or what stands before it
        self._function = function

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - its name, its signature or its class of errors
        if name in _TOLD:
            return getattr(self._function, name)
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")

    def __reduce__(self) -> Any:  # noqa: ANN401 - never returns
        # It raises: the function stays in the plugin.
        return self._function.__reduce__()

    def __repr__(self) -> str:
        return f"<function of a plugin, {self.signature}>"


class Method(Between):
    """A method of a resource with something between it and the plugin's function."""

    __slots__ = ("_of",)

    def __init__(self, function: Any, of: object = None) -> None:  # noqa: ANN401 - what is called like the plugin's function
        super().__init__(function)
        self._of = of

    def __get__(self, of: object, kind: object = None) -> Method:
        return Method(self._function, of)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - values of any type
        """Call it, or begin to."""
        return self._function(*self._with(args), **kwargs)

    def result(self, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - values of any type
        """Call it, and give `Ok(…)` or `Err(…)` instead of raising an error that is its result."""
        return self._function.result(*self._with(args), **kwargs)

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - as above, without the object
        told = super().__getattr__(name)
        if self._of is not None and name == "__signature__":
            return without_first(told)
        if self._of is not None and name == "__annotations__":
            return dict(list(told.items())[1:])
        return told

    def _with(self, args: tuple[Any, ...]) -> tuple[Any, ...]:
        return args if self._of is None else (self._of, *args)

    def __repr__(self) -> str:
        return f"<method of a plugin's resource, {self.signature}>"


def without_first(whole: inspect.Signature) -> inspect.Signature:
    """Give the signature of a method that has its object."""
    return whole.replace(parameters=list(whole.parameters.values())[1:])
