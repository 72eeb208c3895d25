//! What gRPC says in HTTP/2: its statuses, deadlines and messages about errors, and how a call is known.
//!
//! Owns spelling only (the "gRPC over HTTP2" page of the gRPC project). What follows from a status or a deadline is decided
//! by `policy` and performed by `engine`.

use std::time::Duration;

use crate::grammar::is_word;
use crate::h2::ErrorCode;
use crate::head::{Field, Method, Request, Version};

/// Field of a status: in trailers, or in the head of an answer that has nothing else.
pub const STATUS: &[u8] = b"grpc-status";
/// Field of what there is to say of a status.
pub const MESSAGE: &[u8] = b"grpc-message";
/// Field of how long the client waits.
pub const TIMEOUT: &[u8] = b"grpc-timeout";
/// The media type of calls and of their answers; a subtype may follow behind `+`, and parameters behind `;`.
pub const MEDIA_TYPE: &str = "application/grpc";

/// Most digits of a deadline.
const TIMEOUT_DIGITS: usize = 8;
/// The largest number with so many digits.
const TIMEOUT_MAX: u128 = 99_999_999;

macro_rules! statuses {
    ($($(#[$doc:meta])* $name:ident = $code:literal $word:literal),* $(,)?) => {
        /// How a call ended.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        #[repr(u8)]
        pub enum Status { $($(#[$doc])* $name = $code),* }

        impl Status {
            /// All of them, in the order of their codes.
            pub const ALL: [Self; 17] = [$(Self::$name),*];
            /// Their names in configuration, metrics and log, in the same order.
            pub const NAMES: [&'static str; 17] = [$($word),*];

            /// The name in configuration, metrics and log.
            #[must_use]
            pub fn name(self) -> &'static str {
                match self { $(Self::$name => $word),* }
            }
        }
    };
}

statuses! {
    /// It did what was asked.
    Ok = 0 "ok",
    /// It was given up, mostly by who called.
    Cancelled = 1 "cancelled",
    /// Something failed, and nobody knows what.
    Unknown = 2 "unknown",
    /// What was asked makes no sense, whatever the state of the system.
    InvalidArgument = 3 "invalid-argument",
    /// It took longer than the client waits.
    DeadlineExceeded = 4 "deadline-exceeded",
    /// What was asked for is not there.
    NotFound = 5 "not-found",
    /// What was to be made is there already.
    AlreadyExists = 6 "already-exists",
    /// The client may not do it.
    PermissionDenied = 7 "permission-denied",
    /// Something is used up: a quota, memory, places.
    ResourceExhausted = 8 "resource-exhausted",
    /// The system is not in a state for it.
    FailedPrecondition = 9 "failed-precondition",
    /// It was given up in favour of another.
    Aborted = 10 "aborted",
    /// It is beyond what there is.
    OutOfRange = 11 "out-of-range",
    /// There is no such method.
    Unimplemented = 12 "unimplemented",
    /// Something that must hold does not.
    Internal = 13 "internal",
    /// The service cannot now.
    Unavailable = 14 "unavailable",
    /// Data are lost or broken.
    DataLoss = 15 "data-loss",
    /// Nobody knows who the client is.
    Unauthenticated = 16 "unauthenticated",
}

impl Status {
    /// The number on the wire.
    #[must_use]
    pub fn code(self) -> u8 {
        self as u8
    }

    /// The status of a number; those that nobody has defined are unknown.
    #[must_use]
    pub fn from_code(code: u8) -> Self {
        Self::ALL.get(usize::from(code)).copied().unwrap_or(Self::Unknown)
    }

    /// The status of a name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.name() == name)
    }

    /// The status in the value of a `grpc-status` field; what is no number is unknown.
    #[must_use]
    pub fn parse(value: &[u8]) -> Self {
        let text = std::str::from_utf8(value).unwrap_or_default();
        text.parse().map_or(Self::Unknown, Self::from_code)
    }

    /// The status in these fields, if there is one.
    #[must_use]
    pub fn of(fields: &[Field], buf: &[u8]) -> Option<Self> {
        find(fields, buf, STATUS).map(Self::parse)
    }

    /// What clients make of an answer that is none of gRPC, by its status in HTTP.
    #[must_use]
    pub fn of_http(status: u16) -> Self {
        match status {
            400 => Self::Internal,
            401 => Self::Unauthenticated,
            403 => Self::PermissionDenied,
            404 => Self::Unimplemented,
            429 | 502..=504 => Self::Unavailable,
            _ => Self::Unknown,
        }
    }

    /// What clients make of a stream that is reset. CONNECT_ERROR never comes for calls: it stands for a connection that was
    /// lost with all its streams.
    #[must_use]
    pub fn of_reset(code: ErrorCode) -> Self {
        match code {
            ErrorCode::CANCEL => Self::Cancelled,
            ErrorCode::REFUSED_STREAM | ErrorCode::CONNECT_ERROR => Self::Unavailable,
            ErrorCode::ENHANCE_YOUR_CALM => Self::ResourceExhausted,
            ErrorCode::INADEQUATE_SECURITY => Self::PermissionDenied,
            _ => Self::Internal,
        }
    }
}

/// A set of statuses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Statuses(u32);

impl Statuses {
    /// Whether one is in it.
    #[inline]
    #[must_use]
    pub fn contains(self, status: Status) -> bool {
        self.0 >> status.code() & 1 == 1
    }

    /// Whether none is.
    #[inline]
    #[must_use]
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }
}

impl FromIterator<Status> for Statuses {
    fn from_iter<I: IntoIterator<Item = Status>>(statuses: I) -> Self {
        Self(statuses.into_iter().fold(0, |set, status| set | 1 << status.code()))
    }
}

fn find<'a>(fields: &[Field], buf: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    let field = fields.iter().find(|field| is_word(field.name.of(buf), name))?;
    Some(field.value.of(buf))
}

/// Whether a media type is that of calls. Those of gRPC-Web are others: they are spoken to browsers, in bodies.
#[must_use]
pub fn is_media_type(value: &[u8]) -> bool {
    let Some((kind, rest)) = value.split_at_checked(MEDIA_TYPE.len()) else { return false };
    kind.eq_ignore_ascii_case(MEDIA_TYPE.as_bytes()) && matches!(rest.first(), None | Some(b'+' | b';' | b' '))
}

/// Whether a request is a call: over HTTP/2, by POST, of the media type.
#[must_use]
pub fn is_call(request: &Request, buf: &[u8]) -> bool {
    request.version == Version::Http2
        && request.method == Method::Post
        && find(&request.fields, buf, b"content-type").is_some_and(is_media_type)
}

/// How long the client of a call waits; `None` where it does not say, or not in a way that is understood.
#[must_use]
pub fn timeout_of(request: &Request, buf: &[u8]) -> Option<Duration> {
    parse_timeout(find(&request.fields, buf, TIMEOUT)?)
}

/// Reads a deadline: up to eight digits and a unit. `None` where it is none.
#[must_use]
pub fn parse_timeout(value: &[u8]) -> Option<Duration> {
    let (unit, digits) = value.split_last()?;
    if digits.is_empty() || digits.len() > TIMEOUT_DIGITS || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let number: u64 = std::str::from_utf8(digits).ok()?.parse().ok()?;
    Some(match unit {
        b'H' => Duration::from_secs(number * 3600),
        b'M' => Duration::from_secs(number * 60),
        b'S' => Duration::from_secs(number),
        b'm' => Duration::from_millis(number),
        b'u' => Duration::from_micros(number),
        b'n' => Duration::from_nanos(number),
        _ => return None,
    })
}

/// Writes a deadline in the finest unit, from microseconds on, that has digits enough for it; never 0, and never longer
/// than it is.
pub fn put_timeout(out: &mut Vec<u8>, left: Duration) {
    let (micros, millis, secs) = (left.as_micros(), left.as_millis(), u128::from(left.as_secs()));
    let units = [(micros, 'u'), (millis, 'm'), (secs, 'S'), (secs / 60, 'M'), (secs / 3600, 'H')];
    let fitting = units.into_iter().find(|(number, _)| *number <= TIMEOUT_MAX);
    let (number, unit) = fitting.unwrap_or((TIMEOUT_MAX, 'H'));
    out.extend_from_slice(format!("{}{unit}", number.max(1)).as_bytes());
}

/// Writes the value of `grpc-message`: what is not printable ASCII, and `%`, in per cent.
pub fn put_message(out: &mut Vec<u8>, text: &str) {
    for byte in text.bytes() {
        match byte {
            b' '..=b'$' | b'&'..=b'~' => out.push(byte),
            _ => out.extend_from_slice(format!("%{byte:02X}").as_bytes()),
        }
    }
}

/// Puts a message in front of a body: not compressed, and its length in four bytes.
#[must_use]
pub fn framed(message: &[u8]) -> Vec<u8> {
    let length = u32::try_from(message.len()).unwrap_or(u32::MAX);
    let mut framed = Vec::with_capacity(message.len() + 5);
    framed.push(0);
    framed.extend_from_slice(&length.to_be_bytes());
    framed.extend_from_slice(message);
    framed
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statuses_have_their_codes_and_names() {
        for (at, status) in Status::ALL.into_iter().enumerate() {
            assert_eq!(usize::from(status.code()), at);
            assert_eq!(Status::parse(at.to_string().as_bytes()), status);
            assert_eq!(Status::from_name(status.name()), Some(status));
            assert_eq!(Status::NAMES[at], status.name());
        }
        for odd in ["17", "255", "256", "-1", "", "ok", "\u{fe}"] {
            assert_eq!(Status::parse(odd.as_bytes()), Status::Unknown, "{odd}");
        }
        assert_eq!(Status::from_name("UNAVAILABLE"), None);
    }

    #[test]
    fn answers_that_are_none_of_grpc_mean_what_clients_take_them_for() {
        let cases =
            [(400, 13), (401, 16), (403, 7), (404, 12), (429, 14), (502, 14), (503, 14), (504, 14), (200, 2), (500, 2)];
        for (http, code) in cases {
            assert_eq!(Status::of_http(http).code(), code, "{http}");
        }
    }

    #[test]
    fn sets_hold_what_was_put_in() {
        let set: Statuses = [Status::Ok, Status::Unauthenticated].into_iter().collect();
        let held: Vec<_> = Status::ALL.into_iter().filter(|status| set.contains(*status)).collect();
        assert_eq!(held, [Status::Ok, Status::Unauthenticated]);
        assert!(Statuses::default().is_empty() && !set.is_empty());
    }

    #[test]
    fn calls_are_known_by_their_media_type() {
        for call in
            ["application/grpc", "application/grpc+proto", "Application/GRPC; charset=x", "application/grpc+json"]
        {
            assert!(is_media_type(call.as_bytes()), "{call}");
        }
        for other in ["application/grpc-web", "application/grpc-web+proto", "application/grp", "text/plain", ""] {
            assert!(!is_media_type(other.as_bytes()), "{other}");
        }
    }

    #[test]
    fn deadlines_are_read_as_they_are_specified() {
        let ns = |text: &str| parse_timeout(text.as_bytes()).map(|timeout| timeout.as_nanos());
        assert_eq!(ns("1H"), Some(3_600_000_000_000));
        assert_eq!(ns("2M"), Some(120_000_000_000));
        assert_eq!(ns("3S"), Some(3_000_000_000));
        assert_eq!(ns("4m"), Some(4_000_000));
        assert_eq!(ns("5u"), Some(5_000));
        assert_eq!(ns("6n"), Some(6));
        assert_eq!(ns("0S"), Some(0));
        assert_eq!(ns("99999999H"), Some(99_999_999 * 3_600_000_000_000));
        for bad in ["", "S", "1", "1s", "123456789m", "-1S", "+1S", "1.5S", " 1S", "1 S", "١S"] {
            assert_eq!(ns(bad), None, "{bad}");
        }
    }

    #[test]
    fn deadlines_are_written_so_that_they_can_be_read() {
        let text = |left: Duration| {
            let mut out = Vec::new();
            put_timeout(&mut out, left);
            String::from_utf8(out).unwrap()
        };
        assert_eq!(text(Duration::ZERO), "1u");
        assert_eq!(text(Duration::from_nanos(1_999)), "1u");
        assert_eq!(text(Duration::from_millis(250)), "250000u");
        assert_eq!(text(Duration::from_secs(99)), "99000000u");
        assert_eq!(text(Duration::from_secs(100)), "100000m");
        assert_eq!(text(Duration::from_secs(99_999_999)), "99999999S");
        assert_eq!(text(Duration::from_secs(100_000_000)), "1666666M");
        assert_eq!(text(Duration::MAX), "99999999H");
        for secs in [1, 60, 3600, 86_400, 100_000_000, 99_999_999 * 3600] {
            let left = Duration::from_secs(secs);
            let read = parse_timeout(text(left).as_bytes()).unwrap();
            assert!(read <= left && read >= left / 2, "{secs}");
        }
    }

    #[test]
    fn messages_are_encoded_in_per_cent() {
        let mut out = Vec::new();
        put_message(&mut out, "50 % of ~all: né\n");
        assert_eq!(out, b"50 %25 of ~all: n%C3%A9%0A");
        assert_eq!(framed(b"abc"), b"\0\0\0\0\x03abc");
    }
}
