//! Heads to parse.

use std::hint::black_box;

use wire::h1::{Limits, parse_answer, parse_request};
use wire::head::{Answer, Method, Request};

use crate::Run;

pub(crate) const LIMITS: Limits = Limits { head_bytes: 32 * 1024, fields: 100, target_bytes: 8 * 1024 };

pub(crate) const CURL: &str =
    "GET /1k HTTP/1.1\r\nHost: bench.example:8080\r\nUser-Agent: curl/8.14.1\r\nAccept: */*\r\n\r\n";

pub(crate) const BROWSER: &str = "GET /account/orders?page=2 HTTP/1.1\r\nHost: shop.example\r\n\
    User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131.0.0.0 Safari/537.36\r\n\
    Accept: text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8\r\n\
    Accept-Language: en-GB,en;q=0.9,de;q=0.7\r\nAccept-Encoding: gzip, deflate, br, zstd\r\n\
    Referer: http://shop.example/account/orders\r\n\
    Cookie: sid=8f14e45fceea167a5a36dedd4bea2543; theme=dark; cart=eyJpdGVtcyI6WzEsMiwzXSwidG90YWwiOjQyLjV9\r\n\
    Upgrade-Insecure-Requests: 1\r\nSec-Fetch-Site: same-origin\r\nSec-Fetch-Mode: navigate\r\n\
    Sec-Fetch-Dest: document\r\nCache-Control: max-age=0\r\n\r\n";

const ANSWER: &str = "HTTP/1.1 200 OK\r\nServer: nginx/1.26.3\r\nDate: Fri, 20 Nov 2026 12:00:00 GMT\r\n\
    Content-Type: text/html; charset=utf-8\r\nContent-Length: 4096\r\nLast-Modified: Thu, 19 Nov 2026 08:00:00 GMT\r\n\
    ETag: \"673c5e80-1000\"\r\nCache-Control: private, max-age=0\r\nVary: Accept-Encoding\r\n\
    X-Frame-Options: DENY\r\nConnection: keep-alive\r\n\r\n";

fn request(head: &'static str) -> Run {
    let mut request = Request::default();
    Box::new(move |count| {
        for _ in 0..count {
            let parsed = parse_request(black_box(head.as_bytes()), &LIMITS, &mut request);
            assert!(black_box(parsed).is_ok());
        }
    })
}

pub(crate) fn curl() -> Run {
    request(CURL)
}

pub(crate) fn browser() -> Run {
    request(BROWSER)
}

pub(crate) fn answer() -> Run {
    let mut answer = Answer::default();
    Box::new(move |count| {
        for _ in 0..count {
            let parsed = parse_answer(black_box(ANSWER.as_bytes()), &LIMITS, Method::Get, &mut answer);
            assert!(black_box(parsed).is_ok());
        }
    })
}
