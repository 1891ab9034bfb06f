//! Numbers with their units: seconds and bytes, as a number or as text.

use std::borrow::Cow;
use std::fmt;
use std::time::Duration;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::text::cut;

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
pub(super) const MAX_SECONDS: u64 = 3_153_600_000;

/// Units of time and their nanoseconds, the largest first.
const TIME_UNITS: [(&str, u128); 5] =
    [("h", 3_600_000_000_000), ("m", 60_000_000_000), ("s", 1_000_000_000), ("ms", 1_000_000), ("us", 1_000)];

/// Units of memory and their bytes, the largest first.
const MEMORY_UNITS: [(&str, u64); 4] = [("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10), ("B", 1)];

/// What is refused, in two lines: why, and the fix.
fn refused(why: impl fmt::Display, fix: impl fmt::Display) -> String {
    format!("{why}\n{fix}")
}

fn too_long() -> String {
    refused("a length of time is at most a hundred years", "write 876000h or less")
}

impl Seconds {
    /// Seconds from a number; not negative, not above a hundred years.
    ///
    /// A refusal is two lines: why, and the fix.
    pub fn from_number(seconds: f64) -> Result<Self, String> {
        if seconds.is_nan() || seconds < 0.0 {
            return Err(refused("a length of time is not below 0", "write seconds, such as 1.5"));
        }
        if seconds > MAX_SECONDS as f64 {
            return Err(too_long());
        }
        // 28837113.016 means that, though the nearest double is some nanoseconds off.
        let nanos = exact(&seconds.to_string(), 1_000_000_000).and_then(|nanos| u64::try_from(nanos).ok());
        Ok(Self(nanos.map_or_else(|| Duration::from_secs_f64(seconds), Duration::from_nanos)))
    }

    /// Seconds from text such as `"500ms"`, exactly.
    ///
    /// A refusal is two lines: why, and the fix.
    pub fn from_text(text: &str) -> Result<Self, String> {
        let (number, unit) = split_unit(text);
        let factor = TIME_UNITS.iter().find(|(name, _)| *name == unit).map(|(_, nanos)| *nanos);
        let Some(nanos) = factor.and_then(|factor| exact(number, factor)) else {
            return Err(refused(
                "a length of time in text is a number with `us`, `ms`, `s`, `m` or `h`",
                "write it like \"500ms\", \"5s\", \"2m\" or \"1h\"",
            ));
        };
        match u64::try_from(nanos / 1_000_000_000) {
            Ok(seconds) if seconds <= MAX_SECONDS => Ok(Self(Duration::new(seconds, (nanos % 1_000_000_000) as u32))),
            _ => Err(too_long()),
        }
    }
}

/// A decimal number times a factor, rounded to a whole; none if it is not a number or too large.
fn exact(number: &str, factor: u128) -> Option<u128> {
    let (whole, part) = number.split_once('.').unwrap_or((number, "0"));
    let digits = |text: &str| !text.is_empty() && text.len() <= 18 && text.bytes().all(|byte| byte.is_ascii_digit());
    if !digits(whole) || !digits(part) {
        return None;
    }
    let scale = 10u128.checked_pow(u32::try_from(part.len()).ok()?)?;
    let (whole, part): (u128, u128) = (whole.parse().ok()?, part.parse().ok()?);
    whole.checked_mul(factor)?.checked_add(part.checked_mul(factor)?.checked_add(scale / 2)? / scale)
}

impl Bytes {
    /// Bytes from text such as `"256MiB"`.
    ///
    /// A refusal is two lines: why, and the fix.
    pub fn from_text(text: &str) -> Result<Self, String> {
        let (number, unit) = split_unit(text);
        let Some((_, factor)) = MEMORY_UNITS.iter().find(|(name, _)| *name == unit) else {
            let prefix = unit.chars().next().map(|first| first.to_ascii_uppercase());
            return Err(match (prefix, unit.to_ascii_lowercase().as_str()) {
                (Some(prefix @ ('K' | 'M' | 'G')), "k" | "kb" | "kib" | "m" | "mb" | "mib" | "g" | "gb" | "gib") => {
                    refused(
                        "the units of memory are `B`, `KiB`, `MiB` and `GiB`, which count in 1024s",
                        format_args!("write \"{}{prefix}iB\"", cut(number, 24)),
                    )
                }
                _ => refused(
                    "an amount of memory in text is a whole number with `B`, `KiB`, `MiB` or `GiB`",
                    "write it like \"64KiB\", \"256MiB\" or \"1GiB\"",
                ),
            });
        };
        let bytes = number.parse::<u64>().ok().and_then(|number| number.checked_mul(*factor));
        bytes.map(Self).ok_or_else(|| {
            refused(
                "an amount of memory is a whole number, below 2^64 bytes",
                "write a whole number, in a smaller unit where need be: \"1536MiB\"",
            )
        })
    }
}

fn split_unit(text: &str) -> (&str, &str) {
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    (number, unit.trim_start_matches(' '))
}

/// The text that reads back as the same time, in the largest unit that is whole.
impl fmt::Display for Seconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let nanos = self.0.as_nanos();
        if nanos == 0 {
            return f.write_str("0s");
        }
        match TIME_UNITS.iter().find(|(_, factor)| nanos.is_multiple_of(*factor)) {
            Some((unit, factor)) => write!(f, "{}{unit}", nanos / factor),
            None => write!(f, "{}.{:09}s", self.0.as_secs(), self.0.subsec_nanos()),
        }
    }
}

