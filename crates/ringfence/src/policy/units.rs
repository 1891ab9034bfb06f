//! Numbers with their units: seconds and bytes, as a number or as text.

use std::borrow::Cow;
use std::time::Duration;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A length of time: seconds as a number, or text such as `"500ms"`, `"5s"`, `"2m"`, `"1h"`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Seconds(pub Duration);

impl Seconds {
    /// Whole seconds.
    pub const fn from_secs(seconds: u64) -> Self {
        Self(Duration::from_secs(seconds))
    }
}

/// An amount of memory: bytes as a whole number, or text such as `"64KiB"`, `"256MiB"`, `"1GiB"`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Bytes(pub u64);

impl Bytes {
    /// Mebibytes.
    pub const fn mib(count: u64) -> Self {
        Self(count << 20)
    }
}

/// Longest time that can be asked for, in seconds: a hundred years, which every clock can add to now.
const MAX_SECONDS: f64 = 3_153_600_000.0;

impl Seconds {
    /// Seconds from a number; not negative, not above a hundred years.
    pub fn from_number(seconds: f64) -> Result<Self, String> {
        if seconds.is_nan() || seconds < 0.0 {
            return Err(format!("{seconds} is not a length of time"));
        }
        if seconds > MAX_SECONDS {
            return Err(format!("{seconds} seconds are more than a hundred years"));
        }
        Ok(Self(Duration::from_secs_f64(seconds)))
    }

    /// Seconds from text such as `"500ms"`.
    pub fn from_text(text: &str) -> Result<Self, String> {
        let refused = || format!("{text:?} is not a length of time: write \"500ms\", \"5s\", \"2m\" or \"1h\"");
        let (number, unit) = split_unit(text);
        let number: f64 = number.parse().map_err(|_| refused())?;
        let factor = match unit {
            "us" => 1e-6,
            "ms" => 1e-3,
            "s" => 1.0,
            "m" => 60.0,
            "h" => 3600.0,
            _ => return Err(refused()),
        };
        Self::from_number(number * factor)
    }
}

impl Bytes {
    /// Bytes from text such as `"256MiB"`.
    pub fn from_text(text: &str) -> Result<Self, String> {
        let (number, unit) = split_unit(text);
        let factor: u64 = match unit {
            "B" => 1,
            "KiB" => 1 << 10,
            "MiB" => 1 << 20,
            "GiB" => 1 << 30,
            "KB" | "MB" | "GB" | "kB" | "K" | "M" | "G" => {
                let right = format!("{number}{}iB", unit[..1].to_uppercase());
                return Err(format!("{text:?} has a decimal unit: write \"{right}\""));
            }
            _ => {
                return Err(format!("{text:?} is not an amount of memory: write \"64KiB\", \"256MiB\" or \"1GiB\""));
            }
        };
        let refused = || format!("{text:?} is not an amount of memory that exists");
        let number: u64 = number.parse().map_err(|_| refused())?;
        number.checked_mul(factor).map(Self).ok_or_else(refused)
    }
}

fn split_unit(text: &str) -> (&str, &str) {
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    (number, unit.trim_start())
}

#[derive(Deserialize)]
#[serde(untagged)]
enum NumberOrText<'a> {
    Whole(u64),
    Number(f64),
    Text(#[serde(borrow)] Cow<'a, str>),
}

impl<'de> Deserialize<'de> for Seconds {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let parsed = match NumberOrText::deserialize(deserializer) {
            Ok(NumberOrText::Whole(seconds)) => Self::from_number(seconds as f64),
            Ok(NumberOrText::Number(seconds)) => Self::from_number(seconds),
            Ok(NumberOrText::Text(text)) => Self::from_text(&text),
            Err(_) => Err("a length of time is a number of seconds, or text such as \"500ms\"".into()),
        };
        parsed.map_err(serde::de::Error::custom)
    }
}

impl<'de> Deserialize<'de> for Bytes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let parsed = match NumberOrText::deserialize(deserializer) {
            Ok(NumberOrText::Whole(bytes)) => Ok(Self(bytes)),
            Ok(NumberOrText::Text(text)) => Self::from_text(&text),
            Ok(NumberOrText::Number(_)) | Err(_) => {
                Err("an amount of memory is a whole number of bytes, or text such as \"256MiB\"".into())
            }
        };
        parsed.map_err(serde::de::Error::custom)
    }
}

impl Serialize for Seconds {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_f64(self.0.as_secs_f64())
    }
}

impl Serialize for Bytes {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u64(self.0)
    }
}

impl JsonSchema for Seconds {
    fn schema_name() -> Cow<'static, str> {
        "Seconds".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "Seconds, or text such as \"500ms\", \"5s\", \"2m\", \"1h\".",
            "anyOf": [
                {"type": "number", "minimum": 0, "maximum": MAX_SECONDS},
                {"type": "string", "pattern": "^[0-9]+(\\.[0-9]+)?(us|ms|s|m|h)$"},
            ],
        })
    }
}

impl JsonSchema for Bytes {
    fn schema_name() -> Cow<'static, str> {
        "Bytes".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "Bytes, or text such as \"64KiB\", \"256MiB\", \"1GiB\".",
            "anyOf": [
                {"type": "integer", "minimum": 0},
                {"type": "string", "pattern": "^[0-9]+(B|KiB|MiB|GiB)$"},
            ],
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_seconds_with_their_unit() {
        let read = |text| Seconds::from_text(text).map(|s| s.0.as_millis());
        assert_eq!(Ok(500), read("500ms"));
        assert_eq!(Ok(1500), read("1.5s"));
        assert_eq!(Ok(120_000), read("2m"));
        assert!(read("5").is_err() && read("").is_err() && read("-1s").is_err() && read("9999999h").is_err());
    }

    #[test]
    fn reads_bytes_with_their_unit_and_mends_decimal_ones() {
        assert_eq!(Ok(Bytes(256 << 20)), Bytes::from_text("256MiB"));
        assert!(Bytes::from_text("64MB").is_err_and(|why| why.contains("\"64MiB\"")));
        assert!(Bytes::from_text("99999999999GiB").is_err());
        assert!(Bytes::from_text("-1B").is_err());
    }
}
