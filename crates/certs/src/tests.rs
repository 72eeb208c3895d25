use std::collections::BTreeMap;

use policy::plan::CertSource;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_RSA_SHA256};
use rustls::SignatureScheme;

use super::*;

/// Half of 2030.
const NOW: i64 = 1_909_000_000;

/// Files by path.
#[derive(Default)]
struct Shelf(BTreeMap<PathBuf, Vec<u8>>);

impl Shelf {
    fn put(mut self, path: &str, text: impl Into<Vec<u8>>) -> Self {
        self.0.insert(PathBuf::from(path), text.into());
        self
    }
}

impl Files for Shelf {
    fn read(&self, path: &Path) -> Result<Vec<u8>, String> {
        self.0.get(path).cloned().ok_or_else(|| "no such file".to_owned())
    }

    fn list(&self, folder: &Path) -> Option<Vec<PathBuf>> {
        let inside = self.0.keys().filter_map(|path| path.strip_prefix(folder).ok()?.components().next());
        let mut inside: Vec<_> = inside.map(|first| folder.join(first)).filter(|path| path != folder).collect();
        inside.dedup();
        (!inside.is_empty()).then_some(inside)
    }
}

struct Ca(Issuer<'static, KeyPair>);

impl Ca {
    fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self(Issuer::new(params, KeyPair::generate().unwrap()))
    }

    /// Certificate and key.
    fn issue(&self, names: &[&str], rsa: bool, years: (i32, i32)) -> (String, String) {
        let key = KeyPair::generate_for(if rsa { &PKCS_RSA_SHA256 } else { &PKCS_ECDSA_P256_SHA256 }).unwrap();
        let mut params =
            CertificateParams::new(names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>()).unwrap();
        (params.not_before, params.not_after) =
            (rcgen::date_time_ymd(years.0, 1, 1), rcgen::date_time_ymd(years.1, 1, 1));
        (params.signed_by(&key, &self.0).unwrap().pem(), key.serialize_pem())
    }

    fn good(&self, names: &[&str]) -> (String, String) {
        self.issue(names, false, (2020, 2040))
    }
}

fn place(path: &str) -> CertSource {
    CertSource::Place(path.into())
}

fn pair(cert: &str, key: &str) -> CertSource {
    CertSource::Pair { cert: cert.into(), key: key.into(), ocsp: None }
}

fn errors(loaded: &Loaded) -> Vec<&str> {
    loaded.problems.iter().filter(|problem| problem.is_error).map(|problem| problem.message.as_str()).collect()
}

fn warnings(loaded: &Loaded) -> Vec<&str> {
    loaded.problems.iter().filter(|problem| !problem.is_error).map(|problem| problem.message.as_str()).collect()
}

#[test]
fn everything_that_is_wrong_is_told_at_once() {
    let ca = Ca::new();
    let (cert, key) = ca.good(&["a.example"]);
    let shelf = Shelf::default()
        .put("a.crt", cert.clone())
        .put("a.key", key.clone())
        .put("other.key", KeyPair::generate().unwrap().serialize_pem())
        .put("broken.crt", "-----BEGIN CERTIFICATE-----\n!!\n-----END CERTIFICATE-----\n")
        .put("empty.crt", "nothing")
        .put("locked.key", "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n");
    let sources = [
        pair("a.crt", "a.key"),
        pair("a.crt", "other.key"),
        pair("none.crt", "a.key"),
        pair("broken.crt", "a.key"),
        pair("empty.crt", "a.key"),
        pair("a.crt", "locked.key"),
        pair("a.crt", "a.crt"),
    ];
    let loaded = load(&sources, &shelf, NOW);
    assert_eq!(loaded.identities.len(), 1);
    let told = errors(&loaded);
    assert_eq!(told.len(), 6, "{told:#?}");
    assert_eq!(told[0], "the key in other.key belongs to none of the certificates in a.crt");
    assert_eq!(told[1], "cannot read none.crt: no such file");
    assert!(told[2].starts_with("cannot read broken.crt: it is no PEM"), "{}", told[2]);
    assert_eq!(told[3], "empty.crt has no certificate");
    assert_eq!(told[4], "the key in locked.key is protected by a password");
    assert_eq!(told[5], "a.crt has no private key");
}

