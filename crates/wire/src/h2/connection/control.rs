//! Frames about streams and the connection on their way in: WINDOW_UPDATE, RST_STREAM, SETTINGS, PING, GOAWAY, PRIORITY.

use super::super::error::{ConnectionError, ErrorCode};
use super::super::flow::INITIAL_WINDOW;
use super::super::frame::{self, ACK, HEADER_BYTES, Header};
use super::super::settings::{SETTING_BYTES, Sender};
use super::super::stream::{State, Waits};
use super::super::streams::Handle;
use super::receive::{Expect, Step, Turn, count};
use super::{Abuse, By, Connection, Event, Leaving};

/// The payload of the PING that comes back when the client knows that we leave.
pub(super) const DRAIN_PING: [u8; 8] = *b"draining";
/// The payload of those that ask whether the peer is there.
pub(super) const KEEP_ALIVE_PING: [u8; 8] = *b"evenkeel";

impl Connection {
    pub(super) fn read_window_update(
        &mut self,
        turn: &mut Turn<'_, '_>,
        header: Header,
    ) -> Result<Step, ConnectionError> {
        let Some(payload) = Self::payload::<4>(turn) else { return Ok(Step::Wait) };
        self.budgets.charge(Abuse::WindowUpdateFlood, turn.now_ms)?;
        let increment = u32::from_be_bytes(payload) & 0x7fff_ffff;
        if header.stream == 0 {
            if increment == 0 {
                return Err(ConnectionError::protocol("WINDOW_UPDATE by 0"));
            }
            let why = "window of the connection larger than 2^31 - 1";
            let overflow = |_| ConnectionError::new(ErrorCode::FLOW_CONTROL_ERROR, why);
            self.send_window.grow(i64::from(increment)).map_err(overflow)?;
            return Ok(Step::Next);
        }
        if self.is_idle(header.stream) {
            return Err(ConnectionError::protocol("WINDOW_UPDATE on an idle stream"));
        }
        let Some(stream) = self.streams.find(header.stream) else { return Ok(Step::Next) };
        Ok(self.grow_stream(turn, stream, increment)?.into())
    }

    fn grow_stream(
        &mut self,
        turn: &mut Turn<'_, '_>,
        stream: Handle,
        increment: u32,
    ) -> Result<Option<Event>, ConnectionError> {
        let open = self.streams.get(stream).filter(|found| !matches!(found.state, State::Closed(_)));
        let Some(found) = open else { return Ok(None) };
        let fault = if increment == 0 {
            (ErrorCode::PROTOCOL_ERROR, "WINDOW_UPDATE by 0")
        } else if found.send_window.grow(i64::from(increment)).is_err() {
            (ErrorCode::FLOW_CONTROL_ERROR, "window of the stream larger than 2^31 - 1")
        } else {
            if found.waits == Waits::Window && found.send_window.available() > 0 {
                found.waits = Waits::Turn;
                self.turns.push_back(stream);
            }
            return Ok(None);
        };
        self.fault(stream, fault, turn.now_ms, turn.out)
    }

    pub(super) fn read_reset(&mut self, turn: &mut Turn<'_, '_>, header: Header) -> Result<Step, ConnectionError> {
        let Some(payload) = Self::payload::<4>(turn) else { return Ok(Step::Wait) };
        if self.is_idle(header.stream) {
            return Err(ConnectionError::protocol("RST_STREAM on an idle stream"));
        }
        let code = ErrorCode(u32::from_be_bytes(payload));
        let stream = self.streams.find(header.stream);
        let closed = stream.and_then(|stream| {
            let found = self.streams.get(stream)?;
            let was_answered = !found.state.can_send();
            found.state.received_reset(code).then_some((stream, was_answered))
        });
        // Work that is thrown away, and frames for nothing. A client resets what it has got an answer to as it likes.
        if self.is_server() && !matches!(closed, Some((_, true))) {
            self.budgets.charge(Abuse::RapidReset, turn.now_ms)?;
        }
        let event = closed.map(|(stream, _)| Event::Reset { stream, code, by: By::Peer });
        Ok(event.into())
    }

    pub(super) fn begin_settings(&mut self, turn: &mut Turn<'_, '_>, header: Header) -> Result<Step, ConnectionError> {
        turn.input.at += HEADER_BYTES;
        self.has_peer_settings = true;
        self.budgets.charge(Abuse::SettingsFlood, turn.now_ms)?;
        if header.has(ACK) {
            self.acknowledged();
            return Ok(Step::Next);
        }
        self.expect = Expect::Settings { left: header.length };
        Ok(Step::Next)
    }

    /// The peer keeps to our settings from here on.
    fn acknowledged(&mut self) {
        if std::mem::replace(&mut self.is_acknowledged, true) {
            return;
        }
        self.decoder.set_limit(self.config.table_bytes);
        let allowed = i64::from(self.config.stream_window.max(INITIAL_WINDOW));
        let change = i64::from(self.config.stream_window) - allowed;
        if change != 0 {
            self.streams.iter_mut().for_each(|(_, stream)| stream.receive_window.resize(change));
        }
    }

