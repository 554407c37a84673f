//! What a user may do: by method and path.
//!
//! - `path`: the one form of a target that is judged and forwarded;
//! - `rule`: `allow GET,HEAD /containers/*/json`;
//! - `file`: sections of such rules, those of an operator's file and those of `built-in.ini`;
//! - `body`: what queries and bodies may hold;
//! - `trial`: what is judged of a request once its body has come, and of its answer;
//! - `execs`: which execs may be started;
//!
//! Every user has a policy. `full` may do anything. For the others all of this has to hold:
//!
//! 1. the version of the API is 1.24 or later, or none is given (earlier ones took a HostConfig with
//!    `start`);
//! 2. an upgrade of the protocol is offered for `attach` and the start of an exec alone: behind another
//!    one (`h2c`) requests could follow that nobody judges;
//! 3. no rule of `[only-full]` matches;
//! 4. `start` has no body, and no query but `detachKeys` (a checkpoint's directory is one of the host's);
//! 5. the first of the policy's own rules that matches allows it;
//! 6. if its body or its query could make somebody root, they hold nothing but what is known to be
//!    harmless and what the policy permits, and an exec that it starts was made under the same policy.
//!
//! Rules know paths, not objects: dockerd takes for a container its name, its ID and each beginning of
//! the ID, so that `deny * /containers/vault/**` in front of `allow GET /containers/*/logs` keeps nobody
//! from the logs of `vault`.
//!
//! Nothing here reads a file, a socket or a clock.

use std::fmt;
use std::fmt::Write as _;
use std::sync::Arc;

use crate::held::Held;

pub mod body;
mod execs;
mod file;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzz;
mod path;
mod rule;
#[cfg(test)]
mod tests;
mod trial;

use body::{Kind, Permits};
use execs::Execs;
use file::Section;
pub use path::{Target, TargetError};
use rule::Rule;
pub use trial::Trial;

/// May do anything.
pub const FULL: &str = "full";
/// May look.
pub const READ_ONLY: &str = "read-only";
/// The section whose rules bind all policies but [`FULL`].
const ONLY_FULL: &str = "only-full";

/// The policies of [`built-in.ini`](self), whose lines refusals name.
const BUILT_IN: &str = include_str!("built-in.ini");

/// The least version of the API for all but [`FULL`]: 1.NN.
const LEAST_VERSION: u16 = 24;

/// A request, as far as it is judged.
#[derive(Clone, Copy, Debug)]
pub struct Question<'q> {
    /// In its own case.
    pub method: &'q str,
    /// What would be forwarded.
    pub target: &'q Target<'q>,
    /// The protocol that it offers to change to.
    pub upgrade: Option<&'q str>,
    /// Whether it may have a body that is not empty.
    pub has_body: bool,
    /// Whether that is a form (`application/x-www-form-urlencoded`).
    pub has_form: bool,
    /// Whether that is JSON, and not compressed.
    pub has_json: bool,
}

impl<'q> Question<'q> {
    /// One without a body that stays in HTTP.
    pub fn plain(method: &'q str, target: &'q Target<'q>) -> Question<'q> {
        Question {
            method,
            target,
            upgrade: None,
            has_body: false,
            has_form: false,
            has_json: false,
        }
    }
}

/// What has been decided about a request.
#[derive(Clone, Debug)]
pub struct Ruling {
    /// Whether it may go on.
    pub allowed: bool,
    /// The policy and its rule with its place, for a log or a refusal.
    pub by: Arc<str>,
    /// Why, where there is a word on that.
    pub reason: Box<str>,
    /// It may go on only if its body passes this.
    pub trial: Option<Box<Trial>>,
}

/// A policy with its name.
#[derive(Clone, Debug)]
struct Policy {
    name: Arc<str>,
    /// Policy and place of what no rule matches.
    default: Arc<str>,
    /// None: anything.
    rules: Option<Vec<Rule>>,
    /// What its requests may ask for in their bodies.
    permits: Arc<Permits>,
    /// All of that in its own words, by which it is known to be the same.
    text: Arc<str>,
}

/// All policies, and who has which.
#[derive(Clone, Debug)]
pub struct Policies {
    only_full: Vec<Rule>,
    policies: Vec<Policy>,
    /// A user, and the place in `policies`.
    users: Vec<(Box<str>, usize)>,
    /// Those who are not in `users` have this one.
    others: usize,
    execs: Arc<Execs>,
    held: Arc<Held>,
}

/// What is wrong with a user's policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AssignError {
    /// There is no such policy; those that there are.
    Unknown(String, String),
    /// The user has one already.
    Again(String),
}

