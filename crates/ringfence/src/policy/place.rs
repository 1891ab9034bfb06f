//! Where in a policy something stands: `dirs[1].at`.

use std::fmt;

use crate::text::cut;

/// Longest key shown in a message, in characters: every key of ours is far shorter.
const MAX_KEY_CHARS: usize = 64;

/// One step down into a policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Into a table, by key.
    Key(String),
    /// Into a list, counted from 0.
    Index(usize),
}

/// The way from the top of a policy to one value of it; shown as `dirs[1].at`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Place(Vec<Step>);

impl Place {
    /// The policy itself.
    pub fn top() -> Self {
        Self::default()
    }

    /// One key further down.
    pub fn key(mut self, key: impl Into<String>) -> Self {
        self.0.push(Step::Key(key.into()));
        self
    }

    /// One list element further down.
    pub fn index(mut self, index: usize) -> Self {
        self.0.push(Step::Index(index));
        self
    }

    /// Every step, from the top.
    pub fn steps(&self) -> &[Step] {
        &self.0
    }

    /// Whether this is the policy itself.
    pub fn is_top(&self) -> bool {
        self.0.is_empty()
    }

    /// What this stands in.
    pub(super) fn above(&self) -> Self {
        Self(self.0.split_last().map_or_else(Vec::new, |(_, above)| above.to_vec()))
    }

    /// The last key for a message, or the whole way where the last step is an index.
    pub(super) fn label(&self) -> String {
        match self.0.last() {
            Some(Step::Key(key)) => cut(key, MAX_KEY_CHARS),
            _ => self.to_string(),
        }
    }

    /// This place, seen from above `top`.
    pub(super) fn below(&self, top: &Self) -> Self {
        Self(top.0.iter().chain(&self.0).cloned().collect())
    }

    /// A place from its steps, the last one first.
    pub(super) fn from_reversed(mut steps: Vec<Step>) -> Self {
        steps.reverse();
        Self(steps)
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (count, step) in self.0.iter().enumerate() {
            match step {
                Step::Key(key) if count == 0 => f.write_str(&cut(key, MAX_KEY_CHARS))?,
                Step::Key(key) => write!(f, ".{}", cut(key, MAX_KEY_CHARS))?,
                Step::Index(index) => write!(f, "[{index}]")?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shows_the_way_down_with_keys_escaped() {
        assert_eq!("dirs[1].at", Place::top().key("dirs").index(1).key("at").to_string());
        assert_eq!("env.a\\u{1b}b", Place::top().key("env").key("a\x1bb").to_string());
    }
}
