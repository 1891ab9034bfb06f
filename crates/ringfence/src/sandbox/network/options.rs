//! Socket options, with the ranges and the rounding that WASI asks for.

use std::os::fd::BorrowedFd;
use std::time::Duration;

use rustix::io::Errno;
use rustix::net::sockopt;

use super::Family;

/// An option of a socket with its new value. Times are in nanoseconds.
#[derive(Clone, Copy, Debug)]
#[allow(missing_docs)]
pub enum Change {
    KeepAlive(bool),
    KeepAliveIdle(u64),
    KeepAliveInterval(u64),
    KeepAliveCount(u32),
    HopLimit(u8),
    ReceiveBuffer(u64),
    SendBuffer(u64),
}

impl Change {
    /// Sets it. Zero is refused, what the system cannot do is rounded to what it can.
    pub fn apply(self, fd: BorrowedFd<'_>, family: Family) -> Result<(), Errno> {
        match self {
            Self::KeepAlive(on) => sockopt::set_socket_keepalive(fd, on),
            Self::KeepAliveIdle(time) => sockopt::set_tcp_keepidle(fd, seconds(time)?),
            Self::KeepAliveInterval(time) => sockopt::set_tcp_keepintvl(fd, seconds(time)?),
            Self::KeepAliveCount(0) | Self::HopLimit(0) => Err(Errno::INVAL),
            Self::KeepAliveCount(count) => sockopt::set_tcp_keepcnt(fd, count.min(MAX_KEEP_ALIVE_COUNT)),
            Self::HopLimit(limit) => match family {
                Family::V4 => sockopt::set_ip_ttl(fd, limit.into()),
                Family::V6 => sockopt::set_ipv6_unicast_hops(fd, Some(limit)),
            },
            Self::ReceiveBuffer(size) => sockopt::set_socket_recv_buffer_size(fd, buffer(size)?),
            Self::SendBuffer(size) => sockopt::set_socket_send_buffer_size(fd, buffer(size)?),
        }
    }
}

/// The most probes Linux takes.
const MAX_KEEP_ALIVE_COUNT: u32 = 127;

/// The longest time between probes Linux takes, in seconds.
const MAX_KEEP_ALIVE_SECONDS: u64 = 32_767;

/// Biggest buffer a guest may ask for, in bytes: it is the host's kernel that pays for it.
const MAX_BUFFER: u64 = 1024 * 1024;

/// Whole seconds of at least one, which is what the system counts in.
fn seconds(nanoseconds: u64) -> Result<Duration, Errno> {
    match nanoseconds {
        0 => Err(Errno::INVAL),
        _ => Ok(Duration::from_secs(nanoseconds.div_ceil(1_000_000_000).min(MAX_KEEP_ALIVE_SECONDS))),
    }
}

fn buffer(size: u64) -> Result<usize, Errno> {
    match size {
        0 => Err(Errno::INVAL),
        _ => usize::try_from(size.min(MAX_BUFFER)).map_err(|_| Errno::INVAL),
    }
}

pub(super) fn keep_alive(fd: BorrowedFd<'_>) -> Result<bool, Errno> {
    sockopt::socket_keepalive(fd)
}

pub(super) fn keep_alive_idle(fd: BorrowedFd<'_>) -> Result<u64, Errno> {
    sockopt::tcp_keepidle(fd).map(nanoseconds)
}

pub(super) fn keep_alive_interval(fd: BorrowedFd<'_>) -> Result<u64, Errno> {
    sockopt::tcp_keepintvl(fd).map(nanoseconds)
}

pub(super) fn keep_alive_count(fd: BorrowedFd<'_>) -> Result<u32, Errno> {
    sockopt::tcp_keepcnt(fd)
}

pub(super) fn hop_limit(fd: BorrowedFd<'_>, family: Family) -> Result<u8, Errno> {
    match family {
        Family::V4 => u8::try_from(sockopt::ip_ttl(fd)?).map_err(|_| Errno::OPNOTSUPP),
        Family::V6 => sockopt::ipv6_unicast_hops(fd),
    }
}

pub(super) fn receive_buffer(fd: BorrowedFd<'_>) -> Result<u64, Errno> {
    sockopt::socket_recv_buffer_size(fd).map(asked_for)
}

pub(super) fn send_buffer(fd: BorrowedFd<'_>) -> Result<u64, Errno> {
    sockopt::socket_send_buffer_size(fd).map(asked_for)
}

fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

/// Linux doubles what was asked for, to have room for its own books.
fn asked_for(size: usize) -> u64 {
    u64::try_from(size / 2).unwrap_or(u64::MAX)
}
