//! A terminal of our own, which nobody looks at.
#![allow(unsafe_code)]

use std::fs::File;

use rustix::ioctl::{Getter, Setter, ioctl};

/// Unlocks the other side of a terminal (`TIOCSPTLCK`).
const UNLOCK: u32 = 0x4004_5431;
/// Asks for its number (`TIOCGPTN`).
const NUMBER: u32 = 0x8004_5430;

/// Both sides: the one that shows what is written, and the one that programs write to.
pub fn terminal() -> (File, File) {
    let open = |path: &str| File::options().read(true).write(true).open(path).unwrap();
    let shows = open("/dev/ptmx");
    // SAFETY: both take a pointer to an `int`, which is what these types hand over.
    let number = unsafe {
        ioctl(&shows, Setter::<UNLOCK, i32>::new(0)).unwrap();
        ioctl(&shows, Getter::<NUMBER, u32>::new()).unwrap()
    };
    (shows, open(&format!("/dev/pts/{number}")))
}
