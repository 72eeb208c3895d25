//! The version-neutral head of a message: spans into a byte buffer that somebody else holds.
//!
//! Owns what a request or answer head *is*, for every HTTP version; how it looks on the wire is the business of
//! [`crate::h1`]. Router, retry and encoders read heads; only decoders write them. Nothing here copies a byte.

use crate::grammar::is_word;

/// A range of bytes in the buffer that a head was read from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Span {
    /// First byte.
    pub start: u32,
    /// One past the last byte.
    pub end: u32,
}

impl Span {
    /// The bytes of this span in `buf`.
    #[inline]
    #[must_use]
    pub fn of(self, buf: &[u8]) -> &[u8] {
        &buf[self.start as usize..self.end as usize]
    }

    /// The span from `start` up to `end`, both offsets into a head. Heads are far below 4 GiB (the decoders cut their
    /// limit there), so nothing is lost.
    #[inline]
    #[must_use]
    #[expect(clippy::cast_possible_truncation, reason = "decoders never look at more than u32::MAX bytes of a head")]
    pub fn new(start: usize, end: usize) -> Self {
        Self { start: start as u32, end: end as u32 }
    }

    /// Whether the span holds no byte.
    #[inline]
    #[must_use]
    pub fn is_empty(self) -> bool {
        self.start == self.end
    }
}

/// Field names that a balancer treats specially; all others are `Other`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(u8)]
pub enum Name {
    /// Any name not listed here.
    #[default]
    Other,
    /// `Host`.
    Host,
    /// `Connection`.
    Connection,
    /// `Keep-Alive`.
    KeepAlive,
    /// `Proxy-Connection`.
    ProxyConnection,
    /// `Proxy-Authenticate` or `Proxy-Authorization`.
    ProxyAuth,
    /// `TE`.
    Te,
    /// `Trailer`.
    Trailer,
    /// `Transfer-Encoding`.
    TransferEncoding,
    /// `Upgrade`.
    Upgrade,
    /// `HTTP2-Settings`.
    Http2Settings,
    /// `Content-Length`.
    ContentLength,
    /// `Expect`.
    Expect,
    /// `Via`.
    Via,
    /// `Forwarded` (RFC 7239).
    Forwarded,
    /// `X-Forwarded-For`.
    XForwardedFor,
    /// `X-Forwarded-Proto`.
    XForwardedProto,
    /// `X-Forwarded-Host`.
    XForwardedHost,
    /// `X-Forwarded-Port`.
    XForwardedPort,
    /// `X-Request-Id`.
    XRequestId,
    /// `Cookie`.
    Cookie,
    /// `Max-Forwards`.
    MaxForwards,
    /// A name that CGI and its kin take for another: `Proxy`, which becomes the variable `HTTP_PROXY`, and names that
    /// differ from one of these only in the signs between their words (`Content_Length`, `X.Forwarded_For`).
    Shadow,
}

impl Name {
    /// Which special name `name` is, compared without case. `name` must be a token (RFC 9110, section 5.6.2).
    #[inline]
    #[must_use]
    pub fn of(name: &[u8]) -> Self {
        let [.., letter, _] = name else { return Self::Other };
        match CANDIDATES[place(name.len(), *letter)] {
            0 => Self::Other,
            candidate => SPECIAL[candidate as usize].compared_with(name),
        }
    }

    /// As [`Name::of`], for a token that may have other signs than hyphens in it: then it may be a [`Name::Shadow`].
    #[must_use]
    pub fn of_unusual(name: &[u8]) -> Self {
        let known = Self::of(name);
        let mut spelt = [0; LONGEST_SPECIAL];
        if known != Self::Other || name.len() > LONGEST_SPECIAL {
            return known;
        }
        for (to, from) in spelt.iter_mut().zip(name) {
            *to = if from.is_ascii_alphanumeric() { *from } else { b'-' };
        }
        if Self::of(&spelt[..name.len()]) == Self::Other { Self::Other } else { Self::Shadow }
    }

