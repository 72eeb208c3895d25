//! What a pool believes: how its backends of `https://` are spoken to.

use std::sync::Arc;

use policy::plan::BackendTls;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{Resumption, UnbufferedClientConnection, WebPkiServerVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error, OtherError, RootCertStore, SignatureScheme,
};

use super::fault::SelfSigned;
use super::handshake::{Asking, Stage};
use super::provider;

/// Sessions that are kept of one backend.
const SESSIONS: usize = 64;
/// What is spoken over TLS, as ALPN names it.
const HTTP1: &[u8] = b"http/1.1";
const HTTP2: &[u8] = b"h2";

/// The settings of a pool, for each of its backends.
#[derive(Debug)]
pub struct Back {
    backends: Vec<Option<Peer>>,
}

/// How one backend is asked.
#[derive(Clone, Debug)]
struct Peer {
    config: Arc<ClientConfig>,
    name: ServerName<'static>,
}

/// Whose certificates are believed.
#[derive(Clone, Debug)]
pub enum Believed {
    /// Those that these have issued.
    IssuedBy(Vec<CertificateDer<'static>>),
    /// All of them.
    Everybody,
}

/// Why a pool's settings cannot be made.
#[derive(Debug)]
pub struct BackError(String);

impl std::fmt::Display for BackError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for BackError {}

impl Back {
    /// Makes the settings of a pool; `hosts` are those of its backends, `None` where one is not spoken to over TLS.
    ///
    /// # Errors
    /// Nobody is believed, or a name is none.
    pub fn new(
        tls: &BackendTls,
        hosts: &[Option<String>],
        believed: Believed,
        identity: Option<Arc<CertifiedKey>>,
    ) -> Result<Self, BackError> {
        let config = config(tls, believed, identity).map_err(BackError)?;
        let mut backends = Vec::with_capacity(hosts.len());
        for host in hosts {
            let Some(host) = host else {
                backends.push(None);
                continue;
            };
            let name = tls.name.as_ref().unwrap_or(host).clone();
            let name = ServerName::try_from(name).map_err(|_| BackError(format!("`{host}` is no name to ask for")))?;
            // Each backend has sessions of its own: a ticket of one is nothing to another.
            let mut config = config.clone();
            config.resumption = Resumption::in_memory_sessions(SESSIONS);
            backends.push(Some(Peer { config: Arc::new(config), name }));
        }
        Ok(Self { backends })
    }

    /// The same, with backends that are spoken to over HTTP/2.
    #[must_use]
    pub fn speaking_http2(mut self, over_http2: impl Fn(usize) -> bool) -> Self {
        for (backend, peer) in self.backends.iter_mut().enumerate() {
            if let Some(config) =
                peer.as_mut().and_then(|peer| Arc::get_mut(&mut peer.config)).filter(|_| over_http2(backend))
            {
                config.alpn_protocols = vec![HTTP2.to_vec()];
            }
        }
        self
    }

    /// Whether a backend has agreed to speak what it must. Those of HTTP/1.1 may know nothing of ALPN.
    #[must_use]
    pub fn is_agreed(&self, backend: usize, protocol: Option<&[u8]>) -> bool {
        let peer = self.backends.get(backend).and_then(Option::as_ref);
        let wants_http2 = peer.is_some_and(|peer| peer.config.alpn_protocols.iter().any(|offered| offered == HTTP2));
        !wants_http2 || protocol == Some(HTTP2)
    }

    /// A handshake with a backend.
    pub(crate) fn begin(&self, backend: usize) -> Option<Stage<Asking>> {
        let peer = self.backends.get(backend)?.as_ref()?;
        let role = UnbufferedClientConnection::new(Arc::clone(&peer.config), peer.name.clone()).ok()?;
        Some(Stage::new(Asking(role), Vec::new()))
    }

    /// For other clients than the engine: probes ask as requests do.
    #[must_use]
    pub fn peer(&self, backend: usize) -> Option<(Arc<ClientConfig>, ServerName<'static>)> {
        let peer = self.backends.get(backend)?.as_ref()?;
        Some((Arc::clone(&peer.config), peer.name.clone()))
    }
}

fn config(tls: &BackendTls, believed: Believed, identity: Option<Arc<CertifiedKey>>) -> Result<ClientConfig, String> {
    let provider = provider::of(tls.preset);
    let verifier = Verifier::new(believed, Arc::clone(&provider))?;
    let builder = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(provider::versions(tls.preset))
        .map_err(|error| error.to_string())?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier));
    let mut config = match identity {
        None => builder.with_no_client_auth(),
        Some(identity) => builder.with_client_cert_resolver(Arc::new(SingleCertAndKey::from(identity))),
    };
    config.alpn_protocols = vec![HTTP1.to_vec()];
    config.enable_secret_extraction = true;
    Ok(config)
}

/// Verifies as browsers do, but for who is believed; tells a self-signed certificate from one of an unknown issuer.
#[derive(Debug)]
struct Verifier {
    inner: Option<Arc<WebPkiServerVerifier>>,
    provider: Arc<CryptoProvider>,
}

impl Verifier {
    fn new(believed: Believed, provider: Arc<CryptoProvider>) -> Result<Self, String> {
        let inner = match believed {
            Believed::Everybody => None,
            Believed::IssuedBy(certs) => {
                let mut roots = RootCertStore::empty();
                // Some that systems trust are too odd to be read; those that are named must be right.
                let (good, _) = roots.add_parsable_certificates(certs);
                if good == 0 {
                    return Err("there is no certificate of an authority to verify backends with".to_owned());
                }
                let builder = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider));
                Some(builder.build().map_err(|error| error.to_string())?)
            }
        };
        Ok(Self { inner, provider })
    }
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let Some(inner) = &self.inner else { return Ok(ServerCertVerified::assertion()) };
        let verified = inner.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now);
        verified.map_err(|error| match error {
            Error::InvalidCertificate(CertificateError::UnknownIssuer)
                if wire::x509::parse(end_entity).is_some_and(|cert| cert.is_self_issued()) =>
            {
                Error::InvalidCertificate(CertificateError::Other(OtherError(Arc::new(SelfSigned))))
            }
            other => other,
        })
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
