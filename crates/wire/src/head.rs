//! The version-neutral head of a message: spans into a byte buffer that somebody else holds.
//!
//! Owns what a request or answer head *is*, for every HTTP version; how it looks on the wire is the business of
//! [`crate::h1`]. Router, retry and encoders read heads; only decoders write them. Nothing here copies a byte.

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
    pub(crate) fn new(start: usize, end: usize) -> Self {
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
}

impl Name {
    /// Which special name `name` is, compared without case. `name` must be a token (RFC 9110, section 5.6.2).
    #[inline]
    #[must_use]
    pub fn of(name: &[u8]) -> Self {
        match name.len() {
            2 if is(name, b"te") => Self::Te,
            3 if is(name, b"via") => Self::Via,
            4 if is(name, b"host") => Self::Host,
            6 if is(name, b"cookie") => Self::Cookie,
            6 if is(name, b"expect") => Self::Expect,
            7 if is(name, b"upgrade") => Self::Upgrade,
            7 if is(name, b"trailer") => Self::Trailer,
            9 if is(name, b"forwarded") => Self::Forwarded,
            10 if is(name, b"connection") => Self::Connection,
            10 if is(name, b"keep-alive") => Self::KeepAlive,
            12 if is(name, b"x-request-id") => Self::XRequestId,
            12 if is(name, b"max-forwards") => Self::MaxForwards,
            14 if is(name, b"content-length") => Self::ContentLength,
            14 if is(name, b"http2-settings") => Self::Http2Settings,
            15 if is(name, b"x-forwarded-for") => Self::XForwardedFor,
            16 if is(name, b"proxy-connection") => Self::ProxyConnection,
            16 if is(name, b"x-forwarded-host") => Self::XForwardedHost,
            16 if is(name, b"x-forwarded-port") => Self::XForwardedPort,
            17 if is(name, b"transfer-encoding") => Self::TransferEncoding,
            17 if is(name, b"x-forwarded-proto") => Self::XForwardedProto,
            18 if is(name, b"proxy-authenticate") => Self::ProxyAuth,
            19 if is(name, b"proxy-authorization") => Self::ProxyAuth,
            _ => Self::Other,
        }
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

/// Compares a token with a lower-case name of letters, digits and hyphens. Setting bit 5 lowers letters; the only other
/// bytes that it could turn into such a character are control characters, which no token has.
#[inline]
fn is<const N: usize>(token: &[u8], lower: &[u8; N]) -> bool {
    let Ok(token) = <&[u8; N]>::try_from(token) else { return false };
    token.iter().zip(lower).fold(0, |differences, (a, b)| differences | ((a | 0x20) ^ b)) == 0
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
}
