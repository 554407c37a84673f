//! Bodies that are judged: nothing of such a request reaches Docker before its body has passed, and then
//! the bytes that were judged do.

use super::case::*;
use super::shell::{BODY, JUDGED_BODY, Pace, Shell};
use crate::policy::{Question, Target};

const CREATE: &str = "POST /v1.41/containers/create?name=x";
const SHOWN: &str = "POST /v1.41/containers/create?...";
const JSON: &str = "Content-Type: application/json\r\n";
const GOOD: &str = "{\"Image\":\"x\",\"HostConfig\":{\"PidMode\":\"host\"}}\n";
const BAD: &str = "{\"Image\":\"x\",\"HostConfig\":{\"IpcMode\":\"host\"}}\n";
const CONTINUE: &str = "HTTP/1.1 100 Continue\r\n\r\n";

fn maker(start: &str, more: &str) -> String {
    format!("{start} HTTP/1.1\r\nHost: n\r\nAuthorization: maker\r\n{more}\r\n")
}

fn length(body: &str) -> String {
    format!("{JSON}Content-Length: {}\r\n", body.len())
}

fn chunked() -> String {
    format!("{JSON}Transfer-Encoding: chunked\r\n")
}

fn denied(shown: &str, why: &str, close: bool) -> String {
    let message = format!("haven-agent: cid may not {shown}: make: {why}");
    local("403 Forbidden", &message, close)
}

fn needs_ipc(close: bool) -> String {
    let why = "HostConfig.IpcMode needs \\\"permit host-ipc\\\"";
    denied(SHOWN, why, close)
}

#[test]
fn what_passes_goes_on_as_it_was_judged() {
    case()
        .client(maker(CREATE, &length(GOOD)))
        .client(GOOD)
        .docker(HI)
        .client(maker("POST /containers/create", &length(GOOD)) + GOOD)
        .docker(HI)
        .trailing()
        .sees(
            forwarded(CREATE, &length(GOOD))
                + GOOD
                + &forwarded("POST /containers/create", &length(GOOD))
                + GOOD,
        )
        .answers([HI, HI].concat())
        .check();
    // In chunks it goes on in one.
    case()
        .client(maker(CREATE, &chunked()))
        .client(format!("5;x=y\r\n{}\r\n", &GOOD[..5]))
        .client(format!(
            "{:X}\r\n{}\r\n0\r\nTrailer: 1\r\n\r\n",
            GOOD.len() - 5,
            &GOOD[5..]
        ))
        .docker(HI)
        .trailing()
        .sees(forwarded(CREATE, &chunked()) + &format!("{:x}\r\n{GOOD}\r\n0\r\n\r\n", GOOD.len()))
        .answers(HI)
        .logs(&[&format!("cid {SHOWN} 200 {}/2", GOOD.len())])
        .check();
}

#[test]
fn what_does_not_pass_is_read_and_the_connection_goes_on() {
    for (framing, body) in [
        (length(BAD), BAD.to_owned()),
        (chunked(), format!("{:x}\r\n{BAD}\r\n0\r\n\r\n", BAD.len())),
    ] {
        case()
            .client(maker(CREATE, &framing))
            .client(body)
            .client(request("GET /info", ""))
            .docker(HI)
            .sees(forwarded("GET /info", ""))
            .answers(needs_ipc(false))
            .answers(HI)
            .logs(&[
                &format!(
                    "cid {SHOWN} 403 {}/0 denied by make: HostConfig.IpcMode needs \"permit host-ipc\"",
                    BAD.len()
                ),
                "ann GET /info 200 0/2",
            ])
            .check();
    }
}

#[test]
fn a_verdict_that_took_time_holds_the_body_as_well() {
    let slow = |body: &str| {
        maker(CREATE, &length(body)).replace("Authorization: maker", "Authorization: slow")
    };
    case()
        .client(slow(GOOD))
        .client(GOOD)
        .verdict(Say::Maker)
        .docker(HI)
        .sees(forwarded(CREATE, &length(GOOD)) + GOOD)
        .answers(HI)
        .check();
    case()
        .client(slow(BAD))
        .verdict(Say::Maker)
        .client(BAD)
        .answers(needs_ipc(false))
        .check();
}

