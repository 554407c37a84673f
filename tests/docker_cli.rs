//! The docker command through the agent: what it prints and how it exits is what the engine's own
//! socket gives, for every docker command on `PATH`.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test fails by it"
)]

mod support;

use support::docker::{Cli, IMAGE, engine_lock};
use support::pair::with_each_cli;
use support::{noise, sha256};

#[test]
fn what_reads_the_engine_prints_the_same() {
    with_each_cli(|pair, scope| {
        let _whole = engine_lock(false);
        let up = scope.sleeper("up");
        let ended = scope.name("ended");
        let volume = scope.name("volume");
        let filter = format!("name={}", scope.prefix());
        pair.direct
            .run(&[
                "run",
                "--name",
                &ended,
                "--network",
                "none",
                IMAGE,
                "sh",
                "-c",
                "echo a; echo b >&2",
            ])
            .ok();
        pair.direct.run(&["volume", "create", &volume]).ok();
        let reads: &[&[&str]] = &[
            &["version"],
            &["info"],
            &["ps", "-a", "--no-trunc", "--filter", &filter],
            &["ps", "-q", "--size", "--filter", &filter],
            &["images", "--no-trunc", IMAGE],
            &["image", "ls", "--digests"],
            &["inspect", &up, &ended],
            &["image", "inspect", IMAGE],
            &["history", "--no-trunc", IMAGE],
            &["top", &up],
            &["top", &up, "-o", "pid,args"],
            &["logs", "--timestamps", &ended],
            &["diff", &up],
            &["port", &up],
            &["volume", "ls", "--filter", &filter],
            &["volume", "inspect", &volume],
            &["network", "ls", "--no-trunc"],
            &["network", "inspect", "host"],
            &[
                "stats",
                "--no-stream",
                "--format",
                "{{.Name}} {{.ID}} {{.PIDs}}",
                &up,
            ],
            &["system", "df"],
            &["plugin", "ls"],
        ];
        for args in reads {
            let seen = pair.reads(args);
            assert_eq!(seen.code, Some(0), "docker {args:?}: {seen:?}");
        }
    });
}

#[test]
fn what_fails_fails_with_the_same_words() {
    with_each_cli(|pair, scope| {
        let none = scope.name("none");
        let up = scope.sleeper("up");
        let made = scope.name("made");
        let fails: &[&[&str]] = &[
            &["inspect", &none],
            &["logs", &none],
            &["logs", "-f", &none],
            &["attach", &none],
            &["exec", &none, "true"],
            &["exec", &up, "no-such-program"],
            &["rm", &none],
            &["rm", &up],
            &["start", &none],
            &["kill", &none],
            &["wait", &none],
            &["cp", &format!("{none}:/etc"), "-"],
            &["cp", &format!("{up}:/no/such/file"), "-"],
            &["volume", "inspect", &none],
            &["network", "inspect", &none],
            &["network", "rm", &none],
            &["rmi", &none],
            &["run", "--name", &made, "--network", &none, IMAGE, "true"],
            &[
                "run",
                "--name",
                &made,
                "--rm",
                "--network",
                "none",
                IMAGE,
                "no-such-program",
            ],
            &["swarm", "leave"],
        ];
        for args in fails {
            let seen = pair.same_but_ids(args);
            pair.direct.run(&["rm", "-f", &made]);
            assert_ne!(seen.code, Some(0), "docker {args:?}: {seen:?}");
        }
    });
}