/// The text that reads back as the same amount, in the largest unit that is whole.
impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let whole = |(_, factor): &&(&str, u64)| self.0 > 0 && self.0.is_multiple_of(*factor);
        let (unit, factor) = MEMORY_UNITS.iter().find(whole).unwrap_or(&("B", 1));
        write!(f, "{}{unit}", self.0 / factor)
    }
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
            Err(_) => Err(refused(
                "a length of time is a number of seconds, or text with a unit",
                "write it like 5, \"500ms\", \"2m\" or \"1h\"",
            )),
        };
        parsed.map_err(serde::de::Error::custom)
    }
}

impl<'de> Deserialize<'de> for Bytes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let parsed = match NumberOrText::deserialize(deserializer) {
            Ok(NumberOrText::Whole(bytes)) => Ok(Self(bytes)),
            Ok(NumberOrText::Text(text)) => Self::from_text(&text),
            Ok(NumberOrText::Number(_)) | Err(_) => Err(refused(
                "an amount of memory is a whole number of bytes, or text with a unit",
                "write it like 65536, \"64KiB\" or \"256MiB\"",
            )),
        };
        parsed.map_err(serde::de::Error::custom)
    }
}

impl Serialize for Seconds {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        // The double nearest to the decimal: `as_secs_f64` rounds twice, which makes 5.472 end in ...995.
        let decimal = format!("{}.{:09}", self.0.as_secs(), self.0.subsec_nanos());
        serializer.serialize_f64(decimal.parse().unwrap_or(self.0.as_secs_f64()))
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
                {"type": "string", "pattern": "^[0-9]+(\\.[0-9]+)? *(us|ms|s|m|h)$"},
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
                {"type": "string", "pattern": "^[0-9]+ *(B|KiB|MiB|GiB)$"},
            ],
        })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn reads_seconds_with_their_unit() {
        let read = |text| Seconds::from_text(text).map(|s| s.0.as_nanos());
        assert_eq!(Ok(500_000_000), read("500ms"));
        assert_eq!(Ok(1_500_000_000), read("1.5s"));
        assert_eq!(Ok(120_000_000_000), read("2 m"));
        assert_eq!(Ok(3_153_599_999_123_456_789), read("3153599999.123456789s"));
        for wrong in ["5", "", "-1s", "9999999h", "1.s", ".5s", "1e3s", "1.5.5s", "5S", "99999999999999999999s"] {
            assert!(read(wrong).is_err_and(|why| why.lines().count() == 2), "{wrong}");
        }
    }

    #[test]
    fn reads_a_number_as_the_decimal_it_was_written_as() {
        let read = |number| Seconds::from_number(number).map(|s| s.0.as_nanos());
        assert_eq!(Ok(28_837_113_016_000_000), read(28_837_113.016));
        assert_eq!(Ok(100_000_000), read(0.1));
        assert_eq!(Ok(5_472_000_000), read(5.471_999_999_999_999_5));
        assert_eq!(Ok(0), read(1e-300));
        assert_eq!(Ok(0), read(-0.0));
        assert_eq!(Ok(3_153_600_000_000_000_000), read(3_153_600_000.0));
        for wrong in [-1.0, f64::NAN, f64::INFINITY, 3_153_600_001.0, f64::MAX] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn reads_bytes_with_their_unit_and_mends_decimal_ones() {
        assert_eq!(Ok(Bytes(256 << 20)), Bytes::from_text("256MiB"));
        assert!(Bytes::from_text("64MB").is_err_and(|why| why.ends_with("write \"64MiB\"")));
        assert!(Bytes::from_text("64mib").is_err_and(|why| why.ends_with("write \"64MiB\"")));
        for wrong in ["99999999999GiB", "-1B", "1.5GiB", "", "MiB", "12", "5µ"] {
            assert!(Bytes::from_text(wrong).is_err_and(|why| why.lines().count() == 2), "{wrong}");
        }
    }

    #[test]
    fn writes_the_text_that_reads_back_as_the_same() {
        for nanos in [0, 1, 999, 1_000, 1_500_000, 500_000_000, 90_000_000_000, 3_600_000_000_000, 123_456_789_012] {
            let time = Seconds(Duration::from_nanos(nanos));
            assert_eq!(Ok(time), Seconds::from_text(&time.to_string()), "{time}");
        }
        for bytes in [0, 1, 1023, 1024, 1500, 256 << 20, 3 << 30, u64::MAX] {
            assert_eq!(Ok(Bytes(bytes)), Bytes::from_text(&Bytes(bytes).to_string()));
        }
        assert_eq!("256MiB 500ms", format!("{} {}", Bytes::mib(256), Seconds(Duration::from_millis(500))));
    }

    #[test]
    fn a_giant_or_forged_text_is_cut_and_escaped() {
        let why = Seconds::from_text(&format!("\x1b[2J{}", "9".repeat(1 << 20))).unwrap_err();
        assert!(why.len() < 400 && !why.contains('\x1b'), "{why}");
    }
}
