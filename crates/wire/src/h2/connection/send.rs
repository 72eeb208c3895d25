//! Writing: heads, data and trailers (RFC 9113, sections 6.1, 6.2 and 8.1).

use super::super::error::Gone;
use super::super::frame::{self, END_HEADERS, END_STREAM, HEADER_BYTES, Header, Type};
use super::super::settings::MAX_FRAME_BYTES;
use super::super::stream::{ANY_LENGTH, Expects, State, Waits};
use super::super::streams::Handle;
use super::{Abuse, Connection, Full, Role};

/// DATA in one frame at most, whatever the peer takes: a turn of one stream, and small enough that others need not wait
/// long.
const MAX_DATA_BYTES: usize = MAX_FRAME_BYTES as usize;
/// DATA frames of so many bytes are useful work even where the window was smaller than what there was to send.
const LARGE_BYTES: usize = 1024;

/// Whether something follows on a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum More {
    /// Data or trailers do.
    Follows,
    /// Nothing does: END_STREAM.
    Ends,
}

/// What a request asks for.
#[derive(Clone, Copy, Debug)]
pub struct RequestLine<'a> {
    /// `:method`.
    pub method: &'a [u8],
    /// `:scheme`.
    pub scheme: &'a [u8],
    /// `:authority`.
    pub authority: &'a [u8],
    /// `:path` without the query.
    pub path: &'a [u8],
    /// The query, if there is a `?`.
    pub query: Option<&'a [u8]>,
    /// `:protocol`, with CONNECT only, and only if [`Connection::takes_extended_connect`].
    pub protocol: Option<&'a [u8]>,
}

/// A head on its way out. Nothing is sent before [`HeadWriter::finish`], which must be called: what was written so far
/// counts in the compression context.
#[derive(Debug)]
#[must_use = "a head that is not finished breaks the connection"]
pub struct HeadWriter<'a> {
    connection: &'a mut Connection,
    out: &'a mut Vec<u8>,
    /// Where the frame begins.
    start: usize,
    stream: Handle,
}

impl HeadWriter<'_> {
    /// Which stream it is for.
    #[must_use]
    pub fn stream(&self) -> Handle {
        self.stream
    }

    /// Writes a field; its name may have any case. Connection-specific fields (RFC 9113, section 8.2.2) are the caller's to
    /// leave out. Values of credentials and cookies are never put into a table.
    #[inline]
    pub fn field(&mut self, name: &[u8], value: &[u8]) {
        self.connection.encoder.put_field(name, value, self.out);
    }

    /// Writes a field that no table may hold, here or further on: one that came marked so
    /// ([`crate::head::Field::never_indexed`]).
    pub fn secret_field(&mut self, name: &[u8], value: &[u8]) {
        self.connection.encoder.put_secret(name, value, self.out);
    }

    /// Ends the head. `More::Ends` ends the stream with it.
    #[inline]
    pub fn finish(self, more: More) -> Handle {
        let length = self.out.len() - self.start - HEADER_BYTES;
        if more == More::Ends {
            self.out[self.start + 4] |= END_STREAM;
            self.connection.end_sending(self.stream);
        }
        if length > self.connection.peer.max_frame as usize {
            split(self.out, self.start, self.connection.peer.max_frame as usize);
        } else {
            frame::set_length(self.out, self.start, length);
        }
        self.stream
    }
}

/// Cuts the block that follows the frame header at `start` into frames of `largest` bytes.
#[cold]
fn split(out: &mut Vec<u8>, start: usize, largest: usize) {
    let block = out.split_off(start + HEADER_BYTES);
    let stream = out[start..].last_chunk::<4>().map_or(0, |id| u32::from_be_bytes(*id));
    let mut pieces = block.chunks(largest);
    let first = pieces.next().unwrap_or_default();
    frame::set_length(out, start, first.len());
    out[start + 4] &= !END_HEADERS;
    out.extend_from_slice(first);
    let mut last = out.len();
    for piece in pieces {
        last = out.len();
        frame::put_header(out, Header { length: 0, kind: Type::Continuation, flags: 0, stream });
        frame::set_length(out, last, piece.len());
        out.extend_from_slice(piece);
    }
    out[last + 4] |= END_HEADERS;
}

