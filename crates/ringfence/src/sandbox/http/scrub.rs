//! Taking secrets out of what a server answers, however it is cut into pieces.
//!
//! Servers repeat what they were sent: error pages, logs, echoes. What leaves here has the value nowhere, as it is or
//! in the encodings that are usual; a server that means to give it away still can.

use std::fmt;
use std::fmt::Write as _;
use std::sync::Arc;

use aho_corasick::{AhoCorasick, AhoCorasickKind, MatchKind};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};

/// What to look for, and what to put there instead.
#[derive(Clone)]
pub struct Patterns(Arc<Known>);

struct Known {
    search: AhoCorasick,
    /// For each pattern, what stands for it.
    stand_ins: Vec<Arc<str>>,
    /// Bytes at the end of a piece that may begin a pattern.
    hold: usize,
}

impl Patterns {
    /// Patterns for values and what stands for each of them; none for no values.
    ///
    /// Fails where the values are too long to be looked for.
    pub fn of<'a>(values: impl Iterator<Item = (&'a str, Arc<str>)>) -> Result<Option<Self>, TooLong> {
        let mut spellings = Vec::new();
        let mut stand_ins = Vec::new();
        let mut longest = 0;
        for (value, stand_in) in values {
            longest = longest.max(value.len());
            for spelling in spellings_of(value) {
                spellings.push(spelling);
                stand_ins.push(stand_in.clone());
            }
        }
        if spellings.is_empty() {
            return Ok(None);
        }
        let search = AhoCorasick::builder()
            .kind(Some(AhoCorasickKind::ContiguousNFA))
            .match_kind(MatchKind::LeftmostLongest)
            .ascii_case_insensitive(true)
            .build(spellings)
            .map_err(|_| TooLong)?;
        // Rounded up, or the guest could tell from it how long the value is.
        Ok(Some(Self(Arc::new(Known {
            search,
            stand_ins,
            hold: (longest * LONGEST_SPELLING).next_power_of_two().max(LEAST_HOLD),
        }))))
    }

    /// Whether any value is in there.
    pub fn are_in(&self, text: &[u8]) -> bool {
        self.0.search.is_match(text)
    }

    /// All of a text at once.
    pub fn scrub(&self, text: &[u8]) -> Vec<u8> {
        self.scrub_until(text, text.len()).0
    }

    /// What stands before `end`, scrubbed, and where it stopped: behind `end` where a pattern lies across it.
    fn scrub_until(&self, text: &[u8], end: usize) -> (Vec<u8>, usize) {
        let mut clean = Vec::with_capacity(end);
        let mut at = 0;
        for found in self.0.search.find_iter(text).take_while(|found| found.start() < end) {
            clean.extend_from_slice(&text[at..found.start()]);
            let stand_in = self.0.stand_ins.get(found.pattern().as_usize());
            clean.extend_from_slice(stand_in.map_or(b"", |stand_in| stand_in.as_bytes()));
            at = found.end();
        }
        if at < end {
            clean.extend_from_slice(&text[at..end]);
            at = end;
        }
        (clean, at)
    }
}

/// A value is longer than can be looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooLong;

impl fmt::Debug for Patterns {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Patterns")
    }
}

/// Least number of bytes that is held back, which most values are within.
const LEAST_HOLD: usize = 1024;

/// The longest spelling of a byte: `\u0041`.
const LONGEST_SPELLING: usize = 6;

/// A body on its way to the guest.
///
/// The end of a piece is held back, since a value may go on in the next one: always as much, whether it looks like
/// the beginning of a value or not, or a guest that makes a server echo its guesses could watch which of them are
/// held. What stands before a line feed goes on at once, because no value has one: answers that come line by line
/// stay live.
#[derive(Debug)]
pub struct Scrubber {
    patterns: Patterns,
    held: Vec<u8>,
}

impl Scrubber {
    /// Looks for these.
    pub fn new(patterns: Patterns) -> Self {
        Self { patterns, held: Vec::new() }
    }

    /// Takes a piece, gives what is clean by now.
    pub fn push(&mut self, piece: &[u8]) -> Vec<u8> {
        self.held.extend_from_slice(piece);
        let line = self.held.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        self.take(line.max(self.held.len().saturating_sub(self.patterns.0.hold)))
    }

