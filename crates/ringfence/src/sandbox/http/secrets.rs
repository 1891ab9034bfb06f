//! Secrets of one run: what the guest holds, and what is sent in its stead.

use std::fmt;
use std::sync::Arc;

use http::HeaderValue;
use url::Url;
use zeroize::Zeroizing;

use super::scrub::Patterns;
use crate::error::{Error, Result};
use crate::policy::Secret;
use crate::text::quote;

/// Shortest value that is looked for in answers, in characters: a shorter one would be found everywhere.
const MIN_CHARS: usize = 8;

/// Longest value, in characters.
const MAX_CHARS: usize = 4096;

/// Random bytes of a placeholder.
const PLACEHOLDER_BYTES: usize = 16;

/// How placeholders begin.
const PLACEHOLDER: &str = "ringfence-placeholder-";

/// The secrets of one run. Neither their values nor their placeholders are ever shown.
#[derive(Clone, Default)]
pub struct Secrets {
    held: Arc<[Held]>,
    patterns: Option<Patterns>,
}

struct Held {
    granted: Secret,
    placeholder: Arc<str>,
    value: Zeroizing<String>,
}

impl Secrets {
    /// Reads the values from our own environment and draws a placeholder for each.
    ///
    /// Fails where a value is missing, cannot stand in a header, or could not be found again in an answer.
    pub fn from_environment(granted: &[Secret]) -> Result<Self> {
        let values = granted.iter().map(|secret| std::env::var(&secret.env).ok().map(Zeroizing::new));
        Self::with_values(granted, values.collect())
    }

    /// The same with values that were read elsewhere, in the order of the grants.
    pub fn with_values(granted: &[Secret], values: Vec<Option<Zeroizing<String>>>) -> Result<Self> {
        if granted.is_empty() {
            return Ok(Self::default());
        }
        let values = values.into_iter().chain(std::iter::repeat_with(|| None));
        let held: Vec<Held> =
            granted.iter().zip(values).map(|(secret, value)| hold(secret, value)).collect::<Result<_>>()?;
        Self::of(granted, held)
    }

    fn of(granted: &[Secret], held: Vec<Held>) -> Result<Self> {
        let patterns = Patterns::of(held.iter().map(|held| (held.value.as_str(), held.placeholder.clone())));
        let patterns = patterns.map_err(|_| unusable(granted.first(), "it is too long", "use a shorter one"))?;
        Ok(Self { held: held.into(), patterns })
    }

    /// The same values for a copy of a guest that holds placeholders of these secrets already.
    pub(crate) fn for_copy<'a>(self, known: impl Iterator<Item = (&'a Secret, &'a Arc<str>)> + Clone) -> Result<Self> {
        let new = self;
        if new.held.is_empty() {
            return Ok(new);
        }
        let held = new.held.iter().map(|held| {
            // By what it is, not by its place: a policy may have lost the ones before it.
            let same = known.clone().find(|(secret, _)| **secret == held.granted);
            Held {
                granted: held.granted.clone(),
                placeholder: same.map_or_else(|| held.placeholder.clone(), |(_, placeholder)| placeholder.clone()),
                value: held.value.clone(),
            }
        });
        let held: Vec<Held> = held.collect();
        let granted: Vec<Secret> = held.iter().map(|held| held.granted.clone()).collect();
        Self::of(&granted, held)
    }

    /// What the guest holds instead of the values, in the order of the grants.
    pub(crate) fn placeholders(&self) -> Vec<Arc<str>> {
        self.held.iter().map(|held| held.placeholder.clone()).collect()
    }

    /// The variables the guest sees: a name and a placeholder each.
    pub fn variables(&self) -> impl Iterator<Item = (&str, &str)> {
        self.held.iter().map(|held| (held.granted.name.as_str(), &*held.placeholder))
    }

    /// The variables of one run, each as `NAME=value` and NUL: the given ones, and the placeholders.
    pub fn added_to(&self, env: &Arc<Vec<Vec<u8>>>) -> Arc<Vec<Vec<u8>>> {
        if self.held.is_empty() {
            return env.clone();
        }
        let placeholders = self.variables().map(|(name, placeholder)| format!("{name}={placeholder}\0").into_bytes());
        let mut all: Vec<Vec<u8>> = env.iter().cloned().chain(placeholders).collect();
        all.sort();
        Arc::new(all)
    }

    /// What no answer may bring to the guest.
    pub fn patterns(&self) -> Option<&Patterns> {
        self.patterns.as_ref()
    }

    /// Whether a request to this address could carry a secret.
    pub fn are_sent_to(&self, url: &Url) -> bool {
        self.held.iter().any(|held| held.is_sent_to(url))
    }

    /// A header's value as it is sent: placeholders that belong there become values.
    pub fn put_in(&self, url: &Url, name: &str, value: &HeaderValue) -> Option<HeaderValue> {
        let mut text: Option<Zeroizing<Vec<u8>>> = None;
        for held in self.held.iter().filter(|held| held.granted.header.as_str() == name && held.is_sent_to(url)) {
            let now = text.as_ref().map_or(value.as_bytes(), |text| text.as_slice());
            if let Some(put) = replace(now, held.placeholder.as_bytes(), held.value.as_bytes()) {
                text = Some(put);
            }
        }
        let mut value = HeaderValue::from_bytes(&text?).ok()?;
        value.set_sensitive(true);
        Some(value)
    }
}

