//! A client of many kinds on Rust's own `std::net`: each argument list is one act, and it prints what came of it.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream, ToSocketAddrs, UdpSocket};

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let done = match args.as_slice() {
        ["tcp", to, text] => tcp(to, text),
        ["udp", to, text] => udp(to, text),
        ["hear", to, text] => hear(to, text),
        ["resolve", names @ ..] => resolve(names),
        ["again", name, port, times] => again(name, port, times),
        ["listen", at] => TcpListener::bind(at).map(|listener| println!("listening at {listener:?}")),
        ["bind", at] => UdpSocket::bind(at).map(|_| println!("bound")),
        ["many", to, count] => many(to, count),
        ["turns", to, count] => turns(to, count),
        ["pour", to, bytes] => pour(to, bytes),
        ["drain", to] => drain(to),
        ["each", targets @ ..] => each(targets),
        _ => panic!("no such act: {args:?}"),
    };
    if let Err(error) = done {
        println!("{:?}", error.kind());
        eprintln!("{error}");
        std::process::exit(1);
    }
}

/// Sends a text and prints the answer.
fn tcp(to: &str, text: &str) -> std::io::Result<()> {
    let mut stream = TcpStream::connect(to)?;
    stream.write_all(text.as_bytes())?;
    stream.shutdown(Shutdown::Write)?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    println!("{answer}");
    Ok(())
}

/// The same in one datagram.
fn udp(to: &str, text: &str) -> std::io::Result<()> {
    let socket = UdpSocket::bind("0.0.0.0:0")?;
    socket.send_to(text.as_bytes(), to)?;
    let mut answer = [0; 2048];
    let (length, from) = socket.recv_from(&mut answer)?;
    println!("{} from {from}", String::from_utf8_lossy(&answer[..length]));
    Ok(())
}

/// Sends a datagram, then prints every datagram until one says "end".
fn hear(to: &str, text: &str) -> std::io::Result<()> {
    let socket = UdpSocket::bind("0.0.0.0:0")?;
    socket.send_to(text.as_bytes(), to)?;
    let mut answer = [0; 2048];
    loop {
        let (length, _) = socket.recv_from(&mut answer)?;
        println!("{}", String::from_utf8_lossy(&answer[..length]));
        if &answer[..length] == b"end" {
            return Ok(());
        }
    }
}

fn resolve(names: &[&str]) -> std::io::Result<()> {
    for name in names {
        match (*name, 0).to_socket_addrs() {
            Ok(found) => {
                let found: Vec<String> = found.map(|address| address.ip().to_string()).collect();
                println!("{name}: {}", found.join(" "));
            }
            Err(error) => println!("{name}: {:?} {error}", error.kind()),
        }
    }
    Ok(())
}

/// Resolves one name often, and prints every different answer; `%` in the name is the number of the turn.
fn again(name: &str, port: &str, times: &str) -> std::io::Result<()> {
    let mut answers = std::collections::BTreeMap::<String, u32>::new();
    for turn in 0..times.parse().unwrap() {
        let name: String = name.replace('%', &format!("{turn}"));
        let answer = match (name.as_str(), port.parse().unwrap()).to_socket_addrs() {
            Ok(found) => format!("{:?}", found.collect::<Vec<_>>()),
            Err(_) => "none".into(),
        };
        *answers.entry(answer).or_default() += 1;
    }
    println!("{answers:?}");
    Ok(())
}

/// Opens connections and keeps them all.
fn many(to: &str, count: &str) -> std::io::Result<()> {
    let mut open = Vec::new();
    for _ in 0..count.parse().unwrap() {
        match TcpStream::connect(to) {
            Ok(stream) => open.push(stream),
            Err(error) => {
                println!("{} then {:?}", open.len(), error.kind());
                return Ok(());
            }
        }
    }
    println!("{}", open.len());
    Ok(())
}

/// Opens connections one after the other, each with an answer.
fn turns(to: &str, count: &str) -> std::io::Result<()> {
    for _ in 0..count.parse().unwrap() {
        let mut stream = TcpStream::connect(to)?;
        stream.write_all(b"x")?;
        stream.shutdown(Shutdown::Write)?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        assert_eq!("x", answer);
    }
    println!("{count}");
    Ok(())
}

/// Sends so many bytes, then prints the answer.
fn pour(to: &str, bytes: &str) -> std::io::Result<()> {
    let mut stream = TcpStream::connect(to)?;
    let mut left: usize = bytes.parse().unwrap();
    let piece = vec![b'x'; 65536];
    while left > 0 {
        let sent = stream.write(&piece[..left.min(piece.len())])?;
        left -= sent;
    }
    stream.shutdown(Shutdown::Write)?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    println!("{answer}");
    Ok(())
}

/// Reads to the end and prints how much it was.
fn drain(to: &str) -> std::io::Result<()> {
    let mut stream = TcpStream::connect(to)?;
    println!("{}", std::io::copy(&mut stream, &mut std::io::sink())?);
    Ok(())
}

/// Connects to one after the other and prints how each went.
fn each(targets: &[&str]) -> std::io::Result<()> {
    for target in targets {
        match TcpStream::connect(*target) {
            Ok(_) => println!("{target}: connected"),
            Err(error) => println!("{target}: {:?}", error.kind()),
        }
    }
    Ok(())
}
