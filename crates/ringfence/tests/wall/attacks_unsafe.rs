//! What an escaped guest tries: native code that asks the kernel directly.
#![allow(unsafe_code)]

use std::ffi::CString;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use libc::c_long;
use rustix::io::Errno;

pub type Deed = Result<(), Errno>;

/// A call with these arguments; its answer is the attack's.
pub fn call(number: c_long, arguments: &[usize]) -> Result<usize, Errno> {
    let argument = |index: usize| arguments.get(index).copied().unwrap_or(0);
    // SAFETY: the arguments are numbers, null, or the addresses of values that outlive the call; a call that an
    // attack makes on purpose may do anything to this process, which ends right after.
    let answer =
        unsafe { libc::syscall(number, argument(0), argument(1), argument(2), argument(3), argument(4), argument(5)) };
    if answer >= 0 {
        return Ok(answer as usize);
    }
    // SAFETY: the address is this thread's own error number.
    Err(Errno::from_raw_os_error(unsafe { *libc::__errno_location() }))
}

pub fn text(path: impl AsRef<Path>) -> CString {
    CString::new(path.as_ref().as_os_str().as_bytes()).unwrap()
}

pub fn at(text: &CString) -> usize {
    text.as_ptr() as usize
}

pub const CWD: usize = libc::AT_FDCWD as isize as usize;

pub fn open(path: impl AsRef<Path>, flags: i32) -> Result<usize, Errno> {
    call(libc::SYS_openat, &[CWD, at(&text(path)), flags as usize, 0o600])
}

/// Whether a file can be opened and a byte of it read.
pub fn reads(path: impl AsRef<Path>) -> Deed {
    let fd = open(path, libc::O_RDONLY)?;
    let mut byte = [0u8; 1];
    call(libc::SYS_read, &[fd, byte.as_mut_ptr() as usize, 1]).map(drop)
}

pub fn socket(family: i32, kind: i32, protocol: i32) -> Result<usize, Errno> {
    call(libc::SYS_socket, &[family as usize, kind as usize, protocol as usize])
}

/// An address of this machine.
pub fn loopback(port: u16) -> libc::sockaddr_in {
    libc::sockaddr_in {
        sin_family: libc::AF_INET as u16,
        sin_port: port.to_be(),
        sin_addr: libc::in_addr { s_addr: u32::from_ne_bytes([127, 0, 0, 1]) },
        sin_zero: [0; 8],
    }
}

/// Takes a local address before anything is sent.
pub fn binds(port: u16) -> Result<usize, Errno> {
    let socket = socket(libc::AF_INET, libc::SOCK_STREAM, 0)?;
    let address = loopback(port);
    call(libc::SYS_bind, &[socket, &raw const address as usize, size_of_val(&address)])?;
    Ok(socket)
}

pub fn connects(port: u16) -> Deed {
    connects_by(socket(libc::AF_INET, libc::SOCK_STREAM, 0)?, port)
}

pub fn connects_by(socket: usize, port: u16) -> Deed {
    let address = loopback(port);
    call(libc::SYS_connect, &[socket, &raw const address as usize, size_of_val(&address)]).map(drop)
}

/// Opens a connection by sending on a socket that has none.
pub fn sends_to(port: u16, flags: i32) -> Deed {
    let socket = socket(libc::AF_INET, libc::SOCK_STREAM, 0)?;
    let address = loopback(port);
    let arguments = [socket, at(&text("x")), 1, flags as usize, &raw const address as usize, size_of_val(&address)];
    call(libc::SYS_sendto, &arguments).map(drop)
}

/// Maps memory that may be used like this.
pub fn maps(bytes: usize, protection: i32) -> Result<usize, Errno> {
    let flags = (libc::MAP_PRIVATE | libc::MAP_ANONYMOUS) as usize;
    call(libc::SYS_mmap, &[0, bytes, protection as usize, flags, usize::MAX, 0])
}

pub fn makes_executable() -> Deed {
    let page = maps(4096, libc::PROT_READ | libc::PROT_WRITE)?;
    call(libc::SYS_mprotect, &[page, 4096, (libc::PROT_READ | libc::PROT_EXEC) as usize]).map(drop)
}

pub fn program(path: impl AsRef<Path>) -> Deed {
    let path = text(path);
    let arguments = [at(&path), 0];
    call(libc::SYS_execve, &[at(&path), arguments.as_ptr() as usize, 0]).map(drop)
}

pub fn program_of_memory() -> Deed {
    let memory = call(libc::SYS_memfd_create, &[at(&text("x")), 0])?;
    let bytes = std::fs::read("/bin/true").map_err(|_| Errno::NOENT)?;
    call(libc::SYS_write, &[memory, bytes.as_ptr() as usize, bytes.len()])?;
    runs_descriptor(memory)
}

/// Executes what a descriptor holds.
pub fn runs_descriptor(descriptor: usize) -> Deed {
    let empty = text("");
    let arguments = [at(&empty), 0];
    let flags = libc::AT_EMPTY_PATH as usize;
    call(libc::SYS_execveat, &[descriptor, at(&empty), arguments.as_ptr() as usize, 0, flags]).map(drop)
}

/// A new process, which ends at once.
pub fn forks(number: c_long, arguments: &[usize]) -> Deed {
    if call(number, arguments)? == 0 {
        // SAFETY: it ends the child and runs nothing of it any more.
        unsafe { libc::_exit(0) }
    }
    Ok(())
}

pub fn raises_limit(resource: u32) -> Deed {
    let limit = libc::rlimit { rlim_cur: 1 << 40, rlim_max: 1 << 40 };
    call(libc::SYS_prlimit64, &[0, resource as usize, &raw const limit as usize, 0]).map(drop)
}

pub fn reads_memory_of(process: usize) -> Deed {
    let mut byte = [0u8; 8];
    let ours = libc::iovec { iov_base: byte.as_mut_ptr().cast(), iov_len: 8 };
    let theirs = libc::iovec { iov_base: 0x40_0000 as *mut _, iov_len: 8 };
    let (ours, theirs) = (&raw const ours as usize, &raw const theirs as usize);
    call(libc::SYS_process_vm_readv, &[process, ours, 1, theirs, 1, 0]).map(drop)
}

/// The old door of 32-bit programs, whose calls have other numbers: 20 is `getpid` there, and `writev` here.
#[cfg(target_arch = "x86_64")]
pub fn old_door() -> Deed {
    let answer: i64;
    // SAFETY: `getpid` reads and writes no memory; a processor or kernel without the door ends this process.
    unsafe {
        std::arch::asm!("int 0x80", inlateout("rax") 20i64 => answer, out("r8") _, out("r9") _, out("r10") _, out("r11") _)
    };
    if answer > 0 { Ok(()) } else { Err(Errno::NOSYS) }
}
