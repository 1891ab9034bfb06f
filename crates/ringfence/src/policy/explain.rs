//! What does not fit into a policy, told in three parts.

use serde_json::Value as Json;

use super::nearest::nearest;
use super::place::{Place, Step};
use super::read::{Fault, Kind, Wanted, found};
use super::tree::Node;
use super::write::schema;
use crate::error::Parts;
use crate::text::cut;

/// Which way of writing the fixes are worded for.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Form {
    Toml,
    Json,
}

/// What, why and the fix of a fault in `tree`; `top` is where the tree stands in a policy.
pub(super) fn explain(fault: &Fault, tree: &Node, top: &Place, form: Form) -> Parts {
    let place = fault.place();
    let whole = place.below(top);
    // In JSON the way down already stands before every error.
    let subject = match form {
        Form::Toml if !whole.is_top() => format!("`{whole}` "),
        _ => String::new(),
    };
    match &fault.kind {
        Kind::UnknownKey(known) => unknown_key(&whole, known, top.is_top(), form),
        Kind::NoChoice { found, word, choices } => {
            let meant = word.as_deref().and_then(|word| nearest(word, choices.iter().copied()));
            let fix = match meant {
                Some(meant) => format!("write {}", assign(&whole, &format!("\"{meant}\""), form)),
                None => format!("write one of them: {}", assign(&whole, &format!("\"{}\"", choices[0]), form)),
            };
            let choices: Vec<_> = choices.iter().map(|choice| format!("`\"{choice}\"`")).collect();
            Parts::new(format!("{subject}cannot be {found}"), format!("it is {}", choices.join(" or ")), fix)
        }
        Kind::Missing(key) => Parts::new(
            format!("`{key}` is missing"),
            format!("{} needs it", table(&whole, form)),
            format!("add {}", assign(&Place::top().key(*key), &format!("\"{}\"", example(key)), form)),
        ),
        Kind::Repeated => repeated(&whole.label()),
        Kind::Wrong { found, wanted } => {
            let (why, fix) = want(wanted, &whole, found, form);
            Parts::new(format!("{subject}cannot be {found}"), why, fix)
        }
        Kind::Said(said) => {
            let (why, fix) = said.split_once('\n').unwrap_or((said, "write another value"));
            let found = tree.at(&place).map_or_else(|| "this".into(), |node| found(node.unexpected()));
            Parts::new(format!("{subject}cannot be {found}"), cut(why, 400), cut(fix, 400))
        }
    }
}

/// What a key that has to be there may hold.
fn example(key: &str) -> &'static str {
    match key {
        "name" => "API_KEY",
        "env" => "PRODUCTION_API_KEY",
        "origin" => "https://api.example.com",
        _ => "data",
    }
}

/// A key that stands in its table twice.
pub(super) fn repeated(key: &str) -> Parts {
    Parts::new(format!("`{key}` is there twice"), "only one of the two could count", "take one out, or join the two")
}

fn unknown_key(place: &Place, known: &[&str], in_policy: bool, form: Form) -> Parts {
    let table_place = place.above();
    let word = match place.steps().last() {
        Some(Step::Key(word)) => word.as_str(),
        _ => "",
    };
    let elsewhere = if in_policy { keys_by_table() } else { Vec::new() };
    let home = |word: &str| elsewhere.iter().find(|(_, keys)| keys.iter().any(|key| key == word));
    let everywhere = elsewhere.iter().flat_map(|(_, keys)| keys.iter().map(String::as_str));
    let fix = if let Some((home, _)) = home(word) {
        format!("move it {}", into(home, form))
    } else if let Some(meant) = nearest(word, known.iter().copied()) {
        format!("write `{meant}`")
    } else if let Some(meant) = nearest(word, everywhere) {
        format!("write `{meant}`, {}", home(meant).map_or_else(String::new, |(home, _)| into(home, form)))
    } else {
        "take it out, or write one of these".into()
    };
    let known: Vec<_> = known.iter().map(|key| format!("`{key}`")).collect();
    Parts::new(
        if form == Form::Toml { format!("unknown key `{}`", place.label()) } else { "unknown key".into() },
        format!("{} takes {}", table(&table_place, form), known.join(", ")),
        fix,
    )
}

