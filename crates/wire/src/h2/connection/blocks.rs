//! HEADERS and CONTINUATION on their way in (RFC 9113, sections 6.2, 6.10 and 8.1): new streams, answers and trailers.

use super::super::error::{ConnectionError, ErrorCode};
use super::super::frame::{self, END_HEADERS, END_STREAM, HEADER_BYTES, Header, PADDED, PRIORITY};
use super::super::head::{self, Asked, Ends, HeadFault};
use super::super::stream::{ANY_LENGTH, Cause, Expects, State};
use super::super::streams::{Handle, Past};
use super::receive::{Expect, Step, Turn, count};
use super::{Abuse, Connection, Event, Leaving};

/// CONTINUATION frames of one block. Nobody needs more: each may have 16 KiB.
const MAX_CONTINUATIONS: u32 = 32;
/// A gathered block may have so many times the bytes that its fields may have, and some more. It has few more than its
/// fields unless somebody tries hard, and what is beyond the limit of the fields is answered with 431 until here.
const GATHERED_FACTOR: usize = 4;
const GATHERED_MORE_BYTES: usize = 16 * 1024;
/// Memory for gathering that is kept from one block to the next.
const KEPT_BYTES: usize = 4 * 1024;

/// A header block that has begun.
#[derive(Clone, Copy, Debug)]
pub(super) struct Block {
    pub(super) stream: u32,
    ends: bool,
    continuations: u32,
    depends_on_itself: bool,
}

impl Connection {
    #[inline]
    pub(super) fn begin_block(&mut self, turn: &mut Turn<'_, '_>, header: Header) -> Result<Step, ConnectionError> {
        let Some(prelude) = Prelude::read(turn.input.rest(), header)? else { return Ok(Step::Wait) };
        if header.stream.is_multiple_of(2) || !self.is_server() && self.is_idle(header.stream) {
            return Err(ConnectionError::protocol("HEADERS on a stream that the peer cannot open"));
        }
        let block = Block {
            stream: header.stream,
            ends: header.has(END_STREAM),
            continuations: 0,
            depends_on_itself: prelude.depends_on == Some(header.stream),
        };
        let fragment = (header.length - prelude.bytes - prelude.padding) as usize;
        let rest = &turn.input.rest()[HEADER_BYTES + prelude.bytes as usize..];
        if header.has(END_HEADERS) && rest.len() >= fragment + prelude.padding as usize {
            turn.input.at += HEADER_BYTES + header.length as usize;
            return Ok(self.end_block(turn, &rest[..fragment], block)?.into());
        }
        if fragment == 0 && !header.has(END_HEADERS) {
            self.budgets.charge(Abuse::EmptyFrames, turn.now_ms)?;
        }
        turn.input.at += HEADER_BYTES + prelude.bytes as usize;
        self.gathered.clear();
        self.block = Some(block);
        let is_last = header.has(END_HEADERS);
        self.expect = Expect::Fragment { left: count(fragment), padding: prelude.padding, is_last };
        Ok(Step::Next)
    }

    #[cold]
    pub(super) fn continue_block(&mut self, turn: &mut Turn<'_, '_>, header: Header) -> Result<Step, ConnectionError> {
        let Some(block) = &mut self.block else {
            return Err(ConnectionError::protocol("CONTINUATION without HEADERS"));
        };
        block.continuations += 1;
        if block.continuations > MAX_CONTINUATIONS {
            return Err(Abuse::ContinuationFlood.into());
        }
        let is_last = header.has(END_HEADERS);
        self.budgets.charge(Abuse::ContinuationFlood, turn.now_ms)?;
        if header.length == 0 && !is_last {
            self.budgets.charge(Abuse::EmptyFrames, turn.now_ms)?;
        }
        turn.input.at += HEADER_BYTES;
        self.expect = Expect::Fragment { left: header.length, padding: 0, is_last };
        Ok(Step::Next)
    }

    /// Gathers a fragment, and decodes the block after the last.
    pub(super) fn gather(
        &mut self,
        turn: &mut Turn<'_, '_>,
        left: u32,
        padding: u32,
        is_last: bool,
    ) -> Result<Step, ConnectionError> {
        let limit = self.config.limits.head_bytes.saturating_mul(GATHERED_FACTOR) + GATHERED_MORE_BYTES;
        if self.gathered.len() + left as usize > limit {
            return Err(Abuse::ContinuationFlood.into());
        }
        let rest = turn.input.rest();
        let piece = rest.len().min(left as usize);
        self.gathered.extend_from_slice(&rest[..piece]);
        let passed = (rest.len() - piece).min(padding as usize);
        turn.input.at += piece + passed;
        let (left, padding) = (left - count(piece), padding - count(passed));
        if left > 0 || padding > 0 {
            self.expect = Expect::Fragment { left, padding, is_last };
            return Ok(Step::Wait);
        }
        self.expect = Expect::Header;
        let Some(block) = self.block.filter(|_| is_last) else { return Ok(Step::Next) };
        self.block = None;
        let gathered = std::mem::take(&mut self.gathered);
        let event = self.end_block(turn, &gathered, block)?;
        if gathered.capacity() <= KEPT_BYTES {
            self.gathered = gathered;
        }
        Ok(event.into())
    }