#[test]
fn run_attached_carries_output_input_and_status() {
    with_each_cli(|pair, _| {
        let run = |options: &[&str], script: &str, stdin: &[u8]| {
            let head = ["run", "--rm", "--network", "none"];
            pair.same(
                &[&head, options, &[IMAGE, "sh", "-c", script]].concat(),
                stdin,
            )
        };
        assert_eq!(run(&[], "echo hi", b"").ok(), "hi\n");

        let seen = run(&[], "echo out; echo err >&2; exit 7", b"");
        assert_eq!(
            (seen.code, seen.out(), seen.err()),
            (Some(7), "out\n".into(), "err\n".into())
        );

        // The end of the input has to arrive, or these would never end.
        let data = noise(3 << 20);
        assert_eq!(
            run(&["-i"], "wc -c", &data).ok().trim(),
            data.len().to_string()
        );
        assert_eq!(sha256(&run(&["-i"], "cat", &data).stdout), sha256(&data));

        // A container that does not read its input to the end.
        assert_eq!(run(&["-i"], "head -c 5", b"12345 and more").ok(), "12345");

        // A terminal in the container and none here: carriage returns, one stream.
        assert_eq!(
            run(&["-t"], "echo out; echo err >&2", b"").ok(),
            "out\r\nerr\r\n"
        );

        let large = run(
            &[],
            "dd if=/dev/zero bs=1M count=20 2>/dev/null | tr '\\0' x",
            b"",
        );
        assert_eq!(large.stdout.len(), 20 << 20);
    });
}

