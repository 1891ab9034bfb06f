#![allow(clippy::unwrap_used)]

use super::*;

const VALUE: &str = "sk-live/Ab+9=\"q\"&z~";

fn patterns(value: &str) -> Patterns {
    Patterns::of([(value, Arc::from("STANDIN"))].into_iter()).unwrap().unwrap()
}

fn in_pieces(patterns: &Patterns, text: &[u8], cuts: &[usize]) -> Vec<u8> {
    let mut scrubber = Scrubber::new(patterns.clone());
    let mut clean = Vec::new();
    let mut at = 0;
    for cut in cuts.iter().copied().chain([text.len()]) {
        clean.extend(scrubber.push(&text[at..cut]));
        at = cut;
    }
    clean.extend(scrubber.finish());
    clean
}

#[test]
fn a_value_is_found_across_every_cut() {
    let patterns = patterns(VALUE);
    let text = format!("head {VALUE} middle\n{VALUE}{VALUE} tail").into_bytes();
    let clean = b"head STANDIN middle\nSTANDINSTANDIN tail".to_vec();
    assert_eq!(clean, patterns.scrub(&text));
    for first in 0..=text.len() {
        for second in first..=text.len() {
            assert_eq!(clean, in_pieces(&patterns, &text, &[first, second]), "cut at {first} and {second}");
        }
    }
    let every: Vec<usize> = (0..text.len()).collect();
    assert_eq!(clean, in_pieces(&patterns, &text, &every));
}

#[test]
fn attack_usual_encodings_do_not_hide_a_value() {
    let patterns = patterns(VALUE);
    let hex: String = VALUE.bytes().map(|byte| format!("{byte:02X}")).collect();
    let colons = VALUE.bytes().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().join(":");
    let escaped: String = VALUE.bytes().map(|byte| format!("\\u00{byte:02x}")).collect();
    let all: String = VALUE.bytes().map(|byte| format!("%{byte:02X}")).collect();
    let wide: Vec<u8> = VALUE.bytes().flat_map(|byte| [0, byte]).collect();
    let component: String = url::form_urlencoded::byte_serialize(VALUE.as_bytes()).collect();
    for text in [
        VALUE.to_ascii_uppercase().into_bytes(),
        hex.into_bytes(),
        colons.into_bytes(),
        escaped.into_bytes(),
        all.into_bytes(),
        wide,
        component.into_bytes(),
        serde_json::to_string(VALUE).unwrap().into_bytes(),
        VALUE.replace('&', "&amp;").replace('"', "&quot;").into_bytes(),
    ] {
        let clean = String::from_utf8(patterns.scrub(&text)).unwrap();
        assert!(clean.contains("STANDIN"), "{}", String::from_utf8_lossy(&text));
        assert!(clean.len() <= "STANDIN".len() + 2, "{clean}");
    }
}

#[test]
fn attack_base64_hides_no_value_wherever_it_lies_in_the_text() {
    let patterns = patterns(VALUE);
    for before in 0..7 {
        for after in 0..4 {
            let text = format!("{}{VALUE}{}", "u".repeat(before), ":".repeat(after));
            for engine in [STANDARD_NO_PAD, URL_SAFE_NO_PAD] {
                let clean = String::from_utf8(patterns.scrub(engine.encode(&text).as_bytes())).unwrap();
                assert!(clean.contains("STANDIN"), "{before} before, {after} after");
                assert!(clean.len() <= "STANDIN".len() + (before + after) * 8 / 6 + 4, "{clean}");
            }
        }
    }
}

#[test]
fn lines_go_on_at_once_and_what_has_no_end_is_held() {
    let mut scrubber = Scrubber::new(patterns(VALUE));
    assert_eq!(b"data: 1\n".to_vec(), scrubber.push(b"data: 1\nda"));
    assert_eq!(b"data: 2\n\n".to_vec(), scrubber.push(b"ta: 2\n\n"));
    assert_eq!(Vec::<u8>::new(), scrubber.push(b"no end"));
    assert_eq!(b"no end".to_vec(), scrubber.finish());
}

#[test]
fn attack_what_is_held_back_does_not_tell_a_good_guess_from_a_bad_one() {
    for guess in ["sk-live/", "XXXXXXXX"] {
        let mut scrubber = Scrubber::new(patterns(VALUE));
        let filler = vec![b'.'; 5000];
        let first = scrubber.push(&filler).len();
        assert_eq!(guess.len(), scrubber.push(guess.as_bytes()).len(), "{guess}");
        assert_eq!(5000, first + scrubber.finish().len());
    }
    let held = |value: &str| patterns(value).0.hold;
    assert_eq!(held("0123456789"), held("0123456789abcdef0123"), "how much is held does not tell the length");
}

#[test]
fn any_text_in_any_pieces_comes_out_as_if_it_were_whole() {
    let patterns = Patterns::of([("abababab", Arc::from("<1>")), ("babababa\"", Arc::from("<2>"))].into_iter());
    let patterns = patterns.unwrap().unwrap();
    let mut seed = 1_u64;
    let mut draw = |below: usize| {
        seed = seed.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (seed >> 33) as usize % below
    };
    for _ in 0..2000 {
        let text: Vec<u8> = (0..draw(400)).map(|_| *b"ababab\"\n%2"[..].get(draw(10)).unwrap()).collect();
        let mut cuts: Vec<usize> = (0..draw(10)).map(|_| draw(text.len() + 1)).collect();
        cuts.sort_unstable();
        let whole = patterns.scrub(&text);
        assert_eq!(whole, in_pieces(&patterns, &text, &cuts));
        assert!(!whole.windows(8).any(|window| window == b"abababab"));
    }
}
