//! Workers that have fallen and are to hand over what an export left: runs that go on from that refuse what is none.

use std::time::{Duration, Instant};

use ringfence::worker::{self, Isolation};
use ringfence::{Init, Outcome, RunResult, Sandbox};

use crate::captures::{FORGED, NOT_KEPT};
use crate::driver::wall;
use crate::{GRACE, Workers, asked, isolated, run};

const PROGRAM: &str = r#"(module (memory (export "memory") 1) (func (export "_start")) (func (export "init")))"#;

fn captured(name: &str) -> (ringfence::Result<(RunResult, Option<Sandbox>)>, Workers) {
    let workers = Workers::fallen(name);
    let sandbox = isolated(PROGRAM, wall(0.5), Isolation::Process);
    (sandbox.snapshot(Init { after: "init".into(), entry: None, watch: None }, asked(&sandbox)), workers)
}

#[test]
fn attack_what_is_forged_is_refused_by_every_worker_that_is_to_go_on_from_it() {
    for name in FORGED {
        let (captured, _workers) = captured(name);
        let (_, prepared) = captured.unwrap();
        // From here on workers are as they should be; what the fallen one wrote is there without it.
        worker::close();
        worker::set_worker(vec![env!("CARGO_BIN_EXE_ringfence-worker").into()]);
        let refused = run(&prepared.unwrap()).unwrap_err();
        assert_eq!("no run from a snapshot", refused.parts().what, "{name}: {refused}");
    }
}

#[test]
fn attack_what_its_parent_could_not_keep_safe_is_none_and_its_worker_is_gone() {
    for name in NOT_KEPT {
        let began = Instant::now();
        let (captured, _workers) = captured(name);
        let (result, prepared) = captured.unwrap();
        assert!(prepared.is_none() && result.outcome == Outcome::Crashed, "{name}: {:?}", result.trap);
        assert!(!result.trap.unwrap().contains('\u{1b}'), "{name}");
        assert!(began.elapsed() < Duration::from_secs(2) + GRACE, "{name}: {:?}", began.elapsed());
    }
}

#[test]
fn attack_a_reason_of_a_worker_is_a_load_error_that_forges_nothing() {
    let (captured, _workers) = captured("captures a larger file");
    let refused = captured.map(drop).unwrap_err();
    assert!(refused.code() == "load" && refused.parts().why == "it cannot be", "{refused}");
    assert!(!refused.to_string().contains('\u{1b}'), "{refused}");
}
