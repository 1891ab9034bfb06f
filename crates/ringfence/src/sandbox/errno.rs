//! Error numbers as a guest sees them, one list for every WASI level.

use std::io;

use wasmtime_wasi::p2::bindings::filesystem::types::ErrorCode;

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

impl Errno {
    /// The name a WASI 0.2 program sees.
    pub fn to_p2(self) -> ErrorCode {
        match self {
            Self::Acces => ErrorCode::Access,
            Self::Again => ErrorCode::WouldBlock,
            Self::Badf => ErrorCode::BadDescriptor,
            Self::Busy => ErrorCode::Busy,
            Self::Dquot => ErrorCode::Quota,
            Self::Exist => ErrorCode::Exist,
            Self::Fbig => ErrorCode::FileTooLarge,
            Self::Ilseq => ErrorCode::IllegalByteSequence,
            Self::Inval | Self::Fault => ErrorCode::Invalid,
            Self::Io => ErrorCode::Io,
            Self::Isdir => ErrorCode::IsDirectory,
            Self::Loop => ErrorCode::Loop,
            Self::Mfile | Self::Nomem => ErrorCode::InsufficientMemory,
            Self::Mlink => ErrorCode::TooManyLinks,
            Self::Nametoolong => ErrorCode::NameTooLong,
            Self::Nodev => ErrorCode::NoDevice,
            Self::Noent => ErrorCode::NoEntry,
            Self::Nospc => ErrorCode::InsufficientSpace,
            Self::Notdir => ErrorCode::NotDirectory,
            Self::Notempty => ErrorCode::NotEmpty,
            Self::Notsup | Self::Nosys | Self::Notsock => ErrorCode::Unsupported,
            Self::Nxio => ErrorCode::NoSuchDevice,
            Self::Overflow => ErrorCode::Overflow,
            Self::Perm | Self::Notcapable => ErrorCode::NotPermitted,
            Self::Pipe => ErrorCode::Pipe,
            Self::Rofs => ErrorCode::ReadOnly,
            Self::Spipe => ErrorCode::InvalidSeek,
            Self::Txtbsy => ErrorCode::TextFileBusy,
            Self::Xdev => ErrorCode::CrossDevice,
        }
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
