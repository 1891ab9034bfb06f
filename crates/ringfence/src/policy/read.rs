//! From a tree to a policy, through serde: the types say which keys and values there are,
//! and what does not fit becomes a [`Fault`] that knows its place.

use std::collections::HashSet;
use std::fmt;

use serde::de::value::{BorrowedStrDeserializer, StrDeserializer};
use serde::de::{
    Deserialize, DeserializeSeed, Deserializer, Error, Expected, IntoDeserializer, MapAccess, SeqAccess, Unexpected,
    Visitor,
};
use serde::forward_to_deserialize_any;

use super::place::{Place, Step};
use super::tree::{Key, Node, Value};
use crate::text::{cut, quote};

/// What does not fit, and where.
#[derive(Debug)]
pub(super) struct Fault {
    pub kind: Kind,
    /// Where the text of it starts, where that is known.
    pub offset: Option<usize>,
    /// The way down to it, the last step first.
    steps: Vec<Step>,
}

/// The ways not to fit.
#[derive(Debug)]
pub(super) enum Kind {
    /// A key nobody knows, among those of its table.
    UnknownKey(&'static [&'static str]),
    /// A value that is none of the choices.
    NoChoice { found: String, word: Option<String>, choices: &'static [&'static str] },
    /// A key that has to be there.
    Missing(&'static str),
    /// A key that stands there twice.
    Repeated,
    /// A value of another type or range.
    Wrong { found: String, wanted: Wanted },
    /// What a type of ours says: why, and on a second line the fix.
    Said(String),
}

/// What a value should have been.
#[derive(Debug, PartialEq)]
pub(super) enum Wanted {
    Switch,
    Text,
    Whole(u64),
    List,
    Table,
    Other(String),
}

/// Reads a `T` from a tree.
pub(super) fn read<'de, T: Deserialize<'de>>(node: &'de Node) -> Result<T, Fault> {
    T::deserialize(node)
}

impl Fault {
    fn new(kind: Kind) -> Self {
        Self { kind, offset: None, steps: Vec::new() }
    }

    fn within(mut self, step: Step, offset: Option<usize>) -> Self {
        self.steps.push(step);
        self.offset = self.offset.or(offset);
        self
    }

    /// Where it is.
    pub fn place(&self) -> Place {
        Place::from_reversed(self.steps.clone())
    }
}

impl Wanted {
    fn from_serde(expected: &dyn Expected) -> Self {
        let text = expected.to_string();
        match text.as_str() {
            "a boolean" => Self::Switch,
            "a string" | "path string" => Self::Text,
            "u64" => Self::Whole(i64::MAX as u64),
            "u32" => Self::Whole(u64::from(u32::MAX)),
            "a sequence" => Self::List,
            "a map" => Self::Table,
            _ if text.starts_with("struct ") => Self::Table,
            _ => Self::Other(text),
        }
    }
}

/// A value as a message shows it.
pub(super) fn found(value: Unexpected<'_>) -> String {
    match value {
        Unexpected::Bool(is) => format!("`{is}`"),
        Unexpected::Unsigned(whole) => format!("`{whole}`"),
        Unexpected::Signed(whole) => format!("`{whole}`"),
        Unexpected::Float(number) => format!("`{number}`"),
        Unexpected::Str(text) => format!("`\"{}\"`", cut(text, 64)),
        Unexpected::Unit => "`null`".into(),
        Unexpected::Seq => "a list".into(),
        Unexpected::Map => "a table".into(),
        Unexpected::Other(what) => what.into(),
        other => quote(&other.to_string()),
    }
}

impl Error for Fault {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self::new(Kind::Said(message.to_string()))
    }

    fn invalid_type(value: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::new(Kind::Wrong { found: found(value), wanted: Wanted::from_serde(expected) })
    }

    fn invalid_value(value: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::invalid_type(value, expected)
    }

    fn unknown_variant(variant: &str, expected: &'static [&'static str]) -> Self {
        let found = found(Unexpected::Str(variant));
        Self::new(Kind::NoChoice { found, word: Some(cut(variant, 64)), choices: expected })
    }

    fn unknown_field(_: &str, expected: &'static [&'static str]) -> Self {
        Self::new(Kind::UnknownKey(expected))
    }

    fn missing_field(field: &'static str) -> Self {
        Self::new(Kind::Missing(field))
    }

    fn duplicate_field(_: &'static str) -> Self {
        Self::new(Kind::Repeated)
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.kind)
    }
}

