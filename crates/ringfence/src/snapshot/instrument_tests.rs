#![allow(clippy::unwrap_used, clippy::panic)]

use super::*;

fn instrumented(wat: &str) -> Result<Instrumented, String> {
    instrument(&wat::parse_str(wat).unwrap())
}

const WHOLE: &str = r#"(module
  (import "env" "limit" (global $limit i32))
  (memory (export "memory") 2)
  (global $fixed i32 (i32.const 1))
  (global $stack (mut i32) (i32.const 7))
  (global $other (mut f64) (f64.const 7))
  (table 1 funcref)
  (elem (i32.const 0) $f)
  (func $f (export "f") (memory.init $kept (i32.const 0) (i32.const 0) (i32.const 1)))
  (data (i32.const 65530) "across pages")
  (data (i32.const 65532) "OVER")
  (data $kept "passive"))"#;

#[test]
fn data_move_to_the_image_and_mutable_globals_are_exported() {
    let Instrumented { wasm, image } = instrumented(WHOLE).unwrap();
    assert_eq!(b"acOVER pages"[..], image[65530..65542]);
    assert_eq!((128 << 10, 12), (image.len(), image.iter().filter(|byte| **byte != 0).count()));
    wasmparser::Validator::new().validate_all(&wasm).unwrap();
    let again = instrument(&wasm).err();
    assert_eq!(Some("it exports a name that begins with `__rf_`".to_owned()), again);
    let text = String::from_utf8_lossy(&wasm).into_owned();
    assert!(text.contains("__rf_global_2") && text.contains("__rf_global_3") && !text.contains("__rf_global_1"));
    assert!(text.contains("passive") && !text.contains("across"));
}

#[test]
fn segments_that_no_code_names_are_gone_and_the_others_keep_their_numbers() {
    let segments = |wat: &str| {
        let wasm = instrumented(wat).unwrap().wasm;
        wasmparser::Validator::new().validate_all(&wasm).unwrap();
        let mut sections = Parser::new(0).parse_all(&wasm).filter_map(|payload| match payload.unwrap() {
            Payload::DataSection(section) => Some(section.count()),
            Payload::DataCountSection { count, .. } => Some(100 + count),
            _ => None,
        });
        (sections.next(), sections.next())
    };
    let many =
        r#"(data (i32.const 1) "a") (data $b "b") (data (i32.const 3) "c") (data $d "d") (data (i32.const 4) "e")"#;
    let module = |body: &str| format!(r#"(module (memory (export "memory") 1) {many} (func {body}))"#);
    assert_eq!((None, None), segments(&module("")));
    let third = "(memory.init 2 (i32.const 0) (i32.const 0) (i32.const 0))";
    assert_eq!((Some(103), Some(3)), segments(&module(third)));
    assert_eq!((Some(104), Some(4)), segments(&module(&third.replace("init 2", "init $d"))));
}

#[test]
fn what_cannot_be_taken_apart_is_refused_by_name() {
    let memory = r#"(memory (export "memory") 1)"#;
    for (wat, why) in [
        ("(memory 1)".to_owned(), "it exports no `memory`"),
        (String::new(), "it has no memory"),
        (r#"(memory (export "memory") 0)"#.to_owned(), "its memory begins with 0 pages"),
        (r#"(memory (export "memory") 60000)"#.to_owned(), "its memory begins with 60000 pages"),
        (r#"(memory (export "memory") i64 1)"#.to_owned(), "its memory is of an unusual kind"),
        (format!("{memory} (memory 1)"), "it has several memories"),
        (r#"(import "env" "m" (memory 1))"#.to_owned(), "it imports its memory"),
        (format!(r#"(import "env" "t" (table 1 funcref)) {memory}"#), "it imports a table"),
        (format!(r#"(import "env" "g" (global (mut i32))) {memory}"#), "it imports a mutable global"),
        (format!("{memory} (global (mut funcref) (ref.null func))"), "it has a mutable global that holds a reference"),
        (format!("{memory} (func $f) (start $f)"), "it has a start function"),
        (
            format!("{memory} (type $s (struct (field (mut i32)))) (global (ref $s) (struct.new_default $s))"),
            "it keeps objects of the garbage collector",
        ),
        (format!("{memory} (table 1 anyref)"), "it keeps objects of the garbage collector"),
        (
            format!("{memory} (type $s (struct)) (elem (ref $s) (struct.new $s))"),
            "it keeps objects of the garbage collector",
        ),
        (format!(r#"{memory} (data (i32.const 65535) "ab")"#), "its data lie outside of its memory"),
        (format!(r#"{memory} (data (i32.const -1) "ab")"#), "its data lie outside of its memory"),
        (
            format!(r#"{memory} (global $g i32 (i32.const 1)) (data (global.get $g) "a")"#),
            "its data lie at computed addresses",
        ),
        (format!(r#"{memory} (data $d "a") (func (data.drop $d))"#), "it drops its data"),
        (
            format!("{memory} (table 1 funcref) (func (table.set (i32.const 0) (ref.null func)))"),
            "it changes its tables",
        ),
        (format!("{memory} (table 1 funcref) (elem $e funcref) (func (elem.drop $e))"), "it changes its tables"),
        (format!(r#"{memory} (func (export "__rf_global_0"))"#), "it exports a name that begins with `__rf_`"),
    ] {
        let refused = instrumented(&format!("(module {wat})")).err();
        assert_eq!(Some(why.to_owned()), refused, "{wat}");
    }
}

#[test]
fn attack_random_bytes_never_break_the_instrumenter() {
    use rand_chacha::rand_core::{Rng, SeedableRng};
    let mut random = rand_chacha::ChaCha20Rng::seed_from_u64(3);
    let good = wat::parse_str(WHOLE).unwrap();
    let mut read = 0;
    for _ in 0..20_000 {
        let mut bytes = good.clone();
        for _ in 0..1 + random.next_u32() % 4 {
            let at = random.next_u32() as usize % bytes.len();
            bytes[at] = random.next_u32() as u8;
        }
        bytes.truncate(bytes.len() - random.next_u32() as usize % 3);
        read += usize::from(instrument(&bytes).is_ok());
    }
    assert!(read > 100, "{read}");
}
