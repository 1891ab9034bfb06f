//! A tree of files in memory: made once, sealed, and the same for every run that begins with it.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Write;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::SystemTime;

use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, memfd_create};

use super::handle::{Kind, Stat};
use super::layer::source::Source;
use super::locate::{MAX_NAME_BYTES, MAX_PATH_BYTES};
use crate::error::{Error, Result};
use crate::policy::Limits;
use crate::sandbox::errno::Errno;
use crate::text::quote;

/// Numbers of files start here: below those that a guest makes, above all that a file system counts so far.
const FIRST_INO: u64 = 1 << 61;

/// Each tree has as many numbers to itself: guests are told of no devices, and take two files of one number for one.
const INOS: u64 = 1 << 32;

static TREES: AtomicU64 = AtomicU64::new(0);

/// Files by their paths, whose bytes stand one after the other in one sealed file without a name.
#[derive(Debug)]
pub struct Tree {
    nodes: BTreeMap<String, Node>,
    bytes: Arc<File>,
    size: u64,
    made: u64,
    digest: OnceLock<String>,
}

#[derive(Debug)]
struct Node {
    ino: u64,
    what: What,
}

#[derive(Debug)]
enum What {
    /// Its names, sorted.
    Dir(Vec<String>),
    File {
        from: u64,
        size: u64,
    },
}

/// The path of each file and directory, sorted, and how long a file is: with the bytes, all that a tree is.
pub(crate) type Index = Vec<(String, Option<u64>)>;

impl Tree {
    /// A tree of files by their paths, and of directories where there are no bytes; those on the way are made.
    ///
    /// Fails for a path that climbs, is absolute, or stands there twice.
    pub fn new(entries: Vec<(String, Option<Vec<u8>>)>) -> Result<Self> {
        let mut given = BTreeMap::new();
        for (path, bytes) in entries {
            examine(&path)?;
            let is_file = bytes.is_some();
            let before = given.insert(path.clone(), bytes);
            if before.is_some_and(|before| before.is_some() || is_file) {
                return Err(refused(&path, "it is there twice", "take one of the two out"));
            }
        }
        let index = given.iter().map(|(path, bytes)| (path.clone(), bytes.as_ref().map(|bytes| bytes.len() as u64)));
        Self::with_index(index.collect(), || sealed(given.values().flatten()).map(Arc::new))
    }

    /// A single file.
    pub fn of_file(bytes: &[u8]) -> Result<Self> {
        Self::with_index(vec![(String::new(), Some(bytes.len() as u64))], || sealed([bytes].into_iter()).map(Arc::new))
    }

    /// The same tree in another process, which was handed its bytes.
    pub(crate) fn of_handle(index: Index, bytes: OwnedFd) -> Result<Self> {
        Self::with_index(index, || Ok(Arc::new(File::from(bytes))))
    }

    fn with_index(index: Index, bytes: impl FnOnce() -> std::io::Result<Arc<File>>) -> Result<Self> {
        let mut nodes = BTreeMap::new();
        let mut size = 0u64;
        let first = FIRST_INO + TREES.fetch_add(1, Ordering::Relaxed) % (FIRST_INO / INOS) * INOS;
        let root = |what| Node { ino: first, what };
        if let [(path, Some(length))] = &index[..]
            && path.is_empty()
        {
            size = *length;
            nodes.insert(String::new(), root(What::File { from: 0, size: *length }));
        } else {
            nodes.insert(String::new(), root(What::Dir(Vec::new())));
            for (path, length) in &index {
                let what = match length {
                    Some(length) => What::File { from: size, size: *length },
                    None => What::Dir(Vec::new()),
                };
                size = size.saturating_add(length.unwrap_or(0));
                hang(&mut nodes, path, what)?;
            }
        }
        let failed = |error: std::io::Error| Error::system("no room for a tree in memory", &error, "free some memory");
        let bytes = bytes().map_err(failed)?;
        let made = super::times::nanos_of(SystemTime::now());
        Ok(Self { nodes, bytes, size, made, digest: OnceLock::new() })
    }

    /// What tells equal trees from others, in a policy's document.
    pub fn digest(&self) -> Result<&str> {
        if let Some(digest) = self.digest.get() {
            return Ok(digest);
        }
        let digest = self.digested().map_err(|error| unreadable(&error))?;
        Ok(self.digest.get_or_init(|| digest))
    }

    /// Bytes of all files together.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Names of files and directories.
    pub fn names(&self) -> usize {
        self.nodes.len() - 1
    }