impl std::error::Error for Fault {}

impl Node {
    pub(super) fn unexpected(&self) -> Unexpected<'_> {
        match &self.value {
            Value::Null => Unexpected::Unit,
            Value::Bool(is) => Unexpected::Bool(*is),
            Value::Signed(whole) => Unexpected::Signed(*whole),
            Value::Unsigned(whole) => Unexpected::Unsigned(*whole),
            Value::Number(number) => Unexpected::Float(*number),
            Value::Text(text) => Unexpected::Str(text),
            Value::Date => Unexpected::Other("a date"),
            Value::List(_) => Unexpected::Seq,
            Value::Table(_) => Unexpected::Map,
        }
    }
}

impl<'de> Deserializer<'de> for &'de Node {
    type Error = Fault;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        match &self.value {
            Value::Null => visitor.visit_unit(),
            Value::Bool(is) => visitor.visit_bool(*is),
            Value::Signed(whole) => visitor.visit_i64(*whole),
            Value::Unsigned(whole) => visitor.visit_u64(*whole),
            Value::Number(number) => visitor.visit_f64(*number),
            Value::Text(text) => visitor.visit_borrowed_str(text),
            Value::Date => Err(Fault::invalid_type(self.unexpected(), &visitor)),
            Value::List(nodes) => visitor.visit_seq(Elements { nodes, next: 0 }),
            Value::Table(entries) => visitor.visit_map(Entries { entries, next: 0, seen: HashSet::new() }),
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        match self.value {
            Value::Null => visitor.visit_none(),
            _ => visitor.visit_some(self),
        }
    }

    // Derived structs would take a list as well, field by field.
    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Fault> {
        match self.value {
            Value::Table(_) => self.deserialize_any(visitor),
            _ => Err(Fault::invalid_type(self.unexpected(), &visitor)),
        }
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        choices: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Fault> {
        match &self.value {
            Value::Text(text) => {
                let word: StrDeserializer<'_, Fault> = text.as_str().into_deserializer();
                visitor.visit_enum(word)
            }
            // `wasi = 0.2` means "0.2".
            Value::Number(number) => {
                let word = Some(number.to_string());
                Err(Fault::new(Kind::NoChoice { found: found(self.unexpected()), word, choices }))
            }
            _ => Err(Fault::new(Kind::NoChoice { found: found(self.unexpected()), word: None, choices })),
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Result<V::Value, Fault> {
        visitor.visit_newtype_struct(self)
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit
        unit_struct seq tuple tuple_struct map identifier ignored_any
    }
}

struct Elements<'de> {
    nodes: &'de [Node],
    next: usize,
}

impl<'de> SeqAccess<'de> for Elements<'de> {
    type Error = Fault;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, Fault> {
        let Some(node) = self.nodes.get(self.next) else { return Ok(None) };
        let step = Step::Index(self.next);
        self.next += 1;
        seed.deserialize(node).map(Some).map_err(|fault| fault.within(step, node.offset))
    }
}

struct Entries<'de> {
    entries: &'de [(Key, Node)],
    next: usize,
    seen: HashSet<&'de str>,
}

impl<'de> MapAccess<'de> for Entries<'de> {
    type Error = Fault;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Fault> {
        let Some((key, _)) = self.entries.get(self.next) else { return Ok(None) };
        let read = if self.seen.insert(&key.name) {
            seed.deserialize(BorrowedStrDeserializer::new(&key.name))
        } else {
            Err(Fault::new(Kind::Repeated))
        };
        read.map(Some).map_err(|fault: Fault| fault.within(Step::Key(key.name.clone()), key.offset))
    }

    fn next_value_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<T::Value, Fault> {
        let Some((key, node)) = self.entries.get(self.next) else {
            return Err(Fault::custom("a value was asked for after the last one"));
        };
        self.next += 1;
        seed.deserialize(node).map_err(|fault| fault.within(Step::Key(key.name.clone()), node.offset))
    }
}
