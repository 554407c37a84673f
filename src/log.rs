//! The `log` facade's sink: `2016-08-10 15:03:04,583 - INFO - message`, in the node's local time,
//! as the Python agent wrote it; under systemd `<6>message`, since the journal has the time itself
//! (sd-daemon(3)).
//!
//! Who logs never waits: lines go into a bounded queue, and a thread of its own writes them. What
//! finds no room is counted and told as soon as there is some.

use crate::sys::thread::{STACK_SIZE, start_thread};
use crate::sys::time::{self, UnixTime};
use crate::zone::Zone;
use log::{Level, LevelFilter, Log, Metadata, Record};
use std::collections::VecDeque;
use std::fmt::Write as _;
use std::fs::File;
use std::io::{self, Write as _};
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;
use std::sync::{Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

/// The target of a line without time and level: one that goes on where the line before ended.
pub const CONTINUED: &str = "continued";

/// The most bytes of lines that wait.
const MAX_QUEUED: usize = 512 * 1024;
/// The longest line, in bytes of its message; of a longer one the beginning is written.
const MAX_MESSAGE: usize = 128 * 1024;
/// How long the program's end waits for what is queued.
const FLUSH_WAIT: Duration = Duration::from_secs(1);
/// How long a pipe that was made non-blocking by another process is left alone when it is full.
const FULL_PIPE_WAIT: Duration = Duration::from_millis(20);

/// Where the lines go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sink {
    /// Standard output: the daemon's, as documented.
    Stdout,
    /// Standard error: every other command's, whose output is its result.
    Stderr,
}

static LOGGER: OnceLock<Logger> = OnceLock::new();

/// Installs the sink. A second call changes nothing.
///
/// # Errors
/// No descriptor or no thread: the program is without a log.
pub fn init(level: LevelFilter, zone: Zone, to: Sink) -> io::Result<()> {
    let file = match to {
        Sink::Stdout => io::stdout().as_fd().try_clone_to_owned()?,
        Sink::Stderr => io::stderr().as_fd().try_clone_to_owned()?,
    };
    let file = File::from(file);
    let format = if is_journal(&file) {
        Format::Journal
    } else {
        Format::Lines(zone)
    };
    let logger = Logger {
        format,
        queue: Queue::default(),
    };
    if LOGGER.set(logger).is_err() {
        return Ok(());
    }
    let Some(logger) = LOGGER.get() else {
        return Ok(());
    };
    start_thread("log", STACK_SIZE, move || {
        logger.queue.write_to(file, &logger.format);
    })?;
    // It fails only where there is a logger already.
    if log::set_logger(logger).is_ok() {
        log::set_max_level(level);
    }
    Ok(())
}

/// Waits, for a bounded time, until the queued lines are written.
pub fn flush() {
    if let Some(logger) = LOGGER.get() {
        logger.queue.wait_until_written(FLUSH_WAIT);
    }
}

/// Whether `file` is the connection to the journal that systemd gave (systemd.exec(5),
/// `JOURNAL_STREAM`).
fn is_journal(file: &File) -> bool {
    let Ok(stream) = std::env::var("JOURNAL_STREAM") else {
        return false;
    };
    let own = file.metadata();
    own.is_ok_and(|own| stream == format!("{}:{}", own.dev(), own.ino()))
}

/// How a line looks.
enum Format {
    /// Time, level, message.
    Lines(Zone),
    /// Priority, message.
    Journal,
}

struct Logger {
    format: Format,
    queue: Queue,
}

impl Log for Logger {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.level() <= log::max_level()
    }

    fn log(&self, record: &Record<'_>) {
        if self.enabled(record.metadata()) {
            let continued = record.target() == CONTINUED;
            let message = record.args().to_string();
            let line = self
                .format
                .line(time::now(), record.level(), continued, &message);
            self.queue.push(line);
        }
    }

    fn flush(&self) {
        flush();
    }
}

impl Format {
    /// One line with its end.
    fn line(&self, now: UnixTime, level: Level, continued: bool, message: &str) -> String {
        let mut line = String::new();
        match self {
            Format::Journal => line.push_str(priority(level)),
            Format::Lines(_) if continued => {}
            Format::Lines(zone) => prefix(&mut line, zone, now, level),
        }
        escape(&mut line, message);
        line.push('\n');
        line
    }
}

