//! Waiting: for a clock, for standard input, or for both.

use std::time::Duration;

use wasmtime::Caller;

use super::args::{REALTIME, check_clock};
use super::{Call, Done, Errno, Level, answer};
use crate::sandbox::stop::{Limit, Stop};
use crate::sandbox::store::Holds;

/// Bytes of one event.
const EVENT_BYTES: u32 = 32;

/// Longest wait of a guest that may have to be told something.
const SOFT_LOOK: Duration = Duration::from_millis(50);

/// Subscriptions looked at between two looks at the deadline.
const STEP_SUBSCRIPTIONS: usize = 4096;

/// What one subscription waits for.
enum Wait {
    Until { monotonic: u64 },
    Ready { fd: u32 },
    Failed(Errno),
}

struct Subscription {
    userdata: u64,
    kind: u8,
    wait: Wait,
}

/// Where things stand after a look around.
enum Look {
    Done,
    Sleep { nanos: Option<u64>, input: bool },
}

/// Waits until at least one subscription has happened.
pub(super) async fn poll_oneoff<T: Holds>(
    caller: &mut Caller<'_, T>,
    level: Level,
    subscriptions: u32,
    events: u32,
    count: u32,
    result: u32,
) -> wasmtime::Result<i32> {
    let parsed = match answer(caller, |call| call.subscriptions(level, subscriptions, count))? {
        Ok(parsed) => parsed,
        Err(errno) => return Ok(errno as i32),
    };
    loop {
        let look = match answer(caller, |call| call.look(&parsed, events, result))? {
            Ok(look) => look,
            Err(errno) => return Ok(errno as i32),
        };
        let Look::Sleep { mut nanos, input } = look else { return Ok(0) };
        if let Some(patience) = caller.data().as_ref().control.soft.as_ref().and_then(|soft| soft.patience()) {
            // What a waiting guest has to be told ends its wait.
            let patience = u64::try_from(patience.min(SOFT_LOOK).as_nanos()).unwrap_or(u64::MAX);
            nanos = Some(nanos.map_or(patience, |nanos| nanos.min(patience)));
        }
        let stdin = caller.data().as_ref().input.clone();
        // A wait without end is ended by the deadline, whose future this one runs under.
        let alarm = tokio::time::sleep(nanos.map_or(Duration::MAX / 4, Duration::from_nanos));
        if input {
            tokio::select! {
                () = alarm => {}
                () = stdin.wait() => {}
            }
        } else {
            alarm.await;
        }
    }
}

impl Call<'_> {
    fn subscriptions(&mut self, level: Level, start: u32, count: u32) -> Done<Vec<Subscription>> {
        if count == 0 {
            return Err(Errno::Inval.into());
        }
        let (size, clock_id, timeout, flags) = match level {
            Level::Preview1 => (48, 16, 24, 40),
            Level::Unstable => (56, 24, 32, 48),
        };
        // The whole array must be there before anything is held for it.
        let len = count.checked_mul(size).ok_or(Errno::Fault)?;
        self.memory.bytes(start, len)?;
        // In a memory of 64 bits it may be there and still end where no pointer of WASI leads.
        start.checked_add(len).ok_or(Errno::Fault)?;
        if u64::from(count) * size_of::<Subscription>() as u64 > self.state.host_bytes {
            return Err(Stop::Limit(Limit::HostBytes).into());
        }
        let mut parsed = Vec::with_capacity(count as usize);
        for at in (0..count).map(|index| start + index * size) {
            let kind = self.memory.bytes(at + 8, 1)?[0];
            let wait = match kind {
                0 => self.clock_wait(
                    self.memory.read_u32(at + clock_id)?,
                    self.memory.read_u64(at + timeout)?,
                    self.memory.read_u16(at + flags)?,
                ),
                1 | 2 => Wait::Ready { fd: self.memory.read_u32(at + 16)? },
                _ => return Err(Errno::Inval.into()),
            };
            parsed.push(Subscription { userdata: self.memory.read_u64(at)?, kind, wait });
        }
        Ok(parsed)
    }

    fn clock_wait(&self, id: u32, timeout: u64, flags: u16) -> Wait {
        if let Err(errno) = check_clock(id) {
            return Wait::Failed(errno);
        }
        let now = self.state.clock.monotonic();
        let absolute = flags & 1 != 0;
        let monotonic = match (absolute, id) {
            (false, _) => now.saturating_add(timeout),
            (true, REALTIME) => now.saturating_add(timeout.saturating_sub(self.state.clock.wall())),
            (true, _) => timeout,
        };
        Wait::Until { monotonic }
    }

    /// Writes the events that have happened; if none has, says for how long to wait.
    fn look(&mut self, subscriptions: &[Subscription], events: u32, result: u32) -> Done<Look> {
        // What it waits for has then happened: it goes on, and finds what it was told.
        let now = if self.state.soften(self.memory.0) { u64::MAX } else { self.state.clock.monotonic() };
        let (mut happened, mut next, mut input) = (0u32, None::<u64>, false);
        // Asked once: it costs a system call, and a guest may subscribe to it a million times.
        let mut stdin_is_ready = None;
        for (number, subscription) in subscriptions.iter().enumerate() {
            if number % STEP_SUBSCRIPTIONS == STEP_SUBSCRIPTIONS - 1 {
                self.state.control.check()?;
            }
            let errno = match subscription.wait {
                Wait::Failed(errno) => errno as u16,
                Wait::Until { monotonic } if monotonic <= now => 0,
                Wait::Until { monotonic } => {
                    let left = monotonic - now;
                    next = Some(next.map_or(left, |next| next.min(left)));
                    continue;
                }
                Wait::Ready { fd } => match self.is_ready(fd, &mut stdin_is_ready) {
                    Ok(true) => 0,
                    Ok(false) => {
                        input = true;
                        continue;
                    }
                    Err(errno) => errno as u16,
                },
            };
            let mut event = [0; EVENT_BYTES as usize];
            event[..8].copy_from_slice(&subscription.userdata.to_le_bytes());
            event[8..10].copy_from_slice(&errno.to_le_bytes());
            event[10] = subscription.kind;
            if subscription.kind != 0 && errno == 0 {
                // At least one byte can be moved; how many more is not known.
                event[16..24].copy_from_slice(&1u64.to_le_bytes());
            }
            let at = happened.checked_mul(EVENT_BYTES).and_then(|offset| events.checked_add(offset));
            self.memory.write(at.ok_or(Errno::Fault)?, &event)?;
            happened += 1;
        }
        if happened == 0 {
            return Ok(Look::Sleep { nanos: next, input });
        }
        self.memory.write_u32(result, happened)?;
        Ok(Look::Done)
    }
}
