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

/// What TLS has done.
#[derive(PartialEq, Eq)]
enum Step {
    /// There is more to do at once.
    Again,
    /// What there was to seal, as far as there is room.
    Sealed,
    /// Nothing, until the client says more.
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
            client_end,
            ..
        } = self;
        let UnbufferedStatus {
            mut discard, state, ..
        } = tls.process_tls_records(sealed_in.data_mut());
        let step = match state {
            Ok(ConnectionState::ReadTraffic(mut traffic)) => {
                let mut judge = |head: &RequestHead<'_>| (cx.judge)(head, client_is);
                let offer = |plain: &[u8]| conn.client_data(plain, &mut judge, cx.policies, cx.now);
                discard += read(&mut traffic, phase, offer, opened_in)?;
                Step::Again
            }
            Ok(ConnectionState::WriteTraffic(mut traffic)) => {
                write(&mut traffic, phase, conn.to_client(), sealed_out)?;
                Step::Sealed
            }
            Ok(ConnectionState::EncodeTlsData(mut data)) => {
                encode(&mut data, sealed_out)?;
                Step::Again
            }
            // What was encoded is in `sealed_out`, which is flushed before anything else.
            Ok(ConnectionState::TransmitTlsData(data)) => {
                data.done();
                Step::Again
            }
            Ok(ConnectionState::PeerClosed) => {
                *client_end = ClientEnd::Noticed;
                Step::Again
            }
            // BlockedHandshake and Closed; early data is never enabled.
            Ok(_) => Step::Idle,
            Err(error) => {
                sealed_in.consume(discard);
                return self.fail_tls(&error, cx);
            }
        };
        sealed_in.consume(discard);
        if step == Step::Sealed {
            self.end_handshake(cx);
        }
        Ok(step)
    }

    /// Once something may be sealed the handshake is over, and it is known who the client is.
    fn end_handshake(&mut self, cx: &Context<'_>) {
        if let Phase::Handshake { .. } = self.phase {
            self.phase = Phase::Open;
            self.conn.begin(cx.now);
            self.identify(cx);
        }
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

/// Opens records; says how many sealed bytes are done with. Each is `offer`ed to the
/// [`Conn`](crate::proxy::conn::Conn), and what that does not take is kept in `rest`, as is what comes
/// with the handshake's end, when it is not known yet who the client is.
fn read(
    traffic: &mut ReadTraffic<'_, '_, ServerConnectionData>,
    phase: &Phase,
    mut offer: impl FnMut(&[u8]) -> usize,
    rest: &mut Buf,
) -> Result<usize, Over> {
    let mut discard = 0;
    while let Some(record) = traffic.next_record() {
        let record = record.map_err(|_| "a TLS record cannot be opened")?;
        discard += record.discard;
        let taken = match phase {
            Phase::Open if rest.is_empty() => offer(record.payload),
            Phase::Open | Phase::Handshake { .. } => 0,
            Phase::Closing(_) => continue, // nothing that comes counts
        };
        let left = record.payload.get(taken..).unwrap_or_default();
        if rest.put(left) < left.len() {
            return Err("the client sends more than it was asked for");
        }
    }
    Ok(discard)
}

/// Seals what is `plain`, and behind the last of it the `close_notify` that is owed.
fn write(
    traffic: &mut WriteTraffic<'_, ServerConnectionData>,
    phase: &mut Phase,
    plain: &mut Buf,
    out: &mut Buf,
) -> Result<(), Over> {
    seal(traffic, plain, out)?;
    if let Phase::Closing(closing) = phase
        && plain.is_empty()
        && closing.take_notify()
    {
        notify(traffic, out)?;
    }
    Ok(())
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
