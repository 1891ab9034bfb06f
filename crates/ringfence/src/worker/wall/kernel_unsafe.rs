//! Asking the kernel which walls it can build, by two calls that change nothing.
#![allow(unsafe_code)]

/// The version of Landlock's interface; 0 where there is none.
pub(super) fn landlock_abi() -> u32 {
    const VERSION: libc::c_uint = 1;
    // SAFETY: with this flag, no attributes and size 0 the kernel reads and writes no memory of ours.
    let abi = unsafe { libc::syscall(libc::SYS_landlock_create_ruleset, std::ptr::null::<u8>(), 0usize, VERSION) };
    u32::try_from(abi).unwrap_or(0)
}

/// Whether seccomp filters can be set that end a process.
pub(super) fn seccomp_kills() -> bool {
    let action: u32 = libc::SECCOMP_RET_KILL_PROCESS;
    // SAFETY: the kernel reads the four bytes of `action`, which outlives the call, and sets nothing.
    let answer = unsafe { libc::syscall(libc::SYS_seccomp, libc::SECCOMP_GET_ACTION_AVAIL, 0u32, &raw const action) };
    answer == 0
}
