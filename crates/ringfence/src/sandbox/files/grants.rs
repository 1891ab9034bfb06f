//! The granted directories and files, opened once when the policy is made.

use std::collections::{BTreeMap, VecDeque};
use std::ffi::OsString;
use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use cap_std::fs::Dir;
use rustix::fs::{CWD, OFlags, ResolveFlags, openat, openat2};
use rustix::io::Errno as Failed;

use super::handle::{DirHandle, Place};
use super::host_tree::{HostTree, ancestry};
use super::kernel::{is_mounted_below, kernel_tree};
use super::layer::source::Source;
use super::layer::{self, Layer, Top};
use super::memory::{Index, Tree};
use crate::error::{Error, Parts, Result};
use crate::policy::{self, Document, Mode, Policy};
use crate::sandbox::errno::Errno;
use crate::text;

/// Everything a policy grants of the file system, held open: a link swapped later changes nothing.
#[derive(Debug)]
pub struct Grants {
    /// In the order of the policy.
    mounts: Vec<Mount>,
    /// Where they lie on the host; nothing of what is in memory, and nothing in a worker.
    trees: Vec<Option<HostTree>>,
    has_kernel_tree_below: bool,
}

/// One grant, hung into the guest's tree.
#[derive(Debug)]
pub(super) struct Mount {
    /// Without slashes at the ends; the root is empty.
    pub(super) at: String,
    pub(super) mode: Mode,
    pub(super) root: Root,
    /// Where a granted file is on the host: the directory it was found in, and its name there.
    place: Option<(Arc<Dir>, String)>,
}

#[derive(Clone, Debug)]
pub(super) enum Root {
    Dir(Arc<Dir>),
    File(Arc<File>),
    /// A tree in memory, under the private layer of each run.
    Tree(Arc<Tree>),
    /// A private layer, which each run has its own of.
    Layer(Arc<Layer>),
}

impl Root {
    /// A granted file and no directory.
    pub(super) fn is_file(&self) -> bool {
        match self {
            Self::Dir(_) => false,
            Self::File(_) => true,
            Self::Tree(tree) => tree.is_file(),
            Self::Layer(layer) => matches!(layer.top, Top::File(_)),
        }
    }
}

impl Mount {
    pub(super) fn temporary(at: &str, host: &Path) -> std::io::Result<Self> {
        let dir = Dir::from_std_file(open_resolved(host, OFlags::RDONLY | OFlags::DIRECTORY)?);
        Ok(Self { at: at.into(), mode: Mode::Rw, root: Root::Dir(Arc::new(dir)), place: None })
    }

    /// The same grant with a private layer of one run over it.
    pub(super) fn layered(&self, run: &layer::Run, number: u64, has_kernel_tree: bool) -> std::io::Result<Self> {
        let layer = match &self.root {
            Root::Dir(dir) => Arc::new(Layer::over_dir(run, number, dir.clone(), has_kernel_tree)?),
            Root::File(file) => {
                let file = Source::whole(file.clone());
                Arc::new(Layer::over_file(run, number, file, self.place.clone(), self.mode).map_err(unlayered)?)
            }
            Root::Tree(tree) => Arc::new(Layer::over_tree(run, number, tree, self.mode).map_err(unlayered)?),
            Root::Layer(layer) => layer.clone(),
        };
        Ok(Self { at: self.at.clone(), mode: self.mode, root: Root::Layer(layer), place: None })
    }

    /// Whether each run has a private layer in its place.
    pub(super) fn has_layer(&self) -> bool {
        self.mode.has_layer() || matches!(self.root, Root::Tree(_))
    }

    /// A grant whose directory or file is open already.
    pub(super) fn from_handle(at: String, mode: Mode, handle: OwnedFd) -> std::io::Result<Self> {
        let file = File::from(handle);
        let root = if file.metadata()?.is_dir() {
            Root::Dir(Arc::new(Dir::from_std_file(file)))
        } else {
            Root::File(Arc::new(file))
        };
        Ok(Self { at, mode, root, place: None })
    }

    fn is_writable_dir(&self) -> bool {
        self.mode == Mode::Rw && matches!(self.root, Root::Dir(_))
    }

    /// The directory itself; a granted file stands in no one's way as a root.
    pub(super) fn root_handle(&self) -> DirHandle {
        let place = match &self.root {
            Root::Dir(dir) => Place::Host { dir: dir.clone(), mode: self.mode },
            Root::Layer(layer) => match &layer.top {
                Top::Dir(dir) => Place::Layer { layer: layer.clone(), dir: dir.clone() },
                Top::File(_) => Place::Virtual,
            },
            Root::File(_) | Root::Tree(_) => Place::Virtual,
        };
        DirHandle { guest: self.at.clone(), place, seat: None }
    }
}

