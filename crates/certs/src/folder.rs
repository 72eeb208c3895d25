//! Folders of certificates: whatever the files are called, a key and a certificate that belong together are a pair.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::crypto::aws_lc_rs::sign::any_supported_type;
use rustls::pki_types::CertificateDer;
use rustls::sign::SigningKey;
use wire::x509;

use crate::Kind;
use crate::identity::hex;
use crate::load::{Loading, chain, is_pair};
use crate::pem;

/// Files of a folder that are read; more are no folder of certificates.
const FILES: usize = 20_000;
/// Endings of files that may be certificates or keys.
const ENDINGS: [&str; 7] = ["pem", "crt", "cer", "cert", "key", "chain", "ca-bundle"];

/// A certificate that belongs to nobody else's chain.
struct Leaf {
    der: CertificateDer<'static>,
    file: PathBuf,
    /// What else is in its file.
    beside: Vec<CertificateDer<'static>>,
}

#[derive(Default)]
struct Found {
    leaves: Vec<Leaf>,
    keys: Vec<(Arc<dyn SigningKey>, PathBuf)>,
    staples: Vec<(Vec<u8>, PathBuf)>,
}

/// Loads a folder and its folders, as certbot has them.
pub(crate) fn load(loading: &mut Loading<'_>, folder: &Path, entries: Vec<PathBuf>) {
    let mut found = Found::default();
    let mut paths = Vec::new();
    for entry in entries.into_iter().filter(|entry| !is_hidden(entry)) {
        match loading.files.list(&entry) {
            Some(inner) => paths.extend(inner.into_iter().filter(|path| loading.files.list(path).is_none())),
            None => paths.push(entry),
        }
    }
    if paths.len() > FILES {
        return loading.error(format!("{} has more than {FILES} files", folder.display()), "");
    }
    for path in paths.into_iter().filter(|path| is_visible(path)) {
        take_file(loading, &mut found, path);
    }
    pair(loading, found, folder);
}

/// Hidden files are those of editors; in hidden folders Kubernetes keeps what the links beside them lead to.
fn is_hidden(path: &Path) -> bool {
    path.file_name().is_none_or(|name| name.to_string_lossy().starts_with('.'))
}

fn is_visible(path: &Path) -> bool {
    let ending = path.extension().map(|ending| ending.to_string_lossy().to_ascii_lowercase());
    !is_hidden(path) && ending.is_some_and(|ending| ENDINGS.contains(&ending.as_str()) || ending == "ocsp")
}

fn take_file(loading: &mut Loading<'_>, found: &mut Found, path: PathBuf) {
    let bytes = match loading.files.read(&path) {
        Ok(bytes) => bytes,
        Err(reason) => return loading.warn(Kind::File, format!("cannot read {}: {reason}", path.display()), ""),
    };
    if path.extension().is_some_and(|ending| ending == "ocsp") {
        return found.staples.push((bytes, path));
    }
    let contents = match pem::read(&bytes) {
        Ok(contents) => contents,
        Err(reason) => return loading.warn(Kind::File, format!("{}: {reason}", path.display()), ""),
    };
    if contents.is_locked {
        let message = format!("the key in {} is protected by a password", path.display());
        loading.warn(Kind::File, message, "take it off: `openssl pkey -in locked.key -out plain.key`");
    }
    for key in &contents.keys {
        match any_supported_type(key) {
            Ok(key) => found.keys.push((key, path.clone())),
            Err(error) => {
                loading.warn(Kind::File, format!("the key in {} cannot be used: {error}", path.display()), "");
            }
        }
    }
    for der in &contents.certs {
        if x509::parse(der).is_none() {
            loading.warn(Kind::File, format!("a certificate in {} cannot be read", path.display()), "");
            continue;
        }
        found.leaves.push(Leaf { der: der.clone(), file: path.clone(), beside: contents.certs.clone() });
    }
}

/// Of several files with one certificate that which has most of its chain is taken.
fn pair(loading: &mut Loading<'_>, mut found: Found, folder: &Path) {
    found.leaves.sort_by_key(|leaf| std::cmp::Reverse(leaf.beside.len()));
    let all: Vec<_> = found.leaves.iter().map(|leaf| leaf.der.clone()).collect();
    let (mut seen, mut used) = (HashSet::new(), HashSet::new());
    let mut pairs = Vec::new();
    for leaf in &found.leaves {
        if !seen.insert(leaf.der.clone()) {
            continue;
        }
        match found.keys.iter().find(|(key, _)| is_pair(&leaf.der, key)) {
            Some((key, file)) => {
                used.insert(file.clone());
                pairs.push((leaf, Arc::clone(key)));
            }
            None if x509::parse(&leaf.der).is_some_and(|cert| cert.is_ca) => {}
            None => {
                let message =
                    format!("no key in {} belongs to the certificate in {}", folder.display(), leaf.file.display());
                loading.warn(Kind::File, message, "put its key beside it");
            }
        }
    }
    if pairs.is_empty() {
        let message = format!("{} has no certificate with its key", folder.display());
        let remedy = "files end in .pem, .crt, .cer or .key; the key of a certificate is found by itself";
        return loading.error(message, remedy);
    }
    for (_, file) in found.keys.iter().filter(|(_, file)| !used.contains(file)) {
        let message = format!("the key in {} belongs to no certificate in {}", file.display(), folder.display());
        loading.warn(Kind::File, message, "");
    }
    // In the order of names: which one is the default must not depend on chance.
    pairs.sort_by(|(one, _), (other, _)| one.file.cmp(&other.file));
    for (leaf, key) in pairs {
        let known = [leaf.beside.as_slice(), &all].concat();
        let staple = staple_for(&found, &leaf.der);
        loading.take(chain(&leaf.der, &known), key, (&leaf.file, staple));
    }
}

/// The stapled answer about a certificate, by its serial number.
fn staple_for(found: &Found, leaf: &CertificateDer<'static>) -> Option<Vec<u8>> {
    let serial = x509::parse(leaf)?.serial;
    let is_about = |bytes: &[u8]| x509::stapled(bytes).is_some_and(|answer| hex(answer.serial) == hex(serial));
    found.staples.iter().find(|(bytes, _)| is_about(bytes)).map(|(bytes, _)| bytes.clone())
}
