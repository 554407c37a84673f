//! The agent's end, on a thread of its own, so that a loop that hangs is told of and not waited for.
//! What takes its time gets a thread more: nobody who asks whether the loops turn waits for it.

use super::health::Health;
use super::{Answer, MAX_ANSWER, Question, ROOT, new_name, read_line};
use crate::sys::process::effective_uid;
use crate::sys::stream::{Peer, Stream};
use crate::sys::thread::{STACK_SIZE, start_thread};
use std::io::{self, Write};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixListener};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

/// For a question to be asked, and for its answer to be taken.
const PATIENCE: Duration = Duration::from_secs(2);

/// For a reload: it may look up names.
const RELOAD_PATIENCE: Duration = Duration::from_secs(10);

/// The most bytes of a question.
const MAX_QUESTION: usize = 16;

/// The most questions at a time whose answers take their time.
const MAX_SLOW: usize = 4;

/// After a client could not be accepted: descriptors have run out.
const REST: Duration = Duration::from_secs(1);

/// Starts the thread `control`, which ends with the process. An agent that cannot be asked does its
/// work all the same.
pub fn start(health: Health) {
    if let Err(error) = try_start(health) {
        ::log::warn!(
            "`haven-agent health` and `haven-agent reload` will not find this agent: its socket \
             cannot be had: {error}"
        );
    }
}

fn try_start(health: Health) -> io::Result<()> {
    let address = SocketAddr::from_abstract_name(new_name())?;
    let listener = UnixListener::bind_addr(&address)?;
    let health = Arc::new(health);
    start_thread("control", STACK_SIZE, move || serve(&listener, &health))
}

fn serve(listener: &UnixListener, health: &Arc<Health>) {
    loop {
        match listener.accept() {
            // One that goes before it has its answer does not need it.
            Ok((socket, _)) => {
                let stream = Stream::over(socket, Instant::now() + PATIENCE);
                drop(converse(stream, health));
            }
            Err(error) => {
                ::log::debug!("control: nobody can be accepted: {error}");
                thread::sleep(REST);
            }
        }
    }
}

fn converse(mut stream: Stream, health: &Arc<Health>) -> io::Result<()> {
    let peer = stream.peer()?;
    // Who is not is not listened to either: nobody else may keep the thread waiting.
    if !is_welcome(peer, effective_uid()) {
        ::log::debug!(
            "control: refused to process {} of user {}",
            peer.pid,
            peer.uid
        );
        let refusal = format!(
            "the agent is of user {}: ask as that user, or as root",
            effective_uid()
        );
        return tell(stream, Err(refusal));
    }
    let word = read_line(&mut stream, MAX_QUESTION)?.unwrap_or_default();
    match Question::of(&word) {
        Some(Question::Live) => tell(stream, health.live()),
        Some(Question::Health) => answer_beside(stream, health, Health::all),
        Some(Question::Reload) => answer_beside(stream, health, |health| {
            health.proxy.reload(RELOAD_PATIENCE)
        }),
        None => {
            let unknown = "that is no question to this agent: is it of another version?";
            tell(stream, Err(unknown.to_owned()))
        }
    }
}

/// Answers on a thread `answer`.
fn answer_beside(
    stream: Stream,
    health: &Arc<Health>,
    answer: fn(&Health) -> Answer,
) -> io::Result<()> {
    // Each of these threads has a share until it ends, and this one has its own.
    if Arc::strong_count(health) > MAX_SLOW {
        let busy = format!("{MAX_SLOW} questions wait for their answers: ask again");
        return tell(stream, Err(busy));
    }
    let health = Arc::clone(health);
    let started = start_thread("answer", STACK_SIZE, move || {
        drop(tell(stream, answer(&health)));
    });
    if let Err(error) = started {
        ::log::warn!("control: a question stays without an answer: no thread can be made: {error}");
    }
    Ok(())
}

fn tell(mut stream: Stream, answer: Answer) -> io::Result<()> {
    let (mark, text) = match &answer {
        Ok(text) => ('+', text),
        Err(text) => ('-', text),
    };
    let mut line = format!("{mark}{}", text.replace('\n', " "));
    line.truncate(line.floor_char_boundary(MAX_ANSWER - 1)); // and its end
    line.push('\n');
    stream.extend(Instant::now() + PATIENCE);
    stream.write_all(line.as_bytes())
}

/// A process outside of this PID namespace, which the kernel tells by no number, is not: its user may
/// be told by a number that means another one in here (`user_namespaces(7)`, overflow).
fn is_welcome(peer: Peer, own_uid: u32) -> bool {
    peer.pid != 0 && (peer.uid == own_uid || peer.uid == ROOT)
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
