#![allow(clippy::unwrap_used)]

use super::*;
use crate::host::ValueType;
use crate::policy::Bytes;

fn result() -> RunResult {
    RunResult {
        outcome: Outcome::Limited,
        exit_code: Some(3),
        limit: Some("memory"),
        trap: Some("unreachable".into()),
        backtrace: Some("0: main\n1: start".into()),
        stdout: b"out".to_vec(),
        stderr: b"err".to_vec(),
        truncated: false,
        usage: Usage {
            wall: Duration::from_millis(7),
            cpu: Duration::from_millis(5),
            memory: 65536,
            output: 6,
            fuel: Some(9),
        },
        denials: vec![Denial {
            kind: "read",
            what: text::quote(&"\u{1b}".repeat(300)),
            count: 2,
            first: Duration::from_millis(1),
        }],
        changes: None,
        host_calls: 0,
        raised: None,
        abandoned: None,
    }
}

/// What a parent makes of an answer whose JSON was changed on the way.
fn told(change: impl FnOnce(&mut serde_json::Value)) -> Result<RunResult, String> {
    let mut value = serde_json::to_value(Ended::of(&result())).unwrap();
    change(&mut value);
    let ended: Ended = read(value.to_string().as_bytes())?;
    ended.into_result(b"outerr".to_vec(), &Limits::default(), Duration::from_secs(1))
}

#[test]
fn a_result_arrives_as_it_was_sent() {
    assert_eq!(format!("{:?}", result()), format!("{:?}", told(|_| {}).unwrap()));
}

#[test]
fn attack_what_a_fallen_worker_claims_is_refused() {
    let lies: [(&str, serde_json::Value); 14] = [
        ("outcome", "fine".into()),
        ("outcome", "exited".into()),
        ("limit", "patience".into()),
        ("limit", serde_json::Value::Null),
        ("exit_code", (-1).into()),
        ("exit_code", "0".into()),
        ("stdout_bytes", 7.into()),
        ("output_bytes", 5.into()),
        ("output_bytes", u64::MAX.into()),
        ("wall_nanos", 1.5.into()),
        ("denials", "none".into()),
        ("denials", serde_json::json!([{"kind": "root", "what": "", "count": 1, "first_nanos": 0}])),
        ("truncated", 1.into()),
        ("surprise", 1.into()),
    ];
    for (key, lie) in lies {
        assert!(told(|value| value[key] = lie.clone()).is_err(), "{key} = {lie}");
    }
    let many = vec![serde_json::json!({"kind": "read", "what": "x", "count": 1, "first_nanos": 0}); 200];
    assert!(told(|value| value["denials"] = many.into()).is_err());
}

#[test]
fn attack_texts_of_a_fallen_worker_are_escaped_and_cut() {
    let forged = format!("\u{1b}]0;{}\n", "x".repeat(100_000));
    let told = told(|value| {
        value["trap"] = forged.clone().into();
        value["backtrace"] = forged.repeat(9).into();
        value["denials"][0]["what"] = forged.clone().into();
        value["wall_nanos"] = u64::MAX.into();
    })
    .unwrap();
    let texts = [told.trap.unwrap(), told.backtrace.unwrap().replace('\n', ""), told.denials[0].what.clone()];
    for text in texts {
        assert!(text.len() < 100_000 && !text.chars().any(char::is_control), "{} bytes", text.len());
    }
    assert_eq!(Duration::from_secs(1), told.usage.wall);
}

#[test]
fn attack_more_output_than_the_limit_is_refused() {
    let limits = Limits { output: Bytes(5), ..Limits::default() };
    let ended = Ended::of(&result());
    assert!(ended.into_result(b"outerr".to_vec(), &limits, Duration::from_secs(1)).is_err());
}

