//! `tls`, `hsts`, `http_redirect`, `[cluster]`, backends of `https://`.

use std::path::PathBuf;
use std::time::Duration;

use config::source::Memory;
use policy::plan::{Action, CertSource, Preset};
use rcgen::{CertificateParams, KeyPair};

use super::{POOL, codes, outcome_with, plan_in, told};

/// Half of 2030.
const NOW: i64 = 1_909_000_000;

/// A certificate that has issued itself, with its key; for these names and years.
fn certificate(names: &[&str], years: (i32, i32)) -> String {
    let key = KeyPair::generate().unwrap();
    let names: Vec<_> = names.iter().map(|name| (*name).to_owned()).collect();
    let mut params = CertificateParams::new(names).unwrap();
    (params.not_before, params.not_after) = (rcgen::date_time_ymd(years.0, 1, 1), rcgen::date_time_ymd(years.1, 1, 1));
    params.self_signed(&key).unwrap().pem() + &key.serialize_pem()
}

fn good() -> String {
    certificate(&["shop.example"], (2020, 2040))
}

fn files() -> Memory {
    Memory::new().at(NOW).file("certs/shop.pem", good()).file("ca.pem", good())
}

/// A listener with these lines, and a pool.
fn listener(lines: &str) -> String {
    format!("[listener.secure]\nbind = \":8443\"\npool = \"app\"\n{lines}\n{POOL}")
}

#[test]
fn every_way_to_name_certificates() {
    for (written, expected) in [
        ("\"certs\"", vec![CertSource::Place(PathBuf::from("certs"))]),
        (
            "[\"certs/shop.pem\", \"certs\"]",
            vec![CertSource::Place("certs/shop.pem".into()), CertSource::Place("certs".into())],
        ),
        (
            "{ cert = \"certs/shop.pem\" }",
            vec![CertSource::Pair { cert: "certs/shop.pem".into(), key: "certs/shop.pem".into(), ocsp: None }],
        ),
        (
            "{ certs = [{ cert = \"certs/shop.pem\", key = \"certs/shop.pem\" }] }",
            vec![CertSource::Pair { cert: "certs/shop.pem".into(), key: "certs/shop.pem".into(), ocsp: None }],
        ),
    ] {
        let plan = plan_in(outcome_with(&listener(&format!("tls = {written}")), files()));
        let tls = plan.listeners[0].tls.as_ref().unwrap();
        assert!(expected.iter().all(|source| tls.certs.contains(source)), "{written}: {:?}", tls.certs);
        assert_eq!((tls.preset, tls.handshake_timeout), (Preset::Intermediate, Some(Duration::from_secs(10))));
    }
}

#[test]
fn clients_presets_and_hsts() {
    let text = "tls = { certs = [\"certs\"], preset = \"modern\", client_ca = \"ca.pem\", client_auth = \"optional\" }\n\
                hsts = { max_age = \"1d\", subdomains = true, preload = true }\ntimeouts = { handshake = \"3s\" }";
    let plan = plan_in(outcome_with(&listener(text), files()));
    let tls = plan.listeners[0].tls.as_ref().unwrap();
    let client = tls.client.as_ref().unwrap();
    assert_eq!((tls.preset, client.required, client.whole), (Preset::Modern, false, false));
    assert_eq!(tls.handshake_timeout, Some(Duration::from_secs(3)));
    assert_eq!(plan.listeners[0].hsts.as_deref(), Some("max-age=86400; includeSubDomains; preload"));
    let plan = plan_in(outcome_with(&listener("tls = \"certs\"\nhsts = \"180d\""), files()));
    assert_eq!(plan.listeners[0].hsts.as_deref(), Some("max-age=15552000"));
}

#[test]
fn a_redirect_is_a_listener_of_its_own() {
    let plan = plan_in(outcome_with(&listener("tls = \"certs\"\nhttp_redirect = \":8080\""), files()));
    assert_eq!((plan.listeners.len(), plan.listeners[1].name.as_str()), (2, "secure-redirect"));
    assert!(plan.listeners[1].tls.is_none());
    let route = plan.routes.last().unwrap();
    let Action::Redirect(redirect) = &route.action else { panic!("{:?}", route.action) };
    assert_eq!(redirect.status, 308);
    assert!(format!("{:?}", redirect.to).contains(":8443"), "{:?}", redirect.to);
}

#[test]
fn secrets_are_kept_and_not_shown() {
    let text = format!("[cluster]\nsecret = \"a secret of two nodes\"\n{}", listener(""));
    let outcome = outcome_with(&text, Memory::new());
    assert!(outcome.in_force.iter().all(|setting| !setting.value.contains("two nodes")), "{:?}", outcome.in_force);
    let plan = plan_in(outcome);
    assert_eq!(plan.secret.as_ref().unwrap().reveal(), "a secret of two nodes");
    assert!(!format!("{plan:?}").contains("two nodes"));
}

