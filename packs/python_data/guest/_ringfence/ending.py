"""The end of a run: what Python does when it finalizes, as far as a program can notice."""

import sys

# The modules that were there before the program, by their identity.
ours = frozenset()


def remember_modules():
    """Note what the pack itself has imported: the end of a run takes down only what the program did."""
    global ours  # noqa: PLW0603
    ours = frozenset(map(id, sys.modules.values()))


def end():
    """Run the functions of atexit, then let go of what the program made: files are written, `__del__` is called."""
    import atexit
    import gc

    atexit._run_exitfuncs()
    for name in ("last_exc", "last_type", "last_value", "last_traceback"):
        sys.__dict__.pop(name, None)
    modules = [module for module in sys.modules.values() if id(module) not in ours]
    modules.append(sys.modules.get("__main__"))
    for module in reversed(modules):
        space = getattr(module, "__dict__", None)
        if isinstance(space, dict):
            take_down(space)
    gc.collect()


def take_down(space):
    """Drop names in the order Python does: those with an underscore first, the rest afterwards, builtins last."""
    for private in (True, False):
        for name in list(space):
            if isinstance(name, str) and name != "__builtins__" and (name[:1] == "_" and name[:2] != "__") is private:
                space[name] = None