#[test]
fn who_waits_for_a_100_gets_ours() {
    let expect = format!("{}Expect: 100-continue\r\n", length(GOOD));
    let seen = format!(
        "{JSON}Expect: 100-continue\r\nContent-Length: {}\r\n",
        GOOD.len()
    );
    case()
        .client(maker(CREATE, &expect))
        .client(GOOD)
        .docker(CONTINUE)
        .docker(HI)
        .sees(forwarded(CREATE, &seen) + GOOD)
        .answers([CONTINUE, HI].concat())
        .check();
    case()
        .client(maker(
            CREATE,
            &format!("{}Expect: 100-continue\r\n", length(BAD)),
        ))
        .client(BAD)
        .answers(CONTINUE)
        .answers(needs_ipc(false))
        .check();
    // Not for a body that nobody will read.
    let long = format!("{JSON}Content-Length: 601\r\nExpect: 100-continue\r\n");
    case()
        .client(maker(CREATE, &long))
        .answers(too_large())
        .ends(End::Finished)
        .check();
}

fn too_large() -> String {
    let message = format!(
        "haven-agent: cid may not {SHOWN}: make: a body that is judged has at most {JUDGED_BODY} bytes \
         (max_judged_body)"
    );
    local("413 Content Too Large", &message, true)
}

#[test]
fn all_connections_together_hold_no_more_than_so_much() {
    let pace = Pace {
        read: usize::MAX,
        write: usize::MAX,
    };
    let [mut one, mut next] = [(); 2].map(|()| Shell::new(pace, true));
    next.policies.succeed(&one.policies);
    let target = Target::parse("/containers/create").unwrap();
    let question = Question {
        has_body: true,
        has_json: true,
        ..Question::plain("POST", &target)
    };
    let trial = one.policies.judge("cid", &question).trial.unwrap();
    let all = trial.share(usize::MAX);
    for shell in [&mut one, &mut next] {
        let ask = maker(CREATE, &length(GOOD)) + GOOD;
        shell.client_wire.extend(ask.as_bytes());
    }
    one.settle();
    let busy = "haven-agent: too many bodies are being judged; try again in a moment";
    let refusal = local("503 Service Unavailable", busy, true);
    assert_eq!(String::from_utf8_lossy(&one.client_got), refusal);
    assert!(one.links.is_empty());
    drop(all);
    next.settle();
    assert_eq!(next.links.len(), 1);
    // Until Docker has answered, what was judged is held.
    assert!(trial.share(usize::MAX).is_none());
    next.link().unwrap().wire.extend(HI.as_bytes());
    next.settle();
    assert!(trial.share(usize::MAX).is_some());
}

#[test]
fn a_body_is_bounded() {
    let fits = format!("{{\"Image\":\"{}\"}}", "x".repeat(JUDGED_BODY - 12));
    assert_eq!(fits.len(), JUDGED_BODY);
    for (framing, body) in [
        (length(&fits), fits.clone()),
        (chunked(), format!("258\r\n{fits}\r\n0\r\n\r\n")),
    ] {
        case()
            .client(maker(CREATE, &framing) + &body)
            .docker(HI)
            .sees(forwarded(CREATE, &framing) + &body)
            .answers(HI)
            .check();
    }
    case()
        .client(maker(CREATE, &format!("{JSON}Content-Length: 601\r\n")))
        .client("{}")
        .answers(too_large())
        .ends(End::Finished)
        .check();
    case()
        .client(maker(CREATE, &chunked()))
        .client(format!("259\r\n{fits} \r\n0\r\n\r\n"))
        .answers(too_large())
        .ends(End::Finished)
        .check();
}

#[test]
fn what_is_no_whole_json_body_is_refused() {
    let what = "a body that is judged has to be application/json, without Content-Encoding";
    for fields in [
        "Content-Length: 2\r\n".to_owned(),
        "Content-Type: text/plain\r\nContent-Length: 2\r\n".to_owned(),
        "Content-Type: application/jsonx\r\nContent-Length: 2\r\n".to_owned(),
        format!("{JSON}Content-Encoding: gzip\r\nContent-Length: 2\r\n"),
        format!("{JSON}content-encoding: identity\r\nContent-Length: 2\r\n"),
    ] {
        case()
            .client(maker(CREATE, &fields))
            .client("{}")
            .answers(denied(SHOWN, what, true))
            .ends(End::Finished)
            .check();
    }
    for fields in ["", JSON] {
        case()
            .client(maker(CREATE, fields))
            .answers(denied(SHOWN, "byte 0 of the body: it is empty", false))
            .check();
    }
    case()
        .client(maker(CREATE, &chunked()))
        .client("0\r\n\r\n")
        .answers(denied(SHOWN, "byte 0 of the body: it is empty", false))
        .check();
    case()
        .client(maker(CREATE, &chunked()))
        .client("x\r\n")
        .answers(bad_request("bad chunk size"))
        .ends(End::Finished)
        .check();
    case()
        .client(maker(CREATE, &length(GOOD)))
        .client(&GOOD[..7])
        .client_notifies()
        .answers(bad_request("the body is shorter than announced"))
        .ends(End::Finished)
        .check();
    case()
        .client(maker(CREATE, &length(GOOD)))
        .client(&GOOD[..7])
        .client_ends()
        .ends(End::Gone)
        .check();
    case()
        .client(maker(CREATE, &length(GOOD)))
        .client(&GOOD[..7])
        .wait(BODY / 2)
        // Progress earns no more time: it would be held for ever.
        .client(&GOOD[7..8])
        .wait(BODY / 2)
        .answers(local(
            "408 Request Timeout",
            "haven-agent: the request's body stalled",
            true,
        ))
        .ends(End::Finished)
        .check();
}

