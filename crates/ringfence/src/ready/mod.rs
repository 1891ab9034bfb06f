//! Instances that wait for runs of one sandbox: rewound after each, or made ahead of need for one.
//!
//! `place → run → leave → rewound → shelf → place`, or `spares → shelf → place`. A place that is not rewound is closed, and
//! where nothing waits a run gets a new one.

mod place;
mod reuse;
mod shelf;
mod spares;

pub(crate) use place::Place;
pub use reuse::{Placing, Reuse};
pub use shelf::Starts;
pub(crate) use shelf::{Shelf, give_back, is_empty};
