//! Settings (RFC 9113, section 6.5; RFC 8441, section 3).
//!
//! Owns what the peer may say, what it said, and what we say. What a change means for streams and tables belongs to
//! [`super::connection`].

use super::error::{ConnectionError, ErrorCode};
use super::flow::{INITIAL_WINDOW, MAX_WINDOW};

/// Bytes of one setting.
pub(super) const SETTING_BYTES: usize = 6;
/// The least that each side takes in a frame, and the most that we take (RFC 9113, section 4.2).
pub(super) const MAX_FRAME_BYTES: u32 = 16_384;
const LARGEST_FRAME_BYTES: u32 = 0xff_ffff;

const HEADER_TABLE_SIZE: u16 = 1;
const ENABLE_PUSH: u16 = 2;
const MAX_CONCURRENT_STREAMS: u16 = 3;
const INITIAL_WINDOW_SIZE: u16 = 4;
const MAX_FRAME_SIZE: u16 = 5;
const MAX_HEADER_LIST_SIZE: u16 = 6;
const ENABLE_CONNECT_PROTOCOL: u16 = 8;

/// What the peer has told us, or what holds until it does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct PeerSettings {
    pub(super) header_table_size: u32,
    pub(super) max_streams: u32,
    pub(super) initial_window: u32,
    pub(super) max_frame: u32,
    pub(super) extended_connect: bool,
}

impl Default for PeerSettings {
    fn default() -> Self {
        Self {
            header_table_size: 4096,
            max_streams: u32::MAX,
            initial_window: INITIAL_WINDOW,
            max_frame: MAX_FRAME_BYTES,
            extended_connect: false,
        }
    }
}

/// Which side the settings come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sender {
    Client,
    Server,
}

impl PeerSettings {
    /// Takes note of one setting.
    pub(super) fn take(&mut self, setting: [u8; SETTING_BYTES], sender: Sender) -> Result<(), ConnectionError> {
        let [id_high, id_low, value @ ..] = setting;
        let value = u32::from_be_bytes(value);
        match u16::from_be_bytes([id_high, id_low]) {
            HEADER_TABLE_SIZE => self.header_table_size = value,
            ENABLE_PUSH if value > 1 => return Err(ConnectionError::protocol("SETTINGS_ENABLE_PUSH above 1")),
            ENABLE_PUSH if value == 1 && sender == Sender::Server => {
                return Err(ConnectionError::protocol("SETTINGS_ENABLE_PUSH from a server"));
            }
            MAX_CONCURRENT_STREAMS => self.max_streams = value,
            INITIAL_WINDOW_SIZE if value > MAX_WINDOW => {
                let why = "SETTINGS_INITIAL_WINDOW_SIZE above 2^31 - 1";
                return Err(ConnectionError::new(ErrorCode::FLOW_CONTROL_ERROR, why));
            }
            INITIAL_WINDOW_SIZE => self.initial_window = value,
            MAX_FRAME_SIZE if !(MAX_FRAME_BYTES..=LARGEST_FRAME_BYTES).contains(&value) => {
                return Err(ConnectionError::protocol("SETTINGS_MAX_FRAME_SIZE out of bounds"));
            }
            MAX_FRAME_SIZE => self.max_frame = value,
            ENABLE_CONNECT_PROTOCOL if value > 1 || self.extended_connect && value == 0 => {
                return Err(ConnectionError::protocol(
                    "SETTINGS_ENABLE_CONNECT_PROTOCOL neither 0 nor 1, or taken back",
                ));
            }
            ENABLE_CONNECT_PROTOCOL => self.extended_connect = value == 1,
            // SETTINGS_MAX_HEADER_LIST_SIZE is advice; others are for extensions that we do not know.
            _ => {}
        }
        Ok(())
    }
}

/// What we say.
#[derive(Clone, Copy, Debug)]
pub(super) struct OwnSettings {
    pub(super) sender: Sender,
    pub(super) header_table_size: u32,
    pub(super) max_streams: u32,
    pub(super) initial_window: u32,
    pub(super) max_header_list: u32,
    pub(super) extended_connect: bool,
}

impl OwnSettings {
    /// Appends what differs from what holds anyway.
    pub(super) fn put(&self, out: &mut Vec<u8>) {
        let mut put = |id: u16, value: u32| {
            out.extend_from_slice(&id.to_be_bytes());
            out.extend_from_slice(&value.to_be_bytes());
        };
        if self.header_table_size != 4096 {
            put(HEADER_TABLE_SIZE, self.header_table_size);
        }
        match self.sender {
            Sender::Client => put(ENABLE_PUSH, 0),
            Sender::Server => put(MAX_CONCURRENT_STREAMS, self.max_streams),
        }
        if self.initial_window != INITIAL_WINDOW {
            put(INITIAL_WINDOW_SIZE, self.initial_window);
        }
        put(MAX_HEADER_LIST_SIZE, self.max_header_list);
        if self.extended_connect && self.sender == Sender::Server {
            put(ENABLE_CONNECT_PROTOCOL, 1);
        }
    }
}
