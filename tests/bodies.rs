//! Bodies that a policy judges, against the machine's engine: what would make a user root is refused, and
//! plain work goes on.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test fails by it"
)]

mod support;

use std::fs;
use std::path::Path;

use support::TempDir;
use support::agent::{Agent, Setup, basic, binary};
use support::client::Client;
use support::docker::{Cli, IMAGE, Scope, clis, docker, engine_lock};
use support::process::{clean, run};

const PASSWORD: &str = "staple";

/// All that an own policy may allow and that is judged, and what a person needs beside it.
const RULES: &str = "\
deny * /containers/**/checkpoints/**
allow GET,HEAD /_ping
allow GET,HEAD /version
allow GET,HEAD /info
allow GET,HEAD /containers/**
allow POST,DELETE /containers/**
allow GET,HEAD /images/**
allow POST /exec/**
allow GET /exec/*/json
allow GET,POST /volumes/**
allow GET,POST /networks/**
allow POST /build
";

/// An agent with the users `plain`, who has no permit, and `own`, who has those that are given.
struct House {
    _dir: TempDir,
    agent: Agent,
}

impl House {
    fn new(permits: &str) -> House {
        let dir = TempDir::new("bodies");
        let hash = bcrypt::hash(PASSWORD, 4).unwrap();
        fs::write(dir.join("users"), format!("plain:{hash}\nown:{hash}\n")).unwrap();
        let rules = format!("[plain]\n{RULES}[own]\n{RULES}{permits}");
        fs::write(dir.join("rules"), rules).unwrap();
        let path = |name| dir.join(name).display().to_string();
        let agent = Setup::new()
            .args(&["--users", &path("users"), "--policies", &path("rules")])
            .args(&["--policy", "plain:plain,own:own"])
            .start();
        House { _dir: dir, agent }
    }

    fn cli(&self, program: &Path, user: &str) -> Cli {
        Cli::through_as(program, &self.agent, &basic(user, PASSWORD))
    }

    /// Sends a body of JSON as `user`; status and body of the answer.
    fn post(&self, user: &str, target: &str, body: &str) -> (u16, String) {
        let mut client = Client::connect(&self.agent);
        client.send(format!(
            "POST {target} HTTP/1.1\r\nHost: n\r\nAuthorization: {}\r\nContent-Type: application/json\r\n\
             Content-Length: {}\r\n\r\n{body}",
            basic(user, PASSWORD),
            body.len()
        ));
        let answer = client.answer("POST");
        (answer.status, answer.text())
    }
}

/// Whether the engine has a container, asked at its own socket.
fn exists(scope: &Scope, name: &str) -> bool {
    scope.cli().run(&["inspect", name]).code == Some(0)
}

#[test]
fn plain_work_goes_on_with_every_client() {
    let Some(scope) = docker() else { return };
    let _whole = engine_lock(false);
    let house = House::new("");
    for (number, program) in clis().iter().enumerate() {
        let cli = house.cli(program, "plain");
        let name = |what: &str| scope.name(&format!("{what}{number}"));
        let (up, volume) = (name("up"), name("data"));
        let said = cli.run(&["run", "--rm", "--network", "none", IMAGE, "echo", "hello"]);
        assert_eq!(said.ok(), "hello\n");
        cli.run(&["volume", "create", &volume]).ok();
        let mount = format!("{volume}:/data");
        let more = [
            "run",
            "-d",
            "--name",
            &up,
            "--network",
            "none",
            "--init",
            "-e",
            "A=b",
            "-l",
            "x=y",
            "-v",
            &mount,
            "--tmpfs",
            "/t",
            "-m",
            "64m",
            "--restart",
            "no",
            "--cap-drop",
            "NET_RAW",
            "--security-opt",
            "no-new-privileges",
            "--log-opt",
            "max-size=1m",
            "--read-only",
            IMAGE,
            "sleep",
            "600",
        ];
        cli.run(&more).ok();
        assert_eq!(cli.run(&["exec", &up, "echo", "in"]).ok(), "in\n");
        assert_eq!(
            cli.feed(&["exec", "-i", &up, "cat"], b"through").ok(),
            "through"
        );
        cli.run(&["exec", "-d", &up, "true"]).ok();
        cli.run(&["update", "--restart", "on-failure:1", &up]).ok();
        let context = TempDir::new("context");
        let dockerfile = format!("FROM {IMAGE}\nLABEL a=b\nENV C=d\n");
        fs::write(context.join("Dockerfile"), dockerfile).unwrap();
        let path = context.path().display().to_string();
        let image = format!("{}:latest", name("built"));
        cli.run(&["build", "-t", &image, &path]).ok();
    }
}

#[test]
fn compose_brings_a_project_up() {
    let Some(scope) = docker() else { return };
    if clean("docker-compose").arg("--version").output().is_err() {
        return support::skipped("no docker-compose");
    }
    let _whole = engine_lock(false);
    let house = House::new("");
    let project = TempDir::new("project");
    let file = |more: &str| {
        format!(
            "version: '2.4'\nservices:\n  web:\n    image: {IMAGE}\n    command: sleep 600\n    \
             container_name: {}\n    network_mode: none\n    volumes: ['data:/data']\n    environment: \
             {{A: b}}\n{more}volumes: {{data: {{name: {}}}}}\n",
            scope.name("web"),
            scope.name("data"),
        )
    };
    let compose = |text: &str| {
        fs::write(project.join("docker-compose.yml"), text).unwrap();
        // The arguments of the docker command name the address and the root as compose's do.
        let cli = house.cli(&clis()[0], "plain");
        let mut command = clean("docker-compose");
        for (name, value) in cli.command(&[]).get_envs() {
            if let Some(value) = value {
                command.env(name, value);
            }
        }
        command.env_remove("REQUESTS_CA_BUNDLE");
        command.env_remove("CURL_CA_BUNDLE");
        let words = cli.words(&["up", "-d"]);
        run(command.args(&words[1..]).current_dir(project.path()), b"")
    };
    let seen = compose(&file("    privileged: true\n"));
    assert!(
        seen.err().contains("needs \"permit privileged\""),
        "{seen:?}"
    );
    assert!(!exists(&scope, &scope.name("web")));
    compose(&file("")).ok();
    assert!(exists(&scope, &scope.name("web")));
}

#[test]
fn what_makes_root_is_refused_with_a_word_on_what_it_needs() {
    let Some(scope) = docker() else { return };
    let _whole = engine_lock(false);
    let house = House::new("");
    let up = scope.sleeper("up");
    let context = TempDir::new("context");
    fs::write(context.join("Dockerfile"), "FROM scratch\n").unwrap();
    let context = context.path().display().to_string();
    let other = scope.name("other");
    let create = |more: &[&'static str]| {
        let mut args = vec!["create", "--name", "NAME"];
        args.extend(more);
        args.push(IMAGE);
        args
    };
    for (args, permit) in [
        (create(&["-v", "/etc:/x"]), "binds /etc"),
        (create(&["-v", "/etc:/x:ro"]), "binds /etc:ro"),
        (
            create(&["--mount", "type=bind,src=/etc,dst=/x"]),
            "binds /etc",
        ),
        (create(&["--privileged"]), "privileged"),
        (create(&["--pid=host"]), "host-pid"),
        (create(&["--network=host"]), "host-network"),
        (create(&["--ipc=host"]), "host-ipc"),
        (create(&["--uts=host"]), "host-uts"),
        (create(&["--userns=host"]), "host-userns"),
        (create(&["--cap-add=SYS_ADMIN"]), "capabilities"),
        (create(&["--device=/dev/null"]), "devices"),
        (
            create(&["--security-opt=apparmor=unconfined"]),
            "security-opt",
        ),
        (
            create(&["--security-opt=systempaths=unconfined"]),
            "security-opt",
        ),
        (create(&["--volumes-from=UP"]), "volumes-from"),
        (create(&["--network=container:UP"]), "container-namespaces"),
        (create(&["--cgroup-parent=/x"]), "cgroup-parent"),
        (create(&["--sysctl=net.core.somaxconn=5"]), "sysctls"),
        (create(&["--runtime=runc"]), "runtime"),
        (create(&["--log-driver=syslog"]), "log-driver"),
        (create(&["--ulimit=nofile=5"]), "limits"),
        (
            create(&[
                "--mount",
                "type=volume,dst=/x,volume-opt=o=bind,volume-opt=device=/etc",
            ]),
            "volume-options",
        ),
        (
            vec![
                "volume",
                "create",
                "-o",
                "o=bind",
                "-o",
                "type=none",
                "-o",
                "device=/etc",
                "NAME",
            ],
            "volume-options",
        ),
        (
            vec!["network", "create", "-d", "macvlan", "NAME"],
            "network-options",
        ),
        (vec!["exec", "--privileged", "UP", "id"], "privileged"),
        (
            vec!["build", "--network", "host", "-t", "NAME", "CONTEXT"],
            "host-network",
        ),
    ] {
        let words = args.iter().map(|word| {
            let word = word.replace("NAME", &other).replace("UP", &up);
            word.replace("CONTEXT", &context)
        });
        let words: Vec<String> = words.collect();
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        for program in clis() {
            let seen = house.cli(&program, "plain").run(&words);
            assert_ne!(seen.code, Some(0), "docker {words:?}: {seen:?}");
            let (told, needs) = (seen.err(), format!("needs \"permit {permit}"));
            assert!(
                told.contains("haven-agent: plain may not POST "),
                "{words:?}: {told}"
            );
            assert!(told.contains(&needs), "docker {words:?}: {told}");
        }
        assert!(!exists(&scope, &other), "{words:?}");
    }
}

#[test]
fn the_four_ways_around_a_list_of_dangers_are_closed() {
    let Some(scope) = docker() else { return };
    let _whole = engine_lock(false);
    let house = House::new("");
    let name = scope.name("x");
    let create = format!("/v1.41/containers/create?name={name}");
    let settings = "\"Privileged\":true,\"Binds\":[\"/:/host\"],\"PidMode\":\"host\"";
    for (target, body, says) in [
        // HostConfig's fields at top level.
        (
            &create,
            format!("{{\"Image\":\"{IMAGE}\",{settings}}}"),
            "Privileged needs",
        ),
        // A tmpfs that is none: it makes the mount below writable, or the host's file system read-only.
        (
            &create,
            format!(
                "{{\"Image\":\"{IMAGE}\",\"HostConfig\":{{\"Binds\":[\"{name}:/x:ro\"],\"Tmpfs\":{{\"/x/\":\"remount,rw\"}}}}}}"
            ),
            "HostConfig.Tmpfs has a value that is not known here",
        ),
        // Keys that Go folds.
        (
            &create,
            format!("{{\"Image\":\"{IMAGE}\",\"Ho\u{17f}tConfig\":{{{settings}}}}}"),
            "is a key not of plain ASCII",
        ),
        (
            &create,
            format!("{{\"Image\":\"{IMAGE}\",\"HostConfig\":{{\"Networ\u{212a}Mode\":\"host\"}}}}"),
            "is a key not of plain ASCII",
        ),
        (
            &create,
            format!("{{\"Image\":\"{IMAGE}\",\"HOSTCONFIG\":{{{settings}}}}}"),
            "HOSTCONFIG is not known here",
        ),
        // The settings with the start.
        (
            &format!("/v1.23/containers/{name}/start"),
            format!("{{{settings}}}"),
            "versions of the API below 1.24",
        ),
        (
            &format!("/containers/{name}/start"),
            format!("{{{settings}}}"),
            "start takes no body",
        ),
    ] {
        let (status, told) = house.post("plain", target, &body);
        assert_eq!(status, 403, "{told}");
        assert!(told.contains(says), "{told}");
        assert!(!exists(&scope, &name), "{body}");
    }
    // Fields of the query in a form.
    let form = "networkmode=host&t=x";
    let mut client = Client::connect(&house.agent);
    client.send(format!(
        "POST /v1.41/build HTTP/1.1\r\nHost: n\r\nAuthorization: {}\r\nContent-Type: \
         application/x-www-form-urlencoded\r\nContent-Length: {}\r\n\r\n{form}",
        basic("plain", PASSWORD),
        form.len()
    ));
    client.answer("POST").is_error(403);
    // And the same without them is taken by the engine.
    let (status, told) = house.post("plain", &create, &format!("{{\"Image\":\"{IMAGE}\"}}"));
    assert_eq!(status, 201, "{told}");
}

/// A part of a HostConfig that the engine takes, and the permit that it needs.
const SWITCHES: &[(&str, &str)] = &[
    (r#""Privileged":true"#, "privileged"),
    (r#""NetworkMode":"host""#, "host-network"),
    (r#""PidMode":"host""#, "host-pid"),
    (r#""IpcMode":"host""#, "host-ipc"),
    (r#""UTSMode":"host""#, "host-uts"),
    (r#""UsernsMode":"host""#, "host-userns"),
    (r#""CgroupnsMode":"host""#, "host-cgroupns"),
    (r#""CapAdd":["NET_ADMIN"]"#, "capabilities NET_ADMIN"),
    (
        r#""Devices":[{"PathOnHost":"/dev/null","PathInContainer":"/dev/x","CgroupPermissions":"r"}]"#,
        "devices",
    ),
    (r#""SecurityOpt":["seccomp=unconfined"]"#, "security-opt"),
    (r#""Binds":["/etc:/x:ro"]"#, "binds /etc:ro"),
    (
        r#""Mounts":[{"Type":"bind","Source":"/etc","Target":"/x"}]"#,
        "binds /etc",
    ),
    (r#""VolumesFrom":["UP"]"#, "volumes-from"),
    (
        r#""Mounts":[{"Type":"volume","Target":"/x","VolumeOptions":{"DriverConfig":{"Options":{"type":"tmpfs","device":"tmpfs"}}}}]"#,
        "volume-options",
    ),
    (r#""Sysctls":{"kernel.msgmax":"9000"}"#, "sysctls"),
    (r#""Runtime":"runc""#, "runtime"),
    (r#""CgroupParent":"/haven-test""#, "cgroup-parent"),
    (r#""PidMode":"container:UP""#, "container-namespaces"),
    (r#""Links":["UP:y"]"#, "links"),
    (r#""LogConfig":{"Type":"syslog","Config":{}}"#, "log-driver"),
    (
        r#""Ulimits":[{"Name":"nofile","Hard":64,"Soft":64}]"#,
        "limits",
    ),
];

#[test]
fn each_permit_opens_its_door() {
    let Some(scope) = docker() else { return };
    let _whole = engine_lock(false);
    let up = scope.sleeper("up");
    for (number, (part, permit)) in SWITCHES.iter().enumerate() {
        let house = House::new(&format!("permit {permit}\n"));
        let name = scope.name(&format!("c{number}"));
        let part = part.replace("UP", &up);
        let body = format!("{{\"Image\":\"{IMAGE}\",\"HostConfig\":{{{part}}}}}");
        let target = format!("/v1.41/containers/create?name={name}");
        let (status, told) = house.post("plain", &target, &body);
        assert_eq!(status, 403, "{part}: {told}");
        let word = permit.split(' ').next().unwrap();
        assert!(told.contains(&format!("permit {word}")), "{part}: {told}");
        let (status, told) = house.post("own", &target, &body);
        assert_eq!(status, 201, "{part}: {told}");
    }
}

#[test]
fn an_exec_of_somebody_else_is_not_started() {
    let Some(scope) = docker() else { return };
    let _whole = engine_lock(false);
    let house = House::new("permit privileged\n");
    let up = scope.sleeper("up");
    let make = |user: &str, body: &str| {
        let (status, answer) = house.post(user, &format!("/containers/{up}/exec"), body);
        assert_eq!(status, 201, "{answer}");
        answer.split('"').nth(3).unwrap().to_owned()
    };
    let start =
        |user: &str, id: &str| house.post(user, &format!("/exec/{id}/start"), "{\"Detach\":true}");
    let privileged = make("own", "{\"Privileged\":true,\"Cmd\":[\"true\"]}");
    let (status, told) = start("plain", &privileged);
    assert_eq!(status, 403, "{told}");
    assert!(
        told.contains("only execs may be started that the same user made"),
        "{told}"
    );
    assert_eq!(
        house
            .post("plain", &format!("/exec/{privileged}/resize?h=1&w=1"), "")
            .0,
        403
    );
    // Not every engine that tests run on can start it.
    assert_ne!(start("own", &privileged).0, 403);
    let plain = make("plain", "{\"Cmd\":[\"true\"]}");
    assert_eq!(start("plain", &plain).0, 200);
}

#[test]
fn explain_judges_a_body() {
    let dir = TempDir::new("explain");
    let hash = bcrypt::hash(PASSWORD, 4).unwrap();
    fs::write(dir.join("users"), format!("own:{hash}\n")).unwrap();
    let rules = "[own]\nallow POST /containers/create\npermit binds /srv/a\n";
    fs::write(dir.join("rules"), rules).unwrap();
    fs::write(
        dir.join("good"),
        "{\"HostConfig\":{\"Binds\":[\"/srv/a:/a\"]}}",
    )
    .unwrap();
    fs::write(
        dir.join("bad"),
        "{\"HostConfig\":{\"Binds\":[\"/srv:/a\"]}}",
    )
    .unwrap();
    let path = |name: &str| dir.join(name).display().to_string();
    let explain = |more: &[&str]| {
        let mut command = clean(binary());
        command.args([
            "-f",
            "/dev/null",
            "policy",
            "explain",
            "own",
            "POST",
            "/containers/create",
        ]);
        command.args(more);
        command.args(["--users", &path("users"), "--policies", &path("rules")]);
        run(command.args(["--policy", "own:own"]), b"")
    };
    assert!(
        explain(&[])
            .ok()
            .contains("\nthen: its body is judged as well")
    );
    assert!(explain(&[&path("good")]).ok().starts_with("allowed\n"));
    let denied = explain(&[&path("bad")]);
    assert_eq!(denied.code, Some(1));
    let by = "by:   own: HostConfig.Binds needs \"permit binds /srv\"\n";
    assert!(denied.out().contains(by), "{denied:?}");
    assert_eq!(explain(&[&path("none")]).code, Some(2));
}

#[test]
fn the_readmes_permits_are_read() {
    let readme = include_str!("../README.md");
    let sample = readme.split("```ini\n[team]\n").nth(1).unwrap();
    let sample = sample.split("```").next().unwrap();
    let dir = TempDir::new("readme");
    fs::write(dir.join("rules"), format!("[team]\n{sample}")).unwrap();
    let mut command = clean(binary());
    command.args(["-f", "/dev/null", "policy", "show", "team", "--policies"]);
    let shown = run(command.arg(dir.join("rules")), b"").ok();
    assert!(
        shown.contains("permit binds /srv/web /data/* /var/log/**:ro\n"),
        "{shown}"
    );
}
