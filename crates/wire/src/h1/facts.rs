//! What the field lines of one head say about its framing and its connection.
//!
//! Owns the meaning of single fields, the same for requests and answers; which combinations are refused is said by
//! [`super::request`] and [`super::answer`].

use super::{Stop, bad};
use crate::grammar::{decimal, is_token, is_word, list};
use crate::head::{Name, Span};

/// `Connection` options that may name fields, in one head. Each is compared with each field.
const MAX_NAMED_FIELDS: u32 = 32;

/// What `Transfer-Encoding` says, all lines together (RFC 9112, section 6.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Coding {
    /// There is none.
    #[default]
    Absent,
    /// It is there and names nothing.
    Empty,
    /// Exactly `chunked`.
    Chunked,
    /// Only other codings.
    Others,
    /// Other codings, then `chunked`.
    OthersThenChunked,
    /// Something follows `chunked`.
    ChunkedNotLast,
}

impl Coding {
    /// What it is with one more coding applied.
    fn then(self, coding: &[u8]) -> Self {
        match (self, is_word(coding, b"chunked")) {
            (Self::Absent | Self::Empty, true) => Self::Chunked,
            (Self::Absent | Self::Empty | Self::Others, false) => Self::Others,
            (Self::Others, true) => Self::OthersThenChunked,
            _ => Self::ChunkedNotLast,
        }
    }
}

/// Facts gathered line by line.
#[derive(Debug, Default)]
pub(super) struct Facts {
    /// The first `Host`.
    pub(super) host: Span,
    /// Number of `Host` lines.
    pub(super) hosts: u32,
    /// `Content-Length`.
    pub(super) length: Option<u64>,
    /// `Transfer-Encoding`.
    pub(super) coding: Coding,
    /// `Connection: close`.
    pub(super) close: bool,
    /// `Connection: keep-alive`.
    pub(super) keep_alive: bool,
    /// `Connection: upgrade`.
    pub(super) asks_upgrade: bool,
    /// Number of `Connection` options that are none of these.
    pub(super) named: u32,
    /// A `Connection` option is no token, or names a field that frames or routes the message.
    pub(super) bad_option: Option<&'static str>,
    /// The only `Upgrade` line, empty when there are several: then nothing is upgraded.
    pub(super) upgrade: Span,
    upgrades: u32,
    /// `Expect: 100-continue`.
    pub(super) expects_continue: bool,
    /// Another expectation.
    pub(super) expects_other: bool,
    /// `TE: trailers`.
    pub(super) takes_trailers: bool,
    /// There are names with other signs than hyphens in them.
    pub(super) odd_names: bool,
}

impl Facts {
    /// Takes note of one field line, whose value is at `span`.
    #[inline(always)]
    pub(super) fn note(&mut self, name: Name, span: Span, value: &[u8]) -> Result<(), Stop> {
        match name {
            Name::Host => {
                if self.hosts == 0 {
                    self.host = span;
                }
                self.hosts += 1;
            }
            Name::ContentLength => return self.note_length(value),
            Name::TransferEncoding => self.note_codings(value),
            Name::Connection => return self.note_options(value),
            Name::Upgrade => {
                self.upgrades += 1;
                self.upgrade = if self.upgrades == 1 { span } else { Span::default() };
            }
            Name::Expect => self.note_expectations(value),
            Name::Te => self.note_te(value),
            _ => {}
        }
        Ok(())
    }

    /// RFC 9112, section 6.3: a repeated length is refused even when both are the same, since one that reads the first
    /// and one that reads the last would still agree only by luck.
    #[inline(never)]
    fn note_length(&mut self, value: &[u8]) -> Result<(), Stop> {
        if self.length.is_some() {
            return Err(bad("more than one Content-Length"));
        }
        self.length = Some(decimal(value).ok_or(bad("invalid Content-Length"))?);
        Ok(())
    }

    #[inline(never)]
    fn note_codings(&mut self, value: &[u8]) {
        if self.coding == Coding::Absent {
            self.coding = Coding::Empty;
        }
        self.coding = list(value).fold(self.coding, Coding::then);
    }

    /// Nearly always there is one option only.
    #[inline(never)]
    fn note_options(&mut self, value: &[u8]) -> Result<(), Stop> {
        if self.note_option(value) { Ok(()) } else { self.note_list_of_options(value) }
    }

    #[inline(never)]
    fn note_list_of_options(&mut self, value: &[u8]) -> Result<(), Stop> {
        for option in list(value) {
            if !self.note_option(option) {
                self.note_named_field(option)?;
            }
        }
        Ok(())
    }

    /// Whether it is an option with a meaning of its own.
    #[inline(always)]
    fn note_option(&mut self, option: &[u8]) -> bool {
        if is_word(option, b"close") {
            self.close = true;
        } else if is_word(option, b"keep-alive") {
            self.keep_alive = true;
        } else if is_word(option, b"upgrade") {
            self.asks_upgrade = true;
        } else {
            return false;
        }
        true
    }

    #[cold]
    fn note_named_field(&mut self, option: &[u8]) -> Result<(), Stop> {
        self.named += 1;
        if self.named > MAX_NAMED_FIELDS {
            return Err(bad("too many Connection options"));
        }
        if !is_token(option) {
            self.bad_option = Some("invalid Connection option");
        } else if matches!(Name::of(option), Name::Host | Name::ContentLength | Name::TransferEncoding) {
            self.bad_option = Some("Connection option names a field that frames or routes the message");
        }
        Ok(())
    }

    #[inline(never)]
    fn note_te(&mut self, value: &[u8]) {
        self.takes_trailers |= list(value).any(|member| is_word(member, b"trailers"));
    }

    #[inline(never)]
    fn note_expectations(&mut self, value: &[u8]) {
        for expectation in list(value) {
            if is_word(expectation, b"100-continue") {
                self.expects_continue = true;
            } else {
                self.expects_other = true;
            }
        }
    }
}