    /// A whole block is here.
    fn end_block(
        &mut self,
        turn: &mut Turn<'_, '_>,
        fields: &[u8],
        block: Block,
    ) -> Result<Option<Event>, ConnectionError> {
        if self.is_server() && block.stream > self.last_stream {
            return self.read_request(turn, fields, block);
        }
        let Some(stream) = self.streams.find(block.stream) else {
            return self.late_block(turn, fields, block.stream);
        };
        let Some(found) = self.streams.get(stream) else { return Ok(None) };
        match (found.state, found.expects) {
            (State::Open | State::HalfClosedLocal, Expects::Trailers) => {
                self.read_trailers(turn, fields, (stream, block))
            }
            (State::Open | State::HalfClosedLocal, asked) => {
                let asked = Asked { head: asked == Expects::AnswerToHead, ends: block.ends };
                self.read_answer(turn, fields, (stream, asked))
            }
            (State::Closed(Cause::ByUs), _) => {
                head::pass_over(&mut self.decoder, fields, &self.config.limits)?;
                Ok(None)
            }
            (State::Closed(Cause::Ended), _) => Err(headers_after_end()),
            (State::HalfClosedRemote | State::Closed(Cause::ByPeer(_)), _) => {
                head::pass_over(&mut self.decoder, fields, &self.config.limits)?;
                let fault = (ErrorCode::STREAM_CLOSED, "HEADERS after the end of the stream");
                self.fault(stream, fault, turn.now_ms, turn.out)
            }
        }
    }

    #[inline]
    fn read_request(
        &mut self,
        turn: &mut Turn<'_, '_>,
        fields: &[u8],
        block: Block,
    ) -> Result<Option<Event>, ConnectionError> {
        self.last_stream = block.stream;
        if self.streams.len() >= self.config.max_streams as usize || self.is_beyond(block.stream) {
            return self.refuse_stream(turn, fields, block.stream);
        }
        let ends = Ends { stream: block.ends, extended_connect: self.config.extended_connect };
        let limits = &self.config.limits;
        let read = head::read_request(&mut self.decoder, fields, limits, (turn.slot, ends))?;
        let state = if block.ends { State::HalfClosedRemote } else { State::Open };
        match read {
            _ if block.depends_on_itself => self.refuse_malformed(turn, block.stream, "stream that depends on itself"),
            Ok(left) => {
                let stream = self.open(block.stream, state, Expects::Trailers, left.unwrap_or(ANY_LENGTH));
                Ok(Some(Event::Head { stream, ends: block.ends }))
            }
            Err(HeadFault::Refused(refusal)) => {
                if refusal.status == 431 {
                    self.budgets.charge(Abuse::HeaderBomb, turn.now_ms)?;
                }
                let stream = self.open(block.stream, state, Expects::Trailers, ANY_LENGTH);
                Ok(Some(Event::Refused { stream, refusal, ends: block.ends }))
            }
            Err(HeadFault::Malformed(why)) => self.refuse_malformed(turn, block.stream, why),
        }
    }

    /// RFC 9113, section 8.1.1.
    #[cold]
    fn refuse_malformed(
        &mut self,
        turn: &mut Turn<'_, '_>,
        id: u32,
        why: &'static str,
    ) -> Result<Option<Event>, ConnectionError> {
        self.budgets.charge(Abuse::ProvokedReset, turn.now_ms)?;
        frame::put_reset(turn.out, id, ErrorCode::PROTOCOL_ERROR);
        self.streams.remember(id, Past::ByUs);
        Ok(Some(Event::Malformed { why }))
    }

    /// RFC 9113, section 5.1.2: more streams than we take; or one after the last that we take.
    #[cold]
    fn refuse_stream(
        &mut self,
        turn: &mut Turn<'_, '_>,
        fields: &[u8],
        id: u32,
    ) -> Result<Option<Event>, ConnectionError> {
        head::pass_over(&mut self.decoder, fields, &self.config.limits)?;
        self.budgets.charge(Abuse::ProvokedReset, turn.now_ms)?;
        self.streams.remember(id, Past::ByUs);
        frame::put_reset(turn.out, id, ErrorCode::REFUSED_STREAM);
        Ok(None)
    }

