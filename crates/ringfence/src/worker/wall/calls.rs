//! The tables of calls: each with who needs it. Whatever is not here ends the process.

use libc::c_long;
use seccompiler::{BackendError, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompRule};

/// A call that is in a table, in these cases; none is every case.
#[derive(Clone, Debug)]
pub(super) struct Call {
    pub(super) number: i64,
    cases: Vec<Vec<Check>>,
}

/// What an argument has to be.
#[derive(Clone, Debug)]
struct Check {
    argument: u8,
    length: SeccompCmpArgLen,
    operator: SeccompCmpOp,
    value: u64,
}

impl Call {
    fn any(number: c_long) -> Self {
        Self { number, cases: Vec::new() }
    }

    fn when(number: c_long, cases: impl Into<Vec<Vec<Check>>>) -> Self {
        Self { number, cases: cases.into() }
    }

    /// One argument is one of these.
    fn one_of(number: c_long, argument: u8, values: &[u32]) -> Self {
        Self::when(number, values.iter().map(|value| vec![is(argument, *value)]).collect::<Vec<_>>())
    }

    pub(super) fn rules(&self) -> Result<Vec<SeccompRule>, BackendError> {
        let condition = |Check { argument, length, operator, value }: &Check| {
            SeccompCondition::new(*argument, length.clone(), operator.clone(), *value)
        };
        self.cases.iter().map(|case| SeccompRule::new(case.iter().map(condition).collect::<Result<_, _>>()?)).collect()
    }
}

fn is(argument: u8, value: u32) -> Check {
    Check { argument, length: SeccompCmpArgLen::Dword, operator: SeccompCmpOp::Eq, value: value.into() }
}

fn is_not(argument: u8, value: u32) -> Check {
    Check { argument, length: SeccompCmpArgLen::Dword, operator: SeccompCmpOp::Ne, value: value.into() }
}

/// Of these bits exactly those are set.
fn bits(argument: u8, mask: u32, value: u32) -> Check {
    let operator = SeccompCmpOp::MaskedEq(mask.into());
    Check { argument, length: SeccompCmpArgLen::Dword, operator, value: value.into() }
}

fn is_null(argument: u8) -> Check {
    Check { argument, length: SeccompCmpArgLen::Qword, operator: SeccompCmpOp::Eq, value: 0 }
}

fn any(numbers: &[c_long]) -> impl Iterator<Item = Call> {
    numbers.iter().map(|number| Call::any(*number))
}

fn constant(value: libc::c_int) -> u32 {
    value.cast_unsigned()
}

/// The flags with which the C library starts a thread: memory, files and signals shared, nothing new around it.
const THREAD: u32 = (libc::CLONE_VM
    | libc::CLONE_FS
    | libc::CLONE_FILES
    | libc::CLONE_SYSVSEM
    | libc::CLONE_SIGHAND
    | libc::CLONE_THREAD
    | libc::CLONE_SETTLS
    | libc::CLONE_PARENT_SETTID
    | libc::CLONE_CHILD_CLEARTID)
    .cast_unsigned();

