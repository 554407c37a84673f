//! Policies through the built agent: what the docker command sees, what reaches the engine, what `policy`
//! says beforehand, and what the log keeps.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test fails by it"
)]

mod support;

use std::fs;
use std::process::Command;

use support::agent::{Agent, Setup, basic, binary};
use support::client::Client;
use support::docker::{Cli, IMAGE, clis, docker, engine_lock};
use support::process::{Outcome, clean, run};
use support::upstream::Upstream;
use support::{TempDir, within};

const PASSWORD: &str = "staple";

const RULES: &str = "\
[deploy]
allow GET,HEAD /_ping
allow GET,HEAD /containers/*/json   # to see what it does
deny * /containers/vault/**         # not this one
allow POST /containers/*/restart
allow POST /containers/*/start
";

/// Three users beside admin, in files of a directory.
struct House {
    dir: TempDir,
}

impl House {
    fn new() -> House {
        let dir = TempDir::new("policy");
        let hash = bcrypt::hash(PASSWORD, 4).unwrap();
        let users: Vec<String> = ["reader", "watcher", "deployer"]
            .iter()
            .map(|name| format!("{name}:{hash}\n"))
            .collect();
        fs::write(dir.join("users"), users.concat()).unwrap();
        fs::write(dir.join("rules.ini"), RULES).unwrap();
        House { dir }
    }

    fn settings(&self) -> Vec<String> {
        let path = |name| self.dir.join(name).display().to_string();
        let mut settings = vec!["--users".to_string(), path("users")];
        settings.extend(["--policies".to_string(), path("rules.ini")]);
        settings.extend(["--policy", "watcher:monitor,deployer:deploy"].map(String::from));
        settings
    }

    fn setup(&self) -> Setup {
        let settings = self.settings();
        let settings: Vec<&str> = settings.iter().map(String::as_str).collect();
        Setup::new().args(&settings)
    }

    /// `haven-agent policy` with the same settings.
    fn policy(&self, words: &[&str]) -> Outcome {
        let mut command: Command = clean(binary());
        command.args(["-f", "/dev/null", "policy"]);
        run(command.args(words).args(self.settings()), b"")
    }
}

/// The docker command as this user.
fn docker_as(user: &str, agent: &Agent) -> Cli {
    Cli::through_as(&clis()[0], agent, &basic(user, PASSWORD))
}

#[test]
fn a_reader_looks_and_does_nothing_else() {
    let Some(scope) = docker() else { return };
    let _whole = engine_lock(false);
    let house = House::new();
    let agent = house.setup().start();
    let reader = docker_as("reader", &agent);
    let up = scope.name("up");
    let script = "echo hello; sleep 600";
    let make = [
        "run",
        "-d",
        "--name",
        &up,
        "--network",
        "none",
        IMAGE,
        "sh",
        "-c",
        script,
    ];
    scope.cli().run(&make).ok();
    let filter = format!("name={up}");
    assert!(within(support::PATIENCE, || {
        scope.cli().run(&["logs", &up]).out() == "hello\n"
    }));

    for (args, says) in [
        (
            &["ps", "--filter", &filter, "--format", "{{.Names}}"][..],
            &*up,
        ),
        (&["inspect", "--format", "{{.Name}}", &up], &*up),
        (&["logs", &up], "hello"),
        (&["top", &up], "sleep 600"),
        (
            &["image", "inspect", "--format", "{{.RepoTags}}", IMAGE],
            IMAGE,
        ),
        (&["version", "--format", "{{.Server.Version}}"], "."),
        (&["info", "--format", "{{.ServerVersion}}"], "."),
        (&["network", "ls", "-q"], ""),
        (&["diff", &up], ""),
    ] {
        let seen = reader.run(args);
        assert_eq!(seen.code, Some(0), "docker {args:?}: {seen:?}");
        assert!(seen.out().contains(says), "docker {args:?}: {seen:?}");
    }

    let other = scope.name("other");
    let file = format!("{up}:/bin/busybox");
    for (args, rule) in [
        (
            &["run", "--name", &other, IMAGE, "true"][..],
            "read-only: deny * /**",
        ),
        (&["exec", &up, "id"], "read-only: deny * /**"),
        (
            &["cp", &file, "-"],
            "read-only: deny GET,HEAD /containers/**/archive",
        ),
        (&["save", IMAGE], "read-only: deny GET,HEAD /images/get"),
        (
            &["export", &up],
            "read-only: deny GET,HEAD /containers/**/export",
        ),
        (&["kill", &up], "read-only: deny * /**"),
        (&["rm", "-f", &up], "read-only: deny * /**"),
        (&["tag", IMAGE, &other], "read-only: deny * /**"),
        (&["volume", "create", &other], "read-only: deny * /**"),
        (
            &["swarm", "join-token", "manager"],
            "only-full: deny * /swarm/**",
        ),
    ] {
        let seen = reader.run(args);
        assert_ne!(seen.code, Some(0), "docker {args:?}: {seen:?}");
        assert!(seen.stdout.is_empty(), "docker {args:?}: {seen:?}");
        let told = seen.err();
        assert!(
            told.contains("haven-agent: reader may not "),
            "docker {args:?}: {told}"
        );
        assert!(told.contains(rule), "docker {args:?}: {told}");
    }
    // To an upgrade the command shows the status alone.
    let seen = reader.run(&["attach", "--no-stdin", &up]);
    assert!(seen.err().contains("403"), "{seen:?}");
    let running = scope
        .cli()
        .run(&["inspect", "--format", "{{.State.Running}}", &up]);
    assert_eq!(running.ok(), "true\n");
    assert_ne!(scope.cli().run(&["inspect", &other]).code, Some(0));
    agent.wait_for_log(" reader \"POST /v1.");
    agent.wait_for_log(", read-only: deny * /** (built in, line ");
}

