//! What a listener shows: certificates by name, versions, who must show theirs.

use std::sync::Arc;

use aws_lc_rs::digest;
use certs::Store;
use policy::plan::ListenerTls;
use rustls::pki_types::CertificateDer;
use rustls::server::{NoServerSessionStorage, UnbufferedServerConnection, WebPkiClientVerifier};
use rustls::{RootCertStore, ServerConfig};

use super::handshake::{Server, Stage};
use super::provider;
use super::tickets::TicketKeys;

/// What is spoken over TLS, first what is preferred.
const SPOKEN: [&[u8]; 3] = [b"h2", b"http/1.1", b"http/1.0"];

/// The settings of a listener.
#[derive(Debug)]
pub struct Front {
    config: Arc<ServerConfig>,
    store: Arc<Store>,
}

/// Why a listener's settings cannot be made.
#[derive(Debug)]
pub struct FrontError(String);

impl std::fmt::Display for FrontError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for FrontError {}

impl Front {
    /// Makes the settings of a listener from what its files hold. Tickets of the same secret are taken up, as long as it
    /// asks clients for the same.
    ///
    /// # Errors
    /// No certificate, or authorities that cannot be used.
    pub fn new(
        tls: &ListenerTls,
        store: Store,
        authorities: &[CertificateDer<'static>],
        secret: &[u8],
    ) -> Result<Self, FrontError> {
        if store.identities().is_empty() {
            return Err(FrontError("there is no certificate".to_owned()));
        }
        let failed = |error: &dyn std::fmt::Display| FrontError(error.to_string());
        let provider = provider::of(tls.preset);
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_protocol_versions(provider::versions(tls.preset))
            .map_err(|error| failed(&error))?;
        let builder = match &tls.client {
            None => builder.with_no_client_auth(),
            Some(client) => {
                let mut roots = RootCertStore::empty();
                for cert in authorities {
                    roots.add(cert.clone()).map_err(|error| failed(&error))?;
                }
                let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
                let verifier = if client.required { verifier } else { verifier.allow_unauthenticated() };
                builder.with_client_cert_verifier(verifier.build().map_err(|error| failed(&error))?)
            }
        };
        let store = Arc::new(store);
        let mut config = builder.with_cert_resolver(Arc::clone(&store) as _);
        config.alpn_protocols = SPOKEN.iter().map(|name| name.to_vec()).collect();
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.ticketer = Arc::new(TicketKeys::new(secret, &kind_of_session(tls, authorities)));
        // Records are sealed and opened here (see `record`).
        config.enable_secret_extraction = true;
        Ok(Self { config: Arc::new(config), store })
    }

    /// Its certificates.
    #[must_use]
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// A handshake with a client, of which this has come; `None` if none can be begun.
    pub(crate) fn begin(&self, incoming: Vec<u8>) -> Option<Stage<Server>> {
        let role = Server(UnbufferedServerConnection::new(Arc::clone(&self.config)).ok()?);
        Some(Stage::new(role, incoming))
    }
}

/// Sessions are taken up only where clients are asked for the same: whoever was let in without a certificate, or with one
/// that is believed no more, must not come back in by a ticket.
fn kind_of_session(tls: &ListenerTls, authorities: &[CertificateDer<'static>]) -> Vec<u8> {
    let Some(client) = &tls.client else { return b"anybody".to_vec() };
    let mut context = digest::Context::new(&digest::SHA256);
    context.update(if client.required { b"required" } else { b"optional" });
    for cert in authorities {
        context.update(digest::digest(&digest::SHA256, cert).as_ref());
    }
    context.finish().as_ref().to_vec()
}
