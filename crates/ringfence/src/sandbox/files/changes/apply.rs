//! Writes changes to the host: beneath the directory that was granted, through the handle that was opened then.
//!
//! No link is followed on the way. A file is written beside its place under a name of our own, and only when it is
//! whole and on the disk does it get its name, in exchange for what is there; if that is not what the guest saw, it is
//! exchanged back. So a file is the old one or the new one, never half of it, whenever this process dies.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::FileExt;

use rustix::fs::{
    AtFlags, Gid, Mode, OFlags, RenameFlags, Uid, fchmod, fchown, fstat, fsync, mkdirat, openat, renameat,
    renameat_with, statat, symlinkat, unlinkat,
};
use rustix::io::Errno as Host;

use super::compare::{After, fill, same};
use super::refusals::{conflict, failed, refuse_leading_out};
use super::{Act, Change, Changes, strays};
use crate::error::{Error, Result};
use crate::sandbox::errno::Errno;
use crate::sandbox::files::handle::{Kind, Stat};
use crate::sandbox::files::layer::Layer;
use crate::sandbox::files::layer::lower::Lower;
use crate::sandbox::files::layer::node::Seen;
use crate::sandbox::files::layer::source::Source;
use crate::text;

/// Bytes copied at one time.
const PIECE_BYTES: usize = 1 << 20;

/// Permissions that a file keeps: a guest's bytes never run as somebody else.
const KEPT_MODE: u32 = 0o777;

/// What the host says about a change.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Ready {
    /// It is as the guest saw it.
    Yes,
    /// It is already as the guest left it.
    Done,
    /// Somebody else changed it.
    Conflict,
}

impl Changes {
    /// Writes changes to the host and returns how many names that were: all, or those that `only` names, a directory
    /// with all below it. With `overwrite`, also where the host was changed since the guest first saw it.
    pub fn apply(&self, only: Option<&[String]>, overwrite: bool) -> Result<usize> {
        let list = self.list()?;
        let chosen: Vec<&Change> = match only {
            None => {
                // What is in memory has nowhere to go, and is not asked for by name.
                let on_host = |change: &&Change| self.layers[change.layer].1.host().is_some();
                let chosen: Vec<_> = list.iter().filter(on_host).collect();
                if let (true, Some(change)) = (chosen.is_empty(), list.first()) {
                    return Err(no_directory(&self.layers[change.layer].0));
                }
                chosen
            }
            Some(only) => {
                for path in only {
                    if !list.iter().any(|change| is_at(&change.path, path)) {
                        return Err(Error::policy(
                            format!("`{}` was not changed", text::quote(path)),
                            "only what the run changed can be applied",
                            "look at `result.changes` for what there is",
                        ));
                    }
                }
                let named = |change: &&Change| only.iter().any(|path| is_at(&change.path, path));
                let chosen: Vec<_> = list.iter().filter(named).collect();
                // The directories that a chosen name needs around it.
                let needed = |change: &&Change| {
                    let is_new_dir = change.act == Act::Added && change.kind == Kind::Dir;
                    named(change) || is_new_dir && chosen.iter().any(|other| is_at(&other.path, &change.path))
                };
                list.iter().filter(needed).collect()
            }
        };
        let deleted = places(&chosen, |act| act == Act::Deleted);
        let mut ready = Vec::with_capacity(chosen.len());
        let mut conflicts = Vec::new();
        for change in &chosen {
            let replaces = above(&change.place).any(|at| deleted.contains(&(change.layer, at)));
            let (at, layer) = &self.layers[change.layer];
            let Some(lower) = layer.host() else { return Err(no_directory(at)) };
            refuse_leading_out(change)?;
            match look(layer, lower, change, replaces).map_err(|errno| failed(change, errno))? {
                Ready::Done => {}
                Ready::Conflict if !overwrite => conflicts.push(*change),
                Ready::Yes | Ready::Conflict => ready.push(*change),
            }
        }
        if conflicts.is_empty() && !overwrite {
            conflicts.extend(self.grown(&ready)?);
        }
        if !conflicts.is_empty() {
            return Err(conflict(&conflicts));
        }
        self.write(&ready, overwrite)?;
        Ok(ready.len())
    }

