//! Heads to write, from the pieces that the balancer writes its own with. What it copies from the other side is counted
//! in the whole process (`bench/instructions --process`).

use std::hint::black_box;

use wire::h1::encode::{put_decimal, put_field, put_status_line, reason_phrase};

use crate::Run;

const FIELDS: [(&str, &str); 5] = [
    ("Date", "Fri, 20 Nov 2026 12:00:00 GMT"),
    ("Content-Type", "text/plain; charset=utf-8"),
    ("X-Request-Id", "0123456789abcdef0123456789abcdef"),
    ("Proxy-Status", "evenkeel; error=destination_not_found"),
    ("Connection", "close"),
];

pub(crate) fn answer() -> Run {
    let mut out = Vec::with_capacity(1024);
    Box::new(move |count| {
        for _ in 0..count {
            out.clear();
            put_status_line(&mut out, black_box(404), reason_phrase(404).as_bytes());
            for (name, value) in black_box(FIELDS) {
                put_field(&mut out, name.as_bytes(), value.as_bytes());
            }
            out.extend_from_slice(b"Content-Length: ");
            put_decimal(&mut out, black_box(1024));
            out.extend_from_slice(b"\r\n\r\n");
            black_box(&out);
        }
    })
}
