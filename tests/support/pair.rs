//! One docker command at the engine's own socket and through the agent.

use super::agent::Agent;
use super::docker::{Cli, Scope, clis, docker};
use super::process::Outcome;

/// How often two looks at a living engine are compared before a difference counts.
const LOOKS: usize = 20;

/// One docker command, at the socket and through the agent.
pub struct Pair {
    pub direct: Cli,
    pub agent: Cli,
}

impl Pair {
    /// Two outcomes of commands that read: the same, as soon as nothing else changes the engine.
    #[track_caller]
    pub fn reads(&self, args: &[&str]) -> Outcome {
        let mut last = None;
        for _ in 0..LOOKS {
            let direct = self.direct.run(args);
            let agent = self.agent.run(args);
            if direct == agent {
                return agent;
            }
            last = Some((direct, agent));
        }
        panic!("docker {args:?}: at the socket, then through the agent: {last:#?}");
    }

    /// The outcome of a command that may be done twice.
    #[track_caller]
    pub fn same(&self, args: &[&str], stdin: &[u8]) -> Outcome {
        let direct = self.direct.feed(args, stdin);
        let agent = self.agent.feed(args, stdin);
        assert_eq!(
            direct, agent,
            "docker {args:?}: at the socket, then through the agent"
        );
        agent
    }

    #[track_caller]
    pub fn same_terminal(&self, steps: &str, args: &[&str]) -> Outcome {
        let direct = self.direct.terminal(steps, args);
        let agent = self.agent.terminal(steps, args);
        assert_eq!(
            direct, agent,
            "docker {args:?} in a terminal: at the socket, then through the agent"
        );
        agent
    }

    /// Errors name the container that was made for the attempt: ids are taken out.
    #[track_caller]
    pub fn same_but_ids(&self, args: &[&str]) -> Outcome {
        let seen = |cli: &Cli| {
            // `run` leaves a container under its name.
            if let Some(at) = args.iter().position(|arg| *arg == "--name") {
                cli.run(&["rm", "-f", args[at + 1]]);
            }
            let mut outcome = cli.run(args);
            // The older command logs on its own that it gave up waiting, if it came to wait.
            let words = outcome
                .err()
                .lines()
                .filter(|line| !line.starts_with("time="))
                .collect::<String>();
            let long =
                |word: &&str| word.len() < 32 || !word.chars().all(|c| c.is_ascii_hexdigit());
            outcome.stderr = words
                .split(|c: char| !c.is_ascii_alphanumeric())
                .filter(long)
                .collect::<Vec<_>>()
                .join(" ")
                .into();
            outcome
        };
        let (direct, agent) = (seen(&self.direct), seen(&self.agent));
        assert_eq!(
            direct, agent,
            "docker {args:?}: at the socket, then through the agent"
        );
        agent
    }
}

/// Runs `test` for every docker command against one agent.
pub fn with_each_cli(test: impl Fn(&Pair, &Scope)) {
    let Some(scope) = docker() else { return };
    let agent = Agent::start();
    for program in clis() {
        let direct = Cli::direct(&program);
        eprintln!("--- {} (version {})", program.display(), direct.version());
        test(
            &Pair {
                direct,
                agent: Cli::through(&program, &agent),
            },
            &scope,
        );
        // The names are used again by the next command.
        drop(Scope::of(scope.prefix()));
    }
}
