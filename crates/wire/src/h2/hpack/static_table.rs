//! The static table (RFC 7541, appendix A), and finding names in it.
//!
//! Entries are whole field lines, as decoders append them to a head.

use super::Kind;
use super::Pseudo;
use crate::grammar::is_word;
use crate::head::Name;

/// An entry.
pub(super) struct Entry {
    /// `name: value` and the line's end.
    pub(super) line: &'static [u8],
    pub(super) name_bytes: u8,
    pub(super) kind: Kind,
}

impl Entry {
    /// Its name.
    pub(super) fn name(&self) -> &'static [u8] {
        &self.line[..self.name_bytes as usize]
    }
}

const fn row(line: &'static [u8], name_bytes: u8, kind: Kind) -> Entry {
    Entry { line, name_bytes, kind }
}

const PLAIN: Kind = Kind::Field(Name::Other);
const AUTHORITY: Kind = Kind::Pseudo(Pseudo::Authority);
const METHOD: Kind = Kind::Pseudo(Pseudo::Method);
const PATH: Kind = Kind::Pseudo(Pseudo::Path);
const SCHEME: Kind = Kind::Pseudo(Pseudo::Scheme);
const STATUS: Kind = Kind::Pseudo(Pseudo::Status);

/// Number of entries.
pub(super) const LENGTH: usize = 61;

/// The entries; the first has the index 1.
pub(super) static ENTRIES: [Entry; LENGTH] = TABLE;

const TABLE: [Entry; LENGTH] = [
    row(b":authority: \r\n", 10, AUTHORITY),
    row(b":method: GET\r\n", 7, METHOD),
    row(b":method: POST\r\n", 7, METHOD),
    row(b":path: /\r\n", 5, PATH),
    row(b":path: /index.html\r\n", 5, PATH),
    row(b":scheme: http\r\n", 7, SCHEME),
    row(b":scheme: https\r\n", 7, SCHEME),
    row(b":status: 200\r\n", 7, STATUS),
    row(b":status: 204\r\n", 7, STATUS),
    row(b":status: 206\r\n", 7, STATUS),
    row(b":status: 304\r\n", 7, STATUS),
    row(b":status: 400\r\n", 7, STATUS),
    row(b":status: 404\r\n", 7, STATUS),
    row(b":status: 500\r\n", 7, STATUS),
    row(b"accept-charset: \r\n", 14, PLAIN),
    row(b"accept-encoding: gzip, deflate\r\n", 15, PLAIN),
    row(b"accept-language: \r\n", 15, PLAIN),
    row(b"accept-ranges: \r\n", 13, PLAIN),
    row(b"accept: \r\n", 6, PLAIN),
    row(b"access-control-allow-origin: \r\n", 27, PLAIN),
    row(b"age: \r\n", 3, PLAIN),
    row(b"allow: \r\n", 5, PLAIN),
    row(b"authorization: \r\n", 13, PLAIN),
    row(b"cache-control: \r\n", 13, PLAIN),
    row(b"content-disposition: \r\n", 19, PLAIN),
    row(b"content-encoding: \r\n", 16, PLAIN),
    row(b"content-language: \r\n", 16, PLAIN),
    row(b"content-length: \r\n", 14, Kind::Field(Name::ContentLength)),
    row(b"content-location: \r\n", 16, PLAIN),
    row(b"content-range: \r\n", 13, PLAIN),
    row(b"content-type: \r\n", 12, PLAIN),
    row(b"cookie: \r\n", 6, Kind::Field(Name::Cookie)),
    row(b"date: \r\n", 4, PLAIN),
    row(b"etag: \r\n", 4, PLAIN),
    row(b"expect: \r\n", 6, Kind::Field(Name::Expect)),
    row(b"expires: \r\n", 7, PLAIN),
    row(b"from: \r\n", 4, PLAIN),
    row(b"host: \r\n", 4, Kind::Field(Name::Host)),
    row(b"if-match: \r\n", 8, PLAIN),
    row(b"if-modified-since: \r\n", 17, PLAIN),
    row(b"if-none-match: \r\n", 13, PLAIN),
    row(b"if-range: \r\n", 8, PLAIN),
    row(b"if-unmodified-since: \r\n", 19, PLAIN),
    row(b"last-modified: \r\n", 13, PLAIN),
    row(b"link: \r\n", 4, PLAIN),
    row(b"location: \r\n", 8, PLAIN),
    row(b"max-forwards: \r\n", 12, Kind::Field(Name::MaxForwards)),
    row(b"proxy-authenticate: \r\n", 18, Kind::Field(Name::ProxyAuth)),
    row(b"proxy-authorization: \r\n", 19, Kind::Field(Name::ProxyAuth)),
    row(b"range: \r\n", 5, PLAIN),
    row(b"referer: \r\n", 7, PLAIN),
    row(b"refresh: \r\n", 7, PLAIN),
    row(b"retry-after: \r\n", 11, PLAIN),
    row(b"server: \r\n", 6, PLAIN),
    row(b"set-cookie: \r\n", 10, PLAIN),
    row(b"strict-transport-security: \r\n", 25, PLAIN),
    row(b"transfer-encoding: \r\n", 17, Kind::Field(Name::TransferEncoding)),
    row(b"user-agent: \r\n", 10, PLAIN),
    row(b"vary: \r\n", 4, PLAIN),
    row(b"via: \r\n", 3, Kind::Field(Name::Via)),
    row(b"www-authenticate: \r\n", 16, PLAIN),
];

