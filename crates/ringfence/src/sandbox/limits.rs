//! Totals over a run: memory of every instance, and what the host keeps for the guest.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use wasmtime::ResourceLimiter;

/// Instances, memories and tables one run may have, each.
///
/// A component of componentize-py has about a hundred core instances; a bomb has as many as it may.
const MAX_ITEMS: usize = 400;

/// Bytes the host keeps for one table element.
const TABLE_ELEMENT_BYTES: usize = size_of::<usize>();

/// Sums what a run takes and says no at the limit.
#[derive(Debug)]
pub struct Limiter {
    limit: u64,
    taken: u64,
    peak: u64,
    refused: Option<Refused>,
}

/// What growths were refused.
#[derive(Clone, Copy, Debug)]
pub struct Refused {
    /// The total that the first of them would have made, in bytes.
    pub wanted: u64,
    /// How many.
    pub count: u64,
    /// When first.
    pub first: Instant,
}

impl Limiter {
    /// Lets a run take `limit` bytes.
    pub fn new(limit: u64) -> Self {
        Self { limit, taken: 0, peak: 0, refused: None }
    }

    /// A turn begins: its limit, and nothing refused yet.
    pub fn begin(&mut self, limit: u64) {
        self.limit = limit;
        self.refused = None;
    }

    /// The most that was taken at one time, in bytes.
    pub fn peak(&self) -> u64 {
        self.peak
    }

    /// What is taken now, in bytes.
    pub(crate) fn taken(&self) -> u64 {
        self.taken
    }

    /// The growths that were refused, if any was.
    pub fn refused(&self) -> Option<Refused> {
        self.refused
    }

    /// Takes so much more, if it may.
    pub(crate) fn grow(&mut self, bytes: usize) -> bool {
        let wanted = self.taken.saturating_add(bytes as u64);
        if wanted > self.limit {
            let refused = self.refused.get_or_insert_with(|| Refused { wanted, count: 0, first: Instant::now() });
            refused.count += 1;
            return false;
        }
        self.taken = wanted;
        self.peak = self.peak.max(wanted);
        true
    }
}

impl ResourceLimiter for Limiter {
    fn memory_growing(&mut self, current: usize, desired: usize, maximum: Option<usize>) -> wasmtime::Result<bool> {
        if maximum.is_some_and(|maximum| desired > maximum) {
            return Ok(false);
        }
        Ok(self.grow(desired.saturating_sub(current)))
    }

    fn table_growing(&mut self, current: usize, desired: usize, maximum: Option<usize>) -> wasmtime::Result<bool> {
        if maximum.is_some_and(|maximum| desired > maximum) {
            return Ok(false);
        }
        Ok(self.grow(desired.saturating_sub(current).saturating_mul(TABLE_ELEMENT_BYTES)))
    }

    fn instances(&self) -> usize {
        MAX_ITEMS
    }

    fn tables(&self) -> usize {
        MAX_ITEMS
    }

    fn memories(&self) -> usize {
        MAX_ITEMS
    }
}

/// A total that a guest may take from; what is taken is given back when it is dropped.
#[derive(Clone, Debug)]
pub struct Allowance {
    limit: u64,
    taken: Arc<AtomicU64>,
}

/// A part of an allowance, for as long as it lives.
#[derive(Debug)]
pub struct Share {
    limit: u64,
    all: Arc<AtomicU64>,
    own: u64,
}

impl Allowance {
    /// Lets a run take `limit` at one time.
    pub fn new(limit: u64) -> Self {
        Self { limit, taken: Arc::default() }
    }

    /// Takes a part, if there is so much left.
    pub fn take(&self, amount: u64) -> Option<Share> {
        let mut share = Share { limit: self.limit, all: self.taken.clone(), own: 0 };
        share.grow(amount).then_some(share)
    }
}

impl Share {
    /// Takes more, if there is so much left.
    pub fn grow(&mut self, amount: u64) -> bool {
        let fits = |taken: u64| taken.checked_add(amount).filter(|taken| *taken <= self.limit);
        let granted = self.all.fetch_update(Ordering::Relaxed, Ordering::Relaxed, fits).is_ok();
        if granted {
            self.own += amount;
        }
        granted
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.all.fetch_sub(self.own, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_is_given_back_when_it_is_dropped() {
        let allowance = Allowance::new(10);
        let first = allowance.take(6);
        assert!(first.is_some() && allowance.take(5).is_none());
        drop(first);
        assert!(allowance.take(10).is_some_and(|mut all| !all.grow(1)));
    }

    #[test]
    fn memories_and_tables_share_one_total() {
        let mut limiter = Limiter::new(100);
        assert!(limiter.memory_growing(0, 60, None).is_ok_and(|granted| granted));
        assert!(limiter.table_growing(0, 5, None).is_ok_and(|granted| granted));
        assert!(limiter.refused().is_none());
        assert!(limiter.memory_growing(0, 1, None).is_ok_and(|granted| !granted));
        assert_eq!(
            (100, Some((101, 1))),
            (limiter.peak(), limiter.refused().map(|refused| (refused.wanted, refused.count)))
        );
    }

    #[test]
    fn a_maximum_of_its_own_is_not_our_refusal() {
        let mut limiter = Limiter::new(100);
        assert!(limiter.memory_growing(0, 20, Some(10)).is_ok_and(|granted| !granted));
        assert!(limiter.refused().is_none());
    }
}