    /// Deleted directories that have got something new in them.
    fn grown<'a>(&self, chosen: &[&'a Change]) -> Result<Vec<&'a Change>> {
        let deleted = places(chosen, |act| act == Act::Deleted);
        let mut grown = Vec::new();
        for change in chosen.iter().filter(|change| change.act == Act::Deleted && change.kind == Kind::Dir) {
            let Some(lower) = self.layers[change.layer].1.host() else { continue };
            let mut has_more = false;
            let looked = lower.names(&change.place, |entry| {
                let inside = entry.name.to_str().map(|name| format!("{}/{name}", change.place));
                has_more = !inside.is_some_and(|inside| deleted.contains(&(change.layer, inside.as_str())));
                Ok::<_, Errno>(!has_more)
            });
            looked.map_err(|errno| failed(change, errno))?;
            if has_more {
                grown.push(*change);
            }
        }
        Ok(grown)
    }

    /// What stands in the way goes first; then come directories, what goes into them, and what is to go.
    fn write(&self, ready: &[&Change], overwrite: bool) -> Result<()> {
        let (added, deleted) = (places(ready, |act| act != Act::Deleted), places(ready, |act| act == Act::Deleted));
        // A file became a directory, or the other way: with what is in it, the old one goes first.
        let in_the_way = |change: &Change| {
            let place = |at| (change.layer, at);
            above(&change.place).any(|at| added.contains(&place(at)) && deleted.contains(&place(at)))
        };
        let order = |change: &&&Change| match change.act {
            Act::Deleted if in_the_way(change) => 0,
            Act::Added if change.kind == Kind::Dir => 1,
            Act::Added | Act::Modified => 2,
            Act::Deleted => 3,
        };
        let mut steps: Vec<&&Change> = ready.iter().collect();
        steps.sort_by(|one, other| {
            let (rank, other_rank) = (order(one), order(other));
            let by_depth = if matches!(rank, 0 | 3) {
                // What is inside goes before what it is in.
                other.path.cmp(&one.path)
            } else {
                one.path.cmp(&other.path)
            };
            rank.cmp(&other_rank).then(by_depth)
        });
        // Files that were only moved are read from where they were, which may be written or gone by then.
        let spoiled: HashSet<(usize, &str)> = steps
            .iter()
            .filter(|change| order(change) < 3)
            .map(|change| (change.layer, change.place.as_str()))
            .collect();
        let mut kept: HashMap<(usize, &str), u64> = HashMap::new();
        for change in ready.iter().filter(|change| change.kind == Kind::File) {
            let source = change.after.as_ref().and_then(After::source);
            if source.is_some_and(|source| above(source).any(|at| spoiled.contains(&(change.layer, at)))) {
                let layer = &self.layers[change.layer].1;
                let number = change.after.as_ref().ok_or(Errno::Io).and_then(|after| layer.keep(&after.open(layer)?));
                kept.insert((change.layer, &change.place), number.map_err(|errno| failed(change, errno))?);
            }
        }
        let (mut touched, mut cleared) = (BTreeSet::new(), HashSet::new());
        for change in steps {
            let layer = &self.layers[change.layer].1;
            let Some(lower) = layer.host() else { continue };
            let kept = kept.get(&(change.layer, change.place.as_str())).copied();
            let done = Step::new(lower, layer.place_on_host(&change.place)).and_then(|step| {
                if cleared.insert((change.layer, step.above.clone())) {
                    strays::clear(&step.dir);
                }
                step.take(layer, change, kept, overwrite)?;
                Ok(step)
            });
            match done {
                Ok(step) => _ = touched.insert((change.layer, step.above)),
                Err(Stopped::Conflict) => return Err(conflict(&[change])),
                Err(Stopped::Errno(errno)) => return Err(failed(change, errno)),
            }
        }
        for (layer, above) in touched {
            if let Some(lower) = self.layers[layer].1.host()
                && let Ok(dir) = lower.open(&above, DIR)
            {
                // The names are there; this only makes a power cut find them.
                let _ = fsync(dir);
            }
        }
        Ok(())
    }
}

