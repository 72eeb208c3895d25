//! What goes wrong, with the codes of RFC 9113, section 7.

use super::abuse::Abuse;

/// Why a stream or a connection ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ErrorCode(pub u32);

impl ErrorCode {
    /// Nothing went wrong.
    pub const NO_ERROR: Self = Self(0x0);
    /// The peer broke the protocol.
    pub const PROTOCOL_ERROR: Self = Self(0x1);
    /// Our own fault.
    pub const INTERNAL_ERROR: Self = Self(0x2);
    /// More data than the window allows.
    pub const FLOW_CONTROL_ERROR: Self = Self(0x3);
    /// Settings were not acknowledged in time.
    pub const SETTINGS_TIMEOUT: Self = Self(0x4);
    /// A frame for a direction that had ended.
    pub const STREAM_CLOSED: Self = Self(0x5);
    /// A frame of a wrong size.
    pub const FRAME_SIZE_ERROR: Self = Self(0x6);
    /// Not processed at all: safe to repeat.
    pub const REFUSED_STREAM: Self = Self(0x7);
    /// Not wanted any more.
    pub const CANCEL: Self = Self(0x8);
    /// The compression context is lost.
    pub const COMPRESSION_ERROR: Self = Self(0x9);
    /// The other side of a CONNECT broke.
    pub const CONNECT_ERROR: Self = Self(0xa);
    /// The peer makes more work than anybody needs.
    pub const ENHANCE_YOUR_CALM: Self = Self(0xb);
    /// The transport is not safe enough.
    pub const INADEQUATE_SECURITY: Self = Self(0xc);
    /// The peer wants HTTP/1.1 for this request.
    pub const HTTP_1_1_REQUIRED: Self = Self(0xd);

    /// Its name in the RFC; empty for unknown codes, which mean no more than that something went wrong.
    #[must_use]
    pub fn name(self) -> &'static str {
        const NAMES: [&str; 14] = [
            "NO_ERROR",
            "PROTOCOL_ERROR",
            "INTERNAL_ERROR",
            "FLOW_CONTROL_ERROR",
            "SETTINGS_TIMEOUT",
            "STREAM_CLOSED",
            "FRAME_SIZE_ERROR",
            "REFUSED_STREAM",
            "CANCEL",
            "COMPRESSION_ERROR",
            "CONNECT_ERROR",
            "ENHANCE_YOUR_CALM",
            "INADEQUATE_SECURITY",
            "HTTP_1_1_REQUIRED",
        ];
        usize::try_from(self.0).ok().and_then(|code| NAMES.get(code)).copied().unwrap_or_default()
    }
}

/// Why a connection cannot go on. A GOAWAY that says so is in the output already: send it, then close.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConnectionError {
    /// What the peer was told.
    pub code: ErrorCode,
    /// What is wrong, in a few plain words.
    pub why: &'static str,
    /// The kind of abuse that it was cut off for.
    pub abuse: Option<Abuse>,
}

impl ConnectionError {
    pub(super) const fn new(code: ErrorCode, why: &'static str) -> Self {
        Self { code, why, abuse: None }
    }

    pub(super) const fn protocol(why: &'static str) -> Self {
        Self::new(ErrorCode::PROTOCOL_ERROR, why)
    }

    pub(super) const fn frame_size(why: &'static str) -> Self {
        Self::new(ErrorCode::FRAME_SIZE_ERROR, why)
    }
}

impl From<Abuse> for ConnectionError {
    fn from(abuse: Abuse) -> Self {
        Self { code: ErrorCode::ENHANCE_YOUR_CALM, why: abuse.name(), abuse: Some(abuse) }
    }
}

impl From<super::hpack::CompressionError> for ConnectionError {
    fn from(error: super::hpack::CompressionError) -> Self {
        Self::new(ErrorCode::COMPRESSION_ERROR, error.0)
    }
}

/// The stream is not there any more, or its direction has ended: nothing was written. What ended it is told by an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gone;
