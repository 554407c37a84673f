//! The TLS of a session: records opened and sealed in the session's own buffers.

use rustls::server::ServerConnectionData;
use rustls::unbuffered::{
    ConnectionState, EncodeError, EncodeTlsData, ReadTraffic, UnbufferedStatus, WriteTraffic,
};

use super::{ClientEnd, Context, Over, Phase, Session};
use crate::buf::{BATCH, Buf, CHUNK};
use crate::http::head::RequestHead;
use crate::proxy::reply::Reply;

/// The most plain bytes that one record carries (RFC 8446 §5.1).
pub(super) const MAX_RECORD: usize = 1 << 14;

/// Full records that a batch holds, sealed.
const RECORDS_IN_BATCH: usize = BATCH / (MAX_RECORD + RECORD_OVERHEAD);

/// More than a record's header, nonce, tag and content type need together.
const RECORD_OVERHEAD: usize = 64;

/// Whether TLS has more to do at once.
#[derive(PartialEq, Eq)]
enum Step {
    Again,
    Idle,
}

impl Session {
    /// Whether there is something to open or to seal.
    pub(super) fn tls_has_work(&mut self) -> bool {
        let owes_notify = matches!(&self.phase, Phase::Closing(closing) if closing.owes_notify());
        owes_notify || !self.sealed_in.is_empty() || !self.conn.to_client().is_empty()
    }

    /// Opens what the client has sealed and seals what is for it, until TLS has nothing to do.
    /// Says whether something has moved.
    pub(super) fn drive_tls(&mut self, cx: &mut Context<'_>) -> Result<bool, Over> {
        if let Phase::Handshake { .. } = self.phase
            && speaks_plain_http(self.sealed_in.data())
        {
            self.refuse_plain_http(cx);
            return Ok(true);
        }
        if let Phase::Closing(closing) = &self.phase
            && !closing.owes_notify()
            && self.conn.to_client().is_empty()
        {
            return Ok(false); // nothing is left to seal, and nothing that comes counts
        }
        let before = (self.sealed_in.len(), self.sealed_out.len());
        while self.step_tls(cx)? == Step::Again {}
        Ok(before != (self.sealed_in.len(), self.sealed_out.len()))
    }

    fn step_tls(&mut self, cx: &mut Context<'_>) -> Result<Step, Over> {
        let Session {
            tls,
            sealed_in,
            sealed_out,
            opened_in,
            conn,
            phase,
            client_is,
            ..
        } = self;
        let UnbufferedStatus { discard, state, .. } = tls.process_tls_records(sealed_in.data_mut());
        let mut step = Step::Again;
        let mut established = false;
        let discard = match state {
            Ok(ConnectionState::ReadTraffic(mut traffic)) => {
                // What comes with the handshake's end waits until it is known who the client is.
                let known = matches!(phase, Phase::Open);
                let wanted = known || matches!(phase, Phase::Handshake { .. });
                let mut judge = |head: &RequestHead<'_>| (cx.judge)(head, client_is);
                discard
                    + read_records(&mut traffic, |plain| {
                        let taken = match known && opened_in.is_empty() {
                            true => conn.client_data(plain, &mut judge, cx.policies, cx.now),
                            false => 0,
                        };
                        let rest = plain.get(taken..).unwrap_or_default();
                        !wanted || opened_in.put(rest) == rest.len()
                    })?
            }
            Ok(ConnectionState::EncodeTlsData(mut data)) => {
                encode(&mut data, sealed_out)?;
                discard
            }
            // What was encoded is in `sealed_out`, which is flushed before anything else.
            Ok(ConnectionState::TransmitTlsData(data)) => {
                data.done();
                discard
            }
            Ok(ConnectionState::PeerClosed) => {
                self.client_end = ClientEnd::Noticed;
                discard
            }
            Ok(ConnectionState::WriteTraffic(mut traffic)) => {
                if let Phase::Handshake { .. } = phase {
                    *phase = Phase::Open;
                    conn.begin(cx.now);
                    established = true;
                }
                let plain = conn.to_client();
                seal(&mut traffic, plain, sealed_out)?;
                if let Phase::Closing(closing) = phase
                    && plain.is_empty()
                    && closing.take_notify()
                {
                    notify(&mut traffic, sealed_out)?;
                }
                step = Step::Idle;
                discard
            }
            // BlockedHandshake and Closed; early data is never enabled.
            Ok(_) => {
                step = Step::Idle;
                discard
            }
            Err(error) => {
                sealed_in.consume(discard);
                return self.fail_tls(&error, cx);
            }
        };
        sealed_in.consume(discard);
        if established {
            self.identify(cx);
        }
        Ok(step)
    }