    /// Whether fields of this name are meant for one connection only, listed by `Connection` or not (RFC 9110, section
    /// 7.6.1). `Trailer` is not among them: trailers are forwarded, so their announcement stays true.
    #[inline]
    #[must_use]
    pub fn is_hop_by_hop(self) -> bool {
        matches!(
            self,
            Self::Connection
                | Self::KeepAlive
                | Self::ProxyConnection
                | Self::ProxyAuth
                | Self::Te
                | Self::TransferEncoding
                | Self::Upgrade
                | Self::Http2Settings
        )
    }
}

/// A name in lower case.
struct Special(&'static [u8], Name);

impl Special {
    fn compared_with(&self, name: &[u8]) -> Name {
        if is_word(name, self.0) { self.1 } else { Name::Other }
    }
}

/// Bytes of the longest special name.
const LONGEST_SPECIAL: usize = 19;

/// The special names. The first place is that of all others.
static SPECIAL: [Special; 24] = [
    Special(b"", Name::Other),
    Special(b"host", Name::Host),
    Special(b"connection", Name::Connection),
    Special(b"keep-alive", Name::KeepAlive),
    Special(b"proxy-connection", Name::ProxyConnection),
    Special(b"proxy-authenticate", Name::ProxyAuth),
    Special(b"proxy-authorization", Name::ProxyAuth),
    Special(b"te", Name::Te),
    Special(b"trailer", Name::Trailer),
    Special(b"transfer-encoding", Name::TransferEncoding),
    Special(b"upgrade", Name::Upgrade),
    Special(b"http2-settings", Name::Http2Settings),
    Special(b"content-length", Name::ContentLength),
    Special(b"expect", Name::Expect),
    Special(b"via", Name::Via),
    Special(b"forwarded", Name::Forwarded),
    Special(b"x-forwarded-for", Name::XForwardedFor),
    Special(b"x-forwarded-proto", Name::XForwardedProto),
    Special(b"x-forwarded-host", Name::XForwardedHost),
    Special(b"x-forwarded-port", Name::XForwardedPort),
    Special(b"x-request-id", Name::XRequestId),
    Special(b"cookie", Name::Cookie),
    Special(b"max-forwards", Name::MaxForwards),
    Special(b"proxy", Name::Shadow),
];

/// The only special name that a name can be, by its [`place`]: an index of [`SPECIAL`]. One look here tells most names from
/// all special ones.
static CANDIDATES: [u8; 256] = candidates();

/// Where names of this length and this last letter but one are in [`CANDIDATES`]; the case of the letter falls out. No two
/// special names share a place.
const fn place(length: usize, letter: u8) -> usize {
    (length + 8 * letter as usize) % 256
}

#[expect(clippy::cast_possible_truncation, reason = "there are fewer than 256 special names")]
const fn candidates() -> [u8; 256] {
    let mut table = [0; 256];
    let mut at = 1;
    while at < SPECIAL.len() {
        let name = SPECIAL[at].0;
        let candidate = &mut table[place(name.len(), name[name.len() - 2])];
        assert!(name.len() <= LONGEST_SPECIAL, "of_unusual would not find it");
        assert!(*candidate == 0, "two special names in one place");
        *candidate = at as u8;
        at += 1;
    }
    table
}

/// One field line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Field {
    /// The name as it was written.
    pub name: Span,
    /// The value without surrounding white space.
    pub value: Span,
    /// Which special name it is.
    pub known: Name,
    /// Meant for this connection only (RFC 9110, section 7.6.1): listed by `Connection` or one of the fixed set.
    /// Never forwarded as it stands.
    pub hop_by_hop: bool,
    /// The sender asked that no compression table holds it, here or further on (RFC 7541, section 7.1.3).
    pub never_indexed: bool,
}

/// Request methods that matter to a proxy (RFC 9110, section 9).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Method {
    /// GET.
    #[default]
    Get,
    /// HEAD.
    Head,
    /// POST.
    Post,
    /// PUT.
    Put,
    /// DELETE.
    Delete,
    /// OPTIONS.
    Options,
    /// TRACE.
    Trace,
    /// CONNECT.
    Connect,
    /// PATCH.
    Patch,
    /// Any other token.
    Other,
}

