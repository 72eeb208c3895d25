//! Requests that change something: who may send them, and in which form.

use std::net::TcpStream;
use std::os::unix::net::UnixStream;

use serde_json::Value;

use super::{Answer, Office, control, converse, office, office_of};

const PATH: &str = "/api/v1/blocks";
const ORDER: &str = r#"{"networks":["203.0.113.0/24"],"for_ms":3600000,"reason":"scan","author":"ann"}"#;

fn request(line: &str, fields: &str, body: &str) -> String {
    let length = body.len();
    format!("{line} HTTP/1.1\r\nconnection: close\r\n{fields}content-length: {length}\r\n\r\n{body}")
}

impl Office {
    fn by_socket(&self, line: &str, fields: &str, body: &str) -> Answer {
        let stream = UnixStream::connect(self.folder.path().join("admin.sock")).unwrap();
        converse(stream, &request(line, &format!("host: localhost\r\n{fields}"), body))
    }

    fn by_tcp(&self, line: &str, fields: &str, body: &str) -> Answer {
        converse(TcpStream::connect(&self.address).unwrap(), &request(line, fields, body))
    }

    fn order(&self, body: &str) -> Answer {
        self.by_socket(&format!("POST {PATH}"), "content-type: application/json\r\n", body)
    }

    fn networks(&self) -> Vec<String> {
        let blocks = self.get(PATH).json()["blocks"].clone();
        blocks.as_array().unwrap().iter().map(|block| block["network"].as_str().unwrap().to_owned()).collect()
    }
}

fn refusal(answer: &Answer) -> (u16, String) {
    (answer.status, answer.code())
}

#[test]
fn blocks_are_made_listed_and_lifted() {
    let office = office();
    let made = office.order(ORDER);
    assert_eq!(made.status, 200, "{}", made.body);
    let list = office.get(PATH).json();
    assert_eq!(made.json()["blocks"], list["blocks"]);
    let block = &list["blocks"][0];
    assert_eq!((&block["network"], &block["reason"]), (&"203.0.113.0/24".into(), &"scan".into()));
    assert_eq!(block["until_ms"].as_u64().unwrap() - block["since_ms"].as_u64().unwrap(), 3_600_000);
    assert_eq!(office.get("/api/v1/status").json()["process"]["blocks"], 1);
    let lifted = office.by_socket(&format!("DELETE {PATH}?network=203.0.113.0/24"), "", "");
    assert_eq!(lifted.json()["blocks"], list["blocks"]);
    assert!(office.networks().is_empty());
}

#[test]
fn changes_need_the_socket_or_the_token() {
    let json = "content-type: application/json\r\n";
    let local = format!("host: localhost\r\n{json}");
    let office = office();
    for line in [format!("POST {PATH}"), format!("DELETE {PATH}?all=true")] {
        assert_eq!(refusal(&office.by_tcp(&line, &local, ORDER)), (403, "read-only".to_owned()));
        // A page in a browser reaches the socket only by a proxy, and then has an origin.
        for (fields, code) in [
            ("x-forwarded-for: 192.0.2.1\r\n", "token-unset"),
            ("origin: http://evil.example\r\n", "cross-site"),
            ("sec-fetch-site: cross-site\r\n", "cross-site"),
        ] {
            assert_eq!(refusal(&office.by_socket(&line, &format!("{fields}{json}"), ORDER)), (403, code.to_owned()));
        }
    }
    assert_eq!(refusal(&office.by_tcp(&format!("POST {PATH}"), "host: evil.example\r\n", ORDER)).1, "host-refused");
    assert!(office.networks().is_empty());

    let office = office_of(control(), Some("secret"));
    let line = format!("POST {PATH}");
    let with = |token: &str| format!("host: lb.example\r\nauthorization: Bearer {token}\r\n{json}");
    assert_eq!(refusal(&office.by_tcp(&line, &with("guess"), ORDER)), (401, "token-wrong".to_owned()));
    assert_eq!(refusal(&office.by_tcp(&line, &local, ORDER)), (403, "read-only".to_owned()));
    assert_eq!(office.by_tcp(&line, &with("secret"), ORDER).status, 200);
}

#[test]
fn wrong_orders_are_refused_whole_and_say_why() {
    let office = office();
    let long = "x".repeat(201);
    for body in [
        "",
        "[]",
        "{}",
        r#"{"networks":[]}"#,
        r#"{"networks":["203.0.113.0/24","203.0.113.1/24"]}"#,
        r#"{"networks":["0.0.0.0/0"]}"#,
        r#"{"networks":["203.0.113.0/24"],"for_ms":0}"#,
        r#"{"networks":["203.0.113.0/24"],"for_ms":400000000000}"#,
        r#"{"networks":["203.0.113.0/24"],"colour":"red"}"#,
        &format!(r#"{{"networks":["203.0.113.0/24"],"reason":"{long}"}}"#),
    ] {
        assert_eq!(refusal(&office.order(body)), (400, "order-refused".to_owned()), "{body}");
    }
    let plain = office.by_socket(&format!("POST {PATH}"), "content-type: text/plain\r\n", ORDER);
    assert_eq!(refusal(&plain), (400, "order-refused".to_owned()), "what a form of another site could send");
    for query in ["", "?all=false", "?all=true&network=::1", "?network=::1&x=1"] {
        assert_eq!(refusal(&office.by_socket(&format!("DELETE {PATH}{query}"), "", "")).1, "query-refused", "{query}");
    }
    let absent = office.by_socket(&format!("DELETE {PATH}?network=203.0.113.0/24"), "", "");
    assert_eq!(refusal(&absent), (404, "not-blocked".to_owned()));
    assert!(office.networks().is_empty());
}

#[test]
fn an_order_has_a_limit() {
    let office = office();
    let many: Vec<String> = (0..100_001_u32).map(|n| format!("\"{}\"", std::net::Ipv4Addr::from_bits(n))).collect();
    let body = format!("{{\"networks\":[{}]}}", many.join(","));
    assert_eq!(refusal(&office.order(&body)), (409, "blocks-full".to_owned()));
    assert!(office.networks().is_empty());
    let body = format!("{{\"networks\":[{}]}}", many[1..].join(","));
    assert_eq!(office.order(&body).status, 200);
    assert_eq!(office.get("/api/v1/status").json()["process"]["blocks"], 100_000);
    assert_eq!(refusal(&office.order(ORDER)), (409, "blocks-full".to_owned()));
    // Announced, not sent: the answer comes before the body.
    let fields = "host: localhost\r\ncontent-type: application/json\r\nconnection: close\r\n";
    let stream = UnixStream::connect(office.folder.path().join("admin.sock")).unwrap();
    let huge = converse(stream, &format!("POST {PATH} HTTP/1.1\r\n{fields}content-length: 9000000\r\n\r\n"));
    assert_eq!(refusal(&huge), (413, "body-refused".to_owned()));
}

#[test]
fn the_document_tells_of_orders() {
    let document = office().get("/api/v1/openapi.json").json();
    let operations = &document["paths"][PATH];
    let schema = "#/components/schemas/BlockOrder";
    assert_eq!(operations["post"]["requestBody"]["content"]["application/json"]["schema"]["$ref"], schema);
    assert!(document.pointer(&schema[1..]).is_some_and(Value::is_object));
    assert_eq!(operations["delete"]["parameters"][0]["schema"]["type"], "string");
    assert_eq!(operations["get"]["requestBody"], Value::Null);
}
