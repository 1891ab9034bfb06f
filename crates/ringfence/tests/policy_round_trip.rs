//! What a policy writes, it reads back: any policy, not only those somebody thought of.

#![allow(clippy::unwrap_used)]

use std::path::Path;
use std::time::Duration;

use ringfence::policy::{
    Bytes, Clock, Dir, Endpoint, HeaderName, HttpGrant, Limits, Mode, Net, OnDenied, Origin, Policy, Random, Seconds,
    Secret, WasiLevel,
};

/// Numbers that are the same in every run (xorshift, Marsaglia 2003).
struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    fn either(&mut self) -> bool {
        self.below(2) == 0
    }

    /// A number of any magnitude up to `2^bits`.
    fn sized(&mut self, bits: u64) -> u64 {
        let bits = self.below(bits) + 1;
        self.next() >> (64 - bits)
    }

    fn text(&mut self, forbidden: &[char]) -> String {
        const ODD: [char; 20] = [
            'a',
            'Z',
            '0',
            '_',
            '-',
            '.',
            ' ',
            '"',
            '\'',
            '\\',
            '#',
            '=',
            '\n',
            '\r',
            '\t',
            '\x1b',
            '\x7f',
            'é',
            '\u{202e}',
            '\u{1f980}',
        ];
        let length = self.below(12);
        let pick = |_| ODD[self.below(ODD.len() as u64) as usize];
        (0..length).map(pick).filter(|odd| !forbidden.contains(odd)).collect()
    }

    fn time(&mut self) -> Seconds {
        Seconds(match self.below(3) {
            0 => Duration::from_secs(self.sized(31) + 1),
            1 => Duration::from_millis(self.sized(40) + 1),
            // JSON holds seconds as a double, exact to the nanosecond for three days.
            _ => Duration::from_nanos(self.sized(48) + 1),
        })
    }

    fn policy(&mut self) -> Policy {
        let unprintable = ['\n', '\r', '\t', '\x1b', '\x7f'];
        let dirs = (0..self.below(4)).map(|index| Dir {
            // A dot alone is not a name, and the index keeps every place apart.
            at: Some(format!("/{index}x{}", self.text(&unprintable))),
            ..match self.below(4) {
                0 => Dir { mode: Mode::Memory, ..Dir::default() },
                1 => Dir { zip: Some(format!("/{}.zip", self.text(&[])).into()), ..Dir::default() },
                number => Dir {
                    host: Some(format!("/{index}x{}/y", self.text(&[])).into()),
                    mode: if number == 2 { Mode::Ro } else { Mode::Rw },
                    ..Dir::default()
                },
            }
        });
        let dirs = dirs.collect();
        let env = (0..self.below(4)).map(|index| (format!("{index}{}", self.text(&['='])), self.text(&[]))).collect();
        Policy {
            dirs,
            tmp: self.either(),
            env,
            inherit_env: (0..self.below(3)).map(|index| format!("I{index}{}", self.text(&['=']))).collect(),
            net: if self.either() { Net::default() } else { self.net() },
            secrets: Vec::new(),
            clock: if self.either() { Clock::Coarse } else { Clock::Precise },
            random: if self.either() { Random::Real } else { Random::Seed(self.sized(63)) },
            wasi: if self.either() { WasiLevel::V0_2 } else { WasiLevel::V0_3 },
            on_denied: if self.either() { OnDenied::Continue } else { OnDenied::Stop },
            limits: if self.either() { Limits::default() } else { self.limits() },
        }
    }

    fn net(&mut self) -> Net {
        const HOSTS: [&str; 5] = ["db.example.com", "*.example.com", "10.0.0.0/8", "[2001:db8::/32]", "[::1]"];
        let mut endpoint = || {
            let port = self.below(60_000) + 1;
            let ports = if self.either() { port.to_string() } else { format!("{port}-{}", port + self.below(5000)) };
            Endpoint::from_text(&format!("{}:{ports}", HOSTS[self.below(5) as usize])).unwrap()
        };
        let (tcp, udp) = (vec![endpoint(), endpoint()], vec![endpoint()]);
        let method = ["", "GET ", "* ", "POST,PUT "][self.below(4) as usize];
        let path = ["", "/", "/v1/*", "/a/b"][self.below(4) as usize];
        Net { tcp, udp, http: vec![HttpGrant::from_text(&format!("{method}https://*.example.com{path}")).unwrap()] }
    }

    fn limits(&mut self) -> Limits {
        Limits {
            wall: self.time(),
            cpu: self.either().then(|| self.time()),
            fuel: self.either().then(|| self.sized(62) + 1),
            memory: Bytes((64 << 10) + self.sized(46)),
            output: Bytes(self.sized(46)),
            host_bytes: Bytes(self.below(1 << 20) << 10),
            open_files: self.below(1 << 20) as u32,
            disk: Bytes(self.sized(46)),
            files: self.sized(32) as u32,
            connections: self.below(1 << 20) as u32,
            net_bytes: Bytes(self.sized(46)),
            compile: self.time(),
        }
    }
}

