//! The names of a run: each is looked up once, and keeps the addresses it then had.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::OnceCell;

use super::address::special;
use super::resolver::Resolver;
use crate::sandbox::denials::Denials;

/// Different names a run may look up. A guest that has `*.example.com` could send a secret through the names it asks
/// for, one label at a time; this is the end of it.
const MAX_NAMES: usize = 256;

/// Addresses that are kept of one name.
const MAX_ADDRESSES: usize = 16;

/// Lookups of a run that failed for now, and may be tried again.
const MAX_RETRIES: usize = 256;

/// Why a name has no addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unresolved {
    /// It is not a name, or could be taken for an address.
    Invalid,
    /// It is not granted, or none of its addresses may be used.
    Denied,
    /// There is no such name, or it has no address.
    NotFound,
    /// No name server answered in time, or the run has looked up as many names as it may.
    Failed,
}

/// What was found: for good, once it is there.
type Pin = Arc<OnceCell<Result<Vec<IpAddr>, Unresolved>>>;

/// The names of a run and what looks them up.
#[derive(Debug)]
pub(super) struct Names {
    resolver: Resolver,
    pins: Mutex<Pins>,
}

#[derive(Debug, Default)]
struct Pins {
    by_name: HashMap<String, Pin>,
    retries: usize,
}

impl Names {
    pub(super) fn new(servers: Option<Arc<[SocketAddr]>>) -> Self {
        Self { resolver: Resolver::new(servers), pins: Mutex::default() }
    }

    pub(super) async fn lookup(
        &self,
        name: &str,
        keeps: impl Fn(IpAddr) -> bool,
        denials: &Denials,
    ) -> Result<Vec<IpAddr>, Unresolved> {
        let pin = {
            let mut pins = self.pins();
            if !pins.by_name.contains_key(name) && pins.by_name.len() >= MAX_NAMES {
                denials.note_limit("resolve", &format!("more than {MAX_NAMES} names"));
                return Err(Unresolved::Failed);
            }
            pins.by_name.entry(name.to_owned()).or_default().clone()
        };
        let looked_up = pin.get_or_try_init(|| async {
            match self.resolver.lookup(name).await {
                Ok(found) if found.is_empty() => Ok(Err(Unresolved::NotFound)),
                Ok(found) => {
                    let found = found.into_iter().take(MAX_ADDRESSES);
                    let (kept, dropped): (Vec<IpAddr>, Vec<IpAddr>) = found.partition(|address| keeps(*address));
                    for address in dropped {
                        let what = format!("{name} at {address} ({})", special(address).unwrap_or("public"));
                        // A name that keeps another address was not refused.
                        if kept.is_empty() {
                            denials.note("resolve", &what)
                        } else {
                            denials.note_limit("resolve", &what)
                        }
                    }
                    Ok(if kept.is_empty() { Err(Unresolved::Denied) } else { Ok(kept) })
                }
                // What may get better is asked again, but not for ever.
                Err(Unresolved::Failed) if self.may_retry() => Err(Unresolved::Failed),
                Err(why) => Ok(Err(why)),
            }
        });
        looked_up.await?.clone()
    }

    /// Whether a name with this address passes a test.
    pub(super) fn any_at(&self, address: IpAddr, test: impl Fn(&str) -> bool) -> bool {
        self.pins().by_name.iter().any(|(name, pin)| {
            pin.get().is_some_and(|found| found.as_ref().is_ok_and(|found| found.contains(&address))) && test(name)
        })
    }

    fn may_retry(&self) -> bool {
        let mut pins = self.pins();
        pins.retries += 1;
        pins.retries < MAX_RETRIES
    }

    fn pins(&self) -> MutexGuard<'_, Pins> {
        // Nothing that holds the lock leaves the names half changed.
        self.pins.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