/// A path, and every directory it is in.
fn above(path: &str) -> impl Iterator<Item = &str> {
    std::iter::successors(Some(path), |at| at.rsplit_once('/').map(|(above, _)| above))
}

/// Where the changes of one sort are.
fn places<'a>(changes: &[&'a Change], is: impl Fn(Act) -> bool) -> HashSet<(usize, &'a str)> {
    changes.iter().filter(|change| is(change.act)).map(|change| (change.layer, change.place.as_str())).collect()
}

const DIR: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

enum Stopped {
    Conflict,
    Errno(Errno),
}

impl<E: Into<Errno>> From<E> for Stopped {
    fn from(error: E) -> Self {
        Self::Errno(error.into())
    }
}

/// One change on its way to the host.
struct Step {
    /// The directory it is in, and the way there.
    dir: OwnedFd,
    above: String,
    name: String,
}

impl Step {
    fn new(lower: &Lower, place: &str) -> Result<Self, Stopped> {
        let (above, name) = place.rsplit_once('/').unwrap_or(("", place));
        let dir = lower.open(above, DIR)?;
        Ok(Self { dir, above: above.to_owned(), name: name.to_owned() })
    }

    fn take(&self, layer: &Layer, change: &Change, kept: Option<u64>, overwrite: bool) -> Result<(), Stopped> {
        let expected = if overwrite { None } else { Some(change.before) };
        match (change.act, change.kind, &change.after) {
            (Act::Deleted, Kind::Dir, _) => match unlinkat(&self.dir, &self.name, AtFlags::REMOVEDIR) {
                Err(Host::NOENT) => Ok(()),
                Err(Host::NOTEMPTY | Host::NOTDIR) => Err(Stopped::Conflict),
                done => Ok(done?),
            },
            (Act::Deleted, ..) => self.remove(expected),
            (_, Kind::Dir, _) => match mkdirat(&self.dir, &self.name, Mode::from_raw_mode(KEPT_MODE)) {
                Err(Host::EXIST) if self.seen()?.is_some_and(|seen| seen.kind == Kind::Dir) => Ok(()),
                Err(Host::EXIST) => Err(Stopped::Conflict),
                made => Ok(made?),
            },
            (_, Kind::Symlink, Some(After::Link(target))) => {
                let made = self.beside(|name| symlinkat(target, &self.dir, name))?;
                self.exchange(made, expected)
            }
            (_, Kind::File, Some(after)) => {
                let from = kept.map_or_else(|| after.open(layer), |number| layer.kept(number))?;
                let old = self.existing();
                let mode = if old.is_some() { Mode::RUSR | Mode::WUSR } else { Mode::from_raw_mode(0o666) };
                let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
                let mut file = None;
                let made = self.beside(|name| {
                    file = Some(File::from(openat(&self.dir, name, flags, mode)?));
                    Ok(())
                })?;
                let Some(file) = file else { return Err(Errno::Io.into()) };
                strays::lock(&file);
                let written = fill_in(&from, &file, old.as_ref());
                if let Err(errno) = written {
                    let _ = unlinkat(&self.dir, &made, AtFlags::empty());
                    return Err(errno.into());
                }
                self.exchange(made, expected)
            }
            // Pipes, sockets and devices are the host's own to make.
            _ => Err(Errno::Notsup.into()),
        }
    }

    fn seen(&self) -> Result<Option<Seen>, Errno> {
        seen(&self.dir, OsStr::new(&self.name))
    }

