//! A fast fake engine for `scripts/bench`: keep-alive, answers from memory. Arguments: the socket's path.
//!
//! `/small` answers 1 KiB, `/length/N` N bytes by Content-Length, `/chunked/N` N bytes in chunks,
//! `/count` the number of `/small` answered so far, anything else 404.
//!
//! One event loop, so that a proxy's write seldom has to wake a sleeping thread: that costs the
//! writer, and would drown what is measured. A connection that asks for much goes on in a thread.

use std::collections::HashMap;
use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::thread;

use haven_agent::sys::epoll::{Events, Interest, Poller, Token};

const SMALL: usize = 1024;
const BLOCK: usize = 64 * 1024;
const LISTENER: u32 = u32::MAX;

fn main() -> io::Result<()> {
    let path = std::env::args_os()
        .nth(1)
        .ok_or_else(|| io::Error::other("usage: bench-upstream SOCKET"))?;
    let listener = UnixListener::bind(path)?;
    let (poller, small) = (Poller::new()?, answer(SMALL));
    watch(&poller, &listener, LISTENER)?;
    let (mut streams, mut events, mut next, mut served) = (HashMap::new(), Events::new(), 0, 0);
    loop {
        for turn in 0..poller.wait(&mut events, None)? {
            let Some(event) = events.get(turn) else { break };
            let place = event.token.index;
            if place == LISTENER {
                let stream = listener.accept()?.0;
                next += 1;
                watch(&poller, &stream, next)?;
                streams.insert(next, stream);
            } else if let Some(mut stream) = streams.remove(&place) {
                match target(&mut stream) {
                    Ok(Some(path)) if path == "/small" => {
                        served += 1;
                        // A client that goes away ends its connection, nothing else.
                        if stream.write_all(&small).is_ok() {
                            streams.insert(place, stream);
                        }
                    }
                    Ok(Some(path)) => {
                        poller.remove(stream.as_fd())?;
                        thread::spawn(move || at_leisure(stream, &path, served));
                    }
                    _ => {}
                }
            }
        }
    }
}

fn watch(poller: &Poller, descriptor: &impl AsFd, index: u32) -> io::Result<()> {
    let read = Interest {
        read: true,
        ..Interest::default()
    };
    let token = Token {
        index,
        generation: 0,
    };
    poller.add(descriptor.as_fd(), token, read)
}

/// What the next request asks for: its head comes in one piece and has no body. None at the end.
fn target(stream: &mut UnixStream) -> io::Result<Option<String>> {
    let mut head = [0; 8192];
    let count = stream.read(&mut head)?;
    let head = String::from_utf8_lossy(&head[..count]);
    Ok(head.split(' ').nth(1).map(str::to_owned))
}

/// Answers this request and all that follow on the connection.
fn at_leisure(mut stream: UnixStream, first: &str, served: u64) -> io::Result<()> {
    let mut path = first.to_owned();
    loop {
        match path.rsplit_once('/') {
            Some(("", "small")) => stream.write_all(&answer(SMALL))?,
            Some(("", "count")) => {
                let count = served.to_string();
                let length = count.len();
                let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n{count}");
                stream.write_all(answer.as_bytes())?;
            }
            Some(("/length", size)) => by_length(&mut stream, size.parse().unwrap_or(0))?,
            Some(("/chunked", size)) => by_chunks(&mut stream, size.parse().unwrap_or(0))?,
            _ => stream.write_all(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")?,
        }
        match target(&mut stream)? {
            Some(next) => path = next,
            None => return Ok(()),
        }
    }
}

fn answer(size: usize) -> Vec<u8> {
    let mut bytes = format!(
        "HTTP/1.1 200 OK\r\nServer: Docker/bench (linux)\r\nContent-Type: application/json\r\n\
         Api-Version: 1.47\r\nOstype: linux\r\nContent-Length: {size}\r\n\r\n"
    )
    .into_bytes();
    bytes.resize(bytes.len() + size, b'x');
    bytes
}

fn by_length(stream: &mut UnixStream, size: usize) -> io::Result<()> {
    write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: {size}\r\n\r\n")?;
    let block = [b'x'; BLOCK];
    let mut left = size;
    while left > 0 {
        let part = left.min(BLOCK);
        stream.write_all(&block[..part])?;
        left -= part;
    }
    Ok(())
}

/// Chunks of 32 KiB, the size of dockerd's own copies.
fn by_chunks(stream: &mut UnixStream, size: usize) -> io::Result<()> {
    stream.write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")?;
    let mut chunk = b"8000\r\n".to_vec();
    chunk.resize(chunk.len() + 0x8000, b'x');
    chunk.extend_from_slice(b"\r\n");
    for _ in 0..size / 0x8000 {
        stream.write_all(&chunk)?;
    }
    stream.write_all(b"0\r\n\r\n")
}