/// What every process here does: memory, threads, clocks, signals, reading and writing what is open.
pub(super) fn computing(own: u32) -> Vec<Call> {
    let mut calls: Vec<Call> = any(&[
        // The allocator of the C library.
        libc::SYS_brk,
        libc::SYS_mremap,
        // The allocator, thread stacks, and the engine's slots: given back, and emptied between runs.
        libc::SYS_munmap,
        // Locks and parked threads: the standard library, tokio, rayon.
        libc::SYS_sched_yield,
        // How many threads: tokio, rayon.
        libc::SYS_sched_getaffinity,
        // A thread of the C library, when it starts and ends.
        libc::SYS_set_robust_list,
        libc::SYS_rseq,
        libc::SYS_exit,
        libc::SYS_gettid,
        libc::SYS_getpid,
        // The end of the process.
        libc::SYS_exit_group,
        // Traps of guests: handlers, and a stack for them on each thread.
        libc::SYS_rt_sigaction,
        libc::SYS_rt_sigprocmask,
        libc::SYS_rt_sigreturn,
        libc::SYS_sigaltstack,
        // A wait that a signal cut short.
        libc::SYS_restart_syscall,
        // Deadlines, the epoch thread, clocks of guests; CPU time of a thread is never answered without the kernel.
        libc::SYS_clock_gettime,
        libc::SYS_clock_getres,
        libc::SYS_clock_nanosleep,
        libc::SYS_nanosleep,
        libc::SYS_gettimeofday,
        // Random numbers of guests, and seeds of hash tables.
        libc::SYS_getrandom,
        // Pipes and files that are open: the standard streams, the program, its code, the messages of the parent.
        libc::SYS_read,
        libc::SYS_readv,
        libc::SYS_pread64,
        libc::SYS_write,
        libc::SYS_writev,
        libc::SYS_pwrite64,
        libc::SYS_lseek,
        libc::SYS_close,
        libc::SYS_fstat,
        libc::SYS_newfstatat,
        libc::SYS_statx,
        libc::SYS_ftruncate,
        // Code that was just made visible to other threads, on processors that do not see to it themselves.
        libc::SYS_membarrier,
        // How much memory there is: `qsort` of older C libraries.
        libc::SYS_sysinfo,
        // The trace of a panic names files relative to here.
        libc::SYS_getcwd,
    ])
    .collect();
    calls.extend([
        // A new thread, never a new process.
        Call::when(
            libc::SYS_clone,
            [vec![Check {
                argument: 0,
                length: SeccompCmpArgLen::Qword,
                operator: SeccompCmpOp::Eq,
                value: THREAD.into(),
            }]],
        ),
        // The engine's slots, given back many at a time; this process only.
        Call::when(libc::SYS_process_madvise, [vec![is(0, PIDFD_SELF), is(3, constant(libc::MADV_DONTNEED))]]),
        // Memory that is given back, large pages, guards of stacks; not what takes memory from the whole machine.
        Call::one_of(libc::SYS_madvise, 2, &ADVICE),
        // Locks and parked threads again; not those that lend priorities, which nobody here uses and the kernel
        // often had wrong.
        Call::when(libc::SYS_futex, LOCKING.map(|operation| vec![bits(1, FUTEX_COMMAND, constant(operation))])),
        // Page faults of this thread: where it had none, a guest wrote to no page that was not its own before.
        Call::when(libc::SYS_getrusage, [vec![is(0, constant(libc::RUSAGE_THREAD))]]),
        // `abort`, to this process only.
        Call::when(libc::SYS_tgkill, [vec![is(0, own)]]),
        // Names of threads, and of the allocator's memory; where rustix finds the kernel's clock in this process.
        Call::one_of(libc::SYS_prctl, 0, &[constant(libc::PR_SET_NAME), constant(libc::PR_SET_VMA), PR_GET_AUXV]),
        // The size of a stack is asked for, no limit is set.
        Call::when(libc::SYS_prlimit64, [vec![is(0, 0), is_null(2)]]),
        // A second descriptor of what is open, and whether it waits; seals of the engine's memory files.
        Call::one_of(
            libc::SYS_fcntl,
            1,
            &[
                libc::F_DUPFD_CLOEXEC,
                libc::F_GETFD,
                libc::F_SETFD,
                libc::F_GETFL,
                libc::F_SETFL,
                libc::F_GET_SEALS,
                libc::F_ADD_SEALS,
            ]
            .map(constant),
        ),
    ]);
    calls
}

/// Mapping memory: never writable and executable at one time, and executable only where code is still loaded.
pub(super) fn memory(loads_code: bool) -> Vec<Call> {
    let (write, execute) = (constant(libc::PROT_WRITE), constant(libc::PROT_EXEC));
    let mut cases = vec![vec![bits(2, execute, 0)]];
    let mut calls = Vec::new();
    if loads_code {
        // Compiled code, published after it was mapped or copied.
        cases.push(vec![bits(2, write | execute, execute)]);
        // The image of a program's memory, where its code was not mapped from a file.
        calls.push(Call::any(libc::SYS_memfd_create));
    }
    calls.push(Call::when(libc::SYS_mmap, cases.clone()));
    calls.push(Call::when(libc::SYS_mprotect, cases));
    calls
}

