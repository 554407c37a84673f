//! Against a socket that answers as told, and against the real Docker where there is one.

use super::*;
use std::fs;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::os::unix::net::UnixListener;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;

/// A directory of its own for each test, removed at its end.
struct TempDir(PathBuf);

impl TempDir {
    fn new() -> TempDir {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("haven-docker-{}-{number}", std::process::id());
        let path = std::env::temp_dir().join(name);
        fs::create_dir_all(&path).unwrap();
        TempDir(path)
    }

    fn socket(&self) -> (UnixListener, Endpoint) {
        let path = self.0.join("docker.sock");
        (UnixListener::bind(&path).unwrap(), Endpoint::Unix(path))
    }
}

impl Drop for TempDir {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Reads a head and answers `status` with `body`; gives back the head.
fn serve(mut stream: impl Read + Write, status: &str, body: &str) -> String {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") && stream.read(&mut byte).unwrap() == 1 {
        head.push(byte[0]);
    }
    let length = body.len();
    write!(
        stream,
        "HTTP/1.1 {status}\r\nContent-Length: {length}\r\n\r\n{body}"
    )
    .unwrap();
    String::from_utf8(head).unwrap()
}

/// What `ask` makes of an answer.
fn with_answer<T>(
    status: &'static str,
    body: &'static str,
    ask: impl FnOnce(&Endpoint) -> T,
) -> (T, String) {
    let dir = TempDir::new();
    let (listener, endpoint) = dir.socket();
    let server = thread::spawn(move || serve(listener.accept().unwrap().0, status, body));
    let result = ask(&endpoint);
    (result, server.join().unwrap())
}

#[test]
fn info_is_read() {
    let body = r#"{"ID":"x","Name":"node-1","Labels":["a=b=c","bare"],"ServerVersion":"27.1",
        "Containers":3,"Plugins":{"Log":[]},"Swarm":null,"MemTotal":1.5e10}"#;
    let (info, head) = with_answer("200 OK", body, info);
    assert_eq!(
        info.unwrap(),
        Info {
            name: "node-1".to_owned(),
            labels: vec!["a=b=c".to_owned(), "bare".to_owned()],
            server_version: "27.1".to_owned(),
        }
    );
    assert!(
        head.starts_with("GET /info HTTP/1.1\r\nHost: docker\r\n"),
        "{head}"
    );
}

#[test]
fn null_and_missing_fields_of_info_are_empty() {
    for body in [r#"{"Name":"n","Labels":null}"#, r#"{"Name":"n"}"#] {
        let (info, _) = with_answer("200 OK", body, info);
        let info = info.unwrap();
        assert_eq!((info.name.as_str(), info.labels.len()), ("n", 0));
    }
}

#[test]
fn containers_are_read_whatever_they_lack() {
    let body = r#"[
        {"Id":"0123456789abcdef","Names":["/web"],"Image":"nginx","Labels":{"k":"v","n":null}},
        {"Id":"1","Names":["/node/db","/x"],"Image":"pg","Labels":null},
        {"Id":"0123456789abcdef","Names":null,"Image":null},
        {"Id":"2","Names":[]},
        {"Id":"3","Names":[""]}]"#;
    let (list, head) = with_answer("200 OK", body, containers);
    let list = list.unwrap();
    let names: Vec<_> = list.iter().map(|c| c.name.as_str()).collect();
    assert_eq!(names, ["web", "db", "0123456789ab", "2", "3"]);
    let labels = [("k", "v"), ("n", "")].map(|(k, v)| (k.to_owned(), v.to_owned()));
    assert_eq!(list[0].labels, Map::from(labels));
    assert_eq!(
        (list[0].image.as_str(), list[2].image.as_str()),
        ("nginx", "")
    );
    assert!(
        head.starts_with("GET /containers/json?all=1 HTTP/1.1\r\n"),
        "{head}"
    );
    let (none, _) = with_answer("200 OK", "null", containers);
    assert_eq!(none.unwrap(), []);
}

#[test]
fn an_answer_that_is_not_dockers_is_an_error() {
    for (status, body, expected) in [
        ("200 OK", "<html>", "is not Docker's"),
        ("200 OK", r#"{"Name":"#, "is not Docker's"),
        ("200 OK", r#"{"Name":7}"#, "is not Docker's"),
        (
            "500 No",
            r#"{"message":"storage is gone"}"#,
            "500 to /info: storage is gone",
        ),
        ("404 No", "page not found", "answered 404 to /info"),
    ] {
        let (info, _) = with_answer(status, body, info);
        let error = info.unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    }
}

#[test]
fn a_tcp_endpoint_is_asked_with_its_own_host() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let server =
        thread::spawn(move || serve(listener.accept().unwrap().0, "200 OK", r#"{"Name":"tcp"}"#));
    let endpoint = format!("127.0.0.1:{port}").parse().unwrap();
    assert_eq!(info(&endpoint).unwrap().name, "tcp");
    let head = server.join().unwrap();
    assert!(
        head.contains(&format!("Host: 127.0.0.1:{port}\r\n")),
        "{head}"
    );
    let refused = info(&endpoint).unwrap_err();
    assert!(matches!(refused, DockerError::Refused(_)), "{refused:?}");
}

#[test]
fn a_missing_and_a_dead_socket_are_told_apart() {
    let dir = TempDir::new();
    let missing = info(&Endpoint::Unix(dir.0.join("none"))).unwrap_err();
    assert!(matches!(missing, DockerError::NotFound(_)), "{missing:?}");
    let (listener, endpoint) = dir.socket();
    drop(listener);
    let dead = info(&endpoint).unwrap_err();
    assert!(matches!(dead, DockerError::Refused(_)), "{dead:?}");
}

#[test]
fn the_real_docker_answers() {
    let endpoint = Endpoint::default_endpoint();
    if let Err(DockerError::NotFound(path)) = connect(&endpoint, Instant::now() + ANSWER_TIMEOUT) {
        let _ = writeln!(
            std::io::stderr(),
            "SKIPPED: there is no Docker at {}",
            path.display()
        );
        return;
    }
    let info = info(&endpoint).unwrap();
    assert!(!info.name.is_empty() && !info.server_version.is_empty());
    containers(&endpoint).unwrap();
}
