//! Any bytes from a worker that has fallen: whatever way they come in pieces, what is believed of them is the same,
//! safe to print, and within the limits of the run. The same bytes to a worker break nothing either.
//!
//! An input is frames as they are, or one line of metadata and a tail, for which a header is made.
#![no_main]

use libfuzzer_sys::fuzz_target;
use ringfence::RunResult;
use ringfence::policy::Limits;
use ringfence::worker::heard::{Believed, by_child, by_parent};

fn framed(input: &[u8]) -> Vec<u8> {
    let Some(rest) = input.strip_prefix(b"{") else { return input.to_vec() };
    let end = rest.iter().position(|byte| *byte == b'\n').unwrap_or(rest.len());
    let (metadata, tail) = (&input[..=end], rest.get(end + 1..).unwrap_or_default());
    let mut frame = Vec::new();
    frame.extend(u32::try_from(metadata.len()).unwrap().to_le_bytes());
    frame.extend(0_u32.to_le_bytes());
    frame.extend(7_u64.to_le_bytes());
    frame.extend((tail.len() as u64).to_le_bytes());
    [&frame, metadata, tail].concat()
}

fn check(result: &RunResult, limits: &Limits) {
    assert!((result.stdout.len() + result.stderr.len()) as u64 <= limits.output.0);
    assert!(result.usage.output <= limits.output.0 && result.usage.wall.as_secs() <= 1);
    assert!(result.denials.len() <= 200);
    let shown = result.denials.iter().map(|denial| denial.what.as_str()).chain(result.trap.as_deref());
    for text in shown.chain(result.backtrace.iter().flat_map(|lines| lines.split('\n'))) {
        assert!(text.len() < 10_000 && !text.chars().any(char::is_control), "{text:?}");
    }
}

fuzz_target!(|input: &[u8]| {
    let mut limits = Limits::default();
    limits.output.0 = 1000;
    let sent = framed(input);
    let (whole, why) = by_parent(&sent, usize::MAX, &limits);
    for believed in &whole {
        match believed {
            Believed::Ended(result) => check(result, &limits),
            Believed::Failed(error) => {
                let shown = error.to_string();
                assert!(shown.len() < 10_000, "an error of {} bytes", shown.len());
                assert!(!shown.chars().any(|c| c.is_control() && c != '\n'), "{shown:?}");
            }
            Believed::Called(function, params) => assert!(*function < 2 && *params == 2),
            Believed::Turned(result) => {
                assert!((result.stdout.len() + result.stderr.len()) as u64 <= limits.output.0);
                assert!(result.usage.output <= limits.output.0 && result.usage.wall.as_secs() <= 1);
            }
            Believed::Asked(bytes) => assert!(*bytes as u64 <= limits.host_bytes.0),
            Believed::Gave(tape) => {
                let mut from = tape.reader();
                while from.clone().word().is_ok() {
                    let _ = from.piece();
                }
            }
            Believed::Other => {}
        }
    }
    let piece = 1 + usize::from(input.last().copied().unwrap_or(0) % 40);
    assert_eq!(format!("{:?}", (&whole, &why)), format!("{:?}", by_parent(&sent, piece, &limits)), "pieces of {piece}");
    assert_eq!(by_child(&sent, usize::MAX), by_child(&sent, piece), "pieces of {piece}");
});
