//! Names of the network: who is asked, what is kept of an answer, and what a hostile one comes to.
#![allow(clippy::unwrap_used, clippy::panic, missing_docs)]

mod dns;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use dns::{Answer, Server};
use ringfence::policy::{Endpoint, HttpGrant, Limits, Net, OnDenied};
use ringfence::sandbox::denials::Denials;
use ringfence::sandbox::network::{Network, Protocol, Unreached, Unresolved};
use rustix::io::Errno;

const PUBLIC: &str = "93.184.216.34";

fn endpoints(texts: &[&str]) -> Vec<Endpoint> {
    texts.iter().map(|text| Endpoint::from_text(text).unwrap()).collect()
}

fn tcp(texts: &[&str]) -> Net {
    Net { tcp: endpoints(texts), ..Net::default() }
}

fn network(net: Net, server: &Server) -> Arc<Network> {
    let denials = Denials::new(Instant::now(), OnDenied::Continue);
    Network::new(net.into(), &Limits::default(), denials, Some([server.address].into()))
}

fn address(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn at(texts: &[&str]) -> Answer {
    Answer::At(texts.iter().map(|text| address(text)).collect())
}

fn denied(network: &Network) -> Vec<String> {
    network.denials().take().into_iter().map(|denial| format!("{} {}", denial.kind, denial.what)).collect()
}

fn on_runtime<T>(test: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(test)
}

fn resolve(network: &Network, name: &str) -> Result<Vec<IpAddr>, Unresolved> {
    on_runtime(network.resolve(name))
}

#[test]
fn a_name_is_asked_for_once_and_keeps_its_addresses() {
    let server = Server::start(|_, before| at(if before < 2 { &[PUBLIC] } else { &["127.0.0.1"] }));
    let network = network(tcp(&["rebind.example.com:80"]), &server);

    on_runtime(async {
        for _ in 0..50 {
            assert_eq!(Ok(vec![address(PUBLIC)]), network.resolve("Rebind.Example.com").await);
        }
    });

    assert_eq!(["rebind.example.com"; 2].as_slice(), server.asked(), "one question for each version of IP");
    assert!(!network.check("127.0.0.1:80".parse().unwrap(), Protocol::Tcp));
}

#[test]
fn names_asked_for_at_one_time_share_one_question() {
    let server = Server::start(|_, _| at(&[PUBLIC]));
    let network = network(tcp(&["a.example.com:80"]), &server);

    let (first, second) =
        on_runtime(async { tokio::join!(network.resolve("a.example.com"), network.resolve("a.example.com")) });

    assert_eq!((Ok(vec![address(PUBLIC)]), first.clone()), (first, second));
    assert_eq!(2, server.asked().len());
}

#[test]
fn a_name_that_is_not_granted_reaches_no_resolver() {
    let server = Server::start(|_, _| at(&[PUBLIC]));
    let network = network(tcp(&["db.example.com:5432", "*.example.org:443", "1.1.1.1:*"]), &server);

    for name in ["example.com", "db.example.com.evil.net", "secret.evil.net", "example.org", "xdb.example.com"] {
        assert_eq!(Err(Unresolved::Denied), resolve(&network, name), "{name}");
    }
    for form in
        ["2130706433", "0x7f.1", "0177.0.0.1", "127.1", "db.example.com.", "user@db.example.com", "a\0b", "", "[::1]"]
    {
        assert_eq!(Err(Unresolved::Invalid), resolve(&network, form), "{form:?}");
    }

    assert!(server.asked().is_empty());
    assert!(denied(&network).contains(&"resolve 0x7f.1".to_owned()));
}

#[test]
fn an_answer_loses_its_addresses_that_are_not_public() {
    let private =
        ["10.0.0.5", "127.0.0.1", "169.254.169.254", "::1", "fd00:ec2::254", "::ffff:10.0.0.5", "64:ff9b::a00:5"];
    let server = Server::start(move |name, _| match name {
        "mixed.example.com" => at(&[&private[..], &[PUBLIC]].concat()),
        _ => at(&private),
    });
    let network = network(tcp(&["*.example.com:80"]), &server);

    assert_eq!(Ok(vec![address(PUBLIC)]), resolve(&network, "mixed.example.com"));
    assert_eq!(Err(Unresolved::Denied), resolve(&network, "inside.example.com"));

    let denied = denied(&network);
    assert!(denied.contains(&"resolve inside.example.com at 169.254.169.254 (link-local)".to_owned()), "{denied:?}");
    for inside in private {
        assert!(!network.reaches((address(inside), 80).into(), Protocol::Tcp), "{inside}");
    }
}

#[test]
fn a_private_address_is_kept_where_it_is_granted_as_an_address() {
    let server = Server::start(|_, _| at(&["10.0.0.5", "10.0.0.6"]));
    let network = network(tcp(&["db.example.com:5432", "10.0.0.5:5432"]), &server);

    assert_eq!(Ok(vec![address("10.0.0.5")]), resolve(&network, "db.example.com"));

    assert!(network.check("10.0.0.5:5432".parse().unwrap(), Protocol::Tcp));
    assert!(!network.check("10.0.0.5:5433".parse().unwrap(), Protocol::Tcp));
    assert!(!network.check("10.0.0.6:5432".parse().unwrap(), Protocol::Tcp));
}

#[test]
fn an_address_of_a_name_is_reached_only_at_its_ports_by_its_protocol_and_after_the_lookup() {
    let server = Server::start(|_, _| at(&[PUBLIC]));
    let net = Net { udp: endpoints(&["other.example.com:53"]), ..tcp(&["a.example.com:8000-8100"]) };
    let network = network(net, &server);
    let reaches = |port, protocol| network.reaches((address(PUBLIC), port).into(), protocol);
    assert!(!reaches(8000, Protocol::Tcp), "nothing was looked up yet");

    resolve(&network, "a.example.com").unwrap();

    assert!(reaches(8000, Protocol::Tcp) && reaches(8100, Protocol::Tcp));
    assert!(!reaches(7999, Protocol::Tcp) && !reaches(8101, Protocol::Tcp));
    assert!(!reaches(8000, Protocol::Udp) && !reaches(53, Protocol::Udp));
    assert!(!network.reaches("93.184.216.35:8000".parse().unwrap(), Protocol::Tcp));
}

#[test]
fn a_range_as_wide_as_the_internet_is_not_the_machine_itself() {
    let server = Server::start(|_, _| Answer::Nothing);
    let network = network(tcp(&["0.0.0.0/0:80", "[::/0]:80", "10.0.0.0/8:80", "[fc00::/7]:80"]), &server);
    let reaches = |host: &str| network.reaches((address(host), 80).into(), Protocol::Tcp);

    assert!(reaches(PUBLIC) && reaches("2606:4700:4700::1111") && reaches("10.1.2.3") && reaches("fd12::1"));
    for inside in [
        "127.0.0.1",
        "169.254.169.254",
        "192.168.1.1",
        "0.0.0.0",
        "::1",
        "fe80::1",
        "::ffff:10.0.0.1",
        "::ffff:1.1.1.1",
    ] {
        assert!(!reaches(inside), "{inside}");
    }
}

#[test]
fn a_run_asks_for_some_hundred_names_and_no_more() {
    let server = Server::start(|_, _| Answer::Nothing);
    let network = network(tcp(&["*.example.com:80"]), &server);

    let failed = on_runtime(async {
        let mut failed = 0;
        for turn in 0..10_000 {
            let answer = network.resolve(&format!("secret-{turn}.example.com")).await;
            failed += usize::from(answer == Err(Unresolved::Failed));
        }
        failed
    });

    assert_eq!(10_000 - 256, failed);
    assert_eq!(512, server.asked().len());
    assert_eq!(vec!["resolve more than 256 names"], denied(&network));
}

#[test]
fn an_alias_is_followed_and_a_ring_of_them_is_not() {
    let server = Server::start(|name, _| match name {
        "alias.example.com" => Answer::Alias("target.example.net".into()),
        "target.example.net" => at(&[PUBLIC]),
        "inside.example.com" => Answer::Alias("localhost".into()),
        "ring.example.com" => Answer::Alias("gnir.example.com".into()),
        _ => Answer::Alias("ring.example.com".into()),
    });
    let network = network(tcp(&["*.example.com:80"]), &server);

    assert_eq!(Ok(vec![address(PUBLIC)]), resolve(&network, "alias.example.com"));
    assert!(resolve(&network, "inside.example.com").is_err());
    assert!(resolve(&network, "ring.example.com").is_err());
    assert!(server.asked().len() < 100, "{}", server.asked().len());
}

#[test]
fn a_long_answer_comes_over_tcp_and_is_cut() {
    let many: Vec<IpAddr> = (0..2000_u32).map(|host| IpAddr::from((0x0b00_0000 + host).to_be_bytes())).collect();
    let server = Server::start(move |_, _| Answer::TooLong(many.clone()));
    let network = network(tcp(&["many.example.com:80"]), &server);

    assert_eq!(16, resolve(&network, "many.example.com").unwrap().len());
}

#[test]
fn rubbish_is_no_answer_and_hurts_nobody() {
    let header = [0x81, 0x80, 0, 1, 0xff, 0xff, 0, 0, 0, 0];
    // A name that points at itself, names that point at each other, and records longer than the message.
    let ring = [&header[..], &[0xc0, 12, 0, 1, 0, 1], &[0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 0, 0xff, 0xff]].concat();
    let bomb = [&header[..], &[0xc0, 14, 0xc0, 12].repeat(300)].concat();
    let deep = [&header[..], &[1, b'a'].repeat(2000), &[0]].concat();
    let server = Server::start(move |name, _| match name {
        "ring.example.com" => Answer::Bytes(ring.clone()),
        "bomb.example.com" => Answer::Bytes(bomb.clone()),
        "deep.example.com" => Answer::Bytes(deep.clone()),
        "short.example.com" => Answer::Bytes(Vec::new()),
        _ => at(&[PUBLIC]),
    });
    let network = network(tcp(&["*.example.com:80"]), &server);

    let lied_to = async {
        tokio::join!(
            network.resolve("ring.example.com"),
            network.resolve("bomb.example.com"),
            network.resolve("deep.example.com"),
            network.resolve("short.example.com"),
        )
    };
    let (ring, bomb, deep, short) = on_runtime(lied_to);

    for answer in [ring, bomb, deep, short] {
        assert_eq!(Err(Unresolved::Failed), answer);
    }
    assert_eq!(Ok(vec![address(PUBLIC)]), resolve(&network, "honest.example.com"));
}

#[test]
fn a_server_that_says_nothing_is_not_waited_for_for_ever() {
    let server = Server::start(|_, _| Answer::Silence);
    let network = network(tcp(&["a.example.com:80"]), &server);
    let started = Instant::now();

    assert_eq!(Err(Unresolved::Failed), resolve(&network, "a.example.com"));

    assert!(started.elapsed() < Duration::from_millis(10_500), "{:?}", started.elapsed());
}

#[test]
fn a_request_does_not_reach_a_private_address_that_is_granted_at_another_port() {
    let server = Server::start(|_, _| at(&["127.0.0.1"]));
    let http = vec![HttpGrant::from_text("http://evil.example.com/").unwrap()];
    let network = network(Net { http, ..tcp(&["127.0.0.1:5432"]) }, &server);

    let reached = on_runtime(network.connect_name("evil.example.com", 80));

    assert_eq!(Some(Unreached::Connection(Errno::ACCESS)), reached.err());
    assert_eq!(vec!["connect tcp://127.0.0.1:80"], denied(&network));
}
