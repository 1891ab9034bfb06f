//! What a language pack may ask of its host: messages of `ringfence.host_call`.
//!
//! Guest code can send any message from any address, so each length and pointer is checked, and no answer is longer
//! than what the host may hold for the guest. Nothing here calls back into the guest.

use std::time::Duration;

use bytes::Bytes;
use wasmtime::component::Linker as ComponentLinker;
use wasmtime::{Caller, Linker, StoreContextMut};

use super::components::ComponentState;
use super::host_calls::{HostCalls, Message};
use super::http::Requests;
use super::stop::Stop;
use super::store::State;
use super::wasi01;
use crate::language::abi::{self, Http, Kind, Step};
use crate::language::value::{self, Item, Reader};

/// The messages of one run.
#[derive(Default)]
pub struct Exchange {
    /// The source text that was handed in.
    pub source: Option<Bytes>,
    /// Requests of HTTP; none where nobody may ask.
    requests: Option<Requests>,
    /// An answer that was longer than its buffer, until the next message.
    kept: Bytes,
}

impl Exchange {
    /// With a source text to hand in.
    pub fn new(source: Option<Bytes>) -> Self {
        Self { source, ..Self::default() }
    }

    /// From now on requests may be made.
    pub fn offer(&mut self, requests: Option<Requests>) {
        self.requests = requests;
    }

    /// Lets go of what nobody has taken.
    pub fn forget(&mut self) {
        self.kept = Bytes::new();
    }

    fn answer(&self, message: &[u8], calls: &HostCalls, room: u64) -> Result<Answer, i64> {
        let (kind, payload) = message.split_first().ok_or(abi::REFUSED)?;
        match (Kind::of(*kind).ok_or(abi::REFUSED)?, payload) {
            (Kind::Source, []) => self.source.clone().ok_or(abi::ABSENT).map(Answer::Known),
            (Kind::List, []) => match (calls.session(), calls.relay()) {
                (Some(functions), _) => Ok(Answer::Known(functions.list().into())),
                (None, Some(relay)) => Ok(Answer::Known(relay.list().into())),
                (None, None) => Err(abi::ABSENT),
            },
            (Kind::Source | Kind::List, _) => Err(abi::REFUSED),
            (Kind::Http(step), payload) => {
                self.requests.as_ref().ok_or(abi::ABSENT)?;
                check(payload, room)?;
                Ok(Answer::Http(step, Bytes::copy_from_slice(payload)))
            }
            (_, _) if calls.relay().is_some() => {
                message_of(message, room)?;
                Ok(Answer::Relayed(message.to_vec()))
            }
            (_, _) => {
                calls.session().ok_or(abi::ABSENT)?;
                let message = message_of(message, room)?;
                calls.refuses(&message, room).map_or(Ok(Answer::Call(message)), Err)
            }
        }
    }
}

/// Where the answer to a message comes from.
enum Answer {
    Known(Bytes),
    Call(Message),
    Relayed(Vec<u8>),
    Http(Http, Bytes),
}

/// What a message about functions says, if it is one that the host may hold.
pub(crate) fn message_of(message: &[u8], room: u64) -> Result<Message, i64> {
    let (kind, payload) = message.split_first().ok_or(abi::REFUSED)?;
    let kind = Kind::of(*kind).ok_or(abi::REFUSED)?;
    about_functions(kind, payload, check(payload, room)?)
}

/// What a payload costs, if it is a value that the host may hold.
fn check(payload: &[u8], room: u64) -> Result<u64, i64> {
    match value::cost(payload) {
        Ok(cost) if cost > room => Err(abi::TOO_LONG),
        Ok(cost) => Ok(cost),
        Err(value::Malformed) => Err(abi::REFUSED),
    }
}

/// What a message says about functions, given that its payload is a value.
fn about_functions(kind: Kind, payload: &[u8], cost: u64) -> Result<Message, i64> {
    let mut reader = Reader::new(payload);
    match (kind, reader.item()) {
        (Kind::Function | Kind::Overlapping(Step::Begin), Ok(Item::List(3))) => {
            let Ok(Item::Text(name)) = reader.item() else { return Err(abi::REFUSED) };
            if !are_arguments(reader.clone()) {
                return Err(abi::REFUSED);
            }
            let (name, arguments) = (name.to_owned(), reader.rest().to_vec());
            Ok(match kind {
                Kind::Function => Message::Call { name, arguments },
                _ => Message::Begin { name, arguments, cost },
            })
        }
        (Kind::Overlapping(Step::Wait), Ok(Item::Null)) => Ok(Message::Wait(Duration::MAX)),
        (Kind::Overlapping(Step::Wait), Ok(Item::Float(seconds))) => {
            // What is no time at all is none: a guest that waits so comes back at once.
            Ok(Message::Wait(Duration::try_from_secs_f64(seconds.clamp(0.0, 1.0)).unwrap_or_default()))
        }
        (Kind::Overlapping(Step::Wait), Ok(Item::Whole { negative, number })) => {
            Ok(Message::Wait(Duration::from_secs(if negative { 0 } else { number })))
        }
        (Kind::Overlapping(Step::Cancel), Ok(Item::Whole { negative: false, number })) => Ok(Message::Cancel(number)),
        _ => Err(abi::REFUSED),
    }
}

