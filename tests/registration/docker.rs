//! What Docker and the operator's system make of a report: run with the built binary.

use super::support::agent::binary;
use super::support::docker::{Cli, IMAGE, clis, docker, socket};
use super::support::process::{Outcome, clean, run};
use super::support::{TempDir, skipped};
use miniserde::json::{self, Object, Value};
use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::Command;

/// `haven-agent report`, started by `starter` with the arguments `before` it.
fn report(starter: &[&str], endpoint: &Path) -> Outcome {
    let home = TempDir::new("home");
    let program = binary();
    let mut words = starter.iter().copied().chain([program.to_str().unwrap()]);
    let mut command = clean(words.next().unwrap());
    command
        .args(words)
        .args(["report", "--listen", "none", "--address", "10.0.0.5:2375"])
        .args(["--docker", &format!("unix://{}", endpoint.display())])
        .current_dir(home.path())
        .env("HOME", home.path())
        .env_remove("XDG_CONFIG_HOME");
    run(&mut command, b"")
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
    let Some(scope) = docker() else { return };
    let cli = Cli::direct(&clis()[0]);
    let ask = |args: &[&str]| cli.run(args).ok().trim().to_owned();
    let name = scope.name("reported");
    let labels = ["--label", "k=v=w", "--label", "bare"];
    let create = [&["create", "--name", &name], &labels[..], &[IMAGE, "true"]].concat();
    let id = ask(&create);

    let printed = report(&[], &socket()).ok();
    assert_eq!(printed.matches('\n').count(), 1, "one line: {printed}");
    let whole: Value = json::from_str(&printed).unwrap();
    let whole = object(Some(&whole));
    let host = ask(&["info", "--format", "{{.Name}}"]);
    assert_eq!((text(whole, "id"), text(whole, "name")), (&*host, &*host));
    let labels = ask(&["info", "--format", "{{len .Labels}}"]);
    assert_eq!(object(whole.get("labels")).len().to_string(), labels);

    let Some(Value::Array(containers)) = whole.get("containers") else {
        panic!("no containers: {printed}");
    };
    let ours = containers
        .iter()
        .map(|container| object(Some(container)))
        .find(|container| text(container, "id") == id)
        .unwrap();
    assert_eq!((text(ours, "name"), text(ours, "image")), (&*name, IMAGE));
    let labels = object(ours.get("labels"));
    assert_eq!((text(labels, "k"), text(labels, "bare")), ("v=w", ""));
}

/// A program of the distribution's that needs root.
fn as_root(program: &str) -> bool {
    let id = run(Command::new("id").arg("-u"), b"").out();
    let found = Command::new(program).arg("--version").output().is_ok();
    if id.trim() != "0" || !found {
        skipped(&format!("{program} is missing, or this is not root"));
        return false;
    }
    true
}

#[test]
fn a_mounted_socket_that_was_replaced_is_named_with_the_remedy() {
    if !as_root("unshare") {
        return;
    }
    let dir = TempDir::new("stale");
    let (real, mounted) = (dir.join("docker.sock"), dir.join("mounted.sock"));
    drop(UnixListener::bind(&real).unwrap());
    fs::write(&mounted, "").unwrap();
    // In a mount namespace of its own, as in a container.
    let script = "mount --bind \"$1\" \"$2\" && rm \"$1\" && shift 2 && exec \"$@\"";
    let starter = ["unshare", "-m", "sh", "-c", script, "sh"];
    let paths = [real.to_str().unwrap(), mounted.to_str().unwrap()];
    let told = report(&[&starter[..], &paths[..]].concat(), &mounted).err();
    assert!(told.contains("was replaced on the host"), "{told}");
    assert!(told.contains("-v /run:/run"), "{told}");
}

#[test]
fn a_socket_of_another_group_is_named_with_the_remedy() {
    if !as_root("setpriv") {
        return;
    }
    let dir = TempDir::new("denied");
    let path = dir.join("docker.sock");
    let _listener = UnixListener::bind(&path).unwrap();
    chown(&path, Some(0), Some(4242)).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o660)).unwrap();
    let starter = [
        "setpriv",
        "--reuid",
        "65534",
        "--regid",
        "65534",
        "--clear-groups",
    ];
    let told = report(&starter, &path).err();
    assert!(told.contains("--group-add 4242"), "{told}");
    assert!(told.contains("usermod -aG"), "{told}");
}
