//! A handshake under way, for both sides: rustls between what has come and what is to be sent.
//!
//! Owns no time and no order: who drives it says when a step may be taken and how long the peer may take.

use std::io;
use std::task::{Context, Poll, ready};

use rustls::client::{ClientConnectionData, UnbufferedClientConnection};
use rustls::server::{ServerConnectionData, UnbufferedServerConnection};
use rustls::unbuffered::{ConnectionState, EncodeError, UnbufferedStatus};
use rustls::{CommonState, Error, ExtractedSecrets, ProtocolVersion};

use super::record::{Half, whole_length};
use super::stream::{Kernel, Keys, TlsStream, with_room};
use crate::stream::Stream;

/// Bytes that a peer may have sent without a step having used them: the longest message of a handshake and its records.
pub(super) const MOST: usize = 80 * 1024;
/// Bytes that are read at once.
pub(super) const READ: usize = 16 * 1024;

/// One side of a handshake.
pub(crate) trait Role {
    type Data;
    fn process<'c, 'i>(&'c mut self, incoming: &'i mut [u8]) -> UnbufferedStatus<'c, 'i, Self::Data>;
    /// What both sides have agreed on.
    fn agreed(&self) -> &CommonState;
    /// The keys.
    fn give_away(self) -> Result<(ExtractedSecrets, Kernel), Error>;
}

/// The side that is asked.
pub(crate) struct Server(pub(super) UnbufferedServerConnection);
/// The side that asks.
pub(crate) struct Asking(pub(super) UnbufferedClientConnection);

impl Role for Server {
    type Data = ServerConnectionData;

    fn process<'c, 'i>(&'c mut self, incoming: &'i mut [u8]) -> UnbufferedStatus<'c, 'i, Self::Data> {
        self.0.process_tls_records(incoming)
    }

    fn agreed(&self) -> &CommonState {
        &self.0
    }

    fn give_away(self) -> Result<(ExtractedSecrets, Kernel), Error> {
        let (secrets, kernel) = self.0.dangerous_into_kernel_connection()?;
        Ok((secrets, Kernel::Server(Box::new(kernel))))
    }
}

impl Role for Asking {
    type Data = ClientConnectionData;

    fn process<'c, 'i>(&'c mut self, incoming: &'i mut [u8]) -> UnbufferedStatus<'c, 'i, Self::Data> {
        self.0.process_tls_records(incoming)
    }

    fn agreed(&self) -> &CommonState {
        &self.0
    }

    fn give_away(self) -> Result<(ExtractedSecrets, Kernel), Error> {
        let (secrets, kernel) = self.0.dangerous_into_kernel_connection()?;
        Ok((secrets, Kernel::Client(Box::new(kernel))))
    }
}

/// How far a handshake is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// More must come.
    Wants,
    /// Both sides agree.
    Done,
}

/// A handshake under way.
pub(crate) struct Stage<R> {
    role: R,
    /// What has come and was not used.
    incoming: Vec<u8>,
    /// How much of it rustls has been shown: one record after the other, so that none of those behind the handshake is
    /// opened by it. It would keep what is to be said to them for a write of its own, which never comes.
    shown: usize,
    outgoing: Vec<u8>,
    sent: usize,
}

impl<R: Role> Stage<R> {
    /// With what has come so far.
    pub(crate) fn new(role: R, incoming: Vec<u8>) -> Self {
        Self { role, incoming, shown: 0, outgoing: Vec::new(), sent: 0 }
    }

    /// Goes on as far as what is here allows. After an error, what is to be sent says it to the peer.
    pub(crate) fn step(&mut self) -> Result<Step, Error> {
        loop {
            let UnbufferedStatus { discard, state, .. } = self.role.process(&mut self.incoming[..self.shown]);
            let step = match state {
                Ok(ConnectionState::EncodeTlsData(mut data)) => {
                    let start = self.outgoing.len();
                    if let Err(EncodeError::InsufficientSize(wanted)) = data.encode(&mut []) {
                        self.outgoing.resize(start + wanted.required_size, 0);
                        // There is room now.
                        let _ = data.encode(&mut self.outgoing[start..]);
                    }
                    None
                }
                Ok(ConnectionState::TransmitTlsData(data)) => {
                    data.done();
                    None
                }
                Ok(ConnectionState::WriteTraffic(_)) => Some(Step::Done),
                Ok(ConnectionState::BlockedHandshake) => Some(Step::Wants),
                // An end before the end, or data before that; early data is never asked for.
                Ok(_) => return Err(Error::HandshakeNotComplete),
                Err(error) => {
                    self.take(discard);
                    // To an alert nothing is answered.
                    if !matches!(error, Error::AlertReceived(_)) {
                        self.say_error();
                    }
                    return Err(error);
                }
            };
            self.take(discard);
            match step {
                Some(Step::Done) => return Ok(Step::Done),
                Some(Step::Wants) if !self.show_more() => return Ok(Step::Wants),
                Some(Step::Wants) | None => {}
            }
        }
    }

