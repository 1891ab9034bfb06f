//! What the calls of a plugin use.

use std::time::Duration;

use super::call::Called;

/// What a plugin has used so far.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[allow(missing_docs)]
pub struct Usage {
    pub calls: u64,
    pub host_calls: u64,
    pub wall: Duration,
    pub last_wall: Duration,
    pub fuel: Option<u64>,
    pub last_fuel: Option<u64>,
    pub memory: u64,
}

impl Usage {
    /// That of two instances; the last call is the other's, if it had one.
    pub(super) fn and(self, other: Self) -> Self {
        let last = if other.calls > 0 { other } else { self };
        Self {
            calls: self.calls + other.calls,
            host_calls: self.host_calls + other.host_calls,
            wall: self.wall + other.wall,
            last_wall: last.last_wall,
            fuel: self.fuel.map_or(other.fuel, |fuel| Some(fuel.saturating_add(other.fuel.unwrap_or(0)))),
            last_fuel: last.last_fuel,
            memory: self.memory.saturating_add(other.memory),
        }
    }

    pub(super) fn add(&mut self, called: &Called, is_call: bool) {
        self.calls += u64::from(is_call);
        self.host_calls += called.host_calls;
        self.wall += called.wall;
        self.last_wall = called.wall;
        self.last_fuel = called.fuel;
        if let Some(fuel) = called.fuel {
            self.fuel = Some(self.fuel.unwrap_or(0).saturating_add(fuel));
        }
        self.memory = self.memory.max(called.memory);
    }
}
