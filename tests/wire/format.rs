//! Reads the corpus in this directory: conversations in which somebody sends what is malformed, ambiguous or
//! odd, told line by line.
//!
//! ```text
//! case NAME
//! rfc SECTION             where the rule stands
//! each TEXT|MORE          the case is played once for each, with TEXT in the place of {each}, MORE in that of {then}
//! > LINE                  the client sends it
//! >> LINE                 Docker has to receive it
//! << LINE                 Docker sends it
//! < LINE                  the client has to receive it
//! reply STATUS MESSAGE    the agent's own answer, the last on its connection
//! reply kept STATUS …     the same, after which the connection stays
//! new connection          what Docker receives from here on is on another connection
//! client closes           by close_notify
//! docker closes
//! partly                  of what Docker receives the end may be missing, for the request was given up
//! alone                   not played again with the beginning of a next request behind it
//! end finished|cut        how the agent ends the connection; without it, the connection stays
//! ```
//!
//! A LINE ends in CRLF; where it ends in a `\` nothing follows. `\r`, `\n`, `\t`, `\0`, `\\` and `\xHH` are bytes.
//! `{admin}` and `{reader}` stand for credentials, `{X*9}` for nine X, `{no rule}` for the rule of the built-in
//! policies that denies what no other allows. What a step needs to have happened before is above it. `#` begins a comment.

/// One step of a conversation, in the order in which things happen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    Client(Vec<u8>),
    DockerGets(Vec<u8>),
    Docker(Vec<u8>),
    ClientGets(Vec<u8>),
    NewConnection,
    ClientCloses,
    DockerCloses,
}

/// How the agent ends the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    Kept,
    Finished,
    Cut,
}

#[derive(Clone, Debug)]
pub struct Conversation {
    /// File, line and name, and what `{each}` is.
    pub name: String,
    pub steps: Vec<Step>,
    pub ending: Ending,
    /// Docker may have received less.
    pub partly: bool,
    /// Nothing is to be put behind it.
    pub alone: bool,
}

/// What the placeholders stand for.
pub struct Names<'a> {
    pub admin: &'a str,
    pub reader: &'a str,
}

/// All conversations of the corpus.
pub fn all(names: &Names<'_>) -> Vec<Conversation> {
    let files = [
        ("lines.txt", include_str!("lines.txt")),
        ("targets.txt", include_str!("targets.txt")),
        ("framing.txt", include_str!("framing.txt")),
        ("chunks.txt", include_str!("chunks.txt")),
        ("hidden.txt", include_str!("hidden.txt")),
        ("connection.txt", include_str!("connection.txt")),
        ("upgrades.txt", include_str!("upgrades.txt")),
        ("answers.txt", include_str!("answers.txt")),
    ];
    files
        .iter()
        .flat_map(|(name, text)| read(name, text, names))
        .collect()
}

fn read(file: &str, text: &str, names: &Names<'_>) -> Vec<Conversation> {
    let mut cases = Vec::new();
    let mut lines: Vec<(usize, &str)> = Vec::new();
    let numbered = text.lines().enumerate().map(|(at, line)| (at + 1, line));
    for (number, line) in numbered.filter(|(_, line)| !line.is_empty() && !line.starts_with('#')) {
        if line.starts_with("case ") && !lines.is_empty() {
            cases.extend(case(file, &std::mem::take(&mut lines), names));
        }
        lines.push((number, line));
    }
    cases.extend(case(file, &lines, names));
    cases
}

/// One case, as often as it has variants.
fn case(file: &str, lines: &[(usize, &str)], names: &Names<'_>) -> Vec<Conversation> {
    let (number, name) = lines[0];
    let name = name
        .strip_prefix("case ")
        .expect("a case begins by its name");
    assert!(
        lines.iter().any(|(_, line)| line.starts_with("rfc ")),
        "{file}:{number}: no rfc"
    );
    let mut variants: Vec<&str> = lines
        .iter()
        .filter_map(|(_, line)| line.strip_prefix("each"))
        .map(|text| text.strip_prefix(' ').unwrap_or(text))
        .collect();
    if variants.is_empty() {
        variants.push("");
    }
    let told = |each: &&str| {
        let mut case = Conversation {
            name: format!("{file}:{number} {name} {each}"),
            steps: Vec::new(),
            ending: Ending::Kept,
            partly: false,
            alone: false,
        };
        for (number, line) in &lines[1..] {
            let (each, then) = each.split_once('|').unwrap_or((each, ""));
            let line = line.replace("{each}", each).replace("{then}", then);
            tell(&mut case, &line, names)
                .unwrap_or_else(|| panic!("{file}:{number}: what is {line:?}?"));
        }
        case
    };
    variants.iter().map(told).collect()
}

