//! TLS of tests: an authority that issues what a test needs, clients that say what they offer, servers.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair};
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::server::WebPkiClientVerifier;
use rustls::{
    ClientConfig, ClientConnection, HandshakeKind, ProtocolVersion, RootCertStore, ServerConfig, ServerConnection,
    StreamOwned, SupportedProtocolVersion, version,
};

use super::patience::PATIENCE;
use super::wire::{TlsEnd, Wire};

/// Who issues certificates.
pub(crate) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pub(crate) pem: String,
}

/// What a certificate is to be like.
pub(crate) struct Wanted<'a> {
    pub(crate) names: &'a [&'a str],
    pub(crate) subject: &'a str,
    pub(crate) rsa: bool,
    /// Years from and until which it is valid.
    pub(crate) years: (i32, i32),
}

impl Default for Wanted<'_> {
    fn default() -> Self {
        Self { names: &["localhost"], subject: "a test", rsa: false, years: (2020, 4000) }
    }
}

/// A certificate with its key.
#[derive(Clone)]
pub(crate) struct Issued {
    pub(crate) cert: String,
    pub(crate) key: String,
}

fn key(rsa: bool) -> KeyPair {
    let algorithm = if rsa { &rcgen::PKCS_RSA_SHA256 } else { &rcgen::PKCS_ECDSA_P256_SHA256 };
    KeyPair::generate_for(algorithm).unwrap()
}

fn params(wanted: &Wanted<'_>) -> CertificateParams {
    let names: Vec<String> = wanted.names.iter().map(|name| (*name).to_owned()).collect();
    let mut params = CertificateParams::new(names).unwrap();
    params.distinguished_name.push(DnType::CommonName, wanted.subject);
    params.not_before = rcgen::date_time_ymd(wanted.years.0, 1, 1);
    params.not_after = rcgen::date_time_ymd(wanted.years.1, 1, 1);
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
    params
}

impl Authority {
    pub(crate) fn new(name: &str) -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = key(false);
        let pem = params.self_signed(&key).unwrap().pem();
        Self { issuer: Issuer::new(params, key), pem }
    }

    pub(crate) fn issue(&self, wanted: &Wanted<'_>) -> Issued {
        let key = key(wanted.rsa);
        let cert = params(wanted).signed_by(&key, &self.issuer).unwrap();
        Issued { cert: cert.pem(), key: key.serialize_pem() }
    }

    /// For these names.
    pub(crate) fn certify(&self, names: &[&str]) -> Issued {
        self.issue(&Wanted { names, ..Wanted::default() })
    }

    /// An authority below this one.
    pub(crate) fn intermediate(&self, name: &str) -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = key(false);
        let pem = params.signed_by(&key, &self.issuer).unwrap().pem();
        Self { issuer: Issuer::new(params, key), pem }
    }
}

impl Issued {
    /// One that nobody else has issued.
    pub(crate) fn by_itself(names: &[&str]) -> Self {
        let key = key(false);
        let cert = params(&Wanted { names, ..Wanted::default() }).self_signed(&key).unwrap();
        Self { cert: cert.pem(), key: key.serialize_pem() }
    }

    /// Both in one file.
    pub(crate) fn write(&self, path: &Path) -> PathBuf {
        std::fs::write(path, format!("{}{}", self.cert, self.key)).unwrap();
        path.to_owned()
    }

    fn parts(&self) -> (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>) {
        let certs = CertificateDer::pem_slice_iter(self.cert.as_bytes()).map(Result::unwrap).collect();
        (certs, PrivateKeyDer::from_pem_slice(self.key.as_bytes()).unwrap())
    }

    /// A server that shows it.
    pub(crate) fn server(&self) -> ServerConfig {
        let (certs, key) = self.parts();
        let builder = ServerConfig::builder_with_provider(provider());
        let builder = builder.with_safe_default_protocol_versions().unwrap().with_no_client_auth();
        builder.with_single_cert(certs, key).unwrap()
    }
}

