//! Any text as a policy file: refused with an error that is safe to print, or a policy that reads back as itself.
#![no_main]

use libfuzzer_sys::fuzz_target;
use ringfence::Policy;

fuzz_target!(|text: &str| {
    match Policy::from_toml(text, "policy.toml") {
        Ok(policy) => {
            let written = policy.to_toml().expect("a policy that was read can be written");
            let again = Policy::from_toml(&written, "policy.toml").expect("what was written is a policy");
            assert_eq!(policy, again, "{written}");
        }
        Err(error) => {
            let shown = error.to_string();
            assert!(shown.len() < 10_000, "an error of {} bytes", shown.len());
            assert!(!shown.chars().any(|c| c.is_control() && c != '\n'), "{shown:?}");
        }
    }
});
