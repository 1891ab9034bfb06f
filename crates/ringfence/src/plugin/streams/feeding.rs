//! What the host writes for a guest: asked for when the guest reads, outside of its stack, while a call is under way.

use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll};

use wasmtime::component::{
    Destination, FutureAny, FutureProducer, FutureReader, StreamAny, StreamProducer, StreamReader, StreamResult,
    VecBuffer,
};
use wasmtime::{AsContextMut, StoreContextMut};

use super::{Element, Item, Items, Readable, With};
use crate::host::Raised;
use crate::sandbox::components::ComponentState;
use crate::sandbox::host_calls::HostCalls;

/// Where the values of a stream, or that of a future, come from.
pub trait Feed: Send {
    /// The next of them, however long that takes; none where there are no more.
    fn next(&mut self) -> Result<Option<Items>, Raised>;
}

/// A stream or a future on its way to a guest.
pub(in crate::plugin) struct Fed {
    pub(in crate::plugin) element: Element,
    pub(in crate::plugin) is_future: bool,
    pub(in crate::plugin) feed: Box<dyn Feed>,
    /// What it is called where it does not come back in time.
    pub(in crate::plugin) title: Arc<str>,
}

impl Fed {
    /// Makes the end that the guest reads.
    pub(in crate::plugin) fn opened(
        self,
        store: impl AsContextMut<Data = ComponentState>,
    ) -> wasmtime::Result<Readable> {
        self.element.with(Open { fed: self, store })
    }
}

struct Open<S> {
    fed: Fed,
    store: S,
}

impl<S: AsContextMut<Data = ComponentState>> With for Open<S> {
    type Done = Readable;

    fn with<T: Item>(self) -> wasmtime::Result<Readable> {
        let Self { fed: Fed { is_future, feed, title, .. }, mut store } = self;
        let slot = Slot { feed, items: None, has_ended: false };
        let from =
            Departures::<T> { title, slot: Arc::new(Mutex::new(slot)), asked: None, of: std::marker::PhantomData };
        Ok(if is_future {
            let reader = FutureReader::new(&mut store, from)?;
            Readable::Future(FutureAny::try_from_future_reader(store, reader)?)
        } else {
            let reader = StreamReader::new(&mut store, from)?;
            Readable::Stream(StreamAny::try_from_stream_reader(store, reader)?)
        })
    }
}

/// What was asked for stays here, whatever becomes of the call that asked.
struct Slot {
    feed: Box<dyn Feed>,
    items: Option<Items>,
    has_ended: bool,
}

fn lock(slot: &Mutex<Slot>) -> MutexGuard<'_, Slot> {
    slot.lock().unwrap_or_else(|broken| broken.into_inner())
}

type Asking = Pin<Box<dyn Future<Output = Result<(), Raised>> + Send>>;

/// The host's end of what a guest reads. wasmtime drops it when the guest lets go of its own.
struct Departures<T> {
    title: Arc<str>,
    slot: Arc<Mutex<Slot>>,
    /// The question that is under way, and the call that it is put to.
    asked: Option<(HostCalls, Asking)>,
    of: std::marker::PhantomData<fn() -> T>,
}

impl<T: Item> Departures<T> {
    /// The next of them; none at their end, and `Err` where nothing came before the guest gave up.
    fn poll_next(
        &mut self,
        context: &mut Context<'_>,
        store: &StoreContextMut<'_, ComponentState>,
        finish: bool,
    ) -> Poll<wasmtime::Result<Result<Option<Vec<T>>, ()>>> {
        loop {
            {
                let mut slot = lock(&self.slot);
                if let Some(items) = slot.items.take().filter(|items| !items.is_empty()) {
                    return Poll::Ready(Ok(Ok(Some(T::unpack(items)))));
                }
                if slot.has_ended {
                    return Poll::Ready(Ok(Ok(None)));
                }
            }
            let state = &store.data().state;
            // What an earlier call was asked for, and did not come to, is asked for again.
            let kept = self.asked.take().filter(|(calls, _)| calls.is_same(&state.host_calls));
            let (calls, mut asking) = kept.unwrap_or_else(|| {
                (state.host_calls.clone(), self.asking(state.host_calls.clone(), state.limiter.peak()))
            });
            match asking.as_mut().poll(context) {
                Poll::Ready(Ok(())) => {}
                Poll::Ready(Err(raised)) => return Poll::Ready(Err(wasmtime::Error::new(raised))),
                Poll::Pending if finish => return Poll::Ready(Ok(Err(()))),
                Poll::Pending => {
                    self.asked = Some((calls, asking));
                    return Poll::Pending;
                }
            }
        }
    }

    fn asking(&self, calls: HostCalls, peak: u64) -> Asking {
        let (title, slot) = (self.title.clone(), self.slot.clone());
        Box::pin(async move {
            let work = Box::new(move || {
                let mut slot = lock(&slot);
                if slot.items.is_none() && !slot.has_ended {
                    let items = slot.feed.next()?;
                    slot.has_ended = items.is_none();
                    slot.items = items;
                }
                Ok(())
            });
            calls.work(title, work, peak).await
        })
    }
}

impl<T: Item> StreamProducer<ComponentState> for Departures<T> {
    type Item = T;
    type Buffer = VecBuffer<T>;

    fn poll_produce<'a>(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        mut store: StoreContextMut<'a, ComponentState>,
        mut destination: Destination<'a, T, VecBuffer<T>>,
        finish: bool,
    ) -> Poll<wasmtime::Result<StreamResult>> {
        if destination.remaining(&mut store) == Some(0) {
            return Poll::Ready(Ok(StreamResult::Completed));
        }
        Poll::Ready(Ok(match std::task::ready!(self.poll_next(context, &store, finish))? {
            Ok(Some(items)) => {
                destination.set_buffer(items.into());
                StreamResult::Completed
            }
            Ok(None) => StreamResult::Dropped,
            Err(()) => StreamResult::Cancelled,
        }))
    }
}

impl<T: Item> FutureProducer<ComponentState> for Departures<T> {
    type Item = T;

    fn poll_produce(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        store: StoreContextMut<'_, ComponentState>,
        finish: bool,
    ) -> Poll<wasmtime::Result<Option<T>>> {
        let came = std::task::ready!(self.poll_next(context, &store, finish))?;
        Poll::Ready(match came {
            Ok(Some(items)) => match items.into_iter().next() {
                Some(item) => Ok(Some(item)),
                None => Err(wasmtime::Error::msg("a future without a value")),
            },
            Ok(None) => Err(wasmtime::Error::new(Raised::new("a future without a value"))),
            Err(()) => Ok(None),
        })
    }
}
