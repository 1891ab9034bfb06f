//! The word a person most likely meant.

use strsim::damerau_levenshtein;

/// Longest word worth a guess, in bytes: the distance costs the product of both lengths.
const MAX_WORD: usize = 40;

/// Words of other tools, and ours for them.
const SYNONYMS: [(&str, &str); 32] = [
    ("directories", "dirs"),
    ("dir", "dirs"),
    ("mounts", "dirs"),
    ("mount", "dirs"),
    ("environment", "env"),
    ("vars", "env"),
    ("seed", "random"),
    ("path", "host"),
    ("source", "host"),
    ("src", "host"),
    ("guest", "at"),
    ("target", "at"),
    ("dst", "at"),
    ("readonly", "ro"),
    ("r", "ro"),
    ("w", "rw"),
    ("read", "ro"),
    ("write", "rw"),
    ("timeout", "wall"),
    ("time", "wall"),
    ("ram", "memory"),
    ("stdout", "output"),
    ("instructions", "fuel"),
    ("fds", "open_files"),
    ("sockets", "connections"),
    ("network", "net"),
    ("url", "origin"),
    ("urls", "http"),
    ("secret", "secrets"),
    ("https", "http"),
    ("real", "precise"),
    ("deny", "stop"),
];

/// The one of `words` that `word` is nearest to, if it is near to any.
pub(crate) fn nearest<'a>(word: &str, words: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    if word.is_empty() || word.len() > MAX_WORD {
        return None;
    }
    let word = word.to_lowercase().replace('-', "_");
    let same = |known: &str| SYNONYMS.iter().any(|(theirs, ours)| *theirs == word && *ours == known);
    let scored = words.into_iter().map(|known| {
        let begun = word.len() > 2 && known.starts_with(&word);
        let distance = if begun || same(known) { 0 } else { damerau_levenshtein(&word, known) };
        (distance, known)
    });
    // Two letters of six may be wrong, one of three: further off is another word.
    let near = |&(distance, known): &(usize, &str)| distance <= known.len().max(word.len()) / 3;
    scored.filter(near).min_by_key(|(distance, _)| *distance).map(|(_, known)| known)
}

#[cfg(test)]
mod tests {
    use super::*;

    const WORDS: [&str; 5] = ["wall", "memory", "open_files", "host", "at"];

    #[test]
    fn finds_what_was_meant() {
        for (word, meant) in [
            ("wal", "wall"),
            ("Memory", "memory"),
            ("mem", "memory"),
            ("open-files", "open_files"),
            ("timeout", "wall"),
        ] {
            assert_eq!(Some(meant), nearest(word, WORDS), "{word}");
        }
    }

    #[test]
    fn does_not_guess_at_what_is_far_off() {
        assert_eq!(None, nearest("xyzzy", WORDS));
        assert_eq!(None, nearest("", WORDS));
        assert_eq!(None, nearest(&"w".repeat(1 << 20), WORDS));
    }
}
