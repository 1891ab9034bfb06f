"""What is done once, before the snapshot: the imports that take long, and repairs; and what differs afterwards."""

import os
import struct
import sys

MODULES = """
numpy numpy.random numpy.linalg numpy.fft pandas scipy scipy.stats scipy.optimize scipy.linalg scipy.sparse
scipy.interpolate scipy.integrate scipy.signal
""".split()  # noqa: SIM905
# What turns do most comes first: it lies together.
WARM = (
    "import numpy as np, pandas as pd",
    "df = pd.DataFrame({'a': range(100), 'b': [1.5] * 100, 'c': list('xy') * 50})",
    "x = df.a.mean(); print(x, end=''); x + 1",
    "df['b'] = df.a * 2; df.b.sum(); df[df.a > 3].head(); df.a.to_numpy().tolist()",
    "df.describe()",
    "df.groupby('c').a.sum().to_dict()",
    "repr(df)",
    "np.random.rand(3) @ np.eye(3)",
    "1 / 0",
    "print(end='')",
)
NAP_SECONDS = 0.02
# Our own: they lie in a folder that is there only while the snapshot is made.
OURS = ["ringfence", "ssl"]
OURS += [
    f"_ringfence.{name}"
    for name in ["command", "ending", "errors", "functions", "network", "resources", "resume", "together", "values"]
]


def preload():
    """Give the three exceptions of `rf_interrupt`, in the order of its kinds."""
    import warnings

    from _ringfence import ending, importer
    from _ringfence import preload as shared

    shared.names_without_network()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name in [*OURS, *shared.MODULES, *MODULES]:
            try:
                __import__(name)
            except ImportError as error:
                if name in MODULES:
                    raise
                print(f"not in this Python: {name}: {error}")
    numbers_of_numpy()
    importer.step_back()
    importer.know_lines()
    shared.builtins_of_site()
    shared.asyncio_without_threads()
    shared.asyncio_with_calls()
    shared.platform_without_executable()
    sleep_in_naps()
    sys.executable = sys._base_executable = "/usr/bin/python3"
    ending.remember_modules()
    return shared.interrupts()


def warm(run):
    """Walk the usual ways, so that what the interpreter makes on first use is in the snapshot."""
    for _ in range(20):
        for source in WARM:
            run(source)


def gather(run):
    """Have the usual ways lie together, and walk them again."""
    from _ringfence import together

    together.move(together.traced(run, WARM))
    warm(run)


def settle(main, cells):
    """Undo what warming left behind, and let nothing that is there now be written to."""
    import gc

    from _ringfence import driver
    from _ringfence import preload as shared

    shared.forget(main, cells)
    driver.number = 0
    seed(0)
    gc.collect()
    make_all_immortal()
    gc.freeze()


def make_all_immortal():
    """Have no run that merely uses an object of the snapshot write its reference count, so copy its page."""
    import gc

    from _ringfence_native import immortal

    waiting = [*gc.get_objects(), *unknown_to_the_collector()]
    while waiting:
        each = waiting.pop()
        if not sys._is_immortal(each):
            # What it refers to first: the collector does not know it any more afterwards.
            waiting += gc.get_referents(each)
            immortal(each)


def unknown_to_the_collector():
    """Give what it does not find: the members of types that C defines, and numpy's own types of data."""
    import gc

    import numpy as np

    types, found = {id(object): object}, [np.dtype(code) for code in np.typecodes["All"]]
    waiting = [object]
    while waiting:
        each = waiting.pop()
        more = [one for one in type.__subclasses__(each) if id(one) not in types]
        waiting += more
        types |= {id(one): one for one in more}
        found += [each.__mro__, *gc.get_referents(each.__dict__)]
    return found


def numbers_of_numpy():
    """Have its booleans, integers and floats cross to the host as those of Python; none longer than those."""
    import numpy as np

    from _ringfence import values

    kinds = {np.dtype(code).type for code in "?" + np.typecodes["AllInteger"] + "efd"}
    values.scalars.update((id(kind), kind.item) for kind in kinds)


def reseed():
    """Make the random numbers of numpy and the names of temporary files differ; the random numbers of Python do."""
    seed(struct.unpack("8I", os.urandom(32)))
    tempfile = sys.modules.get("tempfile")
    if tempfile is not None:
        tempfile._name_sequence = None  # its numbers are its own, and made anew for another process only


def seed(number):
    random = sys.modules.get("numpy.random")
    if random is not None:
        random.seed(number)


def sleep_in_naps():
    """Cut long waits: a deadline is only seen between them."""
    import time

    whole = time.sleep

    def sleep(seconds, /):
        end = time.monotonic() + seconds
        while seconds > NAP_SECONDS:
            whole(NAP_SECONDS)
            seconds = end - time.monotonic()
        whole(max(seconds, 0))

    sleep.__doc__, sleep.__module__ = whole.__doc__, "time"
    time.sleep = sleep