    /// Refuses a tree that is more than a guest under these limits could have made.
    pub(super) fn refuse_too_large(&self, limits: &Limits) -> Result<()> {
        let (what, name, fix) = if self.size > limits.disk.0 {
            (format!("{} bytes", self.size), "disk", format!("Limits(disk={})", self.size))
        } else if self.names() as u64 > u64::from(limits.files) {
            (format!("{} names", self.names()), "files", format!("Limits(files={})", self.names()))
        } else {
            return Ok(());
        };
        Err(Error::policy(
            format!("a tree in memory has {what}"),
            format!("`limits.{name}` lets a run have no more than that on the disk or in memory"),
            format!("hand in less, or raise the limit: `{fix}`"),
        ))
    }

    /// The paths, and how long the files are.
    pub(crate) fn index(&self) -> Index {
        let entries = self.nodes.iter().filter(|(path, node)| !path.is_empty() || node.size().is_some());
        entries.map(|(path, node)| (path.clone(), node.size())).collect()
    }

    /// All bytes, one file after the other.
    pub(crate) fn handle(&self) -> BorrowedFd<'_> {
        self.bytes.as_fd()
    }

    /// The paths with the bytes of the files, as they were handed in.
    pub fn entries(&self) -> Result<Vec<(String, Option<Vec<u8>>)>> {
        let read = |(path, size): (String, Option<u64>)| {
            let bytes = size.map(|_| self.read_all(&path)).transpose()?;
            Ok::<_, std::io::Error>((path, bytes))
        };
        let entries: std::io::Result<_> = self.index().into_iter().map(read).collect();
        entries.map_err(|error| unreadable(&error))
    }

    pub(super) fn is_file(&self) -> bool {
        self.nodes.get("").is_some_and(|root| root.size().is_some())
    }

    /// What is at a path, if anything is.
    pub(super) fn stat(&self, path: &str) -> Option<Stat> {
        let node = self.nodes.get(path)?;
        let kind = if node.size().is_some() { Kind::File } else { Kind::Dir };
        let (size, at) = (node.size().unwrap_or(0), self.made);
        Some(Stat { kind, dev: 0, ino: node.ino, links: 1, size, accessed: at, modified: at, changed: at })
    }

    /// Opens a file.
    pub(super) fn read(&self, path: &str) -> Result<Source, Errno> {
        match (self.nodes.get(path).map(|node| &node.what), self.stat(path)) {
            (Some(What::File { from, .. }), Some(stat)) => Ok(Source::part(self.bytes.clone(), *from, stat)),
            (Some(What::Dir(_)), _) => Err(Errno::Isdir),
            _ => Err(Errno::Noent),
        }
    }

    /// The names in a directory.
    pub(super) fn list(&self, path: &str) -> Result<impl Iterator<Item = (&str, Stat)>, Errno> {
        let Some(Node { what: What::Dir(names), .. }) = self.nodes.get(path) else { return Err(Errno::Notdir) };
        let path = path.to_owned();
        Ok(names
            .iter()
            .filter_map(move |name| Some((name.as_str(), self.stat(&super::layer::lower::below(&path, name))?))))
    }

    fn read_all(&self, path: &str) -> std::io::Result<Vec<u8>> {
        let source = self.read(path).map_err(|errno| std::io::Error::other(format!("{errno:?}")))?;
        let mut bytes = vec![0; usize::try_from(source.stat()?.size).unwrap_or(usize::MAX)];
        let mut done = 0;
        while done < bytes.len() {
            match source.read_at(&mut bytes[done..], done as u64)? {
                0 => return Err(std::io::ErrorKind::UnexpectedEof.into()),
                count => done += count,
            }
        }
        Ok(bytes)
    }

    fn digested(&self) -> std::io::Result<String> {
        let mut hasher = blake3::Hasher::new();
        for (path, size) in self.index() {
            hasher.update(&(path.len() as u64).to_le_bytes()).update(path.as_bytes());
            hasher.update(&size.unwrap_or(u64::MAX).to_le_bytes());
            if size.is_some() {
                hasher.update(&self.read_all(&path)?);
            }
        }
        Ok(format!("blake3:{}", hasher.finalize()))
    }
}

impl Node {
    fn size(&self) -> Option<u64> {
        match self.what {
            What::File { size, .. } => Some(size),
            What::Dir(_) => None,
        }
    }
}

/// Hangs something into the tree, with the directories on the way there.
fn hang(nodes: &mut BTreeMap<String, Node>, path: &str, what: What) -> Result<()> {
    if let Some(Node { what: What::Dir(_), .. }) = nodes.get(path)
        && matches!(what, What::Dir(_))
    {
        return Ok(());
    }
    let (above, name) = path.rsplit_once('/').unwrap_or(("", path));
    if !nodes.contains_key(above) {
        hang(nodes, above, What::Dir(Vec::new()))?;
    }
    match nodes.get_mut(above).map(|node| &mut node.what) {
        Some(What::Dir(names)) => {
            if let Err(place) = names.binary_search_by(|other| other.as_str().cmp(name)) {
                names.insert(place, name.to_owned());
            }
        }
        _ => return Err(refused(path, "what it is in is a file", "give one of the two another name")),
    }
    let ino = nodes.get("").map_or(FIRST_INO, |root| root.ino) + nodes.len() as u64;
    if nodes.insert(path.to_owned(), Node { ino, what }).is_some() {
        return Err(refused(path, "it is a file and a directory", "give one of the two another name"));
    }
    Ok(())
}