impl fmt::Display for AssignError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            AssignError::Unknown(name, known) => {
                let name = name.escape_debug();
                write!(f, "`{name}` is no policy: there are {known}")
            }
            AssignError::Again(user) => {
                write!(f, "user `{}` has two policies", user.escape_debug())
            }
        }
    }
}

impl std::error::Error for AssignError {}

impl Policies {
    /// Those that are built in; everybody has [`READ_ONLY`].
    pub fn built_in() -> Policies {
        let mut policies = Policies {
            only_full: Vec::new(),
            policies: vec![Policy {
                name: FULL.into(),
                default: FULL.into(),
                rules: None,
                permits: Arc::default(),
                text: Arc::default(),
            }],
            users: Vec::new(),
            others: 0,
            execs: Arc::default(),
            held: Arc::default(),
        };
        // A test shows that the text is good; without it nobody but `full` might do anything.
        for section in file::parse(BUILT_IN, "").unwrap_or_default() {
            if &*section.name == ONLY_FULL {
                policies.only_full = section.rules;
            } else {
                policies.policies.push(Policy::of(section));
            }
        }
        policies.others = policies.place(READ_ONLY).unwrap_or(policies.policies.len());
        policies
    }

    /// Adds the policies of a file at `place`.
    ///
    /// # Errors
    /// The line, from 1, and what is wrong with it: the grammar, a name that is taken, or a rule that
    /// allows what only [`FULL`] may.
    pub fn add(&mut self, text: &str, place: &str) -> Result<(), (usize, String)> {
        let sections = file::parse(text, place)?;
        if sections.is_empty() {
            return Err((1, "no policy: [NAME], and rules below it".to_string()));
        }
        for section in sections {
            if &*section.name == ONLY_FULL || self.place(&section.name).is_some() {
                let problem = format!("policy [{}] is built in", section.name);
                return Err((section.line, problem));
            }
            self.keep_closed(&section.rules)?;
            self.policies.push(Policy::of(section));
        }
        Ok(())
    }

    /// Refuses rules that seem to allow what they cannot: the rules of `[only-full]` come first, and an
    /// operator should not learn that from a refusal.
    fn keep_closed(&self, rules: &[Rule]) -> Result<(), (usize, String)> {
        for (place, rule) in rules.iter().enumerate().filter(|(_, rule)| rule.allows) {
            let before = rules.get(..place).unwrap_or_default();
            let open = self.only_full.iter().find(|closed| {
                rule.meets(closed)
                    && !before
                        .iter()
                        .any(|rule| !rule.allows && rule.covers(closed))
            });
            if let Some(closed) = open {
                let problem = format!(
                    "`{}` would allow what only the policy {FULL} may ({}): put `{}` in a line before it, \
                     or say more closely what is allowed",
                    rule.text, closed.reason, closed.text
                );
                return Err((rule.line, problem));
            }
        }
        Ok(())
    }

    /// Gives `user` a policy.
    ///
    /// # Errors
    /// No such policy, or a second one.
    pub fn assign(&mut self, user: &str, policy: &str) -> Result<(), AssignError> {
        let Some(place) = self.place(policy) else {
            return Err(AssignError::Unknown(policy.to_string(), self.names()));
        };
        if self.users.iter().any(|(known, _)| &**known == user) {
            return Err(AssignError::Again(user.to_string()));
        }
        self.users.push((user.into(), place));
        Ok(())
    }

    /// Whether `user` has been given a policy.
    pub fn is_assigned(&self, user: &str) -> bool {
        self.users.iter().any(|(known, _)| &**known == user)
    }