impl Issued {
    /// As [`Issued::server`], for clients that show a certificate of this authority, over TLS 1.2.
    pub(crate) fn server_asking(&self, authority: &Authority) -> ServerConfig {
        let (certs, key) = self.parts();
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(authority.pem.as_bytes()).unwrap()).unwrap();
        let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider()).build().unwrap();
        let builder =
            ServerConfig::builder_with_provider(provider()).with_protocol_versions(&[&version::TLS12]).unwrap();
        builder.with_client_cert_verifier(verifier).with_single_cert(certs, key).unwrap()
    }
}

fn provider() -> Arc<CryptoProvider> {
    let kx_groups = vec![aws_lc_rs::kx_group::X25519MLKEM768, aws_lc_rs::kx_group::X25519];
    Arc::new(CryptoProvider { kx_groups, ..aws_lc_rs::default_provider() })
}

/// What a client offers.
#[derive(Clone)]
pub(crate) struct Hello {
    config: ClientConfig,
    name: String,
}

/// A client that believes this authority, and asks for `localhost`.
pub(crate) fn trusting(authority: &Authority) -> Hello {
    Hello { config: config(authority, provider(), rustls::ALL_VERSIONS), name: "localhost".to_owned() }
}

fn config(
    authority: &Authority,
    provider: Arc<CryptoProvider>,
    versions: &[&'static SupportedProtocolVersion],
) -> ClientConfig {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(authority.pem.as_bytes()).unwrap()).unwrap();
    let builder = ClientConfig::builder_with_provider(provider).with_protocol_versions(versions).unwrap();
    builder.with_root_certificates(roots).with_no_client_auth()
}

/// What came of a handshake.
#[derive(Debug)]
pub(crate) struct Shaken {
    pub(crate) version: ProtocolVersion,
    pub(crate) kind: HandshakeKind,
    pub(crate) group: String,
    pub(crate) protocol: Option<Vec<u8>>,
    pub(crate) certificate: CertificateDer<'static>,
}

impl Hello {
    /// Asks for another name.
    pub(crate) fn to(mut self, name: &str) -> Self {
        name.clone_into(&mut self.name);
        self
    }

    /// Without a name.
    pub(crate) fn nameless(mut self) -> Self {
        self.config.enable_sni = false;
        self
    }

    /// Speaks TLS 1.2 alone.
    pub(crate) fn old(mut self, authority: &Authority) -> Self {
        self.config = config(authority, provider(), &[&version::TLS12]);
        self
    }

    /// Cannot check anything but RSA.
    pub(crate) fn rsa_alone(mut self, authority: &Authority) -> Self {
        let mut provider = aws_lc_rs::default_provider();
        let is_rsa = |scheme: &rustls::SignatureScheme| format!("{scheme:?}").starts_with("RSA");
        let kept: Vec<_> = provider
            .signature_verification_algorithms
            .mapping
            .iter()
            .filter(|(scheme, _)| is_rsa(scheme))
            .copied()
            .collect();
        provider.signature_verification_algorithms.mapping = Box::leak(kept.into_boxed_slice());
        self.config = config(authority, Arc::new(provider), rustls::ALL_VERSIONS);
        // The authority of the tests signs with an elliptic curve; only what is shown matters.
        let anything = Anything(Arc::clone(self.config.crypto_provider()));
        self.config.dangerous().set_certificate_verifier(Arc::new(anything));
        self
    }

    /// Offers these protocols.
    pub(crate) fn speaking(mut self, protocols: &[&str]) -> Self {
        self.config.alpn_protocols = protocols.iter().map(|name| name.as_bytes().to_vec()).collect();
        self
    }

    /// Shows a certificate.
    pub(crate) fn showing(mut self, issued: &Issued) -> Self {
        let (certs, key) = issued.parts();
        let key = aws_lc_rs::sign::any_supported_type(&key).unwrap();
        let key = Arc::new(rustls::sign::CertifiedKey::new(certs, key));
        self.config.client_auth_cert_resolver = Arc::new(rustls::sign::SingleCertAndKey::from(key));
        self
    }

