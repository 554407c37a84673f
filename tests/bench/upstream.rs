//! A fast fake engine for `scripts/bench`: keep-alive, answers from memory. Arguments: the socket's path.
//!
//! `/small` answers 1 KiB, `/length/N` N bytes by Content-Length, `/chunked/N` N bytes in chunks,
//! `/sink` 200 when it has read the request's body, `/count` the number of `/small` answered so far, anything else 404.
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
                match Request::read(&mut stream) {
                    Ok(Some(request)) if request.path() == "/small" => {
                        served += 1;
                        // A client that goes away ends its connection, nothing else.
                        if stream.write_all(&small).is_ok() {
                            streams.insert(place, stream);
                        }
                    }
                    Ok(Some(request)) => {
                        poller.remove(stream.as_fd())?;
                        thread::spawn(move || at_leisure(stream, request, served));
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

/// What came first of a request: its head, which comes in one piece, and perhaps the start of a body.
struct Request(Vec<u8>);

impl Request {
    /// The connection's next one. None at its end.
    fn read(stream: &mut UnixStream) -> io::Result<Option<Request>> {
        let mut block = [0; 8192];
        let count = stream.read(&mut block)?;
        Ok((count > 0).then(|| Request(block[..count].to_vec())))
    }

    fn path(&self) -> &str {
        let word = self.0.split(|byte| *byte == b' ').nth(1);
        word.and_then(|word| str::from_utf8(word).ok())
            .unwrap_or_default()
    }

    /// The head, and what came of the body with it.
    fn parts(&self) -> (&[u8], &[u8]) {
        let end = self.0.windows(4).position(|four| four == b"\r\n\r\n");
        self.0.split_at(end.map_or(self.0.len(), |end| end + 4))
    }

    /// Bytes of the body; None where no length is given: it comes in chunks.
    fn length(&self) -> Option<usize> {
        let head = String::from_utf8_lossy(self.parts().0).to_ascii_lowercase();
        let (_, rest) = head.split_once("content-length:")?;
        rest.lines().next()?.trim().parse().ok()
    }
}

/// Answers this request and all that follow on the connection.
fn at_leisure(mut stream: UnixStream, first: Request, served: u64) -> io::Result<()> {
    let mut request = first;
    loop {
        match request.path().rsplit_once('/') {
            Some(("", "small")) => stream.write_all(&answer(SMALL))?,
            Some(("", "sink")) => {
                swallow(&mut stream, &request)?;
                stream.write_all(&answer(0))?;
            }
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
        match Request::read(&mut stream)? {
            Some(next) => request = next,
            None => return Ok(()),
        }
    }
}

/// Reads the rest of a body. The clients of a benchmark send no `\r` in their bytes, so that the last chunk can
/// be known by its look, whatever chunks a proxy made.
fn swallow(stream: &mut UnixStream, request: &Request) -> io::Result<()> {
    const LAST: &[u8] = b"\r\n0\r\n\r\n";
    let (length, (_, began)) = (request.length(), request.parts());
    let (mut block, mut count, mut tail) = ([0; BLOCK], began.len(), began.to_vec());
    while length.map_or(!tail.ends_with(LAST), |length| count < length) {
        let read = stream.read(&mut block)?;
        if read == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        count += read;
        tail.extend_from_slice(&block[read.saturating_sub(LAST.len())..read]);
        tail.drain(..tail.len().saturating_sub(LAST.len()));
    }
    Ok(())
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