impl Held {
    fn is_sent_to(&self, url: &Url) -> bool {
        url.scheme() == "https" && self.granted.origin.is_of(url)
    }
}

impl fmt::Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.held.iter().map(|held| &held.granted)).finish()
    }
}

fn hold(secret: &Secret, value: Option<Zeroizing<String>>) -> Result<Held> {
    let unusable = |why: &str, fix: &str| Err(unusable(Some(secret), why, fix));
    let Some(value) = value else {
        return unusable("it is not set, or not text", "set it in the environment of the process that runs Ringfence");
    };
    if value.len() < MIN_CHARS {
        return unusable(
            "it is shorter than 8 characters, and could not be told from other text in an answer",
            "use a longer one",
        );
    }
    if value.len() > MAX_CHARS {
        return unusable("it is longer than 4096 characters", "use a shorter one");
    }
    if !value.bytes().all(|byte| byte.is_ascii_graphic() || byte == b' ') || value.trim() != value.as_str() {
        return unusable(
            "it has a character that a header cannot carry, or a blank at an end",
            "take out line feeds and blanks: `VAR=$(tr -d '\\n' < file)`",
        );
    }
    Ok(Held { granted: secret.clone(), placeholder: placeholder()?.into(), value })
}

/// Tells which secret, never a part of it.
fn unusable(secret: Option<&Secret>, why: &str, fix: &str) -> Error {
    let (name, env) = secret.map_or(("", ""), |secret| (&secret.name, &secret.env));
    Error::policy(format!("no value for the secret `{}` in the variable `{}`", quote(name), quote(env)), why, fix)
}

/// New in every run, and like nothing else.
fn placeholder() -> Result<String> {
    let mut random = [0; PLACEHOLDER_BYTES];
    getrandom::fill(&mut random).map_err(|error| {
        Error::host("no random numbers for a placeholder", error.to_string(), "run `ringfence doctor`")
    })?;
    Ok(random.iter().fold(PLACEHOLDER.to_owned(), |text, byte| format!("{text}{byte:02x}")))
}

/// Whether all of them are placeholders, and no two the same.
pub(crate) fn are_placeholders(texts: &[String]) -> bool {
    let mut seen = std::collections::HashSet::new();
    texts.iter().all(|text| is_placeholder(text) && seen.insert(text))
}

/// Whether a text is one that [`placeholder`] could have made.
pub(crate) fn is_placeholder(text: &str) -> bool {
    text.strip_prefix(PLACEHOLDER).is_some_and(|digits| {
        digits.len() == 2 * PLACEHOLDER_BYTES && digits.bytes().all(|digit| matches!(digit, b'0'..=b'9' | b'a'..=b'f'))
    })
}

