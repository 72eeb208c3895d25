//! Backends of `https://`: who they must be, and what is told when they are not.

use std::sync::Arc;

use super::stage::Stage;
use crate::harness::{Authority, Backend, Evenkeel, GET, Issued, OK, Setup, Wanted, eventually};

fn showing(issued: &Issued) -> Backend {
    Backend::secure(Arc::new(issued.server()), |conn| {
        loop {
            conn.request()?;
            conn.send(OK);
        }
    })
}

/// A pool that believes the authority of the stage, and asks for `localhost`.
fn believing(stage: &Stage) -> String {
    let ca = stage.path("backends.pem");
    std::fs::write(&ca, &stage.authority.pem).unwrap();
    format!("tls = {{ ca = {ca:?}, name = \"localhost\" }}")
}

fn front(stage: &Stage, backend: &Backend) -> Evenkeel {
    Setup::new(backend).pool(&believing(stage)).start()
}

#[test]
fn requests_go_over_tls_on_connections_that_are_kept() {
    let stage = Stage::new();
    let backend = showing(&stage.authority.certify(&["localhost"]));
    let front = front(&stage, &backend);
    let mut client = front.client();
    for _ in 0..5 {
        assert_eq!(client.exchange(GET).body, b"ok");
    }
    assert_eq!(backend.requests().len(), 5);
    assert_eq!(front.backends("connects"), [1]);
}

#[test]
fn tls_1_2_and_client_certificates_towards_backends() {
    let stage = Stage::new();
    let us = stage.authority.issue(&Wanted { subject: "the balancer", ..Wanted::default() });
    us.write(&stage.path("us.pem"));
    let issued = stage.authority.certify(&["localhost"]);
    let server = issued.server_asking(&stage.authority);
    let backend = Backend::secure(Arc::new(server), |conn| {
        loop {
            conn.request()?;
            conn.send(OK);
        }
    });
    let tls = believing(&stage).replace(" }", &format!(", cert = {:?} }}", stage.path("us.pem")));
    let front = Setup::new(&backend).pool(&tls).start();
    assert_eq!(front.exchange(GET).body, b"ok");
}

#[track_caller]
fn refused(issued: &Issued, stage: &Stage, why: &str) {
    let backend = showing(issued);
    let front = front(stage, &backend);
    let answer = front.exchange(GET);
    assert_eq!(answer.status(), 502);
    assert!(answer.value("Proxy-Status").contains("error=tls_certificate_error"), "{answer:?}");
    let failure = front.failure();
    assert_eq!(failure["cause"], "bad-certificate", "{failure}");
    assert!(failure.to_string().contains(why), "{failure}");
    assert!(backend.requests().is_empty());
}

#[test]
fn expired_backends_are_refused() {
    let stage = Stage::new();
    let expired = stage.authority.issue(&Wanted { years: (2020, 2021), ..Wanted::default() });
    refused(&expired, &stage, "has expired");
}

#[test]
fn backends_of_another_name_are_refused() {
    let stage = Stage::new();
    refused(&stage.authority.certify(&["other.example"]), &stage, "for another name");
}

#[test]
fn self_signed_backends_are_refused() {
    let stage = Stage::new();
    refused(&Issued::by_itself(&["localhost"]), &stage, "self-signed");
}

#[test]
fn backends_of_an_unknown_issuer_are_refused() {
    let stage = Stage::new();
    refused(&Authority::new("Somebody").certify(&["localhost"]), &stage, "issued by nobody who is trusted");
}

#[test]
fn without_ca_only_what_the_system_trusts_is_believed() {
    let stage = Stage::new();
    let backend = showing(&stage.authority.certify(&["localhost"]));
    let front = Setup::new(&backend).pool("tls = { name = \"localhost\" }").start();
    assert_eq!(front.exchange(GET).status(), 502);
    assert_eq!(front.failure()["cause"], "bad-certificate");
}

#[test]
fn verification_can_be_switched_off_loudly() {
    let stage = Stage::new();
    let backend = showing(&Issued::by_itself(&["other.example"]));
    let front = Setup::new(&backend).pool("tls = { verify = false }").start();
    assert_eq!(front.exchange(GET).body, b"ok");
    assert!(front.log().contains("backends are not verified"), "{}", front.log());
    assert!(front.log().contains("believes every certificate"), "{}", front.log());
    drop(stage);
}

#[test]
fn a_backend_that_speaks_plain_text_is_told() {
    let stage = Stage::new();
    let mut backend = Backend::serving(|conn| {
        let _ = conn.wire.read_more();
        conn.send("HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n");
        Ok(())
    });
    backend.address = format!("https://{}", backend.address);
    let front = front(&stage, &backend);
    assert_eq!(front.exchange(GET).status(), 502);
    assert_eq!(front.failure()["cause"], "tls-failed");
}

#[test]
fn probes_verify_as_requests_do() {
    let stage = Stage::new();
    let (good, bad) = (showing(&stage.authority.certify(&["localhost"])), showing(&Issued::by_itself(&["localhost"])));
    let front = Setup::over([good.address.as_str(), bad.address.as_str()])
        .health("{ http = \"/healthz\", interval = \"100ms\" }")
        .pool(&believing(&stage))
        .start();
    front.wait_for_states(&["ready", "down"]);
    let reason = front.backends("reason")[1].as_str().unwrap().to_owned();
    assert!(reason.contains("self-signed"), "{reason}");
    let mut client = front.client();
    for _ in 0..4 {
        assert_eq!(client.exchange(GET).body, b"ok");
    }
    assert_eq!(bad.requests().len(), 0);
}

#[test]
fn an_answer_that_ends_without_a_word_is_cut_off() {
    let stage = Stage::new();
    let config = Arc::new(stage.authority.certify(&["localhost"]).server());
    let backend = Backend::secure(config, |conn| {
        let request = conn.request()?;
        conn.send("HTTP/1.1 200 OK\r\n\r\nhalf");
        if request.target() == "/whole" {
            conn.wire.say_end();
        }
        conn.wire.finish();
        Ok(())
    });
    let front = front(&stage, &backend);
    let whole = front.exchange("GET /whole HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(whole.body, b"half");
    let mut client = front.client();
    client.send(GET);
    assert!(client.read_answer(crate::harness::Method::Other).is_err());
    eventually("it is counted", || front.counter("truncated") == 1);
}

#[test]
fn sessions_of_backends_are_taken_up() {
    let stage = Stage::new();
    let config = Arc::new(stage.authority.certify(&["localhost"]).server());
    let backend = Backend::secure(config, |conn| {
        let resumed = conn.wire.is_resumed();
        conn.request()?;
        conn.send(format!(
            "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{resumed}",
            resumed.to_string().len()
        ));
        Ok(())
    });
    let front = front(&stage, &backend);
    let mut client = front.client();
    assert_eq!(client.exchange(GET).body, b"false");
    assert_eq!(client.exchange(GET).body, b"true");
}

#[test]
fn rfc8446_4_6_3_backends_change_keys() {
    let stage = Stage::new();
    let config = Arc::new(stage.authority.certify(&["localhost"]).server());
    let backend = Backend::secure(config, |conn| {
        loop {
            conn.request()?;
            conn.wire.renew_keys();
            conn.send(OK);
        }
    });
    let front = front(&stage, &backend);
    let mut client = front.client();
    for _ in 0..5 {
        assert_eq!(client.exchange(GET).body, b"ok");
    }
    assert_eq!(front.backends("connects"), [1]);
}
