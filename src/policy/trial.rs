//! What is judged of a request once its body has come, and what is taken from its answer.

use std::sync::Arc;

use super::body::{self, Kind, Permits};
use super::execs::Execs;
use super::{Policies, Policy, Ruling};
use crate::held::{Held, Share};

/// By which a body is judged that a rule lets come.
#[derive(Clone, Debug)]
pub struct Trial {
    kind: Kind,
    /// The policy's name.
    name: Arc<str>,
    text: Arc<str>,
    permits: Arc<Permits>,
    execs: Arc<Execs>,
    held: Arc<Held>,
}

impl Trial {
    pub(super) fn new(kind: Kind, policy: &Policy, all: &Policies) -> Trial {
        Trial {
            kind,
            name: Arc::clone(&policy.name),
            text: Arc::clone(&policy.text),
            permits: Arc::clone(&policy.permits),
            execs: Arc::clone(&all.execs),
            held: Arc::clone(&all.held),
        }
    }

    /// Room to hold so many bytes of the body, if the others leave some.
    pub fn share(&self, bytes: usize) -> Option<Share> {
        Share::of(&self.held, bytes)
    }

    /// Judges the whole body.
    ///
    /// # Errors
    /// The denial.
    pub fn judge(&self, body: &[u8]) -> Result<(), Ruling> {
        body::judge(self.kind, &self.permits, body)
            .map_err(|refusal| self.deny(&refusal.to_string()))
    }

    /// The denial of a body that is not even read.
    pub fn deny(&self, why: &str) -> Ruling {
        Ruling::denied(&format!("{}: {why}", self.name), "")
    }

    /// Whether an exec is made, so that the answer to it is to be [remembered](Trial::remember).
    pub fn makes_exec(&self) -> bool {
        self.kind == Kind::ExecCreate
    }

    /// Docker's whole answer to the creation of an exec by `user`: from now on they may start it.
    pub fn remember(&self, user: &Arc<str>, answer: &[u8]) {
        if let Some(id) = body::made_exec(answer) {
            self.execs.remember(&id, user, &self.text);
        }
    }
}
