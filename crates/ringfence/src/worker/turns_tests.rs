#![allow(clippy::unwrap_used, clippy::panic)]

use super::super::protocol::read;
use super::*;
use crate::policy::Bytes;
use crate::result::{RunResult, Usage};

fn result(outcome: TurnOutcome, value: Option<TurnValue>, error: Option<TurnError>) -> TurnResult {
    let ended = RunResult {
        outcome: Outcome::Exited,
        exit_code: Some(0),
        limit: None,
        trap: None,
        backtrace: None,
        stdout: b"out".to_vec(),
        stderr: b"err".to_vec(),
        truncated: false,
        usage: Usage { wall: Duration::from_millis(7), output: 6, ..Usage::default() },
        denials: Vec::new(),
        changes: None,
        host_calls: 0,
        raised: None,
        abandoned: None,
    };
    TurnResult::of(ended, Said { outcome: Some(outcome), heard: Some("wall"), value, error, poisoned: false })
}

fn error() -> TurnError {
    TurnError { name: "Ä".into(), message: "\u{1b}".into(), traceback: "lines\n".into() }
}

/// What a parent makes of an answer whose JSON was changed on the way, and its tail too.
fn told(result: TurnResult, change: impl FnOnce(&mut serde_json::Value, &mut Vec<u8>)) -> Result<TurnResult, String> {
    let (turned, tail) = Turned::of(result);
    let (mut value, mut tail) = (serde_json::to_value(turned).unwrap(), tail.concat());
    change(&mut value, &mut tail);
    let turned: Turned = read(value.to_string().as_bytes())?;
    let limits = Limits { host_bytes: Bytes(200), ..Limits::default() };
    turned.into_result(tail, &limits, Duration::from_secs(1))
}

#[test]
fn a_turn_arrives_as_it_was_sent() {
    let ends = [
        result(TurnOutcome::Returned, None, None),
        result(TurnOutcome::Returned, Some(TurnValue::Encoded(b"\x82\x01\x02".to_vec())), None),
        result(TurnOutcome::Returned, Some(TurnValue::Text("<object>".into())), None),
        result(TurnOutcome::Raised, None, Some(error())),
        TurnResult {
            outcome: TurnOutcome::Ended(Outcome::Limited),
            limit: Some("wall"),
            exit_code: None,
            ..result(TurnOutcome::Raised, None, Some(error()))
        },
        TurnResult {
            outcome: TurnOutcome::Ended(Outcome::Exited),
            exit_code: Some(3),
            limit: None,
            ..result(TurnOutcome::Returned, None, None)
        },
        TurnResult {
            outcome: TurnOutcome::Ended(Outcome::Trapped),
            limit: None,
            exit_code: None,
            trap: Some("unreachable".into()),
            poisoned: true,
            ..result(TurnOutcome::Returned, None, None)
        },
    ];
    for sent in ends {
        assert_eq!(format!("{sent:?}"), format!("{:?}", told(sent, |_, _| {}).unwrap()));
    }
}

#[test]
fn attack_what_a_fallen_worker_claims_of_a_turn_is_refused() {
    let value = || result(TurnOutcome::Returned, Some(TurnValue::Encoded(b"\x01".to_vec())), None);
    let lies: [(&str, serde_json::Value); 13] = [
        ("outcome", "exited".into()),
        ("outcome", "raised".into()),
        ("outcome", serde_json::Value::Null),
        ("heard", "patience".into()),
        ("poisoned", true.into()),
        ("poisoned", 1.into()),
        ("value", serde_json::json!({"encoded": 2})),
        ("value", serde_json::json!({"encoded": 201})),
        ("value", serde_json::json!({"encoded": u64::MAX})),
        ("value", serde_json::json!({"text": 601})),
        ("value", serde_json::json!({"object": 1})),
        ("error", serde_json::json!([0, 0, 0])),
        ("surprise", 1.into()),
    ];
    for (key, lie) in lies {
        assert!(told(value(), |value, _| value[key] = lie.clone()).is_err(), "{key} = {lie}");
    }
    let raised = || result(TurnOutcome::Raised, None, Some(error()));
    let lengths = [[u64::MAX, 1, 0], [9 << 20, 1, 0], [1, 1, 7], [2, 1, 60]];
    for lie in lengths {
        assert!(told(raised(), |value, _| value["error"] = serde_json::json!(lie)).is_err(), "{lie:?}");
    }
    assert!(told(raised(), |value, _| value["poisoned"] = true.into()).is_err());
    assert!(told(raised(), |value, _| value["error"] = serde_json::Value::Null).is_err());
    assert!(told(raised(), |value, _| value["value"] = serde_json::json!({"text": 0})).is_err());
}

#[test]
fn attack_a_value_that_is_none_is_no_value() {
    let value = || result(TurnOutcome::Returned, Some(TurnValue::Encoded(vec![0x81, 0x01])), None);
    // A list that lacks its item, one of four billion, bytes after the end, another encoding, and what is no text.
    for forged in [[0x82, 0x01], [0x9a, 0xff], [0x01, 0x01], [0xff, 0xff], [0x61, 0xff]] {
        let changed = told(value(), |_, tail| {
            let at = tail.len() - 2;
            tail[at..].copy_from_slice(&forged);
        });
        assert!(changed.is_err(), "{forged:x?}");
    }
    let text = || result(TurnOutcome::Returned, Some(TurnValue::Text("ab".into())), None);
    assert!(told(text(), |_, tail| *tail.last_mut().unwrap() = 0xff).is_err());
    // Few bytes, and objects that take more than the host may hold.
    let large = [vec![0x98, 100], vec![0xf6; 100]].concat();
    assert!(told(result(TurnOutcome::Returned, Some(TurnValue::Encoded(large)), None), |_, _| {}).is_err());
}

#[test]
fn attack_output_and_value_do_not_pass_for_each_other() {
    let value = || result(TurnOutcome::Returned, Some(TurnValue::Encoded(b"\x01".to_vec())), None);
    assert!(told(value(), |_, tail| tail.push(0)).is_err());
    assert!(told(value(), |_, tail| tail.truncate(3)).is_err());
    assert!(told(value(), |value, _| value["ended"]["stdout_bytes"] = 7.into()).is_err());
    assert!(told(value(), |value, _| value["ended"]["output_bytes"] = u64::MAX.into()).is_err());
}
