//! The text of the guest, made of the table of functions.

use std::fmt::Write as _;

use super::BASE;

/// The functions of WASI 0.1 that a script calls; `i` is a parameter of 32 bits, `l` one of 64.
pub const FUNCTIONS: &[(&str, &str)] = &[
    ("clock_time_get", "ili"),
    ("fd_advise", "illi"),
    ("fd_allocate", "ill"),
    ("fd_close", "i"),
    ("fd_datasync", "i"),
    ("fd_fdstat_get", "ii"),
    ("fd_fdstat_set_flags", "ii"),
    ("fd_fdstat_set_rights", "ill"),
    ("fd_filestat_get", "ii"),
    ("fd_filestat_set_size", "il"),
    ("fd_filestat_set_times", "illi"),
    ("fd_pread", "iiili"),
    ("fd_prestat_dir_name", "iii"),
    ("fd_prestat_get", "ii"),
    ("fd_pwrite", "iiili"),
    ("fd_read", "iiii"),
    ("fd_readdir", "iiili"),
    ("fd_renumber", "ii"),
    ("fd_seek", "ilii"),
    ("fd_sync", "i"),
    ("fd_tell", "ii"),
    ("fd_write", "iiii"),
    ("path_create_directory", "iii"),
    ("path_filestat_get", "iiiii"),
    ("path_filestat_set_times", "iiiilli"),
    ("path_link", "iiiiiii"),
    ("path_open", "iiiiillii"),
    ("path_readlink", "iiiiii"),
    ("path_remove_directory", "iii"),
    ("path_rename", "iiiiii"),
    ("path_symlink", "iiiii"),
    ("path_unlink_file", "iii"),
    ("poll_oneoff", "iiii"),
    ("random_get", "ii"),
    ("sock_shutdown", "ii"),
];

/// Where a vector for the guest's own reads and writes lies, and where their counts go.
const OWN: u32 = 0x40;

/// Where the error numbers lie until the end.
const ERRNOS: u32 = 0x4000;

/// Pages of its memory: 64 MiB, so that attacks have room.
const PAGES: u32 = 1024;

/// The guest in text.
pub fn text() -> String {
    let (mut imports, mut calls) = (String::new(), String::new());
    for (index, (name, params)) in FUNCTIONS.iter().enumerate() {
        let types: Vec<&str> = params.chars().map(|kind| if kind == 'l' { "i64" } else { "i32" }).collect();
        let types = types.join(" ");
        writeln!(imports, r#"(import "wasi_snapshot_preview1" "{name}" (func ${name} (param {types}) (result i32)))"#)
            .unwrap();
        let args = params.chars().enumerate().map(|(place, kind)| {
            let load = format!("(i64.load offset={} (local.get $at))", 8 + 8 * place);
            if kind == 'l' { load } else { format!("(i32.wrap_i64 {load})") }
        });
        let args: String = args.collect();
        writeln!(
            calls,
            "(if (i32.eq (local.get $op) (i32.const {index})) (then (local.set $errno (call ${name} {args}))))"
        )
        .unwrap();
    }
    format!(
        r#"(module
        {imports}
        (memory (export "memory") {PAGES})
        (func $act (param $at i32) (result i32)
          (local $op i32) (local $errno i32)
          (local.set $op (i32.load (local.get $at)))
          {calls}
          (local.get $errno))
        (func (export "_start")
          (local $at i32) (local $left i32) (local $times i32) (local $errno i32) (local $out i32)
          (local.set $at (i32.const {BASE}))
          (loop $read
            (i32.store (i32.const {OWN}) (local.get $at))
            (i32.store (i32.const {OWN_LEN}) (i32.const 1048576))
            (if (call $fd_read (i32.const 0) (i32.const {OWN}) (i32.const 1) (i32.const {OWN_COUNT})) (then unreachable))
            (local.set $at (i32.add (local.get $at) (i32.load (i32.const {OWN_COUNT}))))
            (br_if $read (i32.load (i32.const {OWN_COUNT}))))
          (local.set $left (i32.load (i32.const {BASE})))
          (local.set $at (i32.add (i32.const {BASE}) (i32.const 16)))
          (local.set $out (i32.const {ERRNOS}))
          (block $done
            (loop $next
              (br_if $done (i32.eqz (local.get $left)))
              (local.set $times (i32.load offset=4 (local.get $at)))
              (loop $again
                (local.set $errno (call $act (local.get $at)))
                (local.set $times (i32.sub (local.get $times) (i32.const 1)))
                (br_if $again (i32.and (i32.eqz (local.get $errno)) (i32.gt_s (local.get $times) (i32.const 0)))))
              (i32.store (local.get $out) (local.get $errno))
              (local.set $out (i32.add (local.get $out) (i32.const 4)))
              (local.set $at (i32.add (local.get $at) (i32.const 80)))
              (local.set $left (i32.sub (local.get $left) (i32.const 1)))
              (br $next)))
          (i32.store (i32.const {OWN}) (i32.const {ERRNOS}))
          (i32.store (i32.const {OWN_LEN}) (i32.sub (local.get $out) (i32.const {ERRNOS})))
          (drop (call $fd_write (i32.const 1) (i32.const {OWN}) (i32.const 1) (i32.const {OWN_COUNT})))))"#,
        OWN_LEN = OWN + 4,
        OWN_COUNT = OWN + 8,
    )
}
