"""What the guest for WASI 0.2 imports."""

from __future__ import annotations

# The errors of `wasi:filesystem` 0.2 in their order, by the names that WASI 0.1 has for them.
ERRORS = {
    "access": "acces",
    "would-block": "again",
    "already": "already",
    "bad-descriptor": "badf",
    "busy": "busy",
    "deadlock": "deadlk",
    "quota": "dquot",
    "exist": "exist",
    "file-too-large": "fbig",
    "illegal-byte-sequence": "ilseq",
    "in-progress": "inprogress",
    "interrupted": "intr",
    "invalid": "inval",
    "io": "io",
    "is-directory": "isdir",
    "loop": "loop",
    "too-many-links": "mlink",
    "message-size": "msgsize",
    "name-too-long": "nametoolong",
    "no-device": "nodev",
    "no-entry": "noent",
    "no-lock": "nolck",
    "insufficient-memory": "nomem",
    "insufficient-space": "nospc",
    "not-directory": "notdir",
    "not-empty": "notempty",
    "not-recoverable": "notrecoverable",
    "unsupported": "notsup",
    "no-tty": "notty",
    "no-such-device": "nxio",
    "overflow": "overflow",
    "not-permitted": "perm",
    "pipe": "pipe",
    "read-only": "rofs",
    "invalid-seek": "spipe",
    "text-file-busy": "txtbsy",
    "cross-device": "xdev",
}
KINDS = ("unknown", "block", "character", "directory", "fifo", "link", "file", "socket")


def _names(names: tuple[str, ...] | dict[str, str]) -> str:
    return " ".join(f'"{name}"' for name in names)


_TYPES = ("unknown", "block-device", "character-device", "directory", "fifo", "symbolic-link", "regular-file", "socket")

_TIMES = '(param "data-access-timestamp" $nt) (param "data-modification-timestamp" $nt)'
_NEW = '(param "new-descriptor" (borrow $d)) (param "new-path" string)'
# Each method of a descriptor: its parameters after `self`, and what it answers where it succeeds.
_METHODS = {
    "read-via-stream": ('(param "offset" u64)', "(own $i)"),
    "write-via-stream": ('(param "offset" u64)', "(own $o)"),
    "append-via-stream": ("", "(own $o)"),
    "sync-data": ("", ""),
    "sync": ("", ""),
    "set-size": ('(param "size" u64)', ""),
    "set-times": (_TIMES, ""),
    "read": ('(param "length" u64) (param "offset" u64)', "(tuple (list u8) bool)"),
    "write": ('(param "buffer" (list u8)) (param "offset" u64)', "u64"),
    "read-directory": ("", "(own $s)"),
    "create-directory-at": ('(param "path" string)', ""),
    "stat": ("", "$st"),
    "stat-at": ('(param "path-flags" $pf) (param "path" string)', "$st"),
    "set-times-at": (f'(param "path-flags" $pf) (param "path" string) {_TIMES}', ""),
    "link-at": (f'(param "old-path-flags" $pf) (param "old-path" string) {_NEW}', ""),
    "open-at": (
        '(param "path-flags" $pf) (param "path" string) (param "open-flags" $of) (param "flags" $df)',
        "(own $d)",
    ),
    "readlink-at": ('(param "path" string)', "string"),
    "remove-directory-at": ('(param "path" string)', ""),
    "rename-at": (f'(param "old-path" string) {_NEW}', ""),
    "symlink-at": ('(param "old-path" string) (param "new-path" string)', ""),
    "unlink-file-at": ('(param "path" string)', ""),
}
_METHOD_LINES = "\n".join(
    f'(export "[method]descriptor.{name}" '
    f'(func (param "self" (borrow $d)) {given} (result (result {gives} (error $ec)))))'
    for name, (given, gives) in _METHODS.items()
)

