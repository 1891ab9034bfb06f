"""What the driver in C leaves to Python: cells, command lines, and what must differ in two runs of one snapshot."""

import ast
import sys

import _ringfence_host
import _ringfence_native

from _ringfence.resume import buffer_lines
from _ringfence.resume import resume as begin_run
from _ringfence.resume import resume_copy as begin_copy

WANT_VALUE = 1
NOTHING, VALUE, ERROR, EXIT = range(4)
PLAIN, TEXT = range(2)
EXIT_ERROR, EXIT_NOT_FLUSHED, EXIT_DEADLINE, EXIT_KEYBOARD = 1, 120, 124, 130
SOURCES_KEPT = 1000
OURS = "<ringfence>"

main = {}
cells = {}
number = 0
deadline = None


def begin():
    """Import what is usual, once, before the snapshot."""
    global main, deadline  # noqa: PLW0603
    import __main__
    from _ringfence import data

    main = __main__.__dict__
    made = data.preload()
    deadline = made[0]
    _ringfence_native.interrupt_by(*made)
    data.warm(turn)
    data.gather(turn)
    data.settle(main, cells)


def turn(source):
    """Do what a host does for a turn in a fork, before there is one."""
    resume_copy()
    held = source.encode()
    eval(id(held) + bytes.__basicsize__ - 1, len(held), WANT_VALUE)


def resume():
    """Begin a fresh run."""
    from _ringfence import data

    begin_run()
    data.reseed()


def resume_copy():
    """Go on in the copy of a live session."""
    from _ringfence import data

    begin_copy()
    data.reseed()


def flush():
    """Write out what the streams hold back; 0 where they take it."""
    flushed = 0
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (ValueError, AttributeError):  # closed by the guest, or none
            continue
        except BaseException:  # noqa: BLE001
            flushed = EXIT_NOT_FLUSHED
    return flushed


# ---- cells ----


def eval(at, length, flags):
    """Run a cell, and give what came of it."""
    if not number:
        buffer_lines()
    try:
        source = _ringfence_native.memory(at, length) if at else _ringfence_host.raw(b"S")
        given = eval_source(source, flags)
    except BaseException as error:  # noqa: BLE001
        given = failed(error)
    flush()
    _ringfence_native.give(*given)


def eval_source(source, flags):
    """Run a cell."""
    global number  # noqa: PLW0603
    text = source.decode()
    number += 1
    name = f"<cell {number}>"
    cells[name] = text
    if number > SOURCES_KEPT:
        cells.pop(f"<cell {number - SOURCES_KEPT}>", None)  # they are kept for tracebacks only
    value = run_cell(text, name, flags & WANT_VALUE)
    if value is None:
        return NOTHING, 0, b"", b""
    from _ringfence.values import NotPlain, write

    try:
        return VALUE, PLAIN, write(value), b""
    except NotPlain:
        return VALUE, TEXT, repr(value).encode("utf-8", "backslashreplace"), b""


def run_cell(text, name, want):
    """Give the value of a last expression where it is wanted."""
    if "\0" in text:
        raise SyntaxError("source code cannot contain null bytes")
    flags = ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
    tree = compile(text, name, "exec", flags | ast.PyCF_ONLY_AST, dont_inherit=True)
    last = None
    if want and tree.body and isinstance(tree.body[-1], ast.Expr):
        last = ast.Expression(tree.body.pop().value)
    if tree.body:
        run_code(compile(tree, name, "exec", flags, dont_inherit=True))
    return run_code(compile(last, name, "eval", flags, dont_inherit=True)) if last else None


def run_code(code):
    import builtins

    value = builtins.eval(code, main)  # noqa: S307 - to run code is what this is for
    if code.co_flags & 0x80:  # a coroutine: a cell with an `await` of its own
        from _ringfence.functions import finish

        value = finish(value)
    return value


def failed(error):
    """Give an exception as the result of a cell."""
    from _ringfence.values import NotPlain, write

    if isinstance(error, SystemExit):
        return EXIT, exit_code(error), b"", b""
    code = EXIT_DEADLINE if isinstance(error, deadline) else EXIT_ERROR
    code = EXIT_KEYBOARD if isinstance(error, KeyboardInterrupt) else code
    try:
        from _ringfence.errors import describe_error

        error.__traceback__ = theirs(error.__traceback__)
        told = write(describe_error(error, cells))
    except (Exception, NotPlain):  # noqa: BLE001 - the guest broke `traceback`, or memory is short
        told = {"type": type(error).__name__, "message": "", "traceback": "the traceback cannot be made\n"}
        told = write(told)
    return ERROR, code, b"", told


def theirs(trace):
    """Leave out the frames that are ours."""
    while trace is not None and trace.tb_frame.f_code.co_filename.startswith(OURS):
        trace = trace.tb_next
    return trace


def exit_code(error):
    """Give the code of a SystemExit; one that is no number is printed, and stands for 1."""
    code = error.code
    if code is None:
        return 0
    if isinstance(code, int):
        return code & 0xFF if -(1 << 31) <= code < 1 << 31 else 0xFF
    flush()
    try:
        print(code, file=sys.stderr)
    except BaseException:  # noqa: BLE001
        return EXIT_ERROR
    return EXIT_ERROR


# ---- command lines ----


def run():
    """Behave as Python's command line, and give the exit code."""
    from _ringfence.command import command
    from _ringfence.ending import end

    code = 0
    try:
        try:
            job = command(_ringfence_host.arguments())
        except BaseException as error:
            error.__traceback__ = error.__context__ = None
            raise
        if isinstance(job, tuple):
            job[0](*job[1])
        elif job is not None:
            exec(job, main)
    except BaseException as error:  # noqa: BLE001
        code = report(error)
    try:
        end()
    except BaseException as error:  # noqa: BLE001
        code = code or report(error)
    unwritten = flush()
    return code or unwritten


def report(error):
    """Tell of an exception as Python does, and give its exit code."""
    if isinstance(error, SystemExit):
        return exit_code(error)
    flush()
    error.__traceback__ = theirs(error.__traceback__)
    sys.last_exc = error
    try:
        sys.excepthook(type(error), error, error.__traceback__)
    except BaseException:  # noqa: BLE001
        sys.__excepthook__(type(error), error, error.__traceback__)
    return EXIT_KEYBOARD if isinstance(error, KeyboardInterrupt) else EXIT_ERROR
