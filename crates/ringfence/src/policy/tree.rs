//! A policy's text as a tree that remembers where each value stood.

use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::place::{Place, Step};

/// Deepest nesting read from TOML; a policy has three levels.
///
/// The parser stops at 80 a kind, but keys, tables and arrays multiply.
const MAX_DEPTH: usize = 16;

/// One value, and the byte of the text it starts at (TOML only).
#[derive(Debug)]
pub(super) struct Node {
    pub offset: Option<usize>,
    pub value: Value,
}

/// A key of a table, and the byte it starts at.
#[derive(Debug)]
pub(super) struct Key {
    pub offset: Option<usize>,
    pub name: String,
}

/// What a value can be in TOML or JSON.
#[derive(Debug)]
pub(super) enum Value {
    Null,
    Bool(bool),
    Signed(i64),
    Unsigned(u64),
    Number(f64),
    Text(String),
    Date,
    List(Vec<Node>),
    Table(Vec<(Key, Node)>),
}

/// What a TOML document holds that no tree can: where, and why.
pub(super) struct Unreadable {
    pub offset: usize,
    pub why: &'static str,
}

impl Node {
    /// A tree from parsed TOML.
    pub fn from_toml(table: &Spanned<DeTable<'_>>) -> Result<Self, Unreadable> {
        let value = table_from_toml(table.get_ref(), 0)?;
        Ok(Self { offset: Some(table.span().start), value })
    }

    fn from_toml_value(spanned: &Spanned<DeValue<'_>>, depth: usize) -> Result<Self, Unreadable> {
        let offset = spanned.span().start;
        let refused = |why| Unreadable { offset, why };
        if depth > MAX_DEPTH {
            return Err(refused("it is nested deeper than any policy"));
        }
        let value = match spanned.get_ref() {
            DeValue::String(text) => Value::Text(text.to_string()),
            DeValue::Integer(whole) => {
                let read = i64::from_str_radix(whole.as_str(), whole.radix());
                Value::Signed(read.map_err(|_| refused("a whole number in TOML is at most 2^63 - 1"))?)
            }
            DeValue::Float(number) => {
                Value::Number(number.as_str().parse().map_err(|_| refused("this number cannot be read"))?)
            }
            DeValue::Boolean(is) => Value::Bool(*is),
            DeValue::Datetime(_) => Value::Date,
            DeValue::Array(list) => {
                Value::List(list.iter().map(|node| Self::from_toml_value(node, depth + 1)).collect::<Result<_, _>>()?)
            }
            DeValue::Table(table) => table_from_toml(table, depth)?,
        };
        Ok(Self { offset: Some(offset), value })
    }

    /// The offset of the value at `place`, or of the nearest thing around it.
    pub fn offset_of(&self, place: &Place) -> Option<usize> {
        self.walk(place).0
    }

    /// The value at `place`.
    pub fn at(&self, place: &Place) -> Option<&Self> {
        self.walk(place).1
    }

    fn walk(&self, place: &Place) -> (Option<usize>, Option<&Self>) {
        let mut node = self;
        let mut offset = self.offset;
        for step in place.steps() {
            let below = match (&node.value, step) {
                (Value::Table(entries), Step::Key(name)) => {
                    entries.iter().find(|(key, _)| key.name == *name).map(|(_, node)| node)
                }
                (Value::List(nodes), Step::Index(index)) => nodes.get(*index),
                _ => None,
            };
            let Some(below) = below else { return (offset, None) };
            offset = below.offset.or(offset);
            node = below;
        }
        (offset, Some(node))
    }
}

fn table_from_toml(table: &DeTable<'_>, depth: usize) -> Result<Value, Unreadable> {
    let entries = table.iter().map(|(key, node)| {
        let key = Key { offset: Some(key.span().start), name: key.get_ref().to_string() };
        Ok((key, Node::from_toml_value(node, depth + 1)?))
    });
    entries.collect::<Result<_, _>>().map(Value::Table)
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = deserializer.deserialize_any(AnyValue)?;
        Ok(Self { offset: None, value })
    }
}

struct AnyValue;

impl<'de> Visitor<'de> for AnyValue {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, is: bool) -> Result<Value, E> {
        Ok(Value::Bool(is))
    }

    fn visit_i64<E>(self, whole: i64) -> Result<Value, E> {
        Ok(Value::Signed(whole))
    }

    fn visit_u64<E>(self, whole: u64) -> Result<Value, E> {
        Ok(Value::Unsigned(whole))
    }

    fn visit_f64<E>(self, number: f64) -> Result<Value, E> {
        Ok(Value::Number(number))
    }

    fn visit_str<E>(self, text: &str) -> Result<Value, E> {
        Ok(Value::Text(text.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Value, A::Error> {
        let mut nodes = Vec::new();
        while let Some(node) = seq.next_element()? {
            nodes.push(node);
        }
        Ok(Value::List(nodes))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let mut entries = Vec::new();
        while let Some((name, node)) = map.next_entry()? {
            entries.push((Key { offset: None, name }, node));
        }
        Ok(Value::Table(entries))
    }
}
