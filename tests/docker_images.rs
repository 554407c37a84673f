//! What moves images, files and whole file systems through the agent: the docker command's long
//! uploads and downloads, for every docker command on `PATH`.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test fails by it"
)]

mod support;

use std::fs;
use std::path::Path;
use std::process::Command;

use support::docker::{Cli, IMAGE, Scope, Swarm, engine_lock};
use support::pair::with_each_cli;
use support::process::run;
use support::{TempDir, eventually, noise, sha256, skipped};

/// Larger than any buffer on the way, by far.
const LARGE: usize = 100 << 20;
const MEDIUM: usize = 30 << 20;

#[test]
fn build_with_a_large_context() {
    with_each_cli(|pair, scope| {
        let context = TempDir::new("context");
        let data = noise(LARGE);
        fs::write(context.join("large"), &data).unwrap();
        let dockerfile = format!(
            "FROM {IMAGE}\nCOPY large /large\nRUN --network=none sha256sum /large\nCMD [\"true\"]\n"
        );
        // The classic builder knows no `RUN --network`: the option of the command does it.
        fs::write(
            context.join("Dockerfile"),
            dockerfile.replace("--network=none ", ""),
        )
        .unwrap();
        let image = scope.name("built");
        let path = context.path().display().to_string();
        let args = [
            "build",
            "--no-cache",
            "--force-rm",
            "--network",
            "none",
            "-t",
            &image,
            &path,
        ];
        let built = pair.agent.run(&args).ok();
        assert!(built.contains(&sha256(&data)), "{built}");
        assert!(
            built.contains(&format!("Successfully tagged {image}:latest")),
            "{built}"
        );
        // The second build is the first one's from the cache, at either end.
        let args: Vec<_> = args
            .iter()
            .copied()
            .filter(|arg| *arg != "--no-cache")
            .collect();
        assert_eq!(
            ends(&pair.direct.run(&args).ok()),
            ends(&pair.agent.run(&args).ok())
        );

        let broken = TempDir::new("context");
        fs::write(
            broken.join("Dockerfile"),
            format!("FROM {IMAGE}\nRUN echo before; exit 6\n"),
        )
        .unwrap();
        let path = broken.path().display().to_string();
        let failed = pair.agent.run(&[
            "build",
            "--force-rm",
            "--network",
            "none",
            "-t",
            &image,
            &path,
        ]);
        assert!(
            failed.code == Some(6) || failed.code == Some(1),
            "{failed:?}"
        );
        assert!(failed.out().contains("before"), "{failed:?}");
        assert!(failed.err().contains("non-zero code: 6"), "{failed:?}");
    });
}

/// The last lines: steps and ids, without the progress of the upload.
fn ends(built: &str) -> Vec<String> {
    let lines = built
        .lines()
        .filter(|line| line.contains("--->") || line.starts_with("Successfully"));
    lines.map(|line| line.trim().to_owned()).collect()
}

/// BuildKit upgrades `/session` and `/grpc` to HTTP/2 on the hijacked connection. A docker command
/// of version 20 has it built in; later ones need the buildx plugin.
#[test]
fn build_with_buildkit() {
    with_each_cli(|pair, scope| {
        if pair.agent.version() > 20 && pair.agent.run(&["buildx", "version"]).code != Some(0) {
            skipped(&format!(
                "docker {} has no buildx plugin",
                pair.agent.version()
            ));
            return;
        }
        let context = TempDir::new("context");
        let data = noise(MEDIUM);
        fs::write(context.join("large"), &data).unwrap();
        let dockerfile = format!("FROM {IMAGE}\nCOPY large /large\nRUN sha256sum /large\n");
        fs::write(context.join("Dockerfile"), dockerfile).unwrap();
        let path = context.path().display().to_string();
        // A name each: the first image would be left without one.
        for (cli, name) in [(&pair.direct, "direct"), (&pair.agent, "agent")] {
            let image = scope.name(name);
            let args = [
                "build",
                "--progress",
                "plain",
                "--no-cache",
                "--network",
                "none",
                "-t",
                &image,
                &path,
            ];
            let built = run(cli.command(&args).env("DOCKER_BUILDKIT", "1"), b"");
            assert_eq!(built.code, Some(0), "{built:?}");
            assert!(built.err().contains(&sha256(&data)), "{built:?}");
        }
        pair.reads(&["image", "inspect", &scope.name("agent")]);
    });
}