impl Method {
    /// Whether repeating the request has the same intended effect as sending it once (RFC 9110, section 9.2.2).
    #[must_use]
    pub fn is_idempotent(self) -> bool {
        matches!(self, Self::Get | Self::Head | Self::Put | Self::Delete | Self::Options | Self::Trace)
    }
}

/// HTTP version of a message.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Version {
    /// HTTP/1.0.
    Http10,
    /// HTTP/1.1.
    #[default]
    Http11,
    /// HTTP/2.
    Http2,
}

/// How the end of a message body is found (RFC 9112, section 6.3).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Framing {
    /// No body.
    #[default]
    None,
    /// Exactly so many bytes.
    Length(u64),
    /// Chunked transfer coding, perhaps with trailers.
    Chunked,
    /// Answers only: until the connection ends.
    UntilClose,
}

/// A request head. Reused from exchange to exchange: decoders clear it first.
#[derive(Clone, Debug, Default)]
pub struct Request {
    /// The method.
    pub method: Method,
    /// The method as it was written.
    pub method_span: Span,
    /// The authority that the request is for: from an absolute-form target or else from `Host` (RFC 9112, section
    /// 3.3). Empty if there is none (HTTP/1.0 only).
    pub authority: Span,
    /// The path as it was written, without the query; `*` for OPTIONS *; `/` is implied when an absolute-form target has
    /// an empty path (then the span is empty).
    pub path: Span,
    /// The query as it was written, without `?`; see `has_query`.
    pub query: Span,
    /// Whether there was a `?`.
    pub has_query: bool,
    /// The normalised path when it differs from `path`; empty otherwise. See [`Request::path`]. It is `*` for OPTIONS with
    /// an absolute-form target that has neither path nor query (RFC 9112, section 3.2.4).
    pub normal_path: Vec<u8>,
    /// The version that the client speaks.
    pub version: Version,
    /// All field lines in order, `Host` included.
    pub fields: Vec<Field>,
    /// How its body is framed.
    pub framing: Framing,
    /// Whether the client may send another request on the connection.
    pub keep_alive: bool,
    /// The value of `Upgrade` where `Connection: upgrade` asks for it and HTTP/1.1 is spoken; else empty.
    pub upgrade: Span,
    /// The client waits for `100 Continue` before it sends the body (`Expect: 100-continue`, HTTP/1.1).
    pub expects_continue: bool,
    /// The client takes trailers (`TE: trailers`).
    pub takes_trailers: bool,
}

impl Request {
    /// The normalised path: what is matched is what is forwarded.
    #[must_use]
    pub fn path<'a>(&'a self, buf: &'a [u8]) -> &'a [u8] {
        if !self.normal_path.is_empty() {
            &self.normal_path
        } else if self.path.is_empty() {
            b"/"
        } else {
            self.path.of(buf)
        }
    }

    /// The value of the first field called `name` (compared without case).
    #[must_use]
    pub fn field<'a>(&self, buf: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
        find(&self.fields, buf, name)
    }

    /// Forgets everything, keeps the allocations.
    pub fn clear(&mut self) {
        let (mut fields, mut normal_path) = (std::mem::take(&mut self.fields), std::mem::take(&mut self.normal_path));
        fields.clear();
        normal_path.clear();
        *self = Self { fields, normal_path, ..Self::default() };
    }
}

/// An answer head. Reused like [`Request`].
#[derive(Clone, Debug, Default)]
pub struct Answer {
    /// The status code, 100 to 599 (RFC 9110, section 15: others are invalid).
    pub status: u16,
    /// The reason phrase as it was written, perhaps empty.
    pub reason: Span,
    /// The version that the backend speaks.
    pub version: Version,
    /// All field lines in order.
    pub fields: Vec<Field>,
    /// How its body is framed, given the request's method.
    pub framing: Framing,
    /// Whether the backend keeps the connection after this answer.
    pub keep_alive: bool,
    /// The value of `Upgrade` (on 101), else empty.
    pub upgrade: Span,
}

