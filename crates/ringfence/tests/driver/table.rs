//! Acts in a table, each with the errors it may answer.

use ringfence::Policy;
use tempfile::TempDir;

use super::*;

/// Acts by name, with the errors they answer to.
pub struct Table {
    pub script: Script,
    rows: Vec<(String, Vec<u32>)>,
}

impl Table {
    pub fn new() -> Self {
        Self { script: Script::new(), rows: Vec::new() }
    }

    pub fn row(&mut self, name: &str, expected: &[u32]) -> &mut Script {
        self.rows.push((name.to_owned(), expected.to_vec()));
        &mut self.script
    }

    /// Runs it and compares column `column`.
    pub fn check(&self, policy: Policy, column: usize) -> Answer {
        let answer = self.script.run(&driver(policy));
        assert_eq!("exited", answer.ended());
        assert_eq!(self.rows.len(), answer.errnos.len());
        let wrong: Vec<String> = self
            .rows
            .iter()
            .zip(&answer.errnos)
            .filter(|((_, expected), got)| expected[column.min(expected.len() - 1)] != **got)
            .map(|((name, expected), got)| {
                format!("{name}: expected {}, got {got}", expected[column.min(expected.len() - 1)])
            })
            .collect();
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
        answer
    }
}

/// `file`, `link` to it, `dir/inner`, `empty/`.
pub fn tree() -> TempDir {
    let tree = tempfile::tempdir().unwrap();
    let path = tree.path();
    std::fs::write(path.join("file"), "content").unwrap();
    std::os::unix::fs::symlink("file", path.join("link")).unwrap();
    std::fs::create_dir(path.join("dir")).unwrap();
    std::fs::write(path.join("dir/inner"), "inner").unwrap();
    std::fs::create_dir(path.join("empty")).unwrap();
    tree
}
