//! What instances begin with that live on between calls: those of sessions and of plugins.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::error::Result;
use crate::given::arguments;
use crate::policy::Limits;
use crate::prepared::Prepared;
use crate::sandbox::clock::Clock;
use crate::sandbox::files::{Files, Space};
use crate::sandbox::host_calls::HostCalls;
use crate::sandbox::http::Secrets;
use crate::sandbox::language::Exchange;
use crate::sandbox::limits::Limiter;
use crate::sandbox::network::Network;
use crate::sandbox::random::Random;
use crate::sandbox::stdio::{Input, Source};
use crate::sandbox::store::{Control, State};
use crate::sandbox::wasi01::Descriptors;

/// Longer than anything lives, and every clock can add it.
pub(crate) const CENTURY: Duration = Duration::from_secs(100 * 365 * 24 * 60 * 60);

/// The state of an instance while it is nobody's: it holds no file, no stream and no variable of a run.
pub(crate) fn nobody(prepared: &Prepared) -> State {
    let (limits, control) = (&prepared.policy.limits, Control::of_nobody());
    let started = control.deadline;
    let files = Files::of_nobody(prepared.grants.clone(), limits, started);
    State {
        limiter: Limiter::new(limits.memory.0),
        output: control.output.clone(),
        descriptors: Descriptors::default(),
        files,
        input: Input::new(Source::Empty),
        clock: Clock::new(prepared.policy.clock, started),
        random: Random::new(prepared.policy.random),
        args: Vec::new(),
        env: Arc::default(),
        host_bytes: 0,
        host_calls: HostCalls::default(),
        exchange: Exchange::new(None),
        control,
    }
}

/// Its state before its first call, without input and arguments, and its network. No file of it is copied for longer
/// than a century; each call has its own deadline, and totals bound the rest.
pub(crate) fn state(
    prepared: &Prepared,
    (space, secrets): (Space, &Secrets),
    limits: &Limits,
    control: &Control,
    started: Instant,
) -> Result<(State, Arc<Network>)> {
    let patient = Control { deadline: started + CENTURY, ..control.clone() };
    let files = Files::new(prepared.grants.clone(), &prepared.policy, limits, started, &patient, space)?;
    let network = Network::new(prepared.net.clone(), limits, files.denials.clone(), None);
    let state = State {
        limiter: Limiter::new(limits.memory.0),
        control: Control { network: Some(network.clone()), ..control.clone() },
        descriptors: Descriptors::new(&files),
        files,
        input: Input::new(Source::Empty),
        output: control.output.clone(),
        clock: Clock::new(prepared.policy.clock, started),
        random: Random::new(prepared.policy.random),
        args: arguments(&prepared.argv0, Vec::new())?,
        env: secrets.added_to(&prepared.env),
        host_bytes: limits.host_bytes.0,
        host_calls: HostCalls::default(),
        exchange: Exchange::new(None),
    };
    Ok((state, network))
}
