//! Which certificate is shown, who must show one, and what happens when files change.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

use super::stage::Stage;
use crate::harness::{Authority, Backend, GET, Issued, OK, Setup, Wanted, eventually, figure};

#[test]
fn the_name_chooses_the_certificate() {
    let (stage, backend) = (Stage::new(), Backend::answering(OK));
    let default = stage.authority.certify(&["a.example"]);
    let exact = stage.authority.certify(&["www.shop.example"]);
    let wild = stage.authority.certify(&["*.shop.example"]);
    stage.put("1.pem", &default);
    stage.put("2.pem", &exact);
    stage.put("3.pem", &wild);
    let front = stage.front(&backend);
    let shown = |name: &str| stage.client().to(name).shaken(front.address());
    assert!(shown("a.example").shows(&default));
    assert!(shown("www.shop.example").shows(&exact));
    assert!(shown("WWW.Shop.Example").shows(&exact));
    assert!(shown("api.shop.example").shows(&wild));
    let nameless = stage.client().to("a.example").nameless();
    assert!(nameless.shaken(front.address()).shows(&default));
    // One label, and not the name itself: such clients get the default, which is not theirs.
    for name in ["a.b.shop.example", "shop.example", "other.example"] {
        let refused = stage.client().to(name).try_connect(front.address()).map(drop).unwrap_err();
        assert!(refused.contains("not valid for name"), "{refused}");
    }
}

#[test]
fn rsa_is_for_those_who_know_nothing_else() {
    let (stage, backend) = (Stage::new(), Backend::answering(OK));
    let rsa = stage.authority.issue(&Wanted { rsa: true, ..Wanted::default() });
    let ecdsa = stage.authority.certify(&["localhost"]);
    stage.put("1-rsa.pem", &rsa);
    stage.put("2-ecdsa.pem", &ecdsa);
    let front = stage.front(&backend);
    assert!(stage.client().shaken(front.address()).shows(&ecdsa));
    assert!(stage.client().rsa_alone(&stage.authority).shaken(front.address()).shows(&rsa));
}

#[test]
fn folders_as_certbot_makes_them_are_understood() {
    let (stage, backend) = (Stage::new(), Backend::answering(OK));
    let intermediate = stage.authority.intermediate("Between");
    let issued = intermediate.certify(&["localhost"]);
    let live = stage.path("localhost");
    std::fs::create_dir(&live).unwrap();
    for (name, text) in [
        ("README.pem.txt", "no certificate".to_owned()),
        ("cert.pem", issued.cert.clone()),
        ("chain.pem", intermediate.pem.clone()),
        ("fullchain.pem", format!("{}{}", issued.cert, intermediate.pem)),
        ("privkey.pem", issued.key.clone()),
    ] {
        std::fs::write(live.join(name), text).unwrap();
    }
    let front = stage.front(&backend);
    // The client knows the root alone, so that the chain must be whole.
    assert!(stage.client().shaken(front.address()).shows(&issued));
    let status = front.status();
    let certificates = status["listeners"][0]["tls"]["certificates"].as_array().unwrap().clone();
    assert_eq!(certificates.len(), 1, "{certificates:?}");
    assert_eq!(certificates[0]["names"][0], "localhost");
    let (_, shown, _) = front.command(&["status"]);
    assert!(shown.contains("CERTIFICATE") && shown.contains("CN=Between"), "{shown}");
}

#[test]
fn a_chain_is_made_of_what_lies_beside() {
    let (stage, backend) = (Stage::new(), Backend::answering(OK));
    let intermediate = stage.authority.intermediate("Between");
    let issued = intermediate.certify(&["localhost"]);
    std::fs::write(stage.path("site.crt"), &issued.cert).unwrap();
    std::fs::write(stage.path("site.key"), &issued.key).unwrap();
    std::fs::write(stage.path("issuer.crt"), &intermediate.pem).unwrap();
    let front = stage.front(&backend);
    assert!(stage.client().shaken(front.address()).shows(&issued));
}

/// Exchanges on connections of their own, one after the other, until told to stop: how many, and those that failed.
struct Traffic {
    stop: Arc<AtomicBool>,
    done: Arc<AtomicUsize>,
    threads: Vec<thread::JoinHandle<Vec<String>>>,
}