impl Grants {
    /// Opens what the policy names; refuses what is missing, what contradicts itself and what is ours.
    ///
    /// `private` are the places that no guest may see: the cache and its key.
    pub fn open(policy: &Policy, private: &[PathBuf]) -> Result<Arc<Self>> {
        Self::open_with(policy, &Trees::new(), private)
    }

    /// The same with the trees that some of its grants begin with.
    pub fn open_with(policy: &Policy, trees: &Trees, private: &[PathBuf]) -> Result<Arc<Self>> {
        Self::open_naming(policy, trees, private, |_, error| error)
    }

    /// The same for a policy that was read from a file: errors name the file and the line.
    pub fn open_document(document: &Document, trees: &Trees, private: &[PathBuf]) -> Result<Arc<Self>> {
        Self::open_naming(&document.policy, trees, private, |index, error| {
            let Parts { what, why, fix } = error.parts();
            let key =
                document.policy.dirs.get(index).map_or("host", |dir| if dir.zip.is_some() { "zip" } else { "host" });
            document.refuse(&policy::Place::top().key("dirs").index(index).key(key), what, why, fix)
        })
    }

    fn open_naming(
        policy: &Policy,
        trees: &Trees,
        private: &[PathBuf],
        name: impl Fn(usize, Error) -> Error,
    ) -> Result<Arc<Self>> {
        policy.check()?;
        let mut mounts: Vec<Mount> = Vec::with_capacity(policy.dirs.len());
        let mut opened: Vec<(usize, &Path, HostTree)> = Vec::with_capacity(policy.dirs.len());
        for (index, dir) in policy.dirs.iter().enumerate() {
            let Some(host) = &dir.host else {
                mounts.push(in_memory(index, dir, trees, policy).map_err(|error| name(index, error))?);
                continue;
            };
            let found = open(dir, host).and_then(|(mount, tree)| {
                tree.refuse_private(private)?;
                for (number, _, other) in &opened {
                    tree.refuse_two_modes(&mount, other, &mounts[*number])?;
                }
                Ok((mount, tree))
            });
            let (mount, tree) = found.map_err(|error| name(index, error))?;
            mounts.push(mount);
            opened.push((index, host, tree));
        }
        let writable = || opened.iter().filter(|(index, ..)| mounts[*index].is_writable_dir()).map(|(.., tree)| tree);
        for (index, dir) in policy.dirs.iter().enumerate() {
            let Some(path) = dir.host.as_ref().or(dir.zip.as_ref()) else { continue };
            refuse_planted_link(path, writable).map_err(|error| name(index, error))?;
        }
        let has_kernel_tree_below = opened.iter().any(|(.., tree)| is_mounted_below(&tree.path));
        let mut trees: Vec<Option<HostTree>> = mounts.iter().map(|_| None).collect();
        for (index, _, tree) in opened {
            trees[index] = Some(tree);
        }
        Ok(Arc::new(Self { mounts, trees, has_kernel_tree_below }))
    }

    /// The grants that are written into a private layer, each with the one of this run.
    pub(super) fn layered(&self, run: &layer::Run) -> Result<Vec<Mount>> {
        let layered = self.mounts.iter().filter(|mount| mount.has_layer());
        let layered = layered.zip(0..).map(|(mount, number)| mount.layered(run, number, self.has_kernel_tree_below));
        layered.collect::<std::io::Result<_>>().map_err(|error| {
            Error::system("no private layer for the guest", &error, "see whether the granted directory is still there")
        })
    }

    /// Whether `/proc` or its like is mounted below a grant.
    pub(crate) fn has_kernel_tree_below(&self) -> bool {
        self.has_kernel_tree_below
    }

    /// What is held open of the host, with what may be done there.
    pub(crate) fn handles(&self) -> impl Iterator<Item = (BorrowedFd<'_>, Mode)> {
        self.mounts.iter().filter_map(|mount| match &mount.root {
            Root::Dir(dir) => Some((dir.as_fd(), mount.mode)),
            Root::File(file) => Some((file.as_fd(), mount.mode)),
            Root::Tree(_) | Root::Layer(_) => None,
        })
    }

    /// All grants, to hand them to another process: a guest path without slashes at the ends, the mode, the names of a
    /// tree in memory, and a descriptor.
    pub(crate) fn handed(&self) -> impl Iterator<Item = (&str, Mode, Option<Index>, BorrowedFd<'_>)> {
        self.mounts.iter().filter_map(|mount| {
            let (tree, handle) = match &mount.root {
                Root::Dir(dir) => (None, dir.as_fd()),
                Root::File(file) => (None, file.as_fd()),
                Root::Tree(tree) => (Some(tree.index()), tree.handle()),
                Root::Layer(_) => return None,
            };
            Some((mount.at.as_str(), mount.mode, tree, handle))
        })
    }

