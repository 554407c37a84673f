//! A fast fake engine for `scripts/bench`, compiled by `rustc` alone: keep-alive, a thread per
//! connection, answers from memory. Arguments: the socket's path.
//!
//! `/small` answers 1 KiB, `/length/N` N bytes by Content-Length, `/chunked/N` N bytes in chunks,
//! `/count` the number of `/small` answered so far, anything else 404.

use std::io::{self, Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

const SMALL: usize = 1024;
const BLOCK: usize = 64 * 1024;
/// Thousands of idle connections have a thread each.
const STACK: usize = 128 * 1024;
const MAX_HEAD: usize = 64 * 1024;

static SERVED: AtomicU64 = AtomicU64::new(0);

fn main() -> io::Result<()> {
    let path = std::env::args_os().nth(1).expect("usage: upstream SOCKET");
    for stream in UnixListener::bind(path)?.incoming() {
        let stream = stream?;
        thread::Builder::new()
            .stack_size(STACK)
            // A client that goes away ends its thread, nothing else.
            .spawn(move || drop(serve(stream)))?;
    }
    Ok(())
}

fn serve(mut stream: UnixStream) -> io::Result<()> {
    let small = answer(SMALL);
    let mut held = Vec::new();
    let mut block = [0; 8192];
    loop {
        while let Some(end) = held.windows(4).position(|four| four == b"\r\n\r\n") {
            let head = String::from_utf8_lossy(&held[..end]).into_owned();
            held.drain(..end + 4);
            let target = head.split(' ').nth(1).unwrap_or_default();
            match target.rsplit_once('/') {
                Some(("", "small")) => {
                    SERVED.fetch_add(1, Ordering::Relaxed);
                    stream.write_all(&small)?;
                }
                Some(("", "count")) => {
                    let count = SERVED.load(Ordering::Relaxed).to_string();
                    let length = count.len();
                    let answer =
                        format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n{count}");
                    stream.write_all(answer.as_bytes())?;
                }
                Some(("/length", size)) => by_length(&mut stream, size.parse().unwrap_or(0))?,
                Some(("/chunked", size)) => by_chunks(&mut stream, size.parse().unwrap_or(0))?,
                _ => stream.write_all(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")?,
            }
        }
        match stream.read(&mut block)? {
            0 => return Ok(()),
            count => held.extend_from_slice(&block[..count]),
        }
        if held.len() > MAX_HEAD {
            return Ok(());
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