/// Adds what a line says; `None` where it says nothing known.
fn tell(case: &mut Conversation, line: &str, names: &Names<'_>) -> Option<()> {
    let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
    match word {
        "rfc" | "each" => {}
        ">" => add(case, Step::Client, bytes(rest, names)),
        ">>" => add(case, Step::DockerGets, bytes(rest, names)),
        "<<" => add(case, Step::Docker, bytes(rest, names)),
        "<" => add(case, Step::ClientGets, bytes(rest, names)),
        "reply" => {
            let kept = rest.strip_prefix("kept ");
            let (status, message) = kept.unwrap_or(rest).split_once(' ')?;
            let message = message.replace("{no rule}", &last_rule());
            add(
                case,
                Step::ClientGets,
                reply(status, &message, kept.is_none())?,
            );
            if kept.is_none() {
                case.ending = Ending::Finished;
            }
        }
        "new" => case.steps.push(Step::NewConnection),
        "client" => case.steps.push(Step::ClientCloses),
        "docker" => case.steps.push(Step::DockerCloses),
        "partly" => case.partly = true,
        "alone" => case.alone = true,
        "end" if rest == "finished" => case.ending = Ending::Finished,
        "end" if rest == "cut" => case.ending = Ending::Cut,
        _ => return None,
    }
    Some(())
}

/// Lines of one kind that follow each other are one step.
fn add(case: &mut Conversation, kind: fn(Vec<u8>) -> Step, more: Vec<u8>) {
    use Step::{Client, ClientGets, Docker, DockerGets};
    match (case.steps.last_mut(), kind(Vec::new())) {
        (Some(Client(bytes)), Client(_))
        | (Some(DockerGets(bytes)), DockerGets(_))
        | (Some(Docker(bytes)), Docker(_))
        | (Some(ClientGets(bytes)), ClientGets(_)) => bytes.extend(more),
        _ => case.steps.push(kind(more)),
    }
}

/// The bytes of a line.
fn bytes(line: &str, names: &Names<'_>) -> Vec<u8> {
    let line = line
        .replace("{admin}", names.admin)
        .replace("{reader}", names.reader);
    let line = repeated(&line);
    let (line, open) = match line.strip_suffix('\\') {
        Some(line) if !line.ends_with('\\') => (line, true),
        _ => (&*line, false),
    };
    let mut out = Vec::new();
    let mut rest = line.bytes();
    while let Some(byte) = rest.next() {
        out.push(match byte {
            b'\\' => match rest.next() {
                Some(b'r') => b'\r',
                Some(b'n') => b'\n',
                Some(b't') => b'\t',
                Some(b'0') => 0,
                Some(b'\\') => b'\\',
                Some(b'x') => {
                    let digits = [rest.next(), rest.next()].map(|d| d.expect("two digits") as char);
                    u8::from_str_radix(&String::from_iter(digits), 16).expect("\\xHH")
                }
                other => panic!("an unknown escape {other:?} in {line:?}"),
            },
            byte => byte,
        });
    }
    if !open {
        out.extend(b"\r\n");
    }
    out
}

/// `{X*9}` is nine X.
fn repeated(line: &str) -> String {
    let Some((before, rest)) = line.split_once('{') else {
        return line.to_owned();
    };
    let (inner, after) = rest.split_once('}').expect("a } for each {");
    let inner = match inner.rsplit_once('*') {
        Some((text, count)) => text.repeat(count.parse().expect("a count")),
        None => format!("{{{inner}}}"),
    };
    before.to_owned() + &inner + &repeated(after)
}

/// The last rule of `read-only`, and the place where it stands.
fn last_rule() -> String {
    let rules = include_str!("../../src/policy/built-in.ini");
    let section = rules.lines().position(|line| line == "[read-only]");
    let rest = rules
        .lines()
        .enumerate()
        .skip(section.expect("[read-only]"));
    let denies = |line: &str| line.split_whitespace().take(3).eq(["deny", "*", "/**"]);
    let (at, line) = rest
        .clone()
        .find(|(_, line)| denies(line))
        .expect("a last rule");
    let reason = line.split_once("# ").map_or("", |(_, reason)| reason);
    format!("deny * /** (built in, line {}); {reason}", at + 1)
}

/// An answer of the agent's own.
fn reply(status: &str, message: &str, close: bool) -> Option<Vec<u8>> {
    let reason = match status {
        "400" => "Bad Request",
        "401" => "Unauthorized",
        "403" => "Forbidden",
        "417" => "Expectation Failed",
        "431" => "Request Header Fields Too Large",
        "502" => "Bad Gateway",
        "505" => "HTTP Version Not Supported",
        _ => return None,
    };
    let challenge = match status {
        "401" => "WWW-Authenticate: Basic realm=\"Haven Agent\"\r\n",
        _ => "",
    };
    let body = format!("{{\"message\":\"haven-agent: {message}\"}}\n");
    let close = if close { "Connection: close\r\n" } else { "" };
    let length = body.len();
    let head = format!(
        "HTTP/1.1 {status} {reason}\r\n{challenge}Content-Type: application/json\r\n\
         Content-Length: {length}\r\n{close}\r\n"
    );
    Some((head + &body).into_bytes())
}
