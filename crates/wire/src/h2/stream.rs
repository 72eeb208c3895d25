//! One stream: its state and its counts.
//!
//! Owns RFC 9113, section 5.1, without the states that last no time here: streams are opened by HEADERS of either side and
//! nothing is ever promised. Which frames may come when belongs to [`super::connection`].

use super::error::ErrorCode;
use super::flow::{ReceiveWindow, SendWindow};

/// Why a stream is closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cause {
    /// Both sides have ended it.
    Ended,
    /// The peer has reset it, or will never process it.
    ByPeer(ErrorCode),
    /// We have reset it. What the peer sent before it knows is passed over.
    ByUs,
}

/// The state of a stream.
///
/// ```text
///  Open ───── END_STREAM received ────► HalfClosedRemote ─── END_STREAM sent ───┐
///   │                                                                          ▼
///   ├──────── END_STREAM sent ────────► HalfClosedLocal ── END_STREAM received ► Closed(Ended)
///   │
///   └─ each but Closed: RST_STREAM received ► Closed(ByPeer); RST_STREAM sent ► Closed(ByUs)
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    Open,
    HalfClosedLocal,
    HalfClosedRemote,
    Closed(Cause),
}

impl State {
    /// Whether the peer may send HEADERS and DATA.
    #[inline]
    pub(super) fn can_receive(self) -> bool {
        matches!(self, Self::Open | Self::HalfClosedLocal)
    }

    /// Whether we may send HEADERS and DATA.
    #[inline]
    pub(super) fn can_send(self) -> bool {
        matches!(self, Self::Open | Self::HalfClosedRemote)
    }

    #[inline]
    pub(super) fn received_end(&mut self) {
        match self {
            Self::Open => *self = Self::HalfClosedRemote,
            Self::HalfClosedLocal => *self = Self::Closed(Cause::Ended),
            Self::HalfClosedRemote | Self::Closed(_) => {}
        }
    }

    #[inline]
    pub(super) fn sent_end(&mut self) {
        match self {
            Self::Open => *self = Self::HalfClosedLocal,
            Self::HalfClosedRemote => *self = Self::Closed(Cause::Ended),
            Self::HalfClosedLocal | Self::Closed(_) => {}
        }
    }

    /// Whether this ended a stream that was not closed.
    pub(super) fn received_reset(&mut self, code: ErrorCode) -> bool {
        self.close(Cause::ByPeer(code))
    }

    /// Whether this ended a stream that was not closed.
    pub(super) fn sent_reset(&mut self) -> bool {
        self.close(Cause::ByUs)
    }

    fn close(&mut self, cause: Cause) -> bool {
        let ends = !matches!(self, Self::Closed(_));
        if ends {
            *self = Self::Closed(cause);
        }
        ends
    }
}

/// What the peer's next HEADERS on the stream hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Expects {
    /// The head of an answer, perhaps an interim one.
    Answer,
    /// The same, to a HEAD request: no body follows.
    AnswerToHead,
    /// Trailers.
    Trailers,
}

/// What a stream that has something to send waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Waits {
    /// Nothing.
    No,
    /// Its own window.
    Window,
    /// Its turn, or the window of the connection.
    Turn,
}

/// No Content-Length was given.
pub(super) const ANY_LENGTH: u64 = u64::MAX;

/// A stream that the application works on.
#[derive(Clone, Debug)]
pub(super) struct Stream {
    /// 0 where there is none.
    pub(super) id: u32,
    pub(super) state: State,
    pub(super) expects: Expects,
    pub(super) waits: Waits,
    pub(super) send_window: SendWindow,
    pub(super) receive_window: ReceiveWindow,
    /// Bytes of DATA that the application has and is not done with.
    pub(super) held: u32,
    /// What is left of the body by its Content-Length, or [`ANY_LENGTH`].
    pub(super) left: u64,
}

impl Stream {
    /// Counts the data of a frame against Content-Length (RFC 9113, section 8.1.1).
    #[inline]
    pub(super) fn count(&mut self, bytes: u32, ends: bool) -> Result<(), &'static str> {
        if self.left == ANY_LENGTH {
            return Ok(());
        }
        let left = self.left.checked_sub(u64::from(bytes)).ok_or("more data than Content-Length says")?;
        self.left = left;
        if ends && left > 0 { Err("less data than Content-Length says") } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rfc9113_5_1_a_stream_closes_when_both_sides_have_ended_it() {
        let mut state = State::Open;
        state.received_end();
        assert_eq!(state, State::HalfClosedRemote);
        assert!(!state.can_receive() && state.can_send());
        state.sent_end();
        assert_eq!(state, State::Closed(Cause::Ended));
        let mut state = State::Open;
        state.sent_end();
        assert_eq!(state, State::HalfClosedLocal);
        assert!(state.can_receive() && !state.can_send());
        state.received_end();
        assert_eq!(state, State::Closed(Cause::Ended));
        assert!(!state.can_receive() && !state.can_send());
    }

    #[test]
    fn rfc9113_5_1_a_reset_closes_once() {
        for mut state in [State::Open, State::HalfClosedLocal, State::HalfClosedRemote] {
            assert!(state.received_reset(ErrorCode::CANCEL));
            assert_eq!(state, State::Closed(Cause::ByPeer(ErrorCode::CANCEL)));
            assert!(!state.sent_reset());
            state.received_end();
            state.sent_end();
            assert_eq!(state, State::Closed(Cause::ByPeer(ErrorCode::CANCEL)));
        }
    }
}
