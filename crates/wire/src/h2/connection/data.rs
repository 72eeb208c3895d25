//! DATA on its way in (RFC 9113, sections 5.2 and 6.1).

use super::super::error::{ConnectionError, ErrorCode};
use super::super::frame::{END_STREAM, HEADER_BYTES, Header, PADDED};
use super::super::stream::{Cause, Expects, State};
use super::super::streams::{Handle, Past};
use super::receive::{Expect, Step, Turn, count};
use super::{Abuse, Connection, Event, frame};

/// DATA frames of so many bytes and more are useful work.
const LARGE_BYTES: u32 = 1024;

impl Connection {
    #[inline]
    pub(super) fn begin_data(&mut self, turn: &mut Turn<'_, '_>, header: Header) -> Result<Step, ConnectionError> {
        let Some((overhead, padding)) = read_padding(turn, header)? else { return Ok(Step::Wait) };
        // All of the frame counts, whatever becomes of it (RFC 9113, section 6.9).
        if self.receive_window.take(header.length).is_err() {
            let why = "more DATA than the window of the connection allows";
            return Err(ConnectionError::new(ErrorCode::FLOW_CONTROL_ERROR, why));
        }
        if self.is_idle(header.stream) {
            return Err(ConnectionError::protocol("DATA on an idle stream"));
        }
        turn.input.at += HEADER_BYTES + overhead as usize;
        let (data, ends) = (header.length - overhead - padding, header.has(END_STREAM));
        let Some(stream) = self.streams.find(header.stream) else {
            return self.late_data(turn, header, data + padding);
        };
        let event = match self.judge_data(stream, header, data) {
            Ok(()) => None,
            Err(None) => return Ok(self.drop_data(turn, header.length, data + padding)),
            Err(Some((code, why))) => {
                let event = self.fault(stream, (code, why), turn.now_ms, turn.out)?;
                self.drop_data(turn, header.length, data + padding);
                return Ok(event.into());
            }
        };
        if data == 0 && !ends {
            self.budgets.charge(Abuse::EmptyFrames, turn.now_ms)?;
        }
        if data >= LARGE_BYTES {
            self.budgets.earn(Abuse::PingFlood, 1);
        }
        if overhead > 0 {
            self.give_back_padding(turn, stream, overhead + padding);
        }
        self.expect = Expect::Data { stream, left: data, padding, ends };
        Ok(event.into())
    }

    /// Whether DATA may come on the stream now, and so much: else nothing, where it is passed over in silence, or an error.
    #[inline]
    fn judge_data(
        &mut self,
        stream: Handle,
        header: Header,
        data: u32,
    ) -> Result<(), Option<(ErrorCode, &'static str)>> {
        let Some(found) = self.streams.get(stream) else { return Err(None) };
        match found.state {
            State::Open | State::HalfClosedLocal => {}
            State::Closed(Cause::ByUs) => return Err(None),
            _ => return Err(Some((ErrorCode::STREAM_CLOSED, "DATA after the end of the stream"))),
        }
        if found.expects != Expects::Trailers {
            return Err(Some((ErrorCode::PROTOCOL_ERROR, "DATA before the head")));
        }
        if found.receive_window.take(header.length).is_err() {
            return Err(Some((ErrorCode::FLOW_CONTROL_ERROR, "more DATA than the window of the stream allows")));
        }
        found.count(data, header.has(END_STREAM)).map_err(|why| Some((ErrorCode::PROTOCOL_ERROR, why)))
    }

    /// DATA for a stream that has no place any more.
    #[cold]
    fn late_data(&mut self, turn: &mut Turn<'_, '_>, header: Header, left: u32) -> Result<Step, ConnectionError> {
        if self.streams.past(header.stream) != Past::ByUs && !self.is_beyond(header.stream) {
            self.budgets.charge(Abuse::ProvokedReset, turn.now_ms)?;
            frame::put_reset(turn.out, header.stream, ErrorCode::STREAM_CLOSED);
        }
        Ok(self.drop_data(turn, header.length, left))
    }

    /// Passes over what is left of a frame, all of which counted.
    fn drop_data(&mut self, turn: &mut Turn<'_, '_>, length: u32, left: u32) -> Step {
        self.give_back(length, turn.out);
        self.expect = Expect::Nothing { left };
        Step::Next
    }

    #[cold]
    fn give_back_padding(&mut self, turn: &mut Turn<'_, '_>, stream: Handle, bytes: u32) {
        let size = self.config.stream_window;
        if let Some(found) = self.streams.get(stream)
            && let Some(told) = found.receive_window.give_back(bytes, size)
        {
            frame::put_window_update(turn.out, stream.id, told);
        }
        self.give_back(bytes, turn.out);
    }

    #[inline]
    pub(super) fn read_data(&mut self, turn: &mut Turn<'_, '_>) -> Step {
        let Expect::Data { stream, left, padding, ends } = self.expect else { return Step::Next };
        let piece = count(turn.input.rest().len()).min(left);
        if piece == 0 && left > 0 {
            return Step::Wait;
        }
        let start = turn.input.at;
        turn.input.at += piece as usize;
        let is_last = piece == left;
        self.expect = match (is_last, padding) {
            (false, _) => Expect::Data { stream, left: left - piece, padding, ends },
            (true, 0) => Expect::Header,
            (true, left) => Expect::Nothing { left },
        };
        let ends = ends && is_last;
        let Some(found) = self.streams.get(stream).filter(|found| found.state.can_receive()) else {
            // It was reset or released while its frame was on the way.
            self.give_back(piece, turn.out);
            return Step::Next;
        };
        found.held += piece;
        if ends {
            found.state.received_end();
        } else if piece == 0 {
            return Step::Next;
        }
        Step::Event(Event::Data { stream, range: start..turn.input.at, ends })
    }
}

/// The bytes before the data that are for padding, and those of the padding itself; none if the first byte is not here.
#[inline]
fn read_padding(turn: &Turn<'_, '_>, header: Header) -> Result<Option<(u32, u32)>, ConnectionError> {
    if !header.has(PADDED) {
        return Ok(Some((0, 0)));
    }
    if header.length == 0 {
        return Err(ConnectionError::frame_size("padded DATA without the length of the padding"));
    }
    match turn.input.rest().get(HEADER_BYTES) {
        None => Ok(None),
        Some(padding) if u32::from(*padding) < header.length => Ok(Some((1, u32::from(*padding)))),
        Some(_) => Err(ConnectionError::protocol("padding longer than its frame")),
    }
}
