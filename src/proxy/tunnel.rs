//! An upgraded connection: two flows of bytes, each ending by itself, sans-IO.
//!
//! ```text
//!   Open ──end of source──▶ Draining ──all delivered──▶ Shut
//! ```
//!
//! | end of source | what it is toward the other side, once all is delivered |
//! | --- | --- |
//! | client's `close_notify` | `shutdown(SHUT_WR)` toward Docker: the end of stdin |
//! | Docker's end of file | `close_notify`, FIN, linger: the end of the session |
//!
//! A client that half-closes gets the rest of the output: `echo x | docker exec -i …` depends on
//! it. Docker closes both of its directions at once, when the process has ended.

/// One direction of a tunnel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flow {
    /// The source may still send.
    Open,
    /// The source has ended; what it sent is still on its way.
    Draining,
    /// All has been delivered, and the destination told.
    Shut,
}

/// What to do after a change of a flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Due {
    /// Nothing now.
    Nothing,
    /// All is delivered: tell the destination that no more comes.
    Shut,
}

impl Flow {
    /// The source has ended.
    pub fn end(&mut self) {
        if *self == Flow::Open {
            *self = Flow::Draining;
        }
    }

    /// The destination reads no more: nothing is left to deliver or to tell.
    pub fn abandon(&mut self) {
        *self = Flow::Shut;
    }

    /// Whether bytes of the source still count.
    pub fn is_open(self) -> bool {
        self == Flow::Open
    }

    /// Moves from `Draining` to `Shut` when nothing is `left` to deliver.
    pub fn settle(&mut self, left: usize) -> Due {
        if *self == Flow::Draining && left == 0 {
            *self = Flow::Shut;
            return Due::Shut;
        }
        Due::Nothing
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flow_is_shut_once_after_all_is_delivered() {
        let mut flow = Flow::Open;
        assert_eq!(flow.settle(0), Due::Nothing);
        flow.end();
        assert_eq!(flow.settle(7), Due::Nothing);
        assert_eq!(flow.settle(0), Due::Shut);
        assert_eq!(flow.settle(0), Due::Nothing);
        flow.end();
        assert_eq!(flow, Flow::Shut);
    }

    #[test]
    fn an_abandoned_flow_tells_nobody() {
        let mut flow = Flow::Open;
        flow.end();
        flow.abandon();
        assert_eq!(flow.settle(0), Due::Nothing);
        assert!(!flow.is_open());
    }
}
