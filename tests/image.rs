//! The image that `scripts/image` makes of the static binary, in the machine's Docker.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod support;

use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use miniserde::json::{self, Object, Value};
use support::agent::PASSWORD;
use support::docker::{Cli, Scope, Swarm, docker, engine_lock, missing, socket};
use support::process::{Outcome, clean, run};
use support::upstream::Upstream;
use support::{TempDir, eventually, sha256, skipped};

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

/// What the README recommends for each container.
const LEAST: [&str; 5] = [
    "--read-only",
    "--cap-drop",
    "ALL",
    "--security-opt",
    "no-new-privileges",
];
/// The host's root, as the README has it but for `rslave`, which this machine's may not be.
const ROOT: [&str; 4] = [
    "-v",
    "/:/rootfs:ro",
    "-e",
    "dm_agent_notifier_rootPath=/rootfs",
];

/// The static binary, of which alone an image can be made.
fn static_binary() -> Option<PathBuf> {
    let binary = std::env::var_os("HAVEN_TEST_BINARY").map(PathBuf::from);
    if binary.is_none() {
        skipped("no static binary in HAVEN_TEST_BINARY; scripts/test --all and .ci/run have one");
    }
    binary
}

/// A directory with a binary for each architecture (the same, where the test does not run it).
fn dist(arches: &[&str]) -> Option<TempDir> {
    let (binary, dist) = (static_binary()?, TempDir::new("dist"));
    for arch in arches {
        fs::copy(&binary, dist.join(&format!("haven-agent-{arch}"))).unwrap();
    }
    Some(dist)
}

#[track_caller]
fn make(name: &str, dist: &TempDir, arches: &[&str]) -> Outcome {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/image");
    let mut command = clean(script);
    command.args(["--name", name, "--dist"]).arg(dist.path());
    run(command.args(arches), b"")
}

/// This machine's architecture, as the scripts call it.
fn arch() -> &'static str {
    match std::env::consts::ARCH {
        "x86" => "i686",
        "arm" => "armv7",
        other => other,
    }
}

/// The image, loaded into Docker, and what is made of it.
struct Image {
    scope: Scope,
    cli: Cli,
    name: String,
}

impl Image {
    fn load() -> Option<Image> {
        let dist = dist(&[arch()])?;
        let scope = docker()?;
        let (cli, name) = (scope.cli(), scope.name("agent"));
        make(&name, &dist, &[]).ok();
        let archive = dist.join(&format!("haven-agent-image-{}.tar", arch()));
        cli.run(&["load", "-q", "-i", &archive.display().to_string()])
            .ok();
        Some(Image { scope, cli, name })
    }

    /// Starts a container that is looked after every second.
    #[track_caller]
    fn start(&self, what: &str, options: &[&str], arguments: &[&str]) -> Container<'_> {
        let name = self.scope.name(what);
        let run = ["run", "--name", &name, "-d", "--health-interval", "1s"];
        let hash = format!(
            "HAVEN_AGENT_ADMIN_PASSWORD={}",
            bcrypt::hash(PASSWORD, 4).unwrap()
        );
        let words = [&run[..], &["-e", &hash], options, &[&self.name], arguments];
        self.cli.run(&words.concat()).ok();
        Container { image: self, name }
    }
}

struct Container<'a> {
    image: &'a Image,
    name: String,
}

impl Container<'_> {
    #[track_caller]
    fn inspect(&self, format: &str) -> String {
        let words = ["inspect", "--format", format, &self.name];
        self.image.cli.run(&words).ok().trim().to_owned()
    }

    fn exec(&self, words: &[&str]) -> Outcome {
        let exec = ["exec", &self.name, "/haven-agent"];
        self.image.cli.run(&[&exec[..], words].concat())
    }

    fn log(&self) -> String {
        let logs = self.image.cli.run(&["logs", &self.name]);
        logs.out() + &logs.err()
    }

    /// Waits until Docker calls it so.
    #[track_caller]
    fn becomes(&self, health: &str) {
        let status = || self.inspect("{{.State.Health.Status}}");
        assert!(
            eventually(|| status() == health),
            "{} instead of {health}: {}\n{}",
            status(),
            self.inspect("{{json .State.Health.Log}}"),
            self.log()
        );
    }

    /// Waits until the last check said so.
    #[track_caller]
    fn says(&self, text: &str) {
        let last = || self.inspect("{{range .State.Health.Log}}{{println .Output}}{{end}}");
        assert!(
            eventually(|| last()
                .lines()
                .last()
                .is_some_and(|line| line.contains(text))),
            "no {text:?} in {}\n{}",
            last(),
            self.log()
        );
    }
}