    /// Connects; why not, in words.
    pub(crate) fn try_connect(&self, address: &str) -> Result<(Wire, Shaken), String> {
        let mut socket = TcpStream::connect(address).map_err(|error| error.to_string())?;
        self.shake(&mut socket)
    }

    /// Over a socket that is open already.
    pub(crate) fn shake(&self, socket: &mut TcpStream) -> Result<(Wire, Shaken), String> {
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        socket.set_nodelay(true).unwrap();
        let name = ServerName::try_from(self.name.clone()).unwrap();
        let mut client = ClientConnection::new(Arc::new(self.config.clone()), name).unwrap();
        while client.is_handshaking() {
            client.complete_io(socket).map_err(|error| error.to_string())?;
        }
        let shaken = Shaken {
            version: client.protocol_version().unwrap(),
            kind: client.handshake_kind().unwrap(),
            group: client
                .negotiated_key_exchange_group()
                .map(|group| format!("{:?}", group.name()))
                .unwrap_or_default(),
            protocol: client.alpn_protocol().map(<[u8]>::to_vec),
            certificate: client.peer_certificates().unwrap()[0].clone().into_owned(),
        };
        let below = socket.try_clone().unwrap();
        Ok((Wire::tls(Box::new(Client(StreamOwned::new(client, below))), socket.try_clone().unwrap()), shaken))
    }

    #[track_caller]
    pub(crate) fn connect(&self, address: &str) -> Wire {
        self.try_connect(address).unwrap_or_else(|why| panic!("no handshake: {why}")).0
    }

    #[track_caller]
    pub(crate) fn shaken(&self, address: &str) -> Shaken {
        self.try_connect(address).unwrap_or_else(|why| panic!("no handshake: {why}")).1
    }
}

impl Shaken {
    /// Whether this is what was shown.
    pub(crate) fn shows(&self, issued: &Issued) -> bool {
        issued.parts().0[0] == self.certificate
    }
}

struct Client(StreamOwned<ClientConnection, TcpStream>);
struct Served(StreamOwned<ServerConnection, TcpStream>);

/// A server's side of a handshake; `None` where it fails.
pub(crate) fn answer(config: &Arc<ServerConfig>, socket: TcpStream) -> Option<Wire> {
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket.set_nodelay(true).unwrap();
    let below = socket.try_clone().unwrap();
    let mut server = ServerConnection::new(Arc::clone(config)).unwrap();
    let mut socket = socket;
    while server.is_handshaking() {
        server.complete_io(&mut socket).ok()?;
    }
    Some(Wire::tls(Box::new(Served(StreamOwned::new(server, socket))), below))
}

macro_rules! end {
    ($end:ident) => {
        impl Read for $end {
            fn read(&mut self, room: &mut [u8]) -> io::Result<usize> {
                self.0.read(room)
            }
        }
        impl Write for $end {
            fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
                self.0.write(bytes)
            }
            fn flush(&mut self) -> io::Result<()> {
                self.0.flush()
            }
        }
        impl TlsEnd for $end {
            fn say_end(&mut self) {
                self.0.conn.send_close_notify();
                let _ = self.0.flush();
            }
            fn renew_keys(&mut self) {
                self.0.conn.refresh_traffic_keys().unwrap();
            }
            fn is_resumed(&self) -> bool {
                self.0.conn.handshake_kind() == Some(HandshakeKind::Resumed)
            }
        }
    };
}

end!(Client);
end!(Served);

/// Believes everything.
#[derive(Debug)]
struct Anything(Arc<CryptoProvider>);

impl rustls::client::danger::ServerCertVerifier for Anything {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: rustls::pki_types::UnixTime,
    ) -> Result<rustls::client::danger::ServerCertVerified, rustls::Error> {
        Ok(rustls::client::danger::ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &rustls::DigitallySignedStruct,
    ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, cert, signed, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &rustls::DigitallySignedStruct,
    ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, cert, signed, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<rustls::SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
