"""
Code that runs in every turn is made anew, side by side.

The interpreter counts in the code that it runs, so that a page with code of a turn becomes its fork's own. As it was
imported, what a mean runs lies scattered over a hundred pages.
"""

import gc
import sys
from types import CodeType, FunctionType

# Of the module's own allocator, in bytes: larger code lies by itself.
LARGEST_CODE = 8 << 10


def traced(run, sources):
    """Give the code that these sources run, in the order in which it does."""
    found = {}

    def note(frame, event, argument):
        if event == "call":
            found.setdefault(id(frame.f_code), frame.f_code)

    for source in sources:
        sys.setprofile(note)
        try:
            run(source)
        finally:
            sys.setprofile(None)
    return found


def move(found):
    """Have all functions of this code run a copy; those that are made later, by code that is copied, too."""
    from _ringfence_native import fill

    fill(LARGEST_CODE)
    copies = {}

    def copy(code):
        if id(code) not in copies:
            inner = [copy(each) if type(each) is CodeType and id(each) in found else each for each in code.co_consts]
            copies[id(code)] = code.replace(co_consts=tuple(inner))
        return copies[id(code)]

    for code in found.values():
        copy(code)
    for function in gc.get_objects():
        if type(function) is FunctionType and id(function.__code__) in found:
            function.__code__ = copies[id(function.__code__)]
