//! What of a stream or a future has come to the host, and whether more is wanted.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use super::{Element, Items};

/// Where one stream's values arrive: as many as are taken at a time, when somebody waits for them.
pub(crate) struct Inbox {
    /// Whether its instance is gone.
    over: Arc<AtomicBool>,
    state: Mutex<State>,
    /// For readers on other threads than the guest's.
    came: Condvar,
}

#[derive(Default)]
struct State {
    items: Option<Items>,
    is_wanted: bool,
    /// Its writer let go of it.
    has_ended: bool,
    /// Its reader did.
    is_closed: bool,
    /// The function of the host that has it is one that its guest stands still for.
    is_held: bool,
    writer: Option<Waker>,
    reader: Option<Waker>,
}

fn wake(waiting: Option<Waker>) {
    if let Some(waiting) = waiting {
        waiting.wake();
    }
}

/// Whether a guest may write.
pub(super) enum Room {
    Now,
    Later,
    /// Nobody will ever read it.
    Never,
}

impl Inbox {
    pub(super) fn new(over: &Arc<AtomicBool>) -> Arc<Self> {
        Arc::new(Self { over: over.clone(), state: Mutex::default(), came: Condvar::new() })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(|broken| broken.into_inner())
    }

    /// Whether there is room; who has to wait is woken when there is.
    pub(super) fn room(&self, context: &Context<'_>) -> Room {
        let mut state = self.state();
        if state.is_closed {
            return Room::Never;
        }
        if state.is_wanted && state.items.is_none() {
            return Room::Now;
        }
        state.writer = Some(context.waker().clone());
        Room::Later
    }

    pub(super) fn put(&self, items: Items) {
        let mut state = self.state();
        state.items = Some(items);
        state.is_wanted = false;
        let reader = state.reader.take();
        drop(state);
        self.came.notify_all();
        wake(reader);
    }

    /// Its writer let go of it; where its instance is gone, nobody did.
    pub(super) fn end(&self) {
        let mut state = self.state();
        state.has_ended |= !self.over.load(Ordering::SeqCst);
        let reader = state.reader.take();
        drop(state);
        self.came.notify_all();
        wake(reader);
    }

    fn close(&self) {
        let mut state = self.state();
        state.is_closed = true;
        state.items = None;
        let writer = state.writer.take();
        drop(state);
        wake(writer);
    }

    /// What came and was not taken yet; `Err` where more has to be waited for, and none where there is no more.
    pub(super) fn taken(&self) -> Result<Option<Items>, ()> {
        let mut state = self.state();
        match state.items.take() {
            None if !state.has_ended => Err(()),
            items => Ok(items),
        }
    }

    /// Wants more: the guest goes on with it when it runs.
    fn want(&self) {
        let mut state = self.state();
        state.is_wanted = true;
        let writer = state.writer.take();
        drop(state);
        wake(writer);
    }

    /// Wants more, and waits for no longer than this while a call of another thread is under way.
    pub(super) fn wait(&self, longest: Duration) {
        self.want();
        let state = self.state();
        if state.items.is_none() && !state.has_ended {
            drop(self.came.wait_timeout(state, longest).unwrap_or_else(|broken| broken.into_inner()));
        }
    }

    pub(super) fn is_held(&self) -> bool {
        self.state().is_held
    }

    pub(super) fn hold(&self, is_held: bool) {
        self.state().is_held = is_held;
    }

    /// Wants more, and waits until it is there or there is none.
    pub(crate) async fn arrival(&self) {
        self.want();
        std::future::poll_fn(|context| {
            let mut state = self.state();
            if state.items.is_some() || state.has_ended {
                return Poll::Ready(());
            }
            state.reader = Some(context.waker().clone());
            Poll::Pending
        })
        .await;
    }

    pub(super) fn is_over(&self) -> bool {
        self.over.load(Ordering::SeqCst)
    }

    pub(super) fn is_of(&self, over: &Arc<AtomicBool>) -> bool {
        Arc::ptr_eq(&self.over, over)
    }
}

/// A stream or a future of a guest's that the host reads: an instance hears when nothing refers to it any more.
#[derive(Clone)]
pub struct Stream(Arc<Reading>);

struct Reading {
    inbox: Arc<Inbox>,
    element: Element,
}

impl Drop for Reading {
    fn drop(&mut self) {
        self.inbox.close();
    }
}

impl Stream {
    pub(super) fn new(inbox: Arc<Inbox>, element: Element) -> Self {
        Self(Arc::new(Reading { inbox, element }))
    }

    pub(super) fn inbox(&self) -> &Arc<Inbox> {
        &self.0.inbox
    }

    /// What it is of.
    pub fn element(&self) -> Element {
        self.0.element
    }
}

/// Streams that are in a function of the host which the guest stands still for: nobody waits for them meanwhile.
pub(in crate::plugin) struct Standing(Vec<Arc<Inbox>>);

impl Standing {
    pub(in crate::plugin) fn of<'a>(streams: impl Iterator<Item = &'a Stream>) -> Self {
        let inboxes: Vec<_> = streams.map(|stream| stream.inbox().clone()).collect();
        inboxes.iter().for_each(|inbox| inbox.hold(true));
        Self(inboxes)
    }
}

impl Drop for Standing {
    fn drop(&mut self) {
        self.0.iter().for_each(|inbox| inbox.hold(false));
    }
}

impl std::fmt::Debug for Stream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Stream").field(&self.0.element).finish()
    }
}
