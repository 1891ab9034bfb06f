#![allow(clippy::unwrap_used, clippy::panic)]

use std::fs::File;
use std::io::{Read, Seek, Write};

use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};

use super::*;

const CAPS: Caps = Caps { metadata: 100, tail: 1 << 20, descriptors: 2 };

fn pair() -> (OwnedFd, OwnedFd) {
    socketpair(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None).unwrap()
}

fn never() -> ControlFlow<()> {
    ControlFlow::Continue(())
}

/// Writes raw bytes to one end, and gives what the other makes of them.
fn heard(bytes: &[u8]) -> Result<Option<Frame>, Broken> {
    let (ours, theirs) = pair();
    File::from(theirs.try_clone().unwrap()).write_all(bytes).unwrap();
    Link::of_parent(ours).receive(CAPS)
}

fn header(metadata: u32, descriptors: u32, request: u64, tail: u64) -> Vec<u8> {
    [&metadata.to_le_bytes()[..], &descriptors.to_le_bytes(), &request.to_le_bytes(), &tail.to_le_bytes()].concat()
}

#[test]
fn a_frame_arrives_whole_with_its_descriptors() {
    let (ours, theirs) = pair();
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(b"in a file").unwrap();
    file.rewind().unwrap();
    let (parent, mut child) = (Link::of_parent(ours), Link::of_child(theirs));
    let tail = vec![7; 700_000];
    std::thread::scope(|scope| {
        scope.spawn(|| parent.send(42, b"{}", [&tail, b"end"], &[file.as_fd()], &mut never).unwrap());
        let frame = loop {
            if let Some(frame) = child.receive(CAPS).unwrap() {
                break frame;
            }
            child.wait(None);
        };
        assert_eq!((42, &b"{}"[..], 700_003), (frame.request, &frame.metadata[..], frame.tail.len()));
        assert!(frame.tail.ends_with(b"\x07end"));
        let [descriptor] = <[OwnedFd; 1]>::try_from(frame.descriptors).unwrap();
        let mut text = String::new();
        File::from(descriptor).read_to_string(&mut text).unwrap();
        assert_eq!("in a file", text);
    });
}

#[test]
fn frames_that_come_together_are_told_apart() {
    let (ours, theirs) = pair();
    let (sender, mut receiver) = (Link::of_child(theirs), Link::of_parent(ours));
    sender.send(1, b"a", [b"b", b"c"], &[], &mut never).unwrap();
    sender.send(2, b"d", [b"", b""], &[], &mut never).unwrap();
    let [first, second] = [(); 2].map(|()| receiver.receive(CAPS).unwrap().unwrap());
    assert_eq!((1, b"bc".to_vec(), 2, b"d".to_vec()), (first.request, first.tail, second.request, second.metadata));
    assert!(receiver.receive(CAPS).unwrap().is_none());
    drop(sender);
    assert!(matches!(receiver.receive(CAPS), Err(Broken::Closed)));
}

#[test]
fn attack_lengths_beyond_their_bounds_are_refused_before_anything_is_kept() {
    for bytes in [
        header(101, 0, 1, 0),
        header(u32::MAX, 0, 1, 0),
        header(1, 0, 1, (1 << 20) + 1),
        header(1, 0, 1, u64::MAX),
        header(u32::MAX, u32::MAX, u64::MAX, u64::MAX),
        header(1, 3, 1, 0),
    ] {
        assert!(matches!(heard(&bytes), Err(Broken::Protocol(_))), "{bytes:?}");
    }
}

#[test]
fn attack_descriptors_that_do_not_come_are_missed() {
    let bytes = [header(1, 1, 1, 0), b"x".to_vec()].concat();
    assert!(matches!(heard(&bytes), Err(Broken::Protocol(_))));
}

#[test]
fn attack_a_frame_that_never_ends_is_waited_for_and_not_believed() {
    assert!(heard(&header(10, 0, 1, 10)).unwrap().is_none());
    assert!(heard(&[1, 2, 3]).unwrap().is_none());
}

#[test]
fn attack_descriptors_sent_to_a_parent_do_not_arrive() {
    let (ours, theirs) = pair();
    let before = std::fs::read_dir("/proc/self/fd").unwrap().count();
    let file = File::open("/dev/null").unwrap();
    Link::of_child(theirs).send(1, b"x", [b"", b""], &[file.as_fd(), file.as_fd()], &mut never).unwrap();
    drop(file);
    let mut parent = Link::of_parent(ours);
    assert!(matches!(parent.receive(Caps { descriptors: 0, ..CAPS }), Err(Broken::Protocol(_))));
    assert!(parent.descriptors.is_empty());
    // Other tests of this process open and close files meanwhile: some more are none of these.
    assert!(std::fs::read_dir("/proc/self/fd").unwrap().count() <= before + 50);
}

#[test]
fn attack_a_worker_that_reads_nothing_does_not_hold_its_parent() {
    let (ours, _theirs) = pair();
    let mut looks = 0;
    let mut look = || {
        looks += 1;
        if looks > 2 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    };
    let sent = Link::of_parent(ours).send(1, b"x", [&vec![0; 10 << 20], b""], &[], &mut look);
    assert!(matches!(sent, Err(Broken::GaveUp)));
}