    /// Whether a stream came after the last that we said we take.
    pub(super) fn is_beyond(&self, id: u32) -> bool {
        matches!(self.leaving, Leaving::After(last) if id > last)
    }

    fn read_trailers(
        &mut self,
        turn: &mut Turn<'_, '_>,
        fields: &[u8],
        (stream, block): (Handle, Block),
    ) -> Result<Option<Event>, ConnectionError> {
        let read = head::read_trailers(&mut self.decoder, fields, &self.config.limits, turn.slot)?;
        let Some(found) = self.streams.get(stream) else { return Ok(None) };
        let judged = match read {
            Ok(()) if !block.ends => Err("trailers that do not end the stream"),
            Ok(()) => found.count(0, true),
            Err(why) => Err(why),
        };
        if let Err(why) = judged {
            return self.fault(stream, (ErrorCode::PROTOCOL_ERROR, why), turn.now_ms, turn.out);
        }
        found.state.received_end();
        Ok(Some(Event::Trailers { stream }))
    }

    fn read_answer(
        &mut self,
        turn: &mut Turn<'_, '_>,
        fields: &[u8],
        (stream, asked): (Handle, Asked),
    ) -> Result<Option<Event>, ConnectionError> {
        let read = head::read_answer(&mut self.decoder, fields, &self.config.limits, (turn.slot, asked))?;
        let Some(found) = self.streams.get(stream) else { return Ok(None) };
        match read {
            Ok(left) => {
                if turn.slot.answer.status >= 200 {
                    found.expects = Expects::Trailers;
                    found.left = left.unwrap_or(ANY_LENGTH);
                }
                if asked.ends {
                    found.state.received_end();
                }
                Ok(Some(Event::Head { stream, ends: asked.ends }))
            }
            Err(why) => self.fault(stream, (ErrorCode::PROTOCOL_ERROR, why), turn.now_ms, turn.out),
        }
    }

    /// HEADERS on a stream that has no place any more.
    #[cold]
    fn late_block(
        &mut self,
        turn: &mut Turn<'_, '_>,
        fields: &[u8],
        id: u32,
    ) -> Result<Option<Event>, ConnectionError> {
        head::pass_over(&mut self.decoder, fields, &self.config.limits)?;
        match self.streams.past(id) {
            Past::ByUs => Ok(None),
            Past::Ended => Err(headers_after_end()),
            Past::ByPeer => {
                self.budgets.charge(Abuse::ProvokedReset, turn.now_ms)?;
                frame::put_reset(turn.out, id, ErrorCode::STREAM_CLOSED);
                Ok(None)
            }
            // One of ours that was given up long ago.
            Past::Unknown if !self.is_server() => Ok(None),
            // RFC 9113, section 5.1.1: ids only grow.
            Past::Unknown => Err(ConnectionError::protocol("HEADERS on a stream below the last one")),
        }
    }
}

/// RFC 9113, section 5.1: the peer has ended the stream itself.
#[cold]
fn headers_after_end() -> ConnectionError {
    ConnectionError::new(ErrorCode::STREAM_CLOSED, "HEADERS on a closed stream")
}

/// What comes before the fragment in HEADERS.
struct Prelude {
    bytes: u32,
    padding: u32,
    /// The stream that this one depends on. Priorities are of no effect (RFC 9113, section 5.3.2).
    depends_on: Option<u32>,
}

impl Prelude {
    /// None if it is not all here.
    #[inline]
    fn read(frame: &[u8], header: Header) -> Result<Option<Self>, ConnectionError> {
        if !header.has(PADDED | PRIORITY) {
            return Ok(Some(Self { bytes: 0, padding: 0, depends_on: None }));
        }
        let padded = usize::from(header.has(PADDED));
        let bytes = padded + if header.has(PRIORITY) { 5 } else { 0 };
        if (header.length as usize) < bytes {
            return Err(ConnectionError::frame_size("HEADERS too small for its flags"));
        }
        let Some(prelude) = frame.get(HEADER_BYTES..HEADER_BYTES + bytes) else { return Ok(None) };
        let padding = if padded == 1 { u32::from(prelude[0]) } else { 0 };
        if count(bytes) + padding > header.length {
            return Err(ConnectionError::protocol("padding longer than its frame"));
        }
        let dependency = prelude.get(padded..).and_then(<[u8]>::first_chunk::<4>);
        let depends_on = dependency.map(|id| u32::from_be_bytes(*id) & 0x7fff_ffff);
        Ok(Some(Self { bytes: count(bytes), padding, depends_on }))
    }
}