#[test]
fn an_archive_holds_the_binary_and_says_what_it_is() {
    let Some(dist) = dist(&["x86_64", "aarch64", "armv6"]) else {
        return;
    };
    let arches = ["x86_64", "aarch64", "armv6"];
    let files = ["-x86_64", "-aarch64", "-armv6", ""];
    let path = |arch: &str| dist.join(&format!("haven-agent-image{arch}.tar"));
    let sums = || files.map(|arch| sha256(&fs::read(path(arch)).unwrap()));
    make("haven-agent", &dist, &arches).ok();
    let first = sums();
    make("haven-agent", &dist, &arches).ok();
    assert_eq!(sums(), first);

    let helper = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/support/oci.py");
    let follow = |arch| run(clean("python3").arg(&helper).arg(path(arch)), b"").ok();
    let held = "['haven-agent 755 0 0']\n";
    assert_eq!(follow("-x86_64"), format!("linux amd64 - {held}"));
    assert_eq!(follow("-aarch64"), format!("linux arm64 v8 {held}"));
    assert_eq!(
        follow(""),
        format!("linux amd64 - {held}linux arm64 v8 {held}linux arm v6 {held}")
    );

    let unknown = make("haven-agent", &dist, &["z80"]);
    assert_eq!(unknown.code, Some(1));
    assert!(
        unknown.err().contains("no architecture 'z80'"),
        "{unknown:?}"
    );
}

#[test]
fn docker_loads_it_with_all_that_it_says() {
    let Some(dist) = dist(&["x86_64", "aarch64"]) else {
        return;
    };
    let Some(scope) = docker() else { return };
    let (cli, name) = (scope.cli(), scope.name("agent"));
    make(&name, &dist, &["aarch64", "x86_64"]).ok();
    for (arch, architecture) in [("aarch64", "arm64"), ("x86_64", "amd64")] {
        let archive = dist.join(&format!("haven-agent-image-{arch}.tar"));
        let loaded = cli
            .run(&["load", "-i", &archive.display().to_string()])
            .ok();
        let version = env!("CARGO_PKG_VERSION");
        assert!(
            loaded.contains(&format!("Loaded image: {name}:{version}")),
            "{loaded}"
        );
        let inspect = |format| {
            cli.run(&["image", "inspect", "--format", format, &name])
                .ok()
        };
        assert_eq!(
            inspect("{{.Architecture}} {{.Os}}"),
            format!("{architecture} linux\n")
        );
        assert_eq!(
            inspect(
                "{{.Config.Entrypoint}} {{.Config.Healthcheck.Test}} {{.Config.ExposedPorts}} {{.Config.StopSignal}}"
            ),
            "[/haven-agent] [CMD /haven-agent health] map[8771/tcp:{}] SIGTERM\n"
        );
        let labels = inspect("{{json .Config.Labels}}");
        for label in [
            "title",
            "description",
            "version",
            "revision",
            "source",
            "licenses",
            "created",
        ] {
            let key = format!("\"org.opencontainers.image.{label}\":\"");
            assert!(labels.contains(&key), "no {label} in {labels}");
        }
        assert!(
            labels.contains(&format!("version\":\"{version}\"")),
            "{labels}"
        );
        // Without a name it would stay when the next has taken that.
        let tags = [format!("{name}:{version}"), format!("{name}:latest")];
        cli.run(&["rmi", &tags[0], &tags[1]]).ok();
    }
}

/// A master that takes reports; what it was sent.
fn master(address: &str) -> (u16, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind(format!("{address}:0")).unwrap();
    let port = listener.local_addr().unwrap().port();
    let heard = Arc::new(Mutex::new(Vec::new()));
    let into = heard.clone();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            stream
                .set_read_timeout(Some(Duration::from_secs(1)))
                .unwrap();
            let (mut request, mut block) = (Vec::new(), [0; 1 << 16]);
            while !request.ends_with(b"}") {
                match stream.read(&mut block) {
                    Ok(count @ 1..) => request.extend_from_slice(&block[..count]),
                    _ => break,
                }
            }
            into.lock()
                .unwrap()
                .push(String::from_utf8_lossy(&request).into_owned());
            let _ = stream
                .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
        }
    });
    (port, heard)
}