WORLD = f"""
  (import "wasi:io/error@0.2.0" (instance $error (export "error" (type (sub resource)))))
  (alias export $error "error" (type $error-type))
  (import "wasi:io/streams@0.2.0" (instance $streams
    (alias outer $world $error-type (type $e0)) (export "error" (type $e (eq $e0)))
    (type $s0 (variant (case "last-operation-failed" (own $e)) (case "closed")))
    (export "stream-error" (type $s (eq $s0)))
    (export "input-stream" (type $i (sub resource)))
    (export "output-stream" (type $o (sub resource)))
    (export "[method]input-stream.blocking-read"
      (func (param "self" (borrow $i)) (param "len" u64) (result (result (list u8) (error $s)))))
    (export "[method]output-stream.blocking-write-and-flush"
      (func (param "self" (borrow $o)) (param "contents" (list u8)) (result (result (error $s)))))))
  (alias export $streams "input-stream" (type $input))
  (alias export $streams "output-stream" (type $output))
  (import "wasi:cli/stdin@0.2.0" (instance $stdin
    (alias outer $world $input (type $i0)) (export "input-stream" (type $i (eq $i0)))
    (export "get-stdin" (func (result (own $i))))))
  (import "wasi:cli/stdout@0.2.0" (instance $stdout
    (alias outer $world $output (type $o0)) (export "output-stream" (type $o (eq $o0)))
    (export "get-stdout" (func (result (own $o))))))
  (import "wasi:filesystem/types@0.2.0" (instance $fs
    (alias outer $world $input (type $i0)) (export "input-stream" (type $i (eq $i0)))
    (alias outer $world $output (type $o0)) (export "output-stream" (type $o (eq $o0)))
    (alias outer $world $error-type (type $e0)) (export "error" (type $e (eq $e0)))
    (export "descriptor" (type $d (sub resource)))
    (export "directory-entry-stream" (type $s (sub resource)))
    (type $ec0 (enum {_names(ERRORS)})) (export "error-code" (type $ec (eq $ec0)))
    (type $t0 (enum {_names(_TYPES)})) (export "descriptor-type" (type $t (eq $t0)))
    (type $df0 (flags "read" "write" "file-integrity-sync" "data-integrity-sync" "requested-write-sync"
      "mutate-directory")) (export "descriptor-flags" (type $df (eq $df0)))
    (type $pf0 (flags "symlink-follow")) (export "path-flags" (type $pf (eq $pf0)))
    (type $of0 (flags "create" "directory" "exclusive" "truncate")) (export "open-flags" (type $of (eq $of0)))
    (type $dt0 (record (field "seconds" u64) (field "nanoseconds" u32))) (export "datetime" (type $dt (eq $dt0)))
    (type $nt0 (variant (case "no-change") (case "now") (case "timestamp" $dt)))
    (export "new-timestamp" (type $nt (eq $nt0)))
    (type $st0 (record (field "type" $t) (field "link-count" u64) (field "size" u64)
      (field "data-access-timestamp" (option $dt)) (field "data-modification-timestamp" (option $dt))
      (field "status-change-timestamp" (option $dt)))) (export "descriptor-stat" (type $st (eq $st0)))
    (type $de0 (record (field "type" $t) (field "name" string))) (export "directory-entry" (type $de (eq $de0)))
    {_METHOD_LINES}
    (export "[method]directory-entry-stream.read-directory-entry"
      (func (param "self" (borrow $s)) (result (result (option $de) (error $ec)))))
    (export "filesystem-error-code" (func (param "err" (borrow $e)) (result (option $ec))))))
  (alias export $fs "descriptor" (type $descriptor))
  (alias export $fs "directory-entry-stream" (type $listing))
  (import "wasi:filesystem/preopens@0.2.0" (instance $preopens
    (alias outer $world $descriptor (type $d0)) (export "descriptor" (type $d (eq $d0)))
    (export "get-directories" (func (result (list (tuple (own $d) string)))))))
"""

# What acts call, with the parameters in the core module, the area for the answer last.
FUNCTIONS_02 = {
    "read-via-stream": "iIi",
    "write-via-stream": "iIi",
    "append-via-stream": "ii",
    "sync-data": "ii",
    "sync": "ii",
    "set-size": "iIi",
    "set-times": "iiIiiIii",
    "read": "iIIi",
    "write": "iiiIi",
    "read-directory": "ii",
    "create-directory-at": "iiii",
    "stat": "ii",
    "stat-at": "iiiii",
    "set-times-at": "iiiiiIiiIii",
    "link-at": "iiiiiiii",
    "open-at": "iiiiiii",
    "readlink-at": "iiii",
    "remove-directory-at": "iiii",
    "rename-at": "iiiiiii",
    "symlink-at": "iiiiii",
    "unlink-file-at": "iiii",
    "read-directory-entry": "ii",
    "filesystem-error-code": "ii",
    "blocking-read": "iIi",
    "blocking-write-and-flush": "iiii",
    "drop-descriptor": "i",
    "drop-listing": "i",
    "drop-input": "i",
    "drop-output": "i",
    "drop-error": "i",
}
_OWN = {
    "get-stdin": ("stdin", "", "i32"),
    "get-stdout": ("stdout", "", "i32"),
    "get-directories": ("preopens", "i32", ""),
}
_ELSEWHERE = {
    "read-directory-entry": ("fs", "[method]directory-entry-stream.read-directory-entry"),
    "filesystem-error-code": ("fs", "filesystem-error-code"),
    "blocking-read": ("streams", "[method]input-stream.blocking-read"),
    "blocking-write-and-flush": ("streams", "[method]output-stream.blocking-write-and-flush"),
    **{name: (instance, name) for name, (instance, _, _) in _OWN.items()},
}
_DROPS = {
    "drop-descriptor": "descriptor",
    "drop-listing": "listing",
    "drop-input": "input",
    "drop-output": "output",
    "drop-error": "error-type",
}


def lowered() -> str:
    """Write the functions as the core module calls them."""
    lines = []
    for name in [*FUNCTIONS_02, *_OWN]:
        if name not in _DROPS:
            instance, full = _ELSEWHERE.get(name, ("fs", f"[method]descriptor.{name}"))
            lines.append(
                f'(core func ${name} (canon lower (func ${instance} "{full}") '
                f'(memory $libc "memory") (realloc (func $libc "realloc"))))'
            )
    return "\n".join(lines)


def drops() -> str:
    """Write the functions that let go of handles."""
    return "\n".join(f"(core func ${name} (canon resource.drop ${kind}))" for name, kind in _DROPS.items())


def core_imports() -> str:
    """Write what the core module imports."""
    widths = {"i": "i32", "I": "i64"}
    lines = [
        f'(import "" "{name}" (func ${name} (param {" ".join(widths[kind] for kind in kinds)})))'
        for name, kinds in FUNCTIONS_02.items()
    ]
    lines += [
        f'(import "" "{name}" (func ${name} (param {given}) (result {gives})))'
        for name, (_, given, gives) in _OWN.items()
    ]
    return "\n".join(lines)


def handed() -> str:
    """Write what the core module is instantiated with."""
    return " ".join(f'(export "{name}" (func ${name}))' for name in [*FUNCTIONS_02, *_OWN])