/// The index of the first entry of each name that is no pseudo-header, by [`place`]; 0 where there is none.
static BY_NAME: [u8; 128] = by_name();

/// Where a name is in [`BY_NAME`]; the case of its letters falls out. No two names of the table share a place.
const fn place(name: &[u8]) -> usize {
    let (first, last) = (name[0] | 0x20, name[name.len() - 1] | 0x20);
    (34 * first as usize + 49 * last as usize + 9 * name.len()) % 128
}

#[expect(clippy::cast_possible_truncation, reason = "there are 61 entries")]
const fn by_name() -> [u8; 128] {
    let mut table = [0; 128];
    let mut at = 0;
    while at < LENGTH {
        let entry = &TABLE[at];
        if entry.line[0] != b':' {
            let (name, _) = entry.line.split_at(entry.name_bytes as usize);
            let index = &mut table[place(name)];
            assert!(*index == 0, "two names in one place");
            *index = at as u8 + 1;
        }
        at += 1;
    }
    table
}

/// The index of the entry with this name, compared without case; 0 if there is none.
#[inline]
pub(super) fn find(name: &[u8]) -> u8 {
    if name.is_empty() {
        return 0;
    }
    match BY_NAME[place(name)] {
        0 => 0,
        index if is_name(name, ENTRIES[usize::from(index) - 1].name()) => index,
        _ => 0,
    }
}

/// Whether `name`, which is a token, is `lower` but for its case.
#[inline]
fn is_name(name: &[u8], lower: &[u8]) -> bool {
    const LONGEST_WORD: usize = 24;
    if lower.len() <= LONGEST_WORD { is_word(name, lower) } else { name.eq_ignore_ascii_case(lower) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_name_is_found_in_any_case_and_knows_what_it_is() {
        for (at, entry) in ENTRIES.iter().enumerate() {
            let text = str::from_utf8(entry.line).expect("ASCII");
            let (name, _) = text.split_once(": ").expect("a line");
            assert_eq!(name.len(), usize::from(entry.name_bytes), "{name}");
            assert!(text.ends_with("\r\n"));
            match entry.kind {
                Kind::Field(known) => {
                    assert_eq!(known, Name::of(name.as_bytes()), "{name}");
                    assert_eq!(usize::from(find(name.as_bytes())), at + 1);
                    assert_eq!(usize::from(find(name.to_uppercase().as_bytes())), at + 1);
                }
                Kind::Pseudo(_) => assert!(name.starts_with(':')),
            }
        }
        assert_eq!([&b"x-request-id"[..], b"x", b"", b"serves", b":path"].map(find), [0; 5]);
    }
}