/// `2016-08-10 15:03:04,583 - INFO - `.
fn prefix(line: &mut String, zone: &Zone, now: UnixTime, level: Level) {
    let local = zone.local(now.secs);
    // Writing to a string cannot fail.
    let _ = write!(
        line,
        "{:04}-{:02}-{:02} {:02}:{:02}:{:02},{:03} - {} - ",
        local.year,
        local.month,
        local.day,
        local.hour,
        local.minute,
        local.second,
        now.millis(),
        name(level),
    );
}

/// A level as Python calls it.
fn name(level: Level) -> &'static str {
    match level {
        Level::Error => "ERROR",
        Level::Warn => "WARNING",
        Level::Info => "INFO",
        Level::Debug | Level::Trace => "DEBUG",
    }
}

/// A level as syslog numbers it (syslog(3)).
fn priority(level: Level) -> &'static str {
    match level {
        Level::Error => "<3>",
        Level::Warn => "<4>",
        Level::Info => "<6>",
        Level::Debug | Level::Trace => "<7>",
    }
}

/// Appends a message of which no part can end the line, move a terminal's cursor or turn the
/// direction of reading: what a peer sent cannot look like a line of ours.
fn escape(line: &mut String, message: &str) {
    for (at, character) in message.char_indices() {
        if at >= MAX_MESSAGE {
            line.push('…');
            return;
        }
        match character {
            '\t' => line.push(character),
            '\u{2028}' | '\u{2029}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => {
                line.extend(character.escape_unicode());
            }
            _ if character.is_control() => line.extend(character.escape_debug()),
            _ => line.push(character),
        }
    }
}

/// Lines between those who log and the one who writes.
#[derive(Default)]
struct Queue {
    state: Mutex<State>,
    /// There is something to write.
    filled: Condvar,
    /// All that was there is written.
    written: Condvar,
}

#[derive(Default)]
struct State {
    lines: VecDeque<String>,
    /// The lines' bytes; at most [`MAX_QUEUED`].
    bytes: usize,
    /// Lines that found no room since the last one that was taken.
    dropped: u64,
    /// The writer holds lines that it has not written yet.
    writing: bool,
}

impl State {
    fn is_empty(&self) -> bool {
        self.lines.is_empty() && self.dropped == 0
    }
}

impl Queue {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a line, or counts it where there is no room.
    fn push(&self, line: String) {
        let mut state = self.state();
        let bytes = state.bytes.saturating_add(line.len());
        if bytes > MAX_QUEUED {
            state.dropped = state.dropped.saturating_add(1);
            return;
        }
        state.bytes = bytes;
        state.lines.push_back(line);
        self.filled.notify_one();
    }

    /// Waits for lines and takes all of them, and how many were dropped behind them.
    fn take(&self) -> (VecDeque<String>, u64) {
        let mut state = self.state();
        state.writing = false;
        while state.is_empty() {
            self.written.notify_all();
            let woken = self.filled.wait(state);
            state = woken.unwrap_or_else(PoisonError::into_inner);
        }
        state.writing = true;
        state.bytes = 0;
        (
            std::mem::take(&mut state.lines),
            std::mem::take(&mut state.dropped),
        )
    }

    /// The `log` thread: writes for ever.
    fn write_to(&self, mut file: File, format: &Format) {
        loop {
            let (lines, dropped) = self.take();
            for line in lines {
                write(&mut file, line.as_bytes());
            }
            if dropped > 0 {
                let message = format!("{dropped} log lines dropped: their reader was too slow");
                let line = format.line(time::now(), Level::Warn, false, &message);
                write(&mut file, line.as_bytes());
            }
        }
    }

    fn wait_until_written(&self, wait: Duration) {
        let state = self.state();
        let busy = |state: &mut State| state.writing || !state.is_empty();
        // Whether it was enough makes no difference: the program ends.
        let _ = self.written.wait_timeout_while(state, wait, busy);
    }
}