impl Traffic {
    fn start(stage: &Stage, address: &str) -> Self {
        let (stop, done) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let threads = (0..2).map(|_| {
            let (client, address) = (stage.client(), address.to_owned());
            let (stop, done) = (Arc::clone(&stop), Arc::clone(&done));
            thread::spawn(move || {
                let mut failed = Vec::new();
                while !stop.load(Ordering::SeqCst) {
                    match client.try_connect(&address) {
                        Ok((mut wire, _)) => assert_eq!(wire.exchange(GET).body, b"ok"),
                        Err(why) => failed.push(why),
                    }
                    done.fetch_add(1, Ordering::SeqCst);
                }
                failed
            })
        });
        Self { threads: threads.collect(), stop, done }
    }

    fn done(&self) -> usize {
        self.done.load(Ordering::SeqCst)
    }

    fn end(self) -> Vec<String> {
        self.stop.store(true, Ordering::SeqCst);
        self.threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    }
}

#[test]
fn rotation_under_load_fails_no_handshake_and_drops_no_connection() {
    let (stage, backend) = (Stage::ready(), Backend::answering(OK));
    let front = Setup::new(&backend).workers(2).listener(&stage.tls()).start();
    let mut kept = stage.client().connect(front.address());
    assert_eq!(kept.exchange(GET).body, b"ok");
    let traffic = Traffic::start(&stage, front.address());
    for _ in 0..3 {
        let renewed = stage.authority.certify(&["localhost"]);
        stage.put("localhost.pem", &renewed);
        // Not by a ticket: whoever takes up a session is shown nothing.
        eventually("the new certificate is shown", || stage.client().shaken(front.address()).shows(&renewed));
    }
    let done = traffic.done();
    eventually("traffic goes on", || traffic.done() > done);
    let (done, failed) = (traffic.done(), traffic.end());
    assert!(failed.is_empty(), "{failed:?}");
    assert_eq!(kept.exchange(GET).body, b"ok");
    assert_eq!(front.status()["listeners"][0]["tls"]["reloads"], 3);
    figure(&format!("certificates: rotated 3 times under {done} handshakes, 0 failed"));
}

#[test]
fn links_are_followed_when_they_lead_elsewhere() {
    let (stage, backend) = (Stage::new(), Backend::answering(OK));
    let (old, new) = (stage.authority.certify(&["localhost"]), stage.authority.certify(&["localhost"]));
    for (folder, issued) in [("..1", &old), ("..2", &new)] {
        std::fs::create_dir(stage.path(folder)).unwrap();
        issued.write(&stage.path(folder).join("tls.pem"));
    }
    // As Kubernetes does it.
    std::os::unix::fs::symlink("..1", stage.path("..data")).unwrap();
    std::os::unix::fs::symlink("..data/tls.pem", stage.path("tls.pem")).unwrap();
    let front = stage.front(&backend);
    assert!(stage.client().shaken(front.address()).shows(&old));
    std::os::unix::fs::symlink("..2", stage.path("..new")).unwrap();
    std::fs::rename(stage.path("..new"), stage.path("..data")).unwrap();
    eventually("the new certificate is shown", || stage.client().shaken(front.address()).shows(&new));
}

#[test]
fn a_broken_file_changes_nothing_and_is_told() {
    let (stage, backend) = (Stage::new(), Backend::answering(OK));
    let good = stage.authority.certify(&["localhost"]);
    stage.put("a.pem", &good);
    let tls = format!("tls = {{ cert = {:?} }}", stage.path("a.pem"));
    let front = Setup::new(&backend).listener(&tls).start();
    let (one, other) = (stage.authority.certify(&["localhost"]), stage.authority.certify(&["localhost"]));
    stage.put("a.pem", &Issued { cert: one.cert, key: other.key });
    let tls = || front.status()["listeners"][0]["tls"].clone();
    eventually("it is told", || tls()["failed_reloads"] == 1);
    let why = tls()["error"].as_str().unwrap().to_owned();
    assert!(why.contains("belongs to none of the certificates") && why.contains("a.pem"), "{why}");
    assert!(front.log().contains(&why), "{}", front.log());
    assert!(front.command(&["status"]).1.contains("CERTIFICATES NOT TAKEN"));
    assert!(stage.client().shaken(front.address()).shows(&good));
    stage.put("a.pem", &stage.authority.certify(&["localhost"]));
    eventually("the next one is taken", || tls()["reloads"] == 1 && tls()["error"].is_null());
}