#[test]
fn a_stale_connection_gets_all_of_it_once_more() {
    let info = || maker(CREATE, &length(GOOD)) + GOOD;
    let seen = || forwarded(CREATE, &length(GOOD)) + GOOD;
    case()
        .client(info())
        .docker(HI)
        .docker_deaf()
        .client(info())
        .docker_ends()
        .docker(HI)
        .sees(seen())
        .sees(seen())
        .answers([HI, HI].concat())
        .check();
    // What was taken may have been done.
    case()
        .client(info())
        .docker(HI)
        .client(info())
        .docker_ends()
        .sees([seen(), seen()].concat())
        .answers(HI)
        .answers(bad_gateway(MAYBE_DONE, false))
        .check();
}

const EXEC: &str = "POST /v1.41/containers/a/exec";
const COMMAND: &str = "{\"Cmd\":[\"id\"]}";
const START: &str = "POST /v1.41/exec/a1/start";
const DETACHED: &str = "{\"Detach\":true}";
const UPGRADE: &str = "Connection: Upgrade\r\nUpgrade: tcp\r\n";
const SWITCH: &str = "HTTP/1.1 101 UPGRADED\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n";
const MADE: &str = "HTTP/1.1 201 Created\r\nContent-Length: 12\r\n\r\n{\"Id\":\"a1\"}\n";

fn no_exec(close: bool) -> String {
    let why = "only execs may be started that the same user made under this policy";
    denied(START, why, close)
}

#[test]
fn an_exec_that_was_made_here_is_started() {
    let start = format!("{}{UPGRADE}", length(DETACHED));
    for made in [
        MADE,
        "HTTP/1.1 201 Created\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n{\"Id\"\r\n6\r\n:\"a1\"}\r\n0\r\n\r\n",
    ] {
        case()
            .client(maker(EXEC, &length(COMMAND)) + COMMAND)
            .docker(made)
            .client(maker(START, &start) + DETACHED)
            .docker(SWITCH)
            .client("in")
            .docker("out")
            .docker_ends()
            .sees(
                forwarded(EXEC, &length(COMMAND))
                    + COMMAND
                    + &forwarded(START, &start)
                    + DETACHED
                    + "in",
            )
            .answers(made)
            .answers(SWITCH)
            .answers("out")
            .ends(End::Finished)
            .check();
    }
}

#[test]
fn no_other_exec_is_started() {
    let start = || maker(START, &length(DETACHED)) + DETACHED;
    case()
        .client(start())
        .answers(no_exec(true))
        .ends(End::Finished)
        .check();
    // Docker made none, or said nothing that can be understood.
    for answer in [
        "HTTP/1.1 409 Conflict\r\nContent-Length: 11\r\n\r\n{\"Id\":\"a1\"}",
        "HTTP/1.1 201 Created\r\nContent-Length: 11\r\n\r\n{\"id\":\"a1\"}",
        "HTTP/1.1 201 Created\r\nContent-Length: 11\r\n\r\n{\"Id\":\"a1\"!",
        "HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n",
    ] {
        case()
            .client(maker(EXEC, &length(COMMAND)) + COMMAND)
            .docker(answer)
            .client(start())
            .sees(forwarded(EXEC, &length(COMMAND)) + COMMAND)
            .answers(answer)
            .answers(no_exec(true))
            .ends(End::Finished)
            .check();
    }
    // Nor with a body that says more than it may.
    let more = "{\"Detach\":true,\"Privileged\":true}";
    case()
        .client(maker(EXEC, &length(COMMAND)) + COMMAND)
        .docker(MADE)
        .client(maker(START, &length(more)) + more)
        .sees(forwarded(EXEC, &length(COMMAND)) + COMMAND)
        .answers(MADE)
        .answers(denied(START, "Privileged is not known here", false))
        .check();
}
