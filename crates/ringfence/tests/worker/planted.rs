//! A worker with host functions that no guest may have: only what is around it is left to hold one.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

#[path = "../wall/attacks_unsafe.rs"]
#[allow(dead_code)]
mod attacks_unsafe;
mod deeds;

fn main() {
    ringfence::worker::plant(deeds::functions);
    std::process::exit(ringfence::worker::serve());
}