/// As a manager prints it, but for the image's name, a port that is free and a network that has an
/// address for the test's master.
#[test]
fn the_java_agents_command_line_works_as_it_was() {
    let Some(image) = Image::load() else { return };
    let cli = &image.cli;
    let network = image.scope.name("net");
    cli.run(&["network", "create", &network]).ok();
    let format = "{{(index .IPAM.Config 0).Gateway}}";
    let gateway = cli
        .run(&["network", "inspect", "--format", format, &network])
        .ok();
    let (port, heard) = master(gateway.trim());
    let server = format!("dm_agent_notifier_server=http://{}:{port}", gateway.trim());
    let mount = format!(
        "{}:/run/docker.sock",
        fs::canonicalize(socket()).unwrap().display()
    );
    let options = [
        "-e",
        &server,
        "-e",
        "dm_agent_notifier_secret=secr3t",
        "--hostname=node1",
        "--restart=unless-stopped",
        "-p",
        "127.0.0.1::8771",
        "-v",
        &mount,
        "--network",
        &network,
    ];
    let container = image.start("java", &options, &[]);
    container.becomes("healthy");
    container.says("healthy: the event loops turn, Docker answers, registered ");
    let report = heard.lock().unwrap()[0].clone();
    assert!(report.starts_with("POST /discovery/nodes/"), "{report}");
    assert!(report.contains("\r\nX-Auth-Node: secr3t\r\n"), "{report}");
    assert!(report.contains(&container.name), "{report}");

    // And its proxy does, by the root certificate of another command of the image.
    let dir = TempDir::new("root");
    fs::write(dir.join("ca.pem"), container.exec(&["root-cert"]).ok()).unwrap();
    let ports = cli.run(&["port", &container.name, "8771"]).ok();
    let port = ports.trim().rsplit(':').next().unwrap();
    let mut curl = clean("curl");
    curl.args([
        "-sS",
        "--noproxy",
        "*",
        "--resolve",
        &format!("node1:{port}:127.0.0.1"),
    ]);
    curl.args(["-u", &format!("admin:{PASSWORD}"), "--cacert"])
        .arg(dir.join("ca.pem"));
    let answer = run(curl.arg(format!("https://node1:{port}/info")), b"").ok();
    assert!(answer.contains("\"ServerVersion\""), "{answer}");

    let reloaded = container.exec(&["reload"]).ok();
    assert_eq!(
        reloaded,
        "reloaded: users, policies, certificates and log level were read again\n"
    );
}

/// A port that is free now, and may not be any more when Docker takes it.
fn free_port() -> String {
    let listener = TcpListener::bind("0.0.0.0:0").unwrap();
    listener.local_addr().unwrap().port().to_string()
}

/// What the node would be registered by: the port that is published.
#[track_caller]
fn registers(container: &Container<'_>, port: &str) {
    let report = parse(&container.exec(&["report"]).ok());
    let address = format!("\"https://localhost:{port}\"");
    assert_eq!(text(&report, &["address"]), address);
}

fn deploy_file(name: &str) -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    root.join("scripts/deploy").join(name)
}