fn replace(text: &[u8], placeholder: &[u8], value: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    let mut put = Zeroizing::new(Vec::new());
    let mut rest = text;
    let mut found = false;
    while let Some(at) = rest.windows(placeholder.len()).position(|window| window == placeholder) {
        put.extend_from_slice(&rest[..at]);
        put.extend_from_slice(value);
        rest = &rest[at + placeholder.len()..];
        found = true;
    }
    put.extend_from_slice(rest);
    found.then_some(put)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const VALUE: &str = "sk-live-0123456789";

    fn granted() -> Vec<Secret> {
        let toml = "name = \"API_KEY\"\nenv = \"PROD_KEY\"\norigin = \"https://api.example.com\"";
        vec![toml::from_str(toml).unwrap()]
    }

    fn secrets(value: &str) -> Result<Secrets> {
        Secrets::with_values(&granted(), vec![Some(Zeroizing::new(value.to_owned()))])
    }

    fn header(secrets: &Secrets) -> HeaderValue {
        let placeholder = secrets.variables().next().unwrap().1.to_owned();
        HeaderValue::try_from(format!("Bearer {placeholder}")).unwrap()
    }

    #[test]
    fn a_placeholder_becomes_the_value_in_its_header_at_its_origin_over_https() {
        let secrets = secrets(VALUE).unwrap();
        let put = |url: &str, name: &str| secrets.put_in(&Url::parse(url).unwrap(), name, &header(&secrets));
        let put_in = put("https://API.example.com:443/v1?x", "authorization").unwrap();
        assert_eq!(format!("Bearer {VALUE}").as_bytes(), put_in.as_bytes());
        assert!(put_in.is_sensitive());
        for (url, name) in [
            ("http://api.example.com/", "authorization"),
            ("http://api.example.com:443/", "authorization"),
            ("https://api.example.com:444/", "authorization"),
            ("https://api.example.com.evil.net/", "authorization"),
            ("https://api.example.com@evil.net/", "authorization"),
            ("https://api.example.com/", "x-api-key"),
            ("https://api.example.com/", "cookie"),
        ] {
            assert_eq!(None, put(url, name), "{url} {name}");
        }
    }

    #[test]
    fn a_placeholder_is_new_in_every_run() {
        let [one, other] = [secrets(VALUE), secrets(VALUE)].map(|secrets| header(&secrets.unwrap()));
        assert_ne!(one, other);
        assert!(one.as_bytes().len() > PLACEHOLDER_BYTES * 2);
    }

    #[test]
    fn a_copy_holds_the_same_placeholders_for_values_that_are_read_anew() {
        // Every process of tests has a path, and it is longer than a value must be.
        let toml = "name = \"API_KEY\"\nenv = \"PATH\"\norigin = \"https://api.example.com\"";
        let granted: Vec<Secret> = vec![toml::from_str(toml).unwrap()];
        let first = Secrets::from_environment(&granted).unwrap();
        let held = first.placeholders();
        let copy = Secrets::from_environment(&granted).unwrap().for_copy(granted.iter().zip(&held)).unwrap();
        assert_eq!(header(&first), header(&copy));
        let url = Url::parse("https://api.example.com/").unwrap();
        let put_in = copy.put_in(&url, "authorization", &header(&first)).unwrap();
        assert_eq!(format!("Bearer {}", std::env::var("PATH").unwrap()).as_bytes(), put_in.as_bytes());
        assert!(
            Secrets::from_environment(&[])
                .unwrap()
                .for_copy(granted.iter().zip(&held))
                .unwrap()
                .placeholders()
                .is_empty()
        );
    }

    #[test]
    fn a_placeholder_stays_with_its_secret_when_those_before_it_are_taken_away() {
        let secret = |name: &str, origin: &str| -> Secret {
            toml::from_str(&format!("name = \"{name}\"\nenv = \"PATH\"\norigin = \"https://{origin}\"")).unwrap()
        };
        let granted = [secret("ONE", "one.example.com"), secret("TWO", "two.example.com")];
        let held = Secrets::from_environment(&granted).unwrap().placeholders();
        let fewer = Secrets::from_environment(&granted[1..]).unwrap().for_copy(granted.iter().zip(&held)).unwrap();
        assert_eq!(held[1..], fewer.placeholders()[..]);
        let other = [secret("ONE", "other.example.com")];
        let other = Secrets::from_environment(&other).unwrap().for_copy(granted.iter().zip(&held)).unwrap();
        assert!(!held.contains(&other.placeholders()[0]), "another origin has the placeholder of the first");
    }

    #[test]
    fn a_value_that_cannot_be_kept_is_refused_and_not_told() {
        for (value, why) in [
            ("tiny-77", "shorter"),
            ("with\nline feed", "header"),
            ("ends in one\n", "header"),
            ("not ascii \u{fc}", "header"),
        ] {
            let told = secrets(value).unwrap_err().to_string();
            assert!(told.contains(why) && told.contains("`PROD_KEY`") && !told.contains(value), "{told}");
        }
        let told = Secrets::with_values(&granted(), vec![None]).unwrap_err().to_string();
        assert!(told.contains("not set"), "{told}");
        assert!(secrets(&"x".repeat(MAX_CHARS)).is_ok() && secrets(&"x".repeat(MAX_CHARS + 1)).is_err());
    }

    #[test]
    fn nothing_shows_a_value() {
        let secrets = secrets(VALUE).unwrap();
        let placeholder = secrets.variables().next().unwrap().1.to_owned();
        let shown = format!("{secrets:?} {secrets:#?}");
        assert!(!shown.contains(VALUE) && !shown.contains(&placeholder), "{shown}");
    }
}