#[test]
fn dates_and_names_are_warned_of() {
    let ca = Ca::new();
    let write = |(cert, key): (String, String)| cert + &key;
    let shelf = Shelf::default()
        .put("over.pem", write(ca.issue(&["over.example"], false, (2020, 2021))))
        .put("early.pem", write(ca.issue(&["early.example"], false, (2035, 2040))))
        .put("nameless.pem", write(ca.good(&[])))
        .put("one.pem", write(ca.good(&["twice.example"])))
        .put("two.pem", write(ca.good(&["twice.example"])));
    let sources: Vec<_> = ["over.pem", "early.pem", "nameless.pem", "one.pem", "two.pem"].map(place).to_vec();
    let loaded = load(&sources, &shelf, NOW);
    assert_eq!((loaded.identities.len(), errors(&loaded).len()), (5, 0));
    let told = warnings(&loaded);
    assert!(told[0].starts_with("the certificate of over.example in over.pem expired "), "{told:#?}");
    assert_eq!(told[1], "the certificate of early.example in early.pem is not valid yet");
    assert_eq!(told[2], "the certificate in nameless.pem has no host names (subjectAltName)");
    assert_eq!(told[3], "one.pem and two.pem are both for twice.example");
    assert_eq!(told.len(), 4);
}

#[test]
fn a_folder_tells_what_is_of_no_use() {
    let ca = Ca::new();
    let (cert, key) = ca.good(&["a.example"]);
    let (lonely, _) = ca.good(&["b.example"]);
    let shelf = Shelf::default()
        .put("certs/a.crt", cert)
        .put("certs/whatever.key", key)
        .put("certs/b.crt", lonely)
        .put("certs/c.key", KeyPair::generate().unwrap().serialize_pem())
        .put("certs/notes.txt", "no certificate")
        .put("certs/.hidden.pem", "no certificate");
    let loaded = load(&[place("certs")], &shelf, NOW);
    assert_eq!((loaded.identities.len(), loaded.identities[0].title()), (1, "a.example"));
    let told = warnings(&loaded);
    assert!(told.contains(&"no key in certs belongs to the certificate in certs/b.crt"), "{told:#?}");
    assert!(told.contains(&"the key in certs/c.key belongs to no certificate in certs"), "{told:#?}");
    assert_eq!(told.len(), 2);
    let nothing = load(&[place("certs")], &Shelf::default().put("certs/b.txt", ""), NOW);
    assert_eq!(errors(&nothing), ["certs has no certificate with its key"]);
}

#[test]
fn the_kind_goes_by_what_the_client_can_check() {
    let ca = Ca::new();
    let write = |(cert, key): (String, String)| cert + &key;
    let shelf = Shelf::default()
        .put("rsa.pem", write(ca.issue(&["a.example"], true, (2020, 2040))))
        .put("ec.pem", write(ca.good(&["a.example"])))
        .put("newer.pem", write(ca.issue(&["a.example"], false, (2020, 2050))));
    let loaded = load(&["rsa.pem", "ec.pem", "newer.pem"].map(place), &shelf, NOW);
    let store = Store::new(loaded.identities, NOW);
    let file = |schemes: &[SignatureScheme]| {
        let key = store.choose(Some("a.example"), schemes).unwrap();
        store.identities().iter().find(|it| std::sync::Arc::ptr_eq(&it.key, key)).unwrap().file.clone()
    };
    let (ec, rsa) = (SignatureScheme::ECDSA_NISTP256_SHA256, SignatureScheme::RSA_PSS_SHA256);
    assert_eq!(file(&[ec, rsa]), PathBuf::from("newer.pem"));
    assert_eq!(file(&[rsa]), PathBuf::from("rsa.pem"));
}

#[test]
fn authorities_say_which_file_is_wrong() {
    let shelf = Shelf::default().put("ca.pem", "nothing");
    let why = |path: &str| authorities(&[path.into()], &shelf).unwrap_err();
    assert_eq!(why("ca.pem"), "ca.pem has no certificate");
    assert_eq!(why("none.pem"), "cannot read none.pem: no such file");
}
