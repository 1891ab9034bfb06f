//! Bytes a guest has handed over to be sent: they go out while it does something else.
//!
//! WASI 0.2 takes bytes with a permit and is done with them; what the system does not take at once is pushed on by
//! whoever supervises the run. There is no task for it, so that nothing is left when the run is over.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker, ready};

use bytes::Bytes;
use rustix::io::Errno;
use tokio::sync::Notify;

use super::Sender;

/// The sending side of a connection with what it still has to send.
pub struct Outbox {
    state: Mutex<State>,
    sent: Notify,
}

struct State {
    sender: Option<Sender>,
    pending: Bytes,
    failed: Option<Errno>,
    closing: bool,
}

impl Outbox {
    /// An empty one.
    pub fn new(sender: Sender) -> Arc<Self> {
        let state = State { sender: Some(sender), pending: Bytes::new(), failed: None, closing: false };
        Arc::new(Self { state: Mutex::new(state), sent: Notify::new() })
    }

    /// Whether more bytes can be handed over now. An error is how the connection ended; none, that it was closed.
    pub fn is_ready(&self) -> Result<bool, Option<Errno>> {
        let state = self.state();
        match &state.sender {
            Some(_) if state.closing => Err(None),
            Some(_) if !state.pending.is_empty() => Ok(false),
            Some(sender) => Ok(sender.poll_ready(&mut Context::from_waker(Waker::noop())).is_ready()),
            None => Err(state.failed),
        }
    }

    /// Waits until more bytes can be handed over, or never will be.
    pub async fn ready(&self) {
        while self.has_pending() {
            self.sent.notified().await;
        }
        std::future::poll_fn(|context| match &self.state().sender {
            Some(sender) => sender.poll_ready(context),
            None => Poll::Ready(()),
        })
        .await;
    }

    /// Sends what can be sent at once. True when something is left.
    pub fn hand_over(&self, bytes: Bytes) -> bool {
        self.state().pending = bytes;
        self.poll_push(&mut Context::from_waker(Waker::noop())).is_pending()
    }

    /// Sends what is left, then closes if that was asked for.
    pub fn poll_push(&self, context: &mut Context<'_>) -> Poll<()> {
        let mut state = self.state();
        let State { sender, pending, failed, closing } = &mut *state;
        while let (Some(open), false) = (&sender, pending.is_empty()) {
            match ready!(open.poll_send(context, pending)) {
                // The run may move no more, and ends.
                Ok(0) => *pending = Bytes::new(),
                Ok(sent) => drop(pending.split_to(sent)),
                Err(errno) => {
                    *failed = Some(errno).filter(|errno| *errno != Errno::PIPE);
                    *pending = Bytes::new();
                    *sender = None;
                }
            }
        }
        if *closing {
            *sender = None;
        }
        self.sent.notify_one();
        Poll::Ready(())
    }

    /// Ends the sending side, after what is left.
    pub fn close(&self) {
        let mut state = self.state();
        state.closing = true;
        if state.pending.is_empty() {
            state.sender = None;
        }
    }

    fn has_pending(&self) -> bool {
        !self.state().pending.is_empty()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing that holds the lock leaves the state half changed.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