/// Files of guests, below the directories that Landlock leaves: `sandbox/files/`.
pub(super) fn files() -> Vec<Call> {
    let mut calls: Vec<Call> = any(&[
        // Paths are resolved beneath a handle, or name by name without `openat2`.
        libc::SYS_openat2,
        libc::SYS_openat,
        libc::SYS_readlinkat,
        // Whether a directory may be left through `..`, where paths are resolved name by name.
        libc::SYS_faccessat2,
        // Which kind of file system a file is on.
        libc::SYS_fstatfs,
        // Acts of guests that only look, and of any on what is open.
        libc::SYS_getdents64,
        libc::SYS_fsync,
        libc::SYS_fdatasync,
        // Standard streams that must not wait, and guests that wait for one of them.
        libc::SYS_preadv2,
        libc::SYS_pwritev2,
        libc::SYS_preadv,
        libc::SYS_pwritev,
        libc::SYS_ppoll,
        #[cfg(target_arch = "x86_64")]
        libc::SYS_poll,
        // The standard library, in the trace of a panic.
        #[cfg(target_arch = "x86_64")]
        libc::SYS_readlink,
    ])
    .collect();
    calls.push(Call::one_of(
        libc::SYS_ioctl,
        1,
        &[
            // Whether a standard stream is a terminal.
            TCGETS,
            TIOCGWINSZ,
            // Which pages a guest wrote, when its slot is emptied.
            PAGEMAP_SCAN,
            // The standard library, on pipes and sockets.
            FIONBIO,
            FIOCLEX,
        ],
    ));
    calls
}

/// Acts of guests that change a directory, where the policy grants one to write: by the name of each.
pub(super) fn changes() -> Vec<Call> {
    any(&[
        libc::SYS_mkdirat,
        libc::SYS_unlinkat,
        libc::SYS_renameat,
        libc::SYS_renameat2,
        libc::SYS_linkat,
        libc::SYS_symlinkat,
        libc::SYS_utimensat,
        // The directory around a private `/tmp`, and its removal.
        #[cfg(target_arch = "x86_64")]
        libc::SYS_mkdir,
        #[cfg(target_arch = "x86_64")]
        libc::SYS_rmdir,
    ])
    .collect()
}

const ADVICE: [u32; 8] = [
    libc::MADV_DONTNEED.cast_unsigned(),
    libc::MADV_FREE.cast_unsigned(),
    libc::MADV_WILLNEED.cast_unsigned(),
    libc::MADV_HUGEPAGE.cast_unsigned(),
    libc::MADV_NOHUGEPAGE.cast_unsigned(),
    libc::MADV_DONTDUMP.cast_unsigned(),
    MADV_GUARD_INSTALL,
    MADV_GUARD_REMOVE,
];
const MADV_GUARD_INSTALL: u32 = 102;
const MADV_GUARD_REMOVE: u32 = 103;

const LOCKING: [libc::c_int; 7] = [
    libc::FUTEX_WAIT,
    libc::FUTEX_WAKE,
    libc::FUTEX_REQUEUE,
    libc::FUTEX_CMP_REQUEUE,
    libc::FUTEX_WAKE_OP,
    libc::FUTEX_WAIT_BITSET,
    libc::FUTEX_WAKE_BITSET,
];

/// The part of a futex operation that is not a flag.
const FUTEX_COMMAND: u32 = !(libc::FUTEX_PRIVATE_FLAG | libc::FUTEX_CLOCK_REALTIME).cast_unsigned();

const PIDFD_SELF: u32 = (-10000_i32).cast_unsigned();
const PR_GET_AUXV: u32 = 0x4155_5856;
const TCGETS: u32 = 0x5401;
const TIOCGWINSZ: u32 = 0x5413;
const FIONBIO: u32 = 0x5421;
const FIOCLEX: u32 = 0x5451;
const PAGEMAP_SCAN: u32 = 0xc060_6610;

