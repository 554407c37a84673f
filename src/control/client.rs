//! The other end: which agent is meant, and what it answers.

use super::{Answer, MAX_ANSWER, Question, ROOT, namespace, prefix, read_line};
use crate::config::DEFAULT_USER;
use crate::service::account;
use crate::sys::process::effective_uid;
use crate::sys::stream::{Peer, Stream};
use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::fs::MetadataExt;
use std::time::{Duration, Instant};

/// The Unix sockets of this network namespace, a line each (proc_pid_net(5)).
const SOCKETS: &str = "/proc/self/net/unix";
/// The flags there of one that listens (`__SO_ACCEPTCON`).
const LISTENS: &str = "00010000";

/// For looking through them: whoever is in this network may have any number of them.
const LOOK: Duration = Duration::from_secs(3);

/// The most agents that are told apart.
const MAX_AGENTS: usize = 64;

/// An agent listens soon after its start, and so by one of its first descriptors.
const FIRST_DESCRIPTORS: u32 = 64;

/// The process that a container's agent is.
const FIRST: u32 = 1;

/// For an answer; the agent needs less, unless it hangs.
const PATIENCE: Duration = Duration::from_secs(8);
/// For that to a reload.
const RELOAD_PATIENCE: Duration = Duration::from_secs(14);

/// Asks the agent that is process `pid`. Without one, that of this container, else process 1 where
/// that is an agent, else the only one there is of root, of this user or, asked by root, of the service's.
///
/// # Errors
/// The agent's bad news, or why it gave none.
pub fn ask(question: Question, pid: Option<u32>) -> Answer {
    let patience = match question {
        Question::Reload => RELOAD_PATIENCE,
        Question::Health | Question::Live => PATIENCE,
    };
    let agent = find(pid, Instant::now() + patience)?;
    let answer = match agent.stream {
        Some(stream) => exchange(stream, question),
        None => Err(io::ErrorKind::WouldBlock.into()),
    };
    answer.unwrap_or_else(|error| {
        let pid = agent.peer.pid;
        Err(format!("the agent, process {pid}, {}", silence(&error)))
    })
}

fn silence(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock => {
            "does not answer: it hangs, or its descriptors have run out".into()
        }
        _ => format!("did not answer: {error}"),
    }
}

fn exchange(mut stream: Stream, question: Question) -> io::Result<Answer> {
    // A refusal is told to whoever connects, before the question is read.
    let asked = stream.write_all(format!("{}\n", question.word()).as_bytes());
    let line = read_line(&mut stream, MAX_ANSWER)?.unwrap_or_default();
    match (line.strip_prefix('+'), line.strip_prefix('-')) {
        (Some(text), _) => Ok(Ok(text.to_owned())),
        (_, Some(text)) => Ok(Err(text.to_owned())),
        _ => Err(asked.err().unwrap_or(io::ErrorKind::UnexpectedEof.into())),
    }
}

/// A process that listens as an agent.
struct Agent {
    peer: Peer,
    /// In this container, where that has the host's processes.
    here: bool,
    /// None: it takes no more connections.
    stream: Option<Stream>,
}

/// The agent that is meant.
fn find(pid: Option<u32>, deadline: Instant) -> Result<Agent, String> {
    let trusted = trusted();
    let (mut agents, mut stranger) = (Vec::<Agent>::new(), None);
    let mut consider = |socket: &Socket<'_>| {
        let known = agents.iter().any(|known| known.peer.pid == socket.pid);
        if known || agents.len() == MAX_AGENTS || pid.is_some_and(|pid| pid != socket.pid) {
            return;
        }
        let Some(agent) = Agent::behind(socket, deadline) else {
            return;
        };
        // Nobody poses as a process that was named, nor as process 1.
        if pid.is_some() || agent.peer.pid == FIRST || trusted.contains(&agent.peer.uid) {
            agents.push(agent);
        } else {
            stranger = Some(agent.peer);
        }
    };
    each_socket(&mut consider).map_err(|error| format!("{SOCKETS} cannot be read: {error}"))?;
    let best = agents.iter().map(Agent::rank).max();
    agents.retain(|agent| Some(agent.rank()) == best);
    match (agents.pop(), pid, stranger) {
        (Some(only), ..) if agents.is_empty() => Ok(only),
        (Some(last), ..) => {
            agents.push(last);
            let several: Vec<String> = agents.iter().map(|agent| told(agent.peer)).collect();
            Err(format!(
                "several agents run here: name the process of one behind the command ({})",
                several.join(", ")
            ))
        }
        (None, Some(pid), _) => Err(format!("process {pid} is no agent that runs")),
        (None, None, Some(peer)) => Err(format!(
            "no agent of this user or root runs here; if {} is meant, name the process behind the \
             command",
            told(peer)
        )),
        (None, None, None) => Err("no agent runs here".to_owned()),
    }
}

fn told(peer: Peer) -> String {
    format!("{} of user {}", peer.pid, peer.uid)
}

/// The users whose processes could do worse to this one than to pose as an agent; of root's point of
/// view the service's user as well, which has been made for nothing else.
fn trusted() -> [u32; 3] {
    let own = effective_uid();
    let service = match own {
        ROOT => account::number(DEFAULT_USER),
        _ => None,
    };
    [ROOT, own, service.unwrap_or(own)]
}

