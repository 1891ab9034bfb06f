//! Every deed by its name, and the walls it is done behind.

use std::net::{Ipv4Addr, UdpSocket};
use std::os::fd::AsRawFd;
use std::path::Path;

use libc::c_long;
use ringfence::policy::{Dir, Mode, Policy};
use ringfence::sandbox::files::Grants;
use ringfence::worker::wall::{Needs, Wall, close_all_but};
use rustix::io::Errno;
use seccompiler::{BpfProgram, SeccompAction, SeccompFilter};

use crate::attacks_unsafe::*;
use crate::honest;

/// Calls that no guest's process needs: a name, the number, and arguments that harm nobody should it be let through.
pub const UNNEEDED: [(&str, c_long, [usize; 3]); 30] = [
    ("io_uring", libc::SYS_io_uring_setup, [1, 0, 0]),
    ("bpf", libc::SYS_bpf, [0, 0, 0]),
    ("userfaultfd", libc::SYS_userfaultfd, [0, 0, 0]),
    ("perf", libc::SYS_perf_event_open, [0, 0, 0]),
    ("keys", libc::SYS_keyctl, [0, 0, 0]),
    ("add a key", libc::SYS_add_key, [0, 0, 0]),
    ("namespace of users", libc::SYS_unshare, [libc::CLONE_NEWUSER as usize, 0, 0]),
    ("namespace of mounts", libc::SYS_unshare, [libc::CLONE_NEWNS as usize, 0, 0]),
    ("enter a namespace", libc::SYS_setns, [0, 0, 0]),
    ("mount", libc::SYS_mount, [0, 0, 0]),
    ("unmount", libc::SYS_umount2, [0, 0, 0]),
    ("new mount", libc::SYS_fsopen, [0, 0, 0]),
    ("copy a mount", libc::SYS_open_tree, [0, 0, 0]),
    ("new root", libc::SYS_pivot_root, [0, 0, 0]),
    ("change root", libc::SYS_chroot, [0, 0, 0]),
    ("change directory", libc::SYS_chdir, [0, 0, 0]),
    ("load a module", libc::SYS_init_module, [0, 0, 0]),
    ("boot another kernel", libc::SYS_kexec_load, [0, 0, usize::MAX]),
    ("restart", libc::SYS_reboot, [0, 0, 0]),
    ("set the clock", libc::SYS_clock_settime, [0, 0, 0]),
    ("read the log", libc::SYS_syslog, [10, 0, 0]),
    ("open by handle", libc::SYS_open_by_handle_at, [0, 0, 0]),
    ("watch files", libc::SYS_fanotify_init, [usize::MAX, 0, 0]),
    ("watch a file", libc::SYS_inotify_init1, [0, 0, 0]),
    ("change personality", libc::SYS_personality, [0xffff_ffff, 0, 0]),
    ("become real-time", libc::SYS_sched_setscheduler, [0, 1, 0]),
    ("lock memory", libc::SYS_mlockall, [0, 0, 0]),
    ("share memory", libc::SYS_shmget, [0, 0, 0]),
    ("queue of messages", libc::SYS_mq_open, [0, 0, 0]),
    ("process by handle", libc::SYS_pidfd_open, [0, 0, 0]),
];

/// A lock that somebody holds.
static HELD: u32 = 1;

fn number(house: &Path, name: &str) -> usize {
    std::fs::read_to_string(house.join(name)).unwrap().parse().unwrap()
}

pub fn policy(house: &Path) -> Policy {
    let dir =
        |host: &str, mode| Dir { host: Some(house.join(host)), at: Some(format!("/{host}")), mode, ..Dir::default() };
    let dirs = vec![dir("ro", Mode::Ro), dir("rw", Mode::Rw), dir("single", Mode::Ro)];
    Policy { dirs, tmp: true, ..Policy::default() }
}

