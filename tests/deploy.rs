//! The files of `scripts/deploy`, by the tools that read them.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod support;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use haven_agent::config::{Request, Surroundings, read};
use support::docker::{clis, missing};
use support::process::{clean, run};
use support::skipped;

/// With the schemas of Kubernetes inside; from Python's package index.
const VALIDATOR: &str = "kubernetes-validate==1.37.0";

fn file(name: &str) -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    root.join("scripts/deploy").join(name)
}

/// What the files leave to the operator.
fn operator(mut command: Command) -> Command {
    command
        .env("HAVEN_MASTER", "10.0.0.3:8761")
        .env("HAVEN_HOSTNAME", "node1")
        .env("HAVEN_PORT", "9771")
        .env("DOCKER_GID", "999");
    command
}

/// Whether the tool has this command.
fn has(command: &[&str]) -> bool {
    let mut command_line = clean(command[0]);
    let version = command_line.args(&command[1..]).output();
    version.is_ok_and(|output| output.status.success())
}

#[track_caller]
fn holds(text: &str, wanted: &[&str]) {
    for wanted in wanted {
        assert!(text.contains(wanted), "no {wanted:?} in\n{text}");
    }
}

/// The variables that a file sets for the agent are settings that it knows, with values that it takes.
#[test]
fn the_agent_takes_what_each_file_sets() {
    for name in ["compose.yaml", "stack.yaml", "kubernetes.yaml"] {
        let text = fs::read_to_string(file(name)).unwrap();
        let mut variables = Vec::new();
        let mut lines = text.lines().map(str::trim).peekable();
        while let Some(line) = lines.next() {
            if let Some(variable) = line.strip_prefix("- name: HAVEN_AGENT_") {
                let value = lines.find_map(|line| line.strip_prefix("value: "));
                variables.push((variable.to_owned(), value.unwrap().to_owned()));
            } else if let Some((variable, value)) = line
                .strip_prefix("HAVEN_AGENT_")
                .and_then(|line| line.split_once(": "))
            {
                variables.push((variable.to_owned(), value.to_owned()));
            }
        }
        assert!(variables.len() >= 5, "{name}: {variables:?}");
        let dir = support::TempDir::new("secrets");
        let hash = bcrypt::hash("secret", 4).unwrap();
        fs::write(dir.join("admin"), hash).unwrap();
        fs::write(dir.join("master"), "secr3t\n").unwrap();
        let secrets = dir.path().display().to_string();
        let variables = variables.into_iter().map(|(variable, value)| {
            let value = match variable.as_str() {
                "MASTER" => "10.0.0.3:8761".to_owned(),
                "ROOT_PATH" => value.replace("/rootfs", "/"),
                _ => value
                    .replace("${HAVEN_PORT:-8771}", "8771")
                    .replace("/secrets", &secrets)
                    .replace("$(NODE_ADDRESS)", "10.0.0.9"),
            };
            (format!("HAVEN_AGENT_{variable}").into(), value.into())
        });
        let request = read(&Surroundings {
            arguments: Vec::new(),
            variables: variables.collect(),
            directory: "/".into(),
            etc: "/nowhere".into(),
            pid1: true,
        });
        let config = match request {
            Ok(Request::Run(config)) => config,
            other => panic!("{name}: {other:?}"),
        };
        assert_eq!(config.docker.to_string(), "unix:///rootfs/run/docker.sock");
        assert!(config.secret.is_some() && !config.users.uses_default_password());
    }
}

/// By the name that every loader gives it; `latest` is docker's own alone.
#[test]
fn each_file_names_the_image_of_this_version() {
    let name = concat!("haven-agent:", env!("CARGO_PKG_VERSION"));
    for (deploy, image) in [
        ("compose.yaml", format!("${{HAVEN_IMAGE:-{name}}}")),
        ("stack.yaml", format!("${{HAVEN_IMAGE:-{name}}}")),
        ("kubernetes.yaml", name.to_owned()),
    ] {
        let text = fs::read_to_string(file(deploy)).unwrap();
        holds(&text, &[&format!(" image: {image}\n")]);
    }
    holds(include_str!("../README.md"), &[&format!(" {name}\n")]);
}

