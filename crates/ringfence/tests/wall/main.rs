//! Planted escapes: native code, already out of WebAssembly, that only the second wall stands before.
//!
//! Each attack is first made without the wall, where it has to work: none is stopped by accident.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod attacks_unsafe;
mod child_unsafe;
mod deeds;
#[path = "../driver/mod.rs"]
mod driver;
mod honest;

use std::net::TcpListener;
use std::process::{Child, Command};

use child_unsafe::{Ended, child};
use deeds::deed;
use rustix::io::Errno;
use tempfile::TempDir;

const WALLED: &str = "worker";
const OPEN: &str = "none";

/// Directories that are granted, a secret beside them, and someone to attack.
struct House {
    dir: TempDir,
    victim: Child,
    _listener: TcpListener,
}

impl House {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path();
        for granted in ["ro", "rw/sub", "tmp"] {
            std::fs::create_dir_all(path.join(granted)).unwrap();
        }
        for file in ["ro/file", "rw/file", "single", "secret"] {
            std::fs::write(path.join(file), "text").unwrap();
        }
        std::os::unix::fs::symlink("../secret", path.join("rw/link")).unwrap();
        let victim = Command::new("sleep").arg("60").spawn().unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        std::fs::write(path.join("victim"), victim.id().to_string()).unwrap();
        std::fs::write(path.join("port"), listener.local_addr().unwrap().port().to_string()).unwrap();
        Self { dir, victim, _listener: listener }
    }
}

impl Drop for House {
    fn drop(&mut self) {
        let _ = self.victim.kill();
        let _ = self.victim.wait();
    }
}

fn ended(wall: &str, deed: &str) -> Ended {
    child(wall, deed, House::new().dir.path())
}

/// Works without the wall, and is answered like this behind it.
fn stopped(attacks: &[&str], expected: Ended) {
    for attack in attacks {
        assert_eq!(Ended::Done, ended(OPEN, attack), "{attack}, without the wall");
        assert_eq!(expected, ended(WALLED, attack), "{attack}");
    }
}

/// Is answered by the kernel without the wall (not every user may, and not every kernel can), and ends the process
/// behind it.
fn killed(attacks: &[&str]) {
    for attack in attacks {
        let open = ended(OPEN, attack);
        assert!(matches!(open, Ended::Done | Ended::Refused(_)), "{attack}, without the wall: {open:?}");
        assert_eq!(Ended::Killed, ended(WALLED, attack), "{attack}");
    }
}

const NO: Ended = Ended::Refused(Errno::ACCESS);

#[test]
fn what_is_granted_works_behind_the_wall() {
    for deed in ["read ro", "read single", "create in rw", "rename across rw", "remove in rw", "create in tmp"] {
        assert_eq!(Ended::Done, ended(WALLED, deed), "{deed}");
    }
}

#[test]
fn files_outside_the_grants_are_not_opened() {
    stopped(&["open passwd", "open secret", "open secret by dots", "open secret by link", "open root by proc"], NO);
    stopped(&["create outside"], NO);
    stopped(&["open null device", "list root", "open status of another process", "open own memory"], NO);
}

#[test]
fn a_read_only_grant_is_not_written() {
    stopped(&["write ro", "truncate ro", "create in ro", "remove in ro", "write single", "truncate single"], NO);
}

#[test]
fn no_directory_is_changed_where_none_is_granted_to_write() {
    for attack in ["rename across rw", "remove in rw", "set times"] {
        assert_eq!(Ended::Done, ended(OPEN, attack), "{attack}, without the wall");
        assert_eq!(Ended::Killed, ended("reader", attack), "{attack}");
    }
}

#[test]
fn nothing_is_moved_or_linked_across_the_grants() {
    stopped(&["rename out", "rename into ro"], NO);
    stopped(&["link out"], NO);
    // It would be more open there than it is here.
    stopped(&["link secret in"], Ended::Refused(Errno::XDEV));
}

#[test]
fn owners_modes_and_devices_are_not_changed() {
    stopped(&["chmod", "truncate by path", "make pipe"], Ended::Killed);
    killed(&["chown", "make device", "set attribute"]);
}

#[test]
fn no_socket_is_made_without_a_grant() {
    stopped(&["connect", "udp socket", "unix socket", "abstract socket", "netlink socket"], Ended::Killed);
    killed(&["raw socket", "packet socket", "vsock socket", "socket pair"]);
}

#[test]
fn granted_ports_are_the_only_ones() {
    let on_ports = |deed| ended("ports", deed);
    assert_eq!(Ended::Done, on_ports("connect"));
    assert_eq!(Ended::Done, on_ports("connect from any port"));
    assert_eq!(NO, on_ports("be found at a port"));
    assert_eq!(Ended::Done, on_ports("udp socket"));
    assert_eq!(Ended::Done, on_ports("open hosts"));
    assert_eq!(NO, ended(WALLED, "open hosts"));
    assert_eq!(NO, on_ports("open passwd"));
    assert_eq!(NO, on_ports("connect elsewhere"));
    assert_eq!(Ended::Refused(Errno::CONNREFUSED), ended(OPEN, "connect elsewhere"));
    for socket in ["unix socket", "netlink socket"] {
        assert_eq!(NO, on_ports(socket), "{socket}");
    }
    for attack in ["mptcp socket", "icmp socket", "connect by sending", "listen", "filter a socket"] {
        assert_eq!(Ended::Killed, on_ports(attack), "{attack}");
    }
}

