//! Error numbers as a guest sees them, one list for every WASI level.

use std::io;

use wasmtime_wasi::p2::bindings::filesystem::types::ErrorCode as P2;
use wasmtime_wasi::p3::bindings::filesystem::types::ErrorCode as P3;

/// Why an act of the guest failed; the numbers are those of WASI 0.1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u16)]
#[allow(missing_docs)]
pub enum Errno {
    Acces = 2,
    Again = 6,
    Badf = 8,
    Busy = 10,
    Dquot = 19,
    Exist = 20,
    Fault = 21,
    Fbig = 22,
    Ilseq = 25,
    Inval = 28,
    Io = 29,
    Isdir = 31,
    Loop = 32,
    Mfile = 33,
    Mlink = 34,
    Nametoolong = 37,
    Nodev = 43,
    Noent = 44,
    Nomem = 48,
    Nospc = 51,
    Nosys = 52,
    Notdir = 54,
    Notempty = 55,
    Notsock = 57,
    Notsup = 58,
    Nxio = 60,
    Overflow = 61,
    Perm = 63,
    Pipe = 64,
    Rofs = 69,
    Spipe = 70,
    Txtbsy = 74,
    Xdev = 75,
    Notcapable = 76,
}

/// The name of an error number, for the levels that have names; only their words for "not now" differ.
macro_rules! named {
    ($errno:expr, $Code:ident, again: $again:expr) => {
        match $errno {
            Errno::Acces => $Code::Access,
            Errno::Again => $again,
            Errno::Badf => $Code::BadDescriptor,
            Errno::Busy => $Code::Busy,
            Errno::Dquot => $Code::Quota,
            Errno::Exist => $Code::Exist,
            Errno::Fbig => $Code::FileTooLarge,
            Errno::Ilseq => $Code::IllegalByteSequence,
            Errno::Inval | Errno::Fault => $Code::Invalid,
            Errno::Io => $Code::Io,
            Errno::Isdir => $Code::IsDirectory,
            Errno::Loop => $Code::Loop,
            Errno::Mfile | Errno::Nomem => $Code::InsufficientMemory,
            Errno::Mlink => $Code::TooManyLinks,
            Errno::Nametoolong => $Code::NameTooLong,
            Errno::Nodev => $Code::NoDevice,
            Errno::Noent => $Code::NoEntry,
            Errno::Nospc => $Code::InsufficientSpace,
            Errno::Notdir => $Code::NotDirectory,
            Errno::Notempty => $Code::NotEmpty,
            Errno::Notsup | Errno::Nosys | Errno::Notsock => $Code::Unsupported,
            Errno::Nxio => $Code::NoSuchDevice,
            Errno::Overflow => $Code::Overflow,
            Errno::Perm | Errno::Notcapable => $Code::NotPermitted,
            Errno::Pipe => $Code::Pipe,
            Errno::Rofs => $Code::ReadOnly,
            Errno::Spipe => $Code::InvalidSeek,
            Errno::Txtbsy => $Code::TextFileBusy,
            Errno::Xdev => $Code::CrossDevice,
        }
    };
}

impl Errno {
    /// The name a WASI 0.2 program sees.
    pub fn to_p2(self) -> P2 {
        named!(self, P2, again: P2::WouldBlock)
    }

    /// The name a WASI 0.3 program sees.
    pub fn to_p3(self) -> P3 {
        named!(self, P3, again: P3::Other(None))
    }
}

/// As the reason of a failed stream: WASI 0.2 asks for the number afterwards.
impl std::error::Error for Errno {}

impl std::fmt::Display for Errno {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{self:?}")
    }
}

impl From<rustix::io::Errno> for Errno {
    fn from(errno: rustix::io::Errno) -> Self {
        use rustix::io::Errno as Host;
        match errno {
            Host::ACCESS => Self::Acces,
            Host::AGAIN => Self::Again,
            Host::BADF => Self::Badf,
            Host::BUSY => Self::Busy,
            Host::DQUOT => Self::Dquot,
            Host::EXIST => Self::Exist,
            Host::FBIG => Self::Fbig,
            Host::ILSEQ => Self::Ilseq,
            Host::INVAL => Self::Inval,
            Host::ISDIR => Self::Isdir,
            Host::LOOP => Self::Loop,
            // The host's table is full, not the guest's: the same to the guest.
            Host::MFILE | Host::NFILE => Self::Mfile,
            Host::MLINK => Self::Mlink,
            Host::NAMETOOLONG => Self::Nametoolong,
            Host::NODEV => Self::Nodev,
            Host::NOENT => Self::Noent,
            Host::NOMEM => Self::Nomem,
            Host::NOSPC => Self::Nospc,
            Host::NOTDIR => Self::Notdir,
            Host::NOTEMPTY => Self::Notempty,
            Host::NOTSUP => Self::Notsup,
            Host::NXIO => Self::Nxio,
            Host::OVERFLOW => Self::Overflow,
            Host::PERM => Self::Perm,
            Host::PIPE => Self::Pipe,
            Host::ROFS => Self::Rofs,
            Host::SPIPE => Self::Spipe,
            Host::TXTBSY => Self::Txtbsy,
            Host::XDEV => Self::Xdev,
            _ => Self::Io,
        }
    }
}

impl From<io::Error> for Errno {
    fn from(error: io::Error) -> Self {
        if let Some(raw) = error.raw_os_error() {
            return Self::from(rustix::io::Errno::from_raw_os_error(raw));
        }
        match error.kind() {
            io::ErrorKind::NotFound => Self::Noent,
            io::ErrorKind::PermissionDenied => Self::Perm,
            io::ErrorKind::AlreadyExists => Self::Exist,
            io::ErrorKind::InvalidInput => Self::Inval,
            io::ErrorKind::NotADirectory => Self::Notdir,
            io::ErrorKind::IsADirectory => Self::Isdir,
            _ => Self::Io,
        }
    }
}
