//! The compiler child, for embeddings that have no process of their own to run it in.

fn main() {
    std::process::exit(ringfence::load::compile_child());
}
