//! The functions of WASI 0.1 by name.

use wasmtime::{Caller, Linker};

use super::fd::Moved;
use super::path::Open;
use super::{Call, Done, Level, answer, enter, poll};
use crate::sandbox::stdio;
use crate::sandbox::stop::Stop;
use crate::sandbox::store::Holds;

/// Every function there is, in both levels; the sockets are there and answer that nothing is one.
pub const FUNCTIONS: [&str; 46] = [
    "args_get",
    "args_sizes_get",
    "clock_res_get",
    "clock_time_get",
    "environ_get",
    "environ_sizes_get",
    "fd_advise",
    "fd_allocate",
    "fd_close",
    "fd_datasync",
    "fd_fdstat_get",
    "fd_fdstat_set_flags",
    "fd_fdstat_set_rights",
    "fd_filestat_get",
    "fd_filestat_set_size",
    "fd_filestat_set_times",
    "fd_pread",
    "fd_prestat_dir_name",
    "fd_prestat_get",
    "fd_pwrite",
    "fd_read",
    "fd_readdir",
    "fd_renumber",
    "fd_seek",
    "fd_sync",
    "fd_tell",
    "fd_write",
    "path_create_directory",
    "path_filestat_get",
    "path_filestat_set_times",
    "path_link",
    "path_open",
    "path_readlink",
    "path_remove_directory",
    "path_rename",
    "path_symlink",
    "path_unlink_file",
    "poll_oneoff",
    "proc_exit",
    "proc_raise",
    "random_get",
    "sched_yield",
    "sock_accept",
    "sock_recv",
    "sock_send",
    "sock_shutdown",
];

/// One function of numbers: its name, its parameters, and the act on a [`Call`].
macro_rules! functions {
    ($linker:ident, $module:ident, $($name:literal => |$call:ident $(, $arg:ident: $type:ty)*| $act:expr;)*) => {
        $($linker.func_wrap($module, $name, move |mut caller: Caller<'_, T> $(, $arg: $type)*| {
            enter(&mut caller, move |$call: &mut Call<'_>| -> Done { $act })
        })?;)*
    };
}

