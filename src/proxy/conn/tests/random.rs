//! Conversations cut anywhere and interleaved in any order come to the same as whole ones.

use super::super::Close;
use super::case::{forwarded, overloaded, request, unauthorized};
use super::shell::{Dial, Pace, Shell, allowed};

/// Conversations played.
const ROUNDS: u64 = if cfg!(miri) { 2 } else { 250 };

/// Things done before a conversation is played to its end.
const MAX_DEEDS: usize = 600;

/// xorshift64: small, and the same on every machine.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 16) as usize % bound
    }

    fn chance(&mut self, one_in: usize) -> bool {
        self.below(one_in) == 0
    }

    /// Often a few bytes, sometimes many.
    fn size(&mut self) -> usize {
        match self.below(3) {
            0 => 1 + self.below(3),
            1 => 1 + self.below(200),
            _ => 1 + self.below(50_000),
        }
    }
}

/// What Docker expects, and what it does once that has come.
struct Cue {
    expects: Vec<u8>,
    says: Vec<u8>,
    ends: bool,
}

/// A conversation and what has to come of it.
#[derive(Default)]
struct Plan {
    client: Vec<u8>,
    cues: Vec<Cue>,
    client_gets: Vec<u8>,
    records: Vec<String>,
    closes: bool,
    client_notifies: bool,
}

impl Plan {
    fn cue(&mut self, expects: String, says: &str, ends: bool) {
        self.cues.push(Cue {
            expects: expects.into_bytes(),
            says: says.as_bytes().to_vec(),
            ends,
        });
    }

    /// An exchange that Docker answers, and the client gets as it is.
    fn exchange(&mut self, sent: &str, expects: String, says: &str, record: String) {
        self.client.extend(sent.as_bytes());
        self.client_gets.extend(says.as_bytes());
        self.cue(expects, says, false);
        self.records.push(record);
    }

    fn refusal(&mut self, credentials: &str, answer: String, status: u16) {
        let sent = format!("GET /no HTTP/1.1\r\nHost: n\r\n{credentials}\r\n");
        self.client.extend(sent.as_bytes());
        self.client_gets.extend(answer.as_bytes());
        self.records.push(format!("- GET /no {status} 0/0"));
    }

    fn add(&mut self, random: &mut Random) {
        let chunks = "1\r\na\r\n1\r\nb\r\n0\r\n\r\n";
        let chunked = "Transfer-Encoding: chunked\r\n";
        match random.below(8) {
            0 => {
                let body = "x".repeat(random.size());
                let says = format!(
                    "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}",
                    body.len()
                );
                let record = format!("ann GET /a 200 0/{}", body.len());
                self.exchange(
                    &request("GET /a", ""),
                    forwarded("GET /a", ""),
                    &says,
                    record,
                );
            }
            1 => {
                let body = "GET / HTTP/1.1\r\n\r\n".repeat(1 + random.size() / 18);
                let more = format!("Content-Length: {}\r\n", body.len());
                let says = format!("HTTP/1.1 201 Created\r\n{chunked}\r\n{chunks}");
                self.exchange(
                    &(request("POST /b", &more) + &body),
                    forwarded("POST /b", &more) + &body,
                    &says,
                    format!("ann POST /b 201 {}/2", body.len()),
                );
            }
            2 => self.exchange(
                &request("HEAD /c", ""),
                forwarded("HEAD /c", ""),
                "HTTP/1.1 200 OK\r\nContent-Length: 77\r\n\r\n",
                "ann HEAD /c 200 0/0".into(),
            ),
            3 => self.exchange(
                "DELETE /d HTTP/1.1\r\nHost: n\r\nAuthorization: slow\r\n\r\n",
                forwarded("DELETE /d", ""),
                "HTTP/1.1 204 No Content\r\n\r\n",
                "ann DELETE /d 204 0/0".into(),
            ),
            4 => {
                let more = "Expect: 100-continue\r\nContent-Length: 3\r\n";
                self.exchange(
                    &(request("PUT /e", more) + "abc"),
                    forwarded("PUT /e", more) + "abc",
                    "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
                    "ann PUT /e 200 3/0".into(),
                );
            }
            5 => self.exchange(
                &(request("PUT /f", chunked) + "1;x\r\na\r\n01\r\nb\r\n0\r\nT: y\r\n\r\n"),
                forwarded("PUT /f", chunked) + chunks,
                "HTTP/1.1 500 Oh\r\nContent-Length: 1\r\n\r\n!",
                "ann PUT /f 500 2/1".into(),
            ),
            6 => self.refusal("", unauthorized(false), 401),
            _ => self.refusal("Authorization: busy\r\n", overloaded(false), 503),
        }
    }