#[test]
fn a_policy_of_ones_own_restarts_what_it_may() {
    let Some(scope) = docker() else { return };
    let _whole = engine_lock(false);
    let house = House::new();
    let agent = house.setup().start();
    let deployer = docker_as("deployer", &agent);
    let up = scope.sleeper("up");
    deployer.run(&["restart", "-t", "0", &up]).ok();
    scope.cli().run(&["kill", &up]).ok();
    deployer.run(&["start", &up]).ok();
    let seen = deployer.run(&["stop", "-t", "0", &up]);
    let told = seen.err();
    assert!(told.contains("deploy: no rule allows it"), "{told}");
    let place = house.dir.join("rules.ini").display().to_string();
    agent.wait_for_log("/restart?...\" 204 0/0 bytes ");
    agent.wait_for_log(&format!(
        ", deploy: allow POST /containers/*/restart ({place}:5)"
    ));
}

/// Who asks what, and whether it may be.
const TABLE: &[(&str, &str, &str, bool)] = &[
    ("admin", "POST", "/v1.41/containers/create?name=x", true),
    ("admin", "GET", "/v1.12/version", true),
    ("admin", "GET", "/%63ontainers/x%2fy/json", true),
    ("admin", "GET", "/containers//json", false),
    ("admin", "GET", "/images/../secrets", false),
    ("reader", "GET", "/v1.41/images/json", true),
    ("reader", "HEAD", "/_ping", true),
    ("reader", "GET", "/images/a/b:c/json", true),
    ("reader", "GET", "/images/a%2Fb/json", true),
    ("reader", "GET", "/v1.23/images/json", false),
    ("reader", "GET", "/images/a/b:c/get", false),
    ("reader", "GET", "/images/json/get", false),
    ("reader", "GET", "/secrets", false),
    ("reader", "GET", "/%73ecrets", false),
    ("reader", "GET", "/secrets%2fx", false),
    ("reader", "GET", "/images/%2e%2e/secrets", false),
    ("reader", "GET", "/v1.41/v1.41/images/json", false),
    ("reader", "GET", "/containers/x/attach/ws", false),
    ("reader", "POST", "/containers/x/wait", false),
    ("reader", "DELETE", "/containers/x", false),
    ("reader", "BREW", "/images/json", false),
    ("watcher", "GET", "/containers/x/json", true),
    ("watcher", "GET", "/containers/x/stats?stream=0", true),
    ("watcher", "GET", "/containers/x/logs", false),
    ("watcher", "GET", "/images/search?term=x", false),
    ("deployer", "POST", "/containers/x/restart?t=1", true),
    ("deployer", "POST", "/containers/vault/restart", false),
    ("deployer", "GET", "/containers/vault/json", true),
    ("deployer", "POST", "/containers/x/start", true),
    (
        "deployer",
        "POST",
        "/containers/x/start?checkpoint-dir=/",
        false,
    ),
    ("deployer", "POST", "/containers/x/stop", false),
];

