//! The built agent and a master, from the command line to the end.

use super::receiver::{Receiver, answer};
use super::support::PATIENCE;
use super::support::agent::Setup;
use std::path::Path;

const NO_DOCKER: &str = "/nonexistent/docker.sock";

#[test]
fn the_python_agents_command_line_registers_the_node() {
    let receiver = Receiver::new(|_, stream| answer(stream, "200 OK"));
    let master = receiver.address.to_string();
    let (mut agent, _home) = Setup::new()
        .docker(Path::new(NO_DOCKER))
        .listen("none")
        .args(&["-m", &master, "-s", "s3cret", "-t", "1", "-vv"])
        .spawn();
    for _ in 0..3 {
        let received = receiver.next();
        assert!(
            received.head.contains("?ttl=2 HTTP/1.1\r\n"),
            "{received:?}"
        );
        assert_eq!(received.header("X-Auth-Node"), Some("s3cret"));
        agent.wait_for("line with the JSON", |out| {
            out.contains(&format!(
                " - DEBUG - do registration with {}\n",
                received.body
            ))
        });
    }
    agent.signal("TERM");
    let status = agent.exit_within(PATIENCE);
    assert_eq!(status.and_then(|status| status.code()), Some(0));
    let out = agent.out();
    assert_eq!(out.matches(" - INFO - registered as ").count(), 1, "{out}");
    assert!(!out.contains("s3cret"), "{out}");
}

#[test]
fn the_java_agents_environment_registers_the_proxy() {
    let receiver = Receiver::new(|_, stream| answer(stream, "200 OK"));
    let agent = Setup::new()
        .docker(Path::new(NO_DOCKER))
        .env(
            "dm_agent_notifier_server",
            &format!("http://{}", receiver.address),
        )
        .env("dm_agent_notifier_secret", "secr3t")
        .env("dm_agent_notifier_address", "node.example:8771")
        .start();
    let received = receiver.next();
    assert!(
        received.head.contains("?ttl=120 HTTP/1.1\r\n"),
        "{received:?}"
    );
    assert_eq!(received.header("X-Auth-Node"), Some("secr3t"));
    let address = r#""address":"https://node.example:8771""#;
    assert!(received.body.contains(address), "{}", received.body);
    agent.wait_for_log(" - INFO - registered as ");
    agent.wait_for_log("there is no Docker socket at /nonexistent/docker.sock");
}

#[test]
fn a_port_that_the_kernel_chose_is_the_one_registered() {
    let receiver = Receiver::new(|_, stream| answer(stream, "200 OK"));
    let agent = Setup::new()
        .docker(Path::new(NO_DOCKER))
        .listen("127.0.0.1:0")
        .args(&["-m", &receiver.address.to_string()])
        .start();
    let received = receiver.next();
    let address = format!(r#""address":"https://localhost:{}""#, agent.port);
    assert!(received.body.contains(&address), "{}", received.body);
}

#[test]
fn a_daemon_whose_master_hangs_ends_all_the_same() {
    let receiver = Receiver::new(|_, stream| {
        let _ = std::io::copy(stream, &mut std::io::sink());
    });
    let mut agent = Setup::new()
        .docker(Path::new(NO_DOCKER))
        .args(&["-m", &receiver.address.to_string()])
        .start();
    receiver.next();
    agent.signal("TERM");
    let status = agent.exit_within(PATIENCE);
    assert_eq!(status.and_then(|status| status.code()), Some(0));
}
