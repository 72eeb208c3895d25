//! Loading: sources to identities, with everything that is wrong with them.

use std::path::Path;
use std::sync::Arc;

use policy::plan::CertSource;
use rustls::crypto::aws_lc_rs::sign::any_supported_type;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::{CertifiedKey, SigningKey};
use wire::x509;

use crate::folder;
use crate::identity::hex;
use crate::judge;
use crate::pem::{self, Contents};
use crate::{Files, Identity, Kind, Problem};

/// Most certificates of a listener.
const MOST: usize = 100_000;

/// What came of loading.
#[derive(Debug, Default)]
pub struct Loaded {
    /// Certificates with their keys, in the order of sources.
    pub identities: Vec<Identity>,
    /// What is wrong, in the order of sources.
    pub problems: Vec<Problem>,
}

impl Loaded {
    /// The first problem that makes it useless.
    #[must_use]
    pub fn error(&self) -> Option<&Problem> {
        self.problems.iter().find(|problem| problem.is_error)
    }
}

/// Loads all sources and judges them at a time (seconds since 1970).
#[must_use]
pub fn load(sources: &[CertSource], files: &dyn Files, now_s: i64) -> Loaded {
    let mut loading = Loading { files, source: 0, loaded: Loaded::default() };
    for (index, source) in sources.iter().enumerate() {
        loading.source = index;
        match source {
            CertSource::Place(path) => match files.list(path) {
                Some(entries) => folder::load(&mut loading, path, entries),
                None => loading.pair(path, path, None),
            },
            CertSource::Pair { cert, key, ocsp } => loading.pair(cert, key, ocsp.as_deref()),
        }
        if loading.loaded.identities.len() > MOST {
            loading.error(format!("more than {MOST} certificates"), "");
            break;
        }
    }
    judge::judge(&mut loading.loaded, now_s);
    loading.loaded
}

/// Reads the certificates of authorities: whoever they have issued a certificate for is believed.
///
/// # Errors
/// A file cannot be read, or has none: why, with its name.
pub fn authorities(paths: &[std::path::PathBuf], files: &dyn Files) -> Result<Vec<CertificateDer<'static>>, String> {
    let mut all = Vec::new();
    for path in paths {
        let show = path.display();
        let contents = files.read(path).and_then(|bytes| pem::read(&bytes));
        let contents = contents.map_err(|reason| format!("cannot read {show}: {reason}"))?;
        if contents.certs.is_empty() {
            return Err(format!("{show} has no certificate"));
        }
        if let Some(bad) = contents.certs.iter().position(|cert| x509::parse(cert).is_none()) {
            return Err(format!("certificate {} of {show} cannot be read", bad + 1));
        }
        all.extend(contents.certs);
    }
    Ok(all)
}

/// Reads the certificate that we show to others.
///
/// # Errors
/// What is wrong with it, with file names.
pub fn identity(cert: &Path, key: &Path, files: &dyn Files) -> Result<Arc<CertifiedKey>, String> {
    let source = CertSource::Pair { cert: cert.to_owned(), key: key.to_owned(), ocsp: None };
    // Its dates are for those to judge whom it is shown to.
    let loaded = load(&[source], files, 0);
    if let Some(problem) = loaded.error() {
        return Err(problem.message.clone());
    }
    let first = loaded.identities.into_iter().next();
    first.map(|identity| identity.key).ok_or_else(|| format!("{} has no certificate", cert.display()))
}

/// Loading under way.
pub(crate) struct Loading<'a> {
    pub(crate) files: &'a dyn Files,
    pub(crate) source: usize,
    pub(crate) loaded: Loaded,
}