    /// The names of all policies, for a person.
    pub fn names(&self) -> String {
        let names = self.policies.iter().map(|policy| &*policy.name);
        names.collect::<Vec<_>>().join(", ")
    }

    fn place(&self, name: &str) -> Option<usize> {
        self.policies
            .iter()
            .position(|policy| &*policy.name == name)
    }

    /// The policy of a user; none only if the built-in ones could not be read.
    fn of(&self, user: &str) -> Option<&Policy> {
        let mut users = self.users.iter();
        let assigned = users.find_map(|(known, place)| (&**known == user).then_some(*place));
        self.policies.get(assigned.unwrap_or(self.others))
    }

    /// Goes on with the execs that are remembered, and the bodies that are held, by those whose place these take.
    pub fn succeed(&mut self, before: &Policies) {
        self.execs = Arc::clone(&before.execs);
        self.held = Arc::clone(&before.held);
    }

    /// The same, without an exec to remember: one parse serves many tests, and none sees another's.
    #[cfg(any(test, fuzzing))]
    pub fn afresh(&self) -> Policies {
        Policies {
            execs: Arc::default(),
            held: Arc::default(),
            ..self.clone()
        }
    }

    /// Whether `user` may ask this.
    pub fn judge(&self, user: &str, question: &Question<'_>) -> Ruling {
        let Some(policy) = self.of(user) else {
            return Ruling::denied("no policy", "");
        };
        match &policy.rules {
            None => Ruling::allowed(&policy.default),
            Some(rules) => {
                let closed = self.closed(policy, question);
                let ruling = closed.unwrap_or_else(|| policy.decide(rules, question));
                match Kind::of(question.method, question.target.route()) {
                    Some(kind) if ruling.allowed => {
                        self.look_closer(policy, user, kind, question, ruling)
                    }
                    _ => ruling,
                }
            }
        }
    }

    /// What a rule allows that could make somebody root.
    fn look_closer(
        &self,
        policy: &Policy,
        user: &str,
        kind: Kind,
        question: &Question<'_>,
        ruling: Ruling,
    ) -> Ruling {
        let denied = |why: &str| Ruling::denied(&format!("{}: {why}", policy.name), "");
        let target = question.target;
        if let Err(refusal) = body::judge_query(kind, &policy.permits, target.query()) {
            return denied(&refusal.to_string());
        }
        if matches!(kind, Kind::ExecStart | Kind::ExecResize) {
            let id = target.segments().nth(1).unwrap_or_default();
            if !self.execs.knows(id, user, &policy.text) {
                return denied(
                    "only execs may be started that the same user made under this policy",
                );
            }
        }
        if !kind.has_judged_body() {
            return ruling;
        }
        if question.has_body && !question.has_json {
            return denied(
                "a body that is judged has to be application/json, without Content-Encoding",
            );
        }
        Ruling {
            trial: Some(Box::new(Trial::new(kind, policy, self))),
            ..ruling
        }
    }

    /// What is denied before the policy's own rules are asked.
    fn closed(&self, policy: &Policy, question: &Question<'_>) -> Option<Ruling> {
        let target = question.target;
        let denied = |by: &str, reason: &str| {
            let by = format!("{}: {by}", policy.name);
            Some(Ruling::denied(&by, reason))
        };
        if let Some(version) = target.version()
            && version < LEAST_VERSION
        {
            let by = format!("versions of the API below 1.{LEAST_VERSION} are for {FULL} alone");
            return denied(&by, "they take a container's settings with its start");
        }
        if question
            .upgrade
            .is_some_and(|protocol| !attaches(question, protocol))
        {
            let by = format!("upgrades but those of attach and exec start are for {FULL} alone");
            return denied(&by, "behind them nothing is judged");
        }
        if question.has_form {
            let by = format!("bodies of application/x-www-form-urlencoded are for {FULL} alone");
            return denied(
                &by,
                "Docker reads fields of the query out of them: send application/json",
            );
        }
        let mut closed = self.only_full.iter();
        if let Some(rule) = closed.find(|rule| rule.matches(question.method, target)) {
            return Some(Ruling::denied(&rule.label, &rule.reason));
        }
        if starts(question) && (question.has_body || !is_plain_start(target.query())) {
            return denied(
                "start takes no body, and no query but detachKeys",
                "they hold a container's settings, or name a directory of the host",
            );
        }
        None
    }

