//! Text that a guest chose, made safe for a terminal, a log or an exception.

/// Longest piece of guest text in a message, in characters.
///
/// An import name may be 100 kB long; a line of a log should not be.
pub const MAX_CHARS: usize = 200;

/// Guest text with every control, format and direction character escaped, cut to [`MAX_CHARS`].
///
/// ESC and LF forge output, bidirectional overrides reorder it, and a long name floods it.
pub fn quote(text: &str) -> String {
    cut(text, MAX_CHARS)
}

/// The same for bytes that should be UTF-8 and may not be.
pub fn quote_bytes(bytes: &[u8]) -> String {
    // No more than what can be shown is decoded: a guest names the length.
    let shown = &bytes[..bytes.len().min(MAX_CHARS * 4)];
    let text = String::from_utf8_lossy(shown);
    cut(&text, MAX_CHARS)
}

/// Guest text escaped and cut to `max` characters; a cut is marked with how much is missing.
pub fn cut(text: &str, max: usize) -> String {
    let mut safe = String::with_capacity(text.len().min(max + 16));
    for (count, character) in text.chars().enumerate() {
        if count == max {
            let missing = text.chars().count() - max;
            safe.push_str(&format!("… ({missing} more)"));
            break;
        }
        if is_unsafe(character) {
            safe.extend(character.escape_unicode());
        } else {
            safe.push(character);
        }
    }
    safe
}

fn is_unsafe(character: char) -> bool {
    character.is_control()
        || matches!(character,
            '\u{00AD}' | '\u{061C}' | '\u{180E}' | '\u{FEFF}'
            | '\u{200B}'..='\u{200F}' | '\u{2028}'..='\u{202E}' | '\u{2060}'..='\u{206F}'
            | '\u{FFF9}'..='\u{FFFB}' | '\u{E0000}'..='\u{E007F}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_what_forges_a_terminal() {
        assert_eq!("a\\u{1b}[2J\\u{a}b\\u{202e}", quote("a\x1b[2J\nb\u{202e}"));
    }

    #[test]
    fn cuts_a_giant_name_and_says_so() {
        let safe = quote(&"x".repeat(100_000));
        assert!(safe.ends_with("… (99800 more)"), "{safe}");
        assert!(safe.chars().count() < MAX_CHARS + 32);
    }

    #[test]
    fn shows_bytes_that_are_not_utf8() {
        assert_eq!("a\u{fffd}b", quote_bytes(b"a\xffb"));
    }
}
