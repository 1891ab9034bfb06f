//! The imports that Ringfence provides, by name.

use crate::language::abi;
use crate::sandbox::wasi01::FUNCTIONS;

/// The packages of WASI 0.2 and 0.3 that are provided, each with its interfaces.
const INTERFACES: [(&str, &[&str]); 7] = [
    (
        "cli",
        &[
            "environment",
            "exit",
            "stderr",
            "stdin",
            "stdout",
            "terminal-input",
            "terminal-output",
            "terminal-stderr",
            "terminal-stdin",
            "terminal-stdout",
            "types",
        ],
    ),
    ("clocks", &["monotonic-clock", "system-clock", "timezone", "types", "wall-clock"]),
    ("filesystem", &["preopens", "types"]),
    ("http", &["client", "outgoing-handler", "types"]),
    ("io", &["error", "poll", "streams"]),
    ("random", &["insecure", "insecure-seed", "random"]),
    (
        "sockets",
        &[
            "instance-network",
            "ip-name-lookup",
            "network",
            "tcp",
            "tcp-create-socket",
            "types",
            "udp",
            "udp-create-socket",
        ],
    ),
];

/// Whether a module's import of that name is provided.
pub(super) fn is_known_function(module: &str, name: &str) -> bool {
    level_of_module(module).is_some() && FUNCTIONS.contains(&name)
        || module == abi::MODULE && abi::FUNCTIONS.contains(&name)
}

/// Whether a component's import of that name is provided.
pub(super) fn is_known_interface(name: &str) -> bool {
    name == abi::INTERFACE
        || parts(name).is_some_and(|(package, interface, _)| {
            let provided = INTERFACES.iter().find(|(known, _)| *known == package);
            provided.is_some_and(|(_, interfaces)| interfaces.contains(&interface))
        })
}

/// The WASI level a module's import belongs to.
pub(super) fn level_of_module(module: &str) -> Option<&'static str> {
    match module {
        "wasi_snapshot_preview1" => Some("0.1"),
        "wasi_unstable" => Some("unstable"),
        _ => None,
    }
}

/// The WASI level a component's import or export belongs to.
pub(super) fn level_of_interface(name: &str) -> Option<&'static str> {
    parts(name).map(|(_, _, level)| level)
}

/// Whether an export of that name makes a component a command.
pub(super) fn is_command(name: &str) -> bool {
    parts(name).is_some_and(|(package, interface, _)| (package, interface) == ("cli", "run"))
}

/// Package, interface and level of `wasi:cli/run@0.2.3`; a pre-release such as `0.2.0-rc-2023-11-10` is none.
fn parts(name: &str) -> Option<(&str, &str, &'static str)> {
    let (path, version) = name.strip_prefix("wasi:")?.split_once('@')?;
    let (package, interface) = path.split_once('/')?;
    let mut numbers = version.splitn(3, '.');
    let level = match (numbers.next()?, numbers.next()?, numbers.next()?) {
        ("0", "2", patch) if patch.parse::<u32>().is_ok() => "0.2",
        ("0", "3", _) => "0.3",
        _ => return None,
    };
    Some((package, interface, level))
}
