//! A connection over TLS after its handshake: bytes in, bytes out, and an end that both sides can tell from a cut.
//!
//! Owns both keys and what is on its way: a record that is not whole yet, plain text that its reader had no room for,
//! records that the socket did not take. All of these are empty while the connection is idle; the room for reading and
//! sealing is the worker's.
//!
//! Nothing here is put where it is called from: what plain connections do must stay small enough for that.

use std::cell::RefCell;
use std::io;
use std::task::{Context, Poll, ready};

use rustls::client::ClientConnectionData;
use rustls::kernel::KernelConnection;
use rustls::server::ServerConnectionData;

use super::handshake;
use super::record::{Flaw, Half, Kind, MOST, OVERHEAD, whole_length};
use crate::stream::{Rest, Stream};

/// Bytes that are read at once; more than a handshake can leave behind.
const READ: usize = 104 * 1024;
const _: () = assert!(READ > handshake::MOST + handshake::READ);
/// Records that are sealed for one write, once the socket has taken a whole one: what it does not take must be kept.
const RECORDS: usize = 2;
/// Records without data that may come in a row: tickets, keys, alerts, nothing.
const WITHOUT_DATA: u8 = 32;
/// Bytes of messages between that are not whole yet.
const MESSAGES: usize = 64 * 1024;

const WARNING: u8 = 1;
const FATAL: u8 = 2;
const CLOSE_NOTIFY: u8 = 0;
const USER_CANCELED: u8 = 90;
const NEW_SESSION_TICKET: u8 = 4;
const KEY_UPDATE: u8 = 24;

thread_local! {
    /// What a worker reads records into and seals them in; nothing stays there from one call to the next.
    static ROOM: RefCell<Room> = const { RefCell::new(Room { read: Vec::new(), write: Vec::new() }) };
}

struct Room {
    read: Vec<u8>,
    write: Vec<u8>,
}

/// Lends the worker's room for reading.
pub(super) fn with_room<T>(body: impl FnOnce(&mut [u8]) -> T) -> T {
    ROOM.with_borrow_mut(|room| {
        room.read.resize(READ, 0);
        body(&mut room.read)
    })
}

/// What is left of rustls: it knows the next keys, and clients keep tickets by it.
pub(crate) enum Kernel {
    Server(Box<KernelConnection<ServerConnectionData>>),
    Client(Box<KernelConnection<ClientConnectionData>>),
    /// TLS 1.2: nothing changes any more.
    Settled,
}

/// Both keys.
pub(super) struct Keys {
    pub(super) tx: Half,
    pub(super) rx: Half,
    pub(super) kernel: Kernel,
}

/// A connection over TLS.
pub(crate) struct TlsStream {
    socket: Stream,
    keys: Keys,
    /// Came, and is no whole record yet.
    held: Vec<u8>,
    /// Opened, and its reader had no room.
    plain: Vec<u8>,
    plain_at: usize,
    /// Sealed, and the socket did not take it.
    out: Vec<u8>,
    out_at: usize,
    /// A message between that is not whole.
    message: Vec<u8>,
    without_data: u8,
    /// Records that are sealed for the next write.
    records: usize,
    /// The peer has said that nothing more comes.
    ended: bool,
    /// Nothing more goes out: the end was said, or something broke.
    closed: bool,
    /// What was sent is whole: an end now is an end, and no cut.
    at_rest: bool,
}

impl TlsStream {
    /// After a handshake, with what came behind its last message.
    pub(super) fn new(socket: Stream, keys: Keys, held: Vec<u8>) -> Self {
        Self {
            socket,
            keys,
            held,
            plain: Vec::new(),
            plain_at: 0,
            out: Vec::new(),
            out_at: 0,
            message: Vec::new(),
            without_data: 0,
            records: 1,
            ended: false,
            closed: false,
            at_rest: true,
        }
    }

    pub(crate) fn socket(&self) -> &Stream {
        &self.socket
    }

    fn has_plain(&self) -> bool {
        self.plain_at < self.plain.len()
    }

    /// Reads plain text; 0 is the end that the peer has said. An end that nobody said is an error: something may lack.
    #[inline(never)]
    pub(crate) fn poll_read(&mut self, cx: &mut Context<'_>, room: &mut [u8]) -> Poll<io::Result<usize>> {
        if self.has_plain() {
            return Poll::Ready(Ok(self.take_plain(room)));
        }
        if self.ended {
            return Poll::Ready(Ok(0));
        }
        with_room(|records| self.poll_records(cx, records, room))
    }

