//! Random grants.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};

/// Where the guest's random numbers come from: `"real"`, or a seed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Random {
    /// The host's secure generator, written `"real"`.
    #[default]
    Real,
    /// The same numbers in every run: a whole number from 0 to 2⁶³ − 1.
    Seed(u64),
}

#[derive(Deserialize)]
#[serde(untagged)]
enum SeedOrText {
    Seed(u64),
    Text(String),
}

impl<'de> Deserialize<'de> for Random {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match SeedOrText::deserialize(deserializer) {
            Ok(SeedOrText::Seed(seed)) if i64::try_from(seed).is_ok() => Ok(Self::Seed(seed)),
            Ok(SeedOrText::Text(text)) if text == "real" => Ok(Self::Real),
            _ => Err(D::Error::custom(
                "it is `\"real\"`, or a seed: a whole number from 0 to 2^63 - 1\nwrite `random = \"real\"`, or `random = 42`",
            )),
        }
    }
}

impl Serialize for Random {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Real => serializer.serialize_str("real"),
            Self::Seed(seed) => serializer.serialize_u64(*seed),
        }
    }
}

impl JsonSchema for Random {
    fn schema_name() -> Cow<'static, str> {
        "Random".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "Where random numbers come from: \"real\", or a seed that makes every run draw the same ones.",
            "anyOf": [{"const": "real"}, {"type": "integer", "minimum": 0, "maximum": i64::MAX}],
        })
    }
}
