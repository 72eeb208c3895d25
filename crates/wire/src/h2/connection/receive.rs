//! Reading: from bytes to frames, and each frame to where it belongs.

use super::super::error::ConnectionError;
use super::super::frame::{self, HEADER_BYTES, Header, PREFACE, Type};
use super::super::head::HeadSlot;
use super::super::streams::Handle;
use super::{Abuse, Connection, Event, Role};

/// Bytes that [`Connection::receive`] may leave in the input at most: the header of a frame and what must be looked at in
/// one piece with it.
pub const MAX_LEFT_BYTES: usize = HEADER_BYTES + 8;

/// Bytes that were read, and how many of them are done with.
#[derive(Debug)]
pub struct Input<'a> {
    /// The bytes.
    pub bytes: &'a [u8],
    /// The first that is not done with.
    pub at: usize,
}

impl<'a> Input<'a> {
    /// Of which nothing is done.
    #[must_use]
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    /// What is not done with.
    #[inline]
    pub(super) fn rest(&self) -> &'a [u8] {
        self.bytes.get(self.at..).unwrap_or_default()
    }
}

/// What the next bytes of the input are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Expect {
    /// What is left of the preface after so many bytes.
    Preface(usize),
    /// A frame's header.
    Header,
    /// The payload of DATA, of which the application gets `left` bytes; then so many bytes of padding.
    Data { stream: Handle, left: u32, padding: u32, ends: bool },
    /// A fragment of a header block that is gathered; then padding.
    Fragment { left: u32, padding: u32, is_last: bool },
    /// So many bytes of settings.
    Settings { left: u32 },
    /// So many bytes that nobody needs.
    Nothing { left: u32 },
}

/// What a step has come to.
pub(super) enum Step {
    /// Go on.
    Next,
    /// More input is needed.
    Wait,
    /// Something for the application.
    Event(Event),
}

impl From<Option<Event>> for Step {
    fn from(event: Option<Event>) -> Self {
        event.map_or(Self::Next, Self::Event)
    }
}

/// What every step has at hand.
pub(super) struct Turn<'a, 'b> {
    pub(super) input: &'a mut Input<'b>,
    pub(super) slot: &'a mut HeadSlot,
    pub(super) now_ms: u64,
    pub(super) out: &'a mut Vec<u8>,
}

/// So many bytes as a number for windows; there are never more in a piece.
#[inline]
pub(super) fn count(bytes: usize) -> u32 {
    u32::try_from(bytes).unwrap_or(u32::MAX)
}

impl Connection {
    /// Takes the next event from the input; none when more of it is needed. `now_ms` counts from any start.
    ///
    /// # Errors
    /// The connection cannot go on: `out` says so to the peer. Do not call again.
    #[inline]
    pub fn receive(
        &mut self,
        input: &mut Input<'_>,
        slot: &mut HeadSlot,
        now_ms: u64,
        out: &mut Vec<u8>,
    ) -> Result<Option<Event>, ConnectionError> {
        let mut turn = Turn { input, slot, now_ms, out };
        loop {
            match self.step(&mut turn) {
                Ok(Step::Next) => {}
                Ok(Step::Wait) => return Ok(None),
                Ok(Step::Event(event)) => return Ok(Some(event)),
                Err(error) => {
                    self.leave(error.code, error.why, turn.out);
                    return Err(error);
                }
            }
        }
    }

    #[inline]
    fn step(&mut self, turn: &mut Turn<'_, '_>) -> Result<Step, ConnectionError> {
        match self.expect {
            Expect::Header => self.read_frame(turn),
            Expect::Data { .. } => Ok(self.read_data(turn)),
            Expect::Fragment { left, padding, is_last } => self.gather(turn, left, padding, is_last),
            Expect::Nothing { left } => Ok(self.pass_over(turn, left)),
            Expect::Settings { left } => self.read_settings(turn, left),
            Expect::Preface(matched) => self.read_preface(turn, matched),
        }
    }

    fn read_preface(&mut self, turn: &mut Turn<'_, '_>, matched: usize) -> Result<Step, ConnectionError> {
        let (rest, wanted) = (turn.input.rest(), &PREFACE[matched..]);
        let length = rest.len().min(wanted.len());
        if rest[..length] != wanted[..length] {
            return Err(ConnectionError::protocol("no HTTP/2 connection preface"));
        }
        turn.input.at += length;
        if length < wanted.len() {
            self.expect = Expect::Preface(matched + length);
            return Ok(Step::Wait);
        }
        self.expect = Expect::Header;
        Ok(Step::Next)
    }

    fn pass_over(&mut self, turn: &mut Turn<'_, '_>, left: u32) -> Step {
        let passed = count(turn.input.rest().len()).min(left);
        turn.input.at += passed as usize;
        if passed < left {
            self.expect = Expect::Nothing { left: left - passed };
            return Step::Wait;
        }
        self.expect = Expect::Header;
        Step::Next
    }

    #[inline]
    fn read_frame(&mut self, turn: &mut Turn<'_, '_>) -> Result<Step, ConnectionError> {
        let Some(header) = Header::read(turn.input.rest()) else { return Ok(Step::Wait) };
        header.check()?;
        if let Some(block) = &self.block {
            // RFC 9113, section 6.10: nothing comes between the parts of a block.
            if header.kind != Type::Continuation || header.stream != block.stream {
                return Err(ConnectionError::protocol("a header block is interrupted"));
            }
        }
        if !self.has_peer_settings && (header.kind != Type::Settings || header.has(frame::ACK)) {
            return Err(ConnectionError::protocol("SETTINGS do not come first"));
        }
        match header.kind {
            Type::Data => self.begin_data(turn, header),
            Type::Headers => self.begin_block(turn, header),
            Type::Continuation => self.continue_block(turn, header),
            Type::WindowUpdate => self.read_window_update(turn, header),
            Type::RstStream => self.read_reset(turn, header),
            Type::Settings => self.begin_settings(turn, header),
            Type::Ping => self.read_ping(turn, header),
            Type::GoAway => self.read_goaway(turn, header),
            Type::Priority => self.read_priority(turn, header),
            // RFC 9113, section 5.5; PUSH_PROMISE has been refused.
            Type::Other | Type::PushPromise => {
                if header.length == 0 {
                    self.budgets.charge(Abuse::EmptyFrames, turn.now_ms)?;
                }
                self.skip(turn, header.length);
                Ok(Step::Next)
            }
        }
    }

    /// Takes the header of a frame and passes over so many bytes behind it.
    pub(super) fn skip(&mut self, turn: &mut Turn<'_, '_>, left: u32) {
        turn.input.at += HEADER_BYTES;
        self.expect = Expect::Nothing { left };
    }

    /// The first bytes of a frame's payload, taken with its header; none if they are not all here.
    #[inline]
    pub(super) fn payload<const N: usize>(turn: &mut Turn<'_, '_>) -> Option<[u8; N]> {
        let payload = *turn.input.rest().get(HEADER_BYTES..)?.first_chunk::<N>()?;
        turn.input.at += HEADER_BYTES + N;
        Some(payload)
    }

    /// Whether a stream of this number was never opened.
    #[inline]
    pub(super) fn is_idle(&self, id: u32) -> bool {
        // Only clients open streams, since nothing is pushed.
        id.is_multiple_of(2) || id > self.last_stream
    }

    pub(super) fn is_server(&self) -> bool {
        self.role == Role::Server
    }
}