/// Does a deed behind a wall.
pub fn deed(wall: &str, deed: &str, house: &Path) -> Deed {
    let victim = number(house, "victim");
    let port = number(house, "port") as u16;
    let mut policy = policy(house);
    if wall == "reader" || deed == "be refused files" {
        policy.dirs.retain(|dir| dir.mode == Mode::Ro);
        policy.tmp = false;
    }
    let grants = Grants::open(&policy, &[]).unwrap();
    assert_eq!(house.join("tmp"), std::env::temp_dir());
    let honest = honest::DEEDS.contains(&deed).then(|| honest::prepare(deed, policy.clone()));
    let tmp = std::fs::File::open(house.join("tmp")).unwrap().into();
    let mut needs = Needs { home: Some(tmp), one_at_a_time: true, ..Needs::default() };
    let mut other = None;
    let (wall, missing) = wall.split_once(" without ").unwrap_or((wall, ""));
    take_away(missing);
    match wall {
        "none" => {}
        "compiler" => Wall::compiler().raise().unwrap(),
        _ => {
            match wall {
                "ports" => {
                    let grant = format!(r#"{{"net": {{"tcp": ["127.0.0.1:{port}"]}}}}"#);
                    policy.net = Policy::from_json(&grant, house).unwrap().net;
                }
                "loading" => needs.loads_code = true,
                "beside a thread" => other = Some(std::thread::spawn(std::thread::park)),
                _ => assert!(["worker", "reader", "leading a group"].contains(&wall)),
            }
            if let Err(error) = Wall::of(&policy, &grants, needs).unwrap().raise() {
                let (why, fix) = (&error.parts().why, &error.parts().fix);
                if missing.is_empty() {
                    let expected = if other.is_some() { "2 threads" } else { "leader of a process group" };
                    assert!(why.contains(expected), "{error}");
                    return Err(Errno::BUSY);
                }
                assert!(why.to_lowercase().contains(missing) && fix.contains("isolation=\"process\""), "{error}");
                assert_eq!(Err(&error), Wall::supported().as_ref());
                return Err(Errno::OPNOTSUPP);
            }
        }
    }
    if let Some(run) = honest {
        run();
        return Ok(());
    }
    if let Some((_, number, arguments)) = UNNEEDED.iter().find(|(name, ..)| *name == deed) {
        return call(*number, arguments).map(drop);
    }
    if let Some(deed) = deed.strip_suffix(" in a thread") {
        let (deed, house) = (deed.to_owned(), house.to_owned());
        return std::thread::spawn(move || attack(&deed, &house, victim, port)).join().unwrap();
    }
    attack(deed, house, victim, port)
}

/// Makes this kernel one that lacks something, as an older one or a container's filter would.
fn take_away(missing: &str) {
    let numbers: &[c_long] = match missing {
        "" => return,
        "landlock" => &[libc::SYS_landlock_create_ruleset],
        "seccomp" => &[libc::SYS_seccomp],
        "landlock and seccomp" => &[libc::SYS_landlock_create_ruleset, libc::SYS_seccomp],
        _ => panic!("no such thing: {missing}"),
    };
    let rules = numbers.iter().map(|number| (*number, vec![])).collect();
    let answer = SeccompAction::Errno(libc::ENOSYS as u32);
    let arch = std::env::consts::ARCH.try_into().unwrap();
    let filter = SeccompFilter::new(rules, SeccompAction::Allow, answer, arch).unwrap();
    seccompiler::apply_filter(&BpfProgram::try_from(filter).unwrap()).unwrap();
}

fn attack(deed: &str, house: &Path, victim: usize, port: u16) -> Deed {
    let create = libc::O_CREAT | libc::O_WRONLY;
    let write = |path: &str, flags| open(house.join(path), flags).map(drop);
    let from_to = |number, from: &str, to: &str| {
        call(number, &[CWD, at(&text(house.join(from))), CWD, at(&text(house.join(to))), 0]).map(drop)
    };
    let remove = |path: &str| call(libc::SYS_unlinkat, &[CWD, at(&text(house.join(path))), 0]).map(drop);
    let file = text(house.join("rw/file"));
    match deed {
        "read ro" => reads(house.join("ro/file")),
        "read single" => reads(house.join("single")),
        "create in rw" => write("rw/new", create),
        "create in tmp" => write("tmp/new", create),
        "rename across rw" => from_to(libc::SYS_renameat2, "rw/file", "rw/sub/file"),
        "remove in rw" => remove("rw/file"),

        "open passwd" => reads("/etc/passwd"),
        "open secret" => reads(house.join("secret")),
        "open secret by dots" => reads(house.join("ro/../secret")),
        "open secret by link" => reads(house.join("rw/link")),
        "open root by proc" => reads("/proc/self/root/etc/passwd"),
        "open hosts" => reads("/etc/hosts"),
        "open null device" => open("/dev/null", libc::O_RDWR).map(drop),
        "list root" => open("/", libc::O_RDONLY | libc::O_DIRECTORY).map(drop),
        "open status of another process" => reads(format!("/proc/{victim}/status")),
        "open own memory" => open("/proc/self/mem", libc::O_RDWR).map(drop),
        "open memory of another process" => open(format!("/proc/{victim}/mem"), libc::O_RDWR).map(drop),
        "create outside" => write("new", create),
        "write ro" => write("ro/file", libc::O_WRONLY),
        "truncate ro" => write("ro/file", libc::O_RDONLY | libc::O_TRUNC),
        "write single" => write("single", libc::O_WRONLY),
        "truncate single" => write("single", libc::O_RDONLY | libc::O_TRUNC),
        "create in ro" => write("ro/new", create),
        "remove in ro" => remove("ro/file"),
        "rename out" => from_to(libc::SYS_renameat2, "rw/file", "out"),
        "rename into ro" => from_to(libc::SYS_renameat2, "rw/file", "ro/new"),
        "link secret in" => from_to(libc::SYS_linkat, "secret", "rw/hard"),
        "link out" => from_to(libc::SYS_linkat, "rw/file", "out"),
        "chmod" => call(libc::SYS_fchmodat, &[CWD, at(&file), 0o777]).map(drop),
        "chown" => call(libc::SYS_fchownat, &[CWD, at(&file), 1, 1, 0]).map(drop),
        "truncate by path" => call(libc::SYS_truncate, &[at(&file), 0]).map(drop),
        "make pipe" => call(libc::SYS_mknodat, &[CWD, at(&text(house.join("rw/pipe"))), 0o010_600, 0]).map(drop),
        "make device" => call(libc::SYS_mknodat, &[CWD, at(&text(house.join("rw/dev"))), 0o020_600, 0x103]).map(drop),
        "set attribute" => call(libc::SYS_setxattr, &[at(&file), at(&text("user.x")), at(&file), 1, 0]).map(drop),

        "connect" => connects(port),
        "connect elsewhere" => connects(1),
        "connect from any port" => connects_by(binds(0)?, port),
        "be found at a port" => binds(port.wrapping_add(1).max(1024)).map(drop),
        "connect by sending" => sends_to(port, libc::MSG_FASTOPEN),
        "udp socket" => UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).map(drop).map_err(|error| of(&error)),
        "unix socket" => socket(libc::AF_UNIX, libc::SOCK_STREAM, 0).map(drop),
        "abstract socket" => abstract_socket(),
        "netlink socket" => socket(libc::AF_NETLINK, libc::SOCK_RAW, 0).map(drop),
        "raw socket" => socket(libc::AF_INET, libc::SOCK_RAW, libc::IPPROTO_ICMP).map(drop),
        "packet socket" => socket(libc::AF_PACKET, libc::SOCK_RAW, 0).map(drop),
        "vsock socket" => socket(libc::AF_VSOCK, libc::SOCK_STREAM, 0).map(drop),
        "mptcp socket" => socket(libc::AF_INET, libc::SOCK_STREAM, libc::IPPROTO_MPTCP).map(drop),
        "icmp socket" => socket(libc::AF_INET, libc::SOCK_DGRAM, libc::IPPROTO_ICMP).map(drop),
        "socket pair" => call(libc::SYS_socketpair, &[libc::AF_UNIX as usize, 1, 0, 0]).map(drop),
        "listen" => {
            let socket = socket(libc::AF_INET, libc::SOCK_STREAM, 0)?;
            call(libc::SYS_listen, &[socket, 1]).map(drop)
        }

        "fork" => forks(libc::SYS_clone, &[libc::SIGCHLD as usize]),
        #[cfg(target_arch = "x86_64")]
        "fork by its old call" => forks(libc::SYS_fork, &[]),
        "fork with clone3" => {
            let arguments = [0u64, 0, 0, 0, libc::SIGCHLD as u64, 0, 0, 0];
            forks(libc::SYS_clone3, &[arguments.as_ptr() as usize, size_of_val(&arguments)])
        }
        "execute" => program("/bin/true"),
        "execute memory" => program_of_memory(),
        "kill" => call(libc::SYS_kill, &[victim, libc::SIGKILL as usize]).map(drop),
        "kill a thread" => call(libc::SYS_tgkill, &[victim, victim, libc::SIGKILL as usize]).map(drop),
        "signal by handle" => {
            let handle = call(libc::SYS_pidfd_open, &[victim, 0])?;
            call(libc::SYS_pidfd_send_signal, &[handle, libc::SIGKILL as usize, 0, 0]).map(drop)
        }
        "steal descriptor" => call(libc::SYS_pidfd_getfd, &[0, 0, 0]).map(drop),
        "trace" => call(libc::SYS_ptrace, &[0x4206, victim, 0, 0]).map(drop),
        "read memory by call" => reads_memory_of(victim),
        "set its limits" => call(libc::SYS_prlimit64, &[victim, 0, 0, 0]).map(drop),
        "set its priority" => call(libc::SYS_setpriority, &[0, victim, 19]).map(drop),

        "raise a limit" => raises_limit(libc::RLIMIT_DATA),
        "become dumpable" => call(libc::SYS_prctl, &[libc::PR_SET_DUMPABLE as usize, 1]).map(drop),
        "outlive the parent" => call(libc::SYS_prctl, &[libc::PR_SET_PDEATHSIG as usize, 0]).map(drop),
        "change user" => call(libc::SYS_setuid, &[0]).map(drop),
        "add a filter" => call(libc::SYS_seccomp, &[1, 0, 0]).map(drop),
        "take a page from the machine" => call(libc::SYS_madvise, &[maps(4096, libc::PROT_READ)?, 0, 101]).map(drop),
        "lend a priority" => call(libc::SYS_futex, &[&raw const HELD as usize, 8]).map(drop),
        "type into a terminal" => call(libc::SYS_ioctl, &[0, 0x5412, at(&file)]).map(drop),
        "filter a socket" => {
            let socket = socket(libc::AF_INET, libc::SOCK_DGRAM, 0)?;
            call(libc::SYS_setsockopt, &[socket, libc::SOL_SOCKET as usize, 26, 0, 0]).map(drop)
        }
        "set times" => call(libc::SYS_utimensat, &[CWD, at(&file), 0, 0]).map(drop),
        "map writable and executable" => maps(4096, libc::PROT_READ | libc::PROT_WRITE | libc::PROT_EXEC).map(drop),
        "make executable" => makes_executable(),
        "take memory" => maps(4 << 30, libc::PROT_READ | libc::PROT_WRITE).map(drop),
        #[cfg(target_arch = "x86_64")]
        "old door" => old_door(),
        #[cfg(target_arch = "x86_64")]
        "x32 call" => call(libc::SYS_getpid | 0x4000_0000, &[]).map(drop),

        "read inherited" => inherited(false),
        "read inherited after closing" => inherited(true),
        _ => panic!("no such deed: {deed}"),
    }
}