#[test]
fn save_and_load_a_large_image() {
    with_each_cli(|pair, scope| {
        let image = large_image(&pair.direct, scope, LARGE);
        let id = pair
            .direct
            .run(&["image", "inspect", "--format", "{{.Id}}", &image])
            .ok();

        let direct = pair.direct.run(&["save", &image]);
        let agent = pair.agent.run(&["save", &image]);
        assert!(agent.stdout.len() > LARGE, "{agent:?}");
        assert_eq!(direct, agent);

        pair.direct.run(&["rmi", &image]).ok();
        let loaded = pair.agent.feed(&["load"], &agent.stdout).ok();
        assert!(loaded.contains(&image), "{loaded}");
        assert_eq!(
            pair.agent
                .run(&["image", "inspect", "--format", "{{.Id}}", &image])
                .ok(),
            id
        );

        let file = TempDir::new("save");
        let path = file.join("image.tar").display().to_string();
        pair.agent.run(&["save", "-o", &path, &image]).ok();
        assert_eq!(sha256(&fs::read(&path).unwrap()), sha256(&agent.stdout));
        pair.direct.run(&["rmi", &image]).ok();
        pair.agent.run(&["load", "-q", "-i", &path]).ok();
        assert_eq!(
            pair.agent
                .run(&["image", "inspect", "--format", "{{.Id}}", &image])
                .ok(),
            id
        );
    });
}

/// An image with one file that does not compress.
fn large_image(cli: &Cli, scope: &Scope, size: usize) -> String {
    let image = scope.name("large");
    let dir = TempDir::new("large");
    fs::write(dir.join("large"), noise(size)).unwrap();
    let tar = tar(dir.path());
    cli.feed(&["import", "-", &image], &tar).ok();
    image
}

fn tar(dir: &Path) -> Vec<u8> {
    let tar = run(
        Command::new("tar").arg("-C").arg(dir).args(["-c", "."]),
        b"",
    );
    assert_eq!(tar.code, Some(0), "{tar:?}");
    tar.stdout
}

#[test]
fn export_and_import() {
    with_each_cli(|pair, scope| {
        let image = large_image(&pair.direct, scope, MEDIUM);
        let name = scope.name("export");
        pair.direct
            .run(&[
                "create",
                "--name",
                &name,
                "--network",
                "none",
                &image,
                "/none",
            ])
            .ok();
        let direct = pair.direct.run(&["export", &name]);
        let agent = pair.agent.run(&["export", &name]);
        assert!(agent.stdout.len() > MEDIUM);
        assert_eq!(direct, agent);

        let imported = scope.name("imported");
        let id = pair
            .agent
            .feed(
                &["import", "-c", "CMD [\"/none\"]", "-", &imported],
                &agent.stdout,
            )
            .ok();
        assert_eq!(
            pair.reads(&["image", "inspect", "--format", "{{.Id}}", &imported])
                .ok(),
            id
        );
        assert_eq!(
            pair.reads(&["image", "inspect", "--format", "{{.Config.Cmd}}", &imported])
                .ok(),
            "[/none]\n"
        );
    });
}

#[test]
fn copy_both_ways() {
    with_each_cli(|pair, scope| {
        let up = scope.sleeper("copy");
        let here = TempDir::new("copy");
        let data = noise(MEDIUM);
        fs::write(here.join("in"), &data).unwrap();
        let inside = format!("{up}:/tmp/in");
        pair.agent
            .run(&["cp", &here.join("in").display().to_string(), &inside])
            .ok();
        let sum = pair.agent.run(&["exec", &up, "sha256sum", "/tmp/in"]).ok();
        assert_eq!(sum, format!("{}  /tmp/in\n", sha256(&data)));

        pair.agent
            .run(&["cp", &inside, &here.join("out").display().to_string()])
            .ok();
        assert_eq!(sha256(&fs::read(here.join("out")).unwrap()), sha256(&data));

        let (direct, agent) = (
            pair.direct.run(&["cp", &inside, "-"]),
            pair.agent.run(&["cp", &inside, "-"]),
        );
        assert!(agent.stdout.len() > MEDIUM);
        assert_eq!(direct, agent);

        fs::create_dir(here.join("tree")).unwrap();
        fs::write(here.join("tree/file"), "in a tree").unwrap();
        pair.agent
            .feed(&["cp", "-", &format!("{up}:/tmp")], &tar(here.path()))
            .ok();
        assert_eq!(
            pair.agent.run(&["exec", &up, "cat", "/tmp/tree/file"]).ok(),
            "in a tree"
        );
    });
}