impl Answer {
    /// The value of the first field called `name` (compared without case).
    #[must_use]
    pub fn field<'a>(&self, buf: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
        find(&self.fields, buf, name)
    }

    /// Whether there is a `Date`. Nearly always there is, and early.
    #[must_use]
    pub fn has_date(&self, buf: &[u8]) -> bool {
        let is_date = |field: &Field| field.name.end - field.name.start == 4 && is_word(field.name.of(buf), b"date");
        self.fields.iter().any(is_date)
    }

    /// Forgets everything, keeps the allocations.
    pub fn clear(&mut self) {
        let mut fields = std::mem::take(&mut self.fields);
        fields.clear();
        *self = Self { fields, ..Self::default() };
    }
}

fn find<'a>(fields: &[Field], buf: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    fields.iter().find(|f| f.name.of(buf).eq_ignore_ascii_case(name)).map(|f| f.value.of(buf))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn special_names_are_known_in_any_case_and_others_are_not() {
        let table = [
            ("host", Name::Host),
            ("connection", Name::Connection),
            ("keep-alive", Name::KeepAlive),
            ("proxy-connection", Name::ProxyConnection),
            ("proxy-authenticate", Name::ProxyAuth),
            ("proxy-authorization", Name::ProxyAuth),
            ("te", Name::Te),
            ("trailer", Name::Trailer),
            ("transfer-encoding", Name::TransferEncoding),
            ("upgrade", Name::Upgrade),
            ("http2-settings", Name::Http2Settings),
            ("content-length", Name::ContentLength),
            ("expect", Name::Expect),
            ("via", Name::Via),
            ("forwarded", Name::Forwarded),
            ("x-forwarded-for", Name::XForwardedFor),
            ("x-forwarded-proto", Name::XForwardedProto),
            ("x-forwarded-host", Name::XForwardedHost),
            ("x-forwarded-port", Name::XForwardedPort),
            ("x-request-id", Name::XRequestId),
            ("cookie", Name::Cookie),
            ("max-forwards", Name::MaxForwards),
            ("proxy", Name::Shadow),
        ];
        for (name, known) in table {
            assert_eq!(Name::of(name.as_bytes()), known);
            assert_eq!(Name::of(name.to_uppercase().as_bytes()), known);
            for at in 0..name.len() {
                let mut other = name.as_bytes().to_vec();
                other[at] = b'_';
                assert_eq!(Name::of(&other), Name::Other, "{name} at {at}");
            }
            assert_eq!(Name::of(format!("{name}x").as_bytes()), Name::Other);
        }
        assert_eq!(Name::of(b""), Name::Other);
    }

    #[test]
    fn names_that_others_take_for_special_ones_are_known() {
        for special in SPECIAL.iter().skip(1).map(|special| String::from_utf8_lossy(special.0)) {
            assert_eq!(Name::of_unusual(special.as_bytes()), Name::of(special.as_bytes()));
            for sign in ["_", ".", "!", "~"] {
                let other = special.replace('-', sign);
                let expected = if other == special { Name::of(special.as_bytes()) } else { Name::Shadow };
                assert_eq!(Name::of_unusual(other.as_bytes()), expected, "{other}");
                assert_eq!(Name::of_unusual(other.to_uppercase().as_bytes()), expected, "{other}");
            }
        }
        for other in ["x_forwarded-for", "X_Forwarded.For"] {
            assert_eq!(Name::of_unusual(other.as_bytes()), Name::Shadow, "{other}");
        }
        for other in ["user_agent", "x_real_ip", "contentlength", "content__length", "_host", "proxy_", "_", ""] {
            assert_eq!(Name::of_unusual(other.as_bytes()), Name::Other, "{other}");
        }
        assert_eq!(Name::of_unusual(&[b'_'; 100]), Name::Other);
    }
}