fn asking(stage: &Stage, more: &str) -> String {
    let ca = stage.path("clients.crt.txt");
    std::fs::write(&ca, &stage.authority.pem).unwrap();
    format!("tls = {{ certs = [{:?}], client_ca = {ca:?}{more} }}", stage.folder.path())
}

const SPOOFED: &str = "GET / HTTP/1.1\r\nHost: a\r\nX-Client-Cert-Verified: yes\r\nx_client_cert_subject: CN=root\r\n\
                       Client-Cert: :AAAA:\r\nX-Other: 1\r\n\r\n";

#[test]
fn clients_must_show_a_certificate_where_that_is_required() {
    let (stage, backend) = (Stage::ready(), Backend::answering(OK));
    let front = Setup::new(&backend).listener(&asking(&stage, ", forward_client_cert = true")).start();
    let names = ["localhost", "client.example"];
    let issued = stage.authority.issue(&Wanted { names: &names, subject: "Ann, of Shop", ..Wanted::default() });
    let mut wire = stage.client().showing(&issued).connect(front.address());
    assert_eq!(wire.exchange(SPOOFED).status(), 200);
    let request = backend.request();
    assert_eq!(request.values("X-Client-Cert-Verified"), ["yes"]);
    assert_eq!(request.values("X-Client-Cert-Subject"), ["CN=Ann\\, of Shop"]);
    assert_eq!(request.values("X-Client-Cert-Issuer"), ["CN=The Tests"]);
    assert_eq!(request.values("X-Client-Cert-San"), ["DNS:localhost, DNS:client.example"]);
    assert_eq!(request.value("X-Client-Cert-Sha256").len(), 64);
    assert!(request.value("Client-Cert").starts_with(":MII"), "{request:?}");
    assert!(!request.has("x_client_cert_subject") && request.has("X-Other"), "{request:?}");
    let stranger = Authority::new("Somebody").certify(&["localhost"]);
    for client in [stage.client(), stage.client().showing(&stranger)] {
        // With TLS 1.3 a client hears of it after its own end of the handshake.
        let seen = client.try_connect(front.address()).map(|(mut wire, _)| {
            let _ = wire.try_send(GET);
            wire.read_head().map(|answer| answer.status())
        });
        assert!(!matches!(seen, Ok(Ok(_))), "{seen:?}");
    }
    eventually("both are counted", || front.counter("handshake_failures") == 2);
    assert_eq!(backend.requests().len(), 1);
}

#[test]
fn optional_certificates_are_told_to_backends_either_way() {
    let (stage, backend) = (Stage::ready(), Backend::answering(OK));
    let front = Setup::new(&backend).listener(&asking(&stage, ", client_auth = \"optional\"")).start();
    stage.client().connect(front.address()).exchange(SPOOFED);
    let request = backend.request();
    assert_eq!(request.values("X-Client-Cert-Verified"), ["no"]);
    for gone in ["x_client_cert_subject", "Client-Cert"] {
        assert!(!request.has(gone), "{request:?}");
    }
    let issued = stage.authority.certify(&["localhost"]);
    let client = stage.client().showing(&issued);
    // A session that is taken up is that of the certificate that was shown.
    for _ in 0..2 {
        client.connect(front.address()).exchange(GET);
        assert_eq!(backend.requests().last().unwrap().values("X-Client-Cert-Verified"), ["yes"]);
    }
    assert_eq!(front.counter("resumed"), 1);
}

#[test]
fn no_listener_lets_such_fields_through() {
    let (stage, backend) = (Stage::ready(), Backend::answering(OK));
    let other = format!("[listener.other]\nbind = \"127.0.0.1:0\"\npool = \"app\"\n{}", asking(&stage, ""));
    let front = Setup::new(&backend).more(&other).start();
    front.exchange(SPOOFED);
    let request = backend.request();
    for gone in ["X-Client-Cert-Verified", "x_client_cert_subject", "Client-Cert"] {
        assert!(!request.has(gone), "{request:?}");
    }
}
