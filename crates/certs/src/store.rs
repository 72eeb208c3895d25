//! Which certificate a client gets: by the name it asks for (RFC 6066, section 3) and the signatures it can check.

use std::collections::HashMap;
use std::sync::Arc;

use rustls::SignatureScheme;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

use crate::Identity;

/// Certificates by name.
#[derive(Debug, Default)]
pub struct Store {
    /// Exact names.
    exact: HashMap<String, Vec<usize>>,
    /// What follows the `*.` of wildcards.
    wild: HashMap<String, Vec<usize>>,
    /// For clients that ask for no name, or for one that nobody has.
    default: Vec<usize>,
    identities: Vec<Identity>,
}

impl Store {
    /// The first certificate is the default, with others of the same names. Among those for one name, elliptic curves come
    /// first, then what is valid for longer.
    #[must_use]
    pub fn new(identities: Vec<Identity>, now_s: i64) -> Self {
        let mut store = Self { identities, ..Self::default() };
        for (index, identity) in store.identities.iter().enumerate() {
            for name in &identity.names {
                match name.strip_prefix("*.") {
                    Some(parent) => store.wild.entry(parent.to_owned()).or_default().push(index),
                    None => store.exact.entry(name.clone()).or_default().push(index),
                }
            }
        }
        let all = &store.identities;
        let rank = |index: &usize| {
            let identity = &all[*index];
            (identity.is_rsa(), !identity.is_valid(now_s), -identity.not_after)
        };
        for list in store.exact.values_mut().chain(store.wild.values_mut()) {
            list.sort_by_key(rank);
        }
        let alike = |other: &Identity| all.first().is_some_and(|first| first.names == other.names);
        store.default = (0..all.len()).filter(|&index| index == 0 || alike(&all[index])).collect();
        store.default.sort_by_key(rank);
        store
    }

    /// All there are.
    #[must_use]
    pub fn identities(&self) -> &[Identity] {
        &self.identities
    }

    /// The certificate for a client.
    #[must_use]
    pub fn choose(&self, name: Option<&str>, schemes: &[SignatureScheme]) -> Option<&Arc<CertifiedKey>> {
        let fits = |index: &&usize| self.identities[**index].key.key.choose_scheme(schemes).is_some();
        let named = name.and_then(|name| self.named(name));
        // With a certificate that it cannot check, a client ends the handshake in words that name the reason.
        let chosen = named.and_then(|list| list.iter().find(fits).or(list.first()));
        let index = chosen.or_else(|| self.default.iter().find(fits).or(self.default.first()))?;
        Some(&self.identities[*index].key)
    }

    fn named(&self, name: &str) -> Option<&Vec<usize>> {
        let name = name.trim_end_matches('.');
        let lower;
        let name = if name.bytes().any(|byte| byte.is_ascii_uppercase()) {
            lower = name.to_ascii_lowercase();
            &lower
        } else {
            name
        };
        // A star stands for one label (RFC 6125, section 6.4.3).
        self.exact.get(name).or_else(|| self.wild.get(name.split_once('.')?.1))
    }
}

impl ResolvesServerCert for Store {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.choose(hello.server_name(), hello.signature_schemes()).cloned()
    }
}
