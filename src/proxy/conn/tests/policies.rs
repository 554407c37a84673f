//! Policies: what a user may not do never reaches Docker, and what does is in the form that was judged.

use super::case::*;

fn reader(start: &str, more: &str) -> String {
    format!("{start} HTTP/1.1\r\nHost: n\r\nAuthorization: reader\r\n{more}\r\n")
}

fn slow(start: &str, more: &str) -> String {
    format!("{start} HTTP/1.1\r\nHost: n\r\nAuthorization: slow\r\n{more}\r\n")
}

const CREATE: &str = "read-only: deny * /** (built in, line 82)";
const EXPORT: &str = "read-only: deny GET,HEAD /containers/**/export (built in, line 53)";

fn forbidden(request: &str, by: &str, reason: &str, close: bool) -> String {
    let message = format!("haven-agent: bob may not {request}: {by}; {reason}");
    local("403 Forbidden", &message, close)
}

fn no_create(close: bool) -> String {
    let reason = "changes state, or is not known";
    forbidden("POST /v1.41/containers/create?...", CREATE, reason, close)
}

#[test]
fn a_reader_reads_and_nothing_else() {
    case()
        .client(reader("GET /v1.41/info", ""))
        .docker(HI)
        .client(reader("GET /containers/x/export", ""))
        .client(reader("HEAD /containers/x/export", ""))
        .client(reader("GET /_ping", ""))
        .docker(HI)
        .client(reader(
            "POST /v1.41/containers/create?name=x",
            "Content-Length: 2\r\n",
        ))
        .client("{}")
        .sees(forwarded("GET /v1.41/info", "") + &forwarded("GET /_ping", ""))
        .answers(HI)
        .answers(forbidden(
            "GET /containers/x/export",
            EXPORT,
            "all files",
            false,
        ))
        .answers(
            forbidden("HEAD /containers/x/export", EXPORT, "all files", false)
                .split_inclusive("\r\n\r\n")
                .next()
                .unwrap(),
        )
        .answers(HI)
        .answers(no_create(true))
        .ends(End::Finished)
        .logs(&[
            "bob GET /v1.41/info 200 0/2",
            &format!("bob GET /containers/x/export 403 0/0 denied by {EXPORT}"),
            &format!("bob HEAD /containers/x/export 403 0/0 denied by {EXPORT}"),
            "bob GET /_ping 200 0/2",
            &format!("bob POST /v1.41/containers/create?... 403 0/0 denied by {CREATE}"),
        ])
        .check();
}

#[test]
fn a_verdict_that_took_time_is_followed_by_the_policy() {
    let create = slow(
        "POST /v1.41/containers/create?name=x",
        "Content-Length: 2\r\n",
    );
    case()
        .client(&create)
        .client("{}")
        .verdict(Say::Reader)
        .answers(no_create(true))
        .ends(End::Finished)
        .check();
    case()
        .client(slow("GET /%69nfo", ""))
        .verdict(Say::Reader)
        .docker(HI)
        .sees(forwarded("GET /info", ""))
        .answers(HI)
        .check();
    let upgrade = "Connection: Upgrade\r\nUpgrade: h2c\r\n";
    case()
        .client(slow("GET /info", upgrade))
        .verdict(Say::Reader)
        .answers(forbidden(
            "GET /info",
            "read-only: upgrades but those of attach and exec start are for full alone",
            "behind them nothing is judged",
            false,
        ))
        .check();
}

#[test]
fn a_denied_read_is_logged_where_reads_are_not() {
    case()
        .client(reader("GET /info", ""))
        .docker(HI)
        .client(reader("GET /containers/x/export", ""))
        .without_reads()
        .sees(forwarded("GET /info", ""))
        .answers(HI)
        .answers(forbidden(
            "GET /containers/x/export",
            EXPORT,
            "all files",
            false,
        ))
        .logs(&[&format!(
            "bob GET /containers/x/export 403 0/0 denied by {EXPORT}"
        )])
        .check();
}

#[test]
fn what_goes_on_is_canonical_for_everybody() {
    for (target, seen) in [
        ("/%69nfo?a=%41", "/info?a=%41"),
        ("/images/a%2fb/json", "/images/a/b/json"),
        ("http://node/v1.41/%63ommit", "/v1.41/commit"),
    ] {
        let host = if target.starts_with("http:") {
            "node"
        } else {
            "n"
        };
        let seen =
            forwarded(&format!("POST {seen}"), "").replace("Host: n\r", &format!("Host: {host}\r"));
        case()
            .client(request(&format!("POST {target}"), ""))
            .docker(HI)
            .sees(seen)
            .answers(HI)
            .check();
    }
}

#[test]
fn a_target_with_two_meanings_is_refused_to_everybody() {
    for (target, why) in [
        (
            "//info",
            "an empty segment in the path (// or a / at its end)",
        ),
        ("/images/../secrets", "a segment . or .. in the path"),
        ("/images/%2e%2e/secrets", "a segment . or .. in the path"),
        ("/info%00", "a control character in the path"),
        ("/info;a", "a ; in the path"),
        ("http://n/v1.41/v1.41/info", "a second version in the path"),
        ("/info?a;b", "a ; in the query"),
    ] {
        case()
            .client(request(&format!("GET {target}"), ""))
            .answers(bad_request(why))
            .ends(End::Finished)
            .check();
    }
    case()
        .client(request("GET //a", ""))
        .without_reads()
        .answers(bad_request(
            "an empty segment in the path (// or a / at its end)",
        ))
        .ends(End::Finished)
        .logs(&["- GET //a 400 0/0 denied by its form"])
        .check();
}
