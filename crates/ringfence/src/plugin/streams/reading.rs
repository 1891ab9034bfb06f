//! What a guest writes for the host: taken when somebody waits for it, and not before.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Instant;

use wasmtime::component::{FutureConsumer, Source, StreamConsumer, StreamResult};
use wasmtime::{AsContextMut, StoreContextMut};

use super::inbox::{Inbox, Room, Stream};
use super::{Element, Item, Items, Readable, With};
use crate::apart;
use crate::error::Result;
use crate::plugin::call::Work;
use crate::plugin::{Asked, Plugin, Returned};
use crate::result::RunResult;
use crate::sandbox::components::ComponentState;
use crate::supervisor::LOOK;

/// What came of waiting for a stream.
#[derive(Debug)]
pub enum Pulled {
    /// Some of its values.
    Items(Items),
    /// There are no more.
    Over,
    /// The guest ended instead of writing; the instance is gone.
    Ended(Box<RunResult>),
}

impl From<Option<Items>> for Pulled {
    fn from(came: Option<Items>) -> Self {
        came.map_or(Self::Over, Self::Items)
    }
}

impl Plugin {
    /// The next values of a stream: the instance runs for as long as that takes, within the limits of a call.
    pub fn pull(&self, stream: &Stream, asked: &Asked) -> Result<Pulled> {
        let inbox = stream.inbox();
        if let Ok(came) = inbox.taken() {
            return Ok(came.into());
        }
        let until = Instant::now() + self.shared.prepared.policy.limits.wall.0;
        let outer = apart::outer()?;
        loop {
            if inbox.is_over() {
                return Err(self.refused(
                    "this stream is of an instance that is gone: the plugin was restarted, closed, or ended badly",
                    "call the function again that gives it",
                ));
            }
            if inbox.is_held() {
                return Err(self.refused(
                    "its guest stands still until the function that was given this stream returns",
                    "read it afterwards, or have it imported as an `async func`",
                ));
            }
            if let Some((live, usage, mut back)) = self.take_free()? {
                if !inbox.is_of(live.life().over()) {
                    back.put_back(live, usage);
                    return Err(self.refused("this stream is of another plugin", "read it by the plugin that gave it"));
                }
                if let Returned::Ended(result) = self.work((live, usage, back), Work::Pull(inbox.clone()), asked)? {
                    return Ok(Pulled::Ended(result));
                }
            } else {
                // The guest of a call that is under way writes it meanwhile.
                inbox.wait(LOOK);
            }
            // What came for this one may be with another reader already.
            if let Ok(came) = inbox.taken() {
                return Ok(came.into());
            }
            let is_given_up = asked.cancelled.as_ref().is_some_and(|cancelled| cancelled.load(Ordering::Relaxed))
                || outer.as_ref().is_some_and(|outer| outer.is_cancelled() || outer.deadline <= Instant::now())
                || Instant::now() >= until
                || !(self.shared.look)();
            if is_given_up {
                return Err(self.refused(
                    "nothing of this stream came in time, while another call was under way",
                    "give it more `wall` time, or read it when no call is under way",
                ));
            }
        }
    }
}

impl Readable {
    /// Lets what is written arrive.
    pub(in crate::plugin) fn piped(
        self,
        store: impl AsContextMut<Data = ComponentState>,
        element: Element,
        over: &Arc<AtomicBool>,
    ) -> wasmtime::Result<Stream> {
        let inbox = Inbox::new(over);
        element.with(Pipe { from: self, store, inbox: inbox.clone() })?;
        Ok(Stream::new(inbox, element))
    }
}

struct Pipe<S> {
    from: Readable,
    store: S,
    inbox: Arc<Inbox>,
}

impl<S: AsContextMut<Data = ComponentState>> With for Pipe<S> {
    type Done = ();

    fn with<T: Item>(self) -> wasmtime::Result<()> {
        let Self { from, store, inbox } = self;
        let to = Arrivals { inbox, of: std::marker::PhantomData::<fn() -> T> };
        match from {
            Readable::Stream(stream) => stream.try_into_stream_reader::<T>()?.pipe(store, to),
            Readable::Future(future) => future.try_into_future_reader::<T>()?.pipe(store, to),
        }
    }
}

/// The host's end of what a guest writes. wasmtime drops it when there is no more.
struct Arrivals<T> {
    inbox: Arc<Inbox>,
    of: std::marker::PhantomData<fn() -> T>,
}

impl<T> Drop for Arrivals<T> {
    fn drop(&mut self) {
        self.inbox.end();
    }
}

impl<T: Item> StreamConsumer<ComponentState> for Arrivals<T> {
    type Item = T;

    fn poll_consume(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        mut store: StoreContextMut<'_, ComponentState>,
        mut source: Source<'_, T>,
        finish: bool,
    ) -> Poll<wasmtime::Result<StreamResult>> {
        Poll::Ready(Ok(match self.inbox.room(context) {
            Room::Never => StreamResult::Dropped,
            Room::Later if finish => StreamResult::Cancelled,
            Room::Later => return Poll::Pending,
            Room::Now => {
                let mut items = Vec::with_capacity(source.remaining(&mut store).min(T::MOST));
                if items.capacity() > 0 {
                    source.read(&mut store, &mut items)?;
                    self.inbox.put(T::pack(items));
                }
                StreamResult::Completed
            }
        }))
    }
}

impl<T: Item> FutureConsumer<ComponentState> for Arrivals<T> {
    type Item = T;

    /// It is one value, which is taken whether anybody waits for it or not.
    fn poll_consume(
        self: Pin<&mut Self>,
        _context: &mut Context<'_>,
        mut store: StoreContextMut<'_, ComponentState>,
        mut source: Source<'_, T>,
        _finish: bool,
    ) -> Poll<wasmtime::Result<()>> {
        let mut item = Vec::with_capacity(1);
        source.read(&mut store, &mut item)?;
        self.inbox.put(T::pack(item));
        Poll::Ready(Ok(()))
    }
}