impl Connection {
    /// Servers: begins an answer, or an interim one.
    ///
    /// # Errors
    /// The stream is not there any more, or its answer has ended.
    #[inline]
    pub fn put_answer<'a>(
        &'a mut self,
        stream: Handle,
        status: u16,
        out: &'a mut Vec<u8>,
    ) -> Result<HeadWriter<'a>, Gone> {
        let writer = self.begin_head(stream, out)?;
        writer.connection.encoder.put_status(status, writer.out);
        Ok(writer)
    }

    /// Clients: begins a request on a new stream.
    ///
    /// # Errors
    /// The connection takes no more streams now.
    pub fn put_request<'a>(&'a mut self, line: &RequestLine<'_>, out: &'a mut Vec<u8>) -> Result<HeadWriter<'a>, Full> {
        if self.role != Role::Client || self.room() == 0 {
            return Err(Full);
        }
        self.last_stream = if self.last_stream == 0 { 1 } else { self.last_stream + 2 };
        let expects = if line.method == b"HEAD" { Expects::AnswerToHead } else { Expects::Answer };
        let stream = self.open(self.last_stream, State::Open, expects, ANY_LENGTH);
        let writer = self.begin_head(stream, out).map_err(|_| Full)?;
        let (encoder, out) = (&mut writer.connection.encoder, &mut *writer.out);
        encoder.put_method(line.method, out);
        encoder.put_scheme(line.scheme, out);
        encoder.put_authority(line.authority, out);
        encoder.put_path(line.path, line.query, out);
        if let Some(protocol) = line.protocol {
            encoder.put_protocol(protocol, out);
        }
        Ok(writer)
    }

    /// Begins trailers: finish them with `More::Ends`. They need no window, but must not overtake data.
    ///
    /// # Errors
    /// The stream is not there any more, or has ended.
    pub fn put_trailers<'a>(&'a mut self, stream: Handle, out: &'a mut Vec<u8>) -> Result<HeadWriter<'a>, Gone> {
        self.begin_head(stream, out)
    }

    #[inline]
    fn begin_head<'a>(&'a mut self, stream: Handle, out: &'a mut Vec<u8>) -> Result<HeadWriter<'a>, Gone> {
        self.streams.get(stream).filter(|found| found.state.can_send()).ok_or(Gone)?;
        let start = out.len();
        frame::put_header(out, Header { length: 0, kind: Type::Headers, flags: END_HEADERS, stream: stream.id });
        self.encoder.begin(out);
        Ok(HeadWriter { connection: self, out, start, stream })
    }

    /// We have said all on a stream.
    #[inline]
    fn end_sending(&mut self, stream: Handle) {
        if let Some(found) = self.streams.get(stream) {
            found.state.sent_end();
            found.waits = Waits::No;
        }
        // An exchange that came to its end is what all frames are for.
        self.budgets.earn(Abuse::RapidReset, 1);
        self.budgets.earn(Abuse::PriorityFlood, 2);
        self.budgets.earn(Abuse::WindowUpdateFlood, 2);
        self.budgets.earn(Abuse::PingFlood, 1);
    }

    /// Writes some of `data` in one frame, as much as windows and the size of a frame allow; returns how much. If that is
    /// all and `more` is `Ends`, the stream ends with it. If it is not all, the stream waits, and takes nothing until
    /// [`Connection::next_writable`] names it.
    ///
    /// # Errors
    /// The stream is not there any more, or has ended.
    #[inline]
    pub fn put_data(&mut self, stream: Handle, data: &[u8], more: More, out: &mut Vec<u8>) -> Result<usize, Gone> {
        let found = self.streams.get(stream).filter(|found| found.state.can_send()).ok_or(Gone)?;
        let frame = MAX_DATA_BYTES.min(self.peer.max_frame as usize);
        let window = found.send_window.available().min(self.send_window.available());
        let length = if found.waits == Waits::No { data.len().min(frame).min(window) } else { 0 };
        let ends = more == More::Ends && length == data.len();
        if length == 0 && !ends {
            self.wait(stream, data);
            return Ok(0);
        }
        found.send_window.take(length);
        self.send_window.take(length);
        if length == data.len() || length >= LARGE_BYTES {
            self.budgets.earn(Abuse::WindowUpdateFlood, 3);
            self.budgets.earn(Abuse::PingFlood, 1);
        }
        let flags = if ends { END_STREAM } else { 0 };
        let bytes = u32::try_from(length).unwrap_or(0);
        frame::put_header(out, Header { length: bytes, kind: Type::Data, flags, stream: stream.id });
        out.extend_from_slice(&data[..length]);
        if ends {
            self.end_sending(stream);
        } else {
            self.wait(stream, &data[length..]);
        }
        Ok(length)
    }

    /// The stream has `rest` to send, if that is not empty: it waits for its window, or for its turn.
    #[inline]
    fn wait(&mut self, stream: Handle, rest: &[u8]) {
        if rest.is_empty() {
            return;
        }
        let Some(found) = self.streams.get(stream).filter(|found| found.waits == Waits::No) else { return };
        if found.send_window.available() == 0 {
            found.waits = Waits::Window;
        } else {
            found.waits = Waits::Turn;
            self.turns.push_back(stream);
        }
    }
}