#[test]
fn explain_says_what_the_proxy_does_and_the_engine_sees_nothing_of_denials() {
    let upstream = Upstream::answering_once(
        "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
    );
    let house = House::new();
    let agent = house.setup().docker(&upstream.socket()).arg("-vv").start();
    let mut expected = Vec::new();
    for (user, method, path, allowed) in TABLE {
        let said = house.policy(&["explain", user, method, path]);
        assert_eq!(
            said.code,
            Some(if *allowed { 0 } else { 1 }),
            "{user} {method} {path}: {said:?}"
        );
        let password = if *user == "admin" {
            support::agent::PASSWORD
        } else {
            PASSWORD
        };
        let mut client = Client::connect(&agent);
        client.send(format!(
            "{method} {path} HTTP/1.1\r\nHost: n\r\nAuthorization: {}\r\nContent-Length: 0\r\n\r\n",
            basic(user, password)
        ));
        let answer = client.answer(method);
        let seen = upstream.heads();
        if *allowed {
            assert_eq!(
                answer.status,
                200,
                "{user} {method} {path}: {}",
                answer.text()
            );
            // The engine got what `explain` shows.
            let asks = said
                .out()
                .lines()
                .find_map(|line| line.strip_prefix("asks: ").map(String::from));
            expected.push(asks.unwrap());
        } else {
            assert!(
                [400, 403].contains(&answer.status),
                "{user} {method} {path}: {}",
                answer.text()
            );
            let by = said
                .out()
                .lines()
                .find_map(|line| line.strip_prefix("by:   ").map(String::from));
            assert!(
                answer.text().contains(&by.unwrap()),
                "{user} {method} {path}: {}",
                answer.text()
            );
        }
        let seen: Vec<String> = seen
            .iter()
            .map(|head| head.split(" HTTP/").next().unwrap().to_string())
            .collect();
        assert_eq!(seen, expected, "after {user} {method} {path}");
    }
}

#[test]
fn bodies_upgrades_and_what_follows_a_denial_are_not_forwarded() {
    let upstream = Upstream::answering_once(
        "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
    );
    let house = House::new();
    let agent = house.setup().docker(&upstream.socket()).start();
    let authorization = basic("deployer", PASSWORD);
    let nested = "POST /containers/create HTTP/1.1\r\nHost: n\r\nContent-Length: 0\r\n\r\n";
    for (start, fields, body) in [
        (
            "POST /containers/x/start",
            "Content-Type: application/json\r\nContent-Length: 2\r\n",
            "{}",
        ),
        (
            "POST /containers/x/start",
            "Transfer-Encoding: chunked\r\n",
            "2\r\n{}\r\n0\r\n\r\n",
        ),
        (
            "GET /containers/x/json",
            "Connection: Upgrade\r\nUpgrade: h2c\r\nHTTP2-Settings: AAA\r\n",
            "",
        ),
        (
            "POST /containers/create",
            "Transfer-Encoding: chunked\r\n",
            nested,
        ),
        ("POST /build", "Content-Length: 71\r\n", nested),
    ] {
        let mut client = Client::connect(&agent);
        client.send(format!(
            "{start} HTTP/1.1\r\nHost: n\r\nAuthorization: {authorization}\r\n{fields}\r\n{body}"
        ));
        let answer = client.answer("POST");
        answer.is_error(403);
        if !body.is_empty() {
            assert_eq!(answer.field("connection"), Some("close"), "{start}");
        }
    }
    assert_eq!(upstream.heads(), Vec::<String>::new());
}

#[test]
fn denials_and_changes_are_told_with_their_rule_and_reads_are_not() {
    let upstream = Upstream::answering_once("HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n");
    let house = House::new();
    let agent = house.setup().docker(&upstream.socket()).start();
    let ask = |user: &str, password: &str, start: &str| {
        let mut client = Client::connect(&agent);
        client.send(format!(
            "{start} HTTP/1.1\r\nHost: n\r\nAuthorization: {}\r\nContent-Length: 0\r\n\r\n",
            basic(user, password)
        ));
        client.answer("GET");
    };
    ask("reader", PASSWORD, "GET /version");
    ask("reader", PASSWORD, "GET /secrets/x%1b?token=1");
    ask("reader", PASSWORD, "GET /secrets/x?token=hunter2");
    ask(
        "admin",
        support::agent::PASSWORD,
        "POST /commit?token=hunter2",
    );
    agent.wait_for_log("admin \"POST /commit?...\" 204");
    let log = agent.log();
    let lines: Vec<&str> = log
        .lines()
        .filter(|line| line.contains("127.0.0.1 "))
        .collect();
    let [form, denial, change] = lines.as_slice() else {
        panic!("{log}");
    };
    assert!(
        form.contains(" - WARNING - 127.0.0.1 - \"GET /secrets/x%1b?...\" 400 "),
        "{form}"
    );
    assert!(
        denial.contains(" - WARNING - 127.0.0.1 reader \"GET /secrets/x?...\" 403 "),
        "{denial}"
    );
    assert!(
        denial.contains(" ms, read-only: deny GET,HEAD /secrets/** (built in, line "),
        "{denial}"
    );
    assert!(change.contains(" - INFO - "), "{change}");
    assert!(change.ends_with(" ms, full"), "{change}");
    assert!(!log.contains("hunter2"), "{log}");
}

