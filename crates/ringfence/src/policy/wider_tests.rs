#![allow(clippy::unwrap_used)]

use super::Policy;

fn policy(toml: &str) -> Policy {
    Policy::from_toml(toml, "/policy.toml").unwrap()
}

/// Holds that the first is within the second, and that the second is wider, in what is named.
fn narrower(narrow: &str, wide: &str, named: &str) {
    let (less, more) = (policy(narrow), policy(wide));
    assert_eq!(Vec::<String>::new(), less.wider_than(&more), "{narrow:?} in {wide:?}");
    let found = more.wider_than(&less);
    assert!(!found.is_empty() && found.iter().all(|what| what.contains(named)), "{wide:?} over {narrow:?}: {found:?}");
}

/// Holds that neither is within the other.
fn apart(one: &str, other: &str) {
    for (one, other) in [(one, other), (other, one)] {
        assert!(!policy(one).wider_than(&policy(other)).is_empty(), "{one:?} is within {other:?}");
    }
}

fn net(kind: &str, grant: &str) -> String {
    format!("net.{kind} = [\"{grant}\"]")
}

#[test]
fn a_policy_is_as_wide_as_itself() {
    let toml = "tmp = true\nenv = { A = \"1\" }\ninherit_env = [\"B\"]\nrandom = 7\ndirs = [{ host = \"/srv\" }]\n\
                [net]\ntcp = [\"*.example.com:1-9\"]\nhttp = [\"https://api.example.com/v1/*\"]\n\
                [[secrets]]\nname = \"K\"\nenv = \"V\"\norigin = \"https://api.example.com\"";
    assert_eq!(Vec::<String>::new(), policy(toml).wider_than(&policy(toml)));
    assert_eq!(6 + 1, policy(toml).wider_than(&Policy::default()).len());
}

#[test]
fn a_directory_is_within_the_one_above_it_and_a_mode_within_one_that_does_more() {
    let dir = |host: &str, mode: &str| format!("dirs = [{{ host = \"{host}\", at = \"/x\", mode = \"{mode}\" }}]");
    narrower("", &dir("/srv", "ro"), "`dirs`: `/srv` ro at `/x`");
    narrower(&dir("/srv/data", "ro"), &dir("/srv", "ro"), "`dirs`");
    narrower(&dir("/srv/data", "rw"), &dir("/srv", "rw"), "`dirs`");
    for (less, more) in [("ro", "overlay"), ("ro", "rw"), ("overlay", "rw")] {
        narrower(&dir("/srv", less), &dir("/srv", more), "`dirs`");
        apart(&dir("/srv", less), &dir("/srv/data", more));
    }
    apart(&dir("/srv", "ro"), &dir("/srvdata", "ro"));
}

#[test]
fn where_the_guest_sees_a_grant_makes_it_no_wider() {
    let at = |at: &str| policy(&format!("dirs = [{{ host = \"/srv\", at = \"{at}\" }}]"));
    assert!(at("/a").wider_than(&at("/b")).is_empty());
}

#[test]
fn what_a_grant_hides_of_another_one_stays_hidden() {
    let all = "dirs = [{ host = \"/srv\", at = \"/srv\" }]";
    let but_keys = "dirs = [{ host = \"/srv\", at = \"/srv\" }, { host = \"/empty\", at = \"/srv/keys\" }]";
    apart(all, but_keys);
    apart("dirs = [{ host = \"/srv/keys\", at = \"/x\" }]", but_keys);
    let data = "dirs = [{ host = \"/srv/data\", at = \"/x\" }]";
    assert!(policy(data).wider_than(&policy(but_keys)).is_empty());
    // Hidden by a place of the same directory, which may be more there.
    let with_out =
        "dirs = [{ host = \"/srv\", at = \"/srv\" }, { host = \"/srv/out\", at = \"/srv/out\", mode = \"rw\" }]";
    narrower(all, with_out, "`/srv/out` rw");
    let swapped = "dirs = [{ host = \"/srv\", at = \"/srv\" }, { host = \"/srv/out/in\", at = \"/srv/out\" }]";
    apart(all, &format!("{swapped}\ntmp = true"));
}

#[test]
fn what_is_in_memory_is_within_the_same_and_an_empty_tree_within_any() {
    let zip = |name: &str, mode: &str| format!("dirs = [{{ zip = \"/{name}.zip\", at = \"/z\", mode = \"{mode}\" }}]");
    narrower(&zip("a", "ro"), &zip("a", "memory"), "`dirs`");
    apart(&zip("a", "ro"), &zip("b", "ro"));
    narrower("dirs = [{ at = \"/m\", mode = \"memory\" }]", &zip("a", "memory"), "`dirs`");
    apart("dirs = [{ at = \"/m\", mode = \"memory\" }]", &zip("a", "ro"));
    apart("dirs = [{ at = \"/m\", mode = \"memory\" }]", "dirs = [{ host = \"/srv\", at = \"/m\", mode = \"rw\" }]");
}

#[test]
fn switches_and_variables_are_within_what_says_the_same() {
    narrower("", "tmp = true", "`tmp`");
    narrower("", "env = { A = \"1\" }", "`env`: `A`");
    apart("env = { A = \"1\" }", "env = { A = \"2\" }");
    narrower("", "inherit_env = [\"A\"]", "`inherit_env`: `A`");
    apart("inherit_env = [\"A\"]", "env = { A = \"1\" }");
    narrower("", "clock = \"precise\"", "`clock`");
    narrower("random = 7", "", "`random`");
    assert!(policy("random = 7").wider_than(&policy("random = 8")).is_empty());
    narrower("", "wasi = \"0.3\"", "`wasi`");
    narrower("on_denied = \"stop\"", "", "`on_denied`");
}