/// `scripts/deploy/compose.yaml` with what it leaves to the operator, and a port that is free.
#[test]
fn the_compose_file_starts_it() {
    if clean("docker-compose").arg("version").output().is_err() {
        return missing("no docker-compose (apt-get install docker-compose)");
    }
    let Some(image) = Image::load() else { return };
    let dir = TempDir::new("compose");
    fs::write(dir.join("admin"), bcrypt::hash(PASSWORD, 4).unwrap()).unwrap();
    fs::write(dir.join("master"), "secr3t\n").unwrap();
    let gid = fs::metadata(socket()).unwrap().gid().to_string();
    let name = image.scope.name("compose");
    let mut up = clean("docker-compose");
    up.args(["-p", &name, "-f"])
        .arg(deploy_file("compose.yaml"))
        .args(["up", "-d"]);
    up.env("HAVEN_IMAGE", &image.name)
        .env("HAVEN_HOSTNAME", "node1")
        .env("HAVEN_MASTER", "127.0.0.1:9")
        .env("HAVEN_ADMIN_HASH", dir.join("admin"))
        .env("HAVEN_SECRET", dir.join("master"))
        .env("HAVEN_PROPAGATION", "")
        .env("DOCKER_GID", &gid);
    let port = (0..5).find_map(|_| {
        let port = free_port();
        let outcome = run(up.env("HAVEN_PORT", &port), b"");
        let taken = outcome.err().contains("already"); // allocated, or in use
        assert!(taken || outcome.code == Some(0), "{outcome:?}");
        (!taken).then_some(port)
    });
    let port = port.unwrap();
    let container = Container {
        name: format!("{name}_haven-agent_1"),
        image: &image,
    };
    // Nobody is at the master's address; the first report gets three minutes.
    let healthy = "healthy: the event loops turn, Docker answers, not registered yet\n";
    assert!(
        eventually(|| container.exec(&["health"]).out() == healthy),
        "{}",
        container.log()
    );
    registers(&container, &port);
    let ports = image.cli.run(&["port", &container.name, "8771"]).ok();
    assert!(ports.trim().ends_with(&format!(":{port}")), "{ports}");
    assert_eq!(
        container.inspect("{{.Config.User}}"),
        format!("65534:{gid}")
    );
    assert_eq!(
        container.inspect("{{.HostConfig.ReadonlyRootfs}} {{.HostConfig.CapDrop}}"),
        "true [ALL]"
    );
    assert!(
        container.log().contains("sandbox: no_new_privs"),
        "{}",
        container.log()
    );
    assert!(
        !container.log().contains("default password"),
        "{}",
        container.log()
    );
}

/// `scripts/deploy/stack.yaml` on a swarm of this engine, looked after every second.
#[test]
#[ignore = "makes the engine a swarm, and takes long: scripts/test --all"]
fn a_swarm_starts_its_stack() {
    let Some(image) = Image::load() else { return };
    let _alone = engine_lock(true);
    let (cli, dir) = (&image.cli, TempDir::new("stack"));
    let Some(_swarm) = Swarm::begin(cli, cli) else {
        return;
    };
    let hash = bcrypt::hash(PASSWORD, 4).unwrap();
    for (secret, value) in [("haven_admin", hash.as_str()), ("haven_master", "secr3t")] {
        cli.feed(&["secret", "create", secret, "-"], value.as_bytes())
            .ok();
    }
    let mut stack = fs::read_to_string(deploy_file("stack.yaml")).unwrap();
    stack = stack.replace("interval: 30s", "interval: 1s");
    if has_private_root() {
        let bind = "        bind:\n          propagation: rslave\n";
        assert!(stack.contains(bind));
        stack = stack.replace(bind, "");
    }
    let (name, file, port) = (
        image.scope.name("swarm"),
        dir.join("stack.yaml"),
        free_port(),
    );
    fs::write(&file, stack).unwrap();
    let file = file.display().to_string();
    let deploy = [
        "stack",
        "deploy",
        "--resolve-image",
        "never",
        "-c",
        &file,
        &name,
    ];
    let mut deploy = cli.command(&deploy);
    deploy
        .env("HAVEN_IMAGE", &image.name)
        .env("HAVEN_MASTER", "127.0.0.1:9")
        .env("HAVEN_PORT", &port);
    run(&mut deploy, b"").ok();
    let _deployed = Deployed(cli, &name);

    let label = format!("label=com.docker.stack.namespace={name}");
    let format = ["--format", "{{.Names}}"];
    let list = || {
        cli.run(&[&["ps", "--filter", &label][..], &format].concat())
            .ok()
    };
    let tasks = || cli.run(&["stack", "ps", "--no-trunc", &name]).out();
    assert!(eventually(|| list().lines().count() == 1), "{}", tasks());
    let container = Container {
        name: list().trim().to_owned(),
        image: &image,
    };
    container.becomes("healthy");
    let healthy = "healthy: the event loops turn, Docker answers, not registered yet\n";
    assert_eq!(container.exec(&["health"]).ok(), healthy);
    registers(&container, &port);
    assert_eq!(
        container.inspect("{{.HostConfig.ReadonlyRootfs}} {{.HostConfig.CapDrop}}"),
        "true [ALL]"
    );
    let service = format!("{name}_agent");
    let format =
        "{{range .Endpoint.Ports}}{{.PublishMode}} {{.PublishedPort}} {{.TargetPort}}{{end}}";
    assert_eq!(
        cli.run(&["service", "inspect", "--format", format, &service])
            .ok(),
        format!("host {port} 8771\n")
    );
    assert!(TcpStream::connect(format!("127.0.0.1:{port}")).is_ok());
}