#[test]
fn everything_that_is_wrong_is_told() {
    let other = KeyPair::generate().unwrap().serialize_pem();
    let text = "[listener.a]\nbind = \":1\"\npool = \"app\"\ntls = { cert = \"certs/shop.pem\", key = \"other.key\" }\n\
                [listener.b]\nbind = \":2\"\npool = \"app\"\ntls = { client_auth = \"required\" }\n\
                [listener.c]\nbind = \":3\"\npool = \"app\"\nhsts = \"1d\"\nhttp_redirect = \":4\"\n\
                [listener.d]\nbind = \":5\"\npool = \"app\"\ntls = { certs = [\"certs\", \"none\"], client_ca = \"none.pem\" }\n\
                [listener.e]\nbind = \":6\"\npool = \"app\"\ntls = { key = \"other.key\" }\n\
                [pool.app]\nbackends = [\"a:1\", \"b:1\"]\ntls = { name = \"x\" }\n\
                [pool.secure]\nbackends = [\"https://a\", \"https://b/c\"]\ntls = { ca = \"ca.pem\", verify = false, name = \"a b\" }\n\
                [pool.proxied]\nbackends = [\"https://a\", \"h2://b\"]\nsend_proxy = \"v2\"\ntls = { key = \"x\" }\n";
    insta::assert_snapshot!(told(&outcome_with(text, files().file("other.key", other))));
}

/// Told with this code and nothing else; the other file is not, and allowing the code silences it.
#[track_caller]
fn warned(code: &str, mistake: &str, innocent: &str) {
    let text = listener("tls = { cert = \"x.pem\" }");
    let with = |file: &str, text: &str| outcome_with(text, Memory::new().at(NOW).file("x.pem", file));
    let wrong = with(mistake, &text);
    assert_eq!(codes(&wrong), [code], "{}", told(&wrong));
    assert_eq!(codes(&with(innocent, &text)), [""; 0]);
    assert_eq!(codes(&with(mistake, &format!("check.allow = [\"{code}\"]\n{text}"))), [""; 0]);
}

#[test]
fn certificates_that_are_over_or_will_be() {
    for years in [(2020, 2021), (2035, 2040)] {
        warned("certificate-expiry", &certificate(&["a.example"], years), &good());
    }
}

#[test]
fn certificates_for_nobody() {
    warned("certificate-names", &certificate(&[], (2020, 2040)), &good());
}

#[test]
fn files_of_no_use() {
    let text = listener("tls = \"certs\"");
    let outcome = outcome_with(&text, files().file("certs/x.key", KeyPair::generate().unwrap().serialize_pem()));
    assert_eq!(codes(&outcome), ["certificate-file"], "{}", told(&outcome));
}

#[test]
fn chains_that_end_too_early() {
    // Issued by somebody else, and it says where that one's certificate is.
    let issuer = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.distinguished_name.push(rcgen::DnType::CommonName, "Between");
    let issuer = rcgen::Issuer::new(params, issuer);
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(vec!["a.example".to_owned()]).unwrap();
    (params.not_before, params.not_after) = (rcgen::date_time_ymd(2020, 1, 1), rcgen::date_time_ymd(2040, 1, 1));
    // Authority Information Access: caIssuers, URI:http://a
    let place = [
        0x30, 0x16, 0x30, 0x14, 0x06, 0x08, 0x2b, 6, 1, 5, 5, 7, 0x30, 2, 0x86, 8, b'h', b't', b't', b'p', b':', b'/',
        b'/', b'a',
    ];
    let access = rcgen::CustomExtension::from_oid_content(&[1, 3, 6, 1, 5, 5, 7, 1, 1], place.to_vec());
    params.custom_extensions.push(access);
    let alone = params.signed_by(&key, &issuer).unwrap().pem() + &key.serialize_pem();
    warned("certificate-chain", &alone, &good());
}

#[test]
fn backends_that_anybody_can_be() {
    let text = |tls: &str| {
        format!(
            "[listener.web]\nbind = \":80\"\npool = \"app\"\n[pool.app]\nbackends = [\"https://a\", \"https://b\"]\n{tls}"
        )
    };
    assert_eq!(codes(&outcome_with(&text("tls = { verify = false }"), Memory::new())), ["unverified-backends"]);
    let outcome = outcome_with(&text("tls = { ca = \"ca.pem\", name = \"App.Internal\" }"), files());
    assert_eq!(codes(&outcome), [""; 0]);
    let plan = plan_in(outcome);
    let tls = plan.pools[0].tls.as_ref().unwrap();
    assert_eq!(
        (tls.name.as_deref(), tls.unverified, plan.pools[0].backends[0].tls),
        (Some("app.internal"), false, true)
    );
    assert_eq!(plan.pools[0].backends[0].address.to_string(), "a:443");
}