    fn take(&mut self, used: usize) {
        self.incoming.drain(..used);
        self.shown -= used;
    }

    /// Whether another record is here.
    fn show_more(&mut self) -> bool {
        let rest = &self.incoming[self.shown..];
        match whole_length(rest) {
            Ok(Some(length)) if length <= rest.len() => self.shown += length,
            Ok(_) => return false,
            // It is for rustls to say what is wrong.
            Err(_) => self.shown = self.incoming.len(),
        }
        true
    }

    /// What is to be sent after an error: what was said before it, and then an alert. Asked once more than that, rustls
    /// would go on with what has come.
    fn say_error(&mut self) {
        while let Ok(ConnectionState::EncodeTlsData(mut data)) =
            self.role.process(&mut self.incoming[..self.shown]).state
        {
            let start = self.outgoing.len();
            if let Err(EncodeError::InsufficientSize(wanted)) = data.encode(&mut []) {
                self.outgoing.resize(start + wanted.required_size, 0);
                let _ = data.encode(&mut self.outgoing[start..]);
            }
            if is_alert(&self.outgoing[start..]) {
                return;
            }
        }
    }

    /// Sends what is to be sent.
    pub(crate) fn poll_send(&mut self, cx: &mut Context<'_>, socket: &mut Stream) -> Poll<io::Result<()>> {
        while self.sent < self.outgoing.len() {
            match ready!(socket.poll_write(cx, &self.outgoing[self.sent..]))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                n => self.sent += n,
            }
        }
        self.outgoing.clear();
        self.sent = 0;
        Poll::Ready(Ok(()))
    }

    /// Reads once; 0 is the end of the stream.
    pub(crate) fn poll_receive(&mut self, cx: &mut Context<'_>, socket: &mut Stream) -> Poll<io::Result<usize>> {
        poll_gather(cx, socket, &mut self.incoming)
    }

    pub(crate) fn agreed(&self) -> &CommonState {
        self.role.agreed()
    }

    /// The connection that the handshake was for.
    pub(crate) fn finish(self, socket: Stream) -> Result<TlsStream, Error> {
        let version = self.role.agreed().protocol_version().ok_or(Error::HandshakeNotComplete)?;
        let (secrets, kernel) = self.role.give_away()?;
        let halves = Half::new(secrets.tx, version).zip(Half::new(secrets.rx, version));
        let (tx, rx) = halves.ok_or(Error::HandshakeNotComplete)?;
        let kernel = if version == ProtocolVersion::TLSv1_3 { kernel } else { Kernel::Settled };
        Ok(TlsStream::new(socket, Keys { tx, rx, kernel }, self.incoming))
    }
}

/// Whether a record is an alert: by its type, or by its length where TLS 1.3 hides that. No other record is as short.
fn is_alert(record: &[u8]) -> bool {
    const ALERT: u8 = 21;
    const DATA: u8 = 23;
    const SEALED_ALERT: usize = 5 + 2 + 1 + 16;
    record.first().is_none_or(|kind| *kind == ALERT || (*kind == DATA && record.len() <= SEALED_ALERT))
}

/// Reads once behind what is here; 0 is the end of the stream.
pub(crate) fn poll_gather(cx: &mut Context<'_>, socket: &mut Stream, here: &mut Vec<u8>) -> Poll<io::Result<usize>> {
    if here.len() >= MOST {
        return Poll::Ready(Err(io::ErrorKind::InvalidData.into()));
    }
    with_room(|room| {
        let n = ready!(socket.poll_read(cx, &mut room[..READ]))?;
        here.extend_from_slice(&room[..n]);
        Poll::Ready(Ok(n))
    })
}
