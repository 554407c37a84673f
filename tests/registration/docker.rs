//! What is reported, compared with what the docker command says.

use super::settings;
use crate::receiver::Lines;
use haven_agent::docker::Endpoint;
use haven_agent::report::collect_once;
use haven_agent::zone::Zone;
use miniserde::json::{self, Object, Value};
use std::io::Write;
use std::process::{Command, Stdio};

/// What `docker ARGUMENTS` prints; `None` where that fails.
fn docker(arguments: &[&str]) -> Option<String> {
    let output = Command::new("docker").args(arguments).output().ok()?;
    output
        .status
        .success()
        .then(|| String::from_utf8(output.stdout).unwrap().trim().to_owned())
}

/// An image of nothing: two empty blocks are a tar archive.
fn import_nothing(name: &str) {
    let mut import = Command::new("docker")
        .args(["import", "-", name])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    import.stdin.take().unwrap().write_all(&[0; 1024]).unwrap();
    assert!(import.wait().unwrap().success());
}

/// Removes what a test made.
struct Made(String);

impl Drop for Made {
    fn drop(&mut self) {
        let _ = docker(&["rm", "-f", &self.0]);
        let _ = docker(&["rmi", "-f", &self.0]);
    }
}

fn object(value: Option<&Value>) -> &Object {
    match value {
        Some(Value::Object(object)) => object,
        other => panic!("no object: {other:?}"),
    }
}

fn text<'a>(object: &'a Object, key: &str) -> &'a str {
    match object.get(key) {
        Some(Value::String(text)) => text,
        other => panic!("{key} is no text: {other:?}"),
    }
}

#[test]
fn name_labels_and_containers_are_what_docker_says() {
    Lines::keep();
    let Some(name) = docker(&["info", "--format", "{{.Name}}"]) else {
        eprintln!("SKIPPED: the docker command reaches no Docker here");
        return;
    };
    let made = Made(format!("haven-registration-{}", std::process::id()));
    import_nothing(&made.0);
    let id = docker(&[
        "create", "--name", &made.0, "--label", "k=v=w", "--label", "bare", &made.0, "/none",
    ])
    .unwrap();

    let mut settings = settings(&[]);
    settings.docker = Endpoint::default_endpoint();
    let report: Value = json::from_str(&collect_once(&settings, &Zone::utc())).unwrap();
    let report = object(Some(&report));
    assert_eq!(text(report, "name"), name);
    assert_eq!(text(report, "id"), name);
    let labels = docker(&["info", "--format", "{{len .Labels}}"]).unwrap();
    assert_eq!(object(report.get("labels")).len().to_string(), labels);

    let Some(Value::Array(containers)) = report.get("containers") else {
        panic!("no containers");
    };
    let ours = containers
        .iter()
        .map(|container| object(Some(container)))
        .find(|container| text(container, "id") == id)
        .unwrap();
    assert_eq!(text(ours, "name"), made.0);
    assert_eq!(text(ours, "image"), made.0);
    let labels = object(ours.get("labels"));
    assert_eq!((text(labels, "k"), text(labels, "bare")), ("v=w", ""));
}
