//! What the balancer says itself, and what it changes because it was told to.

use crate::harness::{Backend, Evenkeel, GET, Message, OK, Setup};

fn get(front: &Evenkeel, target: &str) -> Message {
    front.exchange(format!("GET {target} HTTP/1.1\r\nHost: shop.example:8080\r\n\r\n"))
}

/// A front with one route to the pool.
fn routed(backend: &Backend, route: &str) -> Evenkeel {
    Setup::new(backend).more(&format!("[[route]]\n{route}\npool = \"app\"")).start()
}

#[test]
fn own_errors_name_their_cause() {
    let folder = tempfile::tempdir().unwrap();
    let nowhere = format!("unix:{}/nobody.sock", folder.path().display());
    let front = Setup::over([nowhere]).start();
    let answer = front.exchange(GET);
    assert_eq!(answer.status(), 502);
    let status = answer.value("Proxy-Status");
    assert!(status.starts_with("evenkeel; error=connection_refused; details=\"connect-failed"), "{status}");
    assert_eq!(answer.value("Content-Type"), "text/plain; charset=utf-8");
    assert!(answer.has("Date"));
    assert!(answer.body_text().starts_with("502 Bad Gateway\n"), "{answer:?}");
    let failure = front.failure();
    assert_eq!((&failure["cause"], &failure["status"]), (&"connect-failed".into(), &502.into()));
    assert_eq!(failure["request_id"], answer.value("X-Request-Id"));
    assert_eq!((&failure["pool"], &failure["method"], &failure["path"]), (&"app".into(), &"GET".into(), &"/".into()));
}

#[test]
fn own_error_for_head_has_no_body() {
    let folder = tempfile::tempdir().unwrap();
    let front = Setup::over([format!("unix:{}/nobody.sock", folder.path().display())]).start();
    let mut client = front.client();
    for _ in 0..2 {
        let answer = client.exchange("HEAD / HTTP/1.1\r\nHost: a\r\n\r\n");
        assert_eq!(answer.status(), 502);
        assert_ne!(answer.value("Content-Length"), "0");
    }
}

#[test]
fn own_error_leaves_the_connection_usable() {
    let folder = tempfile::tempdir().unwrap();
    let front = Setup::over([format!("unix:{}/nobody.sock", folder.path().display())]).start();
    let mut client = front.client();
    for _ in 0..2 {
        assert_eq!(client.exchange("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello").status(), 502);
        assert_eq!(client.exchange(GET).status(), 502);
    }
}

#[test]
fn rfc9110_15_5_5_what_nothing_is_configured_for_is_not_found() {
    let backend = Backend::answering(OK);
    let front = Setup::new(&backend)
        .more("[listener.bare]\nbind = \"127.0.0.1:0\"\n[[route]]\nlistener = \"bare\"\nhost = \"shop.example\"\npool = \"app\"")
        .start();
    let bare = |request: &str| crate::harness::Wire::connect(front.address_of("bare")).exchange(request);
    assert_eq!(bare(GET).status(), 200);
    let answer = bare("GET / HTTP/1.1\r\nHost: other.example\r\n\r\n");
    assert_eq!(answer.status(), 404);
    assert!(answer.value("Proxy-Status").contains("error=destination_not_found"), "{answer:?}");
    assert_eq!(backend.requests().len(), 1);
}

#[test]
fn own_error_pages_replace_the_plain_ones() {
    let folder = tempfile::tempdir().unwrap();
    let page = folder.path().join("sorry.html");
    std::fs::write(&page, "<h1>sorry</h1>").unwrap();
    let front = Setup::over([format!("unix:{}/nobody.sock", folder.path().display())])
        .more(&format!("[errors]\n502 = \"file:{}\"", page.display()))
        .start();
    let answer = front.exchange(GET);
    assert_eq!((answer.status(), answer.body_text().as_str()), (502, "<h1>sorry</h1>"));
    assert!(answer.value("Content-Type").starts_with("text/html"), "{answer:?}");
    assert!(answer.has("Proxy-Status"));
}