/// A listening socket with the name of an agent of this PID namespace.
#[derive(Debug, PartialEq, Eq)]
struct Socket<'a> {
    inode: &'a str,
    name: &'a str,
    /// By the name alone, in which anybody may write anything, as the next.
    mount: &'a str,
    pid: u32,
}

/// Tells of the sockets of the kernel's table, as far as there is time for.
fn each_socket(consider: &mut dyn FnMut(&Socket<'_>)) -> io::Result<()> {
    let (prefix, end) = (prefix(), Instant::now() + LOOK);
    // A name has at most 107 bytes (unix(7)), and so has a line not many more.
    let mut lines = BufReader::new(File::open(SOCKETS)?).split(b'\n');
    while let Some(line) = lines.next().transpose()? {
        if let Some(socket) = listening(&String::from_utf8_lossy(&line), &prefix) {
            consider(&socket);
        }
        if Instant::now() > end {
            break;
        }
    }
    Ok(())
}

/// What a line of the table tells: `NUMBER REFERENCES PROTOCOL FLAGS TYPE STATE INODE @NAME`.
fn listening<'a>(line: &'a str, prefix: &str) -> Option<Socket<'a>> {
    // What stands before the name has no `@`, by which the kernel shows that it is no path.
    let (fields, name) = line.split_once('@')?;
    let mut place = name.strip_prefix(prefix)?.split('/');
    let mut fields = fields.split_whitespace().skip(3);
    (fields.next()? == LISTENS).then_some(Socket {
        inode: fields.nth(2)?,
        name,
        mount: place.next()?,
        pid: place.next()?.parse().ok()?,
    })
}

impl Agent {
    /// Who listens there, by the kernel's word, where that is the process that the name tells. One
    /// outside of this PID namespace, of number 0, is nobody.
    fn behind(socket: &Socket<'_>, deadline: Instant) -> Option<Agent> {
        let (peer, stream) = match Stream::abstract_unix(socket.name, deadline) {
            Ok(stream) => (stream.peer().ok()?, Some(stream)),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => (holder(socket)?, None),
            Err(_) => return None,
        };
        (peer.pid == socket.pid && peer.pid != 0).then(|| Agent {
            peer,
            here: is_here(socket.mount),
            stream,
        })
    }

    /// The highest is meant.
    fn rank(&self) -> (bool, bool) {
        (self.here, self.peer.pid == FIRST)
    }
}

/// Whether the mount namespace is this process's, and no host's: the host's process 1 is of it as well,
/// where a service has its own. Who may not see where process 1 is, is not on its host.
fn is_here(mount: &str) -> bool {
    mount == namespace("self", "mnt") && mount != namespace("1", "mnt")
}

/// The process that the name of the socket tells, if it has that open, which the kernel shows to its
/// own user and root (proc_pid_fd(5)).
fn holder(socket: &Socket<'_>) -> Option<Peer> {
    let process = format!("/proc/{}", socket.pid);
    let link = format!("socket:[{}]", socket.inode);
    let uid = fs::metadata(&process).ok()?.uid();
    let open = |fd| fs::read_link(format!("{process}/fd/{fd}"));
    (0..FIRST_DESCRIPTORS)
        .any(|fd| open(fd).is_ok_and(|open| open.as_os_str() == link.as_str()))
        .then_some(Peer {
            pid: socket.pid,
            uid,
        })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::net::UnixStream;

    #[test]
    fn what_listens_by_an_agent_s_name_is_found() {
        let line = |flags: &str, name: &str| {
            format!("0000000000000000: 00000002 00000000 {flags} 0001 01 30001 {name}")
        };
        let prefix = "haven-agent/pid:[4026531836]/";
        let name = "haven-agent/pid:[4026531836]/mnt:[4026531832]/812/5eed";
        let expected = Socket {
            inode: "30001",
            name,
            mount: "mnt:[4026531832]",
            pid: 812,
        };
        let abstract_name = format!("@{name}");
        let good = line(LISTENS, &abstract_name);
        assert_eq!(listening(&good, prefix), Some(expected));
        for bad in [
            // The end of a connection has the same name.
            line("00000000", &abstract_name),
            line(LISTENS, name),
            line(LISTENS, &abstract_name.replace("4026531836", "4026532281")),
            line(LISTENS, &abstract_name.replace("812", "9x")),
            line(LISTENS, "@haven-agent/pid:[4026531836]/812"),
            line(LISTENS, ""),
            abstract_name,
            String::new(),
        ] {
            assert_eq!(listening(&bad, prefix), None, "{bad}");
        }
    }

    #[test]
    fn an_answer_does_not_steer_the_terminal() {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        theirs.write_all(b"+a\x1b[2Jb\n").unwrap();
        let stream = Stream::over(ours, Instant::now() + PATIENCE);
        let answer = exchange(stream, Question::Health).unwrap();
        assert_eq!(answer, Ok("a [2Jb".to_owned()));
    }

    #[test]
    fn what_does_not_run_is_told() {
        let none = u32::MAX;
        let error = ask(Question::Health, Some(none)).unwrap_err();
        assert_eq!(error, format!("process {none} is no agent that runs"));
    }
}