    /// How it ends, if it does.
    fn end(&mut self, random: &mut Random) {
        let next = request("GET /never", "");
        match random.below(5) {
            0 => {
                let more = "Connection: close\r\n";
                self.client
                    .extend((request("GET /z", more) + &next).as_bytes());
                self.cue(
                    forwarded("GET /z", ""),
                    "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi",
                    false,
                );
                self.client_gets
                    .extend(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nhi");
                self.records.push("ann GET /z 200 0/2".into());
                self.closes = true;
            }
            1 => {
                let sent = "POST /z HTTP/1.1\r\nHost: n\r\nContent-Length: 900\r\n\r\n";
                self.client
                    .extend((sent.to_owned() + &next.repeat(20)).as_bytes());
                self.client_gets.extend(unauthorized(true).as_bytes());
                self.records.push("- POST /z 401 0/0".into());
                self.closes = true;
            }
            2 => {
                self.client
                    .extend((request("GET /z", "") + &next).as_bytes());
                self.cue(
                    forwarded("GET /z", ""),
                    "HTTP/1.1 200 OK\r\n\r\nuntil the end",
                    true,
                );
                self.client_gets
                    .extend(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nuntil the end");
                self.records.push("ann GET /z 200 0/13".into());
                self.closes = true;
            }
            3 => {
                let upgrade = "Connection: Upgrade\r\nUpgrade: tcp\r\n";
                let switch = format!("HTTP/1.1 101 UPGRADED\r\n{upgrade}\r\n");
                let stdin = next.repeat(1 + random.below(900));
                self.client
                    .extend((request("POST /exec/z/start", upgrade) + &stdin).as_bytes());
                self.cue(
                    forwarded("POST /exec/z/start", upgrade),
                    &(switch.clone() + "first"),
                    false,
                );
                self.cue(stdin.clone(), "last", true);
                self.client_gets.extend((switch + "firstlast").as_bytes());
                let record = format!("ann POST /exec/z/start 101 {}/9", stdin.len());
                self.records.push(record);
                (self.closes, self.client_notifies) = (true, true);
            }
            _ => {}
        }
    }
}

/// A Docker that follows the plan, on whatever connection it is asked.
struct Docker {
    cues: std::vec::IntoIter<Cue>,
    link: usize,
    heard: usize,
    saying: Vec<u8>,
    ends: bool,
    /// It may close after an answer, as a restarted Docker does.
    may_close: bool,
}

impl Docker {
    /// Hears what has come; says whether that made a difference.
    fn hear(&mut self, shell: &mut Shell, random: &mut Random) -> bool {
        let number = shell.links.len();
        let Some(link) = shell.link() else {
            return false;
        };
        if number != self.link {
            (self.link, self.heard) = (number, 0);
            assert!(self.saying.is_empty(), "an answer was not wanted");
        }
        // What has come after it closed was never heard.
        if link.ends || self.ends {
            return false;
        }
        let got = &link.got[self.heard..];
        let Some(cue) = self.cues.as_slice().first() else {
            assert!(
                got.is_empty(),
                "forwarded: {}",
                String::from_utf8_lossy(got)
            );
            return false;
        };
        if got.len() < cue.expects.len() {
            assert!(
                cue.expects.starts_with(got),
                "{}",
                String::from_utf8_lossy(got)
            );
            return false;
        }
        assert_eq!(got, cue.expects);
        self.heard += got.len();
        let is_stream = cue.says.starts_with(b"HTTP/1.1 101");
        if let Some(cue) = self.cues.next() {
            self.saying.extend(cue.says);
            self.ends |= cue.ends || (self.may_close && !is_stream && random.chance(3));
        }
        true
    }

    /// Says at most `most` bytes.
    fn say(&mut self, shell: &mut Shell, most: usize) -> bool {
        let Some(link) = shell.link() else {
            return false;
        };
        let count = self.saying.len().min(most);
        link.wire.extend(self.saying.drain(..count));
        let ends = self.saying.is_empty() && std::mem::take(&mut self.ends);
        link.ends |= ends;
        link.deaf |= ends;
        count > 0 || ends
    }
}

fn play(seed: u64) {
    let mut random = Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
    let mut plan = Plan::default();
    for _ in 0..random.below(6) {
        plan.add(&mut random);
    }
    plan.end(&mut random);
    let pace = Pace {
        read: random.size(),
        write: random.size(),
    };
    let mut shell = Shell::new(pace, true);
    shell.dial = match random.chance(2) {
        true => Dial::AtOnce,
        false => Dial::ByHand,
    };
    let mut docker = Docker {
        cues: std::mem::take(&mut plan.cues).into_iter(),
        link: 0,
        heard: 0,
        saying: Vec::new(),
        ends: false,
        may_close: random.chance(2),
    };
    let mut to_send = std::mem::take(&mut plan.client);
    for _ in 0..random.below(MAX_DEEDS) {
        do_something(&mut shell, &mut docker, &mut to_send, &mut random);
    }
    // Now everything moves, until nothing does.
    loop {
        shell.client_room = usize::MAX;
        shell.docker_room = usize::MAX;
        shell.client_wire.append(&mut to_send);
        shell.client_notifies = plan.client_notifies;
        shell.settle();
        let mut moved = docker.hear(&mut shell, &mut random);
        moved |= docker.say(&mut shell, usize::MAX);
        moved |= answer_questions(&mut shell);
        if !moved {
            break;
        }
    }
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert_eq!(text(&shell.client_got), text(&plan.client_gets));
    assert_eq!(shell.records, plan.records);
    assert_eq!(docker.cues.len(), 0, "Docker was not asked");
    match shell.closed {
        None => assert!(!plan.closes),
        Some(close) => assert!(
            plan.closes && matches!(close, Close::Finished(_)),
            "{close:?}"
        ),
    }
    if plan.client_notifies {
        assert!(shell.links.last().is_some_and(|link| link.dropped));
    }
}

/// Gives the verdict and opens the connection that are waited for.
fn answer_questions(shell: &mut Shell) -> bool {
    if shell.judging.pending {
        shell.verdict(allowed());
        return true;
    }
    if shell.connecting {
        shell.connected(None);
        return true;
    }
    false
}

fn do_something(
    shell: &mut Shell,
    docker: &mut Docker,
    to_send: &mut Vec<u8>,
    random: &mut Random,
) {
    match random.below(16) {
        0 | 1 => {
            let count = to_send.len().min(random.size());
            shell.client_wire.extend(to_send.drain(..count));
        }
        2 | 3 => {
            docker.hear(shell, random);
            docker.say(shell, random.size());
        }
        4 => shell.client_room = [0, random.size(), usize::MAX][random.below(3)],
        5 => shell.docker_room = [0, random.size(), usize::MAX][random.below(3)],
        6 => {
            answer_questions(shell);
        }
        7 => shell.settle(),
        _ => {
            let which = random.below(8);
            shell.act(which);
        }
    }
}

#[test]
fn any_split_and_any_order_come_to_the_same() {
    for seed in 1..=ROUNDS {
        if let Err(failure) = std::panic::catch_unwind(|| play(seed)) {
            eprintln!("the conversation of seed {seed} failed");
            std::panic::resume_unwind(failure);
        }
    }
}
