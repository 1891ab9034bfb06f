"""The command line of Python: options, then a program from `-c`, `-m`, a file, a folder or archive, or stdin."""

import os
import sys

import _ringfence_host

from _ringfence import importer

USAGE = """\
usage: {program} [option] ... [-c cmd | -m mod | file | -] [arg] ...
Try `python -h' for more information.
"""
HELP = """\
usage: {program} [option] ... [-c cmd | -m mod | file | -] [arg] ...
Options:
-b     : issue warnings about converting bytes/bytearray to str and comparing
         bytes/bytearray with str or bytes with int; also -bb: issue errors
-c cmd : program passed in as string (terminates option list)
-E     : ignore PYTHON* environment variables (such as PYTHONPATH)
-h     : print this help message and exit (also -? or --help)
-I     : isolate Python from the user's environment (implies -E and -P)
-m mod : run library module as a script (terminates option list)
-O     : remove assert and __debug__-dependent statements
-OO    : do -O changes and also discard docstrings
-P     : don't prepend a potentially unsafe path to sys.path
-u     : force the stdout and stderr streams to be unbuffered
-V     : print the Python version number and exit (also --version)
-W arg : warning control
-x     : skip first line of source
-X opt : set implementation-specific option
file   : program read from script file
-      : program read from stdin
arg ...: arguments passed to program in sys.argv[1:]
-B, -d, -i, -q, -R, -s, -S and -v are accepted, and change nothing here.
"""
FLAGS = {"b": "bytes_warning", "O": "optimize", "q": "quiet"}
IGNORED = frozenset("BdiqRsSv")


class Options:
    """What the options said."""

    def __init__(self):
        self.flags = {}
        self.warnings, self.extra = [], []
        self.isolated = self.unbuffered = self.skip_line = self.ignore_environment = self.safe_path = False
        self.code = self.module = None


def command(arguments):
    """Read a command line; give code to run, a function with its arguments, or None where all is done."""
    program, rest = (arguments or ["python"])[0], arguments[1:]
    sys.orig_argv = list(arguments)
    options = read(program, rest)
    if options is None:
        return None
    settle(options)
    unsafe = not options.safe_path
    if options.code is not None:
        sys.argv = ["-c", *rest]
        begin_path("", unsafe)
        return compiled(options.code.encode("utf-8", "surrogateescape"), "<string>", lines=True)
    if options.module is not None:
        import runpy

        sys.argv = ["-m", *rest]
        begin_path(os.getcwd(), unsafe)
        return runpy._run_module_as_main, (options.module,)
    if rest and rest[0] != "-":
        return script(program, rest, options)
    sys.argv = rest or [""]
    begin_path("", unsafe)
    return compiled(sys.stdin.buffer.read(), "<stdin>", lines=False)


def read(program, rest):
    """Take the options off the arguments."""
    options = Options()
    while rest and rest[0] != "-" and rest[0].startswith("-"):
        word = rest.pop(0)
        if word == "--":
            break
        if word.startswith("--"):
            if word not in ("--version", "--help", "--help-all", "--check-hash-based-pycs"):
                refuse(program, f"unknown option {word}")
            if word == "--check-hash-based-pycs":
                value(program, "-" + word, rest)
                continue
            return tell(word[2], program)
        for at, letter in enumerate(word[1:], 2):
            if letter in "cmWX":
                said = word[at:] or value(program, letter, rest)
                {"c": take_code, "m": take_module, "W": take_warning, "X": take_extra}[letter](options, said)
                break
            if letter in "Vh?":
                return tell(letter, program, twice="VV" in word)
            letters(options, letter, program)
        if options.code is not None or options.module is not None:
            break
    return options


def letters(options, letter, program):
    """Take an option of one letter."""
    if letter in FLAGS:
        options.flags[FLAGS[letter]] = options.flags.get(FLAGS[letter], 0) + 1
    elif letter == "I":
        options.isolated = options.ignore_environment = options.safe_path = True
    elif letter == "E":
        options.ignore_environment = True
    elif letter == "P":
        options.safe_path = True
    elif letter == "u":
        options.unbuffered = True
    elif letter == "x":
        options.skip_line = True
    elif letter not in IGNORED:
        refuse(program, f"Unknown option: -{letter}")


def take_code(options, said):
    options.code = said + "\n"


def take_module(options, said):
    options.module = said


def take_warning(options, said):
    options.warnings.append(said)


def take_extra(options, said):
    options.extra.append(said)


def value(program, letter, rest):
    """Give the argument of an option."""
    if not rest:
        refuse(program, f"Argument expected for the -{letter} option")
    return rest.pop(0)


def refuse(program, message):
    """End as a wrong use does."""
    sys.stderr.write(message + "\n" + USAGE.format(program=program))
    raise SystemExit(2)


def tell(letter, program, *, twice=False):
    """Answer `-V` and `-h`."""
    if letter in "Vv":
        print("Python", sys.version if twice else sys.version.split()[0])
    else:
        print(HELP.format(program=program), end="")