fn of(error: &std::io::Error) -> Errno {
    Errno::from_io_error(error).unwrap_or(Errno::INVAL)
}

fn abstract_socket() -> Deed {
    let socket = socket(libc::AF_UNIX, libc::SOCK_DGRAM, 0)?;
    let mut address = [0u8; 10];
    address[..2].copy_from_slice(&(libc::AF_UNIX as u16).to_ne_bytes());
    address[3..].copy_from_slice(&(std::process::id() as u64).to_ne_bytes()[..7]);
    call(libc::SYS_bind, &[socket, address.as_ptr() as usize, address.len()]).map(drop)
}

/// Reads from a high descriptor, as one that came from a parent would be.
fn inherited(close: bool) -> Deed {
    let kept = std::fs::File::open("/proc/self/status").unwrap();
    let file = std::fs::File::open("/proc/self/status").unwrap();
    let high = call(libc::SYS_fcntl, &[file.as_raw_fd() as usize, libc::F_DUPFD as usize, 500])?;
    if close {
        close_all_but(&[std::os::fd::AsFd::as_fd(&kept)]).unwrap();
        // It is closed already, as it should be.
        std::mem::forget(file);
    }
    let mut byte = [0u8; 1];
    call(libc::SYS_read, &[kept.as_raw_fd() as usize, byte.as_mut_ptr() as usize, 1])?;
    call(libc::SYS_read, &[high, byte.as_mut_ptr() as usize, 1]).map(drop)
}

/// What a run needs that is prepared before the wall.
pub type Prepared = Box<dyn FnOnce()>;