/// Writes a line, however long that takes. One whose reader is gone is lost.
fn write(file: &mut File, mut line: &[u8]) {
    while !line.is_empty() {
        match file.write(line) {
            Ok(0) => return,
            Ok(written) => line = line.get(written..).unwrap_or_default(),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                std::thread::sleep(FULL_PIPE_WAIT);
            }
            Err(_) => return,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;
    use std::sync::Arc;

    /// 2016-08-10T13:03:04.583Z.
    const NOW: UnixTime = UnixTime {
        secs: 1_470_834_184,
        nanos: 583_999_999,
    };

    fn line(level: Level, message: &str) -> String {
        Format::Lines(Zone::utc()).line(NOW, level, false, message)
    }

    #[test]
    fn lines_have_the_documented_form() {
        assert_eq!(
            line(Level::Info, "Configs: /etc/haven-agent.ini"),
            "2016-08-10 13:03:04,583 - INFO - Configs: /etc/haven-agent.ini\n"
        );
        for (level, name, priority) in [
            (Level::Error, "ERROR", "<3>"),
            (Level::Warn, "WARNING", "<4>"),
            (Level::Info, "INFO", "<6>"),
            (Level::Debug, "DEBUG", "<7>"),
        ] {
            assert_eq!(
                line(level, "x"),
                format!("2016-08-10 13:03:04,583 - {name} - x\n")
            );
            let journal = Format::Journal.line(NOW, level, false, "x");
            assert_eq!(journal, format!("{priority}x\n"));
        }
        let lines = Format::Lines(Zone::utc());
        assert_eq!(
            lines.line(NOW, Level::Debug, true, "Arguments: {}"),
            "Arguments: {}\n"
        );
        assert_eq!(Format::Journal.line(NOW, Level::Debug, true, "x"), "<7>x\n");
    }

    #[test]
    fn a_message_cannot_forge_a_line() {
        assert_eq!(
            line(Level::Info, "a\nb\r\0\x1b[2J\u{85}\u{2028}\u{202e}\té\\n"),
            "2016-08-10 13:03:04,583 - INFO - a\\nb\\r\\0\\u{1b}[2J\\u{85}\\u{2028}\\u{202e}\té\\n\n"
        );
        let long = line(Level::Info, &"é".repeat(MAX_MESSAGE));
        assert!(long.len() < MAX_MESSAGE + 64 && long.ends_with("é…\n"));
    }

    #[test]
    fn a_full_pipe_blocks_nobody_and_what_was_dropped_is_told() {
        let (mut reader, writer) = io::pipe().unwrap();
        let queue = Arc::new(Queue::default());
        let theirs = Arc::clone(&queue);
        std::thread::spawn(move || {
            let file = File::from(std::os::fd::OwnedFd::from(writer));
            theirs.write_to(file, &Format::Journal);
        });
        // Nobody reads: the writer is stuck in a line that no pipe holds, then the queue fills, then
        // lines are dropped.
        let stuck = format!("{}\n", "x".repeat(MAX_QUEUED - 1));
        queue.push(stuck.clone());
        while !queue.state().writing {
            std::thread::yield_now();
        }
        let text = format!("{}\n", "x".repeat(1023));
        for _ in 0..MAX_QUEUED / text.len() + 7 {
            queue.push(text.clone());
        }
        let (dropped, bytes) = {
            let state = queue.state();
            (state.dropped, state.bytes)
        };
        assert_eq!((dropped, bytes), (7, MAX_QUEUED));
        queue.wait_until_written(Duration::from_millis(1));
        let told = "<4>7 log lines dropped: their reader was too slow\n";
        let kept = stuck.len() + MAX_QUEUED;
        let mut all = vec![0; kept + told.len()];
        reader.read_exact(&mut all).unwrap();
        assert_eq!(all[kept..], *told.as_bytes());
        // There is room again.
        queue.push("more\n".to_string());
        queue.wait_until_written(Duration::from_secs(60));
        assert!(!queue.state().writing && queue.state().is_empty());
        let mut more = [0; 5];
        reader.read_exact(&mut more).unwrap();
        assert_eq!(&more, b"more\n");
    }

    #[test]
    fn lines_without_a_reader_are_lost_and_nothing_else() {
        let (reader, writer) = io::pipe().unwrap();
        drop(reader);
        let mut file = File::from(std::os::fd::OwnedFd::from(writer));
        write(&mut file, b"nobody reads this\n");
    }
}
