//! Rate limits and caps on connections of one client, over all workers.

use crate::harness::{Backend, Evenkeel, GET, Message, Method, OK, Setup, Wire, eventually};

fn statuses(front: &Evenkeel, requests: usize, request: &str) -> Vec<u16> {
    (0..requests).map(|_| front.exchange(request).status()).collect()
}

fn passed(statuses: &[u16]) -> usize {
    assert!(statuses.iter().all(|status| matches!(status, 200 | 429)), "{statuses:?}");
    statuses.iter().filter(|&&status| status == 200).count()
}

fn refused(answer: &Message) -> (&str, &str, &str) {
    assert_eq!(answer.status(), 429, "{answer:?}");
    (answer.value("Retry-After"), answer.value("RateLimit-Policy"), answer.value("RateLimit"))
}

fn limited(backend: &Backend, workers: usize, limits: &str) -> Evenkeel {
    Setup::new(backend)
        .workers(workers)
        .listener("trusted_proxies = \"127.0.0.1\"")
        .more(&format!("[[route]]\npath = \"/*\"\npool = \"app\"\nlimits = {{ {limits} }}"))
        .start()
}

#[test]
fn four_workers_share_one_rate() {
    let backend = Backend::answering(OK);
    let front = limited(&backend, 4, "rate = \"10/h\", burst = 20");
    assert_eq!(passed(&statuses(&front, 60, GET)), 20);
    assert_eq!(backend.requests().len(), 20, "the others did not reach it");
    assert_eq!((front.counter("limited"), front.counter("would_limit")), (40, 0));
}

#[test]
fn a_refusal_says_why_and_when_to_come_back() {
    let backend = Backend::answering(OK);
    let front = limited(&backend, 1, "rate = \"60/m\", burst = 1");
    let mut client = front.client();
    assert_eq!(client.exchange(GET).status(), 200);
    let answer = client.exchange(GET);
    assert_eq!(refused(&answer), ("1", "\"route\";q=60;w=60", "\"route\";r=0;t=1"));
    let why = answer.value("Proxy-Status");
    assert!(why.contains("error=http_request_denied; details=\"rate-limited"), "{why}");
    // Who waits as told is served, on the same connection.
    std::thread::sleep(std::time::Duration::from_secs(1));
    assert_eq!(client.exchange(GET).status(), 200);
    assert!(front.failures().is_empty(), "a flood is not to fill the record of failures");
}

#[test]
fn a_refused_upload_leaves_the_connection_in_order() {
    let backend = Backend::answering(OK);
    let front = limited(&backend, 1, "rate = \"1/h\"");
    let mut client = front.client();
    assert_eq!(client.exchange(GET).status(), 200);
    let post = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello";
    assert_eq!(client.exchange(post).status(), 429);
    assert_eq!(client.exchange(GET).status(), 429);
}

#[test]
fn clients_have_a_rate_each_and_networks_share_one() {
    let backend = Backend::answering(OK);
    let from = |client: &str| format!("GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: {client}\r\n\r\n");
    let front = limited(&backend, 2, "rate = \"1/h\", by = \"client\"");
    let clients = ["192.0.2.1", "192.0.2.2", "2001:db8::1", "2001:db8:0:1::1"];
    for client in clients {
        assert_eq!(passed(&statuses(&front, 2, &from(client))), 1, "{client}");
    }
    assert_eq!(front.exchange(from("2001:db8::ffff")).status(), 429, "one /64 is one client");
    let front = limited(&backend, 2, "rate = \"1/h\", by = \"client/24/32\"");
    let all: Vec<u16> = clients.iter().map(|client| front.exchange(from(client)).status()).collect();
    assert_eq!(all, [200, 429, 200, 429]);
}

#[test]
fn a_field_is_a_key_and_without_it_the_client_is() {
    let backend = Backend::answering(OK);
    let front = limited(&backend, 1, "rate = \"2/h\", by = \"header:X-Api-Key\"");
    let with = |key: &str| format!("GET / HTTP/1.1\r\nHost: a\r\nX-API-KEY: {key}\r\n\r\n");
    for request in [with("one"), with("two"), GET.to_owned()] {
        assert_eq!(passed(&statuses(&front, 5, &request)), 2, "{request}");
    }
}

#[test]
fn routes_have_a_rate_each_and_their_listener_one_over_all() {
    let backend = Backend::answering(OK);
    let front = Setup::new(&backend)
        .listener("limits = { rate = \"6/h\", by = \"listener\" }")
        .more("[[route]]\npath = \"/a\"\npool = \"app\"\nlimits = { rate = \"2/h\", by = \"route\" }")
        .start();
    let get = |path: &str| front.exchange(format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n"));
    let all: Vec<u16> = ["/a", "/a", "/a", "/b", "/b", "/b"].map(|path| get(path).status()).into();
    assert_eq!(all, [200, 200, 429, 200, 200, 200]);
    assert_eq!(refused(&get("/nowhere")).1, "\"listener\";q=6;w=3600");
}

#[test]
fn a_dry_run_only_counts() {
    let backend = Backend::answering(OK);
    let front = limited(&backend, 2, "rate = \"1/h\", burst = 3, dry_run = true");
    assert_eq!(passed(&statuses(&front, 10, GET)), 10);
    assert_eq!((front.counter("limited"), front.counter("would_limit")), (0, 7));
}

#[test]
fn a_client_has_only_so_many_connections() {
    let backend = Backend::answering(OK);
    let front = Setup::new(&backend).workers(4).listener("limits = { client_connections = 3 }").start();
    let mut held: Vec<Wire> = (0..3).map(|_| front.client()).collect();
    held.iter_mut().for_each(|client| assert_eq!(client.exchange(GET).status(), 200));
    let mut fourth = front.client();
    let _ = fourth.try_send(GET);
    assert!(fourth.read_answer(Method::Other).is_err(), "it is closed without an answer");
    assert_eq!(front.counter("over_client_limit"), 1);
    held.pop();
    eventually("there is room again", || front.client().is_served());
}

#[test]
fn trusted_proxies_are_not_counted() {
    let backend = Backend::answering(OK);
    let lines = "trusted_proxies = \"127.0.0.1\"\nlimits = { client_connections = 1 }";
    let front = Setup::new(&backend).listener(lines).start();
    let mut clients: Vec<Wire> = (0..5).map(|_| front.client()).collect();
    clients.iter_mut().for_each(|client| assert_eq!(client.exchange(GET).status(), 200));
}