#[test]
fn commit_volumes_and_networks() {
    with_each_cli(|pair, scope| {
        let up = scope.sleeper("commit");
        pair.agent
            .run(&["exec", &up, "sh", "-c", "echo kept > /kept"])
            .ok();
        assert_eq!(pair.reads(&["diff", &up]).ok(), "A /kept\n");
        let image = scope.name("committed");
        let id = pair
            .agent
            .run(&["commit", "-m", "a word", &up, &image])
            .ok();
        assert_eq!(
            pair.reads(&["image", "inspect", "--format", "{{.Id}}", &image])
                .ok(),
            id
        );
        let shown = pair
            .agent
            .run(&["run", "--rm", "--network", "none", &image, "cat", "/kept"])
            .ok();
        assert_eq!(shown, "kept\n");
        let tagged = format!("{image}:other");
        pair.agent.run(&["tag", &image, &tagged]).ok();
        assert!(pair.agent.run(&["rmi", &tagged]).ok().contains(&tagged));

        let volume = scope.name("volume");
        assert_eq!(
            pair.agent.run(&["volume", "create", &volume]).ok().trim(),
            volume
        );
        let mount = format!("{volume}:/v");
        let run = |script| {
            pair.agent
                .run(&[
                    "run",
                    "--rm",
                    "--network",
                    "none",
                    "-v",
                    &mount,
                    IMAGE,
                    "sh",
                    "-c",
                    script,
                ])
                .ok()
        };
        run("echo in the volume > /v/file");
        assert_eq!(run("cat /v/file"), "in the volume\n");
        pair.reads(&["volume", "inspect", &volume]);
        assert_eq!(
            pair.agent.run(&["volume", "rm", &volume]).ok().trim(),
            volume
        );

        let network = scope.name("network");
        assert_eq!(
            pair.agent
                .run(&["network", "create", "--internal", &network])
                .ok()
                .trim()
                .len(),
            64
        );
        pair.reads(&["network", "inspect", &network]);
        let peer = scope.name("peer");
        pair.agent
            .run(&[
                "run",
                "-d",
                "--name",
                &peer,
                "--network",
                &network,
                IMAGE,
                "sleep",
                "600",
            ])
            .ok();
        assert!(
            pair.agent
                .run(&["network", "inspect", &network])
                .ok()
                .contains(&peer)
        );
        pair.agent
            .run(&["network", "disconnect", "-f", &network, &peer])
            .ok();
        assert_eq!(
            pair.agent.run(&["network", "rm", &network]).ok().trim(),
            network
        );
        let seen = pair.agent.run(&[
            "container",
            "prune",
            "-f",
            "--filter",
            &format!("label={network}"),
        ]);
        assert_eq!(seen.ok(), "Total reclaimed space: 0B\n");
    });
}

#[test]
fn swarm_and_services() {
    with_each_cli(|pair, scope| {
        let _alone = engine_lock(true);
        let Some(_swarm) = Swarm::begin(&pair.direct, &pair.agent) else {
            return;
        };
        let service = scope.name("service");
        let create = [
            "service",
            "create",
            "-d",
            "--no-resolve-image",
            "--name",
            &service,
            IMAGE,
            "sh",
            "-c",
        ];
        pair.agent
            .run(&[&create[..], &["echo said by the service; sleep 600"]].concat())
            .ok();
        let log = || {
            pair.agent
                .run(&["service", "logs", "--raw", &service])
                .out()
        };
        assert!(
            eventually(|| log().contains("said by the service")),
            "{}",
            log()
        );
        pair.reads(&["service", "inspect", &service]);
        pair.reads(&["node", "ls"]);
        pair.reads(&[
            "service",
            "ps",
            "--no-trunc",
            "--format",
            "{{.ID}} {{.Name}} {{.DesiredState}}",
            &service,
        ]);
        pair.agent
            .run(&["service", "scale", "-d", &format!("{service}=0")])
            .ok();
        assert_eq!(
            pair.agent.run(&["service", "rm", &service]).ok().trim(),
            service
        );
        assert_eq!(
            pair.agent.run(&["swarm", "leave", "--force"]).ok(),
            "Node left the swarm.\n"
        );
    });
}