    fn take_plain(&mut self, room: &mut [u8]) -> usize {
        let unread = &self.plain[self.plain_at..];
        let n = unread.len().min(room.len());
        room[..n].copy_from_slice(&unread[..n]);
        self.plain_at += n;
        if !self.has_plain() {
            (self.plain, self.plain_at) = (Vec::new(), 0);
        }
        n
    }

    fn poll_records(&mut self, cx: &mut Context<'_>, records: &mut [u8], room: &mut [u8]) -> Poll<io::Result<usize>> {
        let mut have = self.held.len();
        records[..have].copy_from_slice(&self.held);
        loop {
            let (used, filled) = self.open_all(&records[..have], room)?;
            records.copy_within(used..have, 0);
            have -= used;
            if filled > 0 || self.ended || self.has_plain() {
                self.hold(&records[..have]);
                let more = if filled == 0 && self.has_plain() { self.take_plain(room) } else { 0 };
                return Poll::Ready(Ok(filled + more));
            }
            let most = self.wanted(&records[..have], room.len()).min(records.len());
            match self.socket.poll_read(cx, &mut records[have..most]) {
                Poll::Ready(Ok(0)) => return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into())),
                Poll::Ready(Ok(n)) => have += n,
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending => {
                    self.hold(&records[..have]);
                    return Poll::Pending;
                }
            }
        }
    }

    /// How much may be here: what the reader has room for, but a whole record at least.
    fn wanted(&self, records: &[u8], room: usize) -> usize {
        let record = whole_length(records).ok().flatten().unwrap_or(MOST + OVERHEAD);
        record.max(room)
    }

    /// Keeps what is no whole record yet.
    fn hold(&mut self, rest: &[u8]) {
        if rest.is_empty() {
            if self.held.capacity() > 0 {
                self.held = Vec::new();
            }
        } else {
            self.held.clear();
            self.held.extend_from_slice(rest);
        }
    }

    /// Opens whole records as far as there is room: how many bytes of them were used, and how many of `room`. One that has
    /// more than `room` goes into `plain`, if nothing else is there for the reader.
    fn open_all(&mut self, records: &[u8], room: &mut [u8]) -> io::Result<(usize, usize)> {
        let (mut used, mut filled) = (0, 0);
        while !self.ended {
            let rest = &records[used..];
            let length = whole_length(rest).map_err(|flaw| self.fail(flaw))?;
            let Some(record) = length.and_then(|length| rest.get(..length)) else { break };
            if room.len() - filled >= record.len() {
                let opened = self.keys.rx.open(record, &mut room[filled..]);
                let (kind, n) = opened.map_err(|flaw| self.fail(flaw))?;
                filled += self.judge(kind, &room[filled..filled + n])?;
            } else if filled == 0 && !self.has_plain() {
                let mut plain = vec![0; record.len()];
                let (kind, n) = self.keys.rx.open(record, &mut plain).map_err(|flaw| self.fail(flaw))?;
                if self.judge(kind, &plain[..n])? > 0 {
                    plain.truncate(n);
                    (self.plain, self.plain_at) = (plain, 0);
                }
            } else {
                break;
            }
            used += record.len();
        }
        Ok((used, filled))
    }

    /// How much of a record is data.
    fn judge(&mut self, kind: Kind, plain: &[u8]) -> io::Result<usize> {
        if kind == Kind::Data && !plain.is_empty() {
            self.without_data = 0;
            return Ok(plain.len());
        }
        self.without_data += 1;
        if self.without_data > WITHOUT_DATA {
            return Err(self.fail(Flaw::UnexpectedMessage));
        }
        match kind {
            Kind::Data => {}
            Kind::Alert => self.alert(plain)?,
            Kind::Handshake => self.between(plain)?,
        }
        Ok(0)
    }

    fn alert(&mut self, plain: &[u8]) -> io::Result<()> {
        let &[level, description] = plain else { return Err(self.fail(Flaw::DecodeError)) };
        let is_12 = matches!(self.keys.kernel, Kernel::Settled);
        match description {
            CLOSE_NOTIFY => self.ended = true,
            USER_CANCELED => {}
            _ if is_12 && level == WARNING => {}
            _ => {
                self.closed = true;
                return Err(io::ErrorKind::ConnectionAborted.into());
            }
        }
        Ok(())
    }

    /// Messages of the handshake after its end (RFC 8446, section 4.6).
    fn between(&mut self, plain: &[u8]) -> io::Result<()> {
        let mut message = std::mem::take(&mut self.message);
        message.extend_from_slice(plain);
        let mut unread = message.as_slice();
        while let [kind, a, b, c, rest @ ..] = unread {
            let length = usize::from(*a) << 16 | usize::from(*b) << 8 | usize::from(*c);
            if length > MESSAGES {
                return Err(self.fail(Flaw::DecodeError));
            }
            let Some((body, behind)) = rest.split_at_checked(length) else { break };
            if !self.take_message(*kind, body, behind) {
                return Err(self.fail(Flaw::UnexpectedMessage));
            }
            unread = behind;
        }
        self.message = unread.to_vec();
        Ok(())
    }

    /// Whether a message is one that may come.
    fn take_message(&mut self, kind: u8, body: &[u8], behind: &[u8]) -> bool {
        match (&mut self.keys.kernel, kind) {
            (Kernel::Client(kernel), NEW_SESSION_TICKET) => kernel.handle_new_session_ticket(body).is_ok(),
            // Behind a change of keys nothing else may be in a record (RFC 8446, section 5.1).
            (Kernel::Server(_) | Kernel::Client(_), KEY_UPDATE) if behind.is_empty() => match body {
                [0] => self.renew_rx(),
                [1] => self.renew_rx() && self.renew_tx(),
                _ => false,
            },
            // A server of TLS 1.2 asks for another handshake, which may be passed over (RFC 5246, section 7.4.1.1).
            (Kernel::Settled, 0) => body.is_empty(),
            _ => false,
        }
    }

    fn renew_rx(&mut self) -> bool {
        let (secrets, version) = match &mut self.keys.kernel {
            Kernel::Server(kernel) => (kernel.update_rx_secret(), kernel.protocol_version()),
            Kernel::Client(kernel) => (kernel.update_rx_secret(), kernel.protocol_version()),
            Kernel::Settled => return false,
        };
        let Some(next) = secrets.ok().and_then(|secrets| Half::new(secrets, version)) else { return false };
        self.keys.rx = next;
        true
    }

    /// Says that the next records have another key, and takes it.
    fn renew_tx(&mut self) -> bool {
        let say = &[KEY_UPDATE, 0, 0, 1, 0];
        if self.closed || self.keys.tx.seal(Kind::Handshake, [say, &[]], &mut self.out).is_err() {
            return false;
        }
        let (secrets, version) = match &mut self.keys.kernel {
            Kernel::Server(kernel) => (kernel.update_tx_secret(), kernel.protocol_version()),
            Kernel::Client(kernel) => (kernel.update_tx_secret(), kernel.protocol_version()),
            Kernel::Settled => return false,
        };
        let Some(next) = secrets.ok().and_then(|secrets| Half::new(secrets, version)) else { return false };
        self.keys.tx = next;
        true
    }

    /// The peer breaks the rules: it is told how, if it still reads.
    fn fail(&mut self, flaw: Flaw) -> io::Error {
        self.say([FATAL, flaw as u8]);
        self.closed = true;
        io::ErrorKind::InvalidData.into()
    }

    /// Sends an alert, if the socket takes it at once.
    fn say(&mut self, alert: [u8; 2]) {
        if self.closed || !self.out.is_empty() {
            return;
        }
        let mut record = Vec::with_capacity(alert.len() + OVERHEAD);
        if self.keys.tx.seal(Kind::Alert, [&alert, &[]], &mut record).is_ok() {
            // Who does not take these few bytes has taken nothing for long.
            let _ = self.socket.try_write(&record);
        }
    }

    /// Takes some of two pieces, perhaps without having sent it: [`Self::poll_flush`] sends what is left.
    #[inline(never)]
    pub(crate) fn poll_write(&mut self, cx: &mut Context<'_>, first: &[u8], second: &[u8]) -> Poll<io::Result<usize>> {
        ready!(self.poll_flush(cx))?;
        if self.closed {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        if self.keys.tx.is_worn() {
            // At most once in many millions of records.
            let renewed = self.renew_tx();
            if !renewed {
                return Poll::Ready(Err(self.fail(Flaw::InternalError)));
            }
        }
        self.at_rest = false;
        ROOM.with_borrow_mut(|room| {
            let sealed = &mut room.write;
            sealed.clear();
            sealed.append(&mut self.out);
            let taken = self.seal(first, second, sealed)?;
            match self.socket.poll_write(cx, sealed) {
                Poll::Ready(Ok(n)) if n == sealed.len() => self.records = RECORDS,
                Poll::Ready(Ok(n)) => self.keep(&sealed[n..]),
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending => self.keep(sealed),
            }
            Poll::Ready(Ok(taken))
        })
    }

    fn keep(&mut self, sealed: &[u8]) {
        (self.out, self.out_at) = (sealed.to_vec(), 0);
        self.records = 1;
    }

    /// Seals as much of two pieces as goes out at once.
    fn seal(&mut self, first: &[u8], second: &[u8], sealed: &mut Vec<u8>) -> io::Result<usize> {
        let all = first.len() + second.len();
        let most = all.min(self.records * MOST);
        let mut at = 0;
        while at < most {
            let end = (at + MOST).min(most);
            let pieces = [
                &first[at.min(first.len())..end.min(first.len())],
                &second[at.saturating_sub(first.len())..end.saturating_sub(first.len())],
            ];
            self.keys.tx.seal(Kind::Data, pieces, sealed).map_err(|_| io::Error::from(io::ErrorKind::BrokenPipe))?;
            at = end;
        }
        Ok(most)
    }

    /// Sends what was taken.
    #[inline(never)]
    pub(crate) fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.out_at < self.out.len() {
            match self.socket.poll_write(cx, &self.out[self.out_at..]) {
                Poll::Ready(Ok(0)) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                Poll::Ready(Ok(n)) => self.out_at += n,
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending => {
                    // What is slow keeps no more than it must.
                    self.out.drain(..self.out_at);
                    self.out.shrink_to_fit();
                    self.out_at = 0;
                    return Poll::Pending;
                }
            }
        }
        if self.out.capacity() > 0 {
            (self.out, self.out_at) = (Vec::new(), 0);
        }
        Poll::Ready(Ok(()))
    }

    /// A message was sent whole: from here on, an end is no cut.
    #[inline(never)]
    pub(crate) fn finished(&mut self) {
        self.at_rest = true;
    }

    /// Says the end, and ends our direction.
    #[inline(never)]
    pub(crate) fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.closed {
            self.closed = true;
            let said = self.keys.tx.seal(Kind::Alert, [&[WARNING, CLOSE_NOTIFY], &[]], &mut self.out);
            said.map_err(|_| io::Error::from(io::ErrorKind::BrokenPipe))?;
        }
        ready!(self.poll_flush(cx))?;
        self.socket.poll_shutdown(cx)
    }

    /// Ready when a read would find something.
    #[inline(never)]
    pub(crate) fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let is_here = self.has_plain() || self.ended || self.has_record();
        if is_here { Poll::Ready(Ok(())) } else { self.socket.poll_readable(cx) }
    }

    fn has_record(&self) -> bool {
        whole_length(&self.held).map_or(true, |length| length.is_some_and(|length| length <= self.held.len()))
    }

    /// What has come on an idle connection: tickets are nothing, and are kept.
    #[inline(never)]
    pub(crate) fn rest(&mut self) -> Rest {
        with_room(|records| {
            let mut have = self.held.len();
            records[..have].copy_from_slice(&self.held);
            loop {
                match self.open_all(&records[..have], &mut []) {
                    Err(_) => return Rest::Ended,
                    Ok((used, _)) => {
                        records.copy_within(used..have, 0);
                        have -= used;
                    }
                }
                if self.has_plain() {
                    return Rest::Unasked;
                }
                if self.ended {
                    return Rest::Ended;
                }
                match self.socket.try_read(&mut records[have..]) {
                    Ok(n @ 1..) => have += n,
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                    _ => return Rest::Ended,
                }
            }
            self.hold(&records[..have]);
            Rest::Quiet
        })
    }

    /// Whether something has come, as the kernel itself tells.
    #[inline(never)]
    pub(crate) fn is_stale(&self) -> bool {
        self.has_plain() || self.ended || self.closed || self.socket.is_stale()
    }

    /// Bytes that wait here for the socket.
    #[inline(never)]
    pub(crate) fn waiting(&self) -> u64 {
        (self.out.len() - self.out_at) as u64
    }

    /// The peer must not take what it got for whole.
    #[inline(never)]
    pub(crate) fn cut(&mut self) {
        self.closed = true;
        self.socket.end_with_reset();
    }
}

/// Says the end where that is the truth: between messages, and after the last one. Else the peer sees a cut.
impl Drop for TlsStream {
    #[inline(never)]
    fn drop(&mut self) {
        if self.at_rest {
            self.say([WARNING, CLOSE_NOTIFY]);
        }
    }
}

impl std::fmt::Debug for TlsStream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TlsStream").field("socket", &self.socket).finish_non_exhaustive()
    }
}
