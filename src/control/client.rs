//! The other end: which agent is meant, and what it answers.

use super::{Answer, MAX_ANSWER, Question, name, prefix, read_line};
use crate::sorted::Set;
use crate::sys::fs::read_up_to;
use crate::sys::stream::Stream;
use std::fs::File;
use std::io::{self, Write};
use std::time::{Duration, Instant};

/// The Unix sockets of this network namespace (proc_pid_net(5)).
const SOCKETS: &str = "/proc/self/net/unix";
/// The most that is read of it: some 100,000 sockets.
const MAX_SOCKETS: usize = 8 * 1024 * 1024;

/// The most agents that are looked at.
const MAX_AGENTS: usize = 64;

/// The process that a container's agent is.
const FIRST: u32 = 1;

/// For an answer; the agent needs less, unless it hangs.
const PATIENCE: Duration = Duration::from_secs(8);
/// For that to a reload.
const RELOAD_PATIENCE: Duration = Duration::from_secs(14);

/// Asks the agent that is process `pid`. Without one, process 1, where that is an agent, else the
/// only one there is.
///
/// # Errors
/// The agent's bad news, or why it gave none.
pub fn ask(question: Question, pid: Option<u32>) -> Answer {
    let patience = match question {
        Question::Reload => RELOAD_PATIENCE,
        Question::Health | Question::Live => PATIENCE,
    };
    let (pid, stream) = find(pid, Instant::now() + patience)?;
    exchange(stream, question)
        .unwrap_or_else(|error| Err(format!("the agent, process {pid}, {}", silence(&error))))
}

fn silence(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock => "does not answer: it hangs".into(),
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

/// The agent that is meant, with a connection to it.
fn find(pid: Option<u32>, deadline: Instant) -> Result<(u32, Stream), String> {
    let named = match pid {
        Some(pid) => vec![pid],
        None => listening(),
    };
    let agents = named.into_iter().filter_map(|pid| {
        let stream = Stream::abstract_unix(&name(pid), deadline).ok()?;
        // Else it is another's socket of that name.
        (stream.peer().ok()?.pid == pid).then_some((pid, stream))
    });
    let mut agents: Vec<_> = agents.collect();
    if let Some(first) = agents.iter().position(|(pid, _)| *pid == FIRST) {
        return Ok(agents.swap_remove(first));
    }
    match (agents.pop(), pid) {
        (Some(only), _) if agents.is_empty() => Ok(only),
        (Some((last, _)), _) => {
            let pids = agents.iter().map(|(pid, _)| *pid).chain([last]);
            let pids: Vec<String> = pids.map(|pid| pid.to_string()).collect();
            Err(format!(
                "several agents run here: name the process of one behind the command ({})",
                pids.join(", ")
            ))
        }
        (None, Some(pid)) => Err(format!("process {pid} is no agent that runs")),
        (None, None) => Err("no agent runs here".to_owned()),
    }
}

/// The processes that listen as agents of this PID namespace; process 1 where the kernel does not tell.
fn listening() -> Vec<u32> {
    let table = File::open(SOCKETS).and_then(|file| read_up_to(&file, MAX_SOCKETS));
    match table {
        Ok(table) => named(&String::from_utf8_lossy(&table), &prefix()),
        Err(_) => vec![FIRST],
    }
}

/// The processes whose sockets are in the kernel's `table`: those that listen, and the ends of their
/// connections, which have the same name.
fn named(table: &str, prefix: &str) -> Vec<u32> {
    let mut found = Set::default();
    for line in table.lines() {
        // What stands before the name has no `@`, by which the kernel shows that it is no path.
        let name = line.split_once('@').map(|(_, name)| name);
        let pid = name.and_then(|name| name.strip_prefix(prefix)?.parse().ok());
        if let Some(pid) = pid {
            found.insert(pid);
        }
    }
    found.iter().copied().take(MAX_AGENTS).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::net::UnixStream;

    const TABLE: &str = "\
Num       RefCount Protocol Flags    Type St Inode Path
0000000000000000: 00000002 00000000 00010000 0001 01 21077 /run/docker.sock
0000000000000000: 00000003 00000000 00000000 0001 03 21078
0000000000000000: 00000002 00000000 00010000 0001 01 30001 @haven-agent/pid:[4026531836]/812
0000000000000000: 00000003 00000000 00000000 0001 03 30002 @haven-agent/pid:[4026531836]/812
0000000000000000: 00000002 00000000 00010000 0001 01 30003 @haven-agent/pid:[4026531836]/9x
0000000000000000: 00000002 00000000 00010000 0001 01 30004 @haven-agent/pid:[4026532281]/1
0000000000000000: 00000002 00000000 00010000 0001 01 30005 /tmp/@haven-agent/pid:[4026531836]/5
0000000000000000: 00000002 00000000 00010000 0001 01 30006 @haven-agent/pid:[4026531836]/77
";

    #[test]
    fn agents_of_the_same_namespace_are_found_once_each() {
        assert_eq!(named(TABLE, "haven-agent/pid:[4026532281]/"), [1]);
        assert!(named(TABLE, "haven-agent/pid:[1]/").is_empty());
        // A file may be called so as well (5): there is no agent at the other end.
        let found = named(TABLE, "haven-agent/pid:[4026531836]/");
        assert_eq!(found, [5, 77, 812]);
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