def settle(options):
    """Do what the options and the variables of Python's own say."""
    environment = {} if options.ignore_environment else os.environ
    if options.ignore_environment:
        sys.path.clear()
    sys._xoptions.clear()
    for each in options.extra:
        name, equals, said = each.partition("=")
        sys._xoptions[name] = said if equals else True
    flags = options.flags
    if environment.get("PYTHONOPTIMIZE"):
        said = environment["PYTHONOPTIMIZE"]
        flags["optimize"] = max(flags.get("optimize", 0), int(said) if said.isdecimal() else 1)
    options.safe_path |= bool(environment.get("PYTHONSAFEPATH"))
    flags |= {
        name: 1
        for name, on in {
            "isolated": options.isolated,
            "ignore_environment": options.ignore_environment,
            "safe_path": options.safe_path,
            "dev_mode": "dev" in sys._xoptions or environment.get("PYTHONDEVMODE"),
        }.items()
        if on
    }
    if any(flags.values()):
        _ringfence_host.configure({name: min(level, 2) for name, level in flags.items()})
    sys.stdout.reconfigure(line_buffering=sys.stdout.isatty())
    if options.unbuffered or environment.get("PYTHONUNBUFFERED"):
        for stream in (sys.stdout, sys.stderr):
            stream.reconfigure(write_through=True)
    digits = sys._xoptions.get("int_max_str_digits") or environment.get("PYTHONINTMAXSTRDIGITS")
    if isinstance(digits, str) and digits.isdecimal():
        sys.set_int_max_str_digits(int(digits))
    said = ["default"] if "dev_mode" in flags else []
    said += [each for each in environment.get("PYTHONWARNINGS", "").split(",") if each]
    said += options.warnings
    if flags.get("bytes_warning"):
        said.append(("error" if flags["bytes_warning"] > 1 else "default") + "::BytesWarning")
    sys.warnoptions[:] = said
    if said:
        import warnings

        warnings._processoptions(said)


def script(program, rest, options):
    """Run a file, the text that the host handed in for it, or what a folder or archive has as `__main__`."""
    name = rest[0]
    sys.argv = rest
    path = name if name.startswith("/") else os.path.join(os.getcwd(), name.removeprefix("./"))
    source = _ringfence_host.source()
    folder = os.path.dirname(path)
    if source is None:
        if is_container(path):
            import runpy

            begin_path(path, True)
            return runpy._run_module_as_main, ("__main__", False)
        try:
            with open(path, "rb") as file:
                source = file.read()
        except OSError as error:
            sys.stderr.write(f"{program}: can't open file {path!r}: [Errno {error.errno}] {error.strerror}\n")
            raise SystemExit(2) from None
        folder = os.path.dirname(os.path.realpath(path))
    begin_path(folder, not options.safe_path)
    from importlib.machinery import SourceFileLoader

    import __main__

    __main__.__file__ = path
    __main__.__cached__ = None
    __main__.__loader__ = SourceFileLoader("__main__", path)
    if options.skip_line:
        source = b"\n" + source.partition(b"\n")[2]
    return compiled(source, path, lines=True)


def begin_path(folder, unsafe):
    """Put the program's own folder first in the search path; what is on the path wins over what was imported before."""
    if unsafe:
        sys.path.insert(0, folder)
    importer.give_way()


def is_container(path):
    """Tell a folder or an archive, whatever its name is."""
    if os.path.isdir(path):
        return True
    import zipimport

    try:
        zipimport.zipimporter(path)
    except ImportError:
        return False
    return True


def compiled(source, name, *, lines):
    """Compile a program, with the errors that Python has for files; its lines are kept for tracebacks."""
    if (at := source.find(b"\0")) >= 0:
        where = (name, source.count(b"\n", 0, at) + 1, None, "")
        raise SyntaxError("source code cannot contain null bytes", where)
    try:
        text = source.decode()
    except UnicodeDecodeError as error:
        text = decoded(source, name, error)
    code = compile(source, name, "exec", dont_inherit=True)
    if lines:
        import linecache

        if name == "<string>":
            linecache._register_code(code, text, name)  # in tracebacks, and nowhere else
        else:
            linecache.cache[name] = (len(source), None, text.removeprefix("\ufeff").splitlines(keepends=True), name)
    return code


def decoded(source, name, error):
    """Decode text of another encoding, where one of its first two lines says which."""
    import re

    for line in source.splitlines()[:2]:
        if said := re.match(rb"[ \t\f]*#.*?coding[:=][ \t]*([-\w.]+)", line):
            return source.decode(said[1].decode(), "replace")
    line = source.count(b"\n", 0, error.start) + 1
    raise SyntaxError(
        f"Non-UTF-8 code starting with '\\x{source[error.start]:02x}' in file {name} on line {line}, "
        "but no encoding declared; see https://peps.python.org/pep-0263/ for details"
    )