    /// Whether a run has private layers whose changes are told.
    pub(crate) fn has_layers(&self) -> bool {
        self.mounts.iter().any(|mount| mount.mode.has_layer())
    }

    /// The same grants in another process, which was handed their descriptors.
    pub(crate) fn from_handles(
        handles: impl Iterator<Item = (String, Mode, Option<Index>, OwnedFd)>,
        has_kernel_tree_below: bool,
    ) -> Result<Self> {
        let mount = |(at, mode, tree, handle): (String, Mode, Option<Index>, OwnedFd)| match tree {
            Some(index) => {
                let tree = Tree::of_handle(index, handle)?;
                Ok(Mount { at, mode, root: Root::Tree(Arc::new(tree)), place: None })
            }
            None => Mount::from_handle(at, mode, handle).map_err(|error| {
                Error::system("a worker cannot use its grants", &error, "please report this as a bug")
            }),
        };
        Ok(Self { mounts: handles.map(mount).collect::<Result<_>>()?, trees: Vec::new(), has_kernel_tree_below })
    }

    pub(super) fn mounts(&self) -> &[Mount] {
        &self.mounts
    }

    /// Where a grant lies on the host.
    pub(super) fn tree(&self, index: usize) -> Option<&HostTree> {
        self.trees.get(index)?.as_ref()
    }
}

/// The trees in memory that a policy's grants begin with, by their places in `dirs`.
pub type Trees = BTreeMap<usize, Arc<Tree>>;

fn in_memory(index: usize, dir: &policy::Dir, trees: &Trees, policy: &Policy) -> Result<Mount> {
    let tree = match trees.get(&index) {
        Some(tree) => tree.clone(),
        None if dir.zip.is_none() && dir.tree.is_none() => Arc::new(Tree::new(Vec::new())?),
        None => {
            return Err(Error::policy(
                format!("nothing was handed in for `{}`", text::quote(&dir.guest_path()?)),
                "a policy names a tree in memory, and whoever makes it hands in its files",
                "grant a zip archive instead: `zip = \"in.zip\"`",
            ));
        }
    };
    tree.refuse_too_large(&policy.limits)?;
    let at = dir.guest_path()?.trim_matches('/').to_owned();
    if at.is_empty() && tree.is_file() {
        return Err(Error::policy(
            "a file cannot be the root",
            "`/` is a directory",
            "give it a path: `at=\"/in.txt\"`",
        ));
    }
    Ok(Mount { at, mode: dir.mode, root: Root::Tree(tree), place: None })
}

fn unlayered(errno: Errno) -> std::io::Error {
    std::io::Error::other(format!("{errno:?}").to_lowercase())
}

fn open(dir: &policy::Dir, host: &Path) -> Result<(Mount, HostTree)> {
    let shown = text::quote(&host.to_string_lossy());
    let failed = |error: std::io::Error| {
        let fix = match error.kind() {
            std::io::ErrorKind::NotFound => format!("create it (`mkdir -p {shown}`), or take the grant away"),
            _ => format!("make `{shown}` readable for this user, or take the grant away"),
        };
        Error::policy(format!("cannot grant `{shown}`"), error.to_string(), fix)
    };
    // Resolved and opened once; from here on only the handle counts.
    let path = host.canonicalize().map_err(failed)?;
    let metadata = path.metadata().map_err(failed)?;
    let root = if metadata.is_dir() {
        Root::Dir(Arc::new(Dir::from_std_file(open_dir(&path).map_err(failed)?)))
    } else if metadata.is_file() {
        let flags = if dir.mode == Mode::Rw { OFlags::RDWR } else { OFlags::RDONLY };
        Root::File(Arc::new(open_resolved(&path, flags).map_err(failed)?))
    } else {
        return Err(not_files(&shown));
    };
    let handle = match &root {
        Root::Dir(handle) => handle.as_fd(),
        Root::File(file) => file.as_fd(),
        // These have no place on the host.
        Root::Layer(_) | Root::Tree(_) => return Err(not_files(&shown)),
    };
    let held = handle.try_clone_to_owned().and_then(|handle| File::from(handle).metadata());
    let held = held.map_err(failed)?;
    if held.is_dir() != metadata.is_dir() || held.is_file() != metadata.is_file() {
        // Swapped since it was looked at.
        return Err(not_files(&shown));
    }
    refuse_kernel_tree(&root, &shown)?;
    let place = match (&root, dir.mode, path.parent(), path.file_name().and_then(|name| name.to_str())) {
        (Root::File(_), Mode::Overlay, Some(above), Some(name)) => {
            let above = open_resolved(above, OFlags::PATH | OFlags::DIRECTORY).map_err(failed)?;
            Some((Arc::new(Dir::from_std_file(above)), name.to_owned()))
        }
        _ => None,
    };
    let tree = HostTree::new(shown, path, dir.mode, &held, handle);
    let at = dir.guest_path()?.trim_matches('/').to_owned();
    Ok((Mount { at, mode: dir.mode, root, place }, tree))
}