#[test]
fn any_policy_reads_back_as_itself_from_its_toml_and_its_json() {
    let mut numbers = Numbers(0x5eed);
    for _ in 0..5000 {
        let policy = numbers.policy();
        assert_eq!(Ok(()), policy.check(), "{policy:?}");
        let (toml, json) = (policy.to_toml().unwrap(), policy.to_json().unwrap());
        assert_eq!(Ok(&policy), Policy::from_toml(&toml, "policy.toml").as_ref(), "{toml}");
        assert_eq!(Ok(&policy), Policy::from_json(&json, Path::new("/")).as_ref(), "{json}");
    }
}

#[test]
fn a_secret_reads_back_without_its_value() {
    let secret = Secret {
        name: "API_KEY".into(),
        env: "PRODUCTION_KEY".into(),
        origin: Origin::from_text("https://api.example.com").unwrap(),
        header: HeaderName::default(),
    };
    let net = Net { http: vec![HttpGrant::from_text("https://api.example.com/v1/*").unwrap()], ..Net::default() };
    let policy = Policy { secrets: vec![secret], net, ..Policy::default() };
    assert_eq!(Ok(&policy), Policy::from_toml(&policy.to_toml().unwrap(), "policy.toml").as_ref());
    assert_eq!(Ok(&policy), Policy::from_json(&policy.to_json().unwrap(), Path::new("/")).as_ref());
}

#[test]
fn only_what_differs_from_the_default_is_written() {
    assert_eq!(Ok(String::new()), Policy::default().to_toml());
    let limits = Limits { memory: Bytes::mib(64), wall: Seconds(Duration::from_millis(500)), ..Limits::default() };
    let dirs = vec![Dir { host: Some("/data".into()), at: Some("/data".into()), ..Dir::default() }];
    let policy = Policy { tmp: true, dirs, limits, ..Policy::default() };
    let expected = "tmp = true\n\n[[dirs]]\nhost = \"/data\"\n\n[limits]\nwall = \"500ms\"\nmemory = \"64MiB\"\n";
    assert_eq!(Ok(expected.to_owned()), policy.to_toml());
}

#[test]
fn json_has_every_default_filled_in() {
    let written: serde_json::Value = serde_json::from_str(&Policy::default().to_json().unwrap()).unwrap();
    let schema: serde_json::Value = serde_json::from_str(&Policy::schema()).unwrap();
    let keys = |tree: &serde_json::Value| tree.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
    assert_eq!(keys(&schema["properties"]), keys(&written));
    assert_eq!(keys(&schema["$defs"]["Limits"]["properties"]), keys(&written["limits"]));
    for (key, about) in schema["properties"].as_object().unwrap() {
        assert_eq!(about["default"], written[key], "{key}");
        assert!(about["description"].is_string(), "{key}");
    }
}

#[test]
fn the_schema_lets_no_unknown_key_through() {
    let schema: serde_json::Value = serde_json::from_str(&Policy::schema()).unwrap();
    for table in [
        &schema,
        &schema["$defs"]["Limits"],
        &schema["$defs"]["Dir"],
        &schema["$defs"]["Net"],
        &schema["$defs"]["Secret"],
    ] {
        assert_eq!(serde_json::Value::Bool(false), table["additionalProperties"]);
    }
}