    /// The rules of a policy as a table for a person; none if there is no such policy.
    pub fn show(&self, name: &str) -> Option<String> {
        let policy = self.policies.get(self.place(name)?)?;
        let mut text = String::new();
        // Writing to a string cannot fail.
        let Some(rules) = &policy.rules else {
            let _ = writeln!(text, "{name}: anything, in the canonical form of its path");
            return Some(text);
        };
        let _ = writeln!(text, "[{ONLY_FULL}], which binds all policies but {FULL}:");
        list(&mut text, &self.only_full);
        let _ = writeln!(
            text,
            "and versions of the API below 1.{LEAST_VERSION}; upgrades but those of attach and exec start; \
             forms; a body or a query but detachKeys with start\n\n[{name}], of which the first that \
             matches decides:"
        );
        list(&mut text, rules);
        let _ = writeln!(
            text,
            "and what no rule matches is denied\n\nIn bodies and queries"
        );
        for (line, permit) in &policy.permits.lines {
            let _ = writeln!(text, "{line:5}  permit {permit}");
        }
        let _ = writeln!(text, "and what is known to be harmless");
        Some(text)
    }
}

/// Whether this is the one protocol that `attach`, or the start of an exec, changes to.
fn attaches(question: &Question<'_>, protocol: &str) -> bool {
    let route = question.target.route();
    let attach = |end: &str| route.starts_with("/containers/") && route.ends_with(end);
    let starts_exec = Kind::of(question.method, route) == Some(Kind::ExecStart);
    match question.method {
        "POST" => (attach("/attach") || starts_exec) && protocol.eq_ignore_ascii_case("tcp"),
        "GET" => attach("/attach/ws") && protocol.eq_ignore_ascii_case("websocket"),
        _ => false,
    }
}

fn starts(question: &Question<'_>) -> bool {
    let route = question.target.route();
    question.method == "POST" && route.starts_with("/containers/") && route.ends_with("/start")
}

/// The one field that a start's query may have.
fn is_plain_start(query: &str) -> bool {
    let keys = query.strip_prefix("?detachKeys=");
    matches!(query, "" | "?") || keys.is_some_and(|keys| !keys.contains('&'))
}

fn list(text: &mut String, rules: &[Rule]) {
    let width = rules.iter().map(|rule| rule.text.chars().count()).max();
    let width = width.unwrap_or_default();
    for rule in rules {
        let line = format!("{:5}  {:width$}  {}", rule.line, rule.text, rule.reason);
        let _ = writeln!(text, "{}", line.trim_end());
    }
}

impl Policy {
    fn of(section: Section) -> Policy {
        Policy {
            default: format!("{}: no rule allows it", section.name).into(),
            text: text(&section).into(),
            name: section.name,
            rules: Some(section.rules),
            permits: Arc::new(section.permits),
        }
    }

    /// By the first rule that matches.
    fn decide(&self, rules: &[Rule], question: &Question<'_>) -> Ruling {
        let mut rules = rules.iter();
        match rules.find(|rule| rule.matches(question.method, question.target)) {
            Some(rule) if rule.allows => Ruling::allowed(&rule.label),
            Some(rule) => Ruling::denied(&rule.label, &rule.reason),
            None => Ruling::denied(&self.default, ""),
        }
    }
}

/// What a policy says, in its own words.
fn text(section: &Section) -> String {
    let mut text = format!("[{}]\n", section.name);
    for rule in &section.rules {
        let _ = writeln!(text, "{}", rule.text);
    }
    for (_, permit) in &section.permits.lines {
        let _ = writeln!(text, "permit {permit}");
    }
    text
}

impl Ruling {
    fn allowed(by: &Arc<str>) -> Ruling {
        Ruling {
            allowed: true,
            by: Arc::clone(by),
            reason: Box::default(),
            trial: None,
        }
    }

    fn denied(by: &str, reason: &str) -> Ruling {
        Ruling {
            allowed: false,
            by: by.into(),
            reason: reason.into(),
            trial: None,
        }
    }
}