/// Adds the functions of one level.
pub fn add_to_linker<T: Holds>(linker: &mut Linker<T>, level: Level) -> wasmtime::Result<()> {
    let module = level.module();
    functions! { linker, module,
        "args_get" => |call, argv: u32, buffer: u32| call.args_get(argv, buffer);
        "args_sizes_get" => |call, count: u32, bytes: u32| call.args_sizes_get(count, bytes);
        "environ_get" => |call, environ: u32, buffer: u32| call.environ_get(environ, buffer);
        "environ_sizes_get" => |call, count: u32, bytes: u32| call.environ_sizes_get(count, bytes);
        "clock_res_get" => |call, id: u32, result: u32| call.clock_res_get(id, result);
        "clock_time_get" => |call, id: u32, _precision: u64, result: u32| call.clock_time_get(id, result);
        "random_get" => |call, buffer: u32, len: u32| call.random_get(buffer, len);
        "sched_yield" => |_call| Ok(());
        "proc_raise" => |call, _signal: u32| call.proc_raise();

        "fd_advise" => |call, fd: u32, _offset: u64, _len: u64, advice: u32| call.fd_advise(fd, advice);
        "fd_allocate" => |call, fd: u32, _offset: u64, _len: u64| call.fd_allocate(fd);
        "fd_close" => |call, fd: u32| call.fd_close(fd);
        "fd_datasync" => |call, fd: u32| call.fd_sync(fd);
        "fd_sync" => |call, fd: u32| call.fd_sync(fd);
        "fd_fdstat_get" => |call, fd: u32, result: u32| call.fd_fdstat_get(fd, result);
        "fd_fdstat_set_flags" => |call, fd: u32, flags: u32| call.fd_fdstat_set_flags(fd, flags);
        "fd_fdstat_set_rights" => |call, fd: u32, _base: u64, _inheriting: u64| call.fd_fdstat_set_rights(fd);
        "fd_filestat_get" => |call, fd: u32, result: u32| call.fd_filestat_get(level, fd, result);
        "fd_filestat_set_size" => |call, fd: u32, size: u64| call.fd_filestat_set_size(fd, size);
        "fd_filestat_set_times" => |call, fd: u32, accessed: u64, modified: u64, flags: u32| {
            call.fd_filestat_set_times(fd, accessed, modified, flags)
        };
        "fd_pread" => |call, fd: u32, vector: u32, count: u32, offset: u64, result: u32| {
            call.fd_pread(fd, vector, count, offset, result)
        };
        "fd_pwrite" => |call, fd: u32, vector: u32, count: u32, offset: u64, result: u32| {
            call.fd_pwrite(fd, vector, count, offset, result)
        };
        "fd_prestat_get" => |call, fd: u32, result: u32| call.fd_prestat_get(fd, result);
        "fd_prestat_dir_name" => |call, fd: u32, path: u32, len: u32| call.fd_prestat_dir_name(fd, path, len);
        "fd_readdir" => |call, fd: u32, buffer: u32, len: u32, cookie: u64, result: u32| {
            call.fd_readdir(fd, buffer, len, cookie, result)
        };
        "fd_renumber" => |call, from: u32, to: u32| call.fd_renumber(from, to);
        "fd_seek" => |call, fd: u32, delta: i64, whence: u32, result: u32| {
            call.fd_seek(level, fd, delta, whence, result)
        };
        "fd_tell" => |call, fd: u32, result: u32| call.fd_tell(fd, result);

        "path_create_directory" => |call, fd: u32, path: u32, len: u32| call.path_create_directory(fd, (path, len));
        "path_filestat_get" => |call, fd: u32, lookup: u32, path: u32, len: u32, result: u32| {
            call.path_filestat_get(level, fd, lookup, (path, len), result)
        };
        "path_filestat_set_times" => |call, fd: u32, lookup: u32, path: u32, len: u32, accessed: u64, modified: u64,
            flags: u32| call.path_filestat_set_times(fd, lookup, (path, len), (accessed, modified, flags));
        "path_link" => |call, from: u32, lookup: u32, old: u32, old_len: u32, to: u32, new: u32, new_len: u32| {
            call.path_link(from, lookup, (old, old_len), to, (new, new_len))
        };
        "path_open" => |call, fd: u32, lookup: u32, path: u32, len: u32, oflags: u32, rights: u64, _inheriting: u64,
            fdflags: u32, result: u32| {
            call.path_open(fd, (path, len), &Open { lookup, oflags, rights, fdflags }, result)
        };
        "path_readlink" => |call, fd: u32, path: u32, len: u32, buffer: u32, buffer_len: u32, result: u32| {
            call.path_readlink(fd, (path, len), buffer, buffer_len, result)
        };
        "path_remove_directory" => |call, fd: u32, path: u32, len: u32| call.path_remove_directory(fd, (path, len));
        "path_rename" => |call, from: u32, old: u32, old_len: u32, to: u32, new: u32, new_len: u32| {
            call.path_rename(from, (old, old_len), to, (new, new_len))
        };
        "path_symlink" => |call, target: u32, target_len: u32, fd: u32, path: u32, len: u32| {
            call.path_symlink((target, target_len), fd, (path, len))
        };
        "path_unlink_file" => |call, fd: u32, path: u32, len: u32| call.path_unlink_file(fd, (path, len));

        "sock_accept" => |call, fd: u32, _flags: u32, _result: u32| call.sock(fd);
        "sock_recv" => |call, fd: u32, _vector: u32, _count: u32, _flags: u32, _len: u32, _out: u32| call.sock(fd);
        "sock_send" => |call, fd: u32, _vector: u32, _count: u32, _flags: u32, _len: u32| call.sock(fd);
        "sock_shutdown" => |call, fd: u32, _how: u32| call.sock(fd);
    }
    linker.func_wrap(module, "proc_exit", |_: Caller<'_, T>, code: u32| -> wasmtime::Result<()> {
        Err(Stop::Exit(code).into())
    })?;
    linker.func_wrap_async(module, "fd_read", |mut caller: Caller<'_, T>, args: (u32, u32, u32, u32)| {
        let (fd, vector, count, result) = args;
        Box::new(async move {
            finish(&mut caller, move |call: &mut Call<'_>| call.fd_read(fd, vector, count, result)).await
        })
    })?;
    linker.func_wrap_async(module, "fd_write", |mut caller: Caller<'_, T>, args: (u32, u32, u32, u32)| {
        let (fd, vector, count, result) = args;
        Box::new(async move {
            finish(&mut caller, move |call: &mut Call<'_>| call.fd_write(fd, vector, count, result)).await
        })
    })?;
    linker.func_wrap_async(
        module,
        "poll_oneoff",
        move |mut caller: Caller<'_, T>, (subscriptions, events, count, result): (u32, u32, u32, u32)| {
            Box::new(async move { poll::poll_oneoff(&mut caller, level, subscriptions, events, count, result).await })
        },
    )?;
    Ok(())
}

/// Moves bytes, waiting where a stream has none or takes none.
async fn finish<T: Holds>(
    caller: &mut Caller<'_, T>,
    act: impl Fn(&mut Call<'_>) -> Done<Moved>,
) -> wasmtime::Result<i32> {
    loop {
        match answer(caller, &act)? {
            Ok(Moved::Done) => return Ok(0),
            Ok(Moved::WaitInput) => caller.data().as_ref().input.clone().wait().await,
            Ok(Moved::WaitOutput(waiter)) => stdio::wait_writable(waiter).await,
            Err(errno) => return Ok(errno as i32),
        }
    }
}