impl Loading<'_> {
    pub(crate) fn error(&mut self, message: String, remedy: &str) {
        self.note(true, Kind::File, message, remedy);
    }

    pub(crate) fn warn(&mut self, kind: Kind, message: String, remedy: &str) {
        self.note(false, kind, message, remedy);
    }

    fn note(&mut self, is_error: bool, kind: Kind, message: String, remedy: &str) {
        let problem = Problem { source: self.source, is_error, kind, message, remedy: remedy.to_owned() };
        self.loaded.problems.push(problem);
    }

    fn contents(&mut self, path: &Path) -> Option<Contents> {
        let contents = self.files.read(path).and_then(|bytes| pem::read(&bytes));
        match contents {
            Ok(contents) => Some(contents),
            Err(reason) => {
                self.error(format!("cannot read {}: {reason}", path.display()), "");
                None
            }
        }
    }

    /// A chain and its key from files that the writer named.
    fn pair(&mut self, cert: &Path, key: &Path, ocsp: Option<&Path>) {
        let Some(contents) = self.contents(cert) else { return };
        if contents.certs.is_empty() {
            let remedy = "it must begin with `-----BEGIN CERTIFICATE-----`";
            return self.error(format!("{} has no certificate", cert.display()), remedy);
        }
        let keys = match key == cert {
            true => contents.keys,
            false => match self.contents(key) {
                Some(keys) if keys.is_locked => return self.locked(key),
                Some(keys) => keys.keys,
                None => return,
            },
        };
        if keys.is_empty() {
            if contents.is_locked {
                return self.locked(key);
            }
            let remedy = "name the file of the key: `{ cert = \"…\", key = \"…\" }`";
            return self.error(format!("{} has no private key", key.display()), remedy);
        }
        let Some(keys) = self.signing(keys, key) else { return };
        let Some(at) = contents.certs.iter().position(|cert| keys.iter().any(|key| is_pair(cert, key))) else {
            let message =
                format!("the key in {} belongs to none of the certificates in {}", key.display(), cert.display());
            return self.error(message, "the two files are of different certificates");
        };
        let Some(key) = keys.into_iter().find(|key| is_pair(&contents.certs[at], key)) else { return };
        let chain = chain(&contents.certs[at], &contents.certs);
        let staple = ocsp.map(|path| (path, self.files.read(path)));
        let staple = match staple {
            Some((path, Err(reason))) => {
                return self.error(format!("cannot read {}: {reason}", path.display()), "");
            }
            Some((_, Ok(bytes))) => Some(bytes),
            None => None,
        };
        self.take(chain, key, (cert, staple));
    }

    fn locked(&mut self, key: &Path) {
        let message = format!("the key in {} is protected by a password", key.display());
        self.error(
            message,
            "take it off: `openssl pkey -in locked.key -out plain.key`, and keep that file to yourself",
        );
    }

    /// Keys that can sign.
    fn signing(&mut self, keys: Vec<PrivateKeyDer<'static>>, path: &Path) -> Option<Vec<Arc<dyn SigningKey>>> {
        let found: Result<Vec<_>, _> = keys.iter().map(any_supported_type).collect();
        found.map_err(|error| self.error(format!("the key in {} cannot be used: {error}", path.display()), "")).ok()
    }

    /// A chain with its key, and perhaps a stapled answer.
    pub(crate) fn take(
        &mut self,
        chain: Vec<CertificateDer<'static>>,
        key: Arc<dyn SigningKey>,
        (file, staple): (&Path, Option<Vec<u8>>),
    ) {
        let identity = Identity::new(chain, key, (self.source, file.to_owned()));
        let Some(mut identity) = identity else {
            return self.error(format!("the certificate in {} cannot be read", file.display()), "");
        };
        if let Some(staple) = staple {
            match x509::stapled(&staple) {
                None => self.error(format!("the OCSP answer for {} is none", file.display()), "it must be in DER"),
                Some(answer) if hex(answer.serial) != identity.serial => {
                    let message = format!("the OCSP answer for {} is about another certificate", file.display());
                    self.error(message, "fetch it anew");
                }
                Some(_) => {
                    let mut certified = (*identity.key).clone();
                    certified.ocsp = Some(staple);
                    identity.key = Arc::new(certified);
                }
            }
        }
        self.loaded.identities.push(identity);
    }
}

/// Whether a key belongs to a certificate.
pub(crate) fn is_pair(cert: &CertificateDer<'static>, key: &Arc<dyn SigningKey>) -> bool {
    CertifiedKey::new(vec![cert.clone()], Arc::clone(key)).keys_match().is_ok()
}

/// The chain of a certificate as far as it is here, each followed by its issuer. Roots are left out: whoever believes them
/// has them.
pub(crate) fn chain(leaf: &CertificateDer<'static>, known: &[CertificateDer<'static>]) -> Vec<CertificateDer<'static>> {
    const LONGEST: usize = 10;
    let mut chain = vec![leaf.clone()];
    while let Some(last) = chain.last().and_then(|last| x509::parse(last))
        && !last.is_self_issued()
        && chain.len() < LONGEST
    {
        let is_issuer = |cert: &&CertificateDer<'static>| {
            x509::parse(cert).is_some_and(|cert| cert.subject == last.issuer && !cert.is_self_issued())
        };
        match known.iter().find(is_issuer) {
            Some(issuer) if !chain.contains(issuer) => chain.push(issuer.clone()),
            _ => break,
        }
    }
    chain
}