fn not_files(shown: &str) -> Error {
    Error::policy(
        format!("cannot grant `{shown}`"),
        "it is neither a directory nor a regular file",
        "grant a directory or a regular file",
    )
}

fn open_dir(path: &Path) -> std::io::Result<File> {
    match open_resolved(path, OFlags::RDONLY | OFlags::DIRECTORY) {
        // It cannot be listed, and what lies in it may still be opened by name.
        Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied => {
            open_resolved(path, OFlags::PATH | OFlags::DIRECTORY)
        }
        opened => opened,
    }
}

/// Opens a path that has no links in it; one that was put there since it was resolved is not followed.
fn open_resolved(path: &Path, flags: OFlags) -> std::io::Result<File> {
    let flags = flags | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    // Not for a pipe nor a terminal that took the file's place either.
    let flags = if flags.contains(OFlags::PATH) { flags } else { flags | OFlags::NONBLOCK | OFlags::NOCTTY };
    let mode = rustix::fs::Mode::empty();
    let opened = match openat2(CWD, path, flags, mode, ResolveFlags::NO_SYMLINKS) {
        // Without `openat2`, by the kernel or by the container's filter, only the last name is guarded.
        Err(Failed::NOSYS | Failed::PERM) => openat(CWD, path, flags, mode),
        opened => opened,
    };
    Ok(File::from(opened?))
}

fn refuse_kernel_tree(root: &Root, shown: &str) -> Result<()> {
    let found = match root {
        Root::Dir(dir) => kernel_tree(dir),
        Root::File(file) => kernel_tree(file),
        Root::Layer(_) | Root::Tree(_) => Ok(None),
    };
    let refused =
        |why: String| Error::policy(format!("cannot grant `{shown}`"), why, "grant a directory of real files");
    match found.map_err(|error| refused(error.to_string()))? {
        Some(name) => Err(refused(format!("it is on `{name}`, which is a door into the kernel and not files"))),
        None => Ok(()),
    }
}

/// The links that a path is resolved through, each with the directory it is in.
fn links_on_the_way(path: &Path) -> Vec<(PathBuf, PathBuf)> {
    let names = |path: &Path| -> Vec<OsString> { path.components().map(|name| name.as_os_str().to_owned()).collect() };
    let Ok(path) = std::path::absolute(path) else { return Vec::new() };
    let mut ahead: VecDeque<OsString> = names(&path).into();
    let (mut place, mut links) = (PathBuf::new(), Vec::new());
    while let Some(name) = ahead.pop_front() {
        if Path::new(&name).components().next() == Some(Component::ParentDir) {
            place.pop();
            continue;
        }
        let next = place.join(&name);
        match next.read_link() {
            Ok(target) if links.len() < MAX_LINKS => {
                for name in names(&target).into_iter().rev() {
                    ahead.push_front(name);
                }
                links.push((place.clone(), next));
            }
            _ => place = next,
        }
    }
    links
}

/// Links that a path leads through on Linux.
const MAX_LINKS: usize = 40;

/// A grant must not be found through a link that a guest could have put there in an earlier run.
fn refuse_planted_link<'a, I: Iterator<Item = &'a HostTree>>(host: &Path, writable: impl Fn() -> I) -> Result<()> {
    let above = |place: &Path| {
        let own = place.metadata().ok()?;
        let ancestry = ancestry(place, (own.dev(), own.ino()));
        writable().find(|tree| tree.ancestry.first().is_some_and(|root| ancestry.contains(root)))
    };
    for (place, link) in links_on_the_way(host) {
        if let Some(tree) = above(&place) {
            return Err(Error::policy(
                format!("cannot grant `{}`", text::quote(&host.to_string_lossy())),
                format!(
                    "`{}` is a link inside `{}`, where a guest may write: it could have planted it",
                    text::quote(&link.to_string_lossy()),
                    tree.shown
                ),
                "grant the real path that the link should lead to, or grant the directory around it read-only",
            ));
        }
    }
    Ok(())
}
