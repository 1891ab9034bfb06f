//! What all turns of a session have used together, of the totals that its policy gives them.

use std::time::Duration;

use crate::policy::Limits;
use crate::result::Usage;
use crate::sandbox::stop::Limit;

/// So much.
#[derive(Clone, Copy, Default)]
pub(super) struct Spent {
    wall: Duration,
    cpu: Duration,
    output: u64,
    fuel: u64,
}

impl Spent {
    /// One more turn.
    pub(super) fn add(&mut self, usage: &Usage) {
        self.wall = self.wall.saturating_add(usage.wall);
        self.cpu = self.cpu.saturating_add(usage.cpu);
        self.output = self.output.saturating_add(usage.output);
        self.fuel = self.fuel.saturating_add(usage.fuel.unwrap_or(0));
    }

    /// The limits of a turn, within what is left of the session's; or the total that is used up.
    pub(super) fn left(&self, mut limits: Limits, totals: &Limits) -> Result<Limits, Limit> {
        let left = |total: Duration, spent: Duration, limit: Limit| match total.saturating_sub(spent) {
            Duration::ZERO => Err(limit),
            left => Ok(left),
        };
        limits.wall.0 = limits.wall.0.min(left(totals.wall.0, self.wall, Limit::Wall)?);
        if let Some(total) = totals.cpu {
            let left = left(total.0, self.cpu, Limit::Cpu)?;
            limits.cpu = limits.cpu.map(|mut cpu| {
                cpu.0 = cpu.0.min(left);
                cpu
            });
        }
        limits.output.0 = limits.output.0.min(totals.output.0.saturating_sub(self.output));
        if let Some(total) = totals.fuel {
            let left = total.checked_sub(self.fuel).filter(|left| *left > 0).ok_or(Limit::Fuel)?;
            limits.fuel = limits.fuel.map(|fuel| fuel.min(left));
        }
        Ok(limits)
    }
}
