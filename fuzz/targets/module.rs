//! Any bytes as a program: told what they are, counted and inspected, in this process and without compiling them.
#![no_main]

use libfuzzer_sys::fuzz_target;
use ringfence::{Error, Program};

fn printable(error: &Error) {
    let shown = error.to_string();
    assert!(shown.len() < 10_000, "an error of {} bytes", shown.len());
    assert!(!shown.chars().any(|c| c.is_control() && c != '\n'), "{shown:?}");
}

fuzz_target!(|bytes: &[u8]| {
    let program = match Program::from_bytes(bytes, "fuzzed") {
        Ok(program) => program,
        Err(error) => return printable(&error),
    };
    match program.inspect() {
        Ok(told) => {
            for import in told.imports {
                assert!(!import.name.chars().any(char::is_control), "{:?}", import.name);
            }
        }
        Err(error) => printable(&error),
    }
});
