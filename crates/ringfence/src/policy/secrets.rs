//! Secrets: values that a guest may use in one place and never sees.

use std::borrow::Cow;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use url::Url;

use super::network::HostPattern;
use crate::text::{cut, quote};

/// Headers that shape the message itself, in which no secret belongs.
const SHAPING: [&str; 9] =
    ["connection", "content-length", "expect", "host", "keep-alive", "te", "trailer", "transfer-encoding", "upgrade"];

/// A value of the host's environment that a guest may send to one origin, in one header, without seeing it.
///
/// The guest finds a placeholder in the variable `name`, another one in every run. Where it stands in `header` of a
/// request over https to `origin`, the host puts the value; everywhere else it stays what it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Secret {
    /// The variable in which the guest finds the placeholder.
    pub name: String,
    /// The variable of the host's environment that holds the value; it is read when a run starts.
    pub env: String,
    /// Where it may be sent: `https://api.example.com`.
    pub origin: Origin,
    /// The header that may carry it.
    #[serde(default)]
    pub header: HeaderName,
}

/// Scheme, host and port of an https server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    url: Url,
}

impl Origin {
    /// Whether a URL is at this origin.
    pub fn is_of(&self, url: &Url) -> bool {
        url.origin() == self.url.origin()
    }

    pub(super) fn url(&self) -> &Url {
        &self.url
    }

    /// Reads `https://host[:port]`. A refusal is two lines: why, and the fix.
    pub fn from_text(text: &str) -> Result<Self, String> {
        let shown = quote(&cut(text, 200));
        let wrong = |why: &str| format!("{why}\nwrite it like \"https://api.example.com\"");
        let Some(authority) = text.strip_prefix("https://") else {
            return Err(wrong(&format!("`{shown}` is not an origin of https, and a secret goes over nothing else")));
        };
        let bare = authority.strip_suffix('/').unwrap_or(authority);
        if bare.contains(['/', '?', '#', '@', '\\', '*']) {
            return Err(wrong("an origin is a scheme, a host and a port, and no more"));
        }
        let host = bare.strip_prefix('[').and_then(|rest| rest.split(']').next());
        HostPattern::from_text(host.unwrap_or_else(|| bare.split(':').next().unwrap_or(bare)))?;
        let url = Url::parse(text).map_err(|error| wrong(&format!("`{shown}` is not a URL: {error}")))?;
        Ok(Self { url })
    }
}

/// The name of a header, in lower case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeaderName(String);

impl HeaderName {
    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Reads a name. A refusal is two lines: why, and the fix.
    pub fn from_text(text: &str) -> Result<Self, String> {
        let name = text.to_ascii_lowercase();
        let token = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
        if name.is_empty() || name.len() > 100 || !name.bytes().all(token) {
            return Err(format!(
                "`{}` is not the name of a header\nwrite a name such as \"authorization\" or \"x-api-key\"",
                quote(&cut(text, 80))
            ));
        }
        if SHAPING.contains(&name.as_str()) || name.starts_with("proxy-") {
            return Err(format!("`{name}` shapes the message, and no secret belongs there\nname another header"));
        }
        Ok(Self(name))
    }
}

impl Default for HeaderName {
    fn default() -> Self {
        Self("authorization".into())
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.url.origin().ascii_serialization())
    }
}

macro_rules! as_text {
    ($kind:ident, $description:literal) => {
        impl<'de> Deserialize<'de> for $kind {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = <Cow<'_, str>>::deserialize(deserializer)?;
                Self::from_text(&text).map_err(serde::de::Error::custom)
            }
        }

        impl Serialize for $kind {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl JsonSchema for $kind {
            fn schema_name() -> Cow<'static, str> {
                stringify!($kind).into()
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!({"description": $description, "type": "string"})
            }
        }
    };
}

as_text!(Origin, "Scheme, host and port of an https server: \"https://api.example.com\".");
as_text!(HeaderName, "The name of a header: \"authorization\".");

impl fmt::Display for HeaderName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_is_https_and_one_host() {
        let origin = Origin::from_text("https://API.example.com/").unwrap();
        assert_eq!("https://api.example.com", origin.to_string());
        let at = |url: &str| origin.is_of(&Url::parse(url).unwrap());
        assert!(at("https://api.example.com:443/v1?x"));
        for other in [
            "http://api.example.com/",
            "https://api.example.com:444/",
            "https://a.api.example.com/",
            "https://example.com/",
        ] {
            assert!(!at(other), "{other}");
        }
        for wrong in [
            "http://a.example.com",
            "https://a.example.com/v1",
            "https://*.example.com",
            "https://u@a.example.com",
            "https://",
            "https://2130706433",
            "a.example.com",
            "https://a.example.com:99999",
        ] {
            assert_eq!(2, Origin::from_text(wrong).unwrap_err().lines().count(), "{wrong}");
        }
    }

    #[test]
    fn a_header_that_shapes_the_message_carries_no_secret() {
        assert_eq!("x-api-key", HeaderName::from_text("X-API-Key").unwrap().as_str());
        for wrong in ["", "a b", "a:b", "host", "Transfer-Encoding", "proxy-authorization", "a\r\nb"] {
            assert_eq!(2, HeaderName::from_text(wrong).unwrap_err().lines().count(), "{wrong}");
        }
    }
}