    /// What is known of the file that is there.
    fn existing(&self) -> Option<rustix::fs::Stat> {
        let stat = statat(&self.dir, &self.name, AtFlags::SYMLINK_NOFOLLOW).ok()?;
        rustix::fs::FileType::from_raw_mode(stat.st_mode).is_file().then_some(stat)
    }

    /// Makes something under a name that nothing has.
    fn beside(&self, mut make: impl FnMut(&OsStr) -> rustix::io::Result<()>) -> Result<OsString, Errno> {
        loop {
            let name = strays::new_name()?;
            match make(&name) {
                Err(Host::EXIST) => {}
                made => return Ok(made.map(|()| name)?),
            }
        }
    }

    /// Gives what was made its name; what had it is removed if it is what was expected, and has it again if not.
    fn exchange(&self, mut made: OsString, expected: Option<Option<Seen>>) -> Result<(), Stopped> {
        let new = seen(&self.dir, &made)?;
        let done = self.exchange_or_not(&mut made, expected);
        // If the exchange could not be undone, this is somebody else's.
        if done.is_err() && seen(&self.dir, &made).is_ok_and(|found| found == new) {
            let _ = unlinkat(&self.dir, &made, AtFlags::empty());
        }
        done
    }

    fn exchange_or_not(&self, made: &mut OsString, expected: Option<Option<Seen>>) -> Result<(), Stopped> {
        let Some(now) = self.seen()? else {
            if expected.is_some_and(|expected| expected.is_some()) {
                return Err(Stopped::Conflict);
            }
            return match renameat_with(&self.dir, &*made, &self.dir, &self.name, RenameFlags::NOREPLACE) {
                Err(Host::EXIST) => Err(Stopped::Conflict),
                // A file system without it: the look above has to do.
                Err(Host::INVAL | Host::NOSYS) => Ok(renameat(&self.dir, &*made, &self.dir, &self.name)?),
                done => Ok(done?),
            };
        };
        let new = statat(&self.dir, &*made, AtFlags::SYMLINK_NOFOLLOW)?;
        let swapping = strays::old_name(new.st_ino, &now)?;
        renameat(&self.dir, &*made, &self.dir, &swapping)?;
        *made = swapping;
        let made: &OsStr = made;
        match renameat_with(&self.dir, made, &self.dir, &self.name, RenameFlags::EXCHANGE) {
            Err(Host::INVAL | Host::NOSYS) => {
                if expected.is_some_and(|expected| Ok(expected) != self.seen()) {
                    return Err(Stopped::Conflict);
                }
                return Ok(renameat(&self.dir, made, &self.dir, &self.name)?);
            }
            done => done?,
        }
        let Some(old) = seen(&self.dir, made)?.map(Some) else {
            // Cleared by another who applies: it was what it was expected to be.
            return Ok(());
        };
        if expected.is_some_and(|expected| expected != old) || old.is_some_and(|old| old.kind == Kind::Dir) {
            renameat_with(&self.dir, made, &self.dir, &self.name, RenameFlags::EXCHANGE)?;
            return Err(Stopped::Conflict);
        }
        self.let_go(made)
    }

    fn let_go(&self, name: &OsStr) -> Result<(), Stopped> {
        match unlinkat(&self.dir, name, AtFlags::empty()) {
            Err(Host::NOENT) => Ok(()),
            done => Ok(done?),
        }
    }

    /// Removes a file: under a name of our own first, so that it is known to be what was expected.
    fn remove(&self, expected: Option<Option<Seen>>) -> Result<(), Stopped> {
        let Some(now) = self.seen()? else { return Ok(()) };
        let moved = loop {
            let moved = strays::old_name(0, &now)?;
            match renameat_with(&self.dir, &self.name, &self.dir, &moved, RenameFlags::NOREPLACE) {
                Err(Host::EXIST) => {}
                Err(Host::NOENT) => return Ok(()),
                Err(Host::INVAL | Host::NOSYS) => {
                    if expected.is_some_and(|expected| Ok(expected) != self.seen()) {
                        return Err(Stopped::Conflict);
                    }
                    return Ok(unlinkat(&self.dir, &self.name, AtFlags::empty())?);
                }
                Err(errno) => return Err(errno.into()),
                Ok(()) => break moved,
            }
        };
        let Some(old) = seen(&self.dir, &moved)?.map(Some) else { return Ok(()) };
        if expected.is_some_and(|expected| expected != old) || old.is_some_and(|old| old.kind == Kind::Dir) {
            renameat_with(&self.dir, &moved, &self.dir, &self.name, RenameFlags::NOREPLACE)?;
            return Err(Stopped::Conflict);
        }
        self.let_go(&moved)
    }
}