/// Whether mounts below the host's root are passed on to nobody (proc_pid_mountinfo(5)).
fn has_private_root() -> bool {
    let table = fs::read_to_string("/proc/1/mountinfo")
        .or_else(|_| fs::read_to_string("/proc/self/mountinfo"));
    let table = table.unwrap();
    let root = table
        .lines()
        .rfind(|line| line.split(' ').nth(4) == Some("/"));
    !root.unwrap().contains(" shared:")
}

/// A stack, which is removed with its containers.
struct Deployed<'a>(&'a Cli, &'a str);

impl Drop for Deployed<'_> {
    fn drop(&mut self) {
        let Deployed(cli, name) = self;
        cli.run(&["stack", "rm", name]);
        let label = format!("label=com.docker.stack.namespace={name}");
        eventually(|| cli.run(&["ps", "-aq", "--filter", &label]).out().is_empty());
    }
}

/// As anybody, in the group of Docker's socket, without a capability and on a read-only root.
#[test]
fn it_needs_nothing_but_the_group_of_dockers_socket() {
    let Some(image) = Image::load() else { return };
    let gid = fs::metadata(socket()).unwrap().gid().to_string();
    let user = ["--user", "65534", "--network", "none", "-v", "/run:/run"];
    let without = image.start("without", &[&LEAST[..], &user[..]].concat(), &[]);
    without.becomes("unhealthy");
    let told = format!("or start its container with --group-add {gid}");
    without.says(&told);
    assert!(without.log().contains(&told), "{}", without.log());

    let group = ["--group-add", &gid];
    let with = image.start(
        "with",
        &[&LEAST[..], &user[..], &group[..], &ROOT[..]].concat(),
        &[],
    );
    with.becomes("healthy");
    assert_eq!(
        with.exec(&["health"]).ok(),
        "healthy: the event loops turn, Docker answers\n"
    );
    let log = with.log();
    let sandbox = log.lines().find(|line| line.contains("sandbox: "));
    let sandbox = sandbox.unwrap_or_else(|| panic!("{log}"));
    eprintln!("{sandbox}");
    assert!(sandbox.contains("sandbox: no_new_privs"), "{sandbox}");
    assert!(sandbox.contains("seccomp ("), "{sandbox}");

    // Nobody else in the container may ask.
    let uid = ["exec", "-u", "12345", &with.name, "/haven-agent", "health"];
    let stranger = image.cli.run(&uid);
    assert_eq!(stranger.code, Some(1));
    assert!(
        stranger.out().contains("the agent is of user 65534"),
        "{stranger:?}"
    );
}

#[test]
fn docker_out_of_reach_makes_it_unhealthy_until_it_is_back() {
    let Some(image) = Image::load() else { return };
    let upstream = Upstream::answering(OK);
    let run = format!("{}:/run", upstream.socket().parent().unwrap().display());
    let options = [&LEAST[..], &["--network", "none", "-v", &run]].concat();
    let container = image.start("health", &options, &["--listen", "127.0.0.1:0", "-vv"]);
    container.becomes("healthy");
    upstream.remove_socket();
    container.becomes("unhealthy");
    container.says("unhealthy: there is no Docker socket at /run/docker.sock");
    assert_eq!(
        container.exec(&["health", "live"]).ok(),
        "healthy: the event loops turn\n"
    );
    upstream.listen_again();
    container.becomes("healthy");
}

/// Each is process 1 of its own, and listens in the host's network.
#[test]
fn two_containers_in_the_hosts_network_are_told_apart() {
    are_told_apart(&["--network", "host"]);
}

/// They are processes of the host, as other tests' agents are, and share mounts with none of these.
#[test]
fn two_containers_with_the_hosts_processes_are_told_apart() {
    are_told_apart(&["--network", "host", "--pid", "host"]);
}