#[test]
fn errors_of_a_backend_pass_as_they_are() {
    let folder = tempfile::tempdir().unwrap();
    let page = folder.path().join("sorry.html");
    std::fs::write(&page, "<h1>sorry</h1>").unwrap();
    let backend = Backend::answering("HTTP/1.1 502 Bad Gateway\r\nContent-Length: 6\r\n\r\ntheirs");
    let front = Setup::new(&backend).more(&format!("[errors]\n502 = \"file:{}\"", page.display())).start();
    let answer = front.exchange(GET);
    assert_eq!((answer.status(), answer.body_text().as_str()), (502, "theirs"));
    assert!(!answer.has("Proxy-Status"), "{answer:?}");
}

#[test]
fn fixed_answers_are_given_here() {
    let folder = tempfile::tempdir().unwrap();
    let page = folder.path().join("gone.html");
    std::fs::write(&page, "<p>gone</p>").unwrap();
    let backend = Backend::answering(OK);
    let front = Setup::new(&backend)
        .more(&format!(
            "[[route]]\npath = \"/old\"\nanswer = {{ status = 410, body = \"gone\", headers = {{ x-a = \"1\" }} }}\n\
             [[route]]\npath = \"/file\"\nanswer = {{ file = \"{}\" }}\n\
             [[route]]\npath = \"/none\"\nanswer = {{ status = 204 }}",
            page.display()
        ))
        .start();
    let answer = get(&front, "/old");
    assert_eq!((answer.status(), answer.body_text().as_str(), answer.value("X-A")), (410, "gone", "1"));
    assert_eq!(answer.value("Content-Type"), "text/plain; charset=utf-8");
    let answer = get(&front, "/file");
    assert_eq!((answer.status(), answer.body_text().as_str()), (200, "<p>gone</p>"));
    assert!(answer.value("Content-Type").starts_with("text/html"), "{answer:?}");
    let answer = get(&front, "/none");
    assert_eq!((answer.status(), answer.values("Content-Length")), (204, vec![]));
    assert_eq!(backend.requests(), []);
}

#[test]
fn fixed_answer_leaves_the_connection_usable_after_a_body() {
    let backend = Backend::answering(OK);
    let front = Setup::new(&backend).more("[[route]]\npath = \"/x\"\nanswer = { body = \"fixed\" }").start();
    let mut client = front.client();
    for _ in 0..3 {
        let answer = client.exchange("POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nbody");
        assert_eq!(answer.body_text(), "fixed");
        assert!(!answer.has("Connection"), "{answer:?}");
    }
    client.send("POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\n");
    assert_eq!(client.answer(crate::harness::Method::Other).body_text(), "fixed");
}

#[test]
fn redirects_fill_in_what_was_asked() {
    let backend = Backend::answering(OK);
    let front = Setup::new(&backend)
        .more(
            "[[route]]\npath = \"/a/*\"\nredirect = \"https://{host}{path}{query}\"\n\
             [[route]]\npath = \"/b/*\"\nredirect = { to = \"/c{rest}\", status = 302 }",
        )
        .start();
    let answer = get(&front, "/a/x%20y?q=1&r");
    assert_eq!((answer.status(), answer.value("Location")), (308, "https://shop.example/a/x%20y?q=1&r"));
    let answer = get(&front, "/b/d/e");
    assert_eq!((answer.status(), answer.value("Location")), (302, "/c/d/e"));
    assert_eq!(backend.requests(), []);
}

#[test]
fn redirect_cannot_be_made_to_carry_a_field() {
    let backend = Backend::answering(OK);
    let front = Setup::new(&backend).more("[[route]]\npath = \"/a/*\"\nredirect = \"https://x.example{path}\"").start();
    let answer = get(&front, "/a/%0d%0aSet-Cookie:%20a=1");
    assert!(!answer.has("Set-Cookie"), "{answer:?}");
}

#[test]
fn rewrites_change_the_path_alone() {
    let backend = Backend::answering(OK);
    let front = Setup::new(&backend)
        .more(
            "[[route]]\npath = \"/api/*\"\npool = \"app\"\nrewrite = \"/v2/*\"\n\
             [[route]]\npath = \"/app\"\npool = \"app\"\nrewrite = \"/index.html\"\n\
             [[route]]\npath = \"/u/*\"\npool = \"app\"\nrewrite = { regex = \"/u/([0-9]+)/photo\", to = \"/photos/$1\" }",
        )
        .start();
    for (asked, seen) in [
        ("/api", "/v2"),
        ("/api/a%2Fb?x=1", "/v2/a%2Fb?x=1"),
        ("/app?x", "/index.html?x"),
        ("/u/12/photo", "/photos/12"),
        ("/u/me/photo", "/u/me/photo"),
    ] {
        get(&front, asked);
        assert_eq!(backend.requests().last().unwrap().target(), seen, "{asked}");
    }
}

