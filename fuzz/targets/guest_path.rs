//! Any text as the place of a grant: refused, or one normal form that is its own normal form and climbs nowhere.
#![no_main]

use libfuzzer_sys::fuzz_target;
use ringfence::policy::{Dir, Mode};

fn normal(host: &str, at: Option<&str>) -> Option<String> {
    let dir = Dir { host: Some(host.into()), zip: None, tree: None, at: at.map(Into::into), mode: Mode::Ro };
    dir.guest_path().ok()
}

fuzz_target!(|text: &str| {
    for path in [normal("/host", Some(text)), normal(text, None)].into_iter().flatten() {
        assert!(path.starts_with('/') && path.len() <= 4095, "{path:?}");
        assert!(path == "/" || !path.ends_with('/'), "{path:?}");
        let names: Vec<_> = path.split('/').skip(1).collect();
        assert!(path == "/" || names.iter().all(|name| !matches!(*name, "" | "." | "..")), "{path:?}");
        assert!(!path.chars().any(char::is_control), "{path:?}");
        assert_eq!(Some(&path), normal("/host", Some(&path)).as_ref(), "its own normal form");
    }
});
