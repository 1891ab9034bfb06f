//! A worker, for embeddings that have no process of their own to run it in.

fn main() {
    std::process::exit(ringfence::worker::serve());
}