#[test]
fn request_field_rules_remove_then_set_then_add() {
    let backend = Backend::answering(OK);
    let rules = "request_headers = { remove = [\"x-gone\", \"x-also\"], set = { x-set = \"{client} {host}\" }, add = { x-add = \"new\" } }";
    let front = routed(&backend, &format!("path = \"/*\"\n{rules}"));
    front.exchange("GET / HTTP/1.1\r\nHost: shop.example:81\r\nX-Gone: 1\r\nX-SET: old\r\nX-Set: older\r\nX-Add: old\r\nX-Also: 1\r\n\r\n");
    let request = backend.request();
    assert!(!request.has("X-Gone") && !request.has("X-Also"), "{request:?}");
    assert_eq!(request.value("X-Set"), "127.0.0.1 shop.example");
    assert_eq!(request.values("X-Add"), ["old", "new"]);
}

#[test]
fn answer_field_rules_remove_then_set_then_add() {
    let backend = Backend::answering(
        "HTTP/1.1 200 OK\r\nServer: x\r\nX-Frame-Options: a\r\nVary: a\r\nContent-Length: 2\r\n\r\nok",
    );
    let rules =
        "response_headers = { remove = \"server\", set = { x-frame-options = \"DENY\" }, add = { vary = \"origin\" } }";
    let front = routed(&backend, &format!("path = \"/*\"\n{rules}"));
    let answer = front.exchange(GET);
    assert!(!answer.has("Server"), "{answer:?}");
    assert_eq!(answer.value("X-Frame-Options"), "DENY");
    assert_eq!(answer.values("Vary"), ["a", "origin"]);
}

#[test]
fn field_rules_cannot_be_made_to_carry_another_field() {
    let backend = Backend::answering(OK);
    let front = routed(&backend, "path = \"/*\"\nrequest_headers = { set = { x-path = \"{path}{query}\" } }");
    front.exchange("GET /a%0d%0aX-Evil:1 HTTP/1.1\r\nHost: a\r\n\r\n");
    for request in backend.requests() {
        assert!(!request.has("X-Evil"), "{request:?}");
    }
}

#[test]
fn route_may_widen_or_narrow_the_limit_of_bodies() {
    let backend = Backend::answering(OK);
    let front = Setup::new(&backend)
        .more("[limits]\nbody_bytes = \"4B\"\n[[route]]\npath = \"/big\"\npool = \"app\"\nlimits = { body = \"8B\" }")
        .start();
    let post = |path: &str| {
        front.exchange(format!("POST {path} HTTP/1.1\r\nHost: a\r\nContent-Length: 6\r\n\r\n123456")).status()
    };
    assert_eq!((post("/"), post("/big")), (413, 200));
}

#[test]
fn drained_and_downed_backends_take_nothing() {
    let (one, two, three) = (Backend::named("one"), Backend::named("two"), Backend::named("three"));
    let front = Setup::new(&one)
        .more(&format!(
            "[pool.other]\nhealth = \"off\"\nbackends = [\"{}\", {{ address = \"{}\", state = \"drained\" }}, \
             {{ address = \"{}\", state = \"down\" }}]\n[[route]]\npath = \"/*\"\npool = \"other\"",
            one.address, two.address, three.address
        ))
        .start();
    for _ in 0..10 {
        assert_eq!(front.exchange(GET).body_text(), "one");
    }
}

#[test]
fn pool_whose_backends_are_all_out_answers_503() {
    let backend = Backend::answering(OK);
    let front = Setup::new(&backend)
        .more(&format!(
            "[pool.off]\nhealth = \"off\"\nbackends = [{{ address = \"{}\", state = \"down\" }}]\n\
             [[route]]\npath = \"/*\"\npool = \"off\"",
            backend.address
        ))
        .start();
    let answer = front.exchange(GET);
    assert_eq!(answer.status(), 503);
    assert!(answer.value("Proxy-Status").contains("error=destination_unavailable"), "{answer:?}");
    assert_eq!(front.failure()["cause"], "no-backend");
}
