//! Any text as a policy in JSON, which is how Python hands one over; and as limits that narrow it.
#![no_main]

use std::path::Path;

use libfuzzer_sys::fuzz_target;
use ringfence::Policy;
use ringfence::policy::LimitsPatch;

fuzz_target!(|text: &str| {
    let _ = LimitsPatch::from_json(text);
    match Policy::from_json(text, Path::new("/base")) {
        Ok(policy) => {
            let written = policy.to_json().expect("a policy that was read can be written");
            let again = Policy::from_json(&written, Path::new("/base")).expect("what was written is a policy");
            assert_eq!(policy, again, "{written}");
        }
        Err(error) => {
            let shown = error.to_string();
            assert!(shown.len() < 10_000, "an error of {} bytes", shown.len());
            assert!(!shown.chars().any(|c| c.is_control() && c != '\n'), "{shown:?}");
        }
    }
});
