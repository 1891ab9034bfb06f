//! Processes that run guests behind a second wall.

pub mod wall;