    /// What was held back, at the end.
    pub fn finish(&mut self) -> Vec<u8> {
        self.take(self.held.len())
    }

    fn take(&mut self, end: usize) -> Vec<u8> {
        let (clean, taken) = self.patterns.scrub_until(&self.held, end);
        self.held.drain(..taken);
        clean
    }
}

/// The ways a value is written, itself first. Letters are compared without their case.
fn spellings_of(value: &str) -> Vec<Vec<u8>> {
    let mut all = vec![value.as_bytes().to_vec()];
    let each = |write: &dyn Fn(&mut String, char)| {
        let mut text = String::new();
        value.chars().for_each(|character| write(&mut text, character));
        text.into_bytes()
    };
    let percent = |kept: &str, plus: bool| {
        each(&|text, character| match character {
            ' ' if plus => text.push('+'),
            _ if character.is_ascii_alphanumeric() || kept.contains(character) => text.push(character),
            _ => {
                let _ = write!(text, "%{:02x}", u32::from(character));
            }
        })
    };
    // What libraries leave as it is in a part of a URL, in a form, in a path, a query and a whole URL; then nothing.
    all.extend(["-_.~", "-_.~/", "-_.!~*'()", "*-._", "-_."].map(|kept| percent(kept, false)));
    all.extend(["-_.~", "*-._", "-_."].map(|kept| percent(kept, true)));
    let path = "-_.~!$&'()*+,;=:@/%[]^|\\";
    all.extend([path, "-_.~!$&()*+,;=:@/%[]^|\\?{}`", "-_.~!*'();:@&=+$,/?#[]"].map(|kept| percent(kept, false)));
    all.push(each(&|text, character| {
        let _ = write!(text, "%{:02x}", u32::from(character));
    }));
    // Hexadecimal digits, with nothing or something between.
    for (before, between) in [("", ""), ("", ":"), ("", " "), ("\\x", ""), ("\\u00", "")] {
        let digits: Vec<String> = value.bytes().map(|byte| format!("{before}{byte:02x}")).collect();
        all.push(digits.join(between).into_bytes());
    }
    // Texts in JSON and in markup.
    for slash in ["/", "\\/"] {
        all.push(each(&|text, character| match character {
            '"' | '\\' => text.extend(['\\', character]),
            '/' => text.push_str(slash),
            _ => text.push(character),
        }));
    }
    for (quote, apostrophe) in [("&quot;", "'"), ("&quot;", "&#39;"), ("&quot;", "&#x27;"), ("&#34;", "&#39;")] {
        all.push(each(&|text, character| match character {
            '&' => text.push_str("&amp;"),
            '<' => text.push_str("&lt;"),
            '>' => text.push_str("&gt;"),
            '"' => text.push_str(quote),
            '\'' => text.push_str(apostrophe),
            _ => text.push(character),
        }));
    }
    // Two bytes a character, in either order.
    all.push(value.bytes().flat_map(|byte| [byte, 0]).take(value.len() * 2 - 1).collect());
    all.extend(base64_of(value.as_bytes()));
    all.sort_unstable_by_key(|spelling| (spelling != value.as_bytes(), spelling.clone()));
    all.dedup();
    all
}

/// What a value is in the middle of a longer text in base 64: three ways to lie on its groups of three bytes. The
/// digits at both ends, which depend on the neighbours too, are left out: they tell four bits at most.
fn base64_of(value: &[u8]) -> Vec<Vec<u8>> {
    let mut all = Vec::new();
    for before in 0..3_usize {
        let shifted: Vec<u8> = std::iter::repeat_n(0, before).chain(value.iter().copied()).collect();
        let first = (before * 8).div_ceil(6);
        let last = shifted.len() * 8 / 6;
        for engine in [STANDARD_NO_PAD, URL_SAFE_NO_PAD] {
            let digits = engine.encode(&shifted);
            all.extend(digits.as_bytes().get(first..last).map(<[u8]>::to_vec));
        }
    }
    all
}

#[cfg(test)]
#[path = "scrub_tests.rs"]
mod tests;
