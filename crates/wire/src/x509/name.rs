//! Distinguished names as text (RFC 4514).

use std::fmt::Write;

use super::der::{self, Der};

/// Attributes that have a short name.
const SHORT: &[(&[u8], &str)] = &[
    (&[0x55, 4, 3], "CN"),
    (&[0x55, 4, 5], "serialNumber"),
    (&[0x55, 4, 6], "C"),
    (&[0x55, 4, 7], "L"),
    (&[0x55, 4, 8], "ST"),
    (&[0x55, 4, 9], "STREET"),
    (&[0x55, 4, 10], "O"),
    (&[0x55, 4, 11], "OU"),
    (&[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 9, 1], "emailAddress"),
    (&[0x09, 0x92, 0x26, 0x89, 0x93, 0xf2, 0x2c, 0x64, 1, 1], "UID"),
    (&[0x09, 0x92, 0x26, 0x89, 0x93, 0xf2, 0x2c, 0x64, 1, 25], "DC"),
];
/// Bytes of a name that is shown; what is longer is cut.
const LONGEST: usize = 1024;

/// A distinguished name in DER as RFC 4514 writes it: `CN=shop.example,O=Shop`. All of it is visible ASCII, so that it can
/// go into a header or a log line.
#[must_use]
pub fn show_name(name: &[u8]) -> String {
    let mut parts = Vec::new();
    let mut outer = Der::new(name);
    if let Some(mut sets) = outer.sequence() {
        while let Some(set) = sets.expect(der::SET) {
            parts.push(relative(Der::new(set)));
        }
    }
    parts.reverse();
    let mut text = parts.join(",");
    text.truncate(LONGEST);
    text
}

/// One step of a name; several attributes are joined by `+`.
fn relative(mut attributes: Der<'_>) -> String {
    let mut parts = Vec::new();
    while let Some(mut attribute) = attributes.sequence() {
        let Some(id) = attribute.expect(der::OBJECT_ID) else { break };
        let Some((tag, value)) = attribute.next() else { break };
        parts.push(format!("{}={}", kind(id), text(tag, value)));
    }
    parts.join("+")
}

fn kind(id: &[u8]) -> String {
    let short = SHORT.iter().find(|(known, _)| *known == id);
    short.map_or_else(|| dotted(id), |(_, name)| (*name).to_owned())
}

/// An object identifier as numbers with dots.
fn dotted(id: &[u8]) -> String {
    let mut text = String::new();
    let mut number: u64 = 0;
    for byte in id {
        number = number.wrapping_shl(7) | u64::from(byte & 0x7f);
        if byte & 0x80 != 0 {
            continue;
        }
        // The first number holds the first two steps. Writing to a string cannot fail.
        let _ = match text.is_empty() {
            true => write!(text, "{}.{}", (number / 40).min(2), number - 40 * (number / 40).min(2)),
            false => write!(text, ".{number}"),
        };
        number = 0;
    }
    text
}

fn text(tag: u8, value: &[u8]) -> String {
    const UTF8: u8 = 0x0c;
    const PRINTABLE: u8 = 0x13;
    const TELETEX: u8 = 0x14;
    const IA5: u8 = 0x16;
    const BMP: u8 = 0x1e;
    match tag {
        UTF8 | PRINTABLE | TELETEX | IA5 => escaped(value),
        BMP => {
            let units: Vec<u16> = value.as_chunks::<2>().0.iter().map(|pair| u16::from_be_bytes(*pair)).collect();
            escaped(String::from_utf16_lossy(&units).as_bytes())
        }
        _ => value.iter().fold("#".to_owned(), |text, byte| text + &format!("{byte:02x}")),
    }
}

fn escaped(value: &[u8]) -> String {
    let mut text = String::with_capacity(value.len());
    for (at, byte) in value.iter().enumerate() {
        let is_edge = at == 0 || at + 1 == value.len();
        match byte {
            b',' | b'+' | b'"' | b'\\' | b'<' | b'>' | b';' | b'=' => {
                text.push('\\');
                text.push(char::from(*byte));
            }
            b' ' if is_edge => text.push_str("\\20"),
            b'#' if at == 0 => text.push_str("\\#"),
            b' '..=b'~' => text.push(char::from(*byte)),
            _ => {
                // Writing to a string cannot fail.
                let _ = write!(text, "\\{byte:02X}");
            }
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_special_is_escaped() {
        assert_eq!(escaped(b"Shop, Inc."), "Shop\\, Inc.");
        assert_eq!(escaped(b" a "), "\\20a\\20");
        assert_eq!(escaped(b"#1\r\n"), "\\#1\\0D\\0A");
        assert_eq!(escaped("é".as_bytes()), "\\C3\\A9");
    }

    #[test]
    fn unknown_attributes_are_numbers() {
        assert_eq!(dotted(&[0x55, 4, 97]), "2.5.4.97");
        assert_eq!(dotted(&[0x2a, 0x86, 0x48]), "1.2.840");
        assert_eq!(dotted(&[]), "");
    }

    #[test]
    fn other_forms_of_text() {
        assert_eq!(text(0x1e, &[0, b'a', 0, b'b']), "ab");
        assert_eq!(text(0x05, &[1, 0xff]), "#01ff");
    }
}