#[test]
fn the_command_shows_explains_and_refuses() {
    let house = House::new();
    let shown = house.policy(&["show", "read-only"]).ok();
    for text in [
        "allow GET,HEAD /containers/*/logs",
        "deny GET,HEAD /containers/**/export     all files",
        "[only-full], which binds all policies but full:",
    ] {
        assert!(shown.contains(text), "{text}: {shown}");
    }
    assert!(
        house
            .policy(&["show", "deploy"])
            .ok()
            .contains("    4  deny * /containers/vault/**")
    );
    assert!(house.policy(&["show", "full"]).ok().contains("anything"));
    let place = house.dir.join("rules.ini").display().to_string();
    let said = house.policy(&[
        "explain",
        "deployer",
        "POST",
        "/v1.41/containers/vault/restart",
    ]);
    assert_eq!(
        (said.code, said.out()),
        (
            Some(1),
            format!(
                "denied\nto:   deployer\nasks: POST /v1.41/containers/vault/restart\n\
                 by:   deploy: deny * /containers/vault/** ({place}:4)\nwhy:  not this one\n"
            )
        )
    );
    for (words, problem) in [
        (
            &["show", "none"][..],
            "`none` is no policy: there are full, read-only, monitor, deploy",
        ),
        (&["explain", "eve", "GET", "/info"], "`eve` is no user"),
        (
            &["explain", "reader", "GET"],
            "`policy show NAME` or `policy explain USER METHOD PATH [FILE-WITH-BODY]`",
        ),
        (&["explain", "reader", "GET", "/a b"], "without spaces"),
        (
            &[],
            "`policy show NAME` or `policy explain USER METHOD PATH [FILE-WITH-BODY]`",
        ),
    ] {
        let refused = house.policy(words);
        assert_eq!(refused.code, Some(2), "{words:?}: {refused:?}");
        assert!(
            refused.err().contains(problem),
            "{words:?}: {}",
            refused.err()
        );
    }
}

#[test]
fn a_policy_that_would_open_what_is_not_judged_starts_nothing() {
    let house = House::new();
    fs::write(
        house.dir.join("rules.ini"),
        "[deploy]\nallow GET /info\nallow POST /containers/**\n",
    )
    .unwrap();
    let place = house.dir.join("rules.ini").display().to_string();
    let refused = house.policy(&["show", "deploy"]);
    assert_eq!(refused.code, Some(2));
    assert_eq!(
        refused.err(),
        format!(
            "haven-agent: --policies: {place}:3: `allow POST /containers/**` would allow what only the policy \
             full may (names a directory of the host): put `deny * /containers/**/checkpoints` in a line \
             before it, or say more closely what is allowed\n"
        )
    );
}

#[test]
fn the_readmes_policy_is_one() {
    let readme = include_str!("../README.md");
    let sample = readme.split("```ini\n[deploy]\n").nth(1).unwrap();
    let sample = sample.split("```").next().unwrap();
    let house = House::new();
    fs::write(house.dir.join("rules.ini"), format!("[deploy]\n{sample}")).unwrap();
    let explain = |method, path| house.policy(&["explain", "deployer", method, path]);
    explain("POST", "/v1.41/containers/web/restart").ok();
    let denied = explain("POST", "/v1.41/containers/web/stop");
    assert_eq!(denied.code, Some(1));
    let (_, shown) = readme
        .split_once("$ haven-agent policy explain bob POST")
        .unwrap();
    let shown = shown.split("```").next().unwrap().lines().skip(1);
    let shown: Vec<&str> = shown.filter(|line| !line.starts_with("to: ")).collect();
    let said = denied.out();
    let said: Vec<&str> = said
        .lines()
        .filter(|line| !line.starts_with("to: "))
        .collect();
    assert_eq!(said, shown);
}
