//! What is in the cache, and making room in it.

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustix::fs::AtFlags;
use serde::Serialize;

use crate::load::cache::MAX_CACHE_BYTES;
use crate::load::cache_dir::{CacheDir, TEMPORARY, UNFINISHED};

/// Age past which an unfinished file belongs to nobody: no compilation takes that long.
const STALE: Duration = Duration::from_secs(3600);

/// Age past which nobody is expected to go on with unfinished work.
const GIVEN_UP: Duration = Duration::from_secs(7 * 24 * 3600);

/// Where the cache is and what is in it, for `ringfence cache`.
#[derive(Clone, Debug, Serialize)]
pub struct CacheInfo {
    /// Its directory.
    pub path: Option<PathBuf>,
    /// Compiled programs in it.
    pub entries: u64,
    /// What they take, in bytes.
    pub bytes: u64,
    /// Whether nobody else may even read it.
    pub private: bool,
    /// Why there is no cache, when there is none.
    pub problem: Option<String>,
}

/// What pruning did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Pruned {
    /// Entries removed.
    pub removed: u64,
    /// Bytes given back.
    pub freed_bytes: u64,
}

pub(super) fn info(path: Option<&Path>, dir: Option<&CacheDir>, problem: Option<String>) -> CacheInfo {
    let items = dir.map(list).unwrap_or_default();
    CacheInfo {
        path: path.map(Path::to_owned),
        entries: items.iter().filter(|item| item.name.ends_with(".cwasm")).count() as u64,
        bytes: items.iter().map(|item| item.bytes).sum(),
        private: dir.is_some_and(|dir| dir.private),
        problem,
    }
}

/// Removes what killed processes left behind, then the least recently used entries down to `keep_bytes`.
pub(super) fn prune(dir: &CacheDir, keep_bytes: u64) -> Pruned {
    let now = SystemTime::now();
    let (left_behind, items): (Vec<_>, Vec<_>) = list(dir).into_iter().partition(|item| {
        let most = match item.name.ends_with(UNFINISHED) {
            true if keep_bytes == 0 => return true,
            true => Some(GIVEN_UP),
            false => (item.name.starts_with(TEMPORARY) || item.name.ends_with(".lock")).then_some(STALE),
        };
        most.is_some_and(|most| now.duration_since(item.modified).is_ok_and(|age| age > most))
    });
    let mut pruned = Pruned::default();
    for item in &left_behind {
        dir.remove(&item.name);
        pruned.freed_bytes += item.bytes;
    }
    let mut entries = entries(items);
    entries.sort_by_key(|entry| entry.used);
    let mut kept: u64 = entries.iter().map(|entry| entry.bytes).sum();
    for entry in entries {
        if kept <= keep_bytes {
            break;
        }
        // The seal goes first: code without a seal is not there. Who has mapped the code keeps it.
        dir.remove(&format!("{}.seal", entry.name));
        dir.remove(&format!("{}.cwasm", entry.name));
        kept -= entry.bytes;
        pruned.removed += 1;
        pruned.freed_bytes += entry.bytes;
    }
    pruned
}

/// Makes room for a new entry, so that programs nobody trusts cannot fill the disk through the cache.
///
/// It has to look at every entry, so a small one makes room for about [`LOOK_EVERY`] others that come without a look:
/// what they may take together is a fraction of the cache.
pub(super) fn make_room(dir: &CacheDir, bytes: u64) {
    let mut dice = [0];
    let is_small = bytes < MAX_CACHE_BYTES / (2 * LOOK_EVERY);
    // Without random numbers it looks.
    if is_small && getrandom::fill(&mut dice).is_ok() && u64::from(dice[0]) % LOOK_EVERY != 0 {
        return;
    }
    prune(dir, MAX_CACHE_BYTES.saturating_sub(bytes));
}

/// New entries for each that makes room.
const LOOK_EVERY: u64 = 64;

struct Item {
    name: String,
    bytes: u64,
    modified: SystemTime,
}

struct Entry {
    name: String,
    bytes: u64,
    used: SystemTime,
}

/// Code and seal of each entry as one. A half alone counts too: nothing else would ever remove it.
fn entries(items: Vec<Item>) -> Vec<Entry> {
    let mut entries: std::collections::HashMap<String, Entry> = std::collections::HashMap::new();
    for Item { name, bytes, modified } in items {
        let Some(stem) = name.strip_suffix(".cwasm").or_else(|| name.strip_suffix(".seal")) else { continue };
        let entry = entries.entry(stem.to_owned());
        let entry = entry.or_insert_with(|| Entry { name: stem.to_owned(), bytes: 0, used: modified });
        entry.bytes += bytes;
        // The seal's time stamp is the last use, and never before that of the code.
        entry.used = entry.used.max(modified);
    }
    entries.into_values().collect()
}

fn list(dir: &CacheDir) -> Vec<Item> {
    let Ok(listing) = rustix::fs::Dir::read_from(&dir.fd) else { return Vec::new() };
    let names = listing.filter_map(|entry| entry.ok()?.file_name().to_str().ok().map(str::to_owned));
    names
        .filter(|name| {
            name.starts_with(TEMPORARY)
                || [".cwasm", ".seal", ".lock", UNFINISHED].iter().any(|suffix| name.ends_with(suffix))
        })
        .filter_map(|name| {
            let stat = rustix::fs::statat(&dir.fd, &name, AtFlags::SYMLINK_NOFOLLOW).ok()?;
            let seconds = Duration::from_secs(u64::try_from(stat.st_mtime).unwrap_or_default());
            // What it takes on the disk: compiled code may be mostly holes.
            let bytes = u64::try_from(stat.st_blocks).unwrap_or_default() * 512;
            Some(Item { name, bytes, modified: UNIX_EPOCH + seconds })
        })
        .collect()
}
