//! Text that was not written to be a policy, but to break its reader.

#![allow(clippy::unwrap_used)]

use std::path::Path;
use std::thread;

use ringfence::policy::{LimitsPatch, MAX_TEXT, Policy};

/// Longest error that hostile text can cause, in bytes: it fits on a screen.
const MAX_ERROR: usize = 2000;

fn assert_refused(name: &str, text: &str) {
    for error in [
        Policy::from_toml(text, "policy.toml").unwrap_err(),
        Policy::from_json(text, Path::new("/")).unwrap_err(),
        LimitsPatch::from_json(text).unwrap_err(),
    ] {
        let message = error.to_string();
        assert_eq!("policy", error.code(), "{name}: {message}");
        assert!(message.len() < MAX_ERROR, "{name}: {} bytes", message.len());
        assert_eq!(1, message.matches('\n').count(), "{name}: {message:?}");
        assert!(!message.replace('\n', "").contains(char::is_control), "{name}: {message:?}");
    }
}

#[test]
fn deep_nesting_is_refused_on_a_small_stack() {
    let deep = |piece: &str, times: usize| piece.repeat(times);
    // Each of these alone is within what the parser allows; together they are 6000 levels.
    let tables = format!("{}1{}", deep(&format!("{{{}a=", deep("a.", 78)), 78), deep("}", 78));
    for (name, text) in [
        ("arrays", format!("a = {}", deep("[", 1_000_000))),
        ("closed arrays", format!("a = {}{}", deep("[", 500_000), deep("]", 500_000))),
        ("inline tables", format!("a = {}", deep("{a=", 300_000))),
        ("dotted key", format!("{}a = 1", deep("a.", 500_000))),
        ("header", format!("[{}a]", deep("a.", 500_000))),
        ("all together", format!("[{0}a]\n{0}a = {tables}", deep("a.", 78))),
        ("json arrays", deep("[", 1_000_000)),
        ("json objects", deep("{\"a\":", 200_000)),
    ] {
        let small = thread::Builder::new().stack_size(1 << 20);
        small.spawn(move || assert_refused(name, &text)).unwrap().join().unwrap();
    }
}

#[test]
fn giant_pieces_are_cut_in_the_error() {
    let giant = "x".repeat(1_000_000);
    let digits = "9".repeat(1_000_000);
    for (name, text) in [
        ("key", format!("{giant} = 1")),
        ("choice", format!("clock = '{giant}'")),
        ("time", format!("[limits]\nwall = '{digits}s'")),
        ("whole number", format!("[limits]\nwall = {digits}")),
        ("number", format!("[limits]\nwall = {digits}.5")),
        ("unit", format!("[limits]\nmemory = '1{giant}'")),
        ("memory", format!("[limits]\nmemory = '{digits}MB'")),
        ("guest path", format!("[[dirs]]\nhost = 'a'\nat = '/{giant}'")),
        ("host path", format!("[[dirs]]\nhost = '../{giant}'")),
        ("variable", format!("[env]\n'{giant}=' = '{giant}'").replacen(&giant, "x", 1)),
        ("many keys", (0..80_000).map(|count| format!("k{count} = 1\n")).collect()),
    ] {
        assert_refused(name, &text);
    }
}

#[test]
fn escape_codes_never_reach_the_error() {
    for (name, text) in [
        ("key", r#""a\u001b[2J\nb" = 1"#),
        ("choice", r#"clock = "\u001b[2J\n""#),
        ("variable", r#"env = { "\u001b[2J=\n" = "\u001b" }"#),
        ("guest path", "[[dirs]]\nhost = 'a'\nat = \"/\\u001b\\n\""),
        ("host path", "[[dirs]]\nhost = \"../\\u001b\\n\""),
        ("raw", "clock = '\x1b[2J'"),
        ("raw key", "\x1b[2J = 1"),
        ("empty", "\0"),
    ] {
        assert_refused(name, text);
    }
    for text in [r#"{"a\u001b[2J\nb": 1}"#, r#"{"env": {"\u001b=\n": "1"}}"#, "{\"\x1b\": 1}"] {
        let message = Policy::from_json(text, Path::new("/")).unwrap_err().to_string();
        assert!(!message.replace('\n', "").contains(char::is_control), "{message:?}");
    }
}

#[test]
fn a_file_name_with_escape_codes_is_shown_escaped() {
    let error = Policy::from_toml("x", "a\x1b[2J\n.toml").unwrap_err();
    assert!(error.parts().what.starts_with("a\\u{1b}[2J\\u{a}.toml:1: "), "{error}");
}

#[test]
fn text_longer_than_any_policy_is_not_read() {
    let text = "#".repeat(MAX_TEXT + 1);
    let error = Policy::from_toml(&text, "policy.toml").unwrap_err();
    assert_eq!("policy.toml: too long for a policy", error.parts().what);
    assert!(Policy::from_toml(&text[1..], "policy.toml").is_ok());
}
