//! Attaching by WebSocket, as the manager's terminal does, with a client library of its own.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test fails by it"
)]

mod support;

use support::agent::{Agent, authorization};
use support::client::Client;
use support::docker::{IMAGE, docker};
use tungstenite::Message;
use tungstenite::client::IntoClientRequest;

#[test]
fn a_terminal_by_websocket() {
    let Some(scope) = docker() else { return };
    let agent = Agent::start();
    let name = scope.name("ws");
    let script = "while read line; do echo \"got $line\"; done; echo the end";
    scope
        .cli()
        .run(&[
            "run",
            "-di",
            "--name",
            &name,
            "--network",
            "none",
            IMAGE,
            "sh",
            "-c",
            script,
        ])
        .ok();
    let target =
        format!("/containers/{name}/attach/ws?stream=true&stdin=true&stdout=true&stderr=true");
    let url = format!("wss://{}{target}", agent.address());

    // Without credentials there is no upgrade.
    let refused = tungstenite::client(url.as_str(), Client::connect(&agent).tls)
        .err()
        .map(|error| error.to_string());
    assert!(
        refused.as_ref().is_some_and(|error| error.contains("401")),
        "{refused:?}"
    );

    let mut request = url.into_client_request().unwrap();
    request
        .headers_mut()
        .insert("Authorization", authorization().parse().unwrap());
    let (mut socket, answer) = tungstenite::client(request, Client::connect(&agent).tls).unwrap();
    assert_eq!(answer.status(), 101);
    for word in ["one", "two", "three"] {
        socket.send(Message::binary(format!("{word}\n"))).unwrap();
        let mut seen = String::new();
        while !seen.contains(&format!("got {word}")) {
            seen += &String::from_utf8_lossy(&socket.read().unwrap().into_data());
        }
    }
    // The container ends, and so does the stream.
    scope.cli().run(&["kill", &name]).ok();
    while let Ok(message) = socket.read() {
        assert!(!message.is_text() || message.len() < 1 << 16);
    }
}