/// Messages of the parent on the socket that was inherited, handles among them; and the reactor that waits for it.
pub(super) fn messages() -> Vec<Call> {
    let mut calls: Vec<Call> = any(&[
        libc::SYS_recvmsg,
        libc::SYS_recvfrom,
        libc::SYS_shutdown,
        libc::SYS_eventfd2,
        libc::SYS_epoll_create1,
        libc::SYS_epoll_ctl,
        libc::SYS_epoll_pwait,
        #[cfg(target_arch = "x86_64")]
        libc::SYS_epoll_wait,
    ])
    .collect();
    // A connection must not be opened by sending: Landlock is not asked then.
    let fast_open = constant(libc::MSG_FASTOPEN);
    calls.push(Call::when(libc::SYS_sendto, [vec![bits(3, fast_open, 0)]]));
    calls.push(Call::when(libc::SYS_sendmsg, [vec![bits(2, fast_open, 0)]]));
    calls
}

const INTERNET: [u32; 2] = [libc::AF_INET.cast_unsigned(), libc::AF_INET6.cast_unsigned()];

/// TCP and UDP of guests, where the policy grants them; nothing is listened on.
pub(super) fn sockets() -> Vec<Call> {
    let mut calls: Vec<Call> =
        any(&[libc::SYS_bind, libc::SYS_connect, libc::SYS_getsockname, libc::SYS_getpeername, libc::SYS_getsockopt])
            .collect();
    // MPTCP and SCTP would pass by Landlock's ports.
    let pairs = [(libc::SOCK_STREAM, libc::IPPROTO_TCP), (libc::SOCK_DGRAM, libc::IPPROTO_UDP)];
    let cases = INTERNET.into_iter().flat_map(|family| {
        pairs.into_iter().flat_map(move |(kind, protocol)| {
            [0, constant(protocol)].map(|protocol| vec![is(0, family), bits(1, 0xf, constant(kind)), is(2, protocol)])
        })
    });
    calls.push(Call::when(libc::SYS_socket, cases.collect::<Vec<_>>()));
    // Options that WASI has, and what the standard library and tokio set; never a program for the kernel to run.
    let options: [(libc::c_int, &[libc::c_int]); 4] = [
        (libc::SOL_SOCKET, &[libc::SO_KEEPALIVE, libc::SO_RCVBUF, libc::SO_SNDBUF, libc::SO_REUSEADDR]),
        (libc::IPPROTO_TCP, &[libc::TCP_NODELAY, libc::TCP_KEEPIDLE, libc::TCP_KEEPINTVL, libc::TCP_KEEPCNT]),
        (libc::IPPROTO_IP, &[libc::IP_TTL, libc::IP_RECVERR]),
        (libc::IPPROTO_IPV6, &[libc::IPV6_UNICAST_HOPS, libc::IPV6_V6ONLY, libc::IPV6_RECVERR]),
    ];
    let cases = options
        .iter()
        .flat_map(|(level, names)| names.iter().map(|name| vec![is(1, constant(*level)), is(2, constant(*name))]));
    calls.push(Call::when(libc::SYS_setsockopt, cases.collect::<Vec<_>>()));
    calls
}

/// What resolvers try before they do without: refused, the process goes on.
pub(super) fn resolving() -> Vec<Call> {
    vec![
        Call::when(libc::SYS_socket, [INTERNET.map(|family| is_not(0, family)).to_vec()]),
        // The name of the host, whose domain they would search.
        Call::any(libc::SYS_uname),
    ]
}

/// Opening files by a process that may open none: refused, so that who asks for a hint goes on without it.
///
/// The standard library looks for the number of processors, and for symbols when it panics.
pub(super) fn opening() -> Vec<Call> {
    any(&[
        libc::SYS_openat,
        libc::SYS_openat2,
        libc::SYS_readlinkat,
        #[cfg(target_arch = "x86_64")]
        libc::SYS_open,
        #[cfg(target_arch = "x86_64")]
        libc::SYS_readlink,
    ])
    .collect()
}

/// Calls that are answered as by a kernel that does not have them, so that an older one is used instead.
pub(super) fn missing() -> Vec<Call> {
    // Its flags are in memory, where a filter cannot look: the C library falls back to `clone`.
    vec![Call::any(libc::SYS_clone3)]
}