/// The container that each engine's own tool makes of it has the least that the agent needs.
#[test]
fn compose_takes_its_file() {
    let tools: [&[&str]; 2] = [&["docker-compose"], &["docker", "compose"]];
    let found: Vec<_> = tools
        .into_iter()
        .filter(|tool| has(&[tool, &["version"][..]].concat()))
        .collect();
    if found.is_empty() {
        missing("no docker-compose (apt-get install docker-compose) and no docker compose");
    }
    for tool in found {
        let words = |command: &mut Command| {
            command
                .args(&tool[1..])
                .arg("-f")
                .arg(file("compose.yaml"))
                .arg("config");
        };
        let mut command = operator(clean(tool[0]));
        words(&mut command);
        let config = run(&mut command, b"").ok();
        holds(
            &config,
            &[
                "read_only: true",
                "cap_drop:",
                "- ALL",
                "no-new-privileges:true",
                "pids_limit: 64",
                "mem_limit:",
                "65534:999",
                "propagation: rslave",
                "target: /secrets/admin",
                "9771",
                "HAVEN_AGENT_ADDRESS: https://localhost:9771",
            ],
        );
        let mut command = clean(tool[0]);
        words(&mut command);
        let refused = run(&mut command, b"");
        assert_ne!(refused.code, Some(0));
        holds(&refused.err(), &["the name of the node"]);
    }
}

#[test]
fn swarm_takes_its_file() {
    let takes = |cli: &&PathBuf| has(&[&cli.display().to_string(), "stack", "config", "--help"]);
    let Some(cli) = clis().into_iter().find(|cli| takes(&cli)) else {
        // Debian has an older one alone.
        return skipped("no docker command with `stack config` (version 25)");
    };
    let mut command = operator(clean(cli));
    command
        .args(["stack", "config", "-c"])
        .arg(file("stack.yaml"));
    let outcome = run(&mut command, b"");
    assert_eq!(outcome.err(), "");
    holds(
        &outcome.ok(),
        &[
            "mode: global",
            "mode: host",
            "published: 9771",
            "HAVEN_AGENT_ADDRESS: https://localhost:9771",
            "read_only: true",
            "- ALL",
            "pids: 64",
            "propagation: rslave",
            "target: /secrets/master",
            "order: stop-first",
        ],
    );
}

/// Against the schema of the newest Kubernetes and of an old one, in which unknown fields are errors.
#[test]
fn kubernetes_takes_its_file() {
    let packages = Path::new(env!("CARGO_TARGET_TMPDIR")).join(VALIDATOR);
    if !packages.exists() {
        let new = packages.with_extension(format!("{}", std::process::id()));
        let mut pip = Command::new("python3");
        pip.args(["-m", "pip", "install", "--quiet", "--target"])
            .arg(&new)
            .arg(VALIDATOR);
        if !pip.output().is_ok_and(|output| output.status.success()) {
            return missing(&format!("no {VALIDATOR}, which pip cannot install"));
        }
        // Another test process may have been first.
        let _ = fs::rename(&new, &packages);
        let _ = fs::remove_dir_all(&new);
    }
    let validate = |text: &str| {
        let script = "import sys, yaml, kubernetes_validate as kubernetes\n\
             for resource in yaml.safe_load_all(sys.stdin):\n    \
                 for version in ('1.37', '1.25'):\n        \
                     kubernetes.validate(resource, version, strict=True)\n";
        let mut python = clean("python3");
        python.args(["-c", script]).env("PYTHONPATH", &packages);
        run(&mut python, text.as_bytes())
    };
    let text = fs::read_to_string(file("kubernetes.yaml")).unwrap();
    validate(&text).ok();
    let misspelt = text.replace("mountPropagation", "mountPropagations");
    assert_ne!(validate(&misspelt).code, Some(0));
    holds(
        &text,
        &[
            "hostPort: 8771",
            "readOnlyRootFilesystem: true",
            "allowPrivilegeEscalation: false",
            "drop: [ALL]",
            "enableServiceLinks: false",
            "automountServiceAccountToken: false",
            "mountPropagation: HostToContainer",
            "memory: 128Mi",
        ],
    );
}