    /// The client broke TLS: the alert that says so is the last word.
    fn fail_tls(&mut self, error: &rustls::Error, cx: &mut Context<'_>) -> Result<Step, Over> {
        match error {
            // A login that failed, as a wrong password.
            rustls::Error::InvalidCertificate(_)
            | rustls::Error::InvalidCertRevocationList(_)
            | rustls::Error::NoCertificatesPresented => {
                ::log::warn!("{} -: refused at the handshake: {error}", self.peer);
            }
            _ => ::log::debug!("{}: TLS: {error}", self.peer),
        }
        if let Phase::Closing(_) = self.phase {
            return Err("the client broke the TLS protocol while the connection was closing");
        }
        loop {
            let status = self.tls.process_tls_records(self.sealed_in.data_mut());
            let discard = status.discard;
            match status.state {
                Ok(ConnectionState::EncodeTlsData(mut data)) => {
                    encode(&mut data, &mut self.sealed_out)?;
                }
                _ => break,
            }
            self.sealed_in.consume(discard);
        }
        self.conn.abandon();
        self.begin_closing(false, cx);
        Ok(Step::Idle)
    }

    /// A client that speaks HTTP without TLS is told so, in its own language.
    fn refuse_plain_http(&mut self, cx: &mut Context<'_>) {
        self.conn.abandon();
        Reply::new(
            400,
            "haven-agent: plain HTTP was sent to an HTTPS port: use https://",
        )
        .write(&mut self.sealed_out, true, true);
        self.begin_closing(false, cx);
    }
}

/// Hands each opened record to `take`; says how many sealed bytes are done with.
fn read_records(
    traffic: &mut ReadTraffic<'_, '_, ServerConnectionData>,
    mut take: impl FnMut(&[u8]) -> bool,
) -> Result<usize, Over> {
    let mut discard = 0;
    while let Some(record) = traffic.next_record() {
        let record = record.map_err(|_| "a TLS record cannot be opened")?;
        discard += record.discard;
        if !take(record.payload) {
            return Err("the client sends more than it was asked for");
        }
    }
    Ok(discard)
}

/// Seals what is `plain`, as long as no more than a batch waits for the socket.
fn seal(
    traffic: &mut WriteTraffic<'_, ServerConnectionData>,
    plain: &mut Buf,
    out: &mut Buf,
) -> Result<(), Over> {
    while !plain.is_empty() {
        let length = plain.len().min(MAX_RECORD);
        let part = plain.data().get(..length).unwrap_or_default();
        if out.len() + length + RECORD_OVERHEAD > BATCH {
            break;
        }
        // Space for the records that follow as well: what is sealed need not move to make it.
        let wanted = plain.len() + RECORDS_IN_BATCH * RECORD_OVERHEAD;
        let sealed = traffic
            .encrypt(part, out.space_for(wanted.min(BATCH - out.len())))
            .map_err(|_| "a TLS record cannot be sealed")?;
        out.commit(sealed);
        plain.consume(length);
    }
    Ok(())
}

/// Seals a `close_notify` behind all that has been sealed (RFC 8446 §6.1).
fn notify(traffic: &mut WriteTraffic<'_, ServerConnectionData>, out: &mut Buf) -> Result<(), Over> {
    let count = traffic
        .queue_close_notify(out.space_for(2 * RECORD_OVERHEAD))
        .map_err(|_| "a TLS record cannot be sealed")?;
    out.commit(count);
    Ok(())
}

/// Lets TLS write a record of its own behind what is queued.
fn encode(data: &mut EncodeTlsData<'_, ServerConnectionData>, out: &mut Buf) -> Result<(), Over> {
    const FAILED: Over = "a TLS record cannot be encoded";
    let mut needed = CHUNK;
    loop {
        match data.encode(out.space_for(needed)) {
            Ok(count) => {
                out.commit(count);
                return Ok(());
            }
            Err(EncodeError::InsufficientSize(size)) if needed < size.required_size => {
                needed = size.required_size;
            }
            Err(_) => return Err(FAILED),
        }
    }
}

/// A TLS connection starts with a handshake record (22); an HTTP request with a letter.
fn speaks_plain_http(bytes: &[u8]) -> bool {
    bytes.first().is_some_and(u8::is_ascii_uppercase)
}
