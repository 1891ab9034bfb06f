//! A name server on loopback, over UDP and TCP, that answers what a test wants it to: the truth, lies, or rubbish.

use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, UdpSocket};
use std::sync::{Arc, Mutex};
use std::thread;

/// What to say about a name.
#[allow(dead_code)] // each test says some of it
pub enum Answer {
    /// These addresses, as far as they are of the version asked for.
    At(Vec<IpAddr>),
    /// That it is called otherwise.
    Alias(String),
    /// That it does not exist.
    Nothing,
    /// Nothing at all.
    Silence,
    /// These bytes after the number of the question.
    Bytes(Vec<u8>),
    /// That the answer is too long for UDP; over TCP, these addresses.
    TooLong(Vec<IpAddr>),
}

/// A server that runs until the process ends.
pub struct Server {
    pub address: SocketAddr,
    asked: Arc<Mutex<Vec<String>>>,
}

type Say = dyn Fn(&str, usize) -> Answer + Send + Sync;

impl Server {
    /// Answers with what `say` makes of a name and of how often it was asked for before.
    pub fn start(say: impl Fn(&str, usize) -> Answer + Send + Sync + 'static) -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let address = socket.local_addr().unwrap();
        let listener = TcpListener::bind(address).unwrap();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let say: Arc<Say> = Arc::new(say);
        let (log, answers) = (asked.clone(), say.clone());
        thread::spawn(move || {
            let mut question = [0; 4096];
            while let Ok((length, from)) = socket.recv_from(&mut question) {
                if let Some(answer) = reply(&question[..length], &log, &*answers, false) {
                    let _ = socket.send_to(&answer, from);
                }
            }
        });
        let log = asked.clone();
        thread::spawn(move || {
            for stream in listener.incoming() {
                let Ok(mut stream) = stream else { return };
                let mut length = [0; 2];
                while stream.read_exact(&mut length).is_ok() {
                    let mut question = vec![0; u16::from_be_bytes(length).into()];
                    if stream.read_exact(&mut question).is_err() {
                        break;
                    }
                    if let Some(answer) = reply(&question, &log, &*say, true) {
                        let length = u16::try_from(answer.len()).unwrap().to_be_bytes();
                        let _ = stream.write_all(&[&length[..], &answer].concat());
                    }
                }
            }
        });
        Self { address, asked }
    }

    /// The names it was asked for, each once for IPv4 and once for IPv6.
    pub fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }
}

fn reply(question: &[u8], log: &Mutex<Vec<String>>, say: &Say, over_tcp: bool) -> Option<Vec<u8>> {
    let (mut labels, mut at) = (Vec::new(), 12);
    while question[at] != 0 {
        let end = at + 1 + usize::from(question[at]);
        labels.push(String::from_utf8_lossy(&question[at + 1..end]).to_lowercase());
        at = end;
    }
    let kind = u16::from_be_bytes([question[at + 1], question[at + 2]]);
    let name = labels.join(".");
    let before = {
        let mut log = log.lock().unwrap();
        let before = log.iter().filter(|other| **other == name).count();
        log.push(name.clone());
        before
    };
    let id = &question[..2];
    let asked = &question[12..at + 5];
    let message = |code: u8, truncated: bool, records: Vec<Vec<u8>>| {
        let flags = [0x81 | if truncated { 2 } else { 0 }, 0x80 | code];
        let count = u16::try_from(records.len()).unwrap().to_be_bytes();
        Some([id, &flags, &[0, 1], &count, &[0, 0, 0, 0], asked, &records.concat()].concat())
    };
    let addresses = |addresses: Vec<IpAddr>| {
        let of_kind = addresses.into_iter().filter(|address| kind == if address.is_ipv4() { 1 } else { 28 });
        of_kind
            .map(|address| match address {
                IpAddr::V4(four) => record(1, &four.octets()),
                IpAddr::V6(six) => record(28, &six.octets()),
            })
            .collect()
    };
    match say(&name, before) {
        Answer::At(found) => message(0, false, addresses(found)),
        Answer::Alias(other) => message(0, false, vec![record(5, &wire(&other))]),
        Answer::Nothing => message(3, false, Vec::new()),
        Answer::Silence => None,
        Answer::Bytes(bytes) => Some([id, &bytes].concat()),
        Answer::TooLong(found) if over_tcp => message(0, false, addresses(found)),
        Answer::TooLong(_) => message(0, true, Vec::new()),
    }
}

/// A record of the name that was asked for, which stands at byte 12 of every answer.
fn record(kind: u16, data: &[u8]) -> Vec<u8> {
    let length = u16::try_from(data.len()).unwrap().to_be_bytes();
    [&[0xc0, 12], &kind.to_be_bytes()[..], &[0, 1, 0, 0, 0, 0], &length, data].concat()
}

fn wire(name: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    for label in name.split('.') {
        bytes.push(u8::try_from(label.len()).unwrap());
        bytes.extend(label.as_bytes());
    }
    bytes.push(0);
    bytes
}