#[test]
fn hosts_and_ports_are_within_those_that_have_them_all() {
    for kind in ["tcp", "udp"] {
        for (less, more) in [
            ("a.example.com:443", "*.example.com:443"),
            ("*.b.example.com:443", "*.example.com:443"),
            ("a.example.com:443", "a.example.com:400-500"),
            ("a.example.com:400-500", "a.example.com:*"),
            ("10.1.2.3:80", "10.0.0.0/8:80"),
            ("10.1.0.0/16:80", "10.0.0.0/8:80"),
            ("[2001:db8::1]:80", "[2001:db8::/32]:80"),
        ] {
            narrower(&net(kind, less), &net(kind, more), &format!("`net.{kind}`"));
        }
        for (one, other) in [
            ("example.com:443", "*.example.com:443"),
            ("a.example.com:443", "b.example.com:443"),
            ("*.badexample.com:443", "*.example.com:443"),
            ("a.example.com:400-500", "a.example.com:450-600"),
            ("10.0.0.0/8:80", "11.0.0.0/8:80"),
            ("10.0.0.1:80", "[::1]:80"),
        ] {
            apart(&net(kind, one), &net(kind, other));
        }
    }
    apart(&net("tcp", "a.example.com:53"), &net("udp", "a.example.com:53"));
    apart(&net("tcp", "a.example.com:443"), &net("http", "https://a.example.com"));
}

#[test]
fn requests_are_within_methods_and_paths_that_have_them_all() {
    for (less, more) in [
        ("GET https://a.example.com", "https://a.example.com"),
        ("https://a.example.com", "GET,HEAD,POST https://a.example.com"),
        ("GET,POST https://a.example.com", "* https://a.example.com"),
        ("https://a.example.com/v1/x", "https://a.example.com/v1/*"),
        ("https://a.example.com/v1/b/*", "https://a.example.com/v1/*"),
        ("https://a.example.com/v1/*", "https://a.example.com"),
        ("https://a.example.com/v1", "https://a.example.com"),
        ("https://a.example.com", "https://*.example.com"),
    ] {
        narrower(&net("http", less), &net("http", more), "`net.http`");
    }
    for (one, other) in [
        ("GET https://a.example.com", "POST https://a.example.com"),
        ("https://a.example.com", "http://a.example.com"),
        ("https://a.example.com", "https://a.example.com:444"),
        ("https://a.example.com/v1", "https://a.example.com/v1/*"),
        ("https://a.example.com/v1/*", "https://a.example.com/v2/*"),
        ("* https://a.example.com/v1/*", "GET https://a.example.com"),
    ] {
        apart(&net("http", one), &net("http", other));
    }
}

#[test]
fn a_secret_is_within_the_same_one_to_the_same_place() {
    let secret = |name: &str, env: &str, host: &str, header: &str| {
        format!(
            "net.http = [\"* https://*.example.com\"]\n[[secrets]]\nname = \"{name}\"\nenv = \"{env}\"\n\
             origin = \"https://{host}.example.com\"\nheader = \"{header}\""
        )
    };
    let one = secret("K", "V", "a", "authorization");
    narrower("net.http = [\"* https://*.example.com\"]", &one, "`secrets`: `K` to `https://a.example.com`");
    for other in [
        secret("L", "V", "a", "authorization"),
        secret("K", "W", "a", "authorization"),
        secret("K", "V", "b", "authorization"),
        secret("K", "V", "a", "x-api-key"),
    ] {
        apart(&one, &other);
    }
}

#[test]
fn every_limit_is_compared() {
    let limits = [
        ("wall", "1", "2"),
        ("cpu", "1", "2"),
        ("fuel", "1", "2"),
        ("memory", "\"1MiB\"", "\"2MiB\""),
        ("output", "1", "2"),
        ("host_bytes", "1", "2"),
        ("open_files", "1", "2"),
        ("disk", "1", "2"),
        ("files", "1", "2"),
        ("connections", "1", "2"),
        ("net_bytes", "1", "2"),
        ("compile", "1", "2"),
    ];
    for (name, less, more) in limits {
        let limit = |amount: &str| format!("limits.{name} = {amount}");
        narrower(&limit(less), &limit(more), &format!("`limits.{name}`: "));
    }
    for name in ["cpu", "fuel"] {
        narrower(&format!("limits.{name} = 1"), "", &format!("`limits.{name}`: none"));
    }
    let all = serde_json::to_value(super::Limits::default()).unwrap();
    assert_eq!(Some(limits.len()), all.as_object().map(|all| all.len()), "a limit is not compared");
}

#[test]
fn a_refusal_tells_some_of_what_is_wider_and_how_much_more() {
    assert_eq!(Ok(()), super::refuse("x".into(), &[]));
    let found: Vec<String> = (0..11).map(|number| format!("`{number}`")).collect();
    let error = super::refuse("no fork".into(), &found).unwrap_err();
    assert_eq!("policy", error.code());
    assert!(error.parts().why.contains("`7`, and 3 more"), "{error}");
    assert!(error.parts().fix.contains("allow_wider"), "{error}");
}