#[test]
fn no_process_is_started() {
    stopped(&["fork", "execute", "execute memory"], Ended::Killed);
    // A container's filter may answer so too, without the wall.
    assert!(matches!(ended(OPEN, "fork with clone3"), Ended::Done | Ended::Refused(Errno::NOSYS)));
    assert_eq!(Ended::Refused(Errno::NOSYS), ended(WALLED, "fork with clone3"));
    #[cfg(target_arch = "x86_64")]
    stopped(&["fork by its old call"], Ended::Killed);
}

#[test]
fn no_other_process_is_touched() {
    stopped(&["kill", "kill a thread", "signal by handle"], Ended::Killed);
    killed(&["trace", "read memory by call", "steal descriptor", "set its limits", "set its priority"]);
    // Without the wall this takes the right to trace, which not every user has.
    if rustix::process::geteuid().is_root() {
        stopped(&["open memory of another process"], NO);
    }
}

#[test]
fn the_kernel_is_not_asked_for_more() {
    killed(&deeds::UNNEEDED.map(|(name, ..)| name));
    killed(&["take a page from the machine", "lend a priority", "type into a terminal"]);
}

#[test]
fn privileges_and_limits_do_not_come_back() {
    killed(&["raise a limit", "become dumpable", "outlive the parent", "change user", "add a filter"]);
}

#[test]
fn nothing_new_becomes_executable() {
    stopped(&["map writable and executable", "make executable"], Ended::Killed);
    // Where code is still to be loaded, it may be, but never while it can be written.
    assert_eq!(Ended::Done, ended("loading", "make executable"));
    assert_eq!(Ended::Killed, ended("loading", "map writable and executable"));
}

#[test]
fn calls_of_other_architectures_are_no_way_around() {
    #[cfg(target_arch = "x86_64")]
    {
        // Kernels without these doors answer so, or end the process, by themselves.
        assert_ne!(Ended::Killed, ended(OPEN, "old door"));
        assert!(matches!(ended(WALLED, "old door"), Ended::Killed | Ended::Signalled(_)));
        killed(&["x32 call"]);
    }
}

#[test]
fn memory_beyond_the_limit_is_not_given() {
    stopped(&["take memory"], Ended::Refused(Errno::NOMEM));
}

#[test]
fn threads_started_later_are_behind_the_wall_too() {
    stopped(&["open passwd in a thread"], NO);
    stopped(&["udp socket in a thread"], Ended::Killed);
}

#[test]
fn wall_is_not_raised_beside_another_thread() {
    assert_eq!(Ended::Refused(Errno::BUSY), ended("beside a thread", "open passwd"));
}

#[test]
fn wall_is_not_raised_in_the_session_of_the_parent() {
    assert_eq!(Ended::Refused(Errno::BUSY), ended("leading a group", "open passwd"));
}

#[test]
fn worker_has_no_wall_where_the_kernel_lacks_a_part() {
    for missing in ["landlock", "seccomp"] {
        assert_eq!(
            Ended::Refused(Errno::OPNOTSUPP),
            ended(&format!("worker without {missing}"), "read ro"),
            "{missing}"
        );
    }
}

#[test]
fn compiler_raises_what_the_kernel_has() {
    assert_eq!(NO, ended("compiler without landlock", "open passwd"));
    assert_eq!(Ended::Killed, ended("compiler without landlock", "fork"));
    assert_eq!(NO, ended("compiler without seccomp", "open passwd"));
    assert_eq!(Ended::Done, ended("compiler without seccomp", "fork"));
    assert_eq!(Ended::Done, ended("compiler without landlock and seccomp", "open passwd"));
}

#[test]
fn no_inherited_descriptor_is_left() {
    assert_eq!(Ended::Done, ended(OPEN, "read inherited"));
    assert_eq!(Ended::Refused(Errno::BADF), ended(OPEN, "read inherited after closing"));
}

#[test]
fn compiler_opens_and_starts_nothing() {
    for attack in ["open passwd", "create outside", "create in rw"] {
        assert_eq!(Ended::Done, ended(OPEN, attack), "{attack}, without the wall");
        assert_eq!(NO, ended("compiler", attack), "{attack}");
    }
    for attack in ["fork", "execute", "udp socket", "kill", "make executable", "chmod"] {
        assert_eq!(Ended::Done, ended(OPEN, attack), "{attack}, without the wall");
        assert_eq!(Ended::Killed, ended("compiler", attack), "{attack}");
    }
}

#[test]
fn guests_run_behind_the_wall_as_they_do_without() {
    for deed in honest::DEEDS {
        assert_eq!(Ended::Done, ended(OPEN, deed), "{deed}, without the wall");
        assert_eq!(Ended::Done, ended(WALLED, deed), "{deed}");
    }
}