#[track_caller]
fn are_told_apart(shared: &[&str]) {
    let Some(image) = Image::load() else { return };
    let engines = [Upstream::answering(OK), Upstream::answering(OK)];
    let containers: Vec<_> = engines
        .iter()
        .zip(["one", "two"])
        .map(|(engine, what)| {
            let run = format!("{}:/run", engine.socket().parent().unwrap().display());
            let options = [&LEAST[..], shared, &["-v", &run]].concat();
            image.start(what, &options, &["--listen", "127.0.0.1:0"])
        })
        .collect();
    for container in &containers {
        container.becomes("healthy");
    }
    engines[1].remove_socket();
    containers[1].becomes("unhealthy");
    containers[0].becomes("healthy");
    assert_eq!(containers[0].exec(&["health"]).code, Some(0));
    assert_eq!(containers[1].exec(&["health"]).code, Some(1));
}

/// `report` inside and on the host, of the same machine: what does not move is equal, what moves is close.
#[test]
fn a_report_from_inside_has_the_hosts_numbers() {
    let Some(image) = Image::load() else { return };
    let gid = fs::metadata(socket()).unwrap().gid().to_string();
    let rights = [
        "run",
        "--rm",
        "--network",
        "none",
        "-v",
        "/run:/run",
        "--user",
        "65534",
        "--group-add",
        &gid,
    ];
    let words = [&rights[..], &LEAST[..], &ROOT[..], &[&image.name, "report"]].concat();
    let report = || {
        let output = clean(static_binary().unwrap())
            .args(["--config", "/dev/null", "report"])
            .output();
        parse(&String::from_utf8_lossy(&output.unwrap().stdout))
    };
    let near = |one: i64, other: i64| (one - other).abs() <= one / 5 + (256 << 20);
    let agrees = || {
        let before = report();
        let inside = parse(&image.cli.run(&words).ok());
        let host = report();
        for key in ["name", "id", "labels"] {
            assert_eq!(text(&host, &[key]), text(&inside, &[key]), "{key}");
        }
        let (memory, there) = (
            &["system", "memory", "total"],
            &["system", "memory", "used"],
        );
        assert_eq!(number(&host, memory), number(&inside, memory));
        assert!(near(number(&host, there), number(&inside, there)));
        let (disks, nets) = (
            keys(&host, &["system", "disks"]),
            keys(&host, &["system", "net"]),
        );
        assert!(!disks.is_empty() && !nets.is_empty(), "{disks:?} {nets:?}");
        let same = disks.iter().all(|disk| {
            let [total, used] = ["total", "used"].map(|what| ["system", "disks", disk, what]);
            number(&host, &total) == number(&inside, &total)
                && near(number(&host, &used), number(&inside, &used))
        });
        // Counted on between the two of the host, and some have counted something.
        let counts = |report: &Object, net: &str| {
            ["bytesIn", "bytesOut"].map(|what| number(report, &["system", "net", net, what]))
        };
        let counted = |net: &String| {
            let [before, inside, host] = [&before, &inside, &host].map(|from| counts(from, net));
            (0..2).all(|way| before[way] <= inside[way] && inside[way] <= host[way])
        };
        let some = nets
            .iter()
            .any(|net| counts(&inside, net).iter().all(|&count| count > 0));
        // Other tests mount, and make bridges.
        same && disks == keys(&inside, &["system", "disks"])
            && nets == keys(&before, &["system", "net"])
            && nets == keys(&inside, &["system", "net"])
            && nets.iter().all(counted)
            && some
            && load(&inside) > 0.0
            && load(&inside) <= 100.0
    };
    assert!(eventually(agrees));
}

/// Of all of the machine, on which this test is at work.
fn load(report: &Object) -> f64 {
    text(report, &["system", "cpuLoad"]).parse().unwrap()
}

fn parse(text: &str) -> Object {
    json::from_str(text).unwrap_or_else(|_| panic!("no JSON: {text}"))
}

#[track_caller]
fn at<'a>(object: &'a Object, path: &[&str]) -> &'a Value {
    let value = object.get(path[0]).unwrap_or_else(|| panic!("no {path:?}"));
    match value {
        Value::Object(inner) if path.len() > 1 => at(inner, &path[1..]),
        _ => value,
    }
}

fn text(object: &Object, path: &[&str]) -> String {
    json::to_string(at(object, path))
}

fn number(object: &Object, path: &[&str]) -> i64 {
    text(object, path).parse().unwrap_or(-1)
}

fn keys(object: &Object, path: &[&str]) -> Vec<String> {
    match at(object, path) {
        Value::Object(inner) => inner.keys().cloned().collect(),
        other => panic!("{other:?}"),
    }
}
