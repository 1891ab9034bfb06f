//! Every file of `tests/policies` gets the verdict it asks for; pytest reads the same files.
//!
//! A file begins with `# verdict: ok`, or `# verdict: error TEXT`: the error has TEXT in it.
//! `# line: N` is the line it names, `# hint: TEXT` is in its fix.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::path::{Path, PathBuf};

use ringfence::policy::Policy;

struct Case {
    name: String,
    text: String,
}

impl Case {
    fn wanted(&self, field: &str) -> Option<&str> {
        let comments = self.text.lines().take_while(|line| line.starts_with('#'));
        comments.filter_map(|line| line.strip_prefix("# ")?.strip_prefix(field)?.strip_prefix(": ")).next()
    }
}

fn cases() -> Vec<Case> {
    // Asked as it runs: checkouts share a target folder, and this may have been compiled in another of them.
    let manifest = std::env::var_os("CARGO_MANIFEST_DIR").expect("cargo says where it is");
    let folder = Path::new(&manifest).join("../../tests/policies");
    let files = std::fs::read_dir(folder).expect("the folder of policies").map(|file| file.unwrap().path());
    let mut files: Vec<PathBuf> = files.filter(|file| file.extension().is_some_and(|end| end == "toml")).collect();
    files.sort();
    let read = |file: PathBuf| Case {
        name: file.file_name().unwrap().to_str().unwrap().to_owned(),
        text: std::fs::read_to_string(&file).unwrap(),
    };
    files.into_iter().map(read).collect()
}

fn judge(case: &Case) -> Result<(), String> {
    let verdict = case.wanted("verdict").ok_or("it has no verdict")?;
    let read = Policy::from_toml(&case.text, &case.name);
    match (verdict.strip_prefix("error "), read) {
        (None, Ok(_)) if verdict == "ok" => Ok(()),
        (None, _) if verdict != "ok" => Err(format!("`{verdict}` is no verdict")),
        (None, Err(error)) => Err(format!("it is refused: {error}")),
        (_, Ok(_)) => Err("it is let through".into()),
        (Some(wanted), Err(error)) => {
            let line = case.wanted("line").map(|line| format!("{}:{line}: ", case.name));
            let hint = case.wanted("hint").unwrap_or_default();
            let right = error.to_string().contains(wanted)
                && error.code() == "policy"
                && line.is_none_or(|line| error.parts().what.starts_with(&line))
                && error.parts().fix.contains(hint);
            if right { Ok(()) } else { Err(format!("another error: {error}")) }
        }
    }
}

#[test]
fn every_policy_file_gets_its_verdict() {
    let cases = cases();
    assert!(cases.len() >= 40, "the policies are not where they were: {}", cases.len());
    let wrong: Vec<_> =
        cases.iter().filter_map(|case| judge(case).err().map(|why| format!("{}: {why}", case.name))).collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}

#[test]
fn every_policy_that_is_let_through_reads_back_from_what_it_writes() {
    let allowed: Vec<_> = cases().into_iter().filter(|case| case.wanted("verdict") == Some("ok")).collect();
    assert!(!allowed.is_empty());
    for case in allowed {
        let policy = Policy::from_toml(&case.text, &case.name).unwrap();
        assert_eq!(Ok(&policy), Policy::from_toml(&policy.to_toml().unwrap(), "again.toml").as_ref(), "{}", case.name);
        assert_eq!(
            Ok(&policy),
            Policy::from_json(&policy.to_json().unwrap(), Path::new("/")).as_ref(),
            "{}",
            case.name
        );
    }
}

#[test]
fn a_policy_means_the_same_in_toml_and_json() {
    for case in cases() {
        // What TOML cannot parse has no JSON twin.
        let Ok(tree) = toml::from_str::<serde_json::Value>(&case.text) else { continue };
        let toml = Policy::from_toml(&case.text, "/base/policy.toml");
        let json = Policy::from_json(&tree.to_string(), Path::new("/base"));
        match (toml, json) {
            (Ok(toml), Ok(json)) => assert_eq!(toml, json, "{}", case.name),
            (Err(_), Err(_)) => {}
            (toml, json) => panic!("{}: {toml:?} in TOML, {json:?} in JSON", case.name),
        }
    }
}