    pub(super) fn read_settings(&mut self, turn: &mut Turn<'_, '_>, left: u32) -> Result<Step, ConnectionError> {
        let sender = if self.is_server() { Sender::Client } else { Sender::Server };
        let before = self.peer;
        let mut left = left;
        while left > 0
            && let Some(setting) = turn.input.rest().first_chunk::<SETTING_BYTES>()
        {
            self.peer.take(*setting, sender)?;
            turn.input.at += SETTING_BYTES;
            left -= count(SETTING_BYTES);
        }
        self.apply_window(before.initial_window)?;
        if left > 0 {
            self.expect = Expect::Settings { left };
            return Ok(Step::Wait);
        }
        self.encoder.set_limit(self.peer.header_table_size);
        frame::put_settings_ack(turn.out);
        self.expect = Expect::Header;
        Ok(Step::Next)
    }

    /// RFC 9113, section 6.9.2: a change of the setting changes all windows of streams.
    fn apply_window(&mut self, before: u32) -> Result<(), ConnectionError> {
        let change = i64::from(self.peer.initial_window) - i64::from(before);
        if change == 0 {
            return Ok(());
        }
        for (handle, stream) in self.streams.iter_mut() {
            if stream.send_window.grow(change).is_err() {
                let why = "SETTINGS_INITIAL_WINDOW_SIZE makes a window larger than 2^31 - 1";
                return Err(ConnectionError::new(ErrorCode::FLOW_CONTROL_ERROR, why));
            }
            if stream.waits == Waits::Window && stream.send_window.available() > 0 {
                stream.waits = Waits::Turn;
                self.turns.push_back(handle);
            }
        }
        Ok(())
    }

    pub(super) fn read_ping(&mut self, turn: &mut Turn<'_, '_>, header: Header) -> Result<Step, ConnectionError> {
        let Some(payload) = Self::payload::<8>(turn) else { return Ok(Step::Wait) };
        self.budgets.charge(Abuse::PingFlood, turn.now_ms)?;
        if !header.has(ACK) {
            frame::put_ping(turn.out, ACK, payload);
            return Ok(Step::Next);
        }
        if payload == DRAIN_PING && self.leaving == Leaving::Announced {
            self.leave(ErrorCode::NO_ERROR, "", turn.out);
        } else if payload == KEEP_ALIVE_PING && self.ping_sent_ms.take().is_some() {
            return Ok(Step::Event(Event::Pong));
        }
        Ok(Step::Next)
    }

    pub(super) fn read_goaway(&mut self, turn: &mut Turn<'_, '_>, header: Header) -> Result<Step, ConnectionError> {
        let Some([a, b, c, d, code @ ..]) = Self::payload::<8>(turn) else { return Ok(Step::Wait) };
        self.expect = Expect::Nothing { left: header.length - 8 };
        let code = ErrorCode(u32::from_be_bytes(code));
        let last = u32::from_be_bytes([a, b, c, d]) & 0x7fff_ffff;
        self.budgets.charge(Abuse::PingFlood, turn.now_ms)?;
        if self.is_server() {
            // It speaks of streams that we would have opened.
            self.peer_leaves_after = Some(0);
            return Ok(Step::Event(Event::GoAway { last, code }));
        }
        // RFC 9113, section 6.8: what was not processed stays so.
        let last = self.peer_leaves_after.map_or(last, |before| before.min(last));
        self.peer_leaves_after = Some(last);
        for (_, stream) in self.streams.iter_mut().filter(|(handle, _)| handle.id > last) {
            stream.state.received_reset(ErrorCode::REFUSED_STREAM);
        }
        Ok(Step::Event(Event::GoAway { last, code }))
    }

    /// Priorities are of no effect, but must make sense (RFC 9113, sections 5.3.2 and 6.3).
    pub(super) fn read_priority(&mut self, turn: &mut Turn<'_, '_>, header: Header) -> Result<Step, ConnectionError> {
        let fault = if header.length == 5 {
            let Some([a, b, c, d, _]) = Self::payload::<5>(turn) else { return Ok(Step::Wait) };
            self.budgets.charge(Abuse::PriorityFlood, turn.now_ms)?;
            if u32::from_be_bytes([a, b, c, d]) & 0x7fff_ffff != header.stream {
                return Ok(Step::Next);
            }
            (ErrorCode::PROTOCOL_ERROR, "stream that depends on itself")
        } else {
            self.budgets.charge(Abuse::PriorityFlood, turn.now_ms)?;
            self.skip(turn, header.length);
            (ErrorCode::FRAME_SIZE_ERROR, "PRIORITY of a wrong size")
        };
        match self.streams.find(header.stream) {
            Some(stream) => Ok(self.fault(stream, fault, turn.now_ms, turn.out)?.into()),
            // RST_STREAM may not be sent for streams that are idle.
            None => Err(ConnectionError::new(fault.0, fault.1)),
        }
    }
}