/// Writes the bytes, and gives the file the owner and the permissions of the one it takes the place of.
fn fill_in(from: &Source, to: &File, old: Option<&rustix::fs::Stat>) -> Result<(), Errno> {
    let mut buffer = vec![0; PIECE_BYTES];
    let mut at = 0;
    loop {
        let count = fill(from, &mut buffer, at)?;
        if count == 0 {
            break;
        }
        to.write_all_at(&buffer[..count], at)?;
        at += count as u64;
    }
    if let Some(old) = old {
        let new = fstat(to)?;
        if (new.st_uid, new.st_gid) != (old.st_uid, old.st_gid) {
            // Only root may give files away; anyone else owns what they write.
            let _ = fchown(to, Some(Uid::from_raw(old.st_uid)), Some(Gid::from_raw(old.st_gid)));
        }
        fchmod(to, Mode::from_raw_mode(old.st_mode & KEPT_MODE))?;
    }
    Ok(to.sync_all()?)
}

fn seen(dir: impl AsFd, name: &OsStr) -> Result<Option<Seen>, Errno> {
    match statat(dir, name, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(stat) => Ok(Some(Seen::of(&Stat::of_rustix(&stat)))),
        Err(Host::NOENT) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Compares the host with what the guest saw.
fn look(layer: &Layer, lower: &Lower, change: &Change, replaces: bool) -> Result<Ready, Errno> {
    if replaces && change.act == Act::Added {
        // What is there is deleted first, and looked at for itself.
        return Ok(Ready::Yes);
    }
    let place = layer.place_on_host(&change.place);
    let now = match lower.look(place) {
        Ok(found) => found,
        // Something on the way is no directory any more.
        Err(Errno::Notdir | Errno::Loop) => return Ok(Ready::Conflict),
        Err(errno) => return Err(errno),
    };
    let seen = now.as_ref().map(|found| Seen::of(&found.stat));
    Ok(match (change.act, seen) {
        (Act::Deleted, None) => Ready::Done,
        _ if seen == change.before => Ready::Yes,
        (Act::Added, Some(seen)) if change.kind == Kind::Dir && seen.kind == Kind::Dir => Ready::Done,
        (Act::Added | Act::Modified, Some(seen)) if change.kind == Kind::File && seen.kind == Kind::File => {
            let after = change.after.as_ref().ok_or(Errno::Io)?.open(layer)?;
            if same(&lower.read(place)?, &after)? { Ready::Done } else { Ready::Conflict }
        }
        (Act::Added | Act::Modified, Some(_)) => match (&change.after, now) {
            (Some(After::Link(target)), Some(found))
                if found.stat.kind == Kind::Symlink && Lower::target(&found)? == *target =>
            {
                Ready::Done
            }
            _ => Ready::Conflict,
        },
        _ => Ready::Conflict,
    })
}

/// Whether a path is another, or below it.
fn is_at(path: &str, above: &str) -> bool {
    let above = above.trim_end_matches('/');
    path.strip_prefix(above).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

fn no_directory(at: &str) -> Error {
    Error::policy(
        format!("nothing of `/{at}` can be applied"),
        "it is no directory of the host: there is nowhere to write it to",
        "take the bytes from `result.files`, or save them with `result.changes.save(\"changes.zip\")`",
    )
}