#[test]
fn an_error_of_a_worker_keeps_its_kind_and_no_other_kind_is_known() {
    let failed = |code: &str| Failed { code: code.into(), what: "\u{1b}".into(), why: "y".into(), fix: "z".into() };
    for error in [Error::policy("a", "b", "c"), Error::load("a", "b", "c"), Error::host("a", "b", "c")] {
        assert_eq!(Ok(error.clone()), Failed::of(&error).into_error());
    }
    assert!(failed("busy").into_error().is_err() && failed("\n").into_error().is_err());
    assert_eq!("\\u{1b}", failed("host").into_error().unwrap().parts().what);
}

#[test]
fn unknown_requests_and_keys_are_refused() {
    for text in ["", "{}", "\"stop\"", "{\"run\": {}}", "{\"cancel\": {\"now\": 1}}", "{\"bind\": {\"policy\": \"\"}}"]
    {
        assert!(read::<Request>(text.as_bytes()).is_err(), "{text}");
    }
    for text in [
        r#"{"returned": {}}"#,
        r#"{"returned": {"values": [{"i32": 2147483648}], "cpu_nanos": 0}}"#,
        r#"{"returned": {"values": [{"v128": 1}], "cpu_nanos": 0}}"#,
    ] {
        assert!(read::<Request>(text.as_bytes()).is_err(), "{text}");
    }
    assert!(matches!(read::<Request>(b"\"cancel\""), Ok(Request::Cancel)));
    assert!(read::<Answer>(b"{\"ready\": {\"build\": \"x\", \"more\": 1}}").is_err());
}

/// What a parent makes of a call that came as that text.
fn called(text: &str) -> Result<(usize, Vec<Value>), String> {
    let signature = |params: &[ValueType]| Signature { params: params.to_vec(), results: vec![] };
    let signatures = [signature(&[]), signature(&[ValueType::I32, ValueType::F64])];
    let Answer::Call(call) = read(text.as_bytes())? else { return Err("no call".into()) };
    call.of(&signatures)
}

fn call(function: &str, params: &str) -> String {
    format!(r#"{{"call": {{"function": {function}, "params": {params}, "cpu_nanos": 0, "memory_bytes": 0}}}}"#)
}

#[test]
fn a_call_arrives_bit_by_bit() {
    for value in [Value::I32(i32::MIN), Value::I64(i64::MIN), Value::F32(u32::MAX), Value::F64(u64::MAX - 1)] {
        let back: Number = read(&write(&Number::from(value)).unwrap()).unwrap();
        assert_eq!(value, back.into());
    }
    assert_eq!(Ok((0, vec![])), called(&call("0", "[]")));
    let params = vec![Value::I32(-1), Value::F64(0x7ff8_0000_0000_0001)];
    assert_eq!(Ok((1, params)), called(&call("1", r#"[{"i32": -1}, {"f64": 9221120237041090561}]"#)));
}

#[test]
fn attack_calls_that_no_program_can_make_are_refused() {
    for (function, params) in [
        ("2", "[]"),
        ("4294967295", "[]"),
        ("4294967296", "[]"),
        ("-1", "[]"),
        ("0.5", "[]"),
        ("\"0\"", "[]"),
        ("0", r#"[{"i32": 1}]"#),
        ("1", "[]"),
        ("1", r#"[{"i32": 1}]"#),
        ("1", r#"[{"i32": 1}, {"f64": 1}, {"i32": 1}]"#),
        ("1", r#"[{"f64": 1}, {"i32": 1}]"#),
        ("1", r#"[{"i64": 1}, {"f64": 1}]"#),
        ("1", r#"[{"i32": 2147483648}, {"f64": 1}]"#),
        ("1", r#"[{"i32": 1}, {"f64": 1.5}]"#),
        ("1", r#"[{"i32": 1}, {"f64": -1}]"#),
        ("1", r#"[{"i32": 1}, {"externref": 1}]"#),
        ("1", r#"[1, 1]"#),
        ("1", "null"),
    ] {
        assert!(called(&call(function, params)).is_err(), "{function} {params}");
    }
    assert!(called(r#"{"call": {"function": 0, "params": []}}"#).is_err());
    assert!(called(r#"{"call": {"function": 0, "params": [], "cpu_nanos": 0, "memory_bytes": 0, "x": 1}}"#).is_err());
}