/// Every table that has keys of its own, with them; the top one has no name.
fn keys_by_table() -> Vec<(&'static str, Vec<String>)> {
    let schema = schema();
    let keys = |node: &Json| node["properties"].as_object().map_or_else(Vec::new, |all| all.keys().cloned().collect());
    let defs = &schema["$defs"];
    vec![
        ("", keys(&schema)),
        ("limits", keys(&defs["Limits"])),
        ("net", keys(&defs["Net"])),
        ("dirs", keys(&defs["Dir"])),
        ("secrets", keys(&defs["Secret"])),
    ]
}

fn into(table: &str, form: Form) -> String {
    match (table, form) {
        ("", Form::Toml) => "to the top, above the first `[table]`".into(),
        ("", Form::Json) => "to the top".into(),
        ("dirs" | "secrets", Form::Toml) => format!("into a `[[{table}]]` table"),
        ("dirs" | "secrets", Form::Json) => format!("into an entry of `{table}`"),
        (_, Form::Toml) => format!("under `[{table}]`"),
        (_, Form::Json) => format!("into `{table}`"),
    }
}

/// A table as its header is written.
fn table(place: &Place, form: Form) -> String {
    match (place.steps(), form) {
        ([], _) => "a policy".into(),
        ([Step::Key(key)], Form::Toml) => format!("`[{key}]`"),
        ([Step::Key(key), Step::Index(_)], Form::Toml) => format!("`[[{key}]]`"),
        _ => format!("`{place}`"),
    }
}

/// A value at its key, as it is written.
fn assign(place: &Place, value: &str, form: Form) -> String {
    match (place.steps().last(), form) {
        (Some(Step::Key(_)), Form::Toml) => format!("`{} = {value}`", place.label()),
        (Some(Step::Key(_)), Form::Json) => format!("`\"{}\": {value}`", place.label()),
        _ => format!("`{value}`"),
    }
}

fn want(wanted: &Wanted, place: &Place, found: &str, form: Form) -> (String, String) {
    let write = |value: &str| format!("write {}", assign(place, value, form));
    let in_form = |toml: &str, json: &str| if form == Form::Toml { toml.to_owned() } else { json.to_owned() };
    match wanted {
        Wanted::Switch => ("it is `true` or `false`, without quotes".into(), write("true")),
        Wanted::Text => match found.strip_prefix('`').and_then(|found| found.strip_suffix('`')) {
            Some(found) if form == Form::Toml => ("it is text".into(), write(&format!("\"{found}\""))),
            _ => ("it is text".into(), "put text there, in double quotes".into()),
        },
        Wanted::Whole(most) => (
            format!("it is a whole number from 0 to {most}, without quotes or unit"),
            write(if *most > u64::from(u32::MAX) { "1000000" } else { "64" }),
        ),
        Wanted::List if found == "a table" => (
            "it is a list, with one table for each".into(),
            in_form(&format!("write `[[{}]]`, with two brackets", place.label()), "put `[` and `]` around it"),
        ),
        Wanted::List => ("it is a list".into(), "put `[` and `]` around it".into()),
        Wanted::Table => {
            let (key, value) = match place.steps() {
                [] => ("tmp", "true"),
                [Step::Key(key)] if key == "limits" => ("wall", "\"5s\""),
                [Step::Key(key), ..] if key == "dirs" => ("host", "\"data\""),
                [Step::Key(key)] if key == "net" => ("tcp", "[\"db.example.com:5432\"]"),
                [Step::Key(key), ..] if key == "secrets" => ("name", "\"API_KEY\""),
                _ => ("A", "\"1\""),
            };
            let table = in_form(&format!("{{ {key} = {value} }}"), &format!("{{\"{key}\": {value}}}"));
            ("it is a table".into(), format!("write it like `{table}`"))
        }
        Wanted::Other(what) => (format!("it is {}", cut(what, 200)), "write it so".into()),
    }
}