/// Whether a list and a map follow, given that they are values.
fn are_arguments(mut reader: Reader<'_>) -> bool {
    let Ok(Item::List(mut left)) = reader.item() else { return false };
    while left > 0 {
        left -= 1;
        match reader.item() {
            Ok(Item::List(count)) => left += count,
            Ok(Item::Map(count)) => left += 2 * count,
            Ok(_) => {}
            Err(_) => return false,
        }
    }
    matches!(reader.item(), Ok(Item::Map(_)))
}

/// Links both functions.
pub(crate) fn add_to_linker(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    linker.func_wrap_async(
        abi::MODULE,
        abi::HOST_CALL,
        |mut caller: Caller<'_, State>, (at, len, out, capacity): (u32, u32, u32, u32)| {
            Box::new(async move { call(&mut caller, (at, len), (out, capacity)).await })
        },
    )?;
    linker.func_wrap(abi::MODULE, abi::HOST_TAKE, |mut caller: Caller<'_, State>, out: u32, len: u32| {
        take(&mut caller, (out, len))
    })?;
    Ok(())
}

/// Links what a pack that is a component asks instead: the rest of it comes by WASI.
pub(crate) fn add_to_component_linker(linker: &mut ComponentLinker<ComponentState>) -> wasmtime::Result<()> {
    type Store<'a> = StoreContextMut<'a, ComponentState>;
    let mut host = linker.instance(abi::INTERFACE)?;
    host.func_wrap("source", |store: Store<'_>, (): ()| {
        Ok((store.data().state.exchange.source.as_ref().map(|text| text.to_vec()),))
    })?;
    // `wasi:cli/exit` knows only success and failure.
    host.func_wrap("exit", |_: Store<'_>, (code,): (u8,)| -> wasmtime::Result<()> {
        Err(Stop::Exit(code.into()).into())
    })
}

/// A piece of guest memory as the guest names it.
type Piece = (u32, u32);

async fn call(caller: &mut Caller<'_, State>, message: Piece, out: Piece) -> wasmtime::Result<i64> {
    let (memory, state) = wasi01::memory(caller)?;
    let Some(message) = piece(memory, message) else { return Ok(abi::REFUSED) };
    state.exchange.kept = Bytes::new();
    let answer = match state.exchange.answer(message, &state.host_calls, state.host_bytes) {
        Ok(Answer::Known(answer)) => answer,
        Ok(Answer::Call(message)) => {
            let (calls, peak) = (state.host_calls.clone(), state.limiter.peak());
            calls.call(message, peak).await.map_err(wasmtime::Error::new)?.into()
        }
        Ok(Answer::Relayed(message)) => {
            let (calls, peak) = (state.host_calls.clone(), state.limiter.peak());
            match calls.hand_on(message, peak).await.map_err(wasmtime::Error::new)? {
                Ok(answer) => answer.into(),
                Err(refusal) => return Ok(refusal),
            }
        }
        Ok(Answer::Http(step, payload)) => {
            // Out of the state while it waits; a guest that is stopped meanwhile has no further message.
            let (Some(mut requests), room) = (state.exchange.requests.take(), state.host_bytes) else {
                return Ok(abi::ABSENT);
            };
            let answer = requests.answer(step, payload, room).await;
            let stop = requests.network().stop();
            caller.data_mut().exchange.requests = Some(requests);
            match (answer, stop) {
                (_, Some(stop)) => return Err(stop.into()),
                (Ok(answer), None) => answer.into(),
                (Err(_), None) => return Ok(abi::REFUSED),
            }
        }
        Err(refusal) => return Ok(refusal),
    };
    let (memory, state) = wasi01::memory(caller)?;
    if answer.len() as u64 > state.host_bytes {
        return Ok(abi::TOO_LONG);
    }
    Ok(give(memory, &mut state.exchange, answer, out))
}

/// Writes an answer where there is room for it, and keeps it where there is not.
fn give(memory: &mut [u8], exchange: &mut Exchange, answer: Bytes, (out, capacity): Piece) -> i64 {
    let Ok(len) = u32::try_from(answer.len()) else { return abi::TOO_LONG };
    if len <= capacity {
        let Some(into) = piece_mut(memory, (out, len)) else { return abi::REFUSED };
        into.copy_from_slice(&answer);
    } else {
        exchange.kept = answer;
    }
    len.into()
}

fn take(caller: &mut Caller<'_, State>, (out, len): Piece) -> wasmtime::Result<i32> {
    let (memory, state) = wasi01::memory(caller)?;
    let kept = std::mem::take(&mut state.exchange.kept);
    if kept.len() != len as usize {
        return Ok(-1);
    }
    let Some(into) = piece_mut(memory, (out, len)) else { return Ok(-1) };
    into.copy_from_slice(&kept);
    Ok(0)
}

fn piece(memory: &[u8], (at, len): Piece) -> Option<&[u8]> {
    memory.get(at as usize..(at as usize).checked_add(len as usize)?)
}

fn piece_mut(memory: &mut [u8], (at, len): Piece) -> Option<&mut [u8]> {
    memory.get_mut(at as usize..(at as usize).checked_add(len as usize)?)
}
