//! What an export left, from the worker that called it to those that go on from there.

use std::os::fd::BorrowedFd;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{After, Begin, Until};
use crate::error::{Error, Result};
use crate::prepared::{Entry, Prepared};
use crate::process_unsafe::generation;
use crate::result::RunResult;
use crate::run::{InWorker, Run, Sandbox};
use crate::sandbox::http::are_placeholders;
use crate::session::{Handed, read_handed, write_handed};
use crate::snapshot::{Capture, SavedGlobal};

/// What is told beside memory. Whoever wrote it may have fallen.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Head {
    memory_bytes: u64,
    /// BLAKE3 of what the memory of its program begins with.
    image: String,
    globals: Vec<SavedGlobal>,
    /// What its guest holds instead of secrets, in the order of the policy.
    placeholders: Vec<String>,
}

/// What a run left that was captured where an export returned.
pub(crate) struct Left {
    until: Arc<Until>,
    prepared: Arc<Prepared>,
}

fn wrong(why: impl ToString) -> Error {
    Error::policy(
        "no run from a snapshot",
        why.to_string(),
        "raise `memory` in the policy's limits, or take the snapshot again",
    )
}

impl Sandbox {
    /// In a worker: runs an export instead, and keeps what it leaves.
    pub(crate) fn run_until(&self, export: String, run: Run<'_>, inside: InWorker<'_>) -> Result<(RunResult, Left)> {
        let (recipe, begin) = self.made_of();
        let prepared = self.prepared()?;
        let until = Arc::new(Until::new(recipe.name(), export));
        let once = Begin { from: begin.from.clone(), until: Some(until.clone()) };
        let result = self.beginning(prepared.clone(), once).run_here(run, Some(inside))?;
        Ok((result, Left { until, prepared }))
    }

    /// In a worker: the same program, whose runs go on from what another worker has written to a file.
    pub(crate) fn after(self, entry: String, (file, length): (BorrowedFd<'_>, u64)) -> Result<Self> {
        let prepared = self.prepared()?;
        let (Entry::Module { linked, .. }, Some(image)) = (&prepared.entry, prepared.image()) else {
            return Err(wrong("its program cannot be captured in this version"));
        };
        let limit = prepared.policy.limits.memory.0;
        let (head, bytes, body): (Head, _, _) = read_handed(file, length, limit).map_err(wrong)?;
        let Head { memory_bytes, image: shown, globals, placeholders } = head;
        if !are_placeholders(&placeholders) {
            return Err(wrong("a placeholder in it is none"));
        }
        if memory_bytes > limit || image.digest().to_hex().as_str() != shown {
            return Err(wrong("it is larger than the limit `memory`, or of another program"));
        }
        let body = bytes.get(body..).unwrap_or_default();
        let capture = Capture::load(image, linked.module(), (memory_bytes, &globals, body)).map_err(wrong)?;
        // Every run maps it then, and copies nothing.
        let capture = capture.rebased().unwrap_or(capture);
        let placeholders = placeholders.into_iter().map(Arc::from).collect();
        let after = After { capture, entry, placeholders, generation: generation() };
        let begin = Begin { from: Some(Arc::new(after)), until: None };
        Ok(self.beginning(prepared, begin))
    }
}

impl Left {
    /// Writes it to a file that has so much room.
    pub(crate) fn hand_over(self, (file, room): (BorrowedFd<'_>, u64)) -> Handed {
        match self.written(file, room) {
            Ok(length) => Handed::Written(length),
            Err(error) => Handed::Not(error),
        }
    }

    fn written(self, file: BorrowedFd<'_>, room: u64) -> Result<u64> {
        let (capture, placeholders) = self.until.taken()?;
        let (Entry::Module { linked, .. }, Some(image)) = (&self.prepared.entry, self.prepared.image()) else {
            return Err(wrong("its program cannot be captured in this version"));
        };
        let head = Head {
            memory_bytes: capture.size() as u64,
            image: image.digest().to_hex().to_string(),
            globals: capture.saved_globals(linked.module()).map_err(wrong)?,
            placeholders: placeholders.iter().map(|placeholder| (**placeholder).to_owned()).collect(),
        };
        write_handed(&head, |each| capture.save(image, each), file, room).map_err(wrong)
    }
}
