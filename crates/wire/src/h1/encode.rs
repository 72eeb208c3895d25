//! Writing heads: status lines, field lines and numbers into a byte buffer.
//!
//! Owns spelling only. What is written, and that names and values hold no line end, is the caller's affair: they come from
//! a parsed head, from the plan or from constants.

/// Writes `HTTP/1.1`, the status code (of three digits), the reason phrase and the line's end.
#[inline]
pub fn put_status_line(out: &mut Vec<u8>, status: u16, reason: &[u8]) {
    let mut start = *b"HTTP/1.1 000 ";
    start[9..12].copy_from_slice(&status_digits(status));
    out.extend_from_slice(&start);
    out.extend_from_slice(reason);
    out.extend_from_slice(b"\r\n");
}

/// The three digits of a status code.
#[inline]
#[must_use]
pub fn status_digits(status: u16) -> [u8; 3] {
    [status / 100, status / 10, status].map(|rest| b'0' + (rest % 10) as u8)
}

/// Writes a field line.
#[inline]
pub fn put_field(out: &mut Vec<u8>, name: &[u8], value: &[u8]) {
    out.reserve(name.len() + value.len() + 4);
    out.extend_from_slice(name);
    out.extend_from_slice(b": ");
    out.extend_from_slice(value);
    out.extend_from_slice(b"\r\n");
}

/// Writes a number in decimal digits.
#[inline]
pub fn put_decimal(out: &mut Vec<u8>, number: u64) {
    put_digits::<10>(out, number);
}

/// Writes a number in hexadecimal digits, as chunk sizes are.
#[inline]
pub(super) fn put_hexadecimal(out: &mut Vec<u8>, number: u64) {
    put_digits::<16>(out, number);
}

/// Fills a small array from its end, so that the digits are copied once.
#[inline]
#[expect(clippy::cast_possible_truncation, reason = "a digit is less than its base")]
fn put_digits<const BASE: u64>(out: &mut Vec<u8>, mut number: u64) {
    let mut digits = [0; 20];
    let mut at = digits.len();
    loop {
        at -= 1;
        digits[at] = b"0123456789abcdef"[(number % BASE) as usize];
        number /= BASE;
        if number == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[at..]);
}

/// The standard reason phrase of a status code (RFC 9110, section 15, and the registry beside it); empty for others.
#[must_use]
pub fn reason_phrase(status: u16) -> &'static str {
    match status {
        100 => "Continue",
        101 => "Switching Protocols",
        103 => "Early Hints",
        200 => "OK",
        201 => "Created",
        202 => "Accepted",
        203 => "Non-Authoritative Information",
        204 => "No Content",
        205 => "Reset Content",
        206 => "Partial Content",
        300 => "Multiple Choices",
        301 => "Moved Permanently",
        302 => "Found",
        303 => "See Other",
        304 => "Not Modified",
        305 => "Use Proxy",
        307 => "Temporary Redirect",
        308 => "Permanent Redirect",
        400 => "Bad Request",
        401 => "Unauthorized",
        402 => "Payment Required",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        406 => "Not Acceptable",
        407 => "Proxy Authentication Required",
        408 => "Request Timeout",
        409 => "Conflict",
        410 => "Gone",
        411 => "Length Required",
        412 => "Precondition Failed",
        413 => "Content Too Large",
        414 => "URI Too Long",
        415 => "Unsupported Media Type",
        416 => "Range Not Satisfiable",
        417 => "Expectation Failed",
        421 => "Misdirected Request",
        422 => "Unprocessable Content",
        425 => "Too Early",
        426 => "Upgrade Required",
        428 => "Precondition Required",
        429 => "Too Many Requests",
        431 => "Request Header Fields Too Large",
        451 => "Unavailable For Legal Reasons",
        500 => "Internal Server Error",
        501 => "Not Implemented",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        504 => "Gateway Timeout",
        505 => "HTTP Version Not Supported",
        507 => "Insufficient Storage",
        508 => "Loop Detected",
        511 => "Network Authentication Required",
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rfc9112_4_status_lines_have_a_space_even_without_a_reason() {
        let mut out = Vec::new();
        put_status_line(&mut out, 200, reason_phrase(200).as_bytes());
        put_status_line(&mut out, 299, reason_phrase(299).as_bytes());
        assert_eq!(out, b"HTTP/1.1 200 OK\r\nHTTP/1.1 299 \r\n");
    }

    #[test]
    fn rfc9112_5_a_field_line_is_name_colon_space_value() {
        let mut out = Vec::new();
        put_field(&mut out, b"via", b"1.1 evenkeel");
        assert_eq!(out, b"via: 1.1 evenkeel\r\n");
    }

    #[test]
    fn numbers_are_written_as_the_standard_library_writes_them() {
        for number in [0, 1, 9, 10, 15, 16, 99, 100, 255, 256, 65535, 1 << 32, u64::MAX - 1, u64::MAX] {
            let mut out = Vec::new();
            put_decimal(&mut out, number);
            out.push(b' ');
            put_hexadecimal(&mut out, number);
            assert_eq!(out, format!("{number} {number:x}").into_bytes());
        }
    }
}
