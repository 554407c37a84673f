//! The agent's end: one question at a time, on a thread of its own, so that a loop that hangs is
//! told of and not waited for.

use super::health::Health;
use super::{Answer, MAX_ANSWER, Question, name, read_line};
use crate::sys::process::effective_uid;
use crate::sys::stream::{Peer, Stream};
use std::io::{self, Write};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixListener, UnixStream};
use std::thread;
use std::time::{Duration, Instant};

/// For a question to be asked, and for its answer to be taken.
const PATIENCE: Duration = Duration::from_secs(2);

/// For a reload: it may look up names.
const RELOAD_PATIENCE: Duration = Duration::from_secs(10);

/// The most bytes of a question.
const MAX_QUESTION: usize = 16;

/// After a client could not be accepted: descriptors have run out.
const REST: Duration = Duration::from_secs(1);

/// Root may ask whatever the agent's user is.
const ROOT: u32 = 0;

/// Starts the thread `control`, which ends with the process. An agent that cannot be asked does its
/// work all the same.
pub fn start(health: Health) {
    if let Err(error) = try_start(health) {
        ::log::warn!(
            "`haven-agent health` and `haven-agent reload` will not find this agent: the socket \
             {} cannot be had: {error}",
            name(std::process::id())
        );
    }
}

fn try_start(health: Health) -> io::Result<()> {
    let address = SocketAddr::from_abstract_name(name(std::process::id()))?;
    let listener = UnixListener::bind_addr(&address)?;
    thread::Builder::new()
        .name("control".to_owned())
        .spawn(move || serve(&listener, &health))?;
    Ok(())
}

fn serve(listener: &UnixListener, health: &Health) {
    loop {
        match listener.accept() {
            // One that goes before it has its answer does not need it.
            Ok((socket, _)) => drop(converse(socket, health)),
            Err(error) => {
                ::log::debug!("control: nobody can be accepted: {error}");
                thread::sleep(REST);
            }
        }
    }
}

fn converse(socket: UnixStream, health: &Health) -> io::Result<()> {
    let mut stream = Stream::accepted(socket.try_clone()?, Instant::now() + PATIENCE);
    let peer = stream.peer()?;
    // Who is not is not listened to either: nobody else may keep the thread waiting.
    let answer = if is_welcome(peer, effective_uid()) {
        let word = read_line(&mut stream, MAX_QUESTION)?;
        answer(&word.unwrap_or_default(), health)
    } else {
        ::log::debug!(
            "control: refused to process {} of user {}",
            peer.pid,
            peer.uid
        );
        Err(format!(
            "the agent is of user {}: ask as that user, or as root",
            effective_uid()
        ))
    };
    let (mark, text) = match &answer {
        Ok(text) => ('+', text),
        Err(text) => ('-', text),
    };
    let mut line = format!("{mark}{}", text.replace('\n', " "));
    line.truncate(line.floor_char_boundary(MAX_ANSWER - 1)); // and its end
    line.push('\n');
    Stream::accepted(socket, Instant::now() + PATIENCE).write_all(line.as_bytes())
}

/// A process outside of this PID namespace, which the kernel tells by no number, is not: its user may
/// be told by a number that means another one in here (`user_namespaces(7)`, overflow).
fn is_welcome(peer: Peer, own_uid: u32) -> bool {
    peer.pid != 0 && (peer.uid == own_uid || peer.uid == ROOT)
}

fn answer(word: &str, health: &Health) -> Answer {
    match Question::of(word) {
        Some(Question::Health) => health.all(),
        Some(Question::Live) => health.live(),
        Some(Question::Reload) => health.proxy.reload(RELOAD_PATIENCE),
        None => Err("that is no question to this agent: is it of another version?".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_agent_s_user_and_root_are_welcome_and_nobody_from_outside() {
        let peer = |pid, uid| Peer { pid, uid };
        assert!(is_welcome(peer(7, 1000), 1000));
        assert!(is_welcome(peer(7, 0), 1000));
        assert!(!is_welcome(peer(7, 1001), 1000));
        assert!(!is_welcome(peer(7, 1000), 0));
        assert!(!is_welcome(peer(0, 1000), 1000));
        assert!(!is_welcome(peer(0, 0), 0));
    }
}