#[test]
fn run_detached_then_wait_logs_and_remove() {
    with_each_cli(|pair, scope| {
        let name = scope.name("detached");
        let script = "echo begun; sleep 1; exit 5";
        let id = pair
            .agent
            .run(&[
                "run",
                "-d",
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
        assert_eq!(id.trim().len(), 64);
        assert_eq!(pair.agent.run(&["wait", &name]).ok(), "5\n");
        assert_eq!(pair.reads(&["logs", &name]).ok(), "begun\n");
        assert_eq!(pair.agent.run(&["rm", &name]).ok().trim(), name);

        let up = scope.sleeper("life");
        for verb in ["pause", "unpause", "kill", "start"] {
            assert_eq!(pair.agent.run(&[verb, &up]).ok().trim(), up, "{verb}");
        }
        assert_eq!(pair.agent.run(&["restart", "-t", "0", &up]).ok().trim(), up);
        assert_eq!(pair.agent.run(&["stop", "-t", "1", &up]).ok().trim(), up);
        let renamed = scope.name("renamed");
        assert_eq!(pair.agent.run(&["rename", &up, &renamed]).ok(), "");
        pair.agent.run(&["rm", &renamed]).ok();
    });
}

#[test]
fn exec_carries_output_input_and_status() {
    with_each_cli(|pair, scope| {
        let up = scope.sleeper("exec");
        let exec = |options: &[&str], script: &str, stdin: &[u8]| {
            pair.same(
                &[&["exec"], options, &[&up, "sh", "-c", script]].concat(),
                stdin,
            )
        };
        let seen = exec(&[], "echo out; echo err >&2; exit 9", b"");
        assert_eq!(
            (seen.code, seen.out(), seen.err()),
            (Some(9), "out\n".into(), "err\n".into())
        );

        let data = noise(3 << 20);
        assert_eq!(
            exec(&["-i"], "cat | wc -c", &data).ok().trim(),
            data.len().to_string()
        );
        assert_eq!(sha256(&exec(&["-i"], "cat", &data).stdout), sha256(&data));
        assert_eq!(
            exec(&["-i"], "sha256sum", &data).ok(),
            format!("{}  -\n", sha256(&data))
        );

        // Its output is complete although its input was still being sent.
        assert_eq!(
            exec(
                &["-i"],
                "head -c 3; dd if=/dev/zero bs=1k count=3000 2>/dev/null",
                &data
            )
            .stdout
            .len(),
            3 + 3_072_000
        );

        assert_eq!(exec(&["-d"], "touch /detached", b"").ok(), "");
        assert_eq!(
            exec(&["-e", "A=b c", "-w", "/tmp"], "echo $A; pwd", b"").ok(),
            "b c\n/tmp\n"
        );
    });
}

#[test]
fn terminals_have_the_size_of_the_users_and_follow_it() {
    with_each_cli(|pair, scope| {
        let up = scope.sleeper("terminal");
        let steps = "size 33 111\nexpect ready\nsize 44 122\nsend word\nexpect got word\n";
        // The new size is on its way while the word is: the size is asked for until it is there.
        let resized = "echo ready; read answer; n=0; until [ \"$(stty size 2>&1)\" = '44 122' ] || [ $n = 50 ]; do n=$((n+1)); sleep 0.1; done; stty size; echo \"got $answer\"; exit 3";
        let seen = pair.same_terminal(steps, &["exec", "-it", &up, "sh", "-c", resized]);
        assert_eq!(seen.code, Some(3), "{seen:?}");
        assert!(seen.out().contains("44 122\r\ngot word"), "{seen:?}");

        let seen = pair.same_terminal(
            steps,
            &[
                "run",
                "--rm",
                "-it",
                "--network",
                "none",
                IMAGE,
                "sh",
                "-c",
                resized,
            ],
        );
        assert_eq!(seen.code, Some(3), "{seen:?}");
        assert!(seen.out().contains("44 122\r\ngot word"), "{seen:?}");

        let start = "size 35 101\nexpect 35 101\n";
        let sized = "n=0; until [ \"$(stty size 2>&1)\" = '35 101' ] || [ $n = 50 ]; do n=$((n+1)); sleep 0.1; done; stty size";
        pair.same_terminal(start, &["exec", "-it", &up, "sh", "-c", sized]);

        // Ctrl-C reaches the program, and Ctrl-P Ctrl-Q detaches.
        let trap = "trap 'echo caught; exit 4' INT; echo ready; while :; do sleep 0.1; done";
        let seen = pair.same_terminal(
            "expect ready\nkey 03\nexpect caught",
            &["exec", "-it", &up, "sh", "-c", trap],
        );
        assert_eq!(seen.code, Some(4), "{seen:?}");
    });
}

#[test]
fn attach_reads_writes_detaches_and_takes_the_status() {
    with_each_cli(|pair, scope| {
        let run = |cli: &Cli, name: &str, options: &[&str], script: &str| {
            let head = ["run", "-d", "--network", "none", "--name", name];
            cli.run(&[&head, options, &[IMAGE, "sh", "-c", script]].concat())
                .ok();
        };
        let outcome = |cli: &Cli, name: &str| {
            run(
                cli,
                name,
                &["-i"],
                "read line; echo err >&2; echo got $line; read line; exit 3",
            );
            // Its input stays open until the answer is there: at the end of an attached input the
            // engine itself may drop what the container still says.
            let mut attached = cli.start(&["attach", name]);
            attached.write(b"a line\n");
            attached.wait_for("answer", |out| out.contains("got a line"));
            attached.write(b"another\n");
            let seen = attached.finish();
            cli.run(&["rm", "-f", name]).ok();
            seen
        };
        let name = scope.name("attach");
        let (direct, agent) = (outcome(&pair.direct, &name), outcome(&pair.agent, &name));
        assert_eq!(direct, agent);
        assert_eq!(
            (agent.code, agent.out(), agent.err()),
            (Some(3), "got a line\n".into(), "err\n".into())
        );

        // In a terminal: detached by its keys, attached again, the program still runs.
        let name = scope.name("terminal");
        run(
            &pair.agent,
            &name,
            &["-it"],
            "while read line; do echo \"got $line\"; done",
        );
        let seen = pair
            .agent
            .terminal("send one\nexpect got one\nkey 1011\n", &["attach", &name]);
        assert!(matches!(seen.code, Some(0 | 1)), "{seen:?}");
        let seen = pair
            .agent
            .terminal("send two\nexpect got two\nkey 04\n", &["attach", &name]);
        assert_eq!(seen.code, Some(0), "{seen:?}");

        // Created, then started with its input attached: the end of the input ends it.
        let started = |cli: &Cli, name: &str| {
            cli.run(&[
                "create",
                "-i",
                "--network",
                "none",
                "--name",
                name,
                IMAGE,
                "sha256sum",
            ])
            .ok();
            let seen = cli.feed(&["start", "-ai", name], &noise(1 << 20));
            cli.run(&["rm", name]).ok();
            seen
        };
        let name = scope.name("start");
        assert_eq!(started(&pair.direct, &name), started(&pair.agent, &name));
    });
}

#[test]
fn logs_follow_to_the_end() {
    // The container lives on for a while: dockerd may drop the end of a log that it has not read when
    // its container ends, at its own socket as well.
    with_each_cli(|pair, scope| {
        let name = scope.name("follow");
        let script = "i=0; while [ $i -lt 5 ]; do i=$((i+1)); echo line $i; echo err $i >&2; sleep 0.2; done; seq 20000; sleep 3";
        pair.direct
            .run(&[
                "run",
                "-d",
                "--network",
                "none",
                "--name",
                &name,
                IMAGE,
                "sh",
                "-c",
                script,
            ])
            .ok();
        let direct = pair.direct.start(&["logs", "-f", "-t", &name]);
        let agent = pair.agent.start(&["logs", "-f", "-t", &name]);
        let (direct, agent) = (direct.finish(), agent.finish());
        assert_eq!(direct, agent);
        assert_eq!(agent.out().lines().count(), 20_005);
        assert_eq!(
            pair.reads(&["logs", "--tail", "3", &name]).out(),
            "19998\n19999\n20000\n"
        );
    });
}

#[test]
fn events_come_as_they_happen() {
    with_each_cli(|pair, scope| {
        let name = scope.name("events");
        let filter = format!("container={name}");
        let args = [
            "events",
            "--filter",
            &filter,
            "--format",
            "{{.Type}} {{.Action}} {{.Actor.ID}} {{.TimeNano}}",
        ];
        let mut direct = pair.direct.start(&args);
        let mut agent = pair.agent.start(&args);
        // No event tells that they listen: containers are made until both have heard of one.
        assert!(support::eventually(|| {
            pair.direct
                .run(&[
                    "run",
                    "--rm",
                    "--name",
                    &name,
                    "--network",
                    "none",
                    IMAGE,
                    "true",
                ])
                .ok();
            direct.out().contains("destroy") && agent.out().contains("destroy")
        }));
        pair.direct
            .run(&[
                "run",
                "--rm",
                "--name",
                &name,
                "--network",
                "none",
                IMAGE,
                "true",
            ])
            .ok();
        let id_of_last = |out: &str| {
            out.lines()
                .last()
                .and_then(|line| line.split(' ').nth(2))
                .map(str::to_owned)
        };
        let last_is_whole = |out: &str| {
            out.lines()
                .last()
                .is_some_and(|line| line.contains("destroy"))
        };
        assert!(support::eventually(|| {
            last_is_whole(&direct.out())
                && last_is_whole(&agent.out())
                && id_of_last(&direct.out()) == id_of_last(&agent.out())
        }));
        direct.kill();
        agent.kill();
        let id = id_of_last(&agent.out()).unwrap();
        let of_last = |out: String| {
            out.lines()
                .filter(|line| line.contains(&id))
                .map(str::to_owned)
                .collect::<Vec<_>>()
        };
        assert_eq!(of_last(direct.out()), of_last(agent.out()));
        assert!(of_last(agent.out()).len() >= 4, "{}", agent.out());

        // What was, between two times. The engine remembers its last 256 events, which may be others'.
        let past = [
            "events", "--since", "1h", "--until", "0s", "--filter", &filter,
        ];
        assert!(support::eventually(|| {
            pair.direct
                .run(&[
                    "run",
                    "--rm",
                    "--name",
                    &name,
                    "--network",
                    "none",
                    IMAGE,
                    "true",
                ])
                .ok();
            pair.reads(&past).ok().contains("destroy")
        }));
    });
}

#[test]
fn stats_stream() {
    with_each_cli(|pair, scope| {
        let up = scope.sleeper("stats");
        let mut stats = pair
            .agent
            .start(&["stats", "--format", "{{.Name}} {{.MemUsage}}", &up]);
        stats.wait_for("third sample", |out| out.matches(&up).count() >= 3);
    });
}
