//! What a running agent is asked by `haven-agent health` and `haven-agent reload`, whatever it was
//! started with: no setting, file or credential is needed, and the root may be read-only.
//!
//! It listens on a Unix socket without a file (`unix(7)`, abstract), which is found by its name.
//! Who asks has to be in the same PID namespace and the agent's own user or root; whom it asks has
//! to be the process that it means, or one of a user that it trusts. Either learns that of the kernel
//! (`SO_PEERCRED`), so that nothing is gained by a socket of such a name.
//!
//! A question is a word and a line feed; the answer is `+` or `-`, a line, and the end.
//!
//! | file | owns |
//! | --- | --- |
//! | `server.rs` | the agent's end, on threads of its own |
//! | `health.rs` | what is healthy |
//! | `client.rs` | finding the agent, and asking it |

pub mod client;
pub mod health;
pub mod server;

use crate::sys::stream::Stream;
use ring::rand::{SecureRandom, SystemRandom};
use std::fs;
use std::io::{self, Read};

/// A question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Question {
    /// Whether the agent does its work.
    Health,
    /// Whether its event loops turn.
    Live,
    /// To read settings and files again.
    Reload,
}

/// What was answered: that it is well, or not, each in a line.
pub type Answer = Result<String, String>;

/// The words of the questions.
const WORDS: [(&str, Question); 3] = [
    ("health", Question::Health),
    ("live", Question::Live),
    ("reload", Question::Reload),
];

/// Root may ask whatever the agent's user is, and is believed.
const ROOT: u32 = 0;

/// The most bytes of an answer with its end; what is longer is cut.
const MAX_ANSWER: usize = 4096;

impl Question {
    fn word(self) -> &'static str {
        let found = WORDS.iter().find(|(_, question)| *question == self);
        found.map_or("", |(word, _)| word)
    }

    fn of(word: &str) -> Option<Question> {
        let found = WORDS.iter().find(|(known, _)| *known == word);
        found.map(|(_, question)| *question)
    }
}

/// The next line, without its end, in lossy UTF-8 and without control characters, which a terminal would
/// obey; none where `most` bytes or the stream end before it does.
fn read_line(stream: &mut Stream, most: usize) -> io::Result<Option<String>> {
    let mut line = Vec::new();
    let mut byte = [0];
    while line.len() < most && stream.read(&mut byte)? == 1 {
        if byte == *b"\n" {
            let line = String::from_utf8_lossy(&line);
            return Ok(Some(line.replace(char::is_control, " ")));
        }
        line.extend(byte);
    }
    Ok(None)
}

/// What the names of agents begin with that this process may mean. A network namespace may have
/// agents of several PID namespaces, each process 1 in its own (containers in the host's network).
fn prefix() -> String {
    format!("haven-agent/{}/", namespace("self", "pid"))
}

/// A name for this process, which is an agent: its mount namespace and number behind the prefix, and
/// what nobody can know beforehand, and take the name away.
fn new_name() -> String {
    let mut nonce = [0; 8];
    // Without randomness the name may be taken, which `bind(2)` says.
    let _ = SystemRandom::new().fill(&mut nonce);
    format!(
        "{}{}/{}/{:x}",
        prefix(),
        namespace("self", "mnt"),
        std::process::id(),
        u64::from_ne_bytes(nonce)
    )
}

/// The namespace of this kind that `process` is in (namespaces(7)): nothing, which all have in common,
/// on a kernel without them, and where the process is another's.
fn namespace(process: &str, kind: &str) -> String {
    let link = fs::read_link(format!("/proc/{process}/ns/{kind}")).unwrap_or_default();
    link.display().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_question_has_its_word() {
        for (word, question) in WORDS {
            assert_eq!(Question::of(question.word()), Some(question));
            assert_eq!(Question::of(word), Some(question));
        }
        assert_eq!(Question::of("Health"), None);
        assert_eq!(Question::of(""), None);
    }

    #[test]
    fn a_name_has_the_namespaces_and_the_process_and_is_like_no_other() {
        let name = new_name();
        let pid = format!("]/{}/", std::process::id());
        assert!(name.starts_with("haven-agent/pid:["), "{name}");
        assert!(name.contains("]/mnt:[") && name.contains(&pid), "{name}");
        assert_ne!(new_name(), name);
    }
}