/// Refuses what is no path of names below a directory.
fn examine(path: &str) -> Result<()> {
    let fix = "write names with `/` between them, such as `sub/b.txt`";
    let why = match path {
        "" => "it is empty",
        _ if path.starts_with('/') => "it is absolute, and stands below the grant's own path",
        _ if path.len() >= MAX_PATH_BYTES => "it is longer than 4095 bytes",
        _ if path.contains('\0') => "it has a NUL character",
        _ => {
            let wrong = path.split('/').find_map(|name| match name {
                ".." => Some("`..` could lead out of the tree"),
                "" | "." => Some("a name in it is empty, or `.`"),
                _ if name.len() > MAX_NAME_BYTES => Some("a name in it is longer than 255 bytes"),
                _ => None,
            });
            match wrong {
                Some(why) => why,
                None => return Ok(()),
            }
        }
    };
    Err(refused(path, why, fix))
}

fn unreadable(error: &std::io::Error) -> Error {
    Error::system("a tree in memory cannot be read", error, "make it anew")
}

fn refused(path: &str, why: &str, fix: &str) -> Error {
    Error::policy(format!("`{}` cannot be in a tree in memory", quote(path)), why, fix)
}

/// A file without a name that nobody changes any more.
fn sealed<'a, B: AsRef<[u8]> + ?Sized + 'a>(parts: impl Iterator<Item = &'a B>) -> std::io::Result<File> {
    let mut file = File::from(memfd_create("ringfence-tree", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING)?);
    for part in parts {
        file.write_all(part.as_ref())?;
    }
    fcntl_add_seals(&file, SealFlags::SEAL | SealFlags::SHRINK | SealFlags::GROW | SealFlags::WRITE)?;
    Ok(file)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn tree(files: &[(&str, &str)]) -> Result<Tree> {
        Tree::new(files.iter().map(|(path, bytes)| ((*path).to_owned(), Some(bytes.as_bytes().to_vec()))).collect())
    }

    #[test]
    fn a_path_that_is_none_below_a_directory_is_refused() {
        let long = "x".repeat(256);
        for path in ["", "/etc/passwd", "../x", "a/../../x", "a//b", "a/.", "a/", "a\0b", &long, &"x/".repeat(3000)] {
            assert!(tree(&[(path, "")]).unwrap_err().parts().what.contains("cannot be in a tree"), "{path}");
        }
    }

    #[test]
    fn a_name_is_one_thing() {
        for files in [&[("a", ""), ("a/b", "")], &[("a/b", ""), ("a", "")], &[("a", "1"), ("a", "2")]] {
            assert!(tree(files).is_err(), "{files:?}");
        }
        let both = Tree::new(vec![("a/b".into(), Some(Vec::new())), ("a".into(), None), ("a".into(), None)]);
        assert_eq!(2, both.unwrap().names());
    }

    #[test]
    fn files_are_read_within_their_part_and_nobody_writes_them() {
        let tree = tree(&[("a", "first"), ("sub/b", "second"), ("sub/empty", "")]).unwrap();
        assert_eq!(b"second".to_vec(), tree.read_all("sub/b").unwrap());
        let mut buffer = [0; 64];
        let source = tree.read("a").unwrap();
        assert_eq!((5, 2, 0), {
            let mut read = |offset| source.read_at(&mut buffer, offset).unwrap();
            (read(0), read(3), read(u64::MAX))
        });
        assert!((&*tree.bytes).write_all(b"x").is_err());
        assert!(tree.bytes.set_len(0).is_err());
        let names: Vec<_> = tree.list("sub").unwrap().map(|(name, _)| name).collect();
        assert_eq!(vec!["b", "empty"], names);
    }

    #[test]
    fn equal_trees_have_equal_digests_and_others_do_not() {
        let one = tree(&[("a", "1"), ("b", "2")]).unwrap();
        let digest = |tree: &Tree| tree.digest().unwrap().to_owned();
        assert_eq!(digest(&one), digest(&tree(&[("b", "2"), ("a", "1")]).unwrap()));
        for other in [tree(&[("a", "12"), ("b", "")]), tree(&[("a", "1"), ("b", "3")]), Tree::of_file(b"1")] {
            assert_ne!(digest(&one), digest(&other.unwrap()));
        }
        let same = Tree::of_handle(one.index(), one.bytes.try_clone().unwrap().into()).unwrap();
        assert_eq!(digest(&one), digest(&same));
    }
}
