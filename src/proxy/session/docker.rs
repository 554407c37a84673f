//! A session's connection to Docker: opened when a request needs it, read, written, dropped.

use std::io;
use std::time::Duration;

use super::tls::MAX_RECORD;
use super::watched::Watched;
use super::{Context, Session};
use crate::proxy::conn::Wants;
use crate::sys::epoll::{Event, Interest, Poller};
use crate::sys::socket::Progress;

/// Read from Docker at a time: it fills four records.
const DOCKER_READ: usize = 4 * MAX_RECORD;

/// Until a full queue at Docker's socket is tried again.
const CONNECT_RETRY: Duration = Duration::from_millis(20);

/// The connection to Docker.
pub(super) struct Docker {
    watched: Watched,
    connecting: bool,
    /// Which of Docker's addresses it is tried at; see [`Upstream::connect`](crate::proxy::upstream::Upstream::connect).
    turn: usize,
    /// Its end, read and not yet told to the [`Conn`](crate::proxy::conn::Conn): what came before
    /// goes first.
    ended: Option<End>,
}

/// How Docker's side has ended.
#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    Closed,
    Broken,
}

impl Session {
    /// Something has happened to the connection.
    pub(super) fn docker_ready(&mut self, event: Event, cx: &mut Context<'_>) {
        let wants = self.conn.wants(self.opened_in.len());
        let Some(docker) = &mut self.docker else {
            return;
        };
        if docker.connecting {
            if event.writable {
                self.docker_connected(cx);
            }
            return;
        }
        docker.watched.writable |= event.writable;
        if event.readable && wants.read_docker && docker.ended.is_none() {
            self.read_docker();
        } else if event.broken && !wants.read_docker {
            // It takes no more bytes. Those it has sent stay readable.
            self.conn.docker_deaf();
        }
    }

    fn read_docker(&mut self) {
        let Some(docker) = &mut self.docker else {
            return;
        };
        let space = self.docker_in.space_for(DOCKER_READ);
        let end = space.len().min(DOCKER_READ);
        let read = docker
            .watched
            .socket
            .read(space.get_mut(..end).unwrap_or_default());
        self.docker_in.commit(*read.as_ref().unwrap_or(&0));
        docker.ended = match read {
            Ok(0) => Some(End::Closed),
            Err(error) if error.kind() != io::ErrorKind::WouldBlock => Some(End::Broken),
            _ => None,
        };
    }

    /// Opens or drops the connection as the [`Conn`](crate::proxy::conn::Conn) wants it, and
    /// offers what was read from it, then its end.
    pub(super) fn offer_docker(&mut self, cx: &mut Context<'_>) -> bool {
        let wants = self.conn.wants(self.opened_in.len());
        if !wants.connect {
            self.retry_at = None;
        }
        if wants.drop_docker && !(wants.connect && self.is_connecting()) {
            self.drop_docker(cx);
        }
        if wants.connect && self.docker.is_none() && self.retry_at.is_none_or(|at| cx.now >= at) {
            self.connect_docker(cx);
            return true;
        }
        if !self.docker_in.is_empty() && self.conn.docker_data(&mut self.docker_in, cx.now) {
            return true;
        }
        self.offer_docker_end(&wants, cx)
    }

    /// The end counts once all that came before it has been taken, or cannot be: half a head.
    fn offer_docker_end(&mut self, wants: &Wants, cx: &mut Context<'_>) -> bool {
        let Some(end) = self.docker.as_ref().and_then(|docker| docker.ended) else {
            return false;
        };
        if !self.docker_in.is_empty() && !wants.read_docker {
            return false;
        }
        self.docker = None;
        self.docker_in.clear();
        match end {
            End::Closed => self.conn.docker_eof(cx.now),
            End::Broken => self.conn.docker_broke(cx.now),
        }
        true
    }

    fn is_connecting(&self) -> bool {
        self.docker.as_ref().is_some_and(|docker| docker.connecting)
    }

    /// Closes the connection; an address that has not answered by now is passed by.
    fn drop_docker(&mut self, cx: &Context<'_>) {
        let Some(docker) = self.docker.take() else {
            return;
        };
        if docker.connecting {
            cx.upstream.pass_by(docker.turn);
        }
        self.docker_in.clear(); // the closed descriptor left the poller's set by itself
    }

    fn connect_docker(&mut self, cx: &mut Context<'_>) {
        self.retry_at = None;
        match cx.upstream.connect() {
            Ok((socket, progress, turn)) => {
                let connected = progress == Progress::Connected;
                self.docker = Some(Docker {
                    watched: Watched::unwatched(socket, self.docker_token, connected),
                    connecting: !connected,
                    turn,
                    ended: None,
                });
                if connected {
                    self.conn.docker_open(cx.now);
                }
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                self.retry_at = Some(cx.now + CONNECT_RETRY);
            }
            Err(error) => self
                .conn
                .docker_failed(cx.upstream.explain(error, cx.now), cx.now),
        }
    }

    /// A connection by TCP has been made, or not.
    fn docker_connected(&mut self, cx: &mut Context<'_>) {
        let Some(docker) = &mut self.docker else {
            return;
        };
        match docker.watched.socket.progress() {
            Ok(Progress::Pending) => {}
            Ok(Progress::Connected) => {
                docker.connecting = false;
                docker.watched.writable = true;
                self.conn.docker_open(cx.now);
            }
            Err(error) => {
                self.drop_docker(cx);
                self.conn
                    .docker_failed(cx.upstream.explain(error, cx.now), cx.now);
            }
        }
    }

    /// Writes what is for Docker, and after the last of a stream its end.
    pub(super) fn flush_docker(&mut self, cx: &mut Context<'_>) -> bool {
        let Some(docker) = self.docker.as_mut().filter(|docker| !docker.connecting) else {
            return false;
        };
        let mut moved = false;
        let pending = self.conn.to_docker();
        if !pending.is_empty() && docker.watched.writable {
            match docker.watched.write(pending) {
                Ok(count) => {
                    moved = count > 0;
                    self.conn.docker_sent(count, cx.now);
                }
                Err(_) => {
                    moved = true;
                    self.conn.docker_deaf();
                }
            }
        }
        if self.conn.take_docker_shutdown() {
            moved = true;
            // Where that fails Docker is gone, and reading says so.
            let _ = docker.watched.socket.shutdown_write();
        }
        moved
    }

    /// Computes from the state what the connection is to be watched for; `wanted` says whether the
    /// [`Conn`](crate::proxy::conn::Conn) wants Docker's bytes.
    pub(super) fn watch_docker(&mut self, wanted: bool, poller: &Poller) -> io::Result<()> {
        let pending = !self.conn.to_docker().is_empty();
        let Some(docker) = &mut self.docker else {
            return Ok(());
        };
        let interest = Interest {
            read: !docker.connecting && docker.ended.is_none() && wanted,
            write: docker.connecting || pending,
            ..Interest::default()
        };
        if interest.is_empty() {
            docker.watched.unwatch(poller)
        } else {
            docker.watched.watch(poller, interest)
        }
    }
}
